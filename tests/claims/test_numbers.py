"""The numbers behind the verdicts, from hand-made tables: which method is subtracted from which, and at which step."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unlearnlib.claims import claims, numbers
from unlearnlib.core.errors import UserError
from unlearnlib.experiment.variants import Variant
from unlearnlib.methods.equal_forgetting import Calibration

BLOCKS = "last_blocks"


def tidy(rows, columns) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns))


# C3


OWN_STEPS = {"all": 2.0, "embedding": 5.0, BLOCKS: 20.0}  # each layer's to equal forgetting
SLOPES = {"all": 0.3, "embedding": 0.1, BLOCKS: 0.01}  # what the answer probability loses for each unit of the step
KNOWN = {"a": 0.9, "b": 0.7}


class Walker:
    """In the place of an experiment: two points that are forgotten along a slope."""

    def calibrated(self, variant):
        return Calibration(OWN_STEPS[variant.layers], 0.2, True, ())

    def at_step(self, variant, step, sets):
        rows = [
            (3, variant.name, variant.layers, step, name, example, metric, value + add)
            for name, add in (("forget", 0.0), ("retain", 0.05))
            for example, start in KNOWN.items()
            for metric, value in (("answer_probability", start - step * SLOPES[variant.layers]), ("text_nll", 7.0))
        ]
        table = tidy(rows, ("seed", "method", "layers", "step_size", "set", "example", "metric", "value"))
        return table[table["set"].isin(sets)]


@pytest.fixture
def variants():
    return {layers: Variant("first epoch", layers=layers) for layers in OWN_STEPS}


def before(seed=3, **values) -> pd.DataFrame:
    """The forget set of a fine-tuned model, and what must not count: other metrics and other sets."""
    rows = [
        (seed, name, example, metric, value + add)
        for name, add in (("forget", 0.0), ("retain", 0.1))
        for example, start in (values or KNOWN).items()
        for metric, value in (("answer_probability", start), ("text_nll", 1.0))
    ]
    return tidy(rows, ("seed", "set", "example", "metric", "value"))


def test_all_layers_walk_as_far_as_the_whole_model(variants):
    after = numbers.at_whole_step(Walker(), variants, [BLOCKS, "embedding", "all"])
    assert after["layers"].unique().tolist() == [BLOCKS, "embedding", "all"] and set(after["set"]) == {"forget"}
    assert after["step_size"].unique().tolist() == [2.0], "the whole model's step, not the layer's own"
    found = numbers.falls(before(), after)
    assert found.loc[3].to_dict() == pytest.approx({BLOCKS: 0.02, "embedding": 0.2, "all": 0.6})
    with pytest.raises(UserError, match="no variant for the layers 'embeding': did you mean 'embedding'"):
        numbers.at_whole_step(Walker(), variants, ["embeding"])
    with pytest.raises(UserError, match="no variant for the layers 'all'"):
        numbers.at_whole_step(Walker(), {"embedding": variants["embedding"]}, ["embedding"])


def test_a_fall_is_the_mean_before_minus_the_mean_after(variants):
    after = numbers.at_whole_step(Walker(), variants, ["all", BLOCKS])
    other = after.assign(seed=1, value=after["value"] / 2)
    table = numbers.falls(pd.concat([before(1, a=0.5, b=0.6), before(3)]), pd.concat([after, other]))
    assert table.index.tolist() == [3, 1] and table.index.name == "seed" and list(table.columns) == ["all", BLOCKS]
    assert table.loc[1].to_dict() == pytest.approx({"all": 0.55 - 0.1, BLOCKS: 0.55 - 0.39})
    assert table.loc[3].to_dict() == pytest.approx({"all": 0.8 - 0.2, BLOCKS: 0.8 - 0.78})
    # What claims reads of it: C3's share of the effect.
    share = claims.evidence.share_of_fall(table.reset_index(), BLOCKS, 0.1)
    assert share.effect == pytest.approx(np.mean([0.02, 0.16]) / np.mean([0.6, 0.45]))


def test_falls_need_one_model_before_and_one_step(variants):
    after = numbers.at_whole_step(Walker(), variants, ["all"])
    with pytest.raises(UserError, match="several rows for one example"):
        numbers.falls(pd.concat([before(), before()]), after)
    with pytest.raises(UserError, match="several rows for one example"):
        numbers.falls(before(), pd.concat([after, after.assign(step_size=4.0)]))
    with pytest.raises(UserError, match="no rows of seed 3 before the step"):
        numbers.falls(before(seed=4), after)


# C5 and C12

# Per state (method, step) of one seed: of the points a, b, c what is known, and two scores.
STATES = {
    ("way", 0.5): ([0.6, 0.5, 0.55], [9.0, 4.0, 8.0], [1.0, 2.0, 3.0]),
    ("way", 1.0): ([0.1, 0.2, 0.15], [6.0, 5.0, 7.0], [4.0, 4.0, 4.0]),
    ("other", 0.5): ([0.7, 0.4, 0.3], [2.0, 11.0, 12.0], [0.5, 0.4, 0.3]),
    ("other", 1.0): ([0.05, 0.06, 0.07], [20.0, 30.0, 10.0], [0.1, 0.1, 0.2]),
}
START = ([0.95, 0.9, 0.8], [1.0, 1.5, 3.5], [2.5, 2.5, 2.0])
METRICS = ("answer_probability", "self_influence", "activation_gradient")


def state(method, step, values, seed=0) -> list[tuple]:
    """The rows of one state: three points of the forget set, and neighbours and a metric that must not count."""
    rows = []
    for metric, row in zip(METRICS, values, strict=True):
        rows += [(seed, method, step, "forget", name, metric, value) for name, value in zip("abc", row, strict=True)]
        rows += [
            (seed, method, step, "retain", name, metric, 100 - value) for name, value in zip("de", row[:2], strict=True)
        ]
    return [*rows, (seed, method, step, "forget", "a", "text_nll", 3.0)]


def ways(seed=0, start=START, states=STATES) -> tuple[pd.DataFrame, pd.DataFrame]:
    columns = ("seed", "method", "step", "set", "example", "metric", "value")
    walked = [row for (method, step), values in states.items() for row in state(method, step, values, seed)]
    return tidy(walked, columns), tidy(state("finetuned", None, start, seed), columns)


def rank_correlation(one, other) -> float:
    """Pearson's correlation of the ranks, a tie being the mean of its places."""

    def ranks(values):
        values = np.asarray(values, float)
        return [(values < value).sum() + ((values == value).sum() + 1) / 2 for value in values]

    return float(np.corrcoef(ranks(one), ranks(other))[0, 1])


def test_a_score_is_ranked_against_what_is_known_over_all_states_and_the_start_of_each_way():
    found = numbers.correlations(*ways(), METRICS[1:])
    assert list(found.columns) == ["seed", "score", "with", "method", "spearman"]
    pooled = found[found["with"] == "answer probability"].set_index(["score", "method"])["spearman"]
    # The fine-tuned model is where both ways begin, and counts for each of them.
    for method in ("way", "other"):
        order = [STATES[method, 0.5], STATES[method, 1.0], START]
        for place, score in enumerate(METRICS[1:], 1):
            known = np.concatenate([values[0] for values in order])
            scores = np.concatenate([values[place] for values in order])
            assert pooled[score, method] == pytest.approx(rank_correlation(known, scores))
    assert len(pooled) == 4 and pooled["self_influence", "other"] < -0.5 < 0 < pooled["activation_gradient", "other"]


def test_the_step_is_ranked_against_the_mean_over_points_from_no_step_on():
    found = numbers.correlations(*ways(), METRICS[1:])
    steps = found[found["with"] == "step"].set_index(["score", "method"])["spearman"]
    # Means at the steps 0, 1/2 and 1 by hand: 2, 7, 6 rises and turns; 2, 25/3, 20 rises.
    assert steps["self_influence", "way"] == pytest.approx(0.5)
    assert steps["self_influence", "other"] == pytest.approx(1.0)
    # 7/3, 2, 4 falls and turns; 7/3, 0.4, 0.13 falls.
    assert steps["activation_gradient", "way"] == pytest.approx(0.5)
    assert steps["activation_gradient", "other"] == pytest.approx(-1.0)


def test_correlations_are_within_seeds_and_in_a_fixed_order():
    turned = {key: (known[::-1], one, other) for key, (known, one, other) in STATES.items()}
    first, second = ways(seed=4), ways(seed=2, states=turned)
    found = numbers.correlations(*(pd.concat(pair) for pair in zip(first, second, strict=True)), METRICS[1:])
    rows = [(score, *rest) for score in METRICS[1:]
            for method in ("other", "way") for rest in (("answer probability", method), ("step", method))]  # fmt: skip
    assert list(found[["score", "with", "method"]].itertuples(index=False, name=None)) == rows * 2
    assert found["seed"].tolist() == [2] * len(rows) + [4] * len(rows)
    for seed, pair in ((4, first), (2, second)):
        alone = numbers.correlations(*pair, METRICS[1:])
        np.testing.assert_array_equal(found[found["seed"] == seed]["spearman"], alone["spearman"])
    assert not np.array_equal(found["spearman"][: len(rows)], found["spearman"][len(rows) :])


def test_a_point_without_a_score_is_left_out_of_the_ranking():
    states, start = ways()
    lacking = states[~((states["metric"] == "self_influence") & (states["example"] == "b"))]
    begun = start[~((start["metric"] == "self_influence") & (start["example"] == "b"))]
    found = numbers.correlations(lacking, begun, ["self_influence"])
    order = [STATES["way", 0.5], STATES["way", 1.0], START]
    known, scores = (np.concatenate([[values[place][0], values[place][2]] for values in order]) for place in (0, 1))
    mine = found[(found["method"] == "way") & (found["with"] == "answer probability")]["spearman"]
    assert mine.item() == pytest.approx(rank_correlation(known, scores))


def test_the_test_of_before_and_after_at_every_effort():
    walked, start = ways()
    retrained = tidy(state("retrained", None, ([0.2, 0.1, 0.3], [2.0, 1.0, 4.0], [2.0, 2.0, 1.0])), walked.columns)
    found = numbers.by_effort(walked, pd.concat([start, retrained]), METRICS[:2]).set_index(
        ["metric", "method", "step"]
    )
    assert len(found) == 2 * (len(STATES) + 1) and set(found["unit"]) == {"points"}
    for (method, step), values in STATES.items():
        for place, metric in enumerate(METRICS[:2]):
            moved = np.subtract(values[place], START[place])
            row = found.loc[(metric, method, step)]
            assert (row["difference"], row["d"]) == pytest.approx((moved.mean(), moved.mean() / moved.std(ddof=1)))
            others = [found.loc[(metric, other, step), "p"] for other, at in STATES if at == step]
            assert row["p_holm"] >= min(2 * min(others), 1) - 1e-12 and row["p_holm"] >= row["p"]
    reference = found.xs("retrained", level="method")
    assert reference.index.get_level_values("step").isna().all() and len(reference) == 2
    moved = np.subtract([0.2, 0.1, 0.3], START[0])
    assert reference.loc["answer_probability", "d"].item() == pytest.approx(moved.mean() / moved.std(ddof=1))
    assert (reference["p_holm"] == reference["p"]).all(), "a family of its own"


def test_the_form_of_a_curve():
    steps = (0.1, 0.2, 0.4, 0.8, 1.6)
    curves = {
        "a power law": [3 * step**1.5 for step in steps],
        "turning": [1.0, 2.0, 3.0, 2.0, 1.0],
        "below zero": [-1.0, -2.0, -3.0, -4.0, -5.0],
    }
    rows = [
        (seed, method, step, "forget", name, "self_influence", value * factor * (2.0 if seed else 1.0))
        for seed in (0, 1)
        for method, values in curves.items()
        for step, value in zip(steps, values, strict=True)
        for name, factor in (("a", 0.5), ("b", 1.5))
    ]
    columns = ("seed", "method", "step", "set", "example", "metric", "value")
    found = numbers.forms(tidy(rows, columns), ["self_influence"]).set_index(["seed", "method"])
    for seed in (0, 1):
        law, turning, below = (found.loc[(seed, name)] for name in curves)
        assert (law["rises"], law["exponent"], law["fit"]) == pytest.approx((1.0, 1.5, 1.0))
        assert turning["rises"] == 0.5 and turning["fit"] < 0.1
        assert below["rises"] == 0.0 and np.isnan(below["exponent"]) and np.isnan(below["fit"])
    assert set(found["score"]) == {"self_influence"}


# C6

LIMITS = {"answered": 0.5, "likelier": 0.05, "leak": 0.05, "forget": 0.02}
# For three seeds: what the fine-tuned model leaks, and each stop's shares answered, likelier and leak.
LEAKS = [0.1, 0.2, 0.3]
STOPS = {
    0.25: ([0.90, 0.92, 0.94], [0.06, 0.07, 0.08], [0.11, 0.21, 0.32]),
    0.5: ([0.4, 0.6, 0.8], [0.0, 0.1, 0.2], [0.2, 0.31, 0.42]),
    1.0: ([0.99, 0.99, 0.98], [0.5, 0.6, 0.7], [0.8, 0.8, 0.9]),
}


@pytest.fixture
def stops():
    rows = [(seed, "finetuned", math.nan, 0.99, 0.9, leak) for seed, leak in enumerate(LEAKS)]
    rows += [(seed, "base", math.nan, 0.1, 0.9, 0.9) for seed in range(3)]
    for seed in range(3):
        rows += [(seed, "way", step, *(values[seed] for values in of)) for step, of in STOPS.items()]
    return tidy(rows, ("seed", "method", "step", "answered", "likelier", "leak"))


def test_early_stops_by_hand(stops):
    found = numbers.stopped_early(stops, LIMITS)
    assert list(found.columns) == ["method", "half", "step", "n", "mean", "sd", "low", "high", "d", "shown"]
    places = [
        ("answered", 0.25),
        ("answered", 0.5),
        ("likelier", 0.25),
        ("likelier", 0.5),
        ("leak", 0.25),
        ("leak", 0.5),
    ]
    assert list(found[["half", "step"]].itertuples(index=False, name=None)) == places, "short of the calibrated step"
    assert set(found["method"]) == {"way"} and set(found["n"]) == {3}
    for row in found.itertuples():
        values = np.array(STOPS[row.step][numbers.HALVES.index(row.half)])
        values = values - np.array(LEAKS) if row.half == "leak" else values
        spread = values.std(ddof=1)
        half = stats.t.ppf(0.975, 2) * spread / math.sqrt(3)
        assert (row.mean, row.sd, row.d) == pytest.approx((values.mean(), spread, values.mean() / spread))
        assert (row.low, row.high) == pytest.approx((values.mean() - half, values.mean() + half))


def test_what_an_early_stop_shows(stops):
    shown = numbers.stopped_early(stops, LIMITS).set_index(["half", "step"])["shown"]
    # Still known: the lower end counts, 0.870 and 0.103; more strongly: the mean, where the lower end is above zero.
    assert shown["answered", 0.25] and not shown["answered", 0.5], "a mean of 0.6 whose interval goes down to 0.1"
    assert shown["likelier", 0.25], "mean 0.07, lower end 0.045: above zero is enough"
    assert not shown["likelier", 0.5], "mean 0.1, but the interval holds zero"
    assert not shown["leak", 0.25], "0.21 leaked, and 0.2 before"
    assert shown["leak", 0.5]
    with pytest.raises(UserError, match="no fine-tuned model of seed 1"):
        numbers.stopped_early(stops[(stops["method"] != "finetuned") | (stops["seed"] != 1)], LIMITS)


# C7


@pytest.mark.parametrize(("values", "rise"), [([1, 2, 1.5], 0.5), ([1, 1.2, 2], 0), ([3, 1, 2], 0), ([1, 4, 1], 3)])
def test_a_barrier_is_what_rises_above_both_ends(values, rise):
    line = pd.DataFrame({"share": [0, 0.5, 1], "value": values})
    assert numbers.barrier(line.sample(frac=1, random_state=1)) == rise


LINES = {  # by seed, start and end: the losses along the line, on the forget and the retain texts
    (0, "finetuned", "fuzzy"): ([1, 9, 2], [1.0, 2.5, 2.0]),
    (0, "fuzzy", "retrained"): ([1, 9, 2], [2.0, 2.25, 1.0]),
    (0, "finetuned", "retrained"): ([1, 1, 1], [1.0, 1.0, 1.0]),
    (1, "finetuned", "fuzzy"): ([1, 1, 2], [1.0, 1.5, 3.0]),
    (1, "fuzzy", "retrained"): ([1, 1, 2], [3.0, 4.0, 1.0]),
    (1, "finetuned", "retrained"): ([1, 1, 1], [1.0, 9.0, 1.0]),
}


@pytest.fixture
def lines():
    rows = [
        (seed, start, end, share, name, value)
        for (seed, start, end), losses in LINES.items()
        for name, values in zip(("forget", "retain"), losses, strict=True)
        for share, value in zip((0.0, 0.5, 1.0), values, strict=True)
    ]
    return tidy(rows, ("seed", "start", "end", "share", "set", "value"))


def test_rises_are_the_barriers_of_each_line(lines):
    found = numbers.rises(lines)
    assert list(found.columns) == ["seed", "set", "start", "end", "value"]
    keys = [(seed, name, start, end) for seed, start, end in LINES for name in ("forget", "retain")]
    assert list(found[["seed", "set", "start", "end"]].itertuples(index=False, name=None)) == keys
    assert found[found["set"] == "retain"]["value"].tolist() == [0.5, 0.25, 0.0, 0.0, 1.0, 8.0]
    assert found[found["set"] == "forget"]["value"].tolist() == [7.0, 7.0, 0.0, 0.0, 0.0, 0.0]


# By method, for the two seeds: the answer probabilities of two points, the paraphrases' mean, the gradient norm.
TARGETS = {0: 0.3, 1: 0.5}
ENDS = {
    "fuzzy": ([[0.31, 0.4], [0.5, 0.51]], [0.4, 0.5], [8.0, 4.0]),
    "iterative": ([[0.3, 0.31], [0.5, 0.4]], [0.3, 0.35], [2.0, 64.0]),
    "fuzzy on picks": ([[0.9, 0.1], [0.6, 0.1]], [0.8, 0.9], [1.0, 1.0]),
    "iterative to the last": ([[0.1, 0.9], [0.1, 0.1]], [0.1, 0.1], [1.0, 1.0]),
    "retrained": ([[0.0, 1.0], [0.0, 1.0]], [0.25, 0.2], [4.0, 1.0]),
    "finetuned": ([[1.0, 1.0], [1.0, 1.0]], [0.9, 0.9], [16.0, 16.0]),
}


@pytest.fixture
def ends():
    """The tables left, means and stationary, with sets and metrics that must not count."""
    rows, means, norms = [], [], []
    for method, (points, paraphrases, norm) in ENDS.items():
        for seed in (0, 1):
            norms.append((seed, method, norm[seed]))
            means += [(seed, method, "paraphrase", "answer_probability", paraphrases[seed])]
            means += [
                (seed, method, "paraphrase", "cloze_hit", 0.1),
                (seed, method, "retain", "answer_probability", 0.2),
            ]
            for example, value in zip("ab", points[seed], strict=True):
                rows += [(seed, method, "forget", example, "answer_probability", value)]
                rows += [(seed, method, "forget", example, "text_nll", 5.0)]
                rows += [(seed, method, "retain", example, "answer_probability", 0.9)]
    left = numbers.left_above(tidy(rows, ("seed", "method", "set", "example", "metric", "value")), TARGETS)
    means = tidy(means, ("seed", "method", "set", "metric", "value"))
    return left, means, tidy(norms, ("seed", "method", "gradient_norm"))


def test_a_point_is_left_where_it_is_above_the_target_of_its_own_seed(ends):
    left = ends[0]
    assert set(left["set"]) == {"forget"} and set(left["metric"]) == {"answer_probability"} and len(left) == 24
    found = left.pivot_table(index="method", columns="seed", values="above", sort=False)
    assert found.loc["fuzzy"].tolist() == [1.0, 0.5], "0.5 is at the target of 0.5, and not above it"
    assert found.loc["iterative"].tolist() == [0.5, 0.0]
    with pytest.raises(UserError, match="no target for seed 1"):
        numbers.left_above(left, {0: 0.3})


def test_the_statistics_of_c7_by_hand(lines, ends):
    left, means, stationary = ends
    found = numbers.fuzzy_against_iterative(stationary, numbers.rises(lines), left, means)
    assert list(found.columns) == ["seed", "value", "what"]
    by_hand = {
        "log gradient norm, fuzzy / retrained": [math.log(8 / 4), math.log(4 / 1)],
        "rise on the lines, nats": [0.25, 0.0],  # the lower of two, on the retained texts
        "share left, fuzzy - iterative": [1.0 - 0.5, 0.5 - 0.0],
        "beside: paraphrases, fuzzy - iterative": [0.4 - 0.3, 0.5 - 0.35],
        "beside: share left, each at its own end": [0.5 - 0.5, 0.5 - 0.0],
    }
    assert list(dict.fromkeys(found["what"])) == list(by_hand)
    for what, values in by_hand.items():
        rows = found[found["what"] == what]
        assert rows["seed"].tolist() == [0, 1] and rows["value"].tolist() == pytest.approx(values), what
    asked = {
        one.estimate.keywords["what"] for claim in claims.CLAIMS for one in claim.criteria if one.table[:2] == "07"
    }
    assert asked <= set(by_hand), "what claims asks for by name is there"


def test_c7_needs_its_methods(lines, ends):
    left, means, stationary = ends
    with pytest.raises(UserError, match="the table has no method 'iterative': did you mean 'iterative to the last'"):
        numbers.fuzzy_against_iterative(stationary, numbers.rises(lines), left[left["method"] != "iterative"], means)
    with pytest.raises(UserError, match="the table has no method 'retrained'"):
        numbers.fuzzy_against_iterative(stationary[stationary["method"] != "retrained"], lines, left, means)


def test_no_impact_is_tested_within_a_share_of_the_whole_effect():
    fallen = pd.DataFrame({"all": [0.5, 0.6, 0.7], "h.0": [0.01, 0.02, 0.03], "h.1": [0.2, 0.3, 0.25]})
    small, large = (numbers.no_impact(fallen, layers, 0.1) for layers in ("h.0", "h.1"))
    assert (small.lower, small.upper) == pytest.approx((-0.06, 0.06)) and small.mean == pytest.approx(0.02)
    assert small.equivalent and not large.equivalent
    nothing = numbers.no_impact(fallen.assign(all=-0.1), "h.0", 0.1)
    assert not nothing.equivalent and math.isnan(nothing.p) and "nothing is forgotten" in nothing.note
    with pytest.raises(UserError, match=r"no falls of the layers 'h\.9'"):
        numbers.no_impact(fallen, "h.9", 0.1)
