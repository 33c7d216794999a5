"""A low-rank adapter trained on the forget set, and its change of the weights taken off (Zhang et al. 2023)."""

import copy
import math
from pathlib import Path as FilePath

import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils import parametrize

from unlearnlib.core.errors import UserError
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.methods.path import Path, change_between, scaled
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, further_trained
from unlearnlib.models.anatomy import anatomy


def negated_adapter(
    request: Request,
    learning_rate: float = 2e-3,
    steps: int = 36,
    batch_size: int = 16,
    rank: int = 8,
    alpha: float = 16.0,
) -> Path:
    """Return the path on which what an adapter has learnt of the forget set is subtracted so many times: its effort is
    the coefficient lambda.

    Zhang, Chen, Liu and He, "Composing parameter-efficient modules with arithmetic operations" (2023, arXiv
    2306.14870): a linear layer W gets a trained addition (alpha / rank) B A, A [rank, in] drawn, B [out, rank] zero at
    first, W itself fixed; forgetting changes the sign of one of the two factors. (Of both, as a weight of -1 in a mean
    of adapters may do, is no change at all: so the product is made here, and subtracted, and no library's merging is
    used.) What differs: all linear layers of the blocks have an adapter (theirs, of GPT-2: attention alone), and it is
    taken off the fine-tuned model, for it is trained on the base model. UserError for a rank that no layer has.
    """
    how = Steps(steps, steps, batch_size, learning_rate)
    names = adapted(request.base)
    least = min(min(request.base.get_submodule(name).weight.shape) for name in names)
    if not 1 <= rank <= least:
        raise UserError(f"an adapter of rank {rank}: give a whole number from 1 to {least}, the narrowest layer's")

    def compute(folder: FilePath) -> None:
        first = with_adapters(request.base, names, rank, alpha, request.seed)
        last = merged(further_trained(first, request.forget, how, request.seed, "adapter"), names)
        change = change_between(request.base, last)
        kept = {f"{name}.weight": change[f"{name}.weight"].contiguous().cpu() for name in names}
        save_file(kept, folder / "adapter.safetensors")

    found = load_file(request.keep(compute, "adapter") / "adapter.safetensors")
    change: Gradient = {name: -value for name, value in found.items()}
    return scaled(request.start, change)


def adapted(model) -> list[str]:
    """Return the names of the linear layers inside the model's blocks."""
    blocks = tuple(f"{name}." for name in anatomy(model).blocks)
    return [
        name for name, module in model.named_modules() if type(module) is torch.nn.Linear and name.startswith(blocks)
    ]


class Adapted(torch.nn.Module):
    """A weight [out, in] with a trained addition of low rank."""

    def __init__(self, weight: torch.Tensor, rank: int, alpha: float, generator: torch.Generator):
        super().__init__()
        rows, columns = weight.shape
        drawn = (2 * torch.rand(rank, columns, generator=generator) - 1) / math.sqrt(columns)
        self.down = torch.nn.Parameter(drawn.to(weight))
        self.up = torch.nn.Parameter(torch.zeros(rows, rank).to(weight))
        self.scale = alpha / rank

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the weight with its addition."""
        return weight + self.scale * (self.up @ self.down)


def with_adapters(model, names: list[str], rank: int, alpha: float, seed: int) -> torch.nn.Module:
    """Return a copy of a model in which the named linear layers have an adapter, and nothing else can be trained."""
    result, generator = copy.deepcopy(model).requires_grad_(False), torch.Generator().manual_seed(seed)
    for name in names:
        module = result.get_submodule(name)
        parametrize.register_parametrization(module, "weight", Adapted(module.weight, rank, alpha, generator))
    return result


def merged(model, names: list[str]) -> torch.nn.Module:
    """Return the model, changed in place: the additions are part of the weights, and the adapters gone."""
    for name in names:
        parametrize.remove_parametrizations(model.get_submodule(name), "weight", leave_parametrized=True)
    return model
