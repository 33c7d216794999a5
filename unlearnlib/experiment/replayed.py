"""Replays of one seed: what they save, and whether they are what retraining gives."""

import json
import time
from collections.abc import Collection

import pandas as pd

from unlearnlib.experiment import training_jobs
from unlearnlib.experiment.measured import Experiment
from unlearnlib.models import loading
from unlearnlib.training import replay, storage


def savings(experiment: Experiment, kind: str) -> pd.DataFrame:
    """Return what replaying the training of a model without one point saves, one row for each point of the forget set:
    the columns of unlearnlib.training.replay.savings, and seed. kind: finetuned or late."""
    folder = experiment.folder(kind)
    points = [record.id for record in experiment.split.forget]
    table = replay.savings(replay.log_of(folder).steps, storage.saved_states(folder), points)
    return table.assign(seed=experiment.seed)


def compared(experiment: Experiment, kind: str, removed: Collection[str], with_model: tuple[str, str]) -> pd.DataFrame:
    """Return one row that says whether a replay without `removed` equals the retraining without them (cached).

    kind: of the model to replay from (finetuned or late); with_model: kind and name of the retrained one. Columns:
    manifest (JSON) and its counts of steps, removed (how many texts), equal_parameters and equal_optimizer (None where
    the retrained model was saved without its optimizer), seconds (of the replay, process CPU time).
    """

    def compute() -> pd.DataFrame:
        sets = experiment.sets
        texts = {name: text for of in ("forget", "retain") for name, text in _pairs(sets[of]) if name not in removed}
        started, base = (
            time.process_time(),
            loading.load(experiment.profile.base_model, on=experiment.profile.device)[0],
        )
        manifest = replay.replay(experiment.folder(kind), base, texts, removed).manifest
        seconds = time.process_time() - started
        after, other = manifest["sha256 after"], replay.stored_digest(experiment.folder(*with_model))
        equal = {f"equal_{what}": after[what] == other[what] if what in other else None for what in after}
        return pd.DataFrame([{"manifest": json.dumps(manifest), "removed": len(removed), **equal, "seconds": seconds}])

    of = [experiment.fingerprint(kind), experiment.fingerprint(*with_model)]
    found = experiment.table("replay", {"kind": kind, "removed": sorted(removed), "of": of}, compute)
    manifest = json.loads(found["manifest"].iloc[0])
    shown = ["first step that held a removed text", "resumed after step", "steps in the log", "steps replayed"]
    return found.assign(**{name.replace(" ", "_"): manifest[name] for name in shown})


def few_points(experiment: Experiment) -> pd.DataFrame:
    """Return whether a replay of the fine-tuning without a few points, the smallest of the profile's forget_sizes, is
    the model retrained without them (see compared)."""
    name = f"without {min(experiment.profile.forget_sizes)}"
    removed = training_jobs.models(experiment.profile, "smaller-sets", experiment.seed)[name]
    return compared(experiment, "finetuned", removed, ("smaller-sets", name))


def subject_late(experiment: Experiment) -> pd.DataFrame:
    """Return whether a replay without any of the subject's points, where these came in a second stage of training, is
    the model retrained in two stages without them (see compared)."""
    removed = [record.id for record in experiment.split.forget]
    with_model = ("late-retrained", "late-retrained")
    return compared(experiment, "late", removed, with_model)


def _pairs(examples) -> zip:
    return zip(examples.names, examples.texts, strict=True)
