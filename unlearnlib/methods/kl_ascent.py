"""Gradient ascent that is held back on retained texts by a KL divergence ("KL minimisation")."""

from unlearnlib.methods.losses import divergence_between, not_negative
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, mean_loss, trained


def kl_ascent(
    request: Request,
    retain_weight: float = 1.0,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path that descends along -L(forget) + retain_weight * KL(start || model) on retained texts.

    Maini et al., "TOFU" (2024, arXiv 2401.06121), the baseline "KL minimization"; the same two terms and a third in Yao
    et al. (2023, arXiv 2310.10683). The model to start from comes first in the divergence, weight 1. At the start it
    and its gradient are 0: the first step is plain ascent. What differs: padding does not count, and the learning rate
    (theirs 1e-5, for billions of parameters) is ours. How it trains: see unlearnlib.methods.trained.Steps.
    """
    not_negative("retain_weight", retain_weight)

    def loss(model, forget, retained):
        return retain_weight * divergence_between(request.start, model, retained) - mean_loss(model, forget)

    return trained(request, loss, Steps(steps, every, batch_size, learning_rate), request.retain, "KL ascent")
