"""Ascent along the recorded gradient, rescaled as the optimizer rescaled it."""

from collections.abc import Mapping, Sequence

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.methods.path import Path, straight
from unlearnlib.methods.recorded import recorded_direction
from unlearnlib.methods.request import Request


def preconditioned_ascent(
    request: Request, layers: str = "all", epochs: str | Sequence[int] = "first", epsilon: float = 1e-8
) -> Path:
    """Return the path along the recorded gradient divided by the root of the optimizer's second moments.

    AdamW's update is not the gradient but the gradient over this root, entry by entry: the recorded gradient
    undoes what gradient descent would have done, this one what the optimizer did.
    """
    direction = recorded_direction(request, layers, epochs)
    return straight(request.start, rescaled(direction, request.second_moments, epsilon))


def early_preconditioned_ascent(
    request: Request, layers: str = "all", epochs: str | Sequence[int] = "first", epsilon: float = 1e-8
) -> Path:
    """Return the same with the second moments that the optimizer had at the end of the first epoch, when it took the
    steps of which the first epoch's gradients were a part."""
    direction = recorded_direction(request, layers, epochs)
    return straight(request.start, rescaled(direction, request.watched.second_moments(), epsilon))


def rescaled(
    direction: Mapping[str, torch.Tensor], moments: Mapping[str, torch.Tensor], epsilon: float = 1e-8
) -> Gradient:
    """Return a direction divided, entry by entry, by the root of these second moments plus `epsilon`. UserError where a
    parameter has none."""
    missing = sorted(set(direction) - set(moments))
    if missing:
        raise UserError(f"no second moments of {missing[0]} were recorded: fine-tune with AdamW and keep its state")
    return {name: value / (moments[name].to(value).sqrt() + epsilon) for name, value in direction.items()}
