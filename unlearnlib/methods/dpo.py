"""Direct preference optimisation, with another answer preferred to the one to forget (Rafailov et al. 2023; TOFU)."""

from collections.abc import Mapping, Sequence

import torch

from unlearnlib.methods.losses import not_negative, other_texts, positive, text_log_probabilities
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, mean_loss, trained

Replacements = Mapping[str, Sequence[int]]


def dpo_loss(margin: torch.Tensor, reference: torch.Tensor, beta: float) -> torch.Tensor:
    """Return the mean over texts of -log sigmoid(beta * (margin - reference)), of margins [n]: log p of the preferred
    text less log p of the other one, of the model and of the reference. log 2 where the two agree."""
    return -torch.nn.functional.logsigmoid(beta * (margin - reference)).mean()


def dpo(
    request: Request,
    replacements: Replacements | None = None,
    beta: float = 0.1,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path that descends along dpo_loss: each text with its answer replaced is preferred to the text itself.

    Rafailov et al., "Direct preference optimization" (2023, arXiv 2305.18290), as TOFU uses it to forget (Maini
    et al. 2024, arXiv 2401.06121): log-probabilities are sums over tokens, the reference is the model to start from,
    beta 0.1 as theirs. What differs: `replacements` (token ids of a whole text, by the id of each to forget) are fixed,
    theirs one of 100 sentences drawn each time; the learning rate is ours. Before the answers the two texts are the
    same, so that only what comes behind counts. UserError where a text has no replacement.
    """
    return _dpo(request, replacements, beta, None, Steps(steps, every, batch_size, learning_rate))


def dpo_retaining(
    request: Request,
    replacements: Replacements | None = None,
    beta: float = 0.1,
    retain_weight: float = 1.0,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the same path with retain_weight * L(retained) added to (2 / beta) times the loss, which puts it on the
    scale of NPO (so in Zhang et al. 2024, arXiv 2404.05868)."""
    not_negative("retain_weight", retain_weight)
    return _dpo(request, replacements, beta, retain_weight, Steps(steps, every, batch_size, learning_rate))


def _dpo(request: Request, replacements, beta: float, retain_weight: float | None, how: Steps) -> Path:
    positive("beta", beta)
    replaced = other_texts(request, replacements)

    def margin(model, forget) -> torch.Tensor:
        return text_log_probabilities(model, replaced(forget)) - text_log_probabilities(model, forget)

    def loss(model, forget, retained):
        with torch.no_grad():
            reference = margin(request.start, forget)
        value = dpo_loss(margin(model, forget), reference, beta)
        return value if retain_weight is None else (2 / beta) * value + retain_weight * mean_loss(model, retained)

    retain = request.forget if retain_weight is None else request.retain
    return trained(request, loss, how, retain, "DPO")
