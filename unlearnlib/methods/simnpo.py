"""Simple negative preference optimisation: NPO by the mean token and without a reference model (Fan et al. 2024)."""

import torch

from unlearnlib.data import batches
from unlearnlib.methods.losses import not_negative, positive
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, mean_loss, trained


def simnpo_loss(losses: torch.Tensor, beta: float, margin: float = 0.0) -> torch.Tensor:
    """Return the mean over texts of -(2 / beta) log sigmoid(beta * L - margin), from each text's mean token loss L [n]
    (nats): it falls as the losses rise, and levels off at 0."""
    return -(2 / beta) * torch.nn.functional.logsigmoid(beta * losses - margin).mean()


def simnpo(
    request: Request,
    beta: float = 2.5,
    margin: float = 0.0,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path that descends along simnpo_loss of the forget set alone.

    Fan et al., "Simplicity prevails: rethinking negative preference optimization for LLM unlearning" (2024, arXiv
    2410.07163): beta 2.5 and margin 0 as on their TOFU forget05 (4.5 on forget10). Whole texts count, where theirs are
    answers; the learning rate (theirs 1e-5) is ours. Their own setting adds retained texts: simnpo_retaining.
    """
    return _simnpo(request, beta, margin, (1.0, None), Steps(steps, every, batch_size, learning_rate))


def simnpo_retaining(
    request: Request,
    beta: float = 2.5,
    margin: float = 0.0,
    forget_weight: float = 0.1375,
    retain_weight: float = 1.0,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path along forget_weight * simnpo_loss + retain_weight * L(retained), with their weights of forget05
    (on forget10 0.125 and 1)."""
    positive("forget_weight", forget_weight)
    not_negative("retain_weight", retain_weight)
    how = Steps(steps, every, batch_size, learning_rate)
    return _simnpo(request, beta, margin, (forget_weight, retain_weight), how)


def _simnpo(request: Request, beta: float, margin: float, weights: tuple[float, float | None], how: Steps) -> Path:
    positive("beta", beta)
    forget_weight, retain_weight = weights

    def loss(model, forget, retained):
        tokens, lengths = batches.pad(forget)
        losses = batches.text_losses(model, tokens.to(next(model.parameters()).device), lengths)
        value = forget_weight * simnpo_loss(losses, beta, margin)
        return value if retain_weight is None else value + retain_weight * mean_loss(model, retained)

    retain = request.forget if retain_weight is None else request.retain
    return trained(request, loss, how, retain, "SimNPO")
