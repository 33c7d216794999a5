"""The paper's claims as data, and what would show each of them.

A criterion reads one table, as an estimate with an interval (unlearnlib.claims.evidence). It holds only where the whole
interval lies on the right side of a margin, it is contradicted where the whole interval lies on the wrong side, and is
not settled in between. The margins stand here and nowhere else, and so does when each criterion was fixed.

What can be asked of the table of measures (12_measures) is asked in every configuration that notebook 16 has run.
unlearnlib.claims.judging makes verdicts of all this.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd

from unlearnlib.claims import evidence
from unlearnlib.claims.evidence import CONTRADICTED, HOLDS, UNSETTLED, Estimate

NO_IMPACT = 0.1  # C3: of the whole model's effect
HALF = 0.5  # C4: share of the stored numbers
FOLLOWS, MONOTONE = 0.7, 0.9  # C5, C12: rank correlation, in every seed
KNOWN, STRONGER = 0.5, 0.05  # C6: share of points completed; excess of the share that became likelier, or of leaks
AT_REST, RISE, FEWER = math.log(2.0), 0.05, 0.10  # C7: log ratio of gradient norms; nats; share of points
SMALL_P, SMALLEST_D, LARGEST_D = 0.05, 1.94, 4.23  # C9: the range of d is the paper's
KEPT = math.log(1.05)  # C11: log ratio of perplexities
NO_LESS = 0.05  # C1: neighbours' answer probability, lost by so much at most

FIRST, EMBEDDING, LAST_BLOCKS = "first epoch", "embedding", "last_blocks"
WAYS = (FIRST, "all epochs", EMBEDDING, "live")  # those whose influence is followed; the last one is a control
SCORES = {
    "self_influence": "self-influence",
    "paraphrase_influence": "influence on paraphrase",
    "activation_gradient": "activations × gradients",
    "curvature": "curvature",
}
ALONG = list(SCORES.items())[:3]  # the scores that notebook 21 has at every step

MEASURES, CONFIGURATIONS = "12_measures", "16_measures"  # the tables that hold the same, of one and of many
GONE, EQUAL_FORGETTING = "outputs gone", "equal forgetting"
PLACES, KINDS = ("whole model", "embedding"), ("plain", "preconditioned")

# When a criterion was fixed. 6b00bff is the first published run: 8 epochs, 24 neighbours.
BEFORE = "before any published run (f6cf1ae)"
PILOT = "before any published run, after short pilots (f6cf1ae)"
AFTER = "after the published run 6b00bff (8b81e59)"
MENDED = "mended after published runs: the sign counts, or a half that was left out"
ALONE = "mended after published runs: the sign counts; later for each way alone, at twelve steps in place of three"
CLOSER = "mended after published runs: the sign counts; later at twelve steps in place of three"
COUNTED = "with its table: shapes are counted, and what comes out was known before"
LATER = "after the published run d42d406 of this configuration; before those of any other"
GROUPED_REACHED = "after 6b00bff for one way, for all four after all configurations had been run (no word turns)"
GROUPED = "as one part after all configurations had been run (apart, Stuart's said depends)"


@dataclass(frozen=True)
class Criterion:
    """What is asked of one table.

    asks: one sentence; statistic, unit: what the number is; table: name of the csv file; estimate: table -> Estimate;
    direction: the interval must lie `above` or `below` the margin, or `within` centre - margin and centre + margin;
    least: the effect itself must be above this too; part: criteria of one part count as one, for which all must hold;
    fixed: when it was; everywhere: whether it is asked in every configuration.
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
    fixed: str = BEFORE
    everywhere: bool = False

    def state(self, found: Estimate) -> str:
        """Return what becomes of the criterion with this estimate: HOLDS, CONTRADICTED, MIXED or UNSETTLED.

        An estimate that has been decided by itself (its `state`) says so. A range of seeds or tests and a single number
        leave nothing open: every one of them was asked for.
        """
        if found.state:
            return found.state
        if self.direction == "within":
            lower, upper = self.centre - self.margin, self.centre + self.margin
            holds = lower < found.low and found.high < upper
            wrong = found.high <= lower or found.low >= upper
        elif self.direction == "above":
            holds = found.low > self.margin and found.effect > self.least
            wrong = found.high <= max(self.margin, self.least)
        else:
            holds, wrong = found.high < self.margin, found.low >= self.margin
        if holds:
            return HOLDS
        return CONTRADICTED if wrong or "over seeds" not in found.interval else UNSETTLED


@dataclass(frozen=True)
class Claim:
    """A claim of the paper in our words, where the paper has it, its criteria, the leading one first, and what they
    range `over`: what the answer depends on where they differ. either: of the criteria of a part one is enough."""

    id: str
    statement: str
    source: str
    over: str
    criteria: tuple[Criterion, ...]
    either: bool = False


def _way(epochs: str, place: str, kind: str) -> str:
    return f"{epochs}, {place}, {kind}"


def _better(
    after: str, before: str, asks: str, stop: str = EQUAL_FORGETTING, part: str = "", fixed: str = LATER
) -> Criterion:
    """One way is better than another: significantly on some measure of nine, after Holm, and worse on none."""
    estimate = partial(evidence.measures_ahead, after=after, before=before, stop=stop)
    statistic = f"measures better minus worse: {after} against {before}"
    everywhere = stop == EQUAL_FORGETTING
    return Criterion(
        asks, statistic, "measures", MEASURES, estimate, "above", 0.0, part=part, fixed=fixed, everywhere=everywhere
    )


def _stopped_early(way: str) -> tuple[Criterion, Criterion]:
    still = partial(evidence.early_stop, method=way, halves=("answered",), least=KNOWN, bound=True)
    more = partial(evidence.early_stop, method=way, halves=("likelier", "leak"), least=STRONGER, bound=False)
    asks, share, table = f"{way}, stopped early", "share of points", "06_verdict"
    return (
        Criterion(f"{asks}: most points are completed", f"{way}: points completed", share, table, still, "above",
                  KNOWN, part=way, fixed=PILOT),
        Criterion(f"{asks}: known more strongly, by > {STRONGER}", f"{way}: likelier or leaked, above the control",
                  share, table, more, "above", 0.0, least=STRONGER, part=way, fixed=PILOT),
    )  # fmt: skip


def _paired_tests(metric: str, name: str, table: str) -> tuple[Criterion, Criterion]:
    p, d = (partial(evidence.over_points, metric=metric, column=c, methods=WAYS[:3]) for c in ("p_holm", "d"))
    centre, margin = (SMALLEST_D + LARGEST_D) / 2, (LARGEST_D - SMALLEST_D) / 2
    return (
        Criterion(f"{name}: falls, d in the paper's range", f"{name}: Cohen's d of the fall", "d",
                  table, d, "within", margin, centre, part=name, fixed=MENDED),
        Criterion(f"{name}: falls, p below {SMALL_P}", f"{name}: p of a fall, paired t-test, Holm",
                  "p", table, p, "below", SMALL_P, part=name, fixed=MENDED),
    )  # fmt: skip


def _ends(
    asks: str, statistic: str, unit: str, what: str, direction: str, margin: float, part: str, fixed: str = PILOT
) -> Criterion:
    estimate = partial(evidence.summarised, what=what)
    return Criterion(asks, statistic, unit, "07_verdict", estimate, direction, margin, part=part, fixed=fixed)


PLAIN = _way(FIRST, "whole model", "plain")
CLAIMS = (
    Claim("C1", "First-epoch gradients unlearn better than those of all epochs", "abstract",
          "where, how and how far the step is taken", (
        *(_better(_way(FIRST, place, kind), _way("all epochs", place, kind),
                  f"{stop}: first epoch better, {place}, {kind}", stop)
          for stop in (EQUAL_FORGETTING, GONE) for place in PLACES for kind in KINDS),
        Criterion("at equal step length, first epoch forgets more", "forget set, first minus all epochs",
                  "answer probability", "04_equal_step",
                  partial(evidence.difference, after=FIRST, before="all epochs", of="forget"), "below", 0.0,
                  part="equal step length", fixed=AFTER),
        Criterion(f"at equal step length, keeps the neighbours within {NO_LESS}", "neighbours, first minus all epochs",
                  "answer probability", "04_equal_step",
                  partial(evidence.difference, after=FIRST, before="all epochs", of="retain"), "above", -NO_LESS,
                  part="equal step length", fixed=MENDED),
    )),
    Claim("C2", "The embedding layer alone unlearns efficiently", "abstract", "the epochs, and how far it goes", (
        *(_better(_way(epochs, EMBEDDING, kind), _way(epochs, "whole model", kind),
                  f"{stop}: beats whole model, {epochs}, {kind}", stop)
          for stop in (EQUAL_FORGETTING, GONE) for epochs in (FIRST, "all epochs") for kind in KINDS),
        Criterion("equal forgetting is reached in every seed, all four ways", "embedding: equal forgetting reached",
                  "share of seeds", MEASURES,
                  partial(evidence.reached, methods=[_way(epochs, EMBEDDING, kind) for epochs in (FIRST, "all epochs")
                                                     for kind in KINDS]), "above", 0.5, fixed=GROUPED_REACHED,
                  everywhere=True),
    )),
    Claim("C3", "Gradients of blocks 11 and 12 have no impact", "abstract", "whether they are left out or used alone", (
        Criterion("leaving them out changes every measure by a tenth at most",
                  "all but the last blocks, difference to the whole model, of its effect", "share of the effect",
                  MEASURES, partial(evidence.left_out, without=_way(FIRST, "all but the last blocks", "plain"),
                                    whole=PLAIN, start="finetuned", stop=EQUAL_FORGETTING, margin=NO_IMPACT),
                  "within", NO_IMPACT, fixed=LATER, everywhere=True),
        Criterion("alone, at the whole model's step, within a tenth of its effect",
                  "last two blocks, of the whole model's effect", "share of the effect", "05_falls",
                  partial(evidence.share_of_fall, layers=LAST_BLOCKS, margin=NO_IMPACT), "within", NO_IMPACT),
        Criterion("alone, equal forgetting is reached in no seed", "last two blocks: equal forgetting reached",
                  "share of seeds", MEASURES, partial(evidence.reached, methods=[_way(FIRST, "last blocks", "plain")]),
                  "below", 0.5, everywhere=True),
    )),
    Claim("C4", "Storing the embedding's gradients alone halves the space", "abstract", "the model, and how it is kept",
          tuple(
        Criterion(f"half of all numbers at most, {model}, {kept}",
                  f"embedding and positions in {model}, {kept}", "share of the numbers", "05_storage",
                  partial(evidence.stored, model=model, kept=kept), "below", HALF, fixed=fixed)
        for model, kept, fixed in (
            ("GPT-2", "dense", MENDED),
            ("GPT-2", "exact factors", COUNTED),
            ("this run's model", "dense", COUNTED),
            ("this run's model", "exact factors", COUNTED),
        )
    )),
    Claim("C5", "Influence scores quantify unlearning", "abstract", "the score and the method", tuple(
        Criterion(f"{name} is high where much is known, {way}", f"{name} and answer probability, {way}, Spearman",
                  "rank correlation", "21_related",
                  partial(evidence.correlation, score=score, other="answer probability", method=way), "above",
                  FOLLOWS, fixed=ALONE)
        for score, name in ALONG for way in WAYS[:3]
    )),
    Claim("C6", "Stopped too early, the model still, or more strongly, knows the point", "abstract", "the method",
          (*_stopped_early(FIRST), *_stopped_early(EMBEDDING)), either=True),
    Claim("C7", "Fuzzy matching finds a new optimum; iterative removal is more complete", "abstract",
          "which half of the claim", (
        _ends("new optimum: the fuzzy end is at rest", "log gradient norm, fuzzy over retrained", "log ratio",
              "log gradient norm, fuzzy / retrained", "below", AT_REST, "a new optimum"),
        _ends("new optimum: the loss rises on the way to it", "rise of the loss on the lines", "nats",
              "rise on the lines, nats", "above", RISE, "a new optimum"),
        _ends("at equal forgetting, iterative leaves fewer points", "points left, fuzzy minus iterative",
              "share of points", "share left, fuzzy - iterative", "above", FEWER, "more complete, at equal forgetting"),
        _ends("each at its own end, iterative leaves fewer points", "points left, fuzzy minus iterative, own ends",
              "share of points", "beside: share left, each at its own end", "above", FEWER,
              "more complete, at the own end", MENDED),
    )),
    Claim("C8", "First-epoch ascent is the most effective method, with the largest t", "abstract, digest",
          "the rival, and the score", (
        _better(PLAIN, _way("all epochs", "whole model", "plain"), "equal forgetting: better than all epochs",
                part="most effective", fixed=GROUPED),
        _better(PLAIN, _way(FIRST, EMBEDDING, "plain"), "equal forgetting: better than the embedding alone",
                part="most effective", fixed=GROUPED),
        *(Criterion(f"{name}: first epoch has the largest t of a fall", f"{name}: t of the fall, first minus next", "t",
                    "21_tests", partial(evidence.lead_in_t, score=score, methods=WAYS), "above", 0.0, fixed=MENDED)
          for score, name in SCORES.items()),
    )),
    Claim("C9", f"Paired tests give low p, and Cohen's d between {SMALLEST_D} and {LARGEST_D}", "digest",
          "what is tested", (
        *_paired_tests("activation_gradient", SCORES["activation_gradient"], "21_tests"),
        *_paired_tests("curvature", SCORES["curvature"], "21_tests"),
        *_paired_tests("answer_probability", "answer probability", "08_tests"),
    )),
    Claim("C10", "Influence falls consistently", "digest", "the score", tuple(
        Criterion(f"{name} falls with every method", f"{name}: change of the worst way", "score", "21_tests",
                  partial(evidence.change, score=score, methods=WAYS), "below", 0.0)
        for score, name in SCORES.items()
    )),
    Claim("C11", "Overall performance is not compromised", "digest", "the method", tuple(
        Criterion(f"{way}: perplexity of {name} within 5%", f"{way}: log perplexity of {name} to fine-tuned",
                  "log ratio", MEASURES,
                  partial(evidence.log_perplexity, method=method, start="finetuned", measure=f"{name}: perplexity",
                          stop=EQUAL_FORGETTING), "within", KEPT, part=way, fixed=MENDED, everywhere=True)
        for way, method in ((FIRST, PLAIN), (EMBEDDING, _way(FIRST, EMBEDDING, "plain")))
        for name in ("general text", "neighbours")
    )),
    Claim("C12", "Influence changes with the duration in a describable relation", "digest", "the score and the method",
          tuple(
        Criterion(f"{name} moves one way, {way}", f"{name} and step, {way}, |Spearman|", "rank correlation",
                  "21_related", partial(evidence.correlation, score=score, other="step", method=way, turned=True),
                  "above", MONOTONE, fixed=CLOSER)
        for score, name in ALONG for way in WAYS[:3]
    )),
)  # fmt: skip
