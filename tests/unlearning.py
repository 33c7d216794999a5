"""What tests of methods that train share: a small request, and the loss that a method would descend along."""

import sys
from contextlib import contextmanager

import pytest
import torch

from unlearnlib.methods.named import METHODS
from unlearnlib.methods.request import Request

FORGET = ("text-0", "text-2", "text-6")


def kept_in(folder):
    """What a request keeps things with: each name computed once, in a folder of its own."""

    def keep(compute, name=""):
        place = folder / (name or "any")
        if not place.exists():
            place.mkdir(parents=True)
            compute(place)
        return place

    return keep


def request_of(start, sequences, folder=None, **fields) -> Request:
    """A request to forget three of the sequences, of which all others are retained; what is kept lies in a folder."""
    forget = {name: sequences[name] for name in FORGET}
    retain = {name: ids for name, ids in sequences.items() if name not in FORGET}
    return Request(start, 7, forget=forget, retain=retain, **({"keep": kept_in(folder)} if folder else {}), **fields)


@contextmanager
def captured(name: str):
    """Yield a list in which a method that trains leaves (request, loss, how, retain, first, left) in place of
    training."""
    found = []

    def trained(request, loss, how, retain, title, first=None, left=None):
        found.append((request, loss, how, retain, first, left))

    module = sys.modules[METHODS[name].unlearn.__module__]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "trained", trained)
        yield found


def loss_of(name: str, request: Request, **options):
    """The loss of a method: a function of a model, texts to forget and retained ones."""
    with captured(name) as found:
        METHODS[name].path(request, **options)
    return found[0][1]


def gradient(value: torch.Tensor, model) -> torch.Tensor:
    """The gradient of a value by all parameters, in one row; 0 where it does not depend on them."""
    parameters = list(model.parameters())
    slopes = torch.autograd.grad(value, parameters, allow_unused=True)
    return torch.cat(
        [(torch.zeros_like(p) if s is None else s).flatten() for p, s in zip(parameters, slopes, strict=True)]
    )


def log_p(model, ids, temperature: float = 1.0) -> torch.Tensor:
    """log p of every token [length - 1, vocabulary] behind the first, from the text alone: no padding."""
    return (model(torch.tensor([list(ids)])).logits[0, :-1] / temperature).log_softmax(-1)


def of_next(model, ids) -> torch.Tensor:
    """log p of each token behind the first."""
    return log_p(model, ids).gather(1, torch.tensor(list(ids))[1:, None])[:, 0]


def kl(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The mean over places of KL(one || other), of log-probabilities."""
    return (one.exp() * (one - other)).sum(-1).mean()
