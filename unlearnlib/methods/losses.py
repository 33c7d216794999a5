"""What several trained methods make their losses of: log-probabilities of texts, and distances between predictions.

Everywhere a text counts as the mean over its own tokens and a batch as the mean over its texts, in nats; padding never
counts. `text_log_probabilities` alone sums over tokens, as preference losses do.
"""

from collections.abc import Callable, Sequence

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Texts

Batch = Sequence[Sequence[int]]


def positive(name: str, value: float) -> None:
    """Raise UserError for a number that is not above 0."""
    if not 0 < value < float("inf"):
        raise UserError(f"{name} {value} makes no sense here: give a number above 0")


def not_negative(name: str, value: float) -> None:
    """Raise UserError for a number below 0."""
    if not 0 <= value < float("inf"):
        raise UserError(f"{name} {value} makes no sense here: give a number from 0 on")


def text_log_probabilities(model, texts: Batch) -> torch.Tensor:
    """Return float [n]: log p of each whole text, summed over its tokens (higher is likelier)."""
    tokens, lengths = batches.pad(texts)
    tokens = tokens.to(next(model.parameters()).device)
    losses = token_losses(model(tokens).logits, tokens, lengths)
    return -losses.sum(1)


def token_losses(logits: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return float [n, width - 1]: -log p of every next token, 0 in padding."""
    real = torch.arange(1, tokens.shape[1]) < lengths[:, None]
    return batches.token_losses(logits, tokens) * real.to(logits)


def predictions(model, texts: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a model's logits [n, width, vocabulary] for some texts, and the weight [n, width] of each place: 1 / (the
    text's tokens to predict), 0 where nothing is left to predict. Each row of weights sums to one."""
    tokens, lengths = batches.pad(texts)
    logits = model(tokens.to(next(model.parameters()).device)).logits
    weights = batches.label_weights(lengths, tokens.shape[1], logits.dtype)
    return logits, torch.nn.functional.pad(weights, (0, 1)).to(logits.device)


def next_tokens(texts: Batch) -> torch.Tensor:
    """Return int64 [n, width]: the token that follows each place of some texts, 0 where none does."""
    tokens, _ = batches.pad(texts)
    return torch.nn.functional.pad(tokens[:, 1:], (0, 1))


def divergence(target: torch.Tensor, other: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return KL(softmax(target) || softmax(other)) of two sets of logits [n, width, vocabulary], in nats: the mean over
    texts of the sum over places of `weights` times it. 0 where they agree, never below."""
    log_p, log_q = target.log_softmax(-1), other.log_softmax(-1)
    return ((log_p.exp() * (log_p - log_q)).sum(-1) * weights).sum(1).mean()


def divergence_between(reference, model, texts: Batch) -> torch.Tensor:
    """Return KL(reference || model) of two models' predictions on some texts (see divergence), without a gradient
    through the reference."""
    with torch.no_grad():
        target, _ = predictions(reference, texts)
    logits, weights = predictions(model, texts)
    return divergence(target, logits, weights)


def centred(logits: torch.Tensor) -> torch.Tensor:
    """Return logits less their mean over the vocabulary: softmax does not know the difference, but a difference of two
    models' logits means nothing before."""
    return logits - logits.mean(-1, keepdim=True)


def other_texts(request: Request, replacements: Texts | None) -> Callable[[Batch], list[Sequence[int]]]:
    """Return the function that puts in the place of each text to forget the one that `replacements` has under its id
    (token ids of the same text with another answer; unlearnlib.experiment.replacements makes some).

    UserError where there is none for one of them, and where it is the very text that is to be forgotten.
    """
    if not replacements:
        raise UserError(
            "this method needs other answers: give replacements, a text's token ids by the id of each to forget"
        )
    known = {}
    for name, text in request.forget.items():
        if name not in replacements:
            raise UserError(f"replacements have no text for {name!r}: give one for every text to forget")
        known[tuple(text)] = list(replacements[name])
        if known[tuple(text)] == list(text):
            raise UserError(f"the replacement of {name!r} is the text itself: give another answer")
    return lambda texts: [known[tuple(text)] for text in texts]
