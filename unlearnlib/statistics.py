"""Statistics of tidy tables: paired tests, effect sizes, equivalence, inference over seeds, mixed models.

Two units of analysis stand side by side. `points`: every example of every seed is a pair, as in the paper; the points
of one model are clustered measurements, so these p-values are too small. `seeds`: the seed means are the data, n is
the number of seeds; that is the inference to trust.

A number that cannot be computed (one pair, no spread) is NaN, with a `note` that says why; a table that makes no sense
(an unknown method, two rows for one pair) is a UserError. Differences are always `after - before`.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from scipy import special, stats

from unlearnlib.errors import UserError, nearest

NAN = float("nan")
# A standard deviation this much smaller than the mean is rounding, not spread.
NO_SPREAD = 1e-12


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


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class MixedModel:
    """A linear mixed model value ~ method with crossed random effects.

    effects: one row per method other than the baseline (the columns of `by`, estimate, se, z, p, low, high);
    sd: the standard deviation of each random effect and of the residual, by name; n rows, seeds, examples;
    converged; singular: some random effect has no variance, or the fit is degenerate; note says what went wrong.
    Read `effects` only where `converged` is true.
    """

    effects: pd.DataFrame
    sd: dict[str, float]
    n: int
    seeds: int
    examples: int
    converged: bool
    singular: bool
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
        return PairedTest(0, note=_join(note, "no pairs"))
    if not np.isfinite(differences).all():
        return PairedTest(n, mean=_mean(differences), note=_join(note, "an infinite difference: nothing to test"))
    mean, df = float(differences.mean()), n - 1
    if n == 1:
        return PairedTest(1, mean=mean, df=0, note=_join(note, "one pair: no interval and no test"))
    sd = float(differences.std(ddof=1))
    if sd <= NO_SPREAD * max(abs(mean), np.abs(differences).max()):
        if mean == 0:
            note = _join(note, "every difference is zero")
            return PairedTest(n, 0.0, 0.0, 0.0, 0.0, t=0.0, df=df, p=1.0, d=0.0, g=0.0, note=note)
        infinite = float(np.copysign(np.inf, mean))
        note = _join(note, "all differences are equal: d is infinite")
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
        return RankTest(0, note=_join(note, "no pairs"))
    median = float(np.median(differences))
    moved = differences[differences != 0]
    if not len(moved):
        return RankTest(n, median, 0.0, 1.0, 0.0, _join(note, "every difference is zero"))
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
    result = Equivalence(n, float(lower), float(upper), mean=_mean(differences), note=note)
    if n < 2 or not np.isfinite(differences).all():
        return replace(result, note=_join(note, "fewer than two finite differences: no test"))
    error, df = stats.sem(differences), n - 1
    if error <= NO_SPREAD * np.abs(differences).max():
        inside = bool(lower < result.mean < upper)
        note = _join(note, "the differences have no spread")
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
        adjusted[known] = multipletests(p_values[known], method="holm")[1]
    return adjusted


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
    first, second = (_rows_of(table, by, key, keys, value) for key in (before, after))
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


def over_seeds(
    table: pd.DataFrame, value: str = "value", by: str | Sequence[str] = "method", confidence: float = 0.95
) -> pd.DataFrame:
    """Return mean, sd and t-interval of the seed means: columns of `by`, then n (seeds), mean, sd, low, high.

    Rows are first averaged within each seed and group (a NaN makes that seed's mean NaN, and the seed drops out of n).
    With one seed sd, low and high are NaN.
    """
    by = _columns(table, by)
    means = table.groupby([*by, "seed"], dropna=False, sort=False)[value].mean(skipna=False)
    rows = []
    for key, values in means.groupby(by, dropna=False, sort=False):
        values = values.dropna().to_numpy()
        n, mean = len(values), _mean(values)
        sd = float(values.std(ddof=1)) if n > 1 and np.isfinite(values).all() else NAN
        half = stats.t.ppf((1 + confidence) / 2, n - 1) * sd / np.sqrt(n) if n > 1 else NAN
        rows.append((*key, n, mean, sd, mean - half, mean + half))
    return pd.DataFrame(rows, columns=[*by, "n", "mean", "sd", "low", "high"])


def texts(summary: pd.DataFrame, digits: int = 2, logarithms: bool = False) -> list[str]:
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
    summary = over_seeds(long, by=[by, "metric"])
    summary["text"] = texts(summary, digits)
    return summary.pivot_table(index=by, columns="metric", values="text", aggfunc="first", sort=False)[list(columns)]


def mixed_model(
    table: pd.DataFrame,
    baseline,
    by="method",
    value: str = "value",
    seed_by_method: bool = True,
    confidence: float = 0.95,
) -> MixedModel:
    """Return the mixed model value ~ method with crossed random effects of seed and example (REML).

    `table` holds one metric of one set, `baseline` is the method that the others are compared with. A random effect of
    seed alone cancels out of every comparison within seeds, so by default each seed may also move each method its own
    way (`seed_by_method`): without it the intervals are those of a test over points. With one seed both are left out
    and the note says so. Tests are by the normal distribution, so slightly too sure with few seeds. A fit that does not
    converge or is singular is reported in the fields, never raised.
    """
    by = _columns(table, by)
    labels = _labels(table, by)
    reference = _label(baseline)
    _known(reference, labels)
    data = pd.DataFrame(
        {
            "value": table[value].to_numpy(float),
            "method": labels.to_numpy(),
            "seed": table["seed"].astype(str).to_numpy(),
            "example": table["example"].astype(str).to_numpy(),
        }
    )
    data["pair"] = data["seed"] + " " + data["method"]
    finite = np.isfinite(data["value"])
    note = "" if finite.all() else f"{int((~finite).sum())} values that are not finite were left out"
    data = data[finite]
    seeds, examples = data["seed"].nunique(), data["example"].nunique()
    others = [key for key in dict.fromkeys(_keys(table, by)) if _label(key) != reference]
    columns = [*by, "estimate", "se", "z", "p", "low", "high"]
    nothing = pd.DataFrame([(*_tuple(key), *[NAN] * 6) for key in others], columns=columns)

    def failed(reason: str) -> MixedModel:
        return MixedModel(nothing, {}, len(data), seeds, examples, False, True, _join(note, reason))

    random = {"example": "example"} if data["example"].duplicated().any() and examples > 1 else {}
    if seeds > 1:
        random = {"seed": "seed", **random, **({"seed x method": "pair"} if seed_by_method else {})}
    else:
        note = _join(note, "one seed: no random effect of seed")
    missing = [key for key in others if _label(key) not in set(data["method"])]
    if not others or missing or reference not in set(data["method"]):
        return failed("a method has no finite value" if others else "only one method")
    scale = float(data["value"].std())
    if not random or not scale > NO_SPREAD * float(data["value"].abs().max()):
        return failed("the values have no spread" if random else "no example is repeated: nothing is random")

    fit, warned = _fit_mixed(data.assign(value=data["value"] / scale), reference, random)
    if fit is None:
        return failed(warned)
    names = fit.model.exog_vc.names
    sd = {name: float(scale * np.sqrt(max(variance, 0.0))) for name, variance in zip(names, fit.vcomp, strict=True)}
    sd["residual"] = float(scale * np.sqrt(fit.scale))
    flat = [name for name, size in sd.items() if size < 1e-3 * scale]
    quantile = stats.norm.ppf((1 + confidence) / 2)
    rows = []
    for key in others:
        estimate, se = (scale * float(part[f"method[{_label(key)}]"]) for part in (fit.fe_params, fit.bse_fe))
        z = estimate / se if se > 0 else NAN
        rows.append(
            (*_tuple(key), estimate, se, z, 2 * stats.norm.sf(abs(z)), *(estimate + np.array([-1, 1]) * quantile * se))
        )
    effects = pd.DataFrame(rows, columns=columns)
    usable = bool(fit.converged and np.isfinite(effects[["estimate", "se"]]).all(axis=None))
    if flat:
        note = _join(note, f"no variance left for: {', '.join(flat)}")
    if not usable:
        note = _join(note, warned or "the fit did not converge")
    return MixedModel(effects, sd, len(data), seeds, examples, usable, bool(flat) or not usable, note)


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
    by = _columns(table, by)
    _known(_label(baseline), _labels(chosen, by))
    if methods is None:
        methods = [key for key in dict.fromkeys(_keys(chosen, by)) if _label(key) != _label(baseline)]
    rows = []
    for unit in ("points", "seeds"):
        family = []
        for method in methods:
            matched = pairs(chosen, baseline, method, by, value, unit)
            limit = margin.get(method) if isinstance(margin, dict) else margin
            named = dict(zip(by, _tuple(method), strict=True))
            family.append({**named, "unit": unit, **_compared(matched, limit, confidence)})
        adjusted = holm([row["p"] for row in family])
        rows += [{**row, "p_holm": p} for row, p in zip(family, adjusted, strict=True)]
    order = [
        "metric", "set", *by, "baseline", "unit", "n", "mean_baseline", "mean", "difference", "sd", "low", "high", "t",
        "df", "p", "p_holm", "d", "d_low", "d_high", "g", "p_wilcoxon", "margin", "p_equivalence", "equivalent", "note",
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(metric=metric, set=set, baseline=_label(baseline)).reindex(columns=order)


def _compared(matched: pd.DataFrame, margin, confidence: float) -> dict:
    """Everything that `compare_methods` says about the pairs of one method."""
    before, after = matched["before"].to_numpy(), matched["after"].to_numpy()
    test = asdict(paired_t_test(before, after, confidence))
    result = {
        **test,
        "difference": test["mean"],
        "mean_baseline": _mean(before),
        "mean": _mean(after),
        "p_wilcoxon": wilcoxon(before, after).p,
    }
    if margin is None:
        return {**result, "margin": NAN, "p_equivalence": NAN, "equivalent": None}
    same = equivalence_test(after - before, margin)
    return {**result, "margin": same.upper, "p_equivalence": same.p, "equivalent": same.equivalent}


def _fit_mixed(data: pd.DataFrame, reference: str, random: dict[str, str]):
    """The fitted model and the first warning; (None, reason) where statsmodels gives up."""
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    methods = [reference, *(name for name in dict.fromkeys(data["method"]) if name != reference)]
    exog = pd.DataFrame({"Intercept": 1.0}, index=data.index)
    for name in methods[1:]:
        exog[f"method[{name}]"] = (data["method"] == name).astype(float)
    levels, matrices = [], []
    for column in random.values():
        dummies = pd.get_dummies(data[column], dtype=float)
        levels.append([list(dummies.columns)])
        matrices.append([dummies.to_numpy()])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            # One group holding everything makes the random effects crossed instead of nested.
            model = MixedLM(
                data["value"], exog, groups=np.ones(len(data)), exog_vc=VCSpec(list(random), levels, matrices)
            )
            fit = model.fit(reml=True, method=["powell", "lbfgs"])
        except (np.linalg.LinAlgError, ValueError) as error:
            return None, f"the fit failed: {error}"
    return fit, str(caught[0].message).splitlines()[0] if caught else ""


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


def _mean(values: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):
        return float(values.mean()) if len(values) else NAN


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _columns(table: pd.DataFrame, by) -> list[str]:
    by = [by] if isinstance(by, str) else list(by)
    for column in by:
        if column not in table.columns:
            raise UserError(f"the table has no column {column!r}: {nearest(column, table.columns)}")
    return by


def _tuple(key) -> tuple:
    return key if isinstance(key, tuple) else (key,)


def _label(key) -> str:
    return " / ".join(map(str, _tuple(key)))


def _keys(table: pd.DataFrame, by: list[str]) -> list:
    rows = list(table[by].itertuples(index=False, name=None))
    return [row[0] for row in rows] if len(by) == 1 else rows


def _labels(table: pd.DataFrame, by: list[str]) -> pd.Series:
    return pd.Series([_label(key) for key in _keys(table, by)], index=table.index, dtype=object)


def _known(label: str, labels: pd.Series) -> None:
    if label not in set(labels):
        raise UserError(f"the table has no rows of {label!r}: {nearest(label, labels.unique())}")


def _rows_of(table: pd.DataFrame, by, key, keys: list[str], value: str) -> pd.DataFrame:
    labels = _labels(table, _columns(table, by))
    _known(_label(key), labels)
    rows = table.loc[labels == _label(key), [*keys, value]]
    if rows.duplicated(keys).any():
        raise UserError(
            f"{_label(key)!r} has several rows for one {' and '.join(keys)}: choose one metric, set and step size first"
        )
    return rows
