"""Efficient unlearning: small layers put behind the feed-forward ones, trained to forget, all else as it was."""

import copy

import torch
from torch.nn.utils import parametrize

from unlearnlib.core.errors import UserError
from unlearnlib.methods.losses import divergence_between, not_negative
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, mean_loss, trained
from unlearnlib.models.anatomy import anatomy

PARTS = ("weight", "bias")


def unlearning_layers(
    request: Request,
    keep_weight: float = 0.8,
    task_weight: float = 1.0,
    forget_weight: float = 0.2,
    rank: int = 16,
    learning_rate: float = 2e-3,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path on which layers h <- h + U V h behind each block's last linear layer learn to forget: they
    descend along keep_weight * KL(start || model) on retained texts - KL(start || model) on those to forget +
    task_weight * L(retained) - forget_weight * L(forget).

    Chen and Yang, "Unlearn what you want to forget" (2023, arXiv 2310.20150), EUL. The two divergences and their
    gradients are 0 at the start, where U is 0 and V [rank, width] drawn at random. What differs: their layers have a
    bend, ours are linear, so that at a stop they are merged into the layer before them, W <- (I + U V) W and its bias
    likewise, and no other model is left; a causal language model in the place of T5; one request, so that nothing is
    fused; the coefficients are as we remember the paper's (its released code has no such loss). Both terms of what is
    forgotten are without bound. UserError for a rank that is no number from 1 to the width.
    """
    weights = {"keep_weight": keep_weight, "task_weight": task_weight, "forget_weight": forget_weight}
    for name, value in weights.items():
        not_negative(name, value)
    names = places(request.start)
    width = min(len(request.start.get_submodule(name).weight) for name in names)
    if not (isinstance(rank, int) and 1 <= rank <= width):
        raise UserError(f"unlearning layers of rank {rank}: give a whole number from 1 to {width}")

    def loss(model, forget, retained):
        held = keep_weight * divergence_between(request.start, model, retained)
        away = divergence_between(request.start, model, forget)
        return held - away + task_weight * mean_loss(model, retained) - forget_weight * mean_loss(model, forget)

    return trained(
        request,
        loss,
        Steps(steps, every, batch_size, learning_rate),
        request.retain,
        "unlearning layers",
        first=lambda: with_layers(request.start, names, rank, request.seed),
        left=lambda model: merged(model, request.start, names),
    )


def places(model) -> list[str]:
    """Return the names of the last linear layer of each block, which gives what the feed-forward part adds."""
    linear = [name for name, module in model.named_modules() if type(module) is torch.nn.Linear]
    return [[name for name in linear if name.startswith(f"{block}.")][-1] for block in anatomy(model).blocks]


class Behind(torch.nn.Module):
    """What a linear layer of low rank behind another makes of that one's weight [out, in] and bias [out]."""

    def __init__(self, weight: torch.Tensor, rank: int, generator: torch.Generator):
        super().__init__()
        width = len(weight)
        self.down = torch.nn.Parameter((torch.randn(rank, width, generator=generator) / width**0.5).to(weight))
        self.up = torch.nn.Parameter(torch.zeros(width, rank).to(weight))

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Return (I + U V) value."""
        return value + self.up @ (self.down @ value)


def with_layers(model, names: list[str], rank: int, seed: int) -> torch.nn.Module:
    """Return a copy of a model with such a layer behind each of the named ones, and nothing else that can be
    trained."""
    result, generator = copy.deepcopy(model).requires_grad_(False), torch.Generator().manual_seed(seed)
    for name in names:
        module = result.get_submodule(name)
        behind = Behind(module.weight, rank, generator)
        for part in PARTS:
            if getattr(module, part, None) is not None:
                parametrize.register_parametrization(module, part, behind)
    return result


@torch.no_grad()
def merged(model, start, names: list[str]) -> torch.nn.Module:
    """Return a copy of `start` that says what the model with layers does: they are part of those before them.

    (The layers are not taken out of a copy of the model: torch would take them out of the model's own class.)
    """
    result = copy.deepcopy(start)
    for name in names:
        for part, value in result.get_submodule(name).named_parameters():
            value.copy_(getattr(model.get_submodule(name), part))
    return result
