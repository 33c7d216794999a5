"""Ways to unlearn as data: a method, the layers it may change, its options."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields

from unlearnlib.core import definitions
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.methods import named
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Method, Request
from unlearnlib.models.layers import LAYERS

# Modules whose products stand in a table's key themselves: trained models, the split, the profile's values.
KEYED = (
    "unlearnlib.experiment.setting",
    "unlearnlib.experiment.trained",
    "unlearnlib.core.profiles",
    "unlearnlib.data.split:draw_split",
    "unlearnlib.data.split:Split",
)
# The models by name, and where an experiment has them.
MODELS = {"base": "base", "finetuned": "finetuned", "retrained": "retrained", "retrained again": "retrained_again"}


@dataclass(frozen=True)
class Variant:
    """One way to unlearn: a method (its name, a Method, or a plain function like those of unlearnlib.methods), the
    layers it may change, its options, and its name in tables and figures."""

    name: str
    method: str | Method | Callable = "recorded"
    layers: str = "all"
    options: Mapping = field(default_factory=dict)

    @property
    def known(self) -> Method:
        """The method itself: that which was given, or the one of this name; UserError for an unknown name."""
        if isinstance(self.method, Method):
            return self.method
        if callable(self.method):
            return Method(self.method)
        if self.method not in named.METHODS:
            raise UserError(f"no method {self.method!r}: {nearest(self.method, named.METHODS)}")
        known = named.METHODS[self.method]
        return known if isinstance(known, Method) else Method(known)

    @property
    def method_name(self) -> str:
        """What the method is called: its name, or that of its function."""
        return self.method if isinstance(self.method, str) else getattr(self.known.unlearn, "__name__", "method")

    @property
    def identity(self) -> dict:
        """What the path of this variant depends on beside the request: the method's own code is part of it."""
        layers = self.layers if isinstance(self.layers, str) else str(self.layers)
        code = definitions.code(self.known.unlearn, *layer_rows(layers), without=KEYED)
        uses = sorted(self.known.uses)
        return {"method": self.method_name, "layers": layers, "options": dict(self.options), "uses": uses, "code": code}

    def path(self, request: Request) -> Path:
        """Return the path of this variant for a request; UserError for an unknown method or option."""
        method, options = self.known, dict(self.options)
        if "layers" in method.options:
            options["layers"] = self.layers
        elif self.layers != "all":
            raise UserError(f"the method {self.method_name!r} changes the whole model: leave its layers out")
        try:
            return method.path(request, **options)
        except UserError as error:
            raise UserError(str(error).replace("of this method:", f"of the method {self.method_name!r}:")) from None


def layer_rows(layers: str) -> list[str]:
    """Return the definitions that say what these layers mean, for a key: rows of unlearnlib.models.layers.LAYERS."""
    return [f"unlearnlib.models.layers:LAYERS.{layer}" for layer in layers.split("+") if layer in LAYERS]


def distinct(variants: Iterable, taken: Iterable[str] = MODELS) -> list:
    """Return the variants as a list, once it is sure that tables and figures can tell them apart.

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
