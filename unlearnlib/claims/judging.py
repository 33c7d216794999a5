"""Verdicts on the claims, from the tables of a run: what becomes of each criterion, of each claim, and of a claim in
several configurations."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from unlearnlib.claims import evidence
from unlearnlib.claims.claims import CLAIMS, CONFIGURATIONS, Claim, Criterion
from unlearnlib.claims.evidence import CONTRADICTED, HOLDS, MIXED, UNSETTLED, Estimate, join
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.core.profiles import AS_IT_IS

UNTESTED = "not tested"  # what may become of a criterion, beside the four of unlearnlib.claims.evidence
DEPENDS, CANNOT = "depends", "cannot be tested here"  # what may become of a claim, beside three of these
WORDS = (HOLDS, CONTRADICTED, DEPENDS, UNSETTLED, CANNOT)
MIN_SEEDS = 3  # with fewer, an interval over seeds says next to nothing


def judge(folder: Path | str, notebook: str | None = None, claim: str | None = None) -> pd.DataFrame:
    """Return one row a criterion, from the tables in `folder`; with `notebook` ("05") only criteria of its tables, with
    `claim` ("C1") only those of one claim.

    Columns: claim, statement, verdict (of the whole claim in this one configuration; empty where some of its criteria
    are not among the rows), part, criterion, statistic, effect, low, high, interval, n (seeds), detectable (the
    difference that so many seeds would have shown with a power of 80%; NaN where seeds play no part), unit, margin,
    centre, least, direction, state (HOLDS, CONTRADICTED, MIXED, UNSETTLED, or UNTESTED: the note says why), fixed,
    note, table, notebook, command (makes it anew). Raises nothing for a table that is missing or lacks something;
    UserError for a notebook that no criterion reads, and for an unknown claim.
    """
    if claim not in (None, *(one.id for one in CLAIMS)):
        raise UserError(f"no claim {claim!r}: {nearest(claim, [one.id for one in CLAIMS])}")
    known = sorted({one.table[:2] for claim in CLAIMS for one in claim.criteria})
    if notebook not in (None, *known):
        raise UserError(f"no criterion reads a table of notebook {notebook!r}: {nearest(notebook, known)}")
    read = functools.cache(partial(_table, Path(folder)))
    rows = []
    for one in (one for one in CLAIMS if claim in (None, one.id)):
        chosen = [criterion for criterion in one.criteria if notebook in (None, criterion.table[:2])]
        rows += _of_claim(one, chosen, read, whole=len(chosen) == len(one.criteria))
    return pd.DataFrame(rows).astype({"n": "Int64"})


def judge_configurations(folder: Path | str) -> pd.DataFrame:
    """Return the rows of `judge` for every configuration of the table CONFIGURATIONS in `folder` (column
    configuration, first), of those claims and criteria that can be asked there; the verdict of each is from these
    criteria alone. UserError where there is no such table, or nothing in it.
    """
    table, frames = _table(Path(folder), CONFIGURATIONS), []
    if "configuration" not in table.columns or table.empty:
        raise UserError(f"the table {CONFIGURATIONS} has no configuration: {_command(CONFIGURATIONS[:2])}")
    for name, part in table.groupby("configuration", sort=False):
        rows = []
        for claim in CLAIMS:
            chosen = [one for one in claim.criteria if one.everywhere]
            rows += _of_claim(claim, chosen, lambda _, part=part: part, whole=bool(chosen))
        frames.append(pd.DataFrame(rows).assign(configuration=name, table=CONFIGURATIONS, notebook=CONFIGURATIONS[:2]))
    found = pd.concat(frames, ignore_index=True).assign(command=_command(CONFIGURATIONS[:2]))
    found.insert(0, "configuration", found.pop("configuration"))
    return found.astype({"n": "Int64"})


def _of_claim(claim: Claim, chosen: Sequence[Criterion], read: Callable, whole: bool) -> list[dict]:
    found = [_judged(one, read) for one in chosen]
    verdict = word(found, claim.either) if whole else ""
    return [{"claim": claim.id, "statement": claim.statement, "verdict": verdict, **row} for row in found]


def word(found: Sequence[Mapping], either: bool = False) -> str:
    """Return the verdict (one of WORDS) from criteria, each with its `part` and `state`.

    A part holds where all of its criteria do (with `either`: where one does), and is contradicted where one is (with
    `either`: where all are). A claim says that all its parts are so: one that is contradicted, with none that holds,
    is enough against it, while for it none may be open. It depends where some parts hold and others are contradicted,
    or where one is better on some measures and worse on others. Where a part cannot be tested nothing is said.
    """
    parts: dict[str, list[str]] = {}
    for row in found:
        parts.setdefault(row["part"], []).append(row["state"])
    states = {_part(states, either) for states in parts.values()}
    if UNTESTED in states:
        return CANNOT
    if MIXED in states or {HOLDS, CONTRADICTED} <= states:
        return DEPENDS
    return CONTRADICTED if CONTRADICTED in states else UNSETTLED if UNSETTLED in states else HOLDS


def _part(states: Sequence[str], either: bool) -> str:
    order = (UNTESTED, HOLDS, MIXED, UNSETTLED) if either else (UNTESTED, CONTRADICTED, MIXED, UNSETTLED)
    return next((state for state in order if state in states), CONTRADICTED if either else HOLDS)


def over_configurations(own: str, others: Mapping[str, str]) -> str:
    """Return the verdict of a claim that was `own` where everything was asked, and has the words `others` in the other
    configurations, by name: the same where every one of them agrees or is not settled, and more than half agree.

    DEPENDS otherwise; configurations in which it cannot be tested do not count.
    """
    tested = [said for said in others.values() if said != CANNOT]
    if own in (CANNOT, DEPENDS) or not tested:
        return own
    agree = sum(said == own for said in tested)
    return own if agree > len(tested) / 2 and set(tested) <= {own, UNSETTLED} else DEPENDS


def verdicts(rows: pd.DataFrame, configured: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return one row a claim from the rows of `judge`, and of judge_configurations where these are given; a claim of
    which criteria are missing is left out.

    Columns: claim, statement, verdict, on (what it depends on), holds ("1 of 2" criteria), then criterion, statistic,
    effect, low, high, interval, n, detectable and unit of the leading criterion, configurations (which say what, in one
    text), note, notebook and command.
    """
    leading = ["criterion", "statistic", "effect", "low", "high", "interval", "n", "detectable", "unit"]
    columns = ["claim", "statement", "verdict", "on", "holds"]
    columns += [*leading, "configurations", "note", "notebook", "command"]
    of = {claim.id: claim for claim in CLAIMS}
    table = []
    for name, part in rows[rows["verdict"].fillna("") != ""].groupby("claim", sort=False):
        own, others = part["verdict"].iloc[0], {}
        if configured is not None:
            asked = configured[(configured["claim"] == name) & (configured["configuration"] != AS_IT_IS)]
            others = dict(asked.groupby("configuration", sort=False)["verdict"].first())
        verdict = over_configurations(own, others)
        notebooks = sorted({*part["notebook"], *([CONFIGURATIONS[:2]] if others else [])})
        untested = part[part["state"] == UNTESTED]
        differ = len({own, *others.values()} - {CANNOT}) > 1
        on = [*([of[name].over] if own == DEPENDS else []), *(["the configuration"] if differ else [])]
        table.append(
            {
                **part.iloc[0][["claim", "statement", *leading]],
                "verdict": verdict,
                "on": ", and on ".join(on) if verdict == DEPENDS else "",
                "holds": f"{part['state'].eq(HOLDS).sum()} of {len(part)}",
                "configurations": _said(others),
                "note": join(*dict.fromkeys(untested["note"])) if len(untested) else part.iloc[0]["note"],
                "notebook": " ".join(notebooks),
                "command": _command(*notebooks),
            }
        )
    return pd.DataFrame(table, columns=columns).astype({"n": "Int64"})


def _said(others: Mapping[str, str]) -> str:
    """The words of the configurations in one text: "holds in 8 of 9; depends: half the epochs"."""
    if not others:
        return ""
    words = list(others.values())
    most = max(dict.fromkeys(words), key=words.count)
    rest = [f"{one}: {', '.join(name for name, said in others.items() if said == one)}" for one in dict.fromkeys(words)]
    return "; ".join(
        [f"{most} in {words.count(most)} of {len(words)}", *(one for one in rest if not one.startswith(most + ":"))]
    )


def _judged(criterion: Criterion, read: Callable[[str], pd.DataFrame]) -> dict:
    """The row of one criterion, without what belongs to its claim."""
    found, reason, notebook = Estimate(interval=""), "", criterion.table[:2]
    try:
        found = criterion.estimate(read(criterion.table))
        reason = _untestable(found)
    except UserError as error:
        reason = str(error)
    return {
        "part": criterion.part or criterion.asks,
        "criterion": criterion.asks,
        "statistic": criterion.statistic,
        **{name: getattr(found, name) for name in ("effect", "low", "high", "interval", "n")},
        # Of no difference nothing is to be shown.
        "detectable": np.nan if reason or criterion.direction == "within" else evidence.detectable(found),
        "unit": criterion.unit,
        "margin": criterion.margin,
        "centre": criterion.centre,
        "least": criterion.least if math.isfinite(criterion.least) else np.nan,
        "direction": criterion.direction,
        "state": UNTESTED if reason else criterion.state(found),
        "fixed": criterion.fixed,
        "note": join(reason, found.note),
        "table": criterion.table,
        "notebook": notebook,
        "command": _command(notebook),
    }


def _untestable(found: Estimate) -> str:
    """Why nothing can be said from this estimate; empty where something can."""
    if found.n is not None and found.n < MIN_SEEDS:
        return f"{found.n} seed{'s' * (found.n != 1)}, and it takes {MIN_SEEDS}"
    if not np.isfinite([found.effect, found.low, found.high]).all():
        return "a number is missing or not finite"
    return ""


def _table(folder: Path, name: str) -> pd.DataFrame:
    try:
        return pd.read_csv(folder / f"{name}.csv", dtype={"method": "str", "layers": "str"})
    except FileNotFoundError:
        raise UserError(f"no table {name}: {_command(name[:2])}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise UserError(f"the table {name} cannot be read: {_command(name[:2])}") from None


def _command(*notebooks: str) -> str:
    return f"./run_all.sh --only {','.join(notebooks)}"
