"""Means over seeds with their intervals."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from unlearnlib.statistics.groups import NAN, columns_of, mean_of


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval."""

    estimate: float
    low: float
    high: float


def bootstrap_interval(
    values,
    statistic: Callable = np.mean,
    generator: np.random.Generator | None = None,
    confidence: float = 0.95,
    resamples: int = 9999,
    method: str = "BCa",
) -> Interval:
    """Return the bootstrap interval of `statistic(values, axis=...)` over `values` [n].

    The bias-corrected accelerated interval, or `method` "percentile" or "basic". The generator is a numpy one, by
    default of seed 0. Without spread both ends are the estimate; below two values, or with a NaN, they are NaN.
    """
    values = np.asarray(values, dtype=float)
    if len(values) == 0:
        return Interval(NAN, NAN, NAN)
    estimate = float(statistic(values, axis=0))
    if len(values) < 2 or not np.isfinite(values).all():
        return Interval(estimate, NAN, NAN)
    if (values == values[0]).all():
        return Interval(estimate, estimate, estimate)
    generator = np.random.default_rng(0) if generator is None else generator
    with warnings.catch_warnings():
        # BCa is undefined where the statistic hardly varies (a median of ties); its NaN is caught below.
        warnings.simplefilter("ignore")
        result = stats.bootstrap(
            (values,), statistic, n_resamples=resamples, confidence_level=confidence, method=method, rng=generator
        )
    low, high = map(float, result.confidence_interval)
    if np.isnan(low) or np.isnan(high):
        tails = [(1 - confidence) / 2, (1 + confidence) / 2]
        low, high = map(float, np.quantile(result.bootstrap_distribution, tails))
    return Interval(estimate, low, high)


def ratio_interval(one, other, confidence: float = 0.95) -> Interval:
    """Return the ratio of the means of `one` and `other` (two values [n] of each of n units), with the BCa bootstrap
    interval over the units, each drawn with both of its values."""
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)

    def ratio(drawn, axis):
        drawn = np.asarray(drawn, dtype=int)  # the units are drawn, by number
        return one[drawn].mean(axis=axis) / other[drawn].mean(axis=axis)

    return bootstrap_interval(np.arange(len(one)), ratio, confidence=confidence)


def over_texts(table: pd.DataFrame, value: str = "value", by: str | Sequence[str] = "method") -> pd.DataFrame:
    """Return mean and bootstrap interval of the rows of each group, which are texts of one seed: columns of `by`, then
    n (texts), mean, low, high. The interval says nothing of other seeds."""
    by, found = columns_of(table, by), []
    for key, values in table.groupby(by, sort=False)[value]:
        interval = bootstrap_interval(values)
        found.append((*key, len(values), interval.estimate, interval.low, interval.high))
    return pd.DataFrame(found, columns=[*by, "n", "mean", "low", "high"])


def over_seeds(
    table: pd.DataFrame, value: str = "value", by: str | Sequence[str] = "method", confidence: float = 0.95
) -> pd.DataFrame:
    """Return mean, sd and t-interval of the seed means: columns of `by`, then n (seeds), mean, sd, low, high.

    Rows are first averaged within each seed and group (a NaN makes that seed's mean NaN, and the seed drops out of n).
    With one seed sd, low and high are NaN.
    """
    by = columns_of(table, by)
    means = table.groupby([*by, "seed"], dropna=False, sort=False)[value].mean(skipna=False)
    rows = []
    for key, values in means.groupby(by, dropna=False, sort=False):
        values = values.dropna().to_numpy()
        n, mean = len(values), mean_of(values)
        sd = float(values.std(ddof=1)) if n > 1 and np.isfinite(values).all() else NAN
        half = stats.t.ppf((1 + confidence) / 2, n - 1) * sd / np.sqrt(n) if n > 1 else NAN
        rows.append((*key, n, mean, sd, mean - half, mean + half))
    return pd.DataFrame(rows, columns=[*by, "n", "mean", "sd", "low", "high"])


def geometric_over_seeds(
    table: pd.DataFrame, value: str = "value", by: str | Sequence[str] = "method", floor: float = 0.0
) -> pd.DataFrame:
    """Return the geometric mean and its interval, the exp of what over_seeds says of the logarithms: columns of `by`,
    then n (seeds), mean, low, high. Values below `floor` count as it."""
    summary = over_seeds(table.assign(**{value: np.log(table[value].clip(lower=floor))}), value, by)
    ends = ["mean", "low", "high"]
    return summary.drop(columns="sd").assign(**{name: np.exp(summary[name]) for name in ends})


def as_texts(summary: pd.DataFrame, digits: int = 2, logarithms: bool = False) -> list[str]:
    """Return each mean of `summary` (see over_seeds) with half its interval, such as "0.91 ± 0.02"; without an interval
    (one seed) the mean alone. Of `logarithms` the exp of both, such as "3.1 ×/÷ 1.2": times or divided by so much."""
    means, halves, sign = summary["mean"].to_numpy(), (summary["high"] - summary["mean"]).to_numpy(), "±"
    known = np.isfinite(halves)
    if logarithms:
        with np.errstate(over="ignore"):
            means, halves, sign = np.exp(means), np.exp(halves), "×/÷"
    return [
        f"{mean:.{digits}f} {sign} {half:.{digits}f}" if interval else f"{mean:.{digits}f}"
        for mean, half, interval in zip(means, halves, known, strict=True)
    ]


def as_text(table: pd.DataFrame, columns: Sequence[str], by: str = "method", digits: int = 2) -> pd.DataFrame:
    """Return the means of some columns over seeds with half their 95% interval, as texts such as "0.91 ± 0.02": one row
    per `by`, in the order of `table`, which has one row per seed and `by`. With one seed the mean alone."""
    long = table.melt(id_vars=["seed", by], value_vars=list(columns), var_name="metric")
    return text_table(long, by, "metric", digits=digits)[list(columns)]


def text_table(
    table: pd.DataFrame,
    index: str | Sequence[str],
    columns: str | Sequence[str],
    value: str = "value",
    digits: int = 2,
    logarithms: bool = False,
) -> pd.DataFrame:
    """Return the means of `value` over seeds with half their 95% interval, as texts such as "0.91 ± 0.02": a row for
    each `index` and a column for each `columns`, in the order of `table`. With one seed the mean alone.

    `index` and `columns` name one column of `table` or several; rows are first averaged within each seed and group.
    With `logarithms` the averages are those of the values' logarithms (of perplexities, which are ratios), written as
    "3.1 ×/÷ 1.2": the geometric mean, times or divided by so much. UserError for a column that the table lacks.
    """
    if logarithms:
        table = table.assign(**{value: table[value].map(math.log)})
    summary = over_seeds(table, value, by=[*columns_of(table, index), *columns_of(table, columns)])
    summary["text"] = as_texts(summary, digits, logarithms)
    return summary.pivot_table(index=index, columns=columns, values="text", aggfunc="first", sort=False)
