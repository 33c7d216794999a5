"""Noise on the weights: the same for all of a tensor, or more where the retained texts mind it less."""

import torch

from unlearnlib.methods.importance import squared_gradients
from unlearnlib.methods.losses import positive
from unlearnlib.methods.path import Path, straight
from unlearnlib.methods.request import Request


def noise(request: Request, layers: str = "all", draw: int = 0) -> Path:
    """Return the path along Gaussian noise whose standard deviation in each tensor is the root mean square of that
    tensor: no tensor is drowned before another. Its effort is the L2 norm of the change, of one draw of the request's
    seed; `draw` gives another. (`random` is noise with one standard deviation in all of them.)"""
    return straight(
        request.start, _scaled_noise(request, layers, draw, lambda name, value: value.square().mean().sqrt())
    )


def fisher_noise(
    request: Request, layers: str = "all", draw: int = 0, smallest: float = 1e-3, exponent: float = 0.25
) -> Path:
    """Return the path along Gaussian noise of standard deviation F^-exponent, F the Fisher diagonal on the retained
    texts (unlearnlib.methods.importance, tokens drawn from the model). Its effort is the L2 norm of the change.

    Golatkar, Achille & Soatto, "Eternal sunshine of the spotless net" (2019, arXiv 1911.04933): exponent 1/4 (as we
    remember the paper, not checked; code of others has 1/2). What differs: they draw all labels of a classifier, here
    it is one token a place; entries below `smallest` times the mean of F are raised to it, or the rows of tokens that
    no text uses would take all the noise (ours; code of others puts a ceiling on the variance).
    """
    positive("smallest", smallest)
    positive("exponent", exponent)
    drawn = torch.Generator().manual_seed(request.seed)
    names = sorted(request.retain)
    found = squared_gradients(request.start, [request.retain[name] for name in names], drawn)
    count = sum(value.numel() for value in found.values())
    floor = smallest * sum(float(value.double().sum()) for value in found.values()) / count

    def spread(name: str, value: torch.Tensor) -> torch.Tensor:
        return (found[name].clamp(min=floor) / floor) ** -exponent

    return straight(request.start, _scaled_noise(request, layers, draw, spread))


def _scaled_noise(request: Request, layers: str, draw: int, spread) -> dict[str, torch.Tensor]:
    """Return Gaussian noise in the parameters of these layers, times spread(name, parameter)."""
    generator = torch.Generator().manual_seed(1_000_003 * request.seed + draw)
    parameters = dict(request.start.named_parameters())
    found = {}
    for name, selection in request.selections(layers).items():
        value = parameters[name].detach()
        drawn = torch.randn(value.shape, generator=generator).to(value)
        found[name] = selection.mask(drawn * spread(name, value))
    return found
