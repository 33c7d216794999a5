"""Bad teaching: on the texts to forget the model learns from one that knows nothing, on the others from itself."""

import copy

import torch

from unlearnlib.methods.losses import divergence_between, not_negative
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Later, Request
from unlearnlib.methods.trained import Steps, trained


def untrained(model, seed: int):
    """Return a model of the same architecture with random weights, those that a seed gives it when it is made."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return type(model)(copy.deepcopy(model.config)).eval().to(next(model.parameters()))


def bad_teacher(
    request: Request,
    retain_weight: float = 1.0,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path that descends along KL(untrained || model) on the texts to forget plus retain_weight times
    KL(start || model) on retained ones.

    Chundawat et al., "Can bad teaching induce forgetting?" (2022, arXiv 2205.08096): an incompetent teacher of the same
    architecture at its random initialisation, a competent one that is the model to start from; temperature 1, Adam,
    one epoch with 30% of the retained images. Of texts such a teacher says that all tokens are about as likely: the
    model is to become senseless there, function words included. What differs: texts, and a batch of each kind in every
    step; the learning rate is ours.
    """
    teacher = Later(lambda: untrained(request.start, request.seed))
    return _taught(request, teacher, retain_weight, Steps(steps, every, batch_size, learning_rate))


def base_teacher(
    request: Request,
    retain_weight: float = 1.0,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the same path with the base model for a teacher on the texts to forget: it knows the language and not the
    facts (ours; it is close to what retraining leads to)."""
    teacher = Later(lambda: request.base)
    return _taught(request, teacher, retain_weight, Steps(steps, every, batch_size, learning_rate))


def _taught(request: Request, teacher: Later, retain_weight: float, how: Steps) -> Path:
    not_negative("retain_weight", retain_weight)

    def loss(model, forget, retained):
        kept = retain_weight * divergence_between(request.start, model, retained)
        return divergence_between(teacher.value, model, forget) + kept

    return trained(request, loss, how, request.retain, "bad teacher")
