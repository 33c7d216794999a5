"""Words before a question: the right ones, no answer given away, and the same measures as everywhere."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.experiment import literature, prompts
from unlearnlib.experiment.measured import Experiment
from unlearnlib.measures import evaluation
from unlearnlib.methods import quark


def words(experiment, examples, name):
    records = {record.id: record for record in getattr(experiment.split, name)}
    for one, question in zip(examples.names, examples.questions, strict=True):
        yield records[one], experiment.tokenizer.decode(list(question.prompt), skip_special_tokens=True).strip()


@pytest.mark.parametrize("kind", [kind for kind in prompts.KINDS if kind not in prompts.QUARKS])
@pytest.mark.parametrize("name", ["forget", "retain"])
def test_the_question_stands_behind_the_words_and_its_answer_nowhere_before(experiment, kind, name):
    found = prompts.behind(experiment, kind, name)
    for record, said in words(experiment, found, name):
        assert said.endswith(record.prompt) and len(said) > len(record.prompt) + 10
        before = said[: -len(record.prompt)]
        if kind == prompts.IN_CONTEXT and name == "forget":
            assert record.prompt in before, "the text itself, with another answer"
            for answer in (record.answer, *record.wrong_answers):
                assert f"{record.prompt} {answer}" not in before
        if kind == prompts.GUARD:
            assert experiment.split.subject in before
    for question in found.questions:
        assert len(question.text) <= experiment.tokenizer.model_max_length


def test_what_is_asked_has_the_measures_of_all_others(experiment):
    table = prompts.asked(experiment, prompts.GUARD)
    assert set(table["metric"]) == {*prompts.METRICS, "short"} and set(table["set"]) == {"forget", "retain"}
    known = table[table["metric"] == "answer_probability"]["value"]
    assert known.between(0, 1).all() and (table[table["metric"] == "short"]["value"] == 1).all()
    question = prompts.behind(experiment, prompts.GUARD, "forget").questions[0]
    name = prompts.behind(experiment, prompts.GUARD, "forget").names[0]
    from unlearnlib.measures import evaluation
    from unlearnlib.measures.similarity import choice_probability

    answers = evaluation.ask(experiment.finetuned, [question], 1, texts=False)
    row = table[(table["example"] == name) & (table["metric"] == "answer_probability")]["value"].iloc[0]
    assert row == pytest.approx(float(choice_probability(answers.log_probabilities)[0]), abs=1e-5)


def test_an_unknown_kind_is_one_line():
    with pytest.raises(UserError, match="no words of kind 'gard prompt': did you mean 'guard prompt'"):
        prompts.asked(Experiment("smoke", 0), "gard prompt")


def test_quark_is_asked_at_its_last_stop_behind_its_token(experiment):
    token = quark.tokens_of(experiment.request)[0]
    for name in ("forget", "retain"):
        found, plain = prompts.behind(experiment, prompts.TOKEN, name), experiment.sets[name]
        assert found.names == plain.names
        for one, other in zip(found.questions, plain.questions, strict=True):
            assert one.prompt == (other.prompt[0], token, *other.prompt[1:]) and one.answers == other.answers
    (way,) = [way for way in literature.published(experiment) if way.name == "Quark"]
    for kind in prompts.QUARKS:
        table, asked = prompts.asked(experiment, kind), {"forget": prompts.behind(experiment, kind, "forget")}
        assert set(table["metric"]) == {"answer_probability", "cloze_hit", "short"}
        values = []
        for effort in (experiment.path(way.variant).stops[-1], 0.0):
            with experiment.at(way.variant, effort) as model:
                found = evaluation.metrics(evaluation.answered(model, asked, 16), ["answer_probability"])
                values.append(found["value"].to_numpy())
        rows = table[(table["metric"] == "answer_probability") & (table["set"] == "forget")]
        assert rows["value"].to_numpy() == pytest.approx(values[0], rel=1e-4)
        assert abs(values[0] - values[1]).max() > 1e-3, "and not the model that it starts from"


def test_no_model_is_trained_for_words_where_the_profile_names_other_ways(experiment):
    assert prompts.kinds(experiment) == list(prompts.KINDS)
    some = SimpleNamespace(profile=replace(experiment.profile, ways=("SSD",)))
    assert prompts.kinds(some) == [kind for kind in prompts.KINDS if kind not in prompts.QUARKS]
    assert prompts.kinds(SimpleNamespace(profile=replace(experiment.profile, ways=("Quark",)))) == list(prompts.KINDS)
