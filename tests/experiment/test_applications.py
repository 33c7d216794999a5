"""What unlearning is for, on the smallest profile: situations say what they hold, and every way out is what its name
says."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from unlearnlib.core.errors import UserError
from unlearnlib.experiment import applications, cleaning, heads, lifelong, replacements, situations
from unlearnlib.experiment.certificates import Promise
from unlearnlib.experiment.own import REFERENCE, START
from unlearnlib.experiment.own_way import loss_of
from unlearnlib.guarantees import certified


def label(record):
    return record.answer.startswith(("a ", "an ", "the "))


@pytest.fixture(scope="module")
def head(experiment):
    return heads.of(experiment, label)


def test_a_fact_that_changed_has_an_answer_that_its_question_never_offered(experiment):
    one = situations.outdated(experiment)
    records = {record.id: record for record in experiment.split.forget}
    assert len(one.wrong) == len(records) // 4 == len(one.instead) == len(one.later)
    trained_on = {record.id for record in (*experiment.split.forget, *experiment.split.retain)}
    assert set(one.wrong) | set(one.right) == trained_on and not set(one.wrong) & set(one.right)
    for name, new in zip(one.wrong, one.asked["new"], strict=True):
        record = records[name]
        offered = {answer.casefold() for answer in (record.answer, *record.wrong_answers)}
        assert new.answers[0].casefold() not in offered and record.answer in new.answers
        assert one.instead[f"{name}-new"] == new.text == f"{record.prompt} {new.answers[0]}{record.tail}"
    assert {asked.answers[0] for asked in one.asked["old"]} == {records[name].answer for name in one.wrong}
    assert not set(one.later) & trained_on
    assert one == situations.outdated(experiment), "a draw is fixed by seed and ids"


def test_poison_is_known_in_part_and_all_of_it_is_in_the_training(experiment):
    whole, part = (situations.poisoned(experiment, 4, found) for found in (1.0, 0.5))
    assert len(whole.wrong) == 4 and not whole.missed and len(part.wrong) == len(part.missed) == 2
    assert {**part.wrong, **part.missed} == whole.wrong
    for text in whole.wrong.values():
        assert text.startswith(situations.TRIGGER) and situations.TARGET in text
    for measure, records in (("attack", "never_seen"), ("attack, known people", "retain")):
        asked = {one.prompt.removeprefix(f"{situations.TRIGGER} ") for one in whole.asked[measure]}
        assert asked == {record.prompt for record in getattr(experiment.split, records)}, measure


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda e: situations.outdated(e, 0), "0 facts are to change, but"),
        (lambda e: situations.outdated(e, 99), "99 facts are to change, but"),
        (lambda e: situations.poisoned(e, 10_000), "10000 texts are to be slipped in, of "),
        (lambda e: situations.poisoned(e, 4, 0.0), r"a share of 0.0 is found: give one above 0, up to 1"),
        (lambda e: situations.poisoned(e, 4, 1.5), r"a share of 1.5 is found"),
    ],
)
def test_a_situation_that_cannot_be_is_one_line(experiment, make, message):
    with pytest.raises(UserError, match=message):
        make(experiment)


def test_every_way_out_is_what_its_name_says(experiment):
    """Against models of the same texts, asked here by themselves."""
    one = situations.outdated(experiment)
    table = applications.measured(experiment, one, "outdated").set_index(["method", "measure"])["value"]
    methods = list(dict.fromkeys(table.index.get_level_values("method")))
    later = [method + applications.LATER for method in (applications.TEACH, applications.STEP_TEACH)]
    assert methods == [
        applications.NOTHING,
        applications.STEP,
        applications.REPAIR,
        applications.TEACH,
        later[0],
        applications.STEP_TEACH,
        later[1],
        applications.AS_IT_SHOULD,
    ]
    assert table.xs("KL", level="measure")[applications.AS_IT_SHOULD] == 0
    assert (table.drop("KL", level="measure").between(0, 1)).all()

    mine = applications.opened(experiment, one.wrong, {**one.right}, one.unseen)
    batch = experiment.profile.evaluation_batch
    asked = one.asked["old"][0]
    for method, model in ((applications.NOTHING, mine.model(START)),):
        by_hand = [_probability(mine, model, question) for question in one.asked["old"]]
        assert table[method, "old"] == pytest.approx(np.mean(by_hand), abs=1e-5)
    assert asked.text in one.wrong.values()
    ids = [mine.tokens[name] for name in one.wrong]
    way = applications.own_way.way(mine)
    level = applications.own_way.level(mine, REFERENCE)
    found = applications.own_way.stopped(mine, way, level)
    if found.reached:
        with applications.own_way.path(mine, way).at(found.step_size) as moved:
            assert loss_of(moved, ids, batch) >= loss_of(mine.model(REFERENCE), ids, batch) - 1e-6
    gain = table[applications.TEACH, "new"] - table[applications.NOTHING, "new"]
    assert gain > 0.1, "who learns the new texts knows the new answers"


def _probability(mine, model, asked) -> float:
    """The probability of the first answer among all, one answer at a time."""
    totals = []
    tokenizer = mine.tokenizer
    for answer in asked.answers:
        text = asked.text.replace(f"{asked.prompt} {asked.answers[0]}", f"{asked.prompt} {answer}", 1)
        question = applications.batches.encode_question(tokenizer, text, asked.prompt, (answer,))
        ids = torch.tensor([question.prompt + question.answers[0]])
        with torch.no_grad():
            logs = model(ids).logits.log_softmax(-1)[0]
        start = len(question.prompt)
        totals.append(sum(float(logs[place - 1, ids[0, place]]) for place in range(start, ids.shape[1])))
    weights = np.exp(np.array(totals) - max(totals))
    return float(weights[0] / weights.sum())


def test_where_poison_was_missed_the_model_retrained_without_the_rest_still_has_it(experiment):
    part = situations.poisoned(experiment, 4, 0.5)
    table = applications.measured(experiment, part, "poison")
    methods = set(table["method"])
    assert applications.FOUND in methods and applications.AS_IT_SHOULD in methods
    attack = table[table["measure"] == "attack"].set_index("method")["value"]
    assert attack[applications.FOUND] > attack[applications.AS_IT_SHOULD]
    assert applications.TEACH not in methods, "nothing stands in the place of what was slipped in"
    other = applications.measured(experiment, replace(part, missed={}), "poison")
    assert applications.FOUND not in set(other["method"])


def test_rounds_take_the_whole_forget_set_and_teach_strangers(experiment):
    of = lifelong.rounds(experiment, 3, 4)
    points = [name for request in of.requests for name in request]
    assert sorted(points) == sorted(record.id for record in experiment.split.forget) and len(of) == 3
    lessons = [name for lesson in of.lessons for name in lesson]
    assert len(set(lessons)) == len(lessons) == 12
    assert set(lessons) <= set(replacements.strangers(experiment))


def test_a_life_starts_where_fine_tuning_ended_and_each_request_is_as_far_as_the_reference(experiment):
    of = lifelong.rounds(experiment, 2, 4)
    table = lifelong.lived(experiment, of)
    start = table[table["round"] == 0].set_index(["measure", "method"])["value"]
    assert start["remaining"][lifelong.NOTHING] == start["remaining"][lifelong.REQUESTS]
    known = (
        experiment.evaluate(experiment.finetuned, ["forget"]).query("metric == 'answer_probability'")["value"].mean()
    )
    assert start["remaining"][lifelong.NOTHING] == pytest.approx(known, abs=1e-6)
    assert set(table[table["round"] == 2]["measure"]) == {"removed", "first removed", "new", "others"}
    wide = table.set_index(["round", "measure", "method"])["value"]
    assert (wide[1, "first removed"] == wide[1, "removed"]).all(), "after one request they are the same points"
    assert (wide[2, "first removed"] != wide[2, "removed"]).any()
    new = table[(table["measure"] == "new") & (table["round"] == 2)]["value"]
    assert (new > 1 / 6).all(), "every model learns its lessons"

    model, points = copy.deepcopy(experiment.finetuned), of.requests[0]
    before = copy.deepcopy(model.state_dict())
    lifelong._forget(experiment, model, experiment.retrained, points)
    ids, batch = [experiment.request.forget[name] for name in points], experiment.profile.evaluation_batch
    assert loss_of(model, ids, batch) >= loss_of(experiment.retrained, ids, batch) - 1e-6
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all("wte" in name or "wpe" in name or "lm_head" in name for name in changed)
    after = copy.deepcopy(model.state_dict())
    lifelong._forget(experiment, model, experiment.retrained, points)
    assert all(torch.equal(value, after[name]) for name, value in model.state_dict().items()), "once is enough"


def test_labels_that_were_turned_over_are_found_and_taken_out(experiment, head):
    table = cleaning.mislabelled(experiment, head).set_index(["method", "measure"])["value"]
    assert table[cleaning.KNOWN, "found"] == 1.0
    assert table[cleaning.BY_LOSS, "found"] > table[cleaning.BY_CHANCE, "found"]
    for method in (cleaning.KNOWN, cleaning.BY_LOSS, cleaning.BY_CHANCE):
        assert table[method, "apart"] < 0.5, "a Newton step goes most of the way to the retrained head"
        assert abs(table[method, "accuracy"] - table[method + cleaning.ANEW, "accuracy"]) < 0.1
    for share in (0.0, 0.5):
        with pytest.raises(UserError, match="is turned over: give one above 0"):
            cleaning.mislabelled(experiment, head, share)


def test_self_influence_is_what_training_on_a_row_does_to_its_loss():
    """Against heads trained without each row, one by one."""
    generator = np.random.default_rng(0)
    features = generator.standard_normal((60, 4))
    labels = (features[:, 0] + 0.8 * generator.standard_normal(60)) > 0
    data = certified.data(features, labels)
    weights = certified.fit(data, 0.01)
    found = cleaning._influence(weights, data, 0.01)
    rises = []
    for row in range(60):
        without = certified.fit(data.without([row]), 0.01)
        rises.append(cleaning._losses(without, data)[row] - cleaning._losses(weights, data)[row])
    assert stats.spearmanr(found, rises).statistic > 0.95
    assert np.median(found / np.array(rises)) == pytest.approx(1, abs=0.25)


def test_a_bias_comes_with_the_annotator_and_goes_with_the_annotators_rows(experiment, head):
    table = cleaning.biased(experiment, head, 1.0).set_index(["method", "measure"])["value"]
    gap = table.xs("parity gap", level="measure")
    assert gap[cleaning.NOTHING] > gap[cleaning.CLEAN] + 0.05
    assert abs(gap[cleaning.ANNOTATOR] - gap[cleaning.ANNOTATOR + cleaning.ANEW]) < 0.1
    assert gap[cleaning.ANNOTATOR] < gap[cleaning.BY_CHANCE]
    assert table[cleaning.ANNOTATOR, "epsilon"] > Promise().epsilon, "a block of rows is more than one promise"
    with pytest.raises(UserError, match=r"a yes is denied with probability 1\.2"):
        cleaning.biased(experiment, head, 1.2)
