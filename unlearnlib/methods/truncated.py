"""Retraining cut short: the base model tuned on the retained texts for less than a whole training.

What any method has to beat at equal compute: it has never read what is to be forgotten, and knows the rest the better
the longer it goes on.
"""

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path as FilePath

import pandas as pd
import torch

from unlearnlib.core.errors import UserError
from unlearnlib.methods.path import Path, opened
from unlearnlib.methods.request import Request
from unlearnlib.training import replay
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.schedule import schedule
from unlearnlib.training.storage import load_parameters, save_parameters


def truncated_retraining(request: Request, epochs: Sequence[int] = (1, 2, 4)) -> Path:
    """Return the path of trainings of the base model on the retained texts alone; a stop for each number of `epochs`.

    Each is a training of its own, by the plan of the fine-tuning (request.log), with a warm-up and a decay as long as
    itself. Efforts are optimizer steps. UserError for numbers that do not rise from 1 on, and where nothing is kept.
    """
    if not epochs or list(epochs) != sorted(set(epochs)) or epochs[0] < 1:
        raise UserError(f"epochs {list(epochs)}: give whole numbers that rise, from 1 on")
    if not request.retain:
        raise UserError("no texts to retain: there is nothing to train on")
    plan, lengths = replay.log_of(request.log).plan, {name: len(text) for name, text in request.retain.items()}
    trainings = {count: schedule(lengths, replace(plan, epochs=count), request.seed) for count in epochs}
    stops = {0.0: 0, **{float(len(steps)): count for count, steps in trainings.items()}}
    base, retain = request.base, request.retain

    def compute(folder: FilePath) -> None:
        spent = {}
        for count, steps in trainings.items():
            model, started = copy.deepcopy(base), time.process_time()
            fine_tune(model, retain, steps, plan, progress=f"retraining, {count} epochs")
            spent[count] = time.process_time() - started
            save_parameters(_stop(folder, count), model)
        pd.Series(spent, name="seconds").rename_axis("epochs").to_csv(folder / "seconds.csv")

    @contextmanager
    def at(effort: float) -> Iterator[torch.nn.Module]:
        model = request.start
        with opened(model, [name for name, _ in model.named_parameters()]):
            if effort:
                load_parameters(_stop(request.keep(compute, "truncated"), stops[effort]), model)
            yield model

    def seconds(effort: float) -> float:
        spent = pd.read_csv(request.keep(compute, "truncated") / "seconds.csv").set_index("epochs")["seconds"]
        return float(spent[stops[effort]]) if effort else 0.0

    return Path(at, "optimizer steps", tuple(stops), seconds=seconds)


def _stop(folder: FilePath, epochs: int) -> FilePath:
    return folder / f"after-{epochs}-epochs.safetensors"
