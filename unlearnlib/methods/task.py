"""What a method is given, what it returns, and how a change is put into a model."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.gradients import algebra
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.gradients.record import Record
from unlearnlib.models.layers import Selection, resolve

Path = Callable[[float], Gradient]


@dataclass(frozen=True)
class Task:
    """Everything that a method may use to forget.

    model: the fine-tuned model (never changed); forget: token ids of each forget text, by id; record: the gradients
    recorded in fine-tuning; second_moments: the optimizer's, by parameter name; name_rows: token ids of the subject's
    name; seed: for methods that draw at random.
    """

    model: torch.nn.Module
    forget: Mapping[str, Sequence[int]]
    record: Record | None = None
    second_moments: Mapping[str, torch.Tensor] = field(default_factory=dict)
    name_rows: tuple[int, ...] = ()
    seed: int = 0

    def selections(self, layers: str) -> dict[str, Selection]:
        """Return the parameters that `layers` names in this task's model."""
        if not isinstance(layers, str):
            raise UserError(f"layers {layers!r}: give one name, or several joined by +, such as 'h.10+h.11'")
        return resolve(self.model, layers, self.name_rows)


def straight(direction: Mapping[str, torch.Tensor]) -> Path:
    """Return the straight path along `direction`: the change at step size s has the L2 norm s.

    Raises UserError where the direction is zero: nothing would ever change.
    """
    length = algebra.norm(direction)
    if not length > 0:
        raise UserError("the direction to unlearn along is zero in these layers: name other layers")
    unit = {name: value / length for name, value in direction.items()}
    return lambda step_size: {name: value * step_size for name, value in unit.items()}


@contextmanager
def applied(model, change: Mapping[str, torch.Tensor]) -> Iterator[torch.nn.Module]:
    """Add `change` to the model's parameters while the context is open; afterwards they are bitwise what they were."""
    parameters = dict(model.named_parameters())
    unknown = set(change) - set(parameters)
    if unknown:
        raise UserError(f"the model has no parameter {sorted(unknown)[0]!r}: this change belongs to another model")
    before = {name: parameters[name].detach().clone() for name in change}
    try:
        with torch.no_grad():
            for name, value in change.items():
                parameters[name] += value.to(parameters[name])
        yield model
    finally:
        with torch.no_grad():
            for name, value in before.items():
                parameters[name].copy_(value)


def apply(model, change: Mapping[str, torch.Tensor], in_place: bool = False) -> torch.nn.Module:
    """Return a copy of `model` with `change` added; with `in_place` the model itself, changed."""
    result = model if in_place else copy.deepcopy(model)
    parameters = dict(result.named_parameters())
    with torch.no_grad():
        for name, value in change.items():
            parameters[name] += value.to(parameters[name])
    return result
