"""Control: gradient ascent with the gradient of the present parameters, not a recorded one (Jang et al. 2022)."""

from unlearnlib.core import room
from unlearnlib.core.errors import UserError
from unlearnlib.gradients import algebra, per_example
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.methods.path import Change, Path, along, applied, changed
from unlearnlib.methods.request import Request
from unlearnlib.models.layers import parameter_bytes


def live_ascent(request: Request, layers: str = "all", step_length: float = 0.25) -> Path:
    """Return the path of normalised gradient ascent on the forget set, in steps of L2 norm `step_length`.

    The effort is the length of the way walked, so its last step may be a shorter one. The last steps are kept, as many
    as fit into unlearnlib.core.room.KEPT_STEPS: asking for a longer way goes on from there, for a shorter one from the
    nearest before it. UserError for a step that has no length.
    """
    if not step_length > 0:
        raise UserError(f"step_length {step_length} leads nowhere: give a number above 0")
    selections = request.selections(layers)
    parts = algebra.parts_of(selections)
    sequences = [request.forget[name] for name in sorted(request.forget)]
    most = room.fitting(
        room.KEPT_STEPS, 2 * parameter_bytes(request.start)
    )  # of each step where it begins, and its direction
    walked: dict[int, Gradient] = {0: {}}
    ahead: dict[int, Change] = {}

    def direction(number: int) -> Change:
        """Return the changes along the gradient where a step begins."""
        if number not in ahead:
            with applied(request.start, walked[number]):
                total = per_example.sum_gradient(request.start, sequences, parts)
                ahead[number] = along(algebra.select(total, selections))
        return ahead[number]

    def change(effort: float) -> Gradient:
        whole = int(effort / step_length)
        for number in range(max(step for step in walked if step <= whole), whole):
            walked[number + 1] = algebra.plus(walked[number], direction(number)(step_length))
            for oldest in list(walked)[1:-most]:  # by when they were walked; the beginning always stays
                del walked[oldest]
                ahead.pop(oldest, None)
        return algebra.plus(walked[whole], direction(whole)(effort - whole * step_length))

    return changed(request.start, change, "L2 length of the way")
