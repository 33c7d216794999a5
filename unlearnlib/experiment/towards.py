"""Whole paths as seen from the retrained model: how far from it each stop is, and whether the way leads to it."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from unlearnlib.core.tables import tidy
from unlearnlib.experiment import closeness, ends
from unlearnlib.experiment.measured import Experiment, set_of
from unlearnlib.experiment.stops import EQUAL, outputs_gone
from unlearnlib.experiment.variants import Variant
from unlearnlib.gradients import algebra
from unlearnlib.measures.distance import divergence, log_distributions
from unlearnlib.methods.path import change_between

SETS = ("forget", "retain", "heldout", "general")
BESIDE = ("retain", "general")  # what is asked and read beside the distances
NEIGHBOURS = 100  # so many of the neighbours' points are asked and read at most, the first
# Parts of the effort of equal forgetting at which a path without stops is looked at.
FRACTIONS = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0, 1.25, 1.6, 2.0)


def divergences(
    experiment: Experiment, of: Variant | str, step_size: float | None = None, sets: Iterable[str] = SETS
) -> pd.DataFrame:
    """Return tidy rows (metric `kl`) of every text of some sets: KL(retrained || model), the mean over its tokens in
    nats; 0 is the retrained model itself. The sets are those of closeness: of a point its first paraphrase alone."""
    sets = tuple(sets)

    def compute() -> pd.DataFrame:
        rows, batch = [], experiment.profile.evaluation_batch
        with experiment.at(of, step_size) as model:
            for name in sets:
                examples = closeness.read(experiment, name)
                ours, theirs = log_distributions(model, examples.texts, batch), closeness.of_retrained(experiment, name)
                for example, mine, reference in zip(examples.names, ours, theirs, strict=True):
                    rows.append((set_of(name), example, "kl", divergence(reference, mine)))
        return pd.DataFrame(rows, columns=["set", "example", "metric", "value"])

    found = experiment.table("divergences", {"of": experiment.of(of, step_size), "sets": list(sets)}, compute)
    return experiment.named(found, of, step_size)


def seen(experiment: Experiment, of: Variant | str, step_size: float | None = None) -> pd.DataFrame:
    """Return the tidy rows that unlearnlib.measures.collateral needs of a model: the evaluation of BESIDE, and the
    divergences of SETS; of the neighbours NEIGHBOURS points at most."""
    asked = experiment.at_step(of, step_size, limited(experiment, BESIDE))
    return pd.concat([asked, divergences(experiment, of, step_size, limited(experiment, SETS))])


def limited(experiment: Experiment, sets: Iterable[str]) -> list[str]:
    """Return the names of sets, with that of the first NEIGHBOURS points in place of `retain` where it has more."""
    some = f"retain:{NEIGHBOURS}" if len(experiment.split.retain) > NEIGHBOURS else "retain"
    return [some if name == "retain" else name for name in sets]


def at_ends(experiment: Experiment, variants: Iterable[Variant], stop: str = EQUAL) -> pd.DataFrame:
    """Return the rows of `seen` for every variant where it comes to a stop (one of unlearnlib.experiment.stops), with
    the columns stop and reached."""
    frames = []
    for variant in variants:
        end = experiment.calibrated(variant) if stop == EQUAL else outputs_gone(experiment, variant)
        frames.append(seen(experiment, variant, end.step_size).assign(stop=stop, reached=end.reached))
    return pd.concat(frames)


def cosine(experiment: Experiment, variant: Variant, effort: float) -> float:
    """Return the cosine between what a variant adds to the parameters and what retraining would add (retrained minus
    fine-tuned): 1 points at the retrained model, 0 is across."""

    def compute() -> pd.DataFrame:
        wanted = change_between(experiment.finetuned, experiment.retrained)
        mine = ends.change(experiment, variant, effort)
        product = algebra.dot(mine, wanted)
        return pd.DataFrame({"cosine": [product / (algebra.norm(mine) * algebra.norm(wanted))]})

    found = experiment.table("cosine", {"of": experiment.of(variant, effort)}, compute)
    return float(found["cosine"].iloc[0])


def efforts(experiment: Experiment, variant: Variant, fractions: Iterable[float] = FRACTIONS) -> list[float]:
    """Return the efforts at which a path is looked at: its stops, or `fractions` of that of equal forgetting."""
    path = experiment.path(variant)
    if path.stops is not None:
        return [stop for stop in path.stops if stop]
    return [float(part) for part in np.array(fractions) * experiment.calibrated(variant).step_size]


def along(
    experiment: Experiment,
    variant: Variant,
    sets: Iterable[str] = ("forget", "retain"),
    fractions: Iterable[float] = FRACTIONS,
) -> pd.DataFrame:
    """Return the mean distances of a whole path from the retrained model: rows (set, metric, value), with the column
    step, which counts the stops (see efforts). Step 0 is the model to start from."""
    sets = limited(experiment, sets)
    found = [divergences(experiment, "finetuned", sets=sets).assign(step=0, step_size=0.0)]
    for number, effort in enumerate(efforts(experiment, variant, fractions), 1):
        found.append(divergences(experiment, variant, effort, sets).assign(step=number, step_size=effort))
    table = pd.concat(found, ignore_index=True)
    means = table.groupby(["seed", "step", "step_size", "set", "metric"], sort=False)["value"].mean().reset_index()
    return tidy(means, profile=experiment.profile.name, method=variant.name, layers=variant.layers)
