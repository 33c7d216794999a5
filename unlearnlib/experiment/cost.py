"""What it costs to forget: how far a method goes, how long that takes, what had to be prepared and stored for it."""

import json
import time

import pandas as pd

from unlearnlib.core.tables import tidy
from unlearnlib.experiment import ends, fine_tuning
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.trained import COST
from unlearnlib.experiment.variants import Variant
from unlearnlib.gradients import algebra
from unlearnlib.methods.path import change_between

# What lies in the fine-tuned model's folder for the sake of a request to come, by the field that reads it.
STORED = {
    "record": ("points.safetensors", "sums.safetensors"),
    "second_moments": ("second_moments.safetensors",),
    "log": ("log.csv", "schedule.json"),
}
COLUMNS = ["effort", "unit", "norm", "seconds", "prepared_seconds", "stored_bytes", "uses"]


def cost(experiment: Experiment, variant: Variant, effort: float) -> pd.DataFrame:
    """Return one row: what it costs to come to the model that a variant reaches at `effort` (cached).

    Columns: effort in its unit; norm, the L2 norm of what was added to the parameters; seconds, from the request to the
    model (CPU time of the process; without the search for this effort, which is the evaluation's); prepared_seconds,
    what recording gradients added to fine-tuning; stored_bytes, what was kept for it; uses, what the method reads
    beside the model. Lower is cheaper in all of them. A second run gives other seconds.
    """

    def compute() -> pd.DataFrame:
        started = time.process_time()
        path = experiment.new_path(variant, experiment.new_request())
        with path.at(effort):
            seconds = time.process_time() - started
        seconds = seconds if path.seconds is None else path.seconds(effort)
        norm = algebra.norm(ends.added(experiment, path, effort))
        uses = sorted(variant.known.uses - {"keep"})
        prepared = spent(experiment, "finetuned")["recording"] if "record" in uses else 0.0
        row = (effort, path.unit, norm, seconds, prepared, stored(experiment, uses), ", ".join(uses))
        return pd.DataFrame([row], columns=COLUMNS)

    key = {"of": experiment.of(variant, effort)}
    return tidy(experiment.table("cost", key, compute), method=variant.name, layers=variant.layers)


def of_retraining(experiment: Experiment) -> pd.DataFrame:
    """Return the same row of the retrained model: what it cost to train without the points, in place of unlearning."""

    def compute() -> pd.DataFrame:
        norm = algebra.norm(change_between(experiment.finetuned, experiment.retrained))
        steps = len(fine_tuning.training_log(experiment, "retrained"))
        row = (steps, "optimizer steps", norm, spent(experiment, "retrained")["seconds"], 0.0, 0, "base, retain")
        return pd.DataFrame([row], columns=COLUMNS)

    return tidy(experiment.table("cost", {"of": "retrained"}, compute), method="retrained")


def spent(experiment: Experiment, name: str) -> dict[str, float]:
    """Return the CPU seconds of a training (`seconds`), and what of them the recording took (`recording`)."""
    return json.loads((experiment.folder(name) / COST).read_text())


def stored(experiment: Experiment, uses: list[str]) -> int:
    """Return the bytes that lie in the fine-tuned model's folder for a method that uses these fields of a request."""
    folder = experiment.folder("finetuned")
    files = [folder / name for field in uses for name in STORED.get(field, ())]
    return sum(path.stat().st_size for path in files if path.exists())
