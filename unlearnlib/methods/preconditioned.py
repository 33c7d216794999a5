"""Ascent along the recorded gradient, rescaled as the optimizer rescaled it."""

from collections.abc import Sequence

from unlearnlib.core.errors import UserError
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
    direction, moments = recorded_direction(request, layers, epochs), request.second_moments
    missing = sorted(set(direction) - set(moments))
    if missing:
        raise UserError(f"no second moments of {missing[0]} were recorded: fine-tune with AdamW and keep its state")
    scaled = {name: value / (moments[name].to(value).sqrt() + epsilon) for name, value in direction.items()}
    return straight(request.start, scaled)
