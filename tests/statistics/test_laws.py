"""Power laws against statsmodels and known lines, and where two curves cross."""

import numpy as np
import pytest
import statsmodels.api as sm

from unlearnlib.core.errors import UserError
from unlearnlib.statistics.laws import crossing, power_law


def noisy(n=7):
    draw = np.random.default_rng(3)
    x = np.geomspace(1e6, 1e8, n)
    return x, 2e-7 * x**0.9 * np.exp(draw.normal(0, 0.2, n))


def test_a_law_is_the_regression_of_logarithms_that_statsmodels_gives():
    x, y = noisy()
    fit = sm.OLS(np.log(y), sm.add_constant(np.log(x))).fit()
    law = power_law(x, y)
    assert law.exponent == pytest.approx(fit.params[1]) and law.factor == pytest.approx(np.exp(fit.params[0]))
    assert (law.low, law.high) == pytest.approx(tuple(fit.conf_int()[1]))
    assert law.n == 7 and (law.first, law.last) == pytest.approx((1e6, 1e8))
    where = np.array([2e6, 1.5e9, 7e9])
    expected = fit.get_prediction(sm.add_constant(np.log(where))).summary_frame(alpha=0.05)
    said = law.at(where)
    names = {
        "value": "mean", "low": "mean_ci_lower", "high": "mean_ci_upper",
        "least": "obs_ci_lower", "most": "obs_ci_upper",
    }  # fmt: skip
    for ours, theirs in names.items():
        assert np.allclose(np.log(said[ours]), expected[theirs]), ours


def test_a_smaller_confidence_is_a_shorter_interval_with_the_same_middle():
    x, y = noisy()
    wide, narrow = power_law(x, y), power_law(x, y, confidence=0.5)
    assert wide.low < narrow.low < narrow.exponent == wide.exponent < narrow.high < wide.high
    assert (narrow.at(1e9)["most"] < wide.at(1e9)["most"]).all()


def test_the_prediction_interval_covers_a_further_point_as_often_as_it_says():
    draw, x, inside = np.random.default_rng(0), np.geomspace(1, 100, 6), 0
    for _ in range(2000):
        law = power_law(x, x**0.7 * np.exp(draw.normal(0, 0.3, 6)))
        said = law.at(5000).iloc[0]
        inside += said["least"] <= 5000**0.7 * np.exp(draw.normal(0, 0.3)) <= said["most"]
    assert 0.935 < inside / 2000 < 0.965


def test_points_on_a_line_are_met_and_two_points_have_no_interval():
    x = np.array([1.0, 10, 100])
    law = power_law(x, 3 * x**2)
    assert law.exponent == pytest.approx(2) and law.high - law.low < 1e-6
    assert law.at([1000])["value"].iloc[0] == pytest.approx(3e6)
    two = power_law([1, 10], [2, 20])
    assert two.exponent == pytest.approx(1) and np.isnan([two.low, two.high, two.sd]).all()
    assert two.at(100)["value"].iloc[0] == pytest.approx(200) and two.at(100)[["least", "most"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2, 3], [1, 2], "as many"),
        ([1, 2], [0, 1], "above zero"),
        ([1, -2], [1, 1], "above zero"),
        ([1, 2], [1, float("nan")], "above zero"),
        ([5, 5], [1, 2], "two different"),
        ([], [], "two different"),
    ],
)
def test_what_has_no_law_is_one_line(x, y, message):
    with pytest.raises(UserError, match=message) as error:
        power_law(x, y)
    assert "\n" not in str(error.value)


def test_a_crossing_lies_on_the_straight_lines_between_the_points():
    x = np.array([1.0, 10, 100, 1000])
    assert crossing(x, x, np.full(4, 31.6227766)) == pytest.approx(31.6227766)
    order = [2, 0, 3, 1]
    assert crossing(x[order], x[order] ** 2, 50 * x[order]) == pytest.approx(50)
    assert crossing(x, x, x) == 1.0  # as large at the very first


def test_there_is_no_crossing_outside_what_was_measured():
    x = np.array([1.0, 10, 100])
    assert np.isnan(crossing(x, x, 1000 * x))  # never
    assert np.isnan(crossing(x, 2 * x, x))  # above from the first on
    with pytest.raises(UserError, match="above zero"):
        crossing(x, x, 0 * x)
