"""SCRUB: away from the model to start from on the texts to forget, towards it on the others, by turns."""

import copy

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.methods.losses import divergence, not_negative, positive, predictions
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, mean_loss, trained


def scrub(
    request: Request,
    alpha: float = 0.5,
    gamma: float = 1.0,
    temperature: float = 2.0,
    max_steps: int = 12,
    min_steps: int = 3,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 4,
    batch_size: int = 8,
) -> Path:
    """Return the path of turns of one step along -D(forget) and then `min_steps` along alpha * D(retained) + gamma *
    L(retained); after `max_steps` turns the latter alone. D is KL(start || model) at a temperature, times its square.

    Kurmanji et al., "Towards unbounded machine unlearning" (2023, arXiv 2302.09880): alpha 0.5, gamma 1, temperature 2
    in their small experiments (0.001, 0.99 and 4 in the large). They take turns by epochs, and stop maximising after
    two or three; here it is by steps, in about the proportion of the texts, and a stop stands behind the retained
    part of a turn only, or one would measure what the next steps bring back. Their weight decay is left out, the
    learning rate is ours. At the start D has no slope: the first step is one along rounding errors, as theirs is.
    `max_steps` 0 with alpha 0 is training on the retained texts alone. UserError where a stop would be elsewhere.
    """
    for name, value in (("alpha", alpha), ("gamma", gamma)):
        not_negative(name, value)
    positive("temperature", temperature)
    for name, value, least in (("max_steps", max_steps, 0), ("min_steps", min_steps, 1)):
        if not (isinstance(value, int) and value >= least):
            raise UserError(f"{name} {value!r} makes no sense here: give a whole number from {least} on")
    how, turn = Steps(steps, every, batch_size, learning_rate), 1 + min_steps
    if max_steps and every % turn:
        raise UserError(f"a stop after every {every} steps parts a turn of {turn}: let `every` be a multiple of {turn}")
    taken = 0

    def first() -> torch.nn.Module:
        nonlocal taken
        taken = 0
        return copy.deepcopy(request.start)

    def distance(model, texts) -> torch.Tensor:
        with torch.no_grad():
            usual, _ = predictions(request.start, texts)
        logits, weights = predictions(model, texts)
        return temperature**2 * divergence(usual / temperature, logits / temperature, weights)

    def loss(model, forget, retained):
        nonlocal taken
        number, place = divmod(taken, turn)
        taken += 1
        if place == 0 and number < max_steps:
            return -distance(model, forget)
        value = gamma * mean_loss(model, retained)
        return value + alpha * distance(model, retained) if alpha else value

    return trained(request, loss, how, request.retain, "SCRUB", first)
