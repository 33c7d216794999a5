"""Hooks that catch what goes into and out of the layers of a model."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.models.anatomy import Anatomy, anatomy


@dataclass
class Captured:
    """What the hooks caught in one forward and backward pass, by module name: [batch, tokens, features]."""

    modules: dict[str, torch.nn.Module]
    anatomy: Anatomy
    inputs: dict[str, torch.Tensor] = field(default_factory=dict)
    outputs: dict[str, torch.Tensor] = field(default_factory=dict)
    output_gradients: dict[str, torch.Tensor] = field(default_factory=dict)


def leaf_modules(model, parts: Iterable[str] | None = None) -> dict[str, torch.nn.Module]:
    """Return the modules that own a parameter (and the tied output layer), or only those that `parts` need."""
    wanted = None if parts is None else set(parts)
    chosen, known = {}, anatomy(model)
    for name, module in model.named_modules():
        own = {known.part(name, parameter) for parameter, _ in module.named_parameters(recurse=False)}
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
    captured = Captured(leaf_modules(model, parts), anatomy(model))
    handles = []
    index = None if rows is None else torch.tensor(rows, device=next(model.parameters()).device)

    def chosen(name: str, tensor: torch.Tensor) -> torch.Tensor:
        # A copy of some rows: what was caught of the others would stay in memory until the step is over. The positions
        # are looked up once for all rows. (index_select takes a third of the time of tensor[rows].)
        return (
            tensor.detach()
            if index is None or name == captured.anatomy.positions
            else tensor.detach().index_select(0, index)
        )

    def hook(name):
        def backward_hook(gradient):
            captured.output_gradients[name] = chosen(name, gradient).mul(scale)

        def forward_hook(module, inputs, output):
            if len(inputs) != 1 or not isinstance(output, torch.Tensor):
                raise UserError(
                    f"{name}: what a {type(module).__name__} owns cannot be given the gradient of a single text, "
                    "since it does not turn one tensor into another: name other layers, or another base_model"
                )
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
