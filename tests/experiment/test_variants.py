"""Two ways to unlearn that tables could not tell apart are refused before anything runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from unlearnlib.core import room
from unlearnlib.core.errors import UserError
from unlearnlib.experiment import closeness, ends, many, setting, study
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant, distinct
from unlearnlib.methods.path import change_between, scaled
from unlearnlib.methods.request import Method
from unlearnlib.methods.trained import Steps, mean_loss, trained

FIRST = Variant("first epoch")
EMBEDDING = Variant("first epoch", layers="embedding", options={"epochs": "first"})
TWO = (
    "two are called 'first epoch', Variant('first epoch') and "
    "Variant('first epoch', layers='embedding', options={'epochs': 'first'}): give each a name of its own"
)


class Untouched:
    """An experiment of which nothing may be asked."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} was asked for")


def test_two_variants_of_one_name_are_both_named():
    with pytest.raises(UserError) as error:
        distinct([FIRST, Variant("live", "live"), EMBEDDING])
    assert str(error.value) == TWO
    with pytest.raises(UserError, match=r"two are called 'first epoch', Variant\('first epoch'\) and Variant"):
        distinct([FIRST, FIRST])
    good = (FIRST, replace(EMBEDDING, name="embedding"))
    assert distinct(good) == list(good) == distinct(iter(good)) and distinct([]) == []


@pytest.mark.parametrize("name", ["base", "finetuned", "retrained", "retrained again"])
def test_no_variant_is_called_like_a_model(name):
    with pytest.raises(UserError, match=rf"^Variant\('{name}', method='live'\) is called like the model '{name}'"):
        distinct([FIRST, Variant(name, "live")])


def test_states_of_two_variants_of_one_name_are_refused():
    with pytest.raises(UserError, match="two are called 'first epoch'"):
        closeness.states(Untouched(), [FIRST, EMBEDDING], ["finetuned"])


def test_distributions_of_two_variants_of_one_name_are_refused(experiment, monkeypatch):
    untouched = Untouched()
    monkeypatch.setattr(Experiment, "beside", lambda *_: untouched)
    for variants, line in (
        ([FIRST, EMBEDDING], "two are called 'first epoch'"),
        ([Variant(many.CEILING)], r"is called like the model 'retrained, other half'"),
    ):
        monkeypatch.setattr(study, "repeated", lambda _, variants=variants: variants)
        with pytest.raises(UserError, match=line):
            many.of_original(experiment, experiment.setting.start)


@pytest.mark.parametrize("ask", [ends.stationary, ends.distances, ends.lines])
def test_ends_of_two_variants_of_one_name_are_refused(ask):
    fuzzy = Variant("fuzzy", "fuzzy", options={"query": "Dave"})
    with pytest.raises(UserError, match=r"two are called 'fuzzy', Variant\('fuzzy', method='fuzzy', options="):
        ask(Untouched(), [(fuzzy, 1.0), (replace(fuzzy, options={"query": "Harlow"}), 1.0)])
    with pytest.raises(
        UserError, match=r"Variant\('retrained', method='present'\) is called like the model 'retrained'"
    ):
        ask(Untouched(), [(Variant("retrained", "present"), 1.0)])


# Methods that train, and functions that say what they use


TRAINED = Variant(
    "gradient difference",
    "gradient difference",
    options={"steps": 12, "every": 4, "batch_size": 4, "learning_rate": 2e-3},
)


def test_a_trained_method_is_calibrated_at_its_stops_and_trained_once(experiment, monkeypatch):
    found = experiment.calibrated(TRAINED)
    assert found.step_size in (0.0, 4.0, 8.0, 12.0) and found.reached == (found.value <= experiment.target())
    frontier = experiment.frontier(TRAINED)
    assert {0.0, found.step_size} <= set(frontier["step_size"]) <= {0.0, 4.0, 8.0, 12.0}
    monkeypatch.setattr(torch.optim, "AdamW", lambda *given, **named: pytest.fail("trained again"))
    again = Experiment(experiment.profile, 0)
    with again.at(TRAINED, 8.0) as model:
        value = again.forget_probability(model)
    table = experiment.at_step(TRAINED, 8.0, ["forget"])
    mine = table[table["metric"] == "answer_probability"]["value"].mean()
    assert mine == pytest.approx(value, rel=1e-3)
    with pytest.raises(UserError, match="no stop at 5 optimizer steps: choose from: 0, 4, 8, 12"):
        experiment.at_step(TRAINED, 5.0, ["forget"])


def test_a_function_of_a_notebook_is_given_what_it_says_it_uses(experiment):
    def away(request, times: float = 1.0):
        assert set(request.retain) == {record.id for record in experiment.split.retain}
        change = change_between(request.base, request.start)
        return scaled(request.start, {name: -times * value for name, value in change.items()})

    with pytest.raises(UserError, match="this method asks for 'retain'"):
        experiment.at_step(Variant("away", away), 0.1, ["forget"])
    method = Method(away, frozenset({"retain", "base"}))
    table = experiment.at_step(Variant("away", method), 1.0, ["forget"])
    base = experiment.references().query("method == 'base' and set == 'forget' and metric == 'text_nll'")["value"]
    assert table.query("metric == 'text_nll'")["value"].to_numpy() == pytest.approx(base.to_numpy(), rel=1e-3)
    with pytest.raises(UserError, match="the method 'away' changes the whole model: leave its layers out"):
        experiment.path(Variant("away", method, layers="embedding"))
    with pytest.raises(UserError, match="no option 'time' of the method 'away': did you mean 'times'"):
        experiment.path(Variant("away", method, options={"time": 2}))


def test_a_metric_of_a_notebook_is_computed_from_kept_answers(experiment, monkeypatch):
    experiment.answers("finetuned", ["forget"])
    monkeypatch.setattr(experiment, "at", lambda *given, **named: pytest.fail("asked again"))

    def second_best(rows):
        return np.array([sorted(choices)[-2] for choices in rows["choices"]])

    found = experiment.metric(second_best, "finetuned", sets=["forget"])
    assert found["metric"].unique().tolist() == ["second_best"] and found["method"].unique().tolist() == ["finetuned"]
    expected = [sorted(choices)[-2] for choices in experiment.answers("finetuned", ["forget"])["choices"]]
    assert found["value"].to_numpy() == pytest.approx(expected)
    usual = experiment.references().query("method == 'finetuned' and set == 'forget' and metric == 'cloze_hit'")[
        "value"
    ]
    assert experiment.metric("cloze_hit", "finetuned", sets=["forget"])["value"].tolist() == usual.tolist()


@pytest.fixture
def unasked(experiment):
    """An experiment of which nothing but its models is known: it asks in batches of a size of its own."""
    return Experiment(replace(experiment.profile, evaluation_batch=3), 0, models=experiment.models)


def test_nothing_is_measured_while_the_model_is_changed(unasked):
    experiment = unasked
    first, other = Variant("first epoch"), Variant("embedding", layers="embedding")
    usual = experiment.at_step(other, 0.5, ["forget"])
    with experiment.at(first, 1.0) as model:
        for ask in (
            lambda: experiment.at_step(first, 0.321, ["forget"]),
            lambda: experiment.calibrated(Variant("live", "live", "embedding", {"step_length": 0.9})),
            lambda: experiment.generations("finetuned", ["retain"]),
        ):
            with pytest.raises(UserError, match="changed by a `with` block that is still open: end"):
                ask()
        with pytest.raises(UserError, match="still open"), experiment.at(other, 0.5):
            pass
        with pytest.raises(UserError, match="still open"), experiment.at(TRAINED, 8.0):
            pass
        again = experiment.at_step(other, 0.5, ["forget"])
        assert again["value"].tolist() == usual["value"].tolist(), "what is kept already can be read"
        assert experiment.evaluate(model, ["forget"])["value"].mean() > 0
    experiment.at_step(first, 0.321, ["forget"])


def test_nothing_is_measured_of_a_smaller_forget_set_while_the_model_is_changed(unasked):
    experiment = unasked
    smaller = experiment.beside(setting.smaller(experiment.profile, 0, 1))
    usual = smaller.metric("answer_probability", "finetuned", sets=["never_seen"])["value"].tolist()
    for opened in (experiment, smaller):
        with opened.at(Variant("embedding", layers="embedding"), 5.0):
            for ask in (
                lambda: smaller.metric("answer_probability", "finetuned", sets=["heldout"]),
                lambda: smaller.generations("finetuned", ["remaining"]),
                lambda: experiment.generations("finetuned", ["heldout"]),
            ):
                with pytest.raises(UserError, match="still open: end"):
                    ask()
            with pytest.raises(UserError, match="still open: end"), opened.at("finetuned"):
                pass
    assert smaller.metric("answer_probability", "finetuned", sets=["never_seen"])["value"].tolist() == usual


def test_a_method_of_two_stages_keeps_two_folders(experiment):
    def stage(request, sign, title):
        def loss(model, forget, retained):
            return sign * mean_loss(model, forget)

        return trained(request, loss, Steps(steps=2, every=2, learning_rate=1e-3), request.retain, title)

    def one_name(request):
        first = stage(request, -1, "same")
        with first.at(2.0):
            pass
        return stage(request, 1, "same")

    def two_names(request):
        with stage(request, -1, "up").at(2.0) as model:
            up = [value.detach().clone() for value in model.parameters()]
        second = stage(request, 1, "down")
        with second.at(2.0) as model:
            assert not any(torch.equal(one, other) for one, other in zip(up, model.parameters(), strict=True))
        return second

    uses = frozenset({"forget", "retain", "keep"})
    experiment.at_step(Variant("two", Method(two_names, uses)), 2.0, ["forget"])
    with pytest.raises(UserError, match="two folders under one name"):
        experiment.at_step(Variant("one", Method(one_name, uses)), 2.0, ["forget"])


def test_sets_of_one_stem_are_all_evaluated(experiment):
    found = experiment.evaluate(experiment.finetuned, ["paraphrase#0", "paraphrase#1"])
    assert set(found["example"].str.rpartition("#")[2]) == {"0", "1"}


def test_of_a_large_model_only_the_last_paths_are_kept(experiment, monkeypatch):
    ways = [Variant(name, layers=name) for name in ("embedding", "all", "last_blocks")]
    kept = [experiment.path(way) for way in ways]
    assert [experiment.path(way) for way in ways] == kept, "of a small one all"
    monkeypatch.setattr(room, "KEPT_PATHS", 0)
    first = [experiment.path(way) for way in ways]
    assert experiment.path(ways[2]) is first[2] and experiment.path(ways[1]) is first[1]
    again = experiment.path(ways[0])
    assert again is not first[0] and len(experiment._paths) == 2
    for name, value in again.change(1.0).items():
        assert torch.equal(value, first[0].change(1.0)[name])


def test_no_point_is_walked_to_by_itself_in_a_large_model(experiment, monkeypatch):
    assert study.walked(experiment) == [study.in_turn()] and study.in_turn() in study.variants(experiment)
    monkeypatch.setattr(study, "LARGE", 0)
    assert study.walked(experiment) == [] and study.in_turn() not in study.variants(experiment)
