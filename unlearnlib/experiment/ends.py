"""Where methods end: at which stop, what they did on the way, how far from each other, and on which slope."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import pandas as pd

from unlearnlib.core.errors import UserError
from unlearnlib.core.tables import tidy
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant, distinct
from unlearnlib.gradients import algebra
from unlearnlib.gradients.algebra import Gradient, between
from unlearnlib.measures.landscape import landscape, training_gradient_norm
from unlearnlib.methods.equal_forgetting import Calibration
from unlearnlib.methods.fuzzy_matching import fuzzy_ascent, groups, picked, similarity
from unlearnlib.methods.path import Path, applied, change_between

# Each variant with the effort at which it ends.
Ends = Sequence[tuple[Variant, float]]


def likeness(experiment: Experiment, query: str, scorer: str) -> pd.DataFrame:
    """Return rows (profile, seed, example, group, score): how like the query every trained text is (0 to 100)."""
    found, group = similarity(query, experiment.trained_texts, scorer), groups(experiment.split)
    table = pd.DataFrame({"example": name, "group": group[name], "score": score} for name, score in found.items())
    return tidy(table, profile=experiment.profile.name, seed=experiment.seed)


def removed(experiment: Experiment, variant: Variant) -> list[str]:
    """Return the ids of the texts that a variant is to remove, sorted: those its query picks, or the forget set."""
    if variant.known.unlearn is not fuzzy_ascent:
        return sorted(experiment.sets["forget"].names)
    chosen = {name: value for name, value in variant.options.items() if name in ("query", "scorer", "threshold")}
    return picked(texts=experiment.trained_texts, **chosen)


def mean_probability(experiment: Experiment, names: Sequence[str], model) -> float:
    """Return a model's mean answer probability of these trained texts: a stop may watch it, not the forget set."""
    return float(experiment.answer_probabilities(model, names).mean())


def on_picks(experiment: Experiment, variant: Variant) -> Calibration:
    """Return where a variant comes to the target on the texts that it is to remove, in place of the forget set."""
    return experiment.calibrated(variant, measure=partial(mean_probability, experiment, removed(experiment, variant)))


def at_last(experiment: Experiment, variant: Variant) -> Calibration:
    """Return the last stop of a path, reached where the forget set had come to the target by then."""
    found, path = experiment.calibrated(variant), experiment.path(variant)
    return Calibration(path.stops[-1], found.value, found.reached, found.evaluated)


def step_at(experiment: Experiment, of: Variant | str, fraction: float | None) -> float | None:
    """Return the step size at a `fraction` of a variant's step to equal forgetting (0.5: half of it; 1: the step
    itself). None for a model's name with no `fraction`; UserError for one with a fraction: a model has no step."""
    if fraction is None:
        return None
    if isinstance(of, str):
        raise UserError(f"the model {of!r} has no step: leave the fraction out")
    return fraction * experiment.calibrated(of).step_size


def at_fraction(
    experiment: Experiment, variant: Variant, fraction: float, sets: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return the tidy evaluation of the model at a `fraction` of a variant's step to equal forgetting, on the named
    sets (default: all); the column step is the fraction."""
    return experiment.at_step(variant, step_at(experiment, variant, fraction), sets).assign(step=fraction)


def visits(experiment: Experiment, variant: Variant, end: Calibration) -> pd.DataFrame:
    """Return the steps of a variant up to its end: the log of its path, or the one row of a single ascent.

    Columns: those of unlearnlib.methods.iterative.Walk, method, layers, reached, and picked (how many texts are to go).
    """

    def compute() -> pd.DataFrame:
        path = experiment.path(variant)
        if path.log is not None:
            return path.log(end.step_size)
        row = {"pass": 0, "point": "all at once", "steps": 1, "step_size": end.step_size, "mean": end.value}
        return pd.DataFrame([row])

    found = experiment.table("visits", {"of": experiment.of(variant, end.step_size), "value": end.value}, compute)
    count = len(removed(experiment, variant))
    return tidy(found, method=variant.name, layers=variant.layers, reached=end.reached, picked=count)


def totals(visited: pd.DataFrame) -> pd.DataFrame:
    """Return what each variant did in all, from rows of `visits`: one row per method and seed (the index).

    Columns: texts (how many are to go), visited (at how many visits a step was taken), steps, way (sum of the steps'
    L2 norms), reached.
    """
    return visited.groupby(["method", "seed"], sort=False).agg(
        texts=("picked", "first"),
        visited=("steps", lambda steps: (steps > 0).sum()),
        steps=("steps", "sum"),
        way=("step_size", "sum"),
        reached=("reached", "first"),
    )


def evaluated(experiment: Experiment, variant: Variant, end: Calibration, sets: Sequence[str]) -> pd.DataFrame:
    """Return the tidy evaluation of the model that a variant ends with, on the named sets (column reached)."""
    return experiment.at_step(variant, end.step_size, sets).assign(reached=end.reached)


def with_models(
    experiment: Experiment, stops: Iterable[tuple[Variant, Calibration]], sets: Sequence[str]
) -> pd.DataFrame:
    """Return the tidy evaluation, on the named sets, of the fine-tuned model, the retrained one, and the one that each
    variant ends with (column reached); the neighbours are divided into groups (see grouped)."""
    models = experiment.references().query("method != 'base' and set in @sets")
    unlearned = [evaluated(experiment, variant, end, sets) for variant, end in stops]
    return grouped(experiment, pd.concat([models, *unlearned], ignore_index=True))


# Walks of several step lengths


def at_lengths(
    experiment: Experiment, walks: Iterable[Variant], variant: Variant, end: Calibration, sets: Sequence[str]
) -> pd.DataFrame:
    """Return the tidy evaluation, on the named sets, of each of several `walks` at its last stop.

    The column longest_step is the walk's option `longest` (L2 norm). Before them come, without a longest step, another
    `variant` at its own `end` and the retrained model.
    """
    found = [evaluated(experiment, variant, end, sets)]
    found.append(experiment.references().query("method == 'retrained' and set in @sets"))
    for walk in walks:
        walked = evaluated(experiment, walk, at_last(experiment, walk), sets)
        found.append(walked.assign(longest_step=walk.options["longest"]))
    return pd.concat(found)


def by_length(
    walked: pd.DataFrame, targets: Mapping[int, float], labels: Mapping[tuple[str, str], str]
) -> pd.DataFrame:
    """Return what walks of each step length left, as means over examples: rows (what, method, longest_step, seed,
    value), in the order of `labels`.

    walked: rows of `at_lengths` of several seeds; targets: the target of equal forgetting by seed; labels: what a set
    and metric are called, all others are left out. Of the forget set the value is the share of points whose own answer
    probability is above the target (0 to 1; 0: everything is forgotten).
    """
    above = walked["value"] > walked["seed"].map(targets)
    table = walked.assign(value=walked["value"].where(walked["set"] != "forget", above.astype(float)))
    table["what"] = [labels.get(pair) for pair in zip(table["set"], table["metric"], strict=True)]
    keys = ["what", "method", "longest_step", "seed"]
    means = table.groupby(keys, dropna=False, sort=False)["value"].mean().reset_index().dropna(subset="what")
    return means.sort_values("what", key=lambda names: names.map(list(labels.values()).index), kind="stable")


def grouped(experiment: Experiment, table: pd.DataFrame) -> pd.DataFrame:
    """Return `table` (columns set, example) with the set `retain` divided into its groups (see groups)."""
    group = table["example"].map(groups(experiment.split))
    return table.assign(set=table["set"].mask(table["set"] == "retain", group))


def change(experiment: Experiment, variant: Variant, effort: float) -> Gradient:
    """Return what a variant has added to the parameters of the fine-tuned model at an effort."""
    return added(experiment, experiment.path(variant), effort)


def added(experiment: Experiment, path: Path, effort: float) -> Gradient:
    """Return what a path of this experiment adds to the parameters of the fine-tuned model at an effort."""
    if path.change is not None:
        return path.change(effort)
    with path.at(effort) as model:
        return change_between(experiment.load("finetuned"), model)


def _changes(experiment: Experiment, ends: Ends) -> dict[str, Gradient]:
    return {
        "finetuned": {},
        "retrained": change_between(experiment.finetuned, experiment.retrained),
        **{variant.name: change(experiment, variant, effort) for variant, effort in ends},
    }


def _key(experiment: Experiment, ends: Ends) -> dict:
    distinct([variant for variant, _ in ends])
    return {"of": {variant.name: experiment.of(variant, effort) for variant, effort in ends}}


def stationary(experiment: Experiment, ends: Ends) -> pd.DataFrame:
    """Return rows (method, gradient_norm) for the fine-tuned, the retrained and each unlearned model: the norm of
    the gradient (L2) over all parameters of the training loss on the retained texts."""
    key = _key(experiment, ends)

    def compute() -> pd.DataFrame:
        texts, rows = experiment.sets["retain"].texts, []
        for name, added in _changes(experiment, ends).items():
            with applied(experiment.finetuned, added) as model:
                rows.append((name, training_gradient_norm(model, texts)))
        return pd.DataFrame(rows, columns=["method", "gradient_norm"])

    return experiment.table("stationary", key, compute)


def distances(experiment: Experiment, ends: Ends) -> pd.DataFrame:
    """Return rows (one, other, distance): the L2 distance over all parameters of every pair out of the fine-tuned, the
    retrained and each unlearned model."""
    key = _key(experiment, ends)

    def compute() -> pd.DataFrame:
        changes = _changes(experiment, ends)
        rows = [
            (one, other, algebra.norm(algebra.plus(changes[other], between(changes[one], {}, 2.0))))
            for one, other in itertools.combinations(changes, 2)
        ]
        return pd.DataFrame(rows, columns=["one", "other", "distance"])

    return experiment.table("distances", key, compute)


def lines(experiment: Experiment, ends: Ends, points: int = 7, every: int = 2) -> pd.DataFrame:
    """Return the loss of the forget and the retain texts on the lines fine-tuned to retrained, fine-tuned to unlearned
    and unlearned to retrained (see unlearnlib.measures.landscape); of each set every `every`-th text is read."""
    key = _key(experiment, ends)
    pairs = [("finetuned", "retrained")]
    for variant, _ in ends:
        pairs += [("finetuned", variant.name), (variant.name, "retrained")]

    def compute() -> pd.DataFrame:
        texts = {name: experiment.sets[name].texts[::every] for name in ("forget", "retain")}
        return landscape(experiment.finetuned, _changes(experiment, ends), pairs, texts, points)

    return experiment.table("lines", {**key, "points": points, "every": every}, compute)
