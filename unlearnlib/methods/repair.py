"""Repair: one recorded step, and then a few optimizer steps on the retained texts, which bring back what it broke."""

from unlearnlib.methods.path import Path, apply
from unlearnlib.methods.preconditioned import preconditioned_ascent
from unlearnlib.methods.recorded import recorded_ascent
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, mean_loss, trained


def repaired(
    request: Request,
    layers: str = "all",
    epochs: str = "first",
    precondition: bool = True,
    effort: float = 1.0,
    learning_rate: float = 4e-4,
    steps: int = 14,
    every: int = 1,
    batch_size: int = 16,
) -> Path:
    """Return the path of repair: its efforts are optimizer steps on retained texts, after one step along the recorded
    gradient (`precondition`: divided by the root of the second moments) of the L2 norm `effort`.

    At effort 0 stands, as on every path, the model to start from. The loss is that of the retained texts alone, so what
    was forgotten may come back: the more so, the shorter the first step was.
    """
    ascent = preconditioned_ascent if precondition else recorded_ascent
    step = ascent(request, layers, epochs)

    def loss(model, forget, retained):
        return mean_loss(model, retained)

    how = Steps(steps, every, batch_size, learning_rate)
    return trained(request, loss, how, request.retain, "repair", lambda: apply(request.start, step.change(effort)))
