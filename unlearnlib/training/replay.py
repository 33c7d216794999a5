"""Exact replay: the model that training without some texts would have given, from the log of the training with them.

Up to the first step that held a removed text both trainings are the same; so a replay starts from the last state that
was saved before that step, and goes on by the rule that stands in unlearnlib.training.schedule. On one machine, with
one thread, its parameters, moments and step counters equal those of the retraining bit by bit.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.training import storage
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.schedule import Plan, Step


@dataclass(frozen=True)
class Replayed:
    """What a replay gives beside the model: the optimizer, the log of the steps taken, and the manifest."""

    optimizer: torch.optim.Optimizer
    log: pd.DataFrame
    manifest: Mapping


@dataclass(frozen=True)
class Log:
    """The training log that a replay starts from: plan, schedule, the texts it was itself without, seed, its sha256."""

    plan: Plan
    steps: list[Step]
    removed: tuple[str, ...]
    seed: int
    sha256: str


def log_of(folder: Path) -> Log:
    """Return the training log in a model's folder; UserError where there is none, or where it cannot be read."""
    path = Path(folder) / "schedule.json"
    try:
        written = path.read_bytes()
        log = json.loads(written)
        steps = [Step(**{**step, "ids": tuple(step["ids"])}) for step in log["steps"]]
        plan = Plan(**log["plan"])
        return Log(plan, steps, tuple(log["removed"]), log["seed"], hashlib.sha256(written).hexdigest())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"no training log in {Path(folder).name} ({type(error).__name__} in schedule.json): replay from a model "
            "that was saved with its log, such as the kind finetuned, or delete the folder and train again"
        ) from None


def first_use(steps: Sequence[Step], removed: Collection[str]) -> int:
    """Return the number of the first step that held a removed text; UserError for a text that no step names."""
    if not removed:
        raise UserError("nothing to remove: name at least one text")
    known = {name for step in steps for name in step.ids}
    wrong = sorted(set(removed) - known)
    if wrong:
        raise UserError(f"the training log knows no text {wrong[0]!r}: {nearest(wrong[0], known)}")
    return next(step.step for step in steps if not set(removed).isdisjoint(step.ids))


def resumes_after(states: Sequence[int], first: int) -> int | None:
    """Return the last saved state before step `first`; None where a replay has to start at the base model."""
    return max((state for state in states if state < first), default=None)


def replay(
    folder: Path, base, texts: Mapping[str, Sequence[int]], removed: Collection[str], progress: str | None = None
) -> Replayed:
    """Turn `base`, the model before fine-tuning, into the model trained without `removed`, in place.

    folder: of the model trained with them, which holds the log and the saved states; texts: token ids of the other
    texts (those of `removed` need not be there, and are never read). Raises UserError for an id that the log does not
    know and for a folder without a log.
    """
    folder = Path(folder)
    log = log_of(folder)
    first = first_use(log.steps, removed)
    resumed = resumes_after(storage.saved_states(folder), first)
    optimizer, start = None, 0
    if resumed is not None:
        optimizer, start = storage.load_state(folder, base, log.plan, resumed), resumed + 1
    left = [step for step in log.steps if step.step >= start]
    without = {*removed, *log.removed}
    result = fine_tune(base, texts, left, log.plan, without, progress=progress, optimizer=optimizer)
    manifest = {
        "removed": sorted(removed),
        "log": {"of": folder.name.rpartition("-")[0] or folder.name, "sha256": log.sha256, "seed": log.seed},
        "first step that held a removed text": first,
        "resumed after step": resumed,
        "steps in the log": len(log.steps),
        "steps replayed": len(left),
        "sha256 before": stored_digest(folder),
        "sha256 after": digest(base, result.optimizer),
    }
    return Replayed(result.optimizer, result.log, manifest)


def digest(model, optimizer: torch.optim.Optimizer | None = None) -> dict[str, str]:
    """Return sha256 digests of a model's parameters and, where given, of its optimizer's moments and step counters.

    Equal digests mean bitwise equal tensors: names, types, shapes and bytes all count.
    """
    found = {"parameters": storage.digest_of(dict(model.named_parameters()))}
    if optimizer is not None:
        found["optimizer"] = storage.digest_of(storage.optimizer_state(model, optimizer))
    return found


def stored_digest(folder: Path) -> dict[str, str]:
    """Return the digests (see digest) of the model that is saved in a folder; of its optimizer where it was kept."""
    found = {"parameters": storage.digest_of(load_file(folder / "weights.safetensors"))}
    path = folder / "optimizer.json"
    return {**found, "optimizer": json.loads(path.read_text())["sha256"]} if path.is_file() else found


def savings(steps: Sequence[Step], states: Sequence[int], points: Collection[str]) -> pd.DataFrame:
    """Return one row a point (point, first_step, resumed_after, saved): what replaying without it alone saves.

    `saved` is the share of the log's steps that need not be taken again, from 0 to below 1.
    """
    rows = []
    for point in sorted(points):
        first = first_use(steps, [point])
        resumed = resumes_after(states, first)
        rows.append((point, first, resumed, 0.0 if resumed is None else (resumed + 1) / len(steps)))
    return pd.DataFrame(rows, columns=["point", "first_step", "resumed_after", "saved"])
