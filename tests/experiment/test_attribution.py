"""Scores of a real small experiment: their shapes, their meaning, their ground truth, and what they refuse."""

import copy

import numpy as np
import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.experiment import attribution, setting
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant
from unlearnlib.gradients import algebra, per_example
from unlearnlib.influence import scores
from unlearnlib.measures.evaluation import text_nll
from unlearnlib.measures.generation import rouge_rows
from unlearnlib.methods import path
from unlearnlib.models.layers import resolve


@pytest.fixture(scope="module")
def points(experiment):
    return [record.id for record in experiment.split.forget][:3]


def matrix(rows):
    return rows.pivot_table(index="point", columns="query", values="value", sort=False).to_numpy()


def test_baselines_know_only_the_texts(experiment, points):
    queries = [f"{point}#0" for point in points]
    np.testing.assert_array_equal(matrix(attribution.attribute(experiment, "same point", points, queries)), np.eye(3))
    similar = attribution.string_similarity(attribution.Texts(experiment, points, queries))
    assert similar.shape == (3, 3) and (similar >= 0).all() and (similar <= 100).all()


@pytest.mark.parametrize("loss", ["answer", "text"])
def test_gradient_dot_is_the_product_of_two_gradients(experiment, points, loss):
    """Against the finite change of the query's loss under a small step on the point."""
    query = f"{points[0]}#1"
    (row,) = attribution.attribute(experiment, "gradient dot", points[:1], [query], loss).to_dict("records")
    model = copy.deepcopy(experiment.finetuned).double()
    selections = resolve(model, "all")
    text = experiment.sets["forget"].texts[experiment.sets["forget"].names.index(points[0])]
    asked = experiment.sets["paraphrase"].questions[experiment.sets["paraphrase"].names.index(query)]
    slope = algebra.select(per_example.sum_gradient(model, [text]), selections)
    step = 1e-4 / algebra.norm(slope)

    def loss_of(model):
        span = [asked.span] if loss == "answer" else None
        return float(batches.text_losses(model, *batches.pad([asked.text]), span)[0].detach())

    changed = {}
    for sign in (1, -1):
        with path.applied(model, {name: sign * step * value for name, value in slope.items()}) as moved:
            changed[sign] = loss_of(moved)
    assert row["value"] == pytest.approx((changed[1] - changed[-1]) / (2 * step), rel=0.01)
    assert row["seconds"] > 0 and row["loss"] == loss and np.isnan(row["residual"])


def test_every_score_fills_its_matrix_and_tells_its_cost(experiment, points):
    queries = [f"{point}#0" for point in points[:2]]
    for score in attribution.SCORES:
        rows = attribution.attribute(experiment, score, points, queries)
        assert list(rows["point"].unique()) == points and list(rows["query"].unique()) == queries, score
        assert np.isfinite(rows["value"]).all(), score
        assert rows["residual"].notna().all() == (score in attribution.SOLVED)


def test_agreement_uses_the_ground_truth_that_the_profile_has(experiment):
    agreed = attribution.agreement(experiment, "same point")
    assert list(agreed["truth"].str.split(",").str[0]) == ["random halves", "random halves", "one point left out"]
    assert list(agreed["models"]) == [experiment.profile.halves, experiment.profile.halves, experiment.profile.left_out]
    assert agreed["estimate"].between(-1, 1).all()
    assert attribution.agreement(Experiment("smoke", 1), "same point").empty
    points = [record.id for record in experiment.split.forget]
    kept, losses = attribution.halves(experiment, points, [f"{points[0]}#0"], "answer")
    assert kept.shape == (experiment.profile.halves, len(points)) and losses.shape == (experiment.profile.halves, 1)
    assert (kept.sum(0) == experiment.profile.halves / 2).all()


def test_rises_are_what_the_models_without_the_points_lost(experiment):
    models = setting.left_out(experiment.profile, 0)
    left_out = [model.without[0] for model in models]
    queries = [f"{left_out[0]}#0"]
    found = attribution.rises(experiment, left_out, queries, "text")
    text = [
        dict(zip(*(getattr(experiment.sets["paraphrase"], n) for n in ("names", "texts")), strict=True))[queries[0]]
    ]
    for row, model in enumerate(models):
        without = text_nll(experiment.load(model), text)[0]
        assert found[row, 0] == pytest.approx(without - text_nll(experiment.finetuned, text)[0], abs=1e-5)


def test_tracked_scores_are_those_of_the_model_reached(experiment):
    before = attribution.tracked(experiment, "finetuned", curvature=True)
    assert set(before["metric"]) == set(attribution.TRACKED) and set(before["set"]) == {"forget"}
    path = Variant("first epoch", layers="embedding")
    nowhere = attribution.tracked(experiment, path, 1e-9)
    keys = ["metric", "example"]
    both = before.merge(nowhere, on=keys, suffixes=("", "_after"))
    np.testing.assert_allclose(both["value"], both["value_after"], rtol=1e-3, atol=1e-6)
    moved = attribution.tracked(experiment, path, 2.0)
    assert not np.allclose(
        moved.query("metric == 'self_influence'")["value"], both.query("metric == 'self_influence'")["value"]
    )
    own = scores.self_influence(
        experiment.finetuned, experiment.sets["forget"].texts, resolve(experiment.finetuned, "all")
    )
    shown = pd.Series(before.query("metric == 'self_influence'")["value"].to_numpy())
    np.testing.assert_allclose(shown, own, rtol=1e-6)


def test_along_unlearning_scores_answers_and_words_are_of_one_model(experiment):
    walk = Variant("first epoch", layers="embedding")
    step = 0.5 * experiment.calibrated(walk).step_size
    found = attribution.along(experiment, walk, 0.5, ["forget", "general"])
    assert set(found["step"]) == {0.5} and set(found["step_size"]) == {step} and set(found["method"]) == {walk.name}
    assert not found["metric"].eq("curvature").any()
    for metric, expected in (
        ("self_influence", attribution.tracked(experiment, walk, step)),
        ("text_nll", experiment.at_step(walk, step, ["forget", "general"])),
        ("rougeL_f1", rouge_rows(experiment.generations(walk, ["forget", "retain"], step))),
    ):
        mine, other = (
            table[table["metric"] == metric].set_index(["set", "example"])["value"] for table in (found, expected)
        )
        assert len(mine) and mine.to_dict() == pytest.approx(other.to_dict()), metric


def test_what_attribution_refuses(experiment, points):
    with pytest.raises(UserError, match="no influence score 'gradient dott': did you mean 'gradient dot'"):
        attribution.attribute(experiment, "gradient dott", points, [f"{points[0]}#0"])
    with pytest.raises(UserError, match="no loss 'answers' of a query: did you mean 'answer'"):
        attribution.attribute(experiment, "gradient dot", points, [f"{points[0]}#0"], "answers")
    with pytest.raises(UserError, match="no paraphrase text"):
        attribution.attribute(experiment, "gradient dot", points, [f"{points[0]}#7"])
    with pytest.raises(UserError, match="no paraphrase texts"):
        attribution.attribute(experiment, "gradient dot", points, [])
