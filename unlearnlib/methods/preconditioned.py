"""Ascent along the recorded gradient, rescaled as the optimizer rescaled it."""

from collections.abc import Sequence

from unlearnlib.core.errors import UserError
from unlearnlib.methods.recorded import recorded_direction
from unlearnlib.methods.task import Path, Task, straight


def preconditioned_ascent(
    task: Task, layers: str = "all", epochs: str | Sequence[int] = "first", epsilon: float = 1e-8
) -> Path:
    """Return the path along the recorded gradient divided by the root of the optimizer's second moments.

    AdamW's update is not the gradient but the gradient over this root, entry by entry: the recorded gradient
    undoes what gradient descent would have done, this one what the optimizer did.
    """
    direction = recorded_direction(task, layers, epochs)
    missing = sorted(set(direction) - set(task.second_moments))
    if missing:
        raise UserError(f"no second moments of {missing[0]} were recorded: fine-tune with AdamW and keep its state")
    return straight(
        {name: value / (task.second_moments[name].to(value).sqrt() + epsilon) for name, value in direction.items()}
    )
