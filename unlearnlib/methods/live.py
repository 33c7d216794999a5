"""Control: gradient ascent with the gradient of the present parameters, not a recorded one (Jang et al. 2022)."""

from unlearnlib.core.errors import UserError
from unlearnlib.gradients import algebra, per_example
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.methods.task import Path, Task, applied, straight


def live_ascent(task: Task, layers: str = "all", step_length: float = 0.25) -> Path:
    """Return the path of normalised gradient ascent on the forget set, in steps of L2 norm `step_length`.

    The step size is the length of the way walked, so its last step may be a shorter one. Steps already walked are kept:
    asking for a longer way goes on from there. UserError for a step that has no length.
    """
    if not step_length > 0:
        raise UserError(f"step_length {step_length} leads nowhere: give a number above 0")
    selections = task.selections(layers)
    parts = algebra.parts_of(selections)
    sequences = [task.forget[name] for name in sorted(task.forget)]
    walked: list[Gradient] = [{}]
    ahead: list[Path] = []

    def path(step_size: float) -> Gradient:
        whole = int(step_size / step_length)
        while len(ahead) <= whole:
            with applied(task.model, walked[-1]):
                direction = algebra.select(per_example.sum_gradient(task.model, sequences, parts), selections)
            ahead.append(straight(direction))
            walked.append(algebra.plus(walked[-1], ahead[-1](step_length)))
        return algebra.plus(walked[whole], ahead[whole](step_size - whole * step_length))

    return path
