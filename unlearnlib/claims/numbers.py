"""The numbers behind the verdicts: from what notebooks 05, 06, 07 and 21 measure to the tables that claims read.

Pure functions from tables to tables, but for `at_whole_step`, which says how far an experiment is to walk. A verdict
hangs on which of two methods is subtracted from which; so that stands here, where it is tested, and in no notebook.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.statistics.groups import NAN
from unlearnlib.statistics.paired import Equivalence, compare_methods, equivalence_test
from unlearnlib.statistics.seeds import over_seeds

if TYPE_CHECKING:
    from unlearnlib.experiment.measured import Experiment
    from unlearnlib.experiment.variants import Variant

WHOLE = "all"  # the name of the whole model among layers
STATE = ["method", "step", "example"]  # one point in one state of the way
HALVES = ("answered", "likelier", "leak")  # C6: still known; known more strongly, by either of two readings


# C3: what some layers do at the whole model's step (notebook 05)


def at_whole_step(experiment: "Experiment", variants: Mapping[str, "Variant"], layers: Sequence[str]) -> pd.DataFrame:
    """Return the forget set's evaluation after each of `layers` has walked as far as the whole model has to.

    `variants` holds a way to unlearn for every name of layers, `all` among them. The step (L2 norm) is that at which
    `all` comes to equal forgetting, the same for all of them, whatever step a layer would need by itself. The rows are
    tidy; the column layers tells them apart. UserError for layers without a variant.
    """
    for name in (WHOLE, *layers):
        if name not in variants:
            raise UserError(f"no variant for the layers {name!r}: {nearest(name, variants)}")
    step = experiment.calibrated(variants[WHOLE]).step_size
    return pd.concat([experiment.at_step(variants[name], step, ["forget"]) for name in layers], ignore_index=True)


def falls(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return how far the forget set's mean answer probability fell: one row a seed, one column for layers of `after`.

    before: tidy rows of the fine-tuned models; after: those of at_whole_step. The value is before - after: above zero
    something was forgotten. UserError where `before` lacks a seed, and for several rows of one example.
    """
    start, end = (_answers(table, "forget") for table in (before, after))
    for table, keys in ((start, ["seed", "example"]), (end, ["seed", "layers", "example"])):
        if table.duplicated(keys).any():
            raise UserError("several rows for one example: give one model before, and one step for each of the layers")
    rows = {}
    for seed, part in end.groupby("seed", sort=False):
        known = start[start["seed"] == seed]["value"]
        if known.empty:
            raise UserError(f"no rows of seed {seed} before the step: give the fine-tuned models of the same seeds")
        rows[seed] = {name: known.mean() - rest["value"].mean() for name, rest in part.groupby("layers", sort=False)}
    return pd.DataFrame(list(rows.values()), index=pd.Index(list(rows), name="seed"))


def no_impact(fallen: pd.DataFrame, layers: str, share: float) -> Equivalence:
    """Return the equivalence test of "these layers have no impact": is their mean fall within so large a `share` of the
    whole model's? fallen: the table of `falls`. Where the whole model's step makes nothing fall there is nothing to
    compare with: no test, and the note says so."""
    for name in (WHOLE, layers):
        if name not in fallen:
            raise UserError(f"no falls of the layers {name!r}: {nearest(name, fallen.columns)}")
    effect = float(fallen[WHOLE].mean())
    if not effect > 0:
        note = "nothing is forgotten at the whole model's step: no effect to compare with"
        return Equivalence(len(fallen), NAN, NAN, mean=float(fallen[layers].mean()), note=note)
    return equivalence_test(fallen[layers], share * effect)


# C5 and C12: do influence scores follow what is known, and the duration? (notebook 21)


def correlations(states: pd.DataFrame, start: pd.DataFrame, scores: Sequence[str]) -> pd.DataFrame:
    """Return Spearman's rank correlations of influence scores within each seed: seed, score, with, method, spearman.

    with `answer probability`: over all points in all states of each method; above zero where the score is high for what
    is known. with `step`: of the mean over points; above zero where the score rises on the way.
    states: tidy rows after unlearning (seed, method, step, set, example, metric, value), of which the forget set
    counts; start: those of the fine-tuned models, which are step 0 of every method. A point without a score in a state
    is left out there; NaN where nothing varies.
    """
    begun = start[start["set"] == "forget"]
    started = [begun.assign(step=0.0, method=name) for name in dict.fromkeys(states["method"])]
    forget = pd.concat([states[states["set"] == "forget"], *started])
    rows = [(seed, *row) for seed, part in forget.groupby("seed") for row in _correlated(part, scores)]
    return pd.DataFrame(rows, columns=["seed", "score", "with", "method", "spearman"])


def _correlated(table: pd.DataFrame, scores: Sequence[str]) -> Iterator[tuple[str, str, str, float]]:
    known = table[table["metric"] == "answer_probability"].set_index(STATE)["value"]
    for metric in scores:
        score = table[table["metric"] == metric].set_index(STATE)["value"]
        both = pd.concat([known, score], axis=1, keys=["known", "score"]).dropna()
        for method, part in both.groupby("method"):
            yield metric, "answer probability", method, stats.spearmanr(part["known"], part["score"]).statistic
            steps = score.xs(method, level="method").groupby("step").mean()
            yield metric, "step", method, stats.spearmanr(steps.index, steps).statistic


def forms(states: pd.DataFrame, scores: Sequence[str]) -> pd.DataFrame:
    """Return how the forget set's mean of each score goes with the step: rows (seed, score, method, rises, exponent,
    fit).

    rises: of the moves from one step to the next, the share that goes up (1: always up, 0: always down, between: it
    turns). exponent and fit: of the power law mean = a step^exponent, fitted to the logarithms, with the share of their
    variance that it explains (R squared; 1 is a straight line); NaN where a mean is not above zero. states: as for
    correlations, with three steps at least.
    """
    forget = states[(states["set"] == "forget") & states["metric"].isin(list(scores))]
    means = forget.groupby(["seed", "metric", "method", "step"])["value"].mean()
    rows = []
    for key, part in means.groupby(level=["seed", "metric", "method"]):
        steps, values = part.index.get_level_values("step").to_numpy(float), part.to_numpy()
        line = stats.linregress(np.log(steps), np.log(values)) if (values > 0).all() else None
        law = (line.slope, line.rvalue**2) if line else (math.nan, math.nan)
        rows.append((*key, float((np.diff(values) > 0).mean()), *law))
    return pd.DataFrame(rows, columns=["seed", "score", "method", "rises", "exponent", "fit"])


def by_effort(states: pd.DataFrame, models: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Return the paper's test of before and after (C9; the unit are points) at every step of every method: the columns
    of unlearnlib.statistics.paired.compare_methods and step, which is NaN for the retrained model.

    states: as for correlations; models: rows of the methods finetuned (before) and retrained. Holm's adjustment is over
    the methods at one step; the retrained model, which has none, is tested alone.
    """
    before = models[models["method"] == "finetuned"]
    families = [(math.nan, models), *((step, pd.concat([before, part])) for step, part in states.groupby("step"))]
    frames = []
    for metric in metrics:
        for step, family in families:
            found = compare_methods(family, metric, "forget", "finetuned")
            frames.append(found[found["unit"] == "points"].assign(step=step))
    return pd.concat(frames, ignore_index=True)


# C6: what a stop short of the calibrated one leaves (notebook 06)


def stopped_early(stops: pd.DataFrame, limits: Mapping[str, float]) -> pd.DataFrame:
    """Return what each stop short of the calibrated one says, over seeds: one row per half, method and step.

    stops: one row per seed, method and step (in parts of the calibrated one; models have none), with the shares
    `answered`, `likelier` (see regimes.beyond_chance) and `leak`. Of a leak the excess over the fine-tuned model's
    counts. Columns: method, half (see HALVES), step, n (seeds), mean, sd, low, high (95% interval), d (mean / sd), and
    shown: whether the lower end (of `answered`) or the mean (of the others) is above its limit, and the lower end above
    zero. UserError for a seed without the fine-tuned model.
    """
    walked = stops.dropna(subset="step")
    before = dict(stops[stops["method"] == "finetuned"][["seed", "leak"]].itertuples(index=False, name=None))
    missing = [seed for seed in walked["seed"].unique() if seed not in before]
    if missing:
        raise UserError(f"no fine-tuned model of seed {missing[0]}: its leak is what the others are held against")
    excess = walked.assign(leak=walked["leak"] - walked["seed"].map(before))
    early = excess[excess["step"] < 1].melt(["seed", "method", "step"], list(HALVES), var_name="half")
    found = over_seeds(early, by=["method", "half", "step"])
    found["d"] = found["mean"] / found["sd"]
    bound = found["low"].where(found["half"] == "answered", found["mean"])
    return found.assign(shown=(bound > found["half"].map(limits)) & (found["low"] > 0))


# C7: is the fuzzy end a new optimum, and is iterative removal more complete? (notebook 07)


def left_above(ends: pd.DataFrame, targets: Mapping[int, float]) -> pd.DataFrame:
    """Return the answer probabilities of the forget set with the column above: 1.0 where a point is left, else 0.0.

    A point is left where its own answer probability is above the target of its seed. ends: tidy rows of several
    methods. UserError for a seed without a target.
    """
    known = _answers(ends, "forget")
    missing = [seed for seed in known["seed"].unique() if seed not in targets]
    if missing:
        raise UserError(f"no target for seed {missing[0]}: give one for every seed of the table")
    return known.assign(above=(known["value"] > known["seed"].map(targets)).astype(float))


def rises(lines: pd.DataFrame) -> pd.DataFrame:
    """Return how far the loss on each line rises above its higher end: rows seed, set, start, end, value.

    lines: rows of removal.landscape for several seeds. The value is in nats and at least 0: 0 is no barrier.
    """
    return pd.DataFrame(
        {"seed": seed, "set": name, "start": start, "end": end, "value": barrier(line)}
        for (seed, name, start, end), line in lines.groupby(["seed", "set", "start", "end"], sort=False)
    )


def barrier(line: pd.DataFrame) -> float:
    """Return how far the loss on one line rises above its higher end (nats, at least 0): 0 is no barrier.

    `line` holds the rows of one line and set of removal.landscape.
    """
    values = line.sort_values("share")["value"].to_numpy()
    return float(values.max() - max(values[0], values[-1]))


def fuzzy_against_iterative(
    stationary: pd.DataFrame, risen: pd.DataFrame, left: pd.DataFrame, means: pd.DataFrame
) -> pd.DataFrame:
    """Return the five statistics of the two modalities: rows seed, value, what; one row per statistic and seed.

    stationary: gradient_norm by seed and method; risen: of `rises`; left: of `left_above`; means: mean answer
    probabilities by seed, method and set. In this order: the log ratio of the gradient norms, fuzzy over retrained
    (0: as much at rest); on the retained texts the lower of the two rises on the way to and from the fuzzy end (nats);
    the share of points left, fuzzy minus iterative (above 0: iterative removal is more complete); the same of the
    paraphrases' mean answer probability; and of the share left where each goes to its own end. UserError for a method
    that a table lacks.
    """
    norm = _method_of(stationary.pivot(index="seed", columns="method", values="gradient_norm"))
    share = _method_of(left.pivot_table(index="seed", columns="method", values="above"))
    other = _method_of(_answers(means, "paraphrase").pivot(index="seed", columns="method", values="value"))
    ways = risen[(risen["set"] == "retain") & ((risen["start"] == "fuzzy") | (risen["end"] == "fuzzy"))]
    statistic = {
        "log gradient norm, fuzzy / retrained": (norm("fuzzy") / norm("retrained")).map(math.log),
        "rise on the lines, nats": ways.groupby("seed")["value"].min(),
        "share left, fuzzy - iterative": share("fuzzy") - share("iterative"),
        "beside: paraphrases, fuzzy - iterative": other("fuzzy") - other("iterative"),
        "beside: share left, each at its own end": share("fuzzy on picks") - share("iterative to the last"),
    }
    return pd.concat([column.rename("value").reset_index().assign(what=name) for name, column in statistic.items()])


def _answers(table: pd.DataFrame, of: str) -> pd.DataFrame:
    return table[(table["metric"] == "answer_probability") & (table["set"] == of)]


def _method_of(wide: pd.DataFrame) -> Callable[[str], pd.Series]:
    """Return a function from a method to its column; UserError for one that the table lacks."""

    def of(method: str) -> pd.Series:
        if method not in wide.columns:
            raise UserError(f"the table has no method {method!r}: {nearest(method, wide.columns)}")
        return wide[method]

    return of
