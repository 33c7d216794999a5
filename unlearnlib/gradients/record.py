"""Gradients recorded in training, on disk."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from unlearnlib.core.errors import UserError
from unlearnlib.gradients.algebra import Gradient, add, parts_of, select
from unlearnlib.gradients.capture import Captured
from unlearnlib.gradients.rules import Factors, densify, factors, merged, one_text
from unlearnlib.models.layers import Selection


class Recorder:
    """Records the gradients of the forget points on the very training steps.

    Of the epochs in `point_epochs` the exact factors of every point are kept; of every epoch the sum over all points.
    With `joined_from` the sums of that epoch and of all after it are kept as one, under its number. `seconds` is what
    the recording took so far, beside the training itself (CPU time of the process).
    """

    def __init__(self, points: Iterable[str], point_epochs: Sequence[int] = (0,), joined_from: int | None = None):
        self.points = frozenset(points)
        self.point_epochs = frozenset(point_epochs)
        self.joined_from = joined_from
        self.steps: list[tuple[int, list[str], list[int], Factors]] = []
        self.sums: dict[int, Gradient] = {}
        self.seconds = 0.0

    def add(self, model, captured: Captured, names: Sequence[str], lengths: Sequence[int], epoch: int) -> None:
        """Record one training step, in which these points of these token counts were captured, in this order."""
        started = time.process_time()
        stored = factors(captured)
        self.add_sum(densify(model, merged(stored)), epoch)
        if epoch in self.point_epochs:
            self.steps.append((epoch, list(names), list(lengths), stored))
        self.seconds += time.process_time() - started

    def add_sum(self, gradient: Gradient, epoch: int) -> None:
        """Record the gradient of one training step, summed over all its points and by part, which is not kept as it
        is: its tensors are changed."""
        place = epoch if self.joined_from is None else min(epoch, self.joined_from)
        self.sums[place] = add(gradient, self.sums.get(place, {}))

    def save(self, folder: Path) -> None:
        """Write `points.safetensors` (factors) and `sums.safetensors` into `folder`."""
        points = {
            f"{epoch}|{name}|{key}": value.cpu()
            for epoch, names, lengths, stored in self.steps
            for row, (name, length) in enumerate(zip(names, lengths, strict=True))
            for key, value in one_text(stored, row, length).items()
        }
        sums: dict[str, torch.Tensor] = {}
        for epoch, gradient in self.sums.items():
            for part, value in gradient.items():
                sums |= _packed(f"{epoch}|{part}", value.contiguous().cpu())
        save_file(points, folder / "points.safetensors")
        save_file(sums, folder / "sums.safetensors", {"points": json.dumps(sorted(self.points))})


def _packed(key: str, value: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return a gradient as it is stored: where most rows are zero (an input embedding, whose texts hold few of its
    tokens) the others and their numbers, else the tensor itself."""
    rows = value.flatten(1).any(1).nonzero()[:, 0] if value.dim() > 1 else torch.arange(len(value))
    if 2 * len(rows) > len(value):
        return {key: value}
    return {f"{key}|rows": rows.to(torch.int32), f"{key}|values": value[rows].clone(), f"{key}|shape": _shape(value)}


def _shape(value: torch.Tensor) -> torch.Tensor:
    return torch.tensor(value.shape, dtype=torch.int32)


def _unpacked(file, key: str) -> torch.Tensor:
    """Return a gradient from a file in which `_packed` has put it."""
    if f"{key}|rows" not in file.keys():  # noqa: SIM118 - a file of safetensors is no mapping
        return file.get_tensor(key)
    whole = torch.zeros(*file.get_tensor(f"{key}|shape").tolist())
    whole[file.get_tensor(f"{key}|rows").long()] = file.get_tensor(f"{key}|values")
    return whole


@dataclass(frozen=True)
class Record:
    """Recorded gradients on disk: read lazily, a part at a time."""

    folder: Path

    def _keys(self, name: str) -> list[str]:
        path = self.folder / name
        if not path.is_file():
            raise UserError(f"no recorded gradients in {self.folder}: fine-tune with recording first")
        with safe_open(path, "pt") as file:
            return list(file.keys())

    def epochs(self) -> list[int]:
        """Return the recorded epochs, counted from 0."""
        return sorted({int(key.split("|")[0]) for key in self._keys("sums.safetensors")})

    def points(self, epoch: int = 0) -> list[str]:
        """Return the ids of the points whose own gradients of `epoch` were recorded."""
        return sorted({key.split("|")[1] for key in self._keys("points.safetensors") if key.startswith(f"{epoch}|")})

    def everyone(self) -> set[str]:
        """Return the ids of all points that are in the sums."""
        self._keys("sums.safetensors")
        with safe_open(self.folder / "sums.safetensors", "pt") as file:
            return set(json.loads(file.metadata()["points"]))

    def choose_epochs(self, epochs: str | int | Sequence[int]) -> list[int]:
        """Return epoch numbers for `first`, `last`, `all`, one epoch or a list; UserError for one not recorded."""
        epochs, known = [epochs] if isinstance(epochs, int) else epochs, self.epochs()
        named = {"first": known[:1], "last": known[-1:], "all": known}
        chosen = named.get(epochs) if isinstance(epochs, str) else list(epochs)
        if not chosen or not set(chosen) <= set(known):
            raise UserError(f"no recorded epochs {epochs!r}: give first, last, all, or a list out of {known}")
        return chosen

    def total(self, selections: Mapping[str, Selection], epochs: str | int | Sequence[int] = "first") -> Gradient:
        """Return the gradient summed over all points and the chosen epochs, by parameter name."""
        total: Gradient = {}
        with safe_open(self.folder / "sums.safetensors", "pt") as file:
            for epoch in self.choose_epochs(epochs):
                add(total, {part: _unpacked(file, f"{epoch}|{part}") for part in parts_of(selections)})
        return select(total, selections)

    def factors(self, name: str, epoch: int = 0) -> Factors:
        """Return the stored factors of one point; UserError for a point that was not recorded."""
        prefix = f"{epoch}|{name}|"
        keys = [key for key in self._keys("points.safetensors") if key.startswith(prefix)]
        if not keys:
            raise UserError(f"no gradient of point {name!r} in epoch {epoch} was recorded in {self.folder}")
        with safe_open(self.folder / "points.safetensors", "pt") as file:
            return {key.removeprefix(prefix): file.get_tensor(key) for key in keys}

    def subset(self, model, names: Sequence[str], selections: Mapping[str, Selection], epoch: int = 0) -> Gradient:
        """Return the gradient summed over the named points in one epoch, from their exact factors."""
        if not names:
            raise UserError("an empty set of points to forget: name at least one")
        total: Gradient = {}
        parts = parts_of(selections)
        for name in names:
            add(total, densify(model, self.factors(name, epoch), parts))
        return select(total, selections)
