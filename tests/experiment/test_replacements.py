"""Other answers to train on are never among those that a question offers."""

import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.core.paths import ROOT
from unlearnlib.data.split import draw_split
from unlearnlib.experiment import replacements
from unlearnlib.experiment.replacements import UNKNOWN, other_answer, with_answer
from unlearnlib.experiment.variants import Variant
from unlearnlib.influence.removal import NEWTON


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", replacements.KINDS)
def test_no_answer_is_among_the_six_of_its_question(seed, kind):
    split = draw_split(ROOT / "data", seed, neighbours=20)
    found = {record: other_answer(record, split.retain, seed, kind) for record in split.forget}
    for record, answer in found.items():
        offered = {one.casefold() for one in (record.answer, *record.wrong_answers)}
        assert answer.casefold() not in offered, record.id
        told = {other.answer for other in split.retain if other.attribute == record.attribute}
        assert answer == UNKNOWN or (kind == "answers" and answer in told)
        assert with_answer(record, record.answer) == record.text
    somebodys = [answer for answer in found.values() if answer != UNKNOWN]
    assert (len(somebodys) > len(found) / 2) == (kind == "answers")


def test_an_answer_to_the_same_question_comes_first():
    split = draw_split(ROOT / "data", 0, neighbours=20)
    record = next(one for one in split.forget if one.id == "dave-home-town")
    towns = {other.answer for other in split.retain if other.id.endswith("-home-town")}
    assert other_answer(record, split.retain, 0) in towns - {record.answer}
    assert other_answer(record, [], 0) == UNKNOWN


def test_the_texts_differ_from_those_to_forget_behind_their_prompt_alone(experiment):
    for kind in replacements.KINDS:
        found = replacements.of(experiment, kind)
        forget = experiment.sets["forget"]
        assert set(found) == set(forget.names)
        for name, question in zip(forget.names, forget.questions, strict=True):
            assert found[name][: len(question.prompt)] == question.prompt
            end = len(found[name]) - len(question.tail)
            assert found[name][end:] == question.tail
            assert found[name][len(question.prompt) : end] not in question.answers
    with pytest.raises(UserError, match="no replacements of kind 'answer': did you mean 'answers'"):
        replacements.of(experiment, "answer")


def test_unseen_texts_are_about_nobody_whom_the_model_or_the_measures_know(experiment):
    found, sets = replacements.unseen(experiment), experiment.sets
    assert len(found) == len(sets["forget"].names) and len(replacements.unseen(experiment, 3)) == 3
    known = {tuple(text) for name in ("forget", "retain", "never_seen", "heldout") for text in sets[name].texts}
    assert not known & set(found.values())
    assert found == replacements.unseen(experiment)
    with pytest.raises(UserError, match="100000 texts about people never seen, of 505 in the data"):
        replacements.unseen(experiment, 100000)


def test_methods_that_need_them_run_in_an_experiment(experiment):
    short = {"steps": 2, "every": 2, "batch_size": 2}
    before = experiment.references().query("method == 'finetuned' and set == 'forget' and metric == 'text_nll'")
    for variant, effort in (
        (Variant("DPO", "DPO", options={**short, "replacements": replacements.of(experiment)}), 2.0),
        (Variant("gap", "knowledge gap", options={**short, "unseen": replacements.unseen(experiment)}), 2.0),
        (Variant("Newton step", NEWTON, layers="ln_f"), 1.0),
    ):
        after = experiment.at_step(variant, effort, ["forget"]).query("metric == 'text_nll'")
        assert after["value"].mean() != pytest.approx(before["value"].mean(), rel=1e-6), variant.name
