"""Statistics of tidy tables: paired tests, effect sizes, equivalence, inference over seeds, mixed models.

Two units of analysis stand side by side. `points`: every example of every seed is a pair, as in the paper; the points
of one model are clustered measurements, so these p-values are too small. `seeds`: the seed means are the data, n is
the number of seeds; that is the inference to trust.

A number that cannot be computed (one pair, no spread) is NaN, with a `note` that says why; a table that makes no sense
(an unknown method, two rows for one pair) is a UserError. Differences are always `after - before`.
"""

import gc
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from scipy import special, stats

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.statistics.groups import (
    NAN,
    NO_SPREAD,
    as_tuple,
    check_known,
    columns_of,
    joined_notes,
    keys_of,
    label_of,
    labels_of,
    mean_of,
    rows_of,
)


@dataclass(frozen=True)
class PairedTest:
    """A paired t-test with its effect size.

    n pairs; mean and sd of the differences after - before; [low, high] the confidence interval of the mean; t, df, p
    (two-sided); d Cohen's d_z = mean / sd with the interval [d_low, d_high]; g the same with Hedges' correction.
    """

    n: int
    mean: float = NAN
    sd: float = NAN
    low: float = NAN
    high: float = NAN
    t: float = NAN
    df: float = NAN
    p: float = NAN
    d: float = NAN
    d_low: float = NAN
    d_high: float = NAN
    g: float = NAN
    note: str = ""


@dataclass(frozen=True)
class RankTest:
    """A Wilcoxon signed-rank test.

    n pairs; the median difference; W the smaller rank sum; p (two-sided); r the rank-biserial correlation in [-1, 1]:
    1 when every difference is positive.
    """

    n: int
    median: float = NAN
    W: float = NAN
    p: float = NAN
    r: float = NAN
    note: str = ""


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided t-tests against the margin [lower, upper].

    p is the larger of the two p-values; equivalent: p below alpha; [low, high] the 1 - 2 alpha interval of the mean
    (90% for alpha 0.05), which lies inside the margin exactly when equivalent is true.
    """

    n: int
    lower: float
    upper: float
    mean: float = NAN
    low: float = NAN
    high: float = NAN
    p: float = NAN
    equivalent: bool = False
    note: str = ""


def paired_t_test(before, after, confidence: float = 0.95) -> PairedTest:
    """Return the paired t-test of after - before ([n] each), with the interval of the mean and Cohen's d_z.

    The interval of d_z is exact under normality (noncentral t); g = d_z times Hedges' correction for n - 1 degrees of
    freedom. Pairs with a NaN are left out, and the note says how many. Without any spread, p is 0 and d infinite (or,
    where every difference is zero, p is 1 and d 0) and the note says so; with one pair only the mean is known.
    """
    differences, note = _differences(before, after)
    n = len(differences)
    if n == 0:
        return PairedTest(0, note=joined_notes(note, "no pairs"))
    if not np.isfinite(differences).all():
        return PairedTest(
            n, mean=mean_of(differences), note=joined_notes(note, "an infinite difference: nothing to test")
        )
    mean, df = float(differences.mean()), n - 1
    if n == 1:
        return PairedTest(1, mean=mean, df=0, note=joined_notes(note, "one pair: no interval and no test"))
    sd = float(differences.std(ddof=1))
    if sd <= NO_SPREAD * max(abs(mean), np.abs(differences).max()):
        if mean == 0:
            note = joined_notes(note, "every difference is zero")
            return PairedTest(n, 0.0, 0.0, 0.0, 0.0, t=0.0, df=df, p=1.0, d=0.0, g=0.0, note=note)
        infinite = float(np.copysign(np.inf, mean))
        note = joined_notes(note, "all differences are equal: d is infinite")
        return PairedTest(n, mean, 0.0, mean, mean, t=infinite, df=df, p=0.0, d=infinite, g=infinite, note=note)
    error = sd / np.sqrt(n)
    t = mean / error
    half = stats.t.ppf((1 + confidence) / 2, df) * error
    d_low, d_high = _noncentrality(t, df, confidence) / np.sqrt(n)
    numbers = mean, sd, mean - half, mean + half, t, df, 2 * stats.t.sf(abs(t), df)
    return PairedTest(
        n, *map(float, numbers), mean / sd, float(d_low), float(d_high), hedges_correction(df) * mean / sd, note
    )


def _noncentrality(t: float, df: int, confidence: float) -> np.ndarray:
    """The noncentralities under which the observed t is just not too large, and just not too small."""
    if abs(t) < 300:
        return special.nctdtrinc(df, np.array([1 + confidence, 1 - confidence]) / 2, t)
    # Beyond that the inversion may not end, and the error of the mean no longer matters, only that of the deviation.
    tails = np.array([1 - confidence, 1 + confidence]) / 2
    return np.sort(t * np.sqrt(stats.chi2.ppf(tails, df) / df))


def hedges_correction(df: float) -> float:
    """Return J(df) = Gamma(df/2) / (sqrt(df/2) Gamma((df-1)/2)), which takes the bias from d; NaN below 2."""
    if df < 2:
        return NAN
    return float(np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / np.sqrt(df / 2))


def wilcoxon(before, after) -> RankTest:
    """Return the Wilcoxon signed-rank test of after - before ([n] each); zero differences take no part.

    Pairs with a NaN are left out, and the note says how many. p is 1 where every difference is zero.
    """
    differences, note = _differences(before, after)
    n = len(differences)
    if n == 0:
        return RankTest(0, note=joined_notes(note, "no pairs"))
    median = float(np.median(differences))
    moved = differences[differences != 0]
    if not len(moved):
        return RankTest(n, median, 0.0, 1.0, 0.0, joined_notes(note, "every difference is zero"))
    ranks = stats.rankdata(np.abs(moved))
    up = float(ranks[moved > 0].sum() / ranks.sum())
    result = stats.wilcoxon(moved)
    return RankTest(n, median, float(result.statistic), float(result.pvalue), 2 * up - 1, note)


def equivalence_test(differences, margin, alpha: float = 0.05) -> Equivalence:
    """Return two one-sided t-tests: does the mean of `differences` [n] lie inside the margin?

    `margin` is a positive number m for (-m, m), or a pair (lower, upper), fixed before looking at the data. Raises
    UserError for a margin without room.
    """
    lower, upper = (-margin, margin) if np.ndim(margin) == 0 else margin
    if not lower < upper:
        raise UserError(f"the equivalence margin ({lower}, {upper}) is empty: give a positive number or a rising pair")
    differences, note = _without_nan(np.asarray(differences, dtype=float))
    n = len(differences)
    result = Equivalence(n, float(lower), float(upper), mean=mean_of(differences), note=note)
    if n < 2 or not np.isfinite(differences).all():
        return replace(result, note=joined_notes(note, "fewer than two finite differences: no test"))
    error, df = stats.sem(differences), n - 1
    if error <= NO_SPREAD * np.abs(differences).max():
        inside = bool(lower < result.mean < upper)
        note = joined_notes(note, "the differences have no spread")
        return replace(
            result, low=result.mean, high=result.mean, p=0.0 if inside else 1.0, equivalent=inside, note=note
        )
    p = max(stats.t.sf((result.mean - lower) / error, df), stats.t.cdf((result.mean - upper) / error, df))
    half = stats.t.ppf(1 - alpha, df) * error
    return replace(result, low=result.mean - half, high=result.mean + half, p=float(p), equivalent=bool(p < alpha))


def holm(p_values) -> np.ndarray:
    """Return Holm's adjusted p-values [n] of one family; a NaN stays NaN and does not count as a member."""
    from statsmodels.stats.multitest import multipletests

    p_values = np.asarray(p_values, dtype=float)
    adjusted, known = np.full(p_values.shape, np.nan), ~np.isnan(p_values)
    if known.any():
        gc.freeze()  # statsmodels collects garbage in every call, which takes half a second where much is loaded
        try:
            adjusted[known] = multipletests(p_values[known], method="holm")[1]
        finally:
            gc.unfreeze()
    return adjusted


def pairs(table: pd.DataFrame, before, after, by="method", value: str = "value", unit: str = "points") -> pd.DataFrame:
    """Return the matched pairs of two methods: seed, (example,) before, after; one row per pair.

    `table` holds one metric of one set; `before` and `after` are values of the column `by` (tuples where `by` is a list
    of columns). With unit "points" rows are matched by seed and example, with "seeds" the matched rows are then
    averaged within each seed (a NaN makes its seed's mean NaN). Raises UserError for a method that the table lacks and
    for two rows of one method, seed and example: choose one step size first.
    """
    if unit not in ("points", "seeds"):
        raise UserError(f"unknown unit {unit!r}: {nearest(unit, ('points', 'seeds'))}")
    keys = [column for column in ("seed", "example") if column in table.columns]
    first, second = (rows_of(table, by, key, keys, value) for key in (before, after))
    matched = first.merge(second, on=keys, suffixes=("_before", "_after"))
    matched = matched.rename(columns={f"{value}_before": "before", f"{value}_after": "after"})
    if unit == "points":
        return matched
    return matched.groupby("seed", sort=True)[["before", "after"]].mean(skipna=False).reset_index()


def paired_over_points(
    table: pd.DataFrame, before, after, by="method", value: str = "value", confidence: float = 0.95
) -> PairedTest:
    """Return the paired t-test over all points of all seeds, as in the paper (its p is too small; see the module)."""
    matched = pairs(table, before, after, by, value, "points")
    return paired_t_test(matched["before"], matched["after"], confidence)


def paired_over_seeds(
    table: pd.DataFrame, before, after, by="method", value: str = "value", confidence: float = 0.95
) -> PairedTest:
    """Return the paired t-test of the seed means: n is the number of seeds."""
    matched = pairs(table, before, after, by, value, "seeds")
    return paired_t_test(matched["before"], matched["after"], confidence)


def compare_methods(
    table: pd.DataFrame,
    metric: str,
    set: str,
    baseline,
    by="method",
    methods: Sequence | None = None,
    margin=None,
    value: str = "value",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return every method against the baseline: one row per method and unit ("points", as in the paper, and "seeds").

    Columns: metric, set, the columns of `by`, baseline, unit, n, mean_baseline, mean, difference (method - baseline),
    sd, low, high, t, df, p, p_holm, d, d_low, d_high, g, p_wilcoxon, margin, p_equivalence, equivalent, note. Holm's
    adjustment is over the methods within each unit. Equivalence is tested where a `margin` is given (see
    `equivalence_test`; a mapping from method to margin gives each its own). Choose one step size per method first.
    """
    chosen = table[(table["metric"] == metric) & (table["set"] == set)]
    if chosen.empty:
        known = sorted({f"{m} on {s}" for m, s in zip(table["metric"], table["set"], strict=True)})
        raise UserError(f"no rows of {metric} on {set}: {nearest(f'{metric} on {set}', known)}")
    by = columns_of(table, by)
    check_known(label_of(baseline), labels_of(chosen, by))
    if methods is None:
        methods = [key for key in dict.fromkeys(keys_of(chosen, by)) if label_of(key) != label_of(baseline)]
    rows = []
    for unit in ("points", "seeds"):
        family = []
        for method in methods:
            matched = pairs(chosen, baseline, method, by, value, unit)
            limit = margin.get(method) if isinstance(margin, dict) else margin
            named = dict(zip(by, as_tuple(method), strict=True))
            family.append({**named, "unit": unit, **_compared(matched, limit, confidence)})
        adjusted = holm([row["p"] for row in family])
        rows += [{**row, "p_holm": p} for row, p in zip(family, adjusted, strict=True)]
    order = [
        "metric", "set", *by, "baseline", "unit", "n", "mean_baseline", "mean", "difference", "sd", "low", "high", "t",
        "df", "p", "p_holm", "d", "d_low", "d_high", "g", "p_wilcoxon", "margin", "p_equivalence", "equivalent", "note",
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(metric=metric, set=set, baseline=label_of(baseline)).reindex(columns=order)


def compare_measures(
    table: pd.DataFrame, before, after, by: str = "method", measure: str = "measure", confidence: float = 0.95
) -> pd.DataFrame:
    """Return two methods on every measure: one row a measure, over seeds, with Holm's adjustment over the measures.

    table: columns seed, `by`, `measure`, value, better (`higher` or `lower`: which values of the measure are good).
    Columns: measure, n, mean_before, mean_after, difference (after - before), low, high, p, p_holm, and favours: the
    method whose mean is the better one (`neither` for two equal ones). A seed that one of them lacks is left out (n).
    """
    rows, better = [], table.groupby(measure, sort=False)["better"].first()
    for name, matched in pairs_by_measure(table, before, after, by, measure).items():
        test = paired_t_test(matched["before"], matched["after"], confidence)
        ahead = test.mean if better[name] == "higher" else -test.mean
        favours = after if ahead > 0 else before if ahead < 0 else "neither"
        means = (mean_of(matched["before"].to_numpy()), mean_of(matched["after"].to_numpy()))
        rows.append((name, test.n, *means, test.mean, test.low, test.high, test.p, favours))
    columns = ["measure", "n", "mean_before", "mean_after", "difference", "low", "high", "p", "favours"]
    found = pd.DataFrame(rows, columns=columns)
    found.insert(columns.index("favours"), "p_holm", holm(found["p"]))
    return found


def pairs_by_measure(
    table: pd.DataFrame, before, after, by: str = "method", measure: str = "measure"
) -> dict[str, pd.DataFrame]:
    """Return for each measure the values of two methods side by side: columns before and after, a row for each seed
    that has both. table: as for compare_measures. UserError for an unknown method and for two rows of one seed."""
    for key in (before, after):
        check_known(label_of(key), table[by])
    chosen = table[table[by].isin([before, after])]
    if chosen.duplicated(["seed", by, measure]).any():
        raise UserError(f"{before!r} or {after!r} has several rows for one seed and measure: choose one stop first")
    first, second = (
        chosen.loc[chosen[by] == key, ["seed", measure, "value"]].rename(columns={"value": name})
        for key, name in ((before, "before"), (after, "after"))
    )
    matched = first.merge(second, on=["seed", measure]).dropna()
    found = dict(tuple(matched.groupby(measure, sort=False)))
    return {name: found.get(name, matched.iloc[:0]) for name in dict.fromkeys(chosen[measure])}


def _compared(matched: pd.DataFrame, margin, confidence: float) -> dict:
    """Everything that `compare_methods` says about the pairs of one method."""
    before, after = matched["before"].to_numpy(), matched["after"].to_numpy()
    test = asdict(paired_t_test(before, after, confidence))
    result = {
        **test,
        "difference": test["mean"],
        "mean_baseline": mean_of(before),
        "mean": mean_of(after),
        "p_wilcoxon": wilcoxon(before, after).p,
    }
    if margin is None:
        return {**result, "margin": NAN, "p_equivalence": NAN, "equivalent": None}
    same = equivalence_test(after - before, margin)
    return {**result, "margin": same.upper, "p_equivalence": same.p, "equivalent": same.equivalent}


def _differences(before, after) -> tuple[np.ndarray, str]:
    before, after = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if before.shape != after.shape or before.ndim != 1:
        raise UserError(f"before and after must be equally long vectors, got shapes {before.shape} and {after.shape}")
    with np.errstate(invalid="ignore"):
        differences = after - before
    # inf - inf is NaN too, but there a value is not missing: it must not vanish.
    lost = np.isnan(differences) & ~np.isnan(before) & ~np.isnan(after)
    return _without_nan(np.where(lost, np.inf, differences))


def _without_nan(values: np.ndarray) -> tuple[np.ndarray, str]:
    missing = np.isnan(values)
    return values[~missing], f"{int(missing.sum())} pairs with a NaN were left out" if missing.any() else ""
