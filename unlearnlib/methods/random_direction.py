"""Controls: a step in a random direction, of the parameters alone, or with every entry as long as a recorded one."""

import torch

from unlearnlib.methods.path import Path, straight
from unlearnlib.methods.preconditioned import rescaled
from unlearnlib.methods.recorded import recorded_direction
from unlearnlib.methods.request import Request


def random_direction(request: Request, layers: str = "all") -> Path:
    """Return the path along a Gaussian direction in the parameters of `layers`, drawn from the request's seed."""
    generator = torch.Generator().manual_seed(request.seed)
    parameters = dict(request.start.named_parameters())
    direction = {
        name: selection.mask(torch.randn(parameters[name].shape, generator=generator).to(parameters[name]))
        for name, selection in request.selections(layers).items()
    }
    return straight(request.start, direction)


def random_signs(request: Request, layers: str = "all", epochs: str = "first", precondition: bool = True) -> Path:
    """Return the path along the recorded gradient (`precondition`: divided by the root of the second moments) with the
    sign of every entry drawn anew: as long in each of them, and only where it points is lost."""
    direction = recorded_direction(request, layers, epochs)
    if precondition:
        direction = rescaled(direction, request.second_moments)
    generator = torch.Generator().manual_seed(request.seed)
    drawn = {
        name: value * (2 * torch.randint(0, 2, value.shape, generator=generator) - 1).to(value)
        for name, value in direction.items()
    }
    return straight(request.start, drawn)
