"""What the names of layers mean."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.models.anatomy import HALVES, anatomy


@dataclass(frozen=True)
class Selection:
    """Which part of one parameter a layer name means.

    `halves`: of the tied embedding, the gradient of its use as input table, as output projection, or both; `None` for
    every other parameter. `rows`: only these rows (token ids), or, where `without` is set, all rows but these.
    """

    halves: tuple[str, ...] | None = None
    rows: tuple[int, ...] | None = None
    without: bool = False

    def mask(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return `gradient` with the rows that are not selected set to zero."""
        if self.rows is None:
            return gradient
        chosen = torch.zeros(gradient.shape[0], 1, dtype=gradient.dtype, device=gradient.device)
        chosen[list(self.rows)] = 1.0
        return gradient * (1.0 - chosen if self.without else chosen)


def _rows_of_the_name(rows: tuple[int, ...]) -> tuple[int, ...]:
    if not rows:
        raise UserError("layers with 'name_rows' need the token ids of a name, and none were given")
    return rows


LAST = 2  # so many blocks are the last ones: the paper's blocks 11 and 12 of 12


# What a layer's name means, beside the blocks h.0, h.1, ...: a function from the model and the token ids of the name of
# the one to forget to the selected parameters. A row of its own, so that a new name makes nothing else new.
LAYERS: dict[str, Callable[[torch.nn.Module, tuple[int, ...]], dict[str, Selection]]] = {
    "embedding": lambda model, rows: _embedding(model),
    "position_embedding": lambda model, rows: {
        _there(model, "positions", "learned positions") + ".weight": Selection()
    },
    "ln_f": lambda model, rows: _below(model, _there(model, "norm", "normalisation behind its blocks")),
    "input_embedding": lambda model, rows: _embedding(model, halves=("input",)),
    "output_embedding": lambda model, rows: {
        anatomy(model).head_weight: Selection(("output",) if anatomy(model).tied else None)
    },
    "name_rows": lambda model, rows: _embedding(model, rows=_rows_of_the_name(rows)),
    "embedding_without_name_rows": lambda model, rows: _embedding(model, rows=_rows_of_the_name(rows), without=True),
    "last_blocks": lambda model, rows: _below(model, *anatomy(model).blocks[-LAST:]),
    "all_but_last_blocks": lambda model, rows: {
        name: selection
        for name, selection in _everything(model).items()
        if name not in _below(model, *anatomy(model).blocks[-LAST:])
    },
    "all": lambda model, rows: _everything(model),
}


def _embedding(model, halves: tuple[str, ...] = HALVES, **which) -> dict[str, Selection]:
    """Return the table of input embeddings; where it is the output layer too, these of its uses."""
    known = anatomy(model)
    return {known.embedding_weight: Selection(halves if known.tied else None, **which)}


def _everything(model) -> dict[str, Selection]:
    known = anatomy(model)
    tied = known.embedding_weight if known.tied else None
    return {name: Selection(HALVES if name == tied else None) for name, _ in model.named_parameters()}


def _there(model, part: str, what: str) -> str:
    name = getattr(anatomy(model), part)
    if name is None:
        raise UserError(f"a {type(model).__name__} has no {what}: name other layers")
    return name


def _below(model, *modules: str) -> dict[str, Selection]:
    names = (name for name, _ in model.named_parameters())
    return {name: Selection() for name in names if name.startswith(tuple(f"{module}." for module in modules))}


def layer_names(model) -> list[str]:
    """Return the names of the layers of a model: its blocks, h.0 and so on, and those of LAYERS."""
    return [*(f"h.{index}" for index in range(len(anatomy(model).blocks))), *LAYERS]


def spread_blocks(model, at_most: int) -> list[str]:
    """Return the names of a model's blocks, of a deep one so many, evenly spread from the first to the last; UserError
    for fewer than two."""
    if at_most < 2:
        raise UserError(f"at most {at_most} blocks: name two at least, the first and the last")
    depth = len(anatomy(model).blocks)
    shown = min(depth, at_most)
    return [f"h.{round(place * (depth - 1) / max(1, shown - 1))}" for place in range(shown)]


def tables_of(model) -> str:
    """Return the name of the layers that turn tokens into vectors: embedding, and learned positions if it has any."""
    return "embedding+position_embedding" if anatomy(model).positions else "embedding"


def in_order(model) -> list[str]:
    """Return the names of the layers from the input up: tables, blocks, last normalisation (no output layer)."""
    blocks = [f"h.{index}" for index in range(len(anatomy(model).blocks))]
    return [*tables_of(model).split("+"), *blocks, *(["ln_f"] if anatomy(model).norm else [])]


def resolve(model, layers: str, name_rows: Iterable[int] = ()) -> dict[str, Selection]:
    """Return what `layers` names, as a mapping from parameter name to Selection.

    `layers` is one name or several joined by `+` (`h.0+h.1`). `embedding` is the table of input embeddings, and of a
    model whose output layer is the same matrix both of its uses, `input_embedding` and `output_embedding` the gradient
    of one use of it; `name_rows` and `embedding_without_name_rows` need the token ids of the subject's name in
    `name_rows`; `last_blocks` are the last two. Raises UserError for a name that matches no parameter.
    """
    rows = tuple(sorted(set(name_rows)))
    blocks = {f"h.{index}": name for index, name in enumerate(anatomy(model).blocks)}
    chosen: dict[str, Selection] = {}
    for layer in layers.split("+"):
        if layer in LAYERS:
            part = LAYERS[layer](model, rows)
        elif layer in blocks:
            part = _below(model, blocks[layer])
        else:
            raise UserError(f"no layer {layer!r} in this model: {nearest(layer, layer_names(model))}")
        for name, selection in part.items():
            if name in chosen:
                raise UserError(f"layers {layers!r} name {name} twice; name each part once")
            chosen[name] = selection
    return chosen


def parameter_bytes(model) -> int:
    """Return how many bytes a model's parameters take (tied weights once)."""
    return sum(value.numel() * value.element_size() for value in model.parameters())


def parameter_count(model, layers: str = "all", name_rows: Iterable[int] = ()) -> int:
    """Return how many parameters `layers` names (tied weights once)."""
    parameters = dict(model.named_parameters())
    return sum(
        parameters[name].numel()
        if part.rows is None
        else (len(part.rows) if not part.without else parameters[name].shape[0] - len(part.rows))
        * parameters[name].shape[1]
        for name, part in resolve(model, layers, name_rows).items()
    )
