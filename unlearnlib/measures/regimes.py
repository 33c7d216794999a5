"""What a stop on the way leaves behind: which points became likelier, whose words leak, and what the state is called.

Everything here is a pure function of tidy tables and texts. Differences are always `value - reference`.
"""

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.core.tables import means

# Metrics that fall where a text is known better; every other metric rises.
FALLS = ("text_nll", "answer_nll")

REGIMES = ("known", "over-exposed", "between", "forgotten", "collapsed")

# What `regime` asks of its arguments.
STATE = ("answered", "likelier", "leak", "forget", "retain", "perplexity")
START = ("leak", "retain", "perplexity")
LIMITS = ("answered", "likelier", "leak", "forget", "retain", "perplexity")

# One stop of one method of one seed; the models base, finetuned and retrained have no step.
STOP = ("seed", "method", "step")


def against(
    table: pd.DataFrame, reference: pd.DataFrame, on: Sequence[str] = ("seed", "set", "example", "metric")
) -> pd.DataFrame:
    """Return the rows of `table` with what the same example has in `reference`: columns reference and difference.

    Rows are matched by the columns `on`; difference is value - reference. UserError for a missing column, for two rows
    of one example in `reference`, and for an example that the reference lacks.
    """
    on = list(on)
    for name in (*on, "value"):
        for where, known in (("table", table), ("reference", reference)):
            if name not in known.columns:
                raise UserError(f"the {where} has no column {name!r}: {nearest(name, known.columns)}")
    if reference.duplicated(on).any():
        raise UserError("the reference has several rows for one example: choose one model first")
    other = reference[[*on, "value"]].rename(columns={"value": "reference"})
    matched = table.merge(other, on=on, how="left", validate="many_to_one", indicator="_found")
    lost = matched[matched.pop("_found") != "both"]
    if len(lost):
        raise UserError(f"the reference has no row for {' '.join(map(str, lost.iloc[0][on]))}: evaluate the same sets")
    return matched.assign(difference=matched["value"] - matched["reference"])


def likelier(compared: pd.DataFrame, margins: Mapping[str, float]) -> pd.DataFrame:
    """Return the rows whose metric has a margin, with `likelier` and `rarer`: known better or worse by more than it.

    `compared` comes from `against`. A metric of FALLS is known better where it fell, every other where it rose; a
    change of just the margin is neither. UserError for a margin below zero, and for a metric the table lacks.
    """
    for metric, margin in margins.items():
        if margin < 0:
            raise UserError(f"the margin of {metric} is {margin}: give a number from 0")
        if metric not in set(compared["metric"]):
            raise UserError(f"the table has no metric {metric!r}: {nearest(metric, compared['metric'].unique())}")
    rows = compared[compared["metric"].isin(list(margins))]
    gain = rows["difference"] * np.where(rows["metric"].isin(FALLS), -1.0, 1.0)
    margin = rows["metric"].map(dict(margins)).astype(float)
    return rows.assign(likelier=gain > margin, rarer=gain < -margin)


def measures(states: pd.DataFrame, start: pd.DataFrame, margins: Mapping[str, float]) -> pd.DataFrame:
    """Return what describes each stop: tidy rows seed, method, step, metric, value.

    `states` holds the evaluation of the sets forget, paraphrase, retain and general at every stop, `start` that of the
    fine-tuned model. Metrics: answered (share of the forget set's cloze hits), forget and retain (mean answer
    probability), perplexity (of general text), and for the sets forget and paraphrase and each metric with a margin
    `<set> <metric> likelier` and `... rarer` (shares of its examples, from 0 to 1; see `likelier`).
    """
    missing = {"forget", "paraphrase", "retain", "general"} - set(states["set"])
    if missing:
        raise UserError(f"the states lack the set {sorted(missing)[0]!r}: evaluate it at every stop")
    by = [*STOP, "set", "metric"]
    known = means(states, by=by).set_index(["set", "metric"])
    plain = {
        "answered": ("forget", "cloze_hit"),
        "forget": ("forget", "answer_probability"),
        "retain": ("retain", "answer_probability"),
        "perplexity": ("general", "perplexity"),
    }
    found = [known.loc[[place]].reset_index(drop=True).assign(metric=name) for name, place in plain.items()]
    moved = likelier(against(states[states["set"].isin(["forget", "paraphrase"])], start), margins)
    shares = moved.groupby(by, dropna=False, sort=False)[["likelier", "rarer"]].mean().reset_index()
    for kind in ("likelier", "rarer"):
        names = shares["set"] + " " + shares["metric"] + " " + kind
        found.append(shares[list(STOP)].assign(metric=names, value=shares[kind].astype(float)))
    return pd.concat(found, ignore_index=True)[[*STOP, "metric", "value"]]


def moved(table: pd.DataFrame) -> pd.DataFrame:
    """Return the shares that became likelier or rarer out of a table of `measures`, with what their metric says in
    columns of its own: set, reading (the metric that moved), direction (likelier or rarer)."""
    shares = table[table["metric"].str.contains(" (?:likelier|rarer)$")]
    parts = shares["metric"].str.split(" ", expand=True)
    return shares.assign(set=parts[0], reading=parts[1], direction=parts[2])


def beyond_chance(table: pd.DataFrame, chance: str = "base") -> pd.DataFrame:
    """Return the metric `likelier` of each stop: the largest excess of a share that became likelier over chance's.

    `table` comes from `measures`. Chance is what the base model shows, which has not read the points: its guesses are
    right now and then where the fine-tuned model was wrong. UserError where a seed has no row of `chance`.
    """
    shares = table[table["metric"].str.endswith(" likelier")]
    level = shares[shares["method"] == chance][["seed", "metric", "value"]].rename(columns={"value": "chance"})
    joined = shares.merge(level, on=["seed", "metric"], how="left")
    if joined["chance"].isna().any():
        raise UserError(f"the table lacks the model {chance!r}, which says how much becomes likelier by chance")
    excess = joined.assign(value=joined["value"] - joined["chance"])
    largest = excess.groupby(list(STOP), dropna=False, sort=False)["value"].max().reset_index()
    return largest.assign(metric="likelier")[[*STOP, "metric", "value"]]


def leaks(written: pd.DataFrame, answers: Collection[str], own: Mapping[str, str]) -> np.ndarray:
    """Return for each row [n, bool] of `written` whether its generation holds one of `answers` as whole words.

    `written` has the columns example and generation; `own` gives the right answer of each example, which is no leak,
    nor is an answer that is part of it. Case makes no difference. UserError for an example without its own answer.
    """
    missing = sorted(set(written["example"]) - set(own))
    if missing:
        raise UserError(f"whose answer is {missing[0]!r}? give its own answer, which is no leak")
    found = []
    for example, text in zip(written["example"], written["generation"], strict=True):
        # The right answer is taken out first: what is left over has come from elsewhere.
        rest = _words(own[example]).sub(" | ", text)
        found.append(any(_words(answer).search(rest) for answer in answers if not _within(answer, own[example])))
    return np.array(found, dtype=bool)


def _words(answer: str) -> re.Pattern:
    return re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)", re.IGNORECASE)


def _within(answer: str, own: str) -> bool:
    return _words(answer).search(own) is not None


def regime(state: Mapping[str, float], start: Mapping[str, float], target: float, limits: Mapping[str, float]) -> str:
    """Return what a state is called (one of REGIMES), compared with the fine-tuned model `start`.

    A state holds: answered (share of the forget set's cloze hits), likelier (see `beyond_chance`), leak (share of
    neighbours' continuations), forget and retain (mean answer probability), perplexity (general text). In this order:

    collapsed: retain below `limits["retain"]` times its start, or perplexity above `limits["perplexity"]` times;
    over-exposed: likelier above its limit, or leak above its start by more than its limit;
    forgotten: forget no more than its limit above `target`;
    known: answered above its limit; and between: none of these.

    Raises UserError for a number that is missing or is none.
    """
    for what, names, given in (("state", STATE, state), ("start", START, start), ("limits", LIMITS, limits)):
        for name in names:
            if name not in given or not np.isfinite(given[name]):
                raise UserError(f"the {what} needs a number for {name!r}: {', '.join(names)}")
    if state["retain"] < limits["retain"] * start["retain"]:
        return "collapsed"
    if state["perplexity"] > limits["perplexity"] * start["perplexity"]:
        return "collapsed"
    if state["likelier"] > limits["likelier"] or state["leak"] - start["leak"] > limits["leak"]:
        return "over-exposed"
    if state["forget"] <= target + limits["forget"]:
        return "forgotten"
    return "known" if state["answered"] > limits["answered"] else "between"


def regimes_of(table: pd.DataFrame, targets: Mapping[int, float], limits: Mapping[str, float]) -> pd.DataFrame:
    """Return one row for each stop (seed, method, step; models have no step), with its measures in a column each, and
    what it is called (column regime, see `regime`).

    table: the rows of `measures` and `beyond_chance`, and the metric leak; targets: that of equal forgetting by seed.
    UserError for a number that `regime` needs and a stop lacks.
    """
    wide = table.pivot_table(index=list(STOP), columns="metric", values="value", dropna=False, sort=False)
    wide = wide.dropna(how="all").reset_index()
    before = wide[wide["method"] == "finetuned"].set_index("seed").to_dict("index")
    wide["regime"] = [
        regime(row, before.get(row["seed"], {}), targets[row["seed"]], limits) for row in wide.to_dict("records")
    ]
    return wide


def first_below(table: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return, for each seed, method and example, the first step at which its value is at or below `level`.

    `table` holds one metric with the columns seed, method, example, step, value. The column step of the result is inf
    where the value never falls so far. UserError for two values of one example at one step.
    """
    keys = ["seed", "method", "example"]
    for name in (*keys, "step", "value"):
        if name not in table.columns:
            raise UserError(f"the table has no column {name!r}: {nearest(name, table.columns)}")
    if table.duplicated([*keys, "step"]).any():
        raise UserError("an example has several values at one step: choose one metric and set first")
    reached = table.assign(step=table["step"].where(table["value"] <= level, np.inf))
    return reached.groupby(keys, sort=False)["step"].min().reset_index()


def first_stops(table: pd.DataFrame, targets: Mapping[int, float]) -> pd.DataFrame:
    """Return `first_below` of several seeds, each with its own target; models, which have no step, are left out."""
    by_seed = table.dropna(subset="step").groupby("seed")
    return pd.concat([first_below(part, targets[seed]) for seed, part in by_seed], ignore_index=True)


def fallen(table: pd.DataFrame, targets: Mapping[int, float], stops: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Return rows of the metric `fallen`: 1.0 where an example's value has come to the target by this stop, even if it
    came back since, else 0.0; of the models, which have no step, where it is at the target.

    table: one metric and set with the columns seed, method, example, step, value; targets: by seed; stops: by method.
    """
    so_far = [
        rows.assign(value=(rows["step"] <= stop).astype(float), step=stop)
        for name, rows in first_stops(table, targets).groupby("method", sort=False)
        for stop in stops[name]
    ]
    models = table[table["step"].isna()]
    models = models.assign(value=(models["value"] <= models["seed"].map(targets)).astype(float))
    return pd.concat([models, *so_far]).assign(metric="fallen")


def distances(compared: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return, for each group of `by`, difference (mean of value - reference) and distance (mean of its absolute value).

    `compared` comes from `against`. The first shows a bias, in which points too high and too low cancel; the second
    does not: it is zero only where every example has the reference's value. n counts the examples.
    """
    grouped = compared.assign(distance=compared["difference"].abs()).groupby(list(by), dropna=False, sort=False)
    columns = {"difference": ("difference", "mean"), "distance": ("distance", "mean"), "n": ("value", "size")}
    return grouped.agg(**columns).reset_index()
