"""Replays of one seed: what they save, and whether they are what retraining gives."""

import json
import time

import pandas as pd

from unlearnlib.experiment import setting
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.setting import ModelId
from unlearnlib.models import loading
from unlearnlib.training import replay, storage


def savings(experiment: Experiment, kind: str) -> pd.DataFrame:
    """Return what replaying the training of a model without one point saves, one row for each point of the forget set:
    the columns of unlearnlib.training.replay.savings, and seed. kind: finetuned or late."""
    folder = experiment.folder(kind)
    points = [record.id for record in experiment.split.forget]
    table = replay.savings(replay.log_of(folder).steps, storage.saved_states(folder), points)
    return table.assign(seed=experiment.seed)


def compared(experiment: Experiment, logged: ModelId, retrained: ModelId) -> pd.DataFrame:
    """Return one row that says whether a replay of one training without some texts equals the retraining without them
    (cached).

    logged: the model whose log is replayed; retrained: the model trained without these texts. Columns:
    manifest (JSON) and its counts of steps, removed (how many texts), equal_parameters and equal_optimizer (None where
    the retrained model was saved without its optimizer), seconds (of the replay, process CPU time).
    """

    removed = retrained.without

    def compute() -> pd.DataFrame:
        sets = experiment.sets
        texts = {name: text for of in ("forget", "retain") for name, text in _pairs(sets[of]) if name not in removed}
        started, base = (
            time.process_time(),
            loading.load(experiment.profile.base_model, on=experiment.profile.device)[0],
        )
        manifest = replay.replay(experiment.folder(logged), base, texts, removed).manifest
        seconds = time.process_time() - started
        after, other = manifest["sha256 after"], replay.stored_digest(experiment.folder(retrained))
        equal = {f"equal_{what}": after[what] == other[what] if what in other else None for what in after}
        return pd.DataFrame([{"manifest": json.dumps(manifest), "removed": len(removed), **equal, "seconds": seconds}])

    of = [experiment.fingerprint(logged), experiment.fingerprint(retrained)]
    found = experiment.table("replay", {"of": of}, compute)
    manifest = json.loads(found["manifest"].iloc[0])
    shown = ["first step that held a removed text", "resumed after step", "steps in the log", "steps replayed"]
    return found.assign(**{name.replace(" ", "_"): manifest[name] for name in shown})


def few_points(experiment: Experiment) -> pd.DataFrame:
    """Return whether a replay of the fine-tuning without a few points, the smallest of the profile's forget_sizes, is
    the model retrained without them (see compared)."""
    models = setting.smaller_sets(experiment.profile, experiment.seed)
    return compared(experiment, experiment.setting.start, min(models, key=lambda model: len(model.without)))


def subject_late(experiment: Experiment) -> pd.DataFrame:
    """Return whether a replay without any of the subject's points, where these came in a second stage of training, is
    the model retrained in two stages without them (see compared)."""
    both = (of(experiment.profile, experiment.seed) for of in (setting.late, setting.late_retrained))
    return compared(experiment, *both)


def _pairs(examples) -> zip:
    return zip(examples.names, examples.texts, strict=True)
