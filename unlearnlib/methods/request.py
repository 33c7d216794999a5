"""What a method is given, and what a method is: a function, and what it says it uses."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.methods.path import Path
from unlearnlib.models.layers import Selection, resolve

# What a request can hand out beside the model to start from.
FIELDS: dict[str, str] = {
    "forget": "token ids of every text to forget, by id",
    "retain": "token ids of every other text that the model was trained on, by id",
    "base": "the model before it was fine-tuned on any of them",
    "record": "the gradients of the forget set that fine-tuning recorded (unlearnlib.gradients.record.Record)",
    "second_moments": "the optimizer's second moments at the end of fine-tuning, by parameter name",
    "watched": "what the fine-tuning did because of the texts to forget (unlearnlib.training.watch.Watched)",
    "name_tokens": "token ids of the subject's name",
    "texts": "the words of every text that the model was trained on, by id",
    "known": "a function of a model and ids of texts to forget: how well it knows each, its answer probability",
    "target": "the answer probability at which what is to be forgotten counts as forgotten",
    "log": "the folder of the fine-tuning's log (unlearnlib.training.replay)",
    "keep": "a function that keeps a folder: keep(compute, name) calls compute(folder) once and returns the folder",
}


class Later:
    """A value of a request that is made when a method first asks for it."""

    def __init__(self, make: Callable[[], Any]):
        self.make = make

    @cached_property
    def value(self) -> Any:
        """What was to be made."""
        return self.make()


class Request:
    """What one request to forget hands to a method: the model to start from (never changed), a seed for what is drawn
    at random, and those of FIELDS that were given, as attributes. A value may be Later."""

    def __init__(self, start, seed: int = 0, **fields):
        for name in fields:
            if name not in FIELDS:
                raise UserError(f"a request hands out no {name!r}: {nearest(name, FIELDS)}")
        self.start, self.seed, self._fields = start, seed, dict(fields)

    def __getattr__(self, name: str):
        fields = self.__dict__.get("_fields", {})
        if name not in fields:
            if name not in FIELDS:
                raise AttributeError(f"a request hands out no {name!r}: {nearest(name, FIELDS)}")
            raise UserError(
                f"this method asks for {name!r} ({FIELDS[name]}) and does not say so, or there is none: name it in the "
                f"method's `uses`, as in Method(function, uses=frozenset({{'forget', {name!r}}}))"
            )
        value = fields[name]
        return value.value if isinstance(value, Later) else value

    def only(self, uses: frozenset[str]) -> "Request":
        """Return the request that hands out these fields and withholds the rest."""
        return Request(self.start, self.seed, **{name: value for name, value in self._fields.items() if name in uses})

    def having(self, **fields) -> "Request":
        """Return the same request with other values in some fields, such as fewer texts to forget."""
        return Request(self.start, self.seed, **{**self._fields, **fields})

    def selections(self, layers: str) -> dict[str, Selection]:
        """Return the parameters that `layers` names in the model to start from."""
        if not isinstance(layers, str):
            raise UserError(f"layers {layers!r}: give one name, or several joined by +, such as 'h.0+h.1'")
        return resolve(self.start, layers, self._fields.get("name_tokens", ()))


# What a plain function is taken to use; a method that uses more, or says less, is a Method.
USUAL = frozenset({"forget", "record", "second_moments", "name_tokens"})


@dataclass(frozen=True)
class Method:
    """A way to unlearn: `unlearn(request, **options)` returns a Path; `uses` names the fields it may ask a request for.

    One that takes steps of its own leaves its stops on disk, by `keep`. `name_tokens` is in everybody's reach: the
    names of layers may need it.
    """

    unlearn: Callable[..., Path]
    uses: frozenset[str] = USUAL

    def __post_init__(self):
        for name in self.uses:
            if name not in FIELDS:
                raise UserError(f"a method cannot use {name!r}: {nearest(name, FIELDS)}")

    @property
    def options(self) -> list[str]:
        """The names of its options."""
        return list(inspect.signature(self.unlearn).parameters)[1:]

    def path(self, request: Request, **options) -> Path:
        """Return the method's path for a request, of which it sees what it uses; UserError for an unknown option."""
        for option in options:
            if option not in self.options:
                hint = nearest(option, self.options) if self.options else "it takes none"
                raise UserError(f"no option {option!r} of this method: {hint}")
        return self.unlearn(request.only(self.uses | {"name_tokens"}), **options)
