"""Removal by influence functions: one Newton step away from the texts to forget.

It is a method like those of unlearnlib.methods, and stands here because it needs the curvature, which they may not
know: `Variant("Newton step", NEWTON)`.
"""

import copy
from pathlib import Path as FilePath

from safetensors.torch import load_file, save_file

from unlearnlib.core.errors import UserError
from unlearnlib.gradients import algebra, per_example
from unlearnlib.influence.curvature import eager_attention, gauss_newton_product, largest_eigenvalue
from unlearnlib.influence.inverse import conjugate_gradients
from unlearnlib.methods.path import Path, scaled
from unlearnlib.methods.request import Method, Request


def newton_removal(
    request: Request, layers: str = "all", damping: float = 0.01, iterations: int = 30, tolerance: float = 0.05
) -> Path:
    """Return the path along the Newton step that takes the texts to forget out of the training loss: (n G + n delta
    I)^-1 times the sum of their gradients, G the Gauss-Newton matrix of the mean loss of the n retained texts, delta
    `damping` times its largest eigenvalue. Its effort counts how often that step is added; 1 is the step itself.

    Koh & Liang, "Understanding black-box predictions via influence functions" (2017, arXiv 1703.04730), and for removal
    Guo et al., "Certified data removal from machine learning models" (2019, arXiv 1911.03030). What differs: the model
    is no minimum of its loss, and the slope that is left there is not removed; the matrix is positive semidefinite in
    place of the Hessian, damped, and solved by conjugate gradients to `tolerance` (a warning says where it was not
    reached); no certificate follows from any of it. Solved once and kept. UserError where there is nothing to retain.
    """
    if not request.retain:
        raise UserError("no texts to retain: there is no curvature without them")
    selections = request.selections(layers)

    def compute(folder: FilePath) -> None:
        forget, retain = ([texts[name] for name in sorted(texts)] for texts in (request.forget, request.retain))
        total = per_example.sum_gradient(request.start, forget, algebra.parts_of(selections))
        target = algebra.select(total, selections)
        with eager_attention(copy.deepcopy(request.start)) as model:

            def product(vector):
                return gauss_newton_product(model, retain, selections, vector)

            delta = damping * largest_eigenvalue(product, target)
            found = conjugate_gradients(product, target, delta, tolerance, iterations)
        step = {name: (value / len(retain)).contiguous().cpu() for name, value in found.value.items()}
        save_file(step, folder / "step.safetensors")

    return scaled(request.start, load_file(request.keep(compute, "Newton step") / "step.safetensors"))


NEWTON = Method(newton_removal, frozenset({"forget", "retain", "keep"}))
