"""Is an effect the same in two groups of runs, two models say? The unit of analysis is the seed, as everywhere."""

from collections.abc import Sequence

import pandas as pd
from scipy import stats

from unlearnlib.core.errors import UserError
from unlearnlib.statistics.groups import NAN, check_known
from unlearnlib.statistics.paired import compare_measures, holm, pairs_by_measure

FEWEST = 2  # seeds of each group, below which nothing can be tested


def gains(table: pd.DataFrame, after: str, before: str, of: str = "model") -> pd.DataFrame:
    """Return by how much one way is better than another on every measure in each group: rows (`of`, measure, n, gain,
    low, high, p, p_holm); a gain above 0 speaks for `after` whatever the measure (95% paired t-intervals over seeds;
    Holm's adjustment is over the measures of one group).

    table: columns `of`, seed, method, measure, value, better (see unlearnlib.measures.collateral.collateral).
    UserError for a method that a group lacks.
    """
    frames = []
    for name, part in _upwards(table).groupby(of, sort=False):
        found = compare_measures(part, before, after).rename(columns={"difference": "gain"})
        frames.append(found.assign(**{of: name})[[of, "measure", "n", "gain", "low", "high", "p", "p_holm"]])
    return pd.concat(frames, ignore_index=True)


def compare_gains(
    table: pd.DataFrame, after: str, before: str, groups: Sequence[str], of: str = "model"
) -> pd.DataFrame:
    """Return whether the gain of one way over another is larger in the second of two `groups` than in the first: rows
    (measure, n, difference, low, high, p, p_holm), over the measures that both have.

    Welch's t-test of the seeds' paired gains, which assumes neither equal spread nor equally many seeds; 95% intervals;
    n: the fewer seeds. With fewer than two in a group all numbers but n are NaN. Holm's adjustment is over the
    measures. table: as for `gains`. UserError for an unknown group or method.
    """
    first, second = groups
    parts, upwards = [], _upwards(table)
    for name in (first, second):
        check_known(name, table[of])
        matched = pairs_by_measure(upwards[upwards[of] == name], before, after)
        parts.append({one: found["after"] - found["before"] for one, found in matched.items()})
    ours, theirs = parts
    common = [name for name in ours if name in theirs]
    if not common:
        raise UserError(f"{first!r} and {second!r} have no measure in common")
    rows = [(name, *_welch(ours[name], theirs[name])) for name in common]
    found = pd.DataFrame(rows, columns=["measure", "n", "difference", "low", "high", "p"])
    return found.assign(p_holm=holm(found["p"]))


def _upwards(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the signs of those values turned of which less is better: more is better in all."""
    return table.assign(value=table["value"].where(table["better"] == "higher", -table["value"]), better="higher")


def _welch(first: pd.Series, second: pd.Series) -> tuple:
    few = min(len(first), len(second))
    if few < FEWEST:
        return few, NAN, NAN, NAN, NAN
    test = stats.ttest_ind(second, first, equal_var=False)
    low, high = test.confidence_interval(0.95)
    return few, second.mean() - first.mean(), low, high, test.pvalue
