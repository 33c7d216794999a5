"""Selective synaptic dampening: parameters that matter more for the forget set than otherwise are shrunk."""

import torch

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.methods.importance import squared_gradients
from unlearnlib.methods.losses import positive
from unlearnlib.methods.path import Path, changed
from unlearnlib.methods.request import Request

AGAINST = ("all", "retained")


def selective_dampening(request: Request, alpha: float = 1.0, against: str = "all", layers: str = "all") -> Path:
    """Return the path on which every parameter whose importance on the forget set, I_f, is more than alpha times that
    on all trained texts, I, is multiplied by min(lambda I / I_f, 1). Its effort is 1 / lambda: the paper stands at 1,
    and 0 leaves everything as it is. No parameter grows.

    Foster, Schoepf & Brintrup, "Fast machine unlearning without retraining through selective synaptic dampening" (2023,
    arXiv 2308.07707); importance is the mean square of a text's own gradient (theirs: of a batch's mean gradient, which
    at the end of training cancels). Their alpha is 10, lambda 1. What differs: here the forget set is a share q of all
    texts, so that I is never less than q I_f, and an alpha of 1 / q or more selects nothing; so alpha is 1 by
    default, and lambda says how far. `against="retained"` takes the retained texts alone in place of all (ours).
    UserError for another `against`, and where nothing is selected.
    """
    positive("alpha", alpha)
    if against not in AGAINST:
        raise UserError(f"importance cannot be held against {against!r}: {nearest(against, AGAINST)}")
    forget, retain = request.forget, request.retain
    mine = squared_gradients(request.start, [forget[name] for name in sorted(forget)])
    theirs = squared_gradients(request.start, [retain[name] for name in sorted(retain)])
    share = len(forget) / (len(forget) + len(retain)) if against == "all" else 0.0
    parameters = dict(request.start.named_parameters())
    ratios: Gradient = {}
    for name, selection in request.selections(layers).items():
        whole = share * mine[name] + (1 - share) * theirs[name]
        ratio = mine[name] / whole.clamp(min=torch.finfo(whole.dtype).tiny)
        ratios[name] = selection.mask(torch.where(mine[name] > alpha * whole, ratio, 0.0))
    if not any(ratio.any() for ratio in ratios.values()):
        raise UserError(f"no parameter matters {alpha:.3g} times as much for the forget set: lower alpha")

    def change(effort: float) -> Gradient:
        return {
            name: parameters[name].detach() * (1 / (effort * ratio).clamp(min=1.0) - 1)
            for name, ratio in ratios.items()
        }

    return changed(request.start, change, "1 / lambda")
