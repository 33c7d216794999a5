"""What a results table says on one question: functions from a table to an estimate with its interval.

Five kinds of interval: `95% over seeds`, a t-interval of a mean with the seed means as data; `90% over seeds`, the
same for a claim of equivalence, for which two one-sided tests at 5% ask just that; `range of seeds`, smallest and
largest value, where a claim is about every seed; `range of tests`, the same over several methods; `one number`, where
there is no interval. Every function raises UserError where the table lacks a column, a method or a score.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
from scipy import stats

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.statistics.groups import NAN
from unlearnlib.statistics.paired import equivalence_test, paired_t_test, pairs


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; n is how many seeds are behind it, None where seeds play no part."""

    effect: float = NAN
    low: float = NAN
    high: float = NAN
    n: int | None = None
    interval: str = "95% over seeds"
    note: str = ""


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
        short = rows[rows["model"].isin([after, before]) & rows["reached"].eq(False)]["seed"].unique()
        rows = rows[~rows["seed"].isin(short)]
        note = f"seeds left out, not at equal forgetting: {', '.join(map(str, short))}" if len(short) else ""
    if rows.empty:
        return Estimate(n=0, note=note)
    matched = pairs(rows, before, after, "model", unit="seeds")
    if margin is None:
        test, interval = paired_t_test(matched["before"], matched["after"]), "95% over seeds"
    else:
        test, interval = equivalence_test(matched["after"] - matched["before"], margin), "90% over seeds"
    return Estimate(test.mean, test.low, test.high, test.n, interval, join(note, test.note))


def lead(table: pd.DataFrame, after: str, others: Sequence[str], of: str) -> Estimate:
    """Return the difference of `after` to that one of the `others` from which it stands out least (lowest bound)."""
    found = {name: difference(table, after, name, of) for name in others}
    name = min(found, key=lambda name: -math.inf if math.isnan(found[name].low) else found[name].low)
    return replace(found[name], note=join(f"weakest against: {name}", found[name].note))


def reached(table: pd.DataFrame, layers: str) -> Estimate:
    """Return the share of seeds in which these layers reach equal forgetting."""
    rows = _rows(table, ("seed", "reached"), layers=layers)
    return _over_range(rows.groupby("seed")["reached"].min().astype(float))


def share_of_fall(table: pd.DataFrame, layers: str, margin: float) -> Estimate:
    """Return the fall that these layers cause over the mean fall that the whole model causes (90% interval)."""
    _rows(table, ("seed", "all", layers))
    whole = table["all"].mean()
    if not whole > 0:
        raise UserError("nothing is forgotten at the whole model's step: there is no effect to compare with")
    test = equivalence_test(table[layers] / whole, margin)
    return Estimate(test.mean, test.low, test.high, test.n, "90% over seeds", test.note)


def stored(table: pd.DataFrame) -> Estimate:
    """Return the share of the embedding, positions included, in the paper's GPT-2; other models stand in the note."""
    rows = _rows(table, ("model", "share"), layers="embedding+position_embedding")
    share = _rows(rows, model="GPT-2")["share"].iloc[0]
    others = rows[rows["model"] != "GPT-2"]
    note = "; ".join(f"{name}: {value:.3f}" for name, value in zip(others["model"], others["share"], strict=True))
    return Estimate(share, share, share, None, "one number", note)


def correlation(table: pd.DataFrame, score: str, other: str, method: str) -> Estimate:
    """Return the rank correlation of a score, turned so that its mean is positive (the note says where it was not).

    A score that does not vary in some seed ranks nothing there: its correlation counts as zero.
    """
    rows = _rows(table, ("seed", "spearman"), **{"score": score, "with": other, "method": method})
    values = rows.groupby("seed")["spearman"].min().fillna(0.0)
    if values.mean() >= 0:
        return _over_range(values)
    return replace(_over_range(-values), note="the correlation is negative; its size is shown")


def lead_in_t(table: pd.DataFrame, score: str, methods: Sequence[str]) -> Estimate:
    """Return |t| over seeds of the first of the methods minus the largest |t| of the others; it has no interval."""
    rows = _methods(_rows(table, ("t", "n"), metric=score, unit="seeds"), methods)
    t = rows["t"].abs()
    if t.isna().any():
        return Estimate(n=_count(rows["n"]))
    ahead = t.iloc[0] - t.iloc[1:].max()
    return Estimate(ahead, ahead, ahead, _count(rows["n"]), "one number", f"the next: {t.iloc[1:].idxmax()}")


def change(table: pd.DataFrame, score: str, methods: Sequence[str]) -> Estimate:
    """Return the change of a score, over seeds, with that method whose interval reaches highest."""
    rows = _methods(_rows(table, ("difference", "low", "high", "n"), metric=score, unit="seeds"), methods)
    if rows["high"].isna().any():
        return Estimate(n=_count(rows["n"]))
    row = rows.loc[rows["high"].idxmax()]
    return Estimate(row["difference"], row["low"], row["high"], _count(rows["n"]), note=f"highest: {row.name}")


def over_points(table: pd.DataFrame, metric: str, column: str, methods: Sequence[str]) -> Estimate:
    """Return the mean and range, over the methods, of |d| or p (`column`) of the test over points."""
    rows = _rows(table, (column, "n"), metric=metric)
    values = _methods(_rows(rows, unit="points"), methods)[column].abs()
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


def log_perplexity(table: pd.DataFrame, method: str, of: str) -> Estimate:
    """Return log(perplexity / that of the fine-tuned model) on the set `of` (90% interval)."""
    wanted = {"method": method, "set": of, "metric": "text_nll", "unit": "seeds"}
    row = _rows(table, ("difference", "sd", "n"), **wanted).iloc[0]
    n, effect = _count(row["n"]), row["difference"]
    half = stats.t.ppf(0.95, n - 1) * row["sd"] / math.sqrt(n) if n > 1 else NAN
    return Estimate(effect, effect - half, effect + half, n, "90% over seeds")


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
