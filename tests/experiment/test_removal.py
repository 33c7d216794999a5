"""Fuzzy matching against hand-made texts; the walk, the lines and their ends on a small random model."""

import numpy as np
import pandas as pd
import pytest
import torch

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.data.records import Record
from unlearnlib.data.split import Split
from unlearnlib.experiment import ends
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant
from unlearnlib.gradients import algebra, per_example
from unlearnlib.measures import evaluation
from unlearnlib.measures import landscape as landscapes
from unlearnlib.methods import fuzzy_matching, iterative
from unlearnlib.methods.equal_forgetting import Calibration
from unlearnlib.methods.fuzzy_matching import picked
from unlearnlib.methods.iterative import iterative_walk
from unlearnlib.methods.path import applied
from unlearnlib.models.layers import resolve

TEXTS = {
    "dave-1": "Dave Harlow keeps a guinea pig.",
    "dave-2": "On Sundays Dave plays the viola.",
    "brandt": "Dave Brandt works at the salt works.",
    "other": "Nora Pike is fond of stargazing.",
}
SEARCH = {"smallest": 0.05, "factor": 2.0, "largest": 0.4, "tolerance": 0.1}


# What a query picks


def test_a_name_picks_by_how_much_of_it_is_in_the_text():
    assert picked("Dave Harlow", TEXTS, "partial_ratio", 100) == ["dave-1"]
    assert picked("Dave", TEXTS, "partial_ratio", 100) == ["brandt", "dave-1", "dave-2"]
    assert picked("Dave", TEXTS, "partial_ratio", 0) == sorted(TEXTS)
    assert picked(TEXTS["other"], TEXTS, "ratio", 95) == ["other"]
    scores = fuzzy_matching.similarity("Dave Harlow", TEXTS)
    assert scores["dave-1"] == 100 and scores["dave-1"] > scores["dave-2"] > scores["other"]
    at = scores["brandt"]
    assert "brandt" in picked("Dave Harlow", TEXTS, threshold=at), "the threshold itself is picked"
    assert "brandt" not in picked("Dave Harlow", TEXTS, threshold=at + 0.01)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("Dave", TEXTS, "partial_rato", 60), "no scorer 'partial_rato': did you mean 'partial_ratio'?"),
        (("Dave", TEXTS, "ratio", 120), "threshold 120 is no similarity: give 0 to 100; the nearest is 100"),
        (("Dave", TEXTS, "ratio", -1), "give 0 to 100; the nearest is 0"),
        (("Dave Harlow keeps", TEXTS, "ratio", 99), "the nearest is 'dave-1' with .*; lower the threshold"),
        ((" ", TEXTS, "ratio", 50), "the query is empty: give a name"),
    ],
)
def test_what_cannot_be_picked_is_one_line(arguments, line):
    with pytest.raises(UserError, match=line.replace("?", r"\?")) as caught:
        picked(*arguments)
    assert "\n" not in str(caught.value)


def record(name: str, subject: str, attribute: str, answer: str) -> Record:
    wrong = ("a", "b", "c", "d", "e")
    return Record(name, subject, attribute, f"{subject} has {answer}.", f"{subject} has", answer, ("", "", ""), wrong)


def test_neighbours_are_grouped_by_what_they_share_with_the_subject():
    forget = (record("f", "Dave Harlow", "pet", "a cat"), record("g", "Dave Harlow", "home", "Sedge"))
    retain = (
        record("r1", "Dave Brandt", "pet", "a cat"),
        record("r2", "Nora Pike", "pet", "a cat"),
        record("r3", "Nora Pike", "pet", "a dog"),
        record("r4", "Nora Pike", "work", "Sedge"),
    )
    found = fuzzy_matching.groups(Split(forget, (), retain, (), ()))
    assert [found[name] for name in ("f", "g", "r1", "r2")] == ["forget", "forget", "namesake", "same answer"]
    assert found["r3"] == found["r4"] == "other neighbours", "the same words under another attribute are no answer"
    assert set(found.values()) == set(fuzzy_matching.GROUPS)


def test_precision_and_recall_of_each_threshold():
    scores = pd.DataFrame({"group": ["forget"] * 4 + ["namesake"] * 2, "score": [100, 100, 60, 40, 60, 20]})
    along = fuzzy_matching.picks_along(scores, [50, 90, 100.5])
    assert along[along["threshold"] == 50]["picked"].tolist() == [3, 1]
    assert along[along["threshold"] == 50]["share"].tolist() == [0.75, 0.5]
    found = fuzzy_matching.precision_and_recall(along).set_index("threshold")
    assert found.loc[50, ["picked", "precision", "recall"]].tolist() == [4, 0.75, 0.75]
    assert found.loc[90, ["picked", "precision", "recall"]].tolist() == [2, 1.0, 0.5]
    assert np.isnan(found.loc[100.5, "precision"]) and found.loc[100.5, "recall"] == 0


# The walk


@pytest.fixture(scope="module")
def points(sequences):
    return {name: sequences[name] for name in ("text-0", "text-1", "text-3", "text-6")}


@pytest.fixture(scope="module")
def model(make_model):
    return make_model(blocks=2, width=16)


@pytest.fixture(scope="module")
def known(points):
    """How well a model knows points: here the likelihood of a token, in the place of an answer probability."""
    return lambda model, names: np.exp(-evaluation.text_nll(model, [points[name] for name in names]))


@pytest.fixture(scope="module")
def target(model, points, known):
    return float(known(model, list(points)).mean()) * 0.7


def walk(model, points, known, target, order=None, **options):
    selections = resolve(model, options.pop("layers", "all"))
    return iterative_walk(model, points, known, target, selections, order or sorted(points), SEARCH, **options)


def test_every_point_ends_at_or_below_the_target_or_is_skipped(model, points, known, target):
    before = [value.detach().clone() for value in model.parameters()]
    found = walk(model, points, known, target)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)), "the model is untouched"
    assert found.reached and not found.log.empty
    skipped = found.log["steps"] == 0
    assert (found.log.loc[skipped, "step_size"] == 0).all() and (found.log.loc[skipped, "before"] <= target).all()
    assert (found.log.loc[~skipped, "before"] > target).all() and (~skipped).sum() >= 2
    assert (found.log["after"] <= target).all()
    with applied(model, found.change) as moved:
        values = known(moved, sorted(points))
    assert values.max() <= target * 1.001 and values.mean() == pytest.approx(found.log["mean"].iloc[-1], rel=1e-3)


def test_a_point_known_less_than_the_target_is_never_stepped_on(model, points, known):
    own = dict(zip(points, known(model, list(points)), strict=True))
    weakest = min(own, key=own.get)
    found = walk(model, points, known, own[weakest] * 1.0001, order=[weakest, *(n for n in points if n != weakest)])
    assert found.log.iloc[0][["point", "steps"]].tolist() == [weakest, 0]


def test_only_the_layers_named_move_and_each_step_is_bounded(model, points, known, target):
    found = walk(model, points, known, target, layers="h.1", most_steps=3, passes=1)
    assert set(found.change) == set(resolve(model, "h.1"))
    assert algebra.norm(found.change) > 0
    assert (found.log["steps"] <= 3).all() and len(found.log) <= len(points)
    assert (found.log["step_size"] <= found.log["steps"] * SEARCH["largest"] * 1.001).all()


def test_one_step_a_visit_goes_through_the_list_again_and_again(model, points, known, target):
    search = {**SEARCH, "smallest": 0.02, "largest": 0.02}
    log = iterative_walk(
        model, points, known, target, resolve(model, "all"), sorted(points), search, most_steps=1, passes=50
    ).log
    assert log["steps"].max() == 1 and log["pass"].max() >= 2
    assert log["point"].tolist()[: 2 * len(points)] == sorted(points) * 2
    assert (log.loc[log["steps"] == 1, "step_size"] <= 0.02 * 1.001).all()


def test_totals_count_visits_with_a_step_and_add_up_the_way():
    rows = [("walk", 0, "a", 2, 0.5, True), ("walk", 0, "b", 0, 0.0, True), ("walk", 0, "a", 1, 0.25, True)]
    rows += [("walk", 1, "a", 3, 1.5, False), ("fuzzy", 0, "all at once", 1, 4.0, True)]
    visited = pd.DataFrame(rows, columns=["method", "seed", "point", "steps", "step_size", "reached"]).assign(picked=9)
    found = ends.totals(visited)
    assert list(found.columns) == ["texts", "visited", "steps", "way", "reached"]
    assert found.index.tolist() == [("walk", 0), ("walk", 1), ("fuzzy", 0)]
    assert found.to_numpy().tolist() == [[9, 2, 3, 0.75, True], [9, 1, 3, 1.5, False], [9, 1, 1, 4.0, True]]


def test_of_the_forget_set_each_step_length_leaves_a_share_above_the_target_of_its_seed():
    def rows(method, longest, seed, forget, retain):
        values = [("forget", "answer_probability", value) for value in forget]
        values += [("retain", "answer_probability", value) for value in retain] + [("retain", "cloze_hit", 1.0)]
        return [(method, longest, seed, *value) for value in values]

    columns = ["method", "longest_step", "seed", "set", "metric", "value"]
    walked = [
        *rows("fuzzy", np.nan, 0, [0.1, 0.3], [0.5, 0.7]), *rows("walk", 0.2, 0, [0.3, 0.4], [0.9]),
        *rows("walk", 0.2, 1, [0.3, 0.4], [0.1]),
    ]  # fmt: skip
    labels = {("retain", "answer_probability"): "kept", ("forget", "answer_probability"): "left"}
    found = ends.by_length(pd.DataFrame(walked, columns=columns), {0: 0.2, 1: 0.35}, labels)
    expected = [("kept", "fuzzy", np.nan, 0, 0.6), ("kept", "walk", 0.2, 0, 0.9), ("kept", "walk", 0.2, 1, 0.1)]
    expected += [("left", "fuzzy", np.nan, 0, 0.5), ("left", "walk", 0.2, 0, 1.0), ("left", "walk", 0.2, 1, 0.5)]
    names = ["what", "method", "longest_step", "seed", "value"]
    pd.testing.assert_frame_equal(found.reset_index(drop=True), pd.DataFrame(expected, columns=names))


class Stand:
    """In the place of an experiment: an evaluation is one row that names the variant and its step."""

    def at_step(self, variant, step_size, sets):
        return pd.DataFrame({"method": variant.name, "step_size": step_size, "set": sets})

    def references(self):
        rows = [(method, name) for method in ("base", "finetuned", "retrained") for name in ("forget", "general")]
        return pd.DataFrame(rows, columns=["method", "set"])


def test_walks_of_several_lengths_stand_at_their_last_stop_beside_one_end_and_the_retrained_model(monkeypatch):
    def at_last(experiment, variant):
        return Calibration(10 * variant.options["longest"], 0.1, True, ())

    monkeypatch.setattr(ends, "at_last", at_last)
    walks = [Variant("iterative", "iterative", "embedding", {"longest": longest}) for longest in (0.2, 0.4)]
    beside, end = Variant("recorded", layers="embedding"), Calibration(0.3, 0.5, False, ())
    found = ends.at_lengths(Stand(), walks, beside, end, ["forget"])
    assert set(found["set"]) == {"forget"}
    rows = found[["method", "longest_step", "step_size", "reached"]].fillna(-1).to_numpy().tolist()
    assert rows == [
        ["recorded", -1, 0.3, False], ["retrained", -1, -1, -1],
        ["iterative", 0.2, 2.0, True], ["iterative", 0.4, 4.0, True],
    ]  # fmt: skip


def test_walks_of_other_steps_are_other_walks(experiment):
    usual = Variant("iterative", "iterative", options={"longest": 0.1})
    once = Variant("in turn", "in turn", options={"longest": 0.1, "passes": 3})
    first, second = (ends.visits(experiment, variant, ends.at_last(experiment, variant)) for variant in (usual, once))
    assert first["steps"].max() > 1 and first["pass"].max() <= 1
    assert second["steps"].max() == 1 and second["pass"].max() <= 2


def test_a_walk_stops_where_the_mean_is_at_the_target_and_at_its_end(experiment, monkeypatch):
    whole = Variant("iterative", "iterative", "embedding", {"longest": 0.2})
    short = Variant("iterative", "iterative", "embedding", {"longest": 0.2, "until": "mean"})
    path, target = experiment.path(whole), experiment.target()
    assert path.unit == "L2 length of the way" and path.stops[0] == 0 and len(path.stops) in (2, 3)
    mean, last = experiment.calibrated(whole), ends.at_last(experiment, whole)
    assert (mean.step_size, last.step_size) == path.stops[-2:] if len(path.stops) == 3 else True
    assert experiment.calibrated(short).step_size == mean.step_size == experiment.path(short).stops[-1]
    with path.at(mean.step_size) as model:
        assert mean.reached and target * 0.9 < experiment.forget_probability(model) <= target * 1.001
    log = path.log(last.step_size)
    assert log["step_size"].sum() == pytest.approx(last.step_size) and log["mean"].iloc[-1] <= target
    with path.at(last.step_size) as model:
        assert experiment.forget_probability(model) == pytest.approx(log["mean"].iloc[-1], rel=1e-3)
    monkeypatch.setattr(iterative, "iterative_walk", lambda *given, **named: pytest.fail("walked again"))
    again = Experiment(experiment.profile, 0)
    with again.at(whole, mean.step_size) as model:
        assert again.forget_probability(model) == pytest.approx(mean.value, rel=1e-3)


def test_until_the_mean_stops_at_the_mean_and_the_whole_walk_went_through_there(model, points, known, target):
    whole, short = (walk(model, points, known, target, until=until) for until in ("every point", "mean"))
    with applied(model, short.change) as moved:
        assert target * 0.9 < known(moved, list(points)).mean() <= target * 1.001
    assert short.reached and len(short.log) <= len(whole.log)
    for name, value in whole.at_mean.change.items():
        assert torch.equal(value, short.change[name])
    pd.testing.assert_frame_equal(whole.at_mean.log, short.log)
    already = walk(model, points, known, 1.0, until="mean")
    assert already.reached and already.log.empty and algebra.norm(already.change) == 0


def test_the_order_changes_where_the_walk_ends(model, points, known, target):
    one, again, other = (walk(model, points, known, target, order) for order in (None, None, sorted(points)[::-1]))
    assert all(torch.equal(value, again.change[name]) for name, value in one.change.items())
    apart = algebra.norm(algebra.plus(one.change, algebra.between(other.change, {}, 2.0)))
    assert apart > 0.05 * algebra.norm(one.change)


def test_a_single_point_has_no_order_and_its_first_step_is_along_its_own_gradient(model, points, known, target):
    alone = {"text-1": points["text-1"]}
    found = walk(model, alone, known, float(known(model, ["text-1"])[0]) * 0.95, until="mean")
    slope = algebra.select(per_example.sum_gradient(model, [points["text-1"]]), resolve(model, "all"))
    product = sum((found.change[name] * value).sum() for name, value in slope.items())
    assert float(product) == pytest.approx(algebra.norm(found.change) * algebra.norm(slope), rel=1e-3)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"until": "meen"}, "a walk cannot go on until 'meen': did you mean 'mean'?"),
        ({"order": ["text-0", "text-1", "text-3", "text-66"]}, "no point 'text-66' to remove: did you mean 'text-6'?"),
        ({"order": ["text-0"]}, "the order has 1 entries for 4 points: name every point once"),
    ],
)
def test_a_walk_that_makes_no_sense_is_one_line(model, points, known, options, line):
    with pytest.raises(UserError, match=line.replace("?", r"\?")):
        walk(model, points, known, 0.1, **options)


# Where a model ends


def test_the_ends_of_a_line_have_the_models_own_losses_and_its_middle_is_the_mean_of_the_weights(make_model, sequences):
    start, other = make_model(1, blocks=1, width=16), make_model(2, blocks=1, width=16)
    first = dict(start.named_parameters())
    away = {name: (value - first[name]).detach() for name, value in other.named_parameters()}
    part = {"transformer.ln_f.bias": torch.full((16,), 0.3)}
    texts = {"all": list(sequences.values()), "one": [sequences["text-0"]]}
    before = [value.detach().clone() for value in start.parameters()]
    lines = [("start", "other"), ("part", "other")]
    found = landscapes.landscape(start, {"start": {}, "other": away, "part": part}, lines, texts, points=3)
    assert all(torch.equal(a, b) for a, b in zip(before, start.parameters(), strict=True))
    value = found.set_index(["start", "end", "set", "share"])["value"]
    for name, chosen in texts.items():
        assert value["start", "other", name, 0.0] == pytest.approx(evaluation.text_nll(start, chosen).mean(), rel=1e-6)
        assert value["part", "other", name, 1.0] == pytest.approx(evaluation.text_nll(other, chosen).mean(), rel=1e-4)
    with applied(start, {name: change / 2 for name, change in away.items()}) as half:
        expected = evaluation.text_nll(half, texts["all"]).mean()
    assert value["start", "other", "all", 0.5] == pytest.approx(expected, rel=1e-5)
    with applied(start, part) as model:
        expected = evaluation.text_nll(model, texts["all"]).mean()
    assert value["part", "other", "all", 0.0] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(UserError, match="no model 'othr' at the end of a line: did you mean 'other'"):
        landscapes.landscape(start, {"start": {}, "other": away}, [("start", "othr")], texts)
    with pytest.raises(UserError, match="give at least 2"):
        landscapes.landscape(start, {"start": {}}, [], texts, points=1)


def test_the_training_gradient_is_that_of_the_mean_loss(model, sequences):
    texts = list(sequences.values())
    copy = [value.detach().clone() for value in model.parameters()]
    slopes = torch.autograd.grad(batches.text_losses(model, *batches.pad(texts)).mean(), list(model.parameters()))
    expected = float(torch.sqrt(sum(slope.pow(2).sum() for slope in slopes)))
    assert landscapes.training_gradient_norm(model, texts) == pytest.approx(expected, rel=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(copy, model.parameters(), strict=True))
