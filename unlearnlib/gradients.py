"""Per-example gradients in closed form, and the store in which fine-tuning records them.

The gradient of a linear layer is a sum of outer products over tokens, input (activation) times output gradient. So the
inputs and output gradients of the leaf modules, caught by hooks during one ordinary backward pass, hold the gradient of
every text in the batch exactly: as factors of T x (d_in + d_out) numbers instead of d_in x d_out.

A recorded gradient is that of one text's own mean token loss: not divided by the batch size, not clipped. Gradients are
dicts from *part* to tensor; a part is a parameter name, except for the tied embedding, whose two uses stay apart as
`transformer.wte.weight#input` and `transformer.wte.weight#output`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from unlearnlib import batches
from unlearnlib.errors import UserError
from unlearnlib.models import WPE, WTE, Selection

Gradient = dict[str, torch.Tensor]
Factors = dict[str, torch.Tensor]


@dataclass
class Captured:
    """What the hooks caught in one forward and backward pass, by module name: [batch, tokens, features]."""

    modules: dict[str, torch.nn.Module]
    inputs: dict[str, torch.Tensor] = field(default_factory=dict)
    outputs: dict[str, torch.Tensor] = field(default_factory=dict)
    output_gradients: dict[str, torch.Tensor] = field(default_factory=dict)


def _leaf_modules(model, parts: Iterable[str] | None = None) -> dict[str, torch.nn.Module]:
    """Return the modules that own a parameter (and the tied output layer), or only those that `parts` need."""
    wanted = None if parts is None else set(parts)
    chosen = {}
    for name, module in model.named_modules():
        if name == "lm_head":
            own = {f"{WTE}#output"}
        elif name == "transformer.wte":
            own = {f"{WTE}#input"}
        else:
            own = {f"{name}.{parameter}" for parameter, _ in module.named_parameters(recurse=False)}
        if own and (wanted is None or own & wanted):
            chosen[name] = module
    return chosen


@contextmanager
def capture(
    model,
    parts: Iterable[str] | None = None,
    backward_hooks: bool = True,
    rows: Sequence[int] | None = None,
    scale: float = 1.0,
) -> Iterator[Captured]:
    """Catch inputs and output gradients of the modules that own `parts` (default: all) while the context is open.

    With `backward_hooks` the output gradients are caught when the caller runs an ordinary `backward()`: of these `rows`
    of the batch alone (default: all), multiplied by `scale`, which undoes a division of the loss. Without, the outputs
    are kept and the caller asks autograd for their gradients, which saves all weight gradients.
    """
    captured = Captured(_leaf_modules(model, parts))
    handles = []
    index = None if rows is None else torch.tensor(rows, device=next(model.parameters()).device)

    def chosen(name: str, tensor: torch.Tensor) -> torch.Tensor:
        # A copy of some rows: what was caught of the others would stay in memory until the step is over. The positions
        # are looked up once for all rows. (index_select takes a third of the time of tensor[rows].)
        return tensor.detach() if index is None or name == "transformer.wpe" else tensor.detach().index_select(0, index)

    def hook(name):
        def backward_hook(gradient):
            captured.output_gradients[name] = chosen(name, gradient).mul(scale)

        def forward_hook(_module, inputs, output):
            captured.inputs[name] = chosen(name, inputs[0])
            if backward_hooks:
                # A tensor hook runs in the very backward pass of the training step: recording adds no pass of its own.
                output.register_hook(backward_hook)
            else:
                captured.outputs[name] = output

        return forward_hook

    for name, module in captured.modules.items():
        handles.append(module.register_forward_hook(hook(name)))
    try:
        yield captured
    finally:
        for handle in handles:
            handle.remove()


def _normalised(module: torch.nn.LayerNorm, inputs: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.layer_norm(inputs, module.normalized_shape, eps=module.eps)


def factors(captured: Captured, rows: int | slice = slice(None), length: int | None = None) -> Factors:
    """Return the exact factors of one text's gradient from a captured batch, or of several texts at once.

    Keys are `module/input` (activations [T, d_in], or token ids [T] for embeddings) and `module/output_gradient`
    ([T, d_out]); a layer norm keeps its two small gradients densely. A slice of rows gives each a first dimension more.
    `length` is the text's token count: positions beyond it carry no loss and are dropped (None keeps them all). The
    factors are views of what was captured where possible.
    """
    result = {}
    # The last token predicts nothing, so it carries no gradient in any layer: T - 1 positions are exact.
    keep = slice(None if length is None else length - 1)
    for name, module in captured.modules.items():
        if name not in captured.output_gradients:
            continue
        # wpe is looked up once for the whole batch: [1, T], its gradient summed over texts. wte's output gradient is
        # the same at every text and position, so wpe's is read from there and stored once.
        if name == "transformer.wpe":
            if "transformer.wte" not in captured.output_gradients:
                raise UserError("the position embedding's gradient is read from the input embedding's: capture both")
            texts = captured.output_gradients["transformer.wte"].shape[0]
            result[f"{name}/input"] = captured.inputs[name].expand(texts, -1)[rows, keep]
            continue
        incoming, outgoing = captured.inputs[name][rows, keep], captured.output_gradients[name][rows, keep]
        if isinstance(module, torch.nn.LayerNorm):
            result[f"{name}/weight"] = (outgoing * _normalised(module, incoming)).sum(-2)
            result[f"{name}/bias"] = outgoing.sum(-2)
        else:
            result[f"{name}/input"], result[f"{name}/output_gradient"] = incoming, outgoing
    return result


def one_text(stored: Factors, row: int, length: int) -> Factors:
    """Return copies of the factors of one text of `length` tokens out of the `stored` factors of several."""
    return {key: (value[row] if _is_dense(key) else value[row, : length - 1]).clone() for key, value in stored.items()}


def merged(stored: Factors) -> Factors:
    """Return the factors of the sum of several texts' gradients: the tokens of all, as if they were one text's."""
    return {key: value.sum(0) if _is_dense(key) else value.flatten(0, 1) for key, value in stored.items()}


def _is_dense(key: str) -> bool:
    return key.endswith(("/weight", "/bias"))


def densify(model, stored: Factors, parts: Iterable[str] | None = None) -> Gradient:
    """Return the dense gradient, by part, that `stored` factors hold exactly.

    Factors of several texts give their gradients stacked along a first dimension.
    """
    wanted = None if parts is None else set(parts)
    result: Gradient = {}

    def want(part: str) -> bool:
        return wanted is None or part in wanted

    for name in dict.fromkeys(key.partition("/")[0] for key in stored):
        module = model.get_submodule(name)
        if isinstance(module, torch.nn.LayerNorm):
            for parameter in ("weight", "bias"):
                if want(f"{name}.{parameter}"):
                    result[f"{name}.{parameter}"] = stored[f"{name}/{parameter}"]
            continue
        source = "transformer.wte" if name == "transformer.wpe" else name
        incoming, outgoing = stored[f"{name}/input"], stored[f"{source}/output_gradient"]
        if isinstance(module, torch.nn.Embedding):
            part = f"{WTE}#input" if name == "transformer.wte" else WPE
            if want(part):
                zeros = outgoing.new_zeros(*outgoing.shape[:-2], *module.weight.shape)
                result[part] = zeros.scatter_add_(-2, incoming.unsqueeze(-1).expand_as(outgoing), outgoing)
        elif name == "lm_head":
            if want(f"{WTE}#output"):
                result[f"{WTE}#output"] = outgoing.mT @ incoming
        else:
            if want(f"{name}.weight"):
                result[f"{name}.weight"] = incoming.mT @ outgoing
            if want(f"{name}.bias"):
                result[f"{name}.bias"] = outgoing.sum(-2)
    return result


def capture_at(
    model,
    sequences: Sequence[Sequence[int]],
    parts: Iterable[str] | None,
    spans: Sequence[tuple[int, int]] | None = None,
) -> Captured:
    """Return what one batch's own losses give at the model's present parameters, without any weight gradient.

    With `spans` the loss of a text is that of the tokens in its span alone (see unlearnlib.batches.label_weights).
    """
    where = next(model.parameters()).device
    tokens, lengths = batches.pad(sequences)
    tokens = tokens.to(where)
    parts = None if parts is None else {*parts, *([f"{WTE}#input"] if WPE in set(parts) else [])}
    with torch.enable_grad(), capture(model, parts, backward_hooks=False) as captured:
        loss = batches.text_losses(model, tokens, lengths, spans).sum()
        names = list(captured.outputs)
        grads = torch.autograd.grad(loss, [captured.outputs[name] for name in names])
    captured.output_gradients = dict(zip(names, (gradient.detach() for gradient in grads), strict=True))
    captured.outputs.clear()
    return captured


def per_example_factors(model, sequences: Sequence[Sequence[int]], parts: Iterable[str] | None = None) -> list[Factors]:
    """Return the gradient of each text's mean token loss at the model's present parameters, as factors."""
    captured = capture_at(model, sequences, parts)
    return [factors(captured, row, len(sequence)) for row, sequence in enumerate(sequences)]


def per_example_gradients(
    model, sequences: Sequence[Sequence[int]], parts: Iterable[str] | None = None
) -> Iterator[Gradient]:
    """Yield the dense gradient, by part, of each text's mean token loss at the model's present parameters.

    The tensors are views of those of a few texts: keep a clone where one of them is to outlive the others.
    """
    parts = None if parts is None else list(parts)
    captured = capture_at(model, sequences, parts)
    # One product for a few texts at once, up to 64 MB of gradients: more would cost more in fresh memory than it saves.
    together = max(1, 2**24 // sum(value.numel() for value in model.parameters()))
    for start in range(0, len(sequences), together):
        rows = slice(start, start + together)
        stacked = densify(model, factors(captured, rows), parts)
        for row in range(len(sequences[rows])):
            yield {part: value[row] for part, value in stacked.items()}


def sum_gradient(
    model,
    sequences: Sequence[Sequence[int]],
    parts: Iterable[str] | None = None,
    batch_size: int = 64,
    spans: Sequence[tuple[int, int]] | None = None,
) -> Gradient:
    """Return, by part, the sum over texts of the gradient of each text's mean token loss at the present parameters.

    With `spans` the loss of a text is that of the tokens in its span alone (see unlearnlib.batches.label_weights).
    """
    parts = None if parts is None else list(parts)
    total: Gradient = {}
    for start in range(0, len(sequences), batch_size):
        rows = slice(start, start + batch_size)
        captured = capture_at(model, sequences[rows], parts, None if spans is None else spans[rows])
        total = add(densify(model, merged(factors(captured)), parts), total)
    return total


def add(total: Gradient, other: Mapping[str, torch.Tensor]) -> Gradient:
    """Add `other` to `total` in place (its tensors change), part by part, and return `total`."""
    for part, value in other.items():
        if part in total:
            total[part] += value
        else:
            total[part] = value.clone()
    return total


def plus(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> Gradient:
    """Return the sum of two gradients as new tensors; a part that one of them lacks counts as zero there."""
    return add({name: value.clone() for name, value in one.items()}, other)


def parts_of(selections: Mapping[str, Selection]) -> list[str]:
    """Return the parts that a resolved set of layers needs (see `unlearnlib.models.resolve`)."""
    return [
        part
        for name, selection in selections.items()
        for part in ([name] if selection.halves is None else [f"{name}#{half}" for half in selection.halves])
    ]


def select(gradient: Mapping[str, torch.Tensor], selections: Mapping[str, Selection]) -> Gradient:
    """Return the gradient by parameter name, restricted to `selections`, the halves of the tied embedding added up.

    Raises UserError where a part was not recorded, and where the gradient is not finite.
    """
    result: Gradient = {}
    for name, selection in selections.items():
        parts = parts_of({name: selection})
        missing = [part for part in parts if part not in gradient]
        if missing:
            raise UserError(f"no gradient was recorded for {missing[0]}: record that layer, or name another")
        value = selection.mask(sum(gradient[part] for part in parts))
        if not torch.isfinite(value).all():
            raise UserError(f"the gradient of {name} holds NaN or infinity: lower the learning rate and train again")
        result[name] = value
    return result


def norm(gradient: Mapping[str, torch.Tensor]) -> float:
    """Return the L2 norm over all entries."""
    return float(torch.sqrt(sum(value.double().pow(2).sum() for value in gradient.values())))


class Recorder:
    """Records the gradients of the forget points on the very training steps.

    Of the epochs in `point_epochs` the exact factors of every point are kept; of every epoch the sum over all points.
    With `joined_from` the sums of that epoch and of all after it are kept as one, under its number.
    """

    def __init__(self, points: Iterable[str], point_epochs: Sequence[int] = (0,), joined_from: int | None = None):
        self.points = frozenset(points)
        self.point_epochs = frozenset(point_epochs)
        self.joined_from = joined_from
        self.steps: list[tuple[int, list[str], list[int], Factors]] = []
        self.sums: dict[int, Gradient] = {}

    def add(self, model, captured: Captured, names: Sequence[str], lengths: Sequence[int], epoch: int) -> None:
        """Record one training step, in which these points of these token counts were captured, in this order."""
        stored = factors(captured)
        place = epoch if self.joined_from is None else min(epoch, self.joined_from)
        self.sums[place] = add(densify(model, merged(stored)), self.sums.get(place, {}))
        if epoch in self.point_epochs:
            self.steps.append((epoch, list(names), list(lengths), stored))

    def save(self, folder: Path) -> None:
        """Write `points.safetensors` (factors) and `sums.safetensors` into `folder`."""
        points = {
            f"{epoch}|{name}|{key}": value.cpu()
            for epoch, names, lengths, stored in self.steps
            for row, (name, length) in enumerate(zip(names, lengths, strict=True))
            for key, value in one_text(stored, row, length).items()
        }
        sums: dict[str, torch.Tensor] = {}
        for epoch, gradient in self.sums.items():
            for part, value in gradient.items():
                sums |= _packed(f"{epoch}|{part}", value.contiguous().cpu())
        save_file(points, folder / "points.safetensors")
        save_file(sums, folder / "sums.safetensors", {"points": json.dumps(sorted(self.points))})


def _packed(key: str, value: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return a gradient as it is stored: where most rows are zero (an input embedding, whose texts hold few of its
    tokens) the others and their numbers, else the tensor itself."""
    rows = value.flatten(1).any(1).nonzero()[:, 0] if value.dim() > 1 else torch.arange(len(value))
    if 2 * len(rows) > len(value):
        return {key: value}
    return {f"{key}|rows": rows.to(torch.int32), f"{key}|values": value[rows].clone(), f"{key}|shape": _shape(value)}


def _shape(value: torch.Tensor) -> torch.Tensor:
    return torch.tensor(value.shape, dtype=torch.int32)


def _unpacked(file, key: str) -> torch.Tensor:
    """Return a gradient from a file in which `_packed` has put it."""
    if f"{key}|rows" not in file.keys():  # noqa: SIM118 - a file of safetensors is no mapping
        return file.get_tensor(key)
    whole = torch.zeros(*file.get_tensor(f"{key}|shape").tolist())
    whole[file.get_tensor(f"{key}|rows").long()] = file.get_tensor(f"{key}|values")
    return whole


@dataclass(frozen=True)
class Record:
    """Recorded gradients on disk: read lazily, a part at a time."""

    folder: Path

    def _keys(self, name: str) -> list[str]:
        path = self.folder / name
        if not path.is_file():
            raise UserError(f"no recorded gradients in {self.folder}: fine-tune with recording first")
        with safe_open(path, "pt") as file:
            return list(file.keys())

    def epochs(self) -> list[int]:
        """Return the recorded epochs, counted from 0."""
        return sorted({int(key.split("|")[0]) for key in self._keys("sums.safetensors")})

    def points(self, epoch: int = 0) -> list[str]:
        """Return the ids of the points whose own gradients of `epoch` were recorded."""
        return sorted({key.split("|")[1] for key in self._keys("points.safetensors") if key.startswith(f"{epoch}|")})

    def everyone(self) -> set[str]:
        """Return the ids of all points that are in the sums."""
        self._keys("sums.safetensors")
        with safe_open(self.folder / "sums.safetensors", "pt") as file:
            return set(json.loads(file.metadata()["points"]))

    def choose_epochs(self, epochs: str | int | Sequence[int]) -> list[int]:
        """Return epoch numbers for `first`, `last`, `all`, one epoch or a list; UserError for one not recorded."""
        epochs, known = [epochs] if isinstance(epochs, int) else epochs, self.epochs()
        named = {"first": known[:1], "last": known[-1:], "all": known}
        chosen = named.get(epochs) if isinstance(epochs, str) else list(epochs)
        if not chosen or not set(chosen) <= set(known):
            raise UserError(f"no recorded epochs {epochs!r}: give first, last, all, or a list out of {known}")
        return chosen

    def total(self, selections: Mapping[str, Selection], epochs: str | int | Sequence[int] = "first") -> Gradient:
        """Return the gradient summed over all points and the chosen epochs, by parameter name."""
        total: Gradient = {}
        with safe_open(self.folder / "sums.safetensors", "pt") as file:
            for epoch in self.choose_epochs(epochs):
                add(total, {part: _unpacked(file, f"{epoch}|{part}") for part in parts_of(selections)})
        return select(total, selections)

    def factors(self, name: str, epoch: int = 0) -> Factors:
        """Return the stored factors of one point; UserError for a point that was not recorded."""
        prefix = f"{epoch}|{name}|"
        keys = [key for key in self._keys("points.safetensors") if key.startswith(prefix)]
        if not keys:
            raise UserError(f"no gradient of point {name!r} in epoch {epoch} was recorded in {self.folder}")
        with safe_open(self.folder / "points.safetensors", "pt") as file:
            return {key.removeprefix(prefix): file.get_tensor(key) for key in keys}

    def subset(self, model, names: Sequence[str], selections: Mapping[str, Selection], epoch: int = 0) -> Gradient:
        """Return the gradient summed over the named points in one epoch, from their exact factors."""
        if not names:
            raise UserError("an empty set of points to forget: name at least one")
        total: Gradient = {}
        parts = parts_of(selections)
        for name in names:
            add(total, densify(model, self.factors(name, epoch), parts))
        return select(total, selections)


__all__ = [
    "Captured",
    "Factors",
    "Gradient",
    "Record",
    "Recorder",
    "add",
    "capture",
    "densify",
    "factors",
    "merged",
    "norm",
    "one_text",
    "parts_of",
    "per_example_factors",
    "per_example_gradients",
    "plus",
    "select",
    "sum_gradient",
]
