"""What the parts of a causal language model are called: found through doors that every family in transformers has."""

import weakref
from dataclasses import dataclass

import torch

from unlearnlib.core.errors import UserError

HALVES = ("input", "output")  # the two uses of an embedding that is the output layer too


@dataclass(frozen=True)
class Anatomy:
    """The names of the modules of one model.

    embedding: the table of input embeddings; head: the output layer; tied: whether both have one matrix; blocks: the
    transformer's blocks from the first to the last; norm: the normalisation behind them; positions: the table of
    learned position embeddings. norm and positions are None where the model has none.
    """

    embedding: str
    head: str
    tied: bool
    blocks: tuple[str, ...]
    norm: str | None
    positions: str | None

    @property
    def embedding_weight(self) -> str:
        """The name of the input table's parameter."""
        return f"{self.embedding}.weight"

    @property
    def head_weight(self) -> str:
        """The name of the output layer's parameter: that of the input table where they are tied."""
        return self.embedding_weight if self.tied else f"{self.head}.weight"

    @property
    def position_weight(self) -> str | None:
        """The name of the position table's parameter, if there is one."""
        return f"{self.positions}.weight" if self.positions else None

    def part(self, module: str, parameter: str) -> str:
        """Return the name of a module's share of a parameter's gradient: of a tied embedding each use has its own."""
        if self.tied and parameter == "weight" and module in (self.embedding, self.head):
            return f"{self.embedding_weight}#{HALVES[module == self.head]}"
        return f"{module}.{parameter}"


_known: "weakref.WeakKeyDictionary[torch.nn.Module, Anatomy]" = weakref.WeakKeyDictionary()


def anatomy(model) -> Anatomy:
    """Return what the parts of a model are called. Raises UserError, with the reason, for one that has not got them."""
    if model not in _known:
        _known[model] = _found(model)
    return _known[model]


def _found(model) -> Anatomy:
    names = {id(module): name for name, module in model.named_modules()}
    kind = type(model).__name__
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    if not isinstance(table, torch.nn.Embedding) or head is None:
        raise UserError(f"a {kind} has no table of input embeddings or no output layer: name a causal language model")
    count = model.config.num_hidden_layers
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == count
    ]
    if not lists:
        raise UserError(f"a {kind} has no list of its {count} blocks: it is no decoder that can be taken apart here")
    place, blocks = min(lists, key=lambda found: found[0].count("."))  # what is nested deeper belongs to a block
    stem = place.rpartition(".")[0]
    around = {f"{stem}.{name}".lstrip("."): module for name, module in model.get_submodule(stem).named_children()}
    norms = [name for name, module in around.items() if "norm" in type(module).__name__.lower()]
    tables = [name for name, module in around.items() if isinstance(module, torch.nn.Embedding) and module is not table]
    return Anatomy(
        embedding=names[id(table)],
        head=names[id(head)],
        tied=head.weight is table.weight,
        blocks=tuple(f"{place}.{index}" for index in range(len(blocks))),
        norm=norms[-1] if norms else None,
        positions=tables[-1] if tables else None,
    )
