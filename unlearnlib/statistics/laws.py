"""Power laws: a straight line through logarithms, its interval, and where two curves cross."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from unlearnlib.core.errors import UserError
from unlearnlib.statistics.groups import NAN


@dataclass(frozen=True)
class Law:
    """y = factor * x ** exponent, fitted by least squares to logarithms.

    low, high: the t-interval of the exponent, at `confidence`; n: points; sd: of a point's ln y around the line, with
    n - 2 in the denominator; first, last: the smallest and the largest x of the points. With two points the line goes
    through both: intervals and sd are NaN. centre and spread are the mean of ln x and the sum of squares around it.
    """

    exponent: float
    low: float
    high: float
    factor: float
    n: int
    sd: float
    first: float
    last: float
    centre: float
    spread: float
    confidence: float

    def at(self, x) -> pd.DataFrame:
        """Return the law at every x: columns x, value, low and high (interval of the line, such as of the mean of ln y
        of many points there) and least and most (prediction interval of one more point). Beyond first and last it is
        extrapolated: the intervals then count on the law to hold there, which no interval says."""
        x = np.atleast_1d(np.asarray(x, dtype=float))
        place = np.log(x)
        centre = np.log(self.factor) + self.exponent * place
        quantile = stats.t.ppf((1 + self.confidence) / 2, self.n - 2) if self.n > 2 else NAN
        of_line = self.sd * np.sqrt(1 / self.n + (place - self.centre) ** 2 / self.spread)
        of_point = np.hypot(self.sd, of_line)
        ends = {"low": -of_line, "high": of_line, "least": -of_point, "most": of_point}
        with np.errstate(over="ignore"):
            columns = {name: np.exp(centre + quantile * half) for name, half in ends.items()}
            return pd.DataFrame({"x": x, "value": np.exp(centre), **columns})


def power_law(x, y, confidence: float = 0.95) -> Law:
    """Return the law y = factor * x ** exponent by ordinary least squares on ln x and ln y, each [n].

    Raises UserError for a number that is missing or not above zero, for two lists of different length, and for fewer
    than two different x.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise UserError(f"a law needs as many x as y, and there are {x.size} and {y.size}")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x > 0).all() and (y > 0).all()):
        raise UserError("a power law is fitted to logarithms: every x and y must be a number above zero")
    if len(np.unique(x)) < 2:
        raise UserError(f"a law needs two different x at least, and there is {len(np.unique(x))}: measure another one")
    place, value = np.log(x), np.log(y)
    n, centre = len(x), float(place.mean())
    spread = float(((place - centre) ** 2).sum())
    exponent = float(((place - centre) * (value - value.mean())).sum() / spread)
    constant = float(value.mean() - exponent * centre)
    sd = float(np.sqrt(((value - constant - exponent * place) ** 2).sum() / (n - 2))) if n > 2 else NAN
    half = float(stats.t.ppf((1 + confidence) / 2, n - 2)) * sd / np.sqrt(spread) if n > 2 else NAN
    return Law(
        exponent, exponent - half, exponent + half, float(np.exp(constant)), n, sd,
        float(x.min()), float(x.max()), centre, spread, confidence,
    )  # fmt: skip


def crossing(x: Sequence[float], one: Sequence[float], other: Sequence[float]) -> float:
    """Return the first x at which `one`, from below, comes to be as large as `other`: between measured points along
    straight lines in logarithms. NaN where it never does within the measured x, or is not below at the first of them.

    x, one and other: numbers above zero, [n] each, in any order of x. Raises UserError for others.
    """
    points = np.array([x, one, other], dtype=float)
    if not (np.isfinite(points).all() and (points > 0).all()):
        raise UserError("curves are compared by logarithms: every number must be above zero")
    x, one, other = points[:, np.argsort(points[0])]
    gap = np.log(one) - np.log(other)
    above = np.flatnonzero(gap >= 0)
    if not len(above) or (gap[0] > 0):
        return NAN
    if above[0] == 0:
        return float(x[0])
    before, after = above[0] - 1, above[0]
    share = gap[before] / (gap[before] - gap[after])
    return float(np.exp(np.log(x[before]) + share * (np.log(x[after]) - np.log(x[before]))))
