"""The paper's method: ascent along the gradients that fine-tuning recorded."""

from collections.abc import Sequence

from unlearnlib.core.errors import UserError
from unlearnlib.gradients import algebra
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.methods.task import Path, Task, straight


def recorded_direction(task: Task, layers: str, epochs: str | int | Sequence[int] = "first") -> Gradient:
    """Return the recorded gradient of the forget set, summed over the chosen epochs, by parameter name.

    Where the task forgets fewer points than were recorded, the sum is over its own points, from their exact factors.
    """
    if task.record is None:
        raise UserError("this method needs gradients recorded in fine-tuning: fine-tune with recording first")
    selections = task.selections(layers)
    chosen = task.record.choose_epochs(epochs)
    if set(task.forget) == task.record.everyone():
        return task.record.total(selections, chosen)
    recorded = {epoch: set(task.record.points(epoch)) for epoch in chosen}
    total: Gradient = {}
    for epoch in chosen:
        absent = sorted(set(task.forget) - recorded[epoch])
        if absent:
            raise UserError(
                f"the gradient of {absent[0]!r} was not recorded on its own in epoch {epoch}: record its epoch per "
                "point, or forget the whole recorded set"
            )
        total = algebra.plus(total, task.record.subset(task.model, sorted(task.forget), selections, epoch))
    return total


def recorded_ascent(task: Task, layers: str = "all", epochs: str | int | Sequence[int] = "first") -> Path:
    """Return the path along the recorded gradient of `epochs` (`first`, `last`, `all`, one, or a list, from 0).

    A recorded gradient is fixed: repeated steps along it are one longer step (Zagardo 2024, sections on first-epoch and
    multi-epoch gradient ascent).
    """
    return straight(recorded_direction(task, layers, epochs))
