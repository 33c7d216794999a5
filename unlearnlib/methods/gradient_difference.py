"""Gradient difference: ascent on the forget set and descent on retained texts in one step (Liu et al. 2022)."""

from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, mean_loss, trained


def gradient_difference(
    request: Request,
    retain_weight: float = 1.0,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path that descends along -L(forget) + retain_weight * L(retained), L the mean loss of a batch's texts.

    Liu, Liu & Stone, "Continual learning and private unlearning" (2022), as TOFU uses it (Maini et al. 2024). How it
    trains, and where it may stop: see unlearnlib.methods.trained.Steps.
    """

    def loss(model, forget, retained):
        return retain_weight * mean_loss(model, retained) - mean_loss(model, forget)

    how = Steps(steps, every, batch_size, learning_rate)
    return trained(request, loss, how, request.retain, "gradient difference")
