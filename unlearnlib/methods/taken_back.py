"""Taking back what the optimizer added because of the forget set: amnesiac unlearning, by text and not by batch.

Graves, Nagisetty & Ganesh (2020) subtract from the trained model the whole update of every batch that held a text to
forget. Where such texts are in nearly every batch that is all of training. Here it is only the part of each update that
these texts account for: their share of AdamW's running mean, over the root of its second moments at that step, times
the learning rate of that step (unlearnlib.training.watch.Shares). So the step has a length that nobody has to find.
"""

from dataclasses import replace

from unlearnlib.methods.path import Path, scaled, straight
from unlearnlib.methods.request import Request


def taken_back(request: Request, layers: str = "all", until: str = "all", as_it_was: bool = False) -> Path:
    """Return the path along what was added because of the forget set, `until` the end of the first epoch or of all
    (`first`, `all`).

    Its effort is the L2 norm of the change. `as_it_was`: its one stop is the whole change once, the step that was
    given, and the effort counts the times.
    """
    change = request.watched.taken_back(request.selections(layers), until)
    if as_it_was:
        return replace(scaled(request.start, change), stops=(0.0, 1.0))
    return straight(request.start, change)
