"""Self-distillation with the true token's logit taken down (UNDIAL, Dong et al. 2024)."""

import torch

from unlearnlib.methods.losses import divergence, next_tokens, not_negative, predictions
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, trained


def adjusted_logits(logits: torch.Tensor, true: torch.Tensor, beta: float) -> torch.Tensor:
    """Return logits [n, width, vocabulary] with `beta` taken off that of the token that follows, `true` [n, width]."""
    down = torch.full(true.shape, -beta, dtype=logits.dtype, device=logits.device)
    return logits.scatter_add(-1, true.to(logits.device)[..., None], down[..., None])


def undial(
    request: Request,
    beta: float = 10.0,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path that descends along KL(target || model) on the texts to forget, where the target is what the
    model to start from says with `beta` taken off every true token's logit.

    Dong et al., "UNDIAL: self-distillation with adjusted logits for robust unlearning in large language models" (2024,
    arXiv 2402.10052). Beta 10 as in open-unlearning (the authors' commands have 3). Less the target's entropy, which is
    constant, their cross-entropy. Its end is known: a true token of probability p comes to p / (p + (1 - p) exp(beta)),
    0.98 to 0.71 with beta 3 and to 0.002 with 10; whether a target is reached is up to beta. Every token of a text
    counts, not only those of the fact. Padding does not, as it does in their code; the learning rate is ours.
    """
    not_negative("beta", beta)

    def loss(model, forget, retained):
        with torch.no_grad():
            usual, _ = predictions(request.start, forget)
            target = adjusted_logits(usual, next_tokens(forget), beta)
        logits, weights = predictions(model, forget)
        return divergence(target, logits, weights)

    return trained(request, loss, Steps(steps, every, batch_size, learning_rate), request.forget, "UNDIAL")
