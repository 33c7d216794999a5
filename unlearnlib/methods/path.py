"""What a method returns: the models at which it may stop, and four ways to make such a path."""

import copy
import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.gradients import algebra
from unlearnlib.gradients.algebra import Gradient

if TYPE_CHECKING:
    import pandas as pd

Change = Callable[[float], Gradient]


@dataclass(frozen=True)
class Path:
    """The models at which a method may stop, by effort; at effort 0 stands the model that it started from.

    at: opens the model at an effort, which is the starting model itself, changed, and bitwise what it was when the
    block ends; unit: what effort counts, such as "L2 norm" or "optimizer steps"; stops: the efforts that there are, in
    order from 0 (None: any number from 0 on); change: what is added to the parameters at an effort, where a method adds
    something; log: what it did on its way to an effort, a row a step, where it kept a record; seconds: the CPU time
    that it took to come to an effort, where its stops lie on disk (None: whoever opens a model waits for it).
    """

    at: Callable[[float], AbstractContextManager[torch.nn.Module]]
    unit: str = "L2 norm"
    stops: tuple[float, ...] | None = None
    change: Change | None = None
    log: "Callable[[float], pd.DataFrame] | None" = None
    seconds: Callable[[float], float] | None = None

    def __post_init__(self):
        stops = self.stops
        if stops is not None and (not stops or stops[0] != 0 or any(b <= a for a, b in itertools.pairwise(stops))):
            raise UserError(f"stops {list(stops)}: give efforts that begin at 0 and rise")

    def check(self, effort: float) -> None:
        """Raise UserError, naming the nearest, for an effort at which there is no model."""
        if self.stops is None:
            if not 0 <= effort < float("inf"):
                raise UserError(f"an effort of {effort} is no length: give a number from 0 on")
        elif effort not in self.stops:
            known = [f"{stop:g}" for stop in self.stops]
            raise UserError(f"no stop at {effort:g} {self.unit}: {nearest(f'{effort:g}', known)}")


def along(direction: Mapping[str, torch.Tensor]) -> Change:
    """Return the changes along `direction`: the one at effort s has the L2 norm s.

    Raises UserError where the direction is zero: nothing would ever change.
    """
    length = algebra.norm(direction)
    if not length > 0:
        raise UserError("the direction to unlearn along is zero in these layers: name other layers")
    unit = {name: value / length for name, value in direction.items()}
    return lambda effort: {name: value * effort for name, value in unit.items()}


def changed(start, change: Change, unit: str = "L2 norm") -> Path:
    """Return the path of the models that `change(effort)` makes of `start`."""

    def at(effort: float) -> AbstractContextManager[torch.nn.Module]:
        return applied(start, change(effort))

    return Path(at, unit, change=change)


def straight(start, direction: Mapping[str, torch.Tensor]) -> Path:
    """Return the straight path from `start` along `direction`; its effort is the L2 norm of the change."""
    return changed(start, along(direction))


def scaled(start, change: Mapping[str, torch.Tensor]) -> Path:
    """Return the path on which a whole change, such as a task vector, is added so many times; 1 is just once."""
    return changed(start, lambda times: {name: value * times for name, value in change.items()}, "times the change")


def once(start, model) -> Path:
    """Return the path of a method that has one end: `start`, and `model` in its place."""

    @contextmanager
    def at(effort: float) -> Iterator[torch.nn.Module]:
        yield model if effort else start

    return Path(at, "once", (0.0, 1.0))


_open: "weakref.WeakSet[torch.nn.Module]" = weakref.WeakSet()


def is_open(model) -> bool:
    """Tell whether a model is changed at the moment: whether it is inside a block of `opened`."""
    return model in _open


@contextmanager
def opened(model, names: Iterable[str]) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the model's parameters; when the block ends, the named ones are bitwise what they were.

    While it is open the model counts as changed. UserError where it is already: a second change would be made to the
    changed model, and what is measured there be taken for what it is not.
    """
    if is_open(model):
        raise UserError("this model is changed by a `with` block that is still open: end that block first")
    parameters = dict(model.named_parameters())
    before = {name: parameters[name].detach().clone() for name in names}
    _open.add(model)
    try:
        yield parameters
    finally:
        with torch.no_grad():
            for name, value in before.items():
                parameters[name].copy_(value)
        _open.discard(model)


@contextmanager
def applied(model, change: Mapping[str, torch.Tensor]) -> Iterator[torch.nn.Module]:
    """Add `change` to the model's parameters while the context is open; afterwards they are bitwise what they were."""
    unknown = set(change) - {name for name, _ in model.named_parameters()}
    if unknown:
        raise UserError(f"the model has no parameter {sorted(unknown)[0]!r}: this change belongs to another model")
    with opened(model, change) as parameters:
        _add(parameters, change)
        yield model


def apply(model, change: Mapping[str, torch.Tensor], in_place: bool = False) -> torch.nn.Module:
    """Return a copy of `model` with `change` added; with `in_place` the model itself, changed."""
    result = model if in_place else copy.deepcopy(model)
    _add(dict(result.named_parameters()), change)
    return result


def _add(parameters: Mapping[str, torch.Tensor], change: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, value in change.items():
            parameters[name] += value.to(parameters[name])


def change_between(start, end) -> Gradient:
    """Return what has to be added to the parameters of `start` to have those of `end`."""
    before = dict(start.named_parameters())
    return {name: (value - before[name]).detach() for name, value in end.named_parameters()}
