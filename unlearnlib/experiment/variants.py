"""Ways to unlearn as data: a method, the layers it may change, its options."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields

from unlearnlib.core import definitions
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.methods import named
from unlearnlib.methods import task as unlearning_task
from unlearnlib.models.layers import LAYERS

# Modules whose products stand in a table's key themselves: trained models, the split, the profile's values.
KEYED = (
    "unlearnlib.experiment.training_jobs",
    "unlearnlib.core.profiles",
    "unlearnlib.data.split:draw_split",
    "unlearnlib.data.split:Split",
)
# The models by name, and where an experiment has them.
MODELS = {"base": "base", "finetuned": "finetuned", "retrained": "retrained", "retrained again": "retrained_again"}


@dataclass(frozen=True)
class Variant:
    """One way to unlearn: a method (its name, or a function like those of unlearnlib.methods), the layers it may
    change, its options, and its name in tables and figures."""

    name: str
    method: str | Callable = "recorded"
    layers: str = "all"
    options: Mapping = field(default_factory=dict)

    @property
    def function(self) -> Callable:
        """The method itself: the function that was given, or the one of this name; UserError for an unknown name."""
        if callable(self.method):
            return self.method
        if self.method not in named.METHODS:
            raise UserError(f"no method {self.method!r}: {nearest(self.method, named.METHODS)}")
        return named.METHODS[self.method]

    @property
    def identity(self) -> dict:
        """What the path of this variant depends on beside the task: the method's own code is part of it."""
        method = self.method if isinstance(self.method, str) else getattr(self.method, "__name__", "method")
        layers = self.layers if isinstance(self.layers, str) else str(self.layers)
        code = definitions.code(self.function, *layer_rows(layers), without=KEYED)
        return {"method": method, "layers": layers, "options": dict(self.options), "code": code}

    def path(self, task: unlearning_task.Task) -> unlearning_task.Path:
        """Return the path of this variant for `task`; UserError for an unknown method or option."""
        method = self.function
        known = list(inspect.signature(method).parameters)[2:]  # after task and layers
        for option in self.options:
            if option not in known:
                hint = nearest(option, known) if known else "it takes none"
                raise UserError(f"no option {option!r} of the method {self.method!r}: {hint}")
        return method(task, self.layers, **self.options)


def layer_rows(layers: str) -> list[str]:
    """Return the definitions that say what these layers mean, for a key: rows of unlearnlib.models.layers.LAYERS."""
    return [f"unlearnlib.models.layers:LAYERS.{layer}" for layer in layers.split("+") if layer in LAYERS]


def distinct(variants: Iterable, taken: Iterable[str] = MODELS) -> list:
    """Return the variants (or removal.Modality) as a list, once it is sure that tables and figures can tell them apart.

    UserError, naming both, where two have one name, or where one is called like a model that stands beside them: rows
    of one name would be averaged without a word.
    """
    found: dict[str, object] = {}
    for variant in (variants := list(variants)):
        if variant.name in taken:
            raise UserError(f"{_shown(variant)} is called like the model {variant.name!r}: give it another name")
        if variant.name in found:
            both = f"{_shown(found[variant.name])} and {_shown(variant)}"
            raise UserError(f"two are called {variant.name!r}, {both}: give each a name of its own")
        found[variant.name] = variant
    return variants


def _shown(variant) -> str:
    """Return a variant as it is written, with what differs from the defaults."""
    values = [(one.name, getattr(variant, one.name), _default(one)) for one in fields(variant)]
    words = [
        f"{name}={getattr(value, '__name__', repr(value))}" for name, value, default in values[1:] if value != default
    ]
    return f"{type(variant).__name__}({', '.join([repr(variant.name), *words])})"


def _default(one: Field):
    return one.default if one.default_factory is MISSING else one.default_factory()
