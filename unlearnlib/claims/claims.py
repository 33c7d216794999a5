"""The paper's claims as data, what would show each of them, and the verdicts from the tables of a run.

A criterion reads one table, as an estimate with an interval (unlearnlib.claims.evidence), and holds only where the
whole interval lies on the right side of a margin. The margins stand here and nowhere else.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from unlearnlib.claims import evidence
from unlearnlib.claims.evidence import Estimate, join
from unlearnlib.core.errors import UserError, nearest

REPRODUCED, PARTLY, NOT, CANNOT = "reproduced", "partly", "not reproduced", "cannot be tested here"
OPEN = ("not settled", "not tested")  # what may become of a criterion besides holding and failing
MIN_SEEDS = 3  # with fewer, an interval over seeds says next to nothing

EQUAL = 0.05  # C2: neighbours' answer probability, so near to the retrained model's
NO_IMPACT = 0.1  # C3: of the whole model's effect at the same step norm
HALF, HALF_MARGIN = 0.5, 0.05  # C4: share of the stored numbers
FOLLOWS, MONOTONE = 0.7, 0.9  # C5, C12: rank correlation, in every seed
KNOWN, STRONGER = 0.5, 0.05  # C6: share of points completed; excess of the share that became likelier, or of leaks
AT_REST, RISE, FEWER = math.log(2.0), 0.05, 0.10  # C7: log ratio of gradient norms; nats; share of points
SMALL_P, SMALLEST_D, LARGEST_D = 0.05, 1.94, 4.23  # C9: the range of d is the paper's
KEPT = math.log(1.05)  # C11: log ratio of perplexities

FIRST, EMBEDDING, LAST_BLOCKS = "first epoch", "embedding", "last_blocks"
WAYS = (FIRST, "all epochs", EMBEDDING, "live")  # those whose influence is followed; the last one is a control
SCORES = {
    "self_influence": "self-influence",
    "paraphrase_influence": "influence on paraphrase",
    "activation_gradient": "activations × gradients",
    "curvature": "curvature",
}
ALONG = list(SCORES.items())[:3]  # the scores that notebook 03 has at every step


@dataclass(frozen=True)
class Criterion:
    """What is asked of one table.

    asks: one sentence; statistic, unit: what the number is; table: name of the csv file; estimate: table -> Estimate;
    direction: the interval must lie `above` or `below` the margin, or `within` centre - margin and centre + margin;
    least: the effect itself must be above this too; part: criteria of one part count as one, for which all must hold.
    """

    asks: str
    statistic: str
    unit: str
    table: str
    estimate: Callable[[pd.DataFrame], Estimate]
    direction: str
    margin: float
    centre: float = 0.0
    least: float = -math.inf
    part: str = ""

    def holds(self, found: Estimate) -> bool:
        """Tell whether the whole interval lies on the right side of the margin."""
        if self.direction == "within":
            return bool(self.centre - self.margin < found.low and found.high < self.centre + self.margin)
        beyond = found.low > self.margin if self.direction == "above" else found.high < self.margin
        return bool(beyond and found.effect > self.least)


@dataclass(frozen=True)
class Claim:
    """A claim of the paper in our words, where the paper has it, and its criteria, the leading one first."""

    id: str
    statement: str
    source: str
    criteria: tuple[Criterion, ...]


def _kept(asks: str, statistic: str, table: str, **which) -> Criterion:
    """The neighbours' answer probability at equal forgetting is higher."""
    estimate = partial(evidence.difference, of="retain", **which)
    return Criterion(asks, statistic, "answer probability", table, estimate, "above", 0.0)


def _stopped_early(way: str) -> tuple[Criterion, Criterion]:
    still = partial(evidence.early_stop, method=way, halves=("answered",), least=KNOWN, bound=True)
    more = partial(evidence.early_stop, method=way, halves=("likelier", "leak"), least=STRONGER, bound=False)
    asks, share, table = f"{way}, stopped early", "share of points", "06_verdict"
    return (
        Criterion(f"{asks}: most points are completed", f"{way}: points completed", share, table, still, "above",
                  KNOWN),
        Criterion(f"{asks}: known more strongly, by > {STRONGER}", f"{way}: likelier or leaked, above the control",
                  share, table, more, "above", 0.0, least=STRONGER),
    )  # fmt: skip


def _paired_tests(metric: str, name: str, table: str) -> tuple[Criterion, Criterion]:
    p, d = (partial(evidence.over_points, metric=metric, column=c, methods=WAYS[:3]) for c in ("p_holm", "d"))
    centre, margin = (SMALLEST_D + LARGEST_D) / 2, (LARGEST_D - SMALLEST_D) / 2
    return (
        Criterion(f"{name}: d in the paper's range, every method", f"{name}: |Cohen's d|, recorded ways", "d", table, d,
                  "within", margin, centre, part=name),
        Criterion(f"{name}: p below {SMALL_P}, every method", f"{name}: p, paired t-test, Holm", "p", table, p, "below",
                  SMALL_P, part=name),
    )  # fmt: skip


def _ends(asks: str, statistic: str, unit: str, what: str, direction: str, margin: float, part: str) -> Criterion:
    return Criterion(
        asks, statistic, unit, "07_verdict", partial(evidence.summarised, what=what), direction, margin, part=part
    )


CLAIMS = (
    Claim("C1", "First-epoch gradients unlearn better than those of all epochs", "abstract", (
        _kept("at equal forgetting, first epoch keeps neighbours better", "neighbours, first minus all epochs",
              "04_equal_forgetting", after=FIRST, before="all epochs"),
        Criterion("at equal step length, first epoch forgets more", "forget set, first minus all epochs",
                  "answer probability", "04_equal_step",
                  partial(evidence.difference, after=FIRST, before="all epochs", of="forget"), "below", 0.0),
    )),
    Claim("C2", "The embedding layer alone unlearns efficiently", "abstract", (
        _kept("at equal forgetting, keeps neighbours better than whole model",
              "neighbours, embedding minus whole model", "05_layers", after=EMBEDDING, before="all", by="layers"),
        Criterion("equal forgetting is reached in every seed", "embedding: equal forgetting reached", "share of seeds",
                  "05_layers", partial(evidence.reached, layers=EMBEDDING), "above", 0.5),
        Criterion("keeps neighbours as well as retraining does", "neighbours, embedding minus retrained",
                  "answer probability", "05_layers",
                  partial(evidence.difference, after=EMBEDDING, before="retrained", of="retain", by="layers",
                          margin=EQUAL), "within", EQUAL),
    )),
    Claim("C3", "Gradients of blocks 11 and 12 have no impact", "abstract", (
        Criterion("at the whole model's step, within a tenth of its effect",
                  "last two blocks, of the whole model's effect", "share of the effect", "05_falls",
                  partial(evidence.share_of_fall, layers=LAST_BLOCKS, margin=NO_IMPACT), "within", NO_IMPACT),
        Criterion("equal forgetting is reached in no seed", "last two blocks: equal forgetting reached",
                  "share of seeds", "05_layers", partial(evidence.reached, layers=LAST_BLOCKS), "below", 0.5),
    )),
    Claim("C4", "Storing the embedding's gradients alone halves the space", "abstract", (
        Criterion("in GPT-2, the embedding is half of all numbers", "embedding and positions in GPT-2",
                  "share of the numbers", "05_storage", evidence.stored, "within", HALF_MARGIN, HALF),
    )),
    Claim("C5", "Influence scores quantify unlearning", "abstract", tuple(
        Criterion(f"{name} follows the answer probability", f"{name} and answer probability, |Spearman|",
                  "rank correlation", "03_related",
                  partial(evidence.correlation, score=score, other="answer probability", method="all"), "above",
                  FOLLOWS)
        for score, name in ALONG
    )),
    Claim("C6", "Stopped too early, the model still, or more strongly, knows the point", "abstract",
          (*_stopped_early(FIRST), *_stopped_early(EMBEDDING))),
    Claim("C7", "Fuzzy matching finds a new optimum; iterative removal is more complete", "abstract", (
        _ends("new optimum: the fuzzy end is at rest", "log gradient norm, fuzzy over retrained", "log ratio",
              "log gradient norm, fuzzy / retrained", "below", AT_REST, "a new optimum"),
        _ends("new optimum: the loss rises on the way to it", "rise of the loss on the lines", "nats",
              "rise on the lines, nats", "above", RISE, "a new optimum"),
        _ends("at equal forgetting, iterative leaves fewer points", "points left, fuzzy minus iterative",
              "share of points", "share left, fuzzy - iterative", "above", FEWER, "more complete"),
    )),
    Claim("C8", "First-epoch ascent is the most effective method, with the largest t", "abstract, digest", (
        Criterion("at equal forgetting, first epoch keeps neighbours best",
                  "neighbours, first minus the better of the others", "answer probability", "04_equal_forgetting",
                  partial(evidence.lead, after=FIRST, others=("all epochs", "last epoch"), of="retain"), "above", 0.0),
        *(Criterion(f"{name}: first epoch has the largest t", f"{name}: |t|, first minus the next largest", "t",
                    "03_tests", partial(evidence.lead_in_t, score=score, methods=WAYS), "above", 0.0)
          for score, name in SCORES.items()),
    )),
    Claim("C9", f"Paired tests give low p, and Cohen's d between {SMALLEST_D} and {LARGEST_D}", "digest", (
        *_paired_tests("activation_gradient", SCORES["activation_gradient"], "03_tests"),
        *_paired_tests("curvature", SCORES["curvature"], "03_tests"),
        *_paired_tests("answer_probability", "answer probability", "08_tests"),
    )),
    Claim("C10", "Influence falls consistently", "digest", tuple(
        Criterion(f"{name} falls with every method", f"{name}: change of the worst way", "score", "03_tests",
                  partial(evidence.change, score=score, methods=WAYS), "below", 0.0)
        for score, name in SCORES.items()
    )),
    Claim("C11", "Overall performance is not compromised", "digest", tuple(
        Criterion(f"{way}: perplexity of {name} within 5%", f"{way}: log perplexity of {name} to fine-tuned",
                  "log ratio", "08_equivalence", partial(evidence.log_perplexity, method=way, of=of), "within", KEPT,
                  part=way)
        for way in (FIRST, EMBEDDING) for of, name in (("general", "general text"), ("retain", "neighbours"))
    )),
    Claim("C12", "Influence changes with the duration in a describable relation", "digest", tuple(
        Criterion(f"{name} moves one way, {way}", f"{name} and step, {way}, |Spearman|", "rank correlation",
                  "03_related", partial(evidence.correlation, score=score, other="step", method=way), "above", MONOTONE)
        for score, name in ALONG for way in WAYS
    )),
)  # fmt: skip


def judge(folder: Path | str, notebook: str | None = None) -> pd.DataFrame:
    """Return one row a criterion, from the tables in `folder`; with `notebook` ("03") only criteria of its tables.

    Columns: claim, statement, verdict (of the whole claim; empty where some of its criteria are not among the rows),
    part, criterion, statistic, effect, low, high, interval, n (seeds), unit, margin, centre, least, direction, holds
    (True, False, or None where it cannot be tested: the note says why), note, table, notebook, command (makes it anew).
    Raises nothing for a table that is missing or lacks something; UserError for a notebook that no criterion reads.
    """
    known = sorted({one.table[:2] for claim in CLAIMS for one in claim.criteria})
    if notebook not in (None, *known):
        raise UserError(f"no criterion reads a table of notebook {notebook!r}: {nearest(notebook, known)}")
    read, rows = functools.cache(partial(_table, Path(folder))), []
    for claim in CLAIMS:
        chosen = [one for one in claim.criteria if notebook in (None, one.table[:2])]
        found = [_judged(one, read) for one in chosen]
        verdict = _verdict(found) if len(chosen) == len(claim.criteria) else ""
        rows += [{"claim": claim.id, "statement": claim.statement, "verdict": verdict, **row} for row in found]
    return pd.DataFrame(rows).astype({"n": "Int64", "holds": object})


def verdicts(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a claim from the rows of `judge`; a claim of which criteria are missing there is left out.

    Columns: claim, statement, verdict, holds ("1 of 2" criteria), then criterion, statistic, effect, low, high,
    interval, n and unit of the leading criterion, and note, notebook and command.
    """
    leading = ["criterion", "statistic", "effect", "low", "high", "interval", "n", "unit"]
    columns = ["claim", "statement", "verdict", "holds", *leading, "note", "notebook", "command"]
    table = []
    for _, part in rows[rows["verdict"].fillna("") != ""].groupby("claim", sort=False):
        notebooks = sorted(set(part["notebook"]))
        untested = part[part["holds"].isna()]
        table.append(
            {
                **part.iloc[0][["claim", "statement", "verdict", *leading]],
                "holds": f"{part['holds'].eq(True).sum()} of {len(part)}",
                "note": join(*dict.fromkeys(untested["note"])) if len(untested) else part.iloc[0]["note"],
                "notebook": " ".join(notebooks),
                "command": _command(*notebooks),
            }
        )
    return pd.DataFrame(table, columns=columns).astype({"n": "Int64"})


def failed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a claim from the rows of `judge`: which of its criteria do not hold, as texts.

    Columns: claim, holds ("1 of 2" criteria), then `fails` (the interval lies wholly on the wrong side, or one seed or
    method of a range does), `not settled` (an interval over seeds that contains what was asked for), `not tested`.
    """
    table = []
    for claim, part in rows.groupby("claim", sort=False):
        states = part.apply(_state, axis=1)
        named = {state: _named(part.loc[states == state, "criterion"]) for state in ("fails", *OPEN)}
        table.append({"claim": claim, "holds": f"{states.eq('holds').sum()} of {len(part)}", **named})
    return pd.DataFrame(table, columns=["claim", "holds", "fails", *OPEN])


def _state(row: pd.Series) -> str:
    """What became of one criterion: holds, fails, or one of OPEN."""
    if pd.isna(row["holds"]):
        return "not tested"
    if row["holds"]:
        return "holds"
    # A range or a single number leaves nothing open: every seed, or every method, was asked for.
    if "over seeds" not in row["interval"]:
        return "fails"
    if row["direction"] == "within":
        wrong = row["high"] <= row["centre"] - row["margin"] or row["low"] >= row["centre"] + row["margin"]
    elif row["direction"] == "above":
        wrong = row["high"] <= np.fmax(row["margin"], row["least"])
    else:
        wrong = row["low"] >= row["margin"]
    return "fails" if wrong else "not settled"


def _named(criteria: Sequence[str]) -> str:
    """The criteria in one text; those that agree up to their last comma are named once, their ends in brackets."""
    ends: dict[str, list[str]] = {}
    for criterion in criteria:
        start, _, end = criterion.rpartition(", ")
        ends.setdefault(start or criterion, []).append(end if start else "")
    return "; ".join(
        f"{start} ({', '.join(several)})" if len(several) > 1 else ", ".join(filter(None, (start, several[0])))
        for start, several in ends.items()
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
        "unit": criterion.unit,
        "margin": criterion.margin,
        "centre": criterion.centre,
        "least": criterion.least if math.isfinite(criterion.least) else np.nan,
        "direction": criterion.direction,
        "holds": None if reason else criterion.holds(found),
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


def _verdict(found: Sequence[dict]) -> str:
    """A part holds where all of its criteria do; nothing is said where one criterion cannot be tested."""
    if any(row["holds"] is None for row in found):
        return CANNOT
    parts = [all(row["holds"] for row in found if row["part"] == part) for part in {row["part"] for row in found}]
    return REPRODUCED if all(parts) else PARTLY if any(parts) else NOT


def _table(folder: Path, name: str) -> pd.DataFrame:
    try:
        return pd.read_csv(folder / f"{name}.csv", dtype={"method": "str", "layers": "str"})
    except FileNotFoundError:
        raise UserError(f"no table {name}: {_command(name[:2])}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise UserError(f"the table {name} cannot be read: {_command(name[:2])}") from None


def _command(*notebooks: str) -> str:
    return f"./run_all.sh --only {','.join(notebooks)}"
