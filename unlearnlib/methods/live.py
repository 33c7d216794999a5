"""Control: gradient ascent with the gradient of the present parameters, not a recorded one (Jang et al. 2022)."""

from unlearnlib.core.errors import UserError
from unlearnlib.gradients import algebra, per_example
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.methods.path import Change, Path, along, applied, changed
from unlearnlib.methods.request import Request


def live_ascent(request: Request, layers: str = "all", step_length: float = 0.25) -> Path:
    """Return the path of normalised gradient ascent on the forget set, in steps of L2 norm `step_length`.

    The effort is the length of the way walked, so its last step may be a shorter one. Steps already walked are kept:
    asking for a longer way goes on from there. UserError for a step that has no length.
    """
    if not step_length > 0:
        raise UserError(f"step_length {step_length} leads nowhere: give a number above 0")
    selections = request.selections(layers)
    parts = algebra.parts_of(selections)
    sequences = [request.forget[name] for name in sorted(request.forget)]
    walked: list[Gradient] = [{}]
    ahead: list[Change] = []

    def change(effort: float) -> Gradient:
        whole = int(effort / step_length)
        while len(ahead) <= whole:
            with applied(request.start, walked[-1]):
                total = per_example.sum_gradient(request.start, sequences, parts)
                direction = algebra.select(total, selections)
            ahead.append(along(direction))
            walked.append(algebra.plus(walked[-1], ahead[-1](step_length)))
        return algebra.plus(walked[whole], ahead[whole](effort - whole * step_length))

    return changed(request.start, change, "L2 length of the way")
