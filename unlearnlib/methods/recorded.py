"""The paper's method: ascent along the gradients that fine-tuning recorded."""

from collections.abc import Sequence

from unlearnlib.core.errors import UserError
from unlearnlib.gradients import algebra
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.methods.path import Path, straight
from unlearnlib.methods.request import Request


def recorded_direction(request: Request, layers: str, epochs: str | int | Sequence[int] = "first") -> Gradient:
    """Return the recorded gradient of the forget set, summed over the chosen epochs, by parameter name.

    Where the request forgets fewer points than were recorded, the sum is over its own points, from their exact factors.
    """
    record, forget = request.record, request.forget
    selections = request.selections(layers)
    chosen = record.choose_epochs(epochs)
    if set(forget) == record.everyone():
        return record.total(selections, chosen)
    recorded = {epoch: set(record.points(epoch)) for epoch in chosen}
    total: Gradient = {}
    for epoch in chosen:
        absent = sorted(set(forget) - recorded[epoch])
        if absent:
            raise UserError(
                f"the gradient of {absent[0]!r} was not recorded on its own in epoch {epoch}: record its epoch per "
                "point, or forget the whole recorded set"
            )
        total = algebra.plus(total, record.subset(request.start, sorted(forget), selections, epoch))
    return total


def recorded_ascent(request: Request, layers: str = "all", epochs: str | int | Sequence[int] = "first") -> Path:
    """Return the path along the recorded gradient of `epochs` (`first`, `last`, `all`, one, or a list, from 0).

    A recorded gradient is fixed: repeated steps along it are one longer step (Zagardo 2024, sections on first-epoch and
    multi-epoch gradient ascent).
    """
    return straight(request.start, recorded_direction(request, layers, epochs))
