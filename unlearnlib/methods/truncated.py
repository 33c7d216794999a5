"""Retraining cut short: the base model tuned on the retained texts for less than a whole training.

What any method has to beat at equal compute: it has never read what is to be forgotten, and knows the rest the better
the longer it goes on.
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path as FilePath

import pandas as pd

from unlearnlib.core.errors import UserError
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import on_disk, stop_file
from unlearnlib.training import replay
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.schedule import schedule
from unlearnlib.training.storage import save_parameters


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
    trainings = [schedule(lengths, replace(plan, epochs=count), request.seed) for count in epochs]
    base, retain = request.base, request.retain

    def compute(folder: FilePath) -> None:
        rows = []
        for steps in trainings:
            model, started = copy.deepcopy(base), time.process_time()
            fine_tune(model, retain, steps, plan, progress=f"retraining, {len(steps)} steps")
            rows.append((len(steps), time.process_time() - started))
            save_parameters(stop_file(folder, len(steps)), model)
        pd.DataFrame(rows, columns=["step", "seconds"]).to_csv(folder / "log.csv", index=False)

    stops = (0.0, *(float(len(steps)) for steps in trainings))
    return on_disk(request, lambda: request.keep(compute, "truncated"), stops)
