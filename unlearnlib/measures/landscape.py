"""The loss between models, and how nearly a model is at rest."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.gradients import algebra, per_example
from unlearnlib.gradients.algebra import between
from unlearnlib.measures import evaluation
from unlearnlib.methods.path import applied
from unlearnlib.models.layers import resolve

# Where a model ends


def landscape(
    model,
    ends: Mapping[str, Mapping[str, torch.Tensor]],
    lines: Sequence[tuple[str, str]],
    texts: Mapping[str, Sequence[Sequence[int]]],
    points: int = 7,
    batch_size: int = 32,
) -> pd.DataFrame:
    """Return the loss along straight lines between models: rows (start, end, share, set, value).

    `ends` are models as changes of the parameters of `model`, by name ({} is `model` itself); `lines` are pairs of
    these names; `share` runs from 0 at the start to 1 at the end in `points` values; `value` is the mean over the texts
    (token ids) of each set of their mean -log p a token (nats; lower is likelier). UserError for an unknown end and
    for fewer than two points.
    """
    if points < 2:
        raise UserError(f"a line of {points} points: give at least 2, its ends")
    losses: dict[tuple, dict[str, float]] = {}

    def at(key: tuple, change: Mapping[str, torch.Tensor]) -> dict[str, float]:
        if key not in losses:  # an end belongs to several lines
            with applied(model, change):
                losses[key] = {
                    name: float(evaluation.text_nll(model, chosen, batch_size).mean()) for name, chosen in texts.items()
                }
        return losses[key]

    rows = []
    for start, end in lines:
        for name in (start, end):
            if name not in ends:
                raise UserError(f"no model {name!r} at the end of a line: {nearest(name, ends)}")
        for share in np.linspace(0, 1, points):
            key = (start,) if share == 0 else (end,) if share == 1 else (start, end, share)
            found = at(key, between(ends[start], ends[end], float(share)))
            rows += [(start, end, float(share), name, value) for name, value in found.items()]
    return pd.DataFrame(rows, columns=["start", "end", "share", "set", "value"])


def training_gradient_norm(model, texts: Sequence[Sequence[int]]) -> float:
    """Return the L2 norm, over all parameters, of the gradient of the mean text NLL; near 0 is a stationary point."""
    whole = algebra.select(per_example.sum_gradient(model, texts), resolve(model, "all"))
    return algebra.norm(whole) / len(texts)
