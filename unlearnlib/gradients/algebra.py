"""Gradients by part: adding, selecting, measuring them."""

from collections.abc import Mapping

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.models.layers import Selection

Gradient = dict[str, torch.Tensor]


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
    """Return the parts that a resolved set of layers needs (see `unlearnlib.models.layers.resolve`)."""
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


def dot(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """Return the inner product over all entries; a part that one of them lacks counts as zero there."""
    return float(sum((one[name].double() * other[name].double()).sum() for name in one.keys() & other.keys()))


def between(start: Mapping[str, torch.Tensor], end: Mapping[str, torch.Tensor], share: float) -> Gradient:
    """Return the change that lies `share` of the way from the change `start` to `end`; a missing part is zero."""
    return plus(
        {name: (1 - share) * value for name, value in start.items()},
        {name: share * value for name, value in end.items()},
    )
