"""What a results table says on one question: functions from a table to an estimate with its interval.

Six kinds of interval: `95% over seeds`, a t-interval of a mean with the seed means as data; `90% over seeds`, the
same for a claim of equivalence, for which two one-sided tests at 5% ask just that; `range of seeds`, smallest and
largest value, where a claim is about every seed; `range of tests`, the same over several methods; `worse and better`,
how many measures are significantly worse (as a negative number) and better; `one number`, where there is no interval.
Every function raises UserError where the table lacks a column, a method or a score.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.statistics.groups import NAN
from unlearnlib.statistics.paired import compare_measures, equivalence_test, paired_t_test, pairs, pairs_by_measure

# What may become of a criterion that has been tested; MIXED: better on some measures and worse on others.
HOLDS, CONTRADICTED, MIXED, UNSETTLED = "holds", "contradicted", "mixed", "not settled"
SIGNIFICANT, POWER = 0.05, 0.8


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; n is how many seeds are behind it, None where seeds play no part. state: where the
    estimate decides by itself, what it says (one of HOLDS, CONTRADICTED, MIXED, UNSETTLED)."""

    effect: float = NAN
    low: float = NAN
    high: float = NAN
    n: int | None = None
    interval: str = "95% over seeds"
    note: str = ""
    state: str = ""


def detectable(found: Estimate, level: float = SIGNIFICANT) -> float:
    """Return the difference that so many seeds, spread as these are, would have shown (two-sided at this level) with a
    power of 80%, in the unit of the estimate; NaN where the interval is none over seeds."""
    width, _, kind = found.interval.partition(" ")
    if kind != "over seeds" or not found.n or found.n < 2:
        return NAN
    half = (found.high - found.low) / 2
    error = half / stats.t.ppf(0.5 + float(width.rstrip("%")) / 200, found.n - 1)
    return error * (stats.t.ppf(1 - level / 2, found.n - 1) + stats.t.ppf(POWER, found.n - 1))


def measures_ahead(table: pd.DataFrame, after: str, before: str, stop: str) -> Estimate:
    """Return how many measures `after` is significantly better on than `before`, minus those it is worse on.

    table: rows of unlearnlib.measures.collateral.collateral. Significant is Holm's p over the measures below
    SIGNIFICANT; [low, high] are minus the worse ones and the better ones. HOLDS where some are better and none is
    worse, CONTRADICTED the other way round, MIXED where some are either, UNSETTLED where none is.
    """
    rows, note = _at(table, stop, after, before)
    if rows.empty:
        return Estimate(n=0, interval="worse and better", note=note)
    found = compare_measures(rows, before=before, after=after)
    untested = found[found["p"].isna() & (found["n"] > 1)]["measure"]
    if len(untested):  # such as an infinite perplexity: the worst there is must not pass as nothing
        return Estimate(n=_count(found["n"]), note=join(f"no test of {', '.join(untested)}", note))
    sure = found[found["p_holm"] < SIGNIFICANT]
    better, worse = (sure[sure["favours"] == one]["measure"] for one in (after, before))
    ahead = int((found["favours"] == after).sum())
    state = {(True, False): HOLDS, (False, True): CONTRADICTED, (True, True): MIXED}.get(
        (len(better) > 0, len(worse) > 0)
    )
    said = f"in the mean better on {ahead} of {len(found)}"
    named = "; ".join(
        f"significantly {what} on {', '.join(names) if len(names) < len(found) else 'all'}"
        for what, names in (("better", better), ("worse", worse))
        if len(names)
    )
    n, row = _count(found["n"]), found.iloc[0]
    least = detectable(Estimate(row["difference"], row["low"], row["high"], n), SIGNIFICANT / len(found))
    named = named or f"{n} seeds would have shown {least:.2f} in {row['measure']}"
    counted = (len(better) - len(worse), -len(worse), len(better))
    return Estimate(*counted, n, "worse and better", join(said, named, note), state or UNSETTLED)


def left_out(table: pd.DataFrame, without: str, whole: str, start: str, stop: str, margin: float) -> Estimate:
    """Return by how much leaving layers out changes what the `whole` model's step does to a measure, as a share of that
    (90% interval): of all measures that one which is furthest beyond the margin, or else nearest to it.

    table: as for measures_ahead, with rows of the model `start`. The share is (without - whole) / (whole - start), the
    latter as its mean over seeds. A measure that the whole model's step does not move significantly is not counted.
    """
    rows, note = _at(table, stop, without, whole)
    if rows.empty:
        return Estimate(n=0, interval="90% over seeds", note=note)
    begun = _rows(table, ("seed", "measure", "value"), method=start)
    effects = pairs_by_measure(pd.concat([begun, rows[rows["method"] == whole]]), start, whole)
    tests = {}
    for name, changed in pairs_by_measure(rows, whole, without).items():
        moved = paired_t_test(effects[name]["before"], effects[name]["after"])
        if moved.low * moved.high > 0:
            tests[name] = equivalence_test((changed["after"] - changed["before"]) / moved.mean, margin)
    n = _count([len(one) for one in effects.values()])
    if n < 2:
        return Estimate(n=n, interval="90% over seeds", note=note)
    if not tests:
        raise UserError("the whole model's step moves no measure significantly: there is no effect to compare with")
    beyond = {name: max(test.low - margin, -margin - test.high) for name, test in tests.items()}
    name = max(beyond, key=beyond.get)
    if beyond[name] < 0:  # none lies wholly outside: the one that reaches furthest
        name = max(tests, key=lambda name: max(abs(tests[name].low), abs(tests[name].high)))
    test = tests[name]
    said = f"furthest of {len(tests)} measures: {name}"
    return Estimate(test.mean, test.low, test.high, test.n, "90% over seeds", join(said, test.note, note))


def _at(table: pd.DataFrame, stop: str, *methods: str) -> tuple[pd.DataFrame, str]:
    """The rows of these methods at a stop, without the seeds in which one of them did not get there; and which."""
    rows = _rows(table, ("seed", "method", "measure", "value", "better", "reached"), stop=stop)
    rows = pd.concat([_rows(rows, method=name) for name in methods])
    return _without_short(rows, "method", methods)


def _without_short(rows: pd.DataFrame, column: str, wanted: Sequence[str]) -> tuple[pd.DataFrame, str]:
    short = sorted(rows[rows[column].isin(wanted) & rows["reached"].eq(False)]["seed"].unique())
    note = f"seeds left out, not at equal forgetting: {', '.join(map(str, short))}" if short else ""
    return rows[~rows["seed"].isin(short)], note


def difference(
    table: pd.DataFrame, after: str, before: str, of: str, by: str = "method", margin: float | None = None
) -> Estimate:
    """Return after - before of the answer probability of the set `of`, over seeds; a 90% interval with a margin.

    Methods are told apart by the column `by`, models that have no value there by their name. A seed in which one of the
    two did not reach equal forgetting is left out, if the table has a column `reached`.
    """
    rows = _rows(table, ("seed", "method", "value", by), set=of, metric="answer_probability")
    rows = rows.assign(model=rows[by].where(rows[by].notna(), rows["method"]))
    note = ""
    if "reached" in rows.columns:
        rows, note = _without_short(rows, "model", (after, before))
    if rows.empty:
        return Estimate(n=0, note=note)
    matched = pairs(rows, before, after, "model", unit="seeds")
    if margin is None:
        test, interval = paired_t_test(matched["before"], matched["after"]), "95% over seeds"
    else:
        test, interval = equivalence_test(matched["after"] - matched["before"], margin), "90% over seeds"
    return Estimate(test.mean, test.low, test.high, test.n, interval, join(note, test.note))


def reached(table: pd.DataFrame, methods: Sequence[str], stop: str = "equal forgetting") -> Estimate:
    """Return the share of seeds in which all of these methods reach a stop."""
    rows = _rows(table, ("seed", "reached"), stop=stop)
    rows = pd.concat([_rows(rows, method=name) for name in methods])
    return _over_range(rows.groupby("seed")["reached"].min().astype(float))


def share_of_fall(table: pd.DataFrame, layers: str, margin: float) -> Estimate:
    """Return the fall that these layers cause over the mean fall that the whole model causes (90% interval)."""
    _rows(table, ("seed", "all", layers))
    whole = table["all"].mean()
    if not whole > 0:
        raise UserError("nothing is forgotten at the whole model's step: there is no effect to compare with")
    test = equivalence_test(table[layers] / whole, margin)
    return Estimate(test.mean, test.low, test.high, test.n, "90% over seeds", test.note)


def stored(table: pd.DataFrame, model: str, kept: str) -> Estimate:
    """Return the share of the embedding, positions included, in all numbers that the gradient of one text takes in a
    model, kept in one of two ways (dense, exact factors)."""
    rows = _rows(table, ("share", "layers"), model=model, kept=kept)
    share = rows[rows["layers"].isin(["embedding", "embedding+position_embedding"])]["share"].max()
    return Estimate(share, share, share, None, "one number")


def correlation(table: pd.DataFrame, score: str, other: str, method: str, turned: bool = False) -> Estimate:
    """Return the rank correlation of a score; `turned` so that its mean is positive (the note says which way it was).

    A score that does not vary in some seed ranks nothing there: its correlation counts as zero.
    """
    rows = _rows(table, ("seed", "spearman"), **{"score": score, "with": other, "method": method})
    values = rows.groupby("seed")["spearman"].min().fillna(0.0)
    if not turned:
        return _over_range(values)
    rises = values.mean() >= 0
    return replace(_over_range(values if rises else -values), note="it rises" if rises else "it falls")


def lead_in_t(table: pd.DataFrame, score: str, methods: Sequence[str]) -> Estimate:
    """Return the t over seeds of the fall of a score, of the first of the methods minus the largest of the others.

    A score that rises has a t below zero. The interval holds whatever two values of t in their own 95% intervals
    (of the noncentral t distribution) give, so it is wider than one of 95%.
    """
    rows = _methods(_rows(table, ("d", "d_low", "d_high", "n"), metric=score, unit="seeds"), methods)
    fall = -np.sqrt(rows["n"]).to_numpy()[:, None] * rows[["d", "d_high", "d_low"]].to_numpy(float)
    n = _count(rows["n"])
    if not np.isfinite(fall).all():
        return Estimate(n=n)
    (first, first_low, first_high), others = fall[0], fall[1:]
    best = int(others[:, 0].argmax())
    next_t, next_low, next_high = others[best]
    effect, low, high = first - next_t, first_low - next_high, first_high - next_low
    return Estimate(effect, low, high, n, "two 95% intervals over seeds", f"the next: {methods[1:][best]}")


def change(table: pd.DataFrame, score: str, methods: Sequence[str]) -> Estimate:
    """Return the change of a score, over seeds, with the method that speaks most against a fall: the surest rise where
    any interval lies wholly above zero, else that whose interval reaches highest."""
    rows = _methods(_rows(table, ("difference", "low", "high", "n"), metric=score, unit="seeds"), methods)
    if rows["high"].isna().any():
        return Estimate(n=_count(rows["n"]))
    row = rows.loc[(rows["low"] if (rows["low"] >= 0).any() else rows["high"]).idxmax()]
    return Estimate(row["difference"], row["low"], row["high"], _count(rows["n"]), note=f"of {row.name}")


def over_points(table: pd.DataFrame, metric: str, column: str, methods: Sequence[str]) -> Estimate:
    """Return the mean and range, over the methods, of d or p (`column`) of the test over points, for a fall: where the
    metric rises d is below zero, and p is 1."""
    rows = _rows(table, (column, "d", "n"), metric=metric)
    points = _methods(_rows(rows, unit="points"), methods)
    values = -points["d"] if column == "d" else points[column].mask(points["d"] > 0, 1.0)
    seeds = _methods(_rows(rows, unit="seeds"), methods)["n"]
    found = replace(_over_range(values), n=_count(seeds), interval="range of tests")
    return replace(found, note="points pooled, as in the paper")


def early_stop(table: pd.DataFrame, method: str, halves: Sequence[str], least: float, bound: bool) -> Estimate:
    """Return that stop, short of the calibrated one, at which one of these readings (column half) is highest.

    With `bound` the lower end of the interval counts. Otherwise the mean does, and stops come first whose mean is above
    `least` and whose interval is above zero. The note says which it is, and of how many looks.
    """
    rows = _rows(table, ("half", "step", "mean", "low", "high", "n"), method=method)
    rows = rows[rows["half"].isin(halves) & (rows["step"] < 1)]
    if set(rows["half"]) != set(halves):
        raise UserError(f"the table has no stop of {method} short of the calibrated one for {' or '.join(halves)}")
    shown = (rows["mean"] > least) & (rows["low"] > 0)
    ranked = rows.assign(shown=shown).sort_values("low" if bound else ["shown", "mean"], na_position="first")
    best = ranked.iloc[-1]
    note = f"{best['half']} at stop {best['step']:g}, the best of {len(rows)} looks"
    return Estimate(best["mean"], best["low"], best["high"], _count(rows["n"]), note=note)


def summarised(table: pd.DataFrame, what: str) -> Estimate:
    """Return the row `what` of a table that the notebook itself has summarised over seeds."""
    row = _rows(table, ("mean", "low", "high", "n"), what=what).iloc[0]
    return Estimate(row["mean"], row["low"], row["high"], _count(row["n"]))


def log_perplexity(table: pd.DataFrame, method: str, start: str, measure: str, stop: str) -> Estimate:
    """Return log(perplexity / that of the model `start`) (90% interval); table: as for measures_ahead."""
    rows, note = _at(table, stop, method)
    rows = pd.concat([rows, _rows(table, method=start)])
    matched = pairs(_rows(rows, measure=measure), start, method, unit="seeds")
    test = equivalence_test(matched["after"] - matched["before"], 1.0)  # the margin does not move the interval
    return Estimate(test.mean, test.low, test.high, test.n, "90% over seeds", join(note, test.note))


def join(*notes: str) -> str:
    """Return the notes that are not empty, divided by semicolons."""
    return "; ".join(note for note in notes if note)


def _rows(table: pd.DataFrame, columns: Sequence[str] = (), **wanted: str) -> pd.DataFrame:
    """The rows with these values; UserError where there is none, or a column is missing."""
    for name in (*columns, *wanted):
        if name not in table.columns:
            raise UserError(f"the table has no column {name!r}: {nearest(name, table.columns)}")
    for name, value in wanted.items():
        chosen = table[table[name] == value]
        if chosen.empty:
            raise UserError(f"the table has no {name} {value!r}: {nearest(value, table[name].dropna().unique())}")
        table = chosen
    return table


def _methods(rows: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """One row a method, by name and in this order; UserError where one is missing."""
    return pd.concat([_rows(rows, method=name).iloc[:1] for name in methods]).set_index("method")


def _over_range(values: pd.Series) -> Estimate:
    # A value that is missing must not pass as one that is met.
    low, high = values.min(skipna=False), values.max(skipna=False)
    return Estimate(values.mean(), low, high, len(values), "range of seeds")


def _count(numbers) -> int:
    """The smallest of these numbers of seeds; 0 where one is missing."""
    least = pd.Series(numbers).min(skipna=False)
    return 0 if pd.isna(least) else int(least)
