"""Saliency unlearning (SalUn): other answers are trained into the weights alone that mattered for those to forget."""

import copy
from collections.abc import Mapping, Sequence

import torch

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.gradients import algebra, per_example
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.methods.losses import not_negative, other_texts
from unlearnlib.methods.path import Path
from unlearnlib.methods.recorded import recorded_direction
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, mean_loss, trained

GRADIENTS = ("recorded", "present")


def saliency_unlearning(
    request: Request,
    replacements: Mapping[str, Sequence[int]] | None = None,
    share: float = 0.5,
    gradients: str = "recorded",
    epochs: str = "first",
    retain_weight: float = 1.0,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path of `other answers` on which only a `share` of all weights moves: those where the gradient of the
    forget set is largest in size.

    Fan et al., "SalUn" (2023, arXiv 2310.12508): random labels through such a mask, half of all weights ranked in one
    list. Their gradient is that at the model to start from (`gradients="present"`); where it has the texts by heart
    that is small and noisy, so by default it is the recorded one of `epochs` (ours). The mask is of updates, not of
    gradients alone: AdamW without weight decay never moves a weight that has had no gradient. Everything else,
    replacements too, is as in unlearnlib.methods.other_answers; with a share of 1 it is that method. UserError for a
    share that is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise UserError(f"share {share} is no part of the weights: give a number above 0, at most 1")
    if gradients not in GRADIENTS:
        raise UserError(f"no gradients {gradients!r} to rank weights by: {nearest(gradients, GRADIENTS)}")
    not_negative("retain_weight", retain_weight)
    replaced = other_texts(request, replacements)

    def first() -> torch.nn.Module:
        return masked(request.start, largest(_gradient(request, gradients, epochs), share))

    def loss(model, forget, retained):
        return mean_loss(model, replaced(forget)) + retain_weight * mean_loss(model, retained)

    how = Steps(steps, every, batch_size, learning_rate)
    return trained(request, loss, how, request.retain, "saliency unlearning", first)


def _gradient(request: Request, gradients: str, epochs: str) -> Gradient:
    if gradients == "recorded":
        return recorded_direction(request, "all", epochs)
    texts = [request.forget[name] for name in sorted(request.forget)]
    return algebra.select(per_example.sum_gradient(request.start, texts), request.selections("all"))


def largest(gradient: Mapping[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """Return masks (1 or 0) of the `share` of all entries together that are largest in size; of equal ones at the edge
    the first by order."""
    sizes = torch.cat([value.abs().flatten() for value in gradient.values()])
    chosen = torch.zeros_like(sizes)
    chosen[sizes.argsort(descending=True, stable=True)[: max(1, round(share * len(sizes)))]] = 1.0
    pieces = chosen.split([value.numel() for value in gradient.values()])
    return {name: piece.view(value.shape) for piece, (name, value) in zip(pieces, gradient.items(), strict=True)}


def masked(start, masks: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Return a copy of a model in which the gradient of every parameter is multiplied by its mask."""
    model = copy.deepcopy(start)
    for name, value in model.named_parameters():
        value.register_hook(lambda slope, mask=masks[name]: slope * mask.to(slope))
    return model
