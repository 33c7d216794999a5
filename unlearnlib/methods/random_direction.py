"""Control: a step of the same length in a random direction."""

import torch

from unlearnlib.methods.path import Path, straight
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
