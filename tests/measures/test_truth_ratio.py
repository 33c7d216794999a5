"""The TOFU metrics against plain loops, a hand-made Kolmogorov-Smirnov distance and harmonic mean."""

import math

import numpy as np
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.measures.truth_ratio import (
    forget_quality,
    model_utility,
    pointwise_agreement,
    truth_ratio,
    truth_ratio_aggregate,
)

GENERATOR = np.random.default_rng(0)


def test_truth_ratio_variants_against_loops():
    wrong, right = GENERATOR.gamma(4, 0.5, size=(9, 5)), GENERATOR.gamma(3, 0.5, size=9)
    arithmetic = [np.mean([math.exp(-v) for v in row]) / math.exp(-one) for row, one in zip(wrong, right, strict=True)]
    geometric = [math.exp(-sum(row) / 5) / math.exp(-one) for row, one in zip(wrong, right, strict=True)]
    np.testing.assert_allclose(truth_ratio(wrong, right, "arithmetic"), arithmetic)
    np.testing.assert_allclose(truth_ratio(wrong, right, "geometric"), geometric)
    assert not np.allclose(arithmetic, geometric)


def test_truth_ratio_by_hand_and_in_the_far_tail():
    # Wrong answers of probability 1/2 and 1/8, paraphrase 1/4: arithmetic (5/16)/(1/4), geometric (1/4)/(1/4).
    nll = -np.log([[0.5, 0.125]])
    assert truth_ratio(nll, [math.log(4)], "arithmetic") == pytest.approx(1.25)
    assert truth_ratio(nll, [math.log(4)], "geometric") == pytest.approx(1.0)
    assert truth_ratio(nll + 2000, [math.log(4) + 2000], "arithmetic") == pytest.approx(1.25)


def test_truth_ratio_edges():
    assert truth_ratio([[np.inf, np.inf]], [1.0], "arithmetic") == 0
    assert truth_ratio([[1.0, 1.0]], [np.inf], "geometric") == np.inf
    assert np.isnan(truth_ratio([[np.nan, 1.0]], [1.0], "arithmetic")).all()
    assert truth_ratio(np.empty((0, 5)), [], "geometric").shape == (0,)
    with pytest.raises(UserError, match="did you mean 'geometric'"):
        truth_ratio([[1.0]], [1.0], "geometrical")
    with pytest.raises(UserError, match="must match"):
        truth_ratio([[1.0], [2.0]], [1.0], "geometric")
    with pytest.raises(UserError):
        truth_ratio([1.0], [1.0], "geometric")


def test_truth_ratio_aggregate():
    ratios = [0.25, 1.0, 4.0, 2.0]
    assert truth_ratio_aggregate(ratios) == pytest.approx((0.25 + 1 + 0.25 + 0.5) / 4)
    assert truth_ratio_aggregate(ratios, "other") == pytest.approx(0.75 / 4)
    assert truth_ratio_aggregate([0.0, np.inf]) == 0
    assert truth_ratio_aggregate([0.0, np.inf], "other") == 0.5
    assert math.isnan(truth_ratio_aggregate([])) and math.isnan(truth_ratio_aggregate([np.nan, 1.0]))
    with pytest.raises(UserError, match="'other'"):
        truth_ratio_aggregate(ratios, "others")


def test_forget_quality_distance_is_the_largest_gap_of_the_two_distributions():
    first, second = GENERATOR.normal(size=37), GENERATOR.normal(0.4, 1, size=37)
    gap = max(abs((first <= at).mean() - (second <= at).mean()) for at in np.concatenate([first, second]))
    result = forget_quality(first, second)
    np.testing.assert_allclose(result.D, gap)
    assert (result.n, 0 < result.p < 1) == (37, True)


def test_forget_quality_extremes():
    same = forget_quality([1, 2, 3], [1, 2, 3])
    assert (same.D, same.p, same.n) == (0, 1, 3)
    # Separated samples of size n: p = 2 / C(2n, n), so a collapsed p depends on n alone.
    apart = forget_quality(np.arange(8), np.arange(8) + 100)
    assert apart.D == 1 and apart.p == pytest.approx(2 / math.comb(16, 8))
    assert math.isnan(forget_quality([np.nan, 1], [1, 2]).p) and math.isnan(forget_quality([], [1]).D)


def test_model_utility_is_the_harmonic_mean():
    values = {"probability": 0.5, "rouge": 0.25, "truth ratio": 1.0}
    assert model_utility(values) == pytest.approx(3 / (2 + 4 + 1))
    assert model_utility(list(values.values())) == model_utility(values)
    assert model_utility({"a": 0.0, "b": 1.0}) == 0
    assert math.isnan(model_utility({"a": np.nan, "b": 1.0}))
    with pytest.raises(UserError, match=r"'b' is 1\.5"):
        model_utility({"a": 0.5, "b": 1.5})
    with pytest.raises(UserError, match="at least one"):
        model_utility({})


def test_pointwise_agreement():
    retrained = np.array([1.0, 2.0, 3.0, 4.0, 10.0])
    monotone = pointwise_agreement(retrained**2, retrained)
    assert monotone.spearman == pytest.approx(1) and monotone.n == 5
    assert monotone.rmse == pytest.approx(math.sqrt((0 + 2**2 + 6**2 + 12**2 + 90**2) / 5))
    # One swap of neighbouring ranks among five: 1 - 6 * 2 / (5 * 24).
    assert pointwise_agreement([2, 1, 3, 4, 5], [1, 2, 3, 4, 5]).spearman == pytest.approx(0.9)
    assert math.isnan(pointwise_agreement([1, 1, 1], [1, 2, 3]).spearman)
    assert math.isnan(pointwise_agreement([1.0], [1.0]).spearman) and pointwise_agreement([1.0], [3.0]).rmse == 2
    assert math.isnan(pointwise_agreement([np.nan, 1], [1, 2]).rmse) and math.isnan(pointwise_agreement([], []).rmse)
