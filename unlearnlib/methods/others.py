"""Control: ascent along the recorded gradients of other texts, which are not to be forgotten."""

from unlearnlib.methods.path import Path, straight
from unlearnlib.methods.preconditioned import rescaled
from unlearnlib.methods.request import Request


def others_ascent(request: Request, layers: str = "all", epochs: str = "first", precondition: bool = True) -> Path:
    """Return the path along the gradients that the fine-tuning had of other people's texts, about as many as there are
    to forget, summed over `epochs` (`first`, `all`); `precondition`: divided by the root of the second moments. Where
    it forgets as well as the forget set's own, it does not matter whose gradients were recorded."""
    direction = request.watched.others.total(request.selections(layers), epochs)
    return straight(request.start, rescaled(direction, request.second_moments) if precondition else direction)
