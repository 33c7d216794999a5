"""Ascent once along the gradient of the model to start from, where nothing needs to have been recorded."""

from collections.abc import Sequence

from unlearnlib.gradients import algebra, per_example
from unlearnlib.methods.path import Path, straight
from unlearnlib.methods.request import Request


def present_ascent(request: Request, layers: str = "all") -> Path:
    """Return the path along the summed gradient of the forget set at the weights of the model to start from."""
    return straight_from(request, [request.forget[name] for name in sorted(request.forget)], layers)


def straight_from(request: Request, texts: Sequence[Sequence[int]], layers: str) -> Path:
    """Return the path along the summed gradient of some texts at the weights of the model to start from."""
    selections = request.selections(layers)
    total = per_example.sum_gradient(request.start, texts, algebra.parts_of(selections))
    return straight(request.start, algebra.select(total, selections))
