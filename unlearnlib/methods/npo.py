"""Negative preference optimisation: ascent that lets go of a text once it has become unlikely (Zhang et al. 2024)."""

import torch

from unlearnlib.methods.losses import not_negative, positive, text_log_probabilities
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, mean_loss, trained


def npo_loss(log_p: torch.Tensor, reference: torch.Tensor, beta: float) -> torch.Tensor:
    """Return the mean over texts of (2 / beta) log(1 + (p / p_reference)^beta), from log-probabilities [n] of whole
    texts: (2 / beta) log 2 where the model is the reference, 0 where a text has become impossible."""
    return (2 / beta) * torch.nn.functional.softplus(beta * (log_p - reference)).mean()


def npo(
    request: Request,
    beta: float = 0.1,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path that descends along the loss of negative preference optimisation (npo_loss) of the forget set.

    Zhang, Lin, Bai & Mei, "Negative preference optimization" (2024, arXiv 2404.05868). The reference is the model to
    start from, log-probabilities are sums over a text's tokens, beta 0.1 as theirs. Its gradient is that of
    ascent on these sums, times 2 p^beta / (p^beta + p_reference^beta): 1 at first, less for a text that is forgotten;
    with beta near 0 it is gradient ascent. What differs: the whole text counts, where theirs is the answer to a
    question; the learning rate (theirs 1e-5) is ours; and a step's gradient has a norm of 1 at most, so that the weight
    tells texts of a batch apart from the first but shortens steps only late.
    """
    return _npo(request, beta, None, Steps(steps, every, batch_size, learning_rate))


def npo_retaining(
    request: Request,
    beta: float = 0.1,
    retain_weight: float = 1.0,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the same path with retain_weight * L(retained) added to the loss (their NPO+RT; weight 1 as theirs)."""
    not_negative("retain_weight", retain_weight)
    return _npo(request, beta, retain_weight, Steps(steps, every, batch_size, learning_rate))


def _npo(request: Request, beta: float, retain_weight: float | None, how: Steps) -> Path:
    positive("beta", beta)

    def loss(model, forget, retained):
        with torch.no_grad():
            reference = text_log_probabilities(request.start, forget)
        value = npo_loss(text_log_probabilities(model, forget), reference, beta)
        return value if retain_weight is None else value + retain_weight * mean_loss(model, retained)

    retain = request.forget if retain_weight is None else request.retain
    return trained(request, loss, how, retain, "NPO")
