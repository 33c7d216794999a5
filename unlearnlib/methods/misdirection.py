"""Representation misdirection (RMU): inside the network texts to forget are sent in a random direction."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.methods.losses import not_negative, positive
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Later, Request
from unlearnlib.methods.trained import Steps, trained
from unlearnlib.models.anatomy import anatomy

TRAINED = 3  # so many blocks are trained, up to the one whose output is looked at


def representation_misdirection(
    request: Request,
    block: int | None = None,
    steering: float = 2.0,
    alpha: float = 100.0,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path that descends along |h - c u|^2 / d on texts to forget plus alpha |h - h_start|^2 / d on retained
    ones, means over tokens: h is what comes out of a block, of width d, u a random unit vector. Only the last weight
    matrices of the feed-forward parts of this block and of the two before it move.

    Li et al., "The WMDP benchmark: measuring and reducing malicious use with unlearning" (2024, arXiv 2403.03218). u
    has entries from 0 to 1 before it is scaled, as theirs. For a model of 7B parameters and 32 blocks they take block
    7, c 6.5 and alpha 1200; the defaults of their script are, as we remember them, 20 and 100. What differs: `block`
    (from 0) is by default a third of the way up; c is `steering` times the mean length of h on the texts to forget,
    since lengths differ from model to model; the retained texts are those of training, not a general corpus; padding
    does not count. What a model answers is nowhere aimed at: it changes when h does. UserError for a block that there
    is not.
    """
    positive("steering", steering)
    not_negative("alpha", alpha)
    start = request.start
    count = len(anatomy(start).blocks)
    block = round(count / 3) if block is None else block
    if not (isinstance(block, int) and 0 <= block < count):
        raise UserError(f"there is no block {block!r}: the model has blocks 0 to {count - 1}")
    moved = [last_of_feed_forward(start, at) for at in range(max(0, block - TRAINED + 1), block + 1)]
    wanted = Later(lambda: steering * _length(start, list(request.forget.values()), block) * _direction(request))

    def first() -> torch.nn.Module:
        model = copy.deepcopy(start)
        for name, value in model.named_parameters():
            value.requires_grad_(name in moved)
        return model

    def loss(model, forget, retained):
        with torch.no_grad():
            before, _ = hidden(start, retained, block)
        away, mine = hidden(model, forget, block)
        kept, theirs = hidden(model, retained, block)
        return squares(away - wanted.value, mine) + alpha * squares(kept - before, theirs)

    how = Steps(steps, every, batch_size, learning_rate)
    return trained(request, loss, how, request.retain, "representation misdirection", first)


def last_of_feed_forward(model, block: int) -> str:
    """Return the name of the last weight matrix of a block's feed-forward part: what it adds to the stream. UserError
    in a family that does not call that part mlp."""
    inside = [
        name
        for name, module in model.get_submodule(anatomy(model).blocks[block]).named_modules()
        if isinstance(module, torch.nn.Linear) and name.startswith("mlp.")
    ]
    if not inside:
        raise UserError(f"a {type(model).__name__} has no part `mlp` in its blocks: this method cannot be used on it")
    return f"{anatomy(model).blocks[block]}.{inside[-1]}.weight"


def hidden(model, texts: Sequence[Sequence[int]], block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what comes out of a block [n, width, d], and the weight of each place [n, width]: 1 / (the text's tokens),
    0 in padding."""
    tokens, lengths = batches.pad(texts)
    with _caught(model.get_submodule(anatomy(model).blocks[block])) as found:
        model(tokens.to(next(model.parameters()).device))
    real = (torch.arange(tokens.shape[1]) < lengths[:, None]).to(found[0])
    return found[0], real / real.sum(1, keepdim=True)


@contextmanager
def _caught(module: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    found: list[torch.Tensor] = []
    hook = module.register_forward_hook(lambda _, __, out: found.append(out[0] if isinstance(out, tuple) else out))
    try:
        yield found
    finally:
        hook.remove()


def squares(difference: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the mean over texts of the weighted sum over places of the mean square [n, width, d] over dimensions."""
    return (difference.square().mean(-1) * weights).sum(1).mean()


def _length(model, texts: Sequence[Sequence[int]], block: int) -> float:
    """Return the mean length of a block's output on some texts."""
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(texts), 16):
            found, weights = hidden(model, texts[start : start + 16], block)
            total += float((found.norm(dim=-1) * weights).sum())
    return total / len(texts)


def _direction(request: Request) -> torch.Tensor:
    """Return the unit vector of a request's seed."""
    like = next(request.start.parameters())
    width = request.start.get_input_embeddings().embedding_dim
    drawn = torch.rand(width, generator=torch.Generator().manual_seed(request.seed)).to(like)
    return drawn / drawn.norm()
