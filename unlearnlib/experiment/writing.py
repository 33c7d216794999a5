"""What a model of an experiment writes: how near it comes to what the texts say, and whose answers stand in it."""

from collections.abc import Iterable

import pandas as pd

from unlearnlib.core.tables import tidy
from unlearnlib.experiment.ends import step_at
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant
from unlearnlib.measures import regimes
from unlearnlib.measures.generation import rouge_rows


def rouge(
    experiment: Experiment,
    of: Variant | str,
    fraction: float | None = None,
    sets: Iterable[str] = ("forget", "retain"),
) -> pd.DataFrame:
    """Return tidy rows with ROUGE-1/2/L precision, recall and F1 (1 is best) of what a model writes to the prompts of
    these sets, against what their texts say.

    `of` is a model's name, or a Variant with the `fraction` of its step to equal forgetting (column step).
    """
    return _at(rouge_at(experiment, of, step_at(experiment, of, fraction), sets), fraction)


def rouge_at(
    experiment: Experiment,
    of: Variant | str,
    step_size: float | None = None,
    sets: Iterable[str] = ("forget", "retain"),
) -> pd.DataFrame:
    """Return the same rows for a model's name, or for a Variant at a `step_size`."""
    scores = rouge_rows(experiment.generations(of, sets, step_size))
    scores = tidy(scores, profile=experiment.profile.name, seed=experiment.seed)
    return experiment.named(scores, of, step_size)


def leaks(experiment: Experiment, of: Variant | str, fraction: float | None = None) -> pd.DataFrame:
    """Return what a model writes to the neighbours' prompts, with the metric `leak`: 1.0 where one of the forget set's
    answers stands in it that is not this neighbour's own, else 0.0 (see unlearnlib.measures.regimes.leaks).

    `of` is a model's name, or a Variant with the `fraction` of its step to equal forgetting (column step).
    """
    written = experiment.generations(of, ["retain"], step_at(experiment, of, fraction))
    answers = {record.answer for record in experiment.split.forget}
    own = {record.id: record.answer for record in experiment.split.retain}
    found = regimes.leaks(written, answers, own)
    return _at(tidy(written, metric="leak", value=found.astype(float)), fraction)


def _at(table: pd.DataFrame, fraction: float | None) -> pd.DataFrame:
    return table if fraction is None else tidy(table, step=fraction)
