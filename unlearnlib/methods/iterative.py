"""Iterative removal: one point after the other, each with its own gradient at the weights of that moment (E6).

In Zagardo 2024 a method of its own; how long one stays with a point decides what it costs (in_turn stays for one step).
"""

import copy
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data.subsets import drawn
from unlearnlib.gradients import algebra, per_example
from unlearnlib.gradients.algebra import Gradient, between
from unlearnlib.methods.equal_forgetting import Calibration, first_crossing
from unlearnlib.methods.path import Path, along, applied, apply, changed
from unlearnlib.methods.request import Request
from unlearnlib.models.layers import Selection

UNTIL = ("mean", "every point")
Known = Callable[[torch.nn.Module, Sequence[str]], np.ndarray]


def iterative_removal(
    request: Request,
    layers: str = "all",
    longest: float = 0.4,
    most_steps: int = 8,
    passes: int = 2,
    order: int = 0,
    until: str = "every point",
) -> Path:
    """Return the path of a walk from point to point (see iterative_walk), with a stop where the mean of all points came
    to the target, and `until` every point is there one where the walk ended.

    longest: the largest L2 norm of a single step; order: 0 is by id, other numbers are drawn. The effort is the length
    of the way: the sum of the steps' norms. A walk is made once and kept (request.keep).
    """
    names = sorted(request.forget)
    selections = request.selections(layers)

    def compute(folder: FilePath) -> None:
        walk = iterative_walk(
            request.start,
            request.forget,
            request.known,
            request.target,
            selections,
            drawn(names, request.seed, f"order {order}") if order else names,
            {"smallest": longest / 16, "factor": 2.0, "largest": longest, "tolerance": 0.1},
            until,
            most_steps,
            passes,
        )
        walks = [walk] if until == "mean" or walk.at_mean is None else [walk.at_mean, walk]
        for number, one in enumerate(walks):
            save_file(
                {name: value.contiguous().cpu() for name, value in one.change.items()}, folder / f"{number}.safetensors"
            )
            one.log.to_parquet(folder / f"{number}.parquet")
        (folder / "seconds.json").write_text(json.dumps([one.seconds for one in walks]))

    folder = request.keep(compute)
    logs = [pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    stops = (0.0, *(float(log["step_size"].sum()) for log in logs))
    return _kept(request.start, folder, logs, stops)


def in_turn(request: Request, layers: str = "all", longest: float = 0.2, passes: int = 60, order: int = 0) -> Path:
    """Return the path of iterative removal with one step a visit, round and round until the mean is at the target."""
    return iterative_removal(request, layers, longest, most_steps=1, passes=passes, order=order, until="mean")


def _kept(start, folder: FilePath, logs: Sequence[pd.DataFrame], stops: tuple[float, ...]) -> Path:
    """Return the path of a walk that lies in a folder: of stops of one length the later one counts."""
    places = {stop: number for number, stop in enumerate(stops)}

    def change(effort: float) -> Gradient:
        number = places[effort]
        return load_file(folder / f"{number - 1}.safetensors") if number else {}

    def seconds(effort: float) -> float:
        spent = json.loads((folder / "seconds.json").read_text())
        return spent[places[effort] - 1] if places[effort] else 0.0

    def log(effort: float) -> pd.DataFrame:
        return logs[max(0, places[effort] - 1)]

    path = changed(start, change, "L2 length of the way")
    return replace(path, stops=tuple(places), log=log, seconds=seconds)


@dataclass(frozen=True)
class Walk:
    """What iterative removal did.

    change: the total change of the parameters, by name; log: a row for every visit of a point, in order (pass, point,
    before, after: its own answer probability; steps, step_size: how many, and the sum of their L2 norms, 0 where it was
    skipped; mean: that of all points after the visit); reached: whether the walk came to its end; seconds: CPU time of
    the process until then; at_mean: the same walk as it was when the mean of all points was first at the target (None
    where it never was).
    """

    change: Gradient
    log: pd.DataFrame
    reached: bool
    seconds: float
    at_mean: "Walk | None" = None


def iterative_walk(
    model,
    texts: Mapping[str, Sequence[int]],
    known: Known,
    target: float,
    selections: Mapping[str, Selection],
    order: Sequence[str],
    search: Mapping[str, float],
    until: str = "every point",
    most_steps: int = 8,
    passes: int = 2,
) -> Walk:
    """Remove the points of `texts` (token ids by id) one by one in `order`; `model` itself is not changed.

    A visit takes the gradient of this one point at the weights of that moment and ascends along it to the smallest step
    found at which `known(model, [point])`, its answer probability, is at or below `target`. Where `search` (smallest,
    factor, largest, tolerance: see first_crossing) has no such step, the best one is taken and the gradient is computed
    anew, at most `most_steps` times. A point that is at the target already is skipped. While points are above it,
    having stayed there or been brought back by others' steps, the list is gone through again, at most `passes` times in
    all. With `until="mean"` the walk ends as soon as the mean of all points is at the target, the last visit shortened
    to the crossing. UserError for an order that is not one of the points, and for an unknown `until`.
    """
    if until not in UNTIL:
        raise UserError(f"a walk cannot go on until {until!r}: {nearest(until, UNTIL)}")
    strange = [name for name in order if name not in texts]
    if strange:
        raise UserError(f"no point {strange[0]!r} to remove: {nearest(strange[0], texts)}")
    if sorted(order) != sorted(texts):
        raise UserError(f"the order has {len(order)} entries for {len(texts)} points: name every point once")
    parts, names, started = algebra.parts_of(selections), list(order), time.process_time()
    moved, log = copy.deepcopy(model), []
    parameters = dict(moved.named_parameters())
    change: Gradient = {name: torch.zeros_like(parameters[name]) for name in selections}

    def everyone() -> dict[str, float]:
        return dict(zip(names, map(float, known(moved, names)), strict=True))

    def mean_of(values: Mapping[str, float]) -> float:
        return float(np.mean(list(values.values())))

    def walked(rows: list, total: Gradient, reached: bool, at_mean: Walk | None) -> Walk:
        columns = ["pass", "point", "before", "after", "steps", "step_size", "mean"]
        log = pd.DataFrame(rows, columns=columns)
        return Walk(total, log, reached, time.process_time() - started, at_mean)

    values = everyone()
    at_mean = walked([], change, True, None) if mean_of(values) <= target else None
    for round_number, name in itertools.product(range(passes), names):
        if at_mean is not None if until == "mean" else max(values.values()) <= target:
            break
        own, lengths, visit = values[name], [], {}
        while own > target and len(lengths) < most_steps:
            path = along(algebra.select(per_example.sum_gradient(moved, [texts[name]], parts), selections))
            ahead = _ahead(moved, path, lambda changed, name=name: float(known(changed, [name])[0]))
            step, own = down_to(target, first_crossing(ahead, target, **search))
            apply(moved, path(step), in_place=True)
            visit = algebra.plus(visit, path(step))
            lengths.append(step)
        row = (round_number, name, values[name])
        if lengths:
            values = everyone()
        if at_mean is None and mean_of(values) <= target:
            back = _ahead(moved, _taken_back(visit), lambda changed: float(known(changed, names).mean()))
            found = first_crossing(back, target, smallest=1 / 16, factor=2.0, largest=1.0, tolerance=0.05)
            share, reached_mean = down_to(target, found)
            part = between({}, visit, share)
            with applied(moved, _taken_back(visit)(share)):
                left = float(known(moved, [name])[0])
            rows = [*log, (*row, left, len(lengths), share * sum(lengths), reached_mean)]
            at_mean = walked(rows, algebra.plus(change, part), True, None)
        change = algebra.plus(change, visit)
        log.append((*row, values[name], len(lengths), sum(lengths), mean_of(values)))
    if until == "mean":
        return at_mean or walked(log, change, False, None)
    return walked(log, change, max(values.values()) <= target, at_mean)


def _ahead(model, path: Callable[[float], Gradient], measure: Callable) -> Callable[[float], float]:
    """What `measure` finds in the model at a step along the path."""

    def at(step: float) -> float:
        with applied(model, path(step)) as changed:
            return measure(changed)

    return at


def _taken_back(visit: Gradient) -> Callable[[float], Gradient]:
    """The change that leaves only a share of a visit that has been made already."""
    return lambda share: between({}, visit, share - 1)


def down_to(target: float, found: Calibration) -> tuple[float, float]:
    """The smallest step looked at whose value is at or below the target, or the best one where none is; its value."""
    good = [pair for pair in found.evaluated if pair[1] <= target]
    return min(good) if good else (found.step_size, found.value)
