"""Choosing the step size: the first at which a measured quantity falls to its target."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.optimize import brentq

from unlearnlib.errors import UserError


@dataclass(frozen=True)
class Calibration:
    """What the search found.

    step_size: the calibrated step, or the step at which the quantity came lowest where the target is unreachable;
    value: the quantity there; reached: whether the target was crossed; evaluated: every (step size, value) looked at.
    """

    step_size: float
    value: float
    reached: bool
    evaluated: tuple[tuple[float, float], ...]


def first_crossing(
    measure: Callable[[float], float],
    target: float,
    smallest: float,
    factor: float,
    largest: float,
    tolerance: float = 0.02,
) -> Calibration:
    """Return the smallest step size at which `measure(step)` falls to `target`.

    The curve need not be monotone, so the search walks up from `smallest` by `factor` until the value is at or below
    the target, and then closes in between the last two steps (Brent's method on the logarithm of the step, to the relative
    precision `tolerance`). A dip narrower than `factor` can be stepped over. A target that is not crossed up to
    `largest` is unreachable, which is a result and no error. UserError for a search range that makes no sense.
    """
    if not (0 < smallest <= largest and factor > 1):
        raise UserError(
            f"no steps to search: smallest {smallest}, largest {largest}, factor {factor} (must be above 1)"
        )
    evaluated: dict[float, float] = {}

    def at(step: float) -> float:
        if step not in evaluated:
            evaluated[step] = measure(step)
        return evaluated[step]

    def found(step: float, reached: bool) -> Calibration:
        return Calibration(step, at(step), reached, tuple(sorted(evaluated.items())))

    below, step = None, smallest
    while step <= largest * (1 + 1e-9):
        if at(step) <= target:
            break
        below, step = step, step * factor
    else:
        lowest = min(evaluated, key=lambda known: evaluated[known])
        return found(lowest, reached=False)
    if below is None:
        return found(step, reached=True)
    root = brentq(
        lambda exponent: at(math.exp(exponent)) - target, math.log(below), math.log(step), xtol=tolerance, rtol=1e-12
    )
    # Brent's answer may lie on either side of the crossing by the tolerance; both are within it.
    return found(math.exp(root), reached=True)
