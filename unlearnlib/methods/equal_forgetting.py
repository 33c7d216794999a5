"""Choosing the step size: the first at which a measured quantity falls to its target."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import t

from unlearnlib.core.errors import UserError
from unlearnlib.methods.path import Path


def never_seen_target(never_seen: Sequence[float], points: int, confidence: float = 0.95) -> float:
    """Return the answer probability down to which a forget set of `points` points has to fall to count as forgotten.

    `never_seen` are the answer probabilities of questions about people that the model was never trained on. The target
    is the upper end of the prediction interval for the mean of `points` more such questions: below it, the forget set
    is no longer significantly above people the model has never seen. That is the edge of a test, not equality: the
    target lies above their mean, the further the fewer points there are. The bare mean of the never-seen is no fit
    target: it is itself an estimate, and a model that knows nothing at all lies above it half of the time.
    """
    if len(never_seen) < 2 or points < 1:
        raise UserError("the never-seen level needs at least two questions about never-seen people, and one to forget")
    return upper_end(never_seen, points, confidence)


def upper_end(values: Sequence[float], count: int, confidence: float = 0.95) -> float:
    """Return the upper end of the prediction interval for the mean of `count` more numbers like these `values`, from
    Student's t (two-sided `confidence`): a mean above it is significantly above theirs."""
    known = np.asarray(values, float)
    spread = known.std(ddof=1) * np.sqrt(1 / len(known) + 1 / count)
    return float(known.mean() + t.ppf((1 + confidence) / 2, len(known) - 1) * spread)


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


def taken(model, path: Path, measure: Callable, target: float, **search) -> float:
    """Let `model`, from which `path` starts, be for good the first of its models at which `measure(model)` is at or
    below `target`, and return the effort (0: it was there already).

    `search`: where first_crossing looks. It ends a little above the target or below it: taken is the smallest effort
    that it looked at and found at or below; where there is none, the one at which it ended.
    """
    if measure(model) <= target:
        return 0.0

    def at(effort: float) -> float:
        with path.at(effort) as moved:
            return measure(moved)

    found = first_crossing(at, target, **search)
    effort = min((step for step, value in found.evaluated if value <= target), default=found.step_size)
    with path.at(effort) as moved:
        after = {name: value.detach().clone() for name, value in moved.state_dict().items()}
    model.load_state_dict(after)
    return effort


def first_crossing(
    measure: Callable[[float], float],
    target: float,
    smallest: float,
    factor: float,
    largest: float,
    tolerance: float = 0.02,
    start: float = 0.0,
) -> Calibration:
    """Return the smallest step size at which `measure(step)` falls to `target`.

    The curve need not be monotone, so the search walks up the steps smallest, smallest x factor, ... until the value is
    at or below the target, and then closes in between the last two steps (Brent's method on the logarithm of the step,
    to the relative precision `tolerance`). It looks first at the first of these steps from `start` on, and walks down
    from there where the value is below the target already. A dip narrower than `factor`, or before `start`, can be
    stepped over. A target that is not crossed up to `largest` is unreachable, which is a result and no error. UserError
    for a search range that makes no sense.
    """
    if not (0 < smallest <= largest and factor > 1):
        raise UserError(
            f"no steps to search: smallest {smallest}, largest {largest}, factor {factor} (must be above 1)"
        )
    steps = [smallest]
    while steps[-1] * factor <= largest * (1 + 1e-9):
        steps.append(steps[-1] * factor)
    evaluated: dict[float, float] = {}

    def at(step: float) -> float:
        if step not in evaluated:
            evaluated[step] = measure(step)
        return evaluated[step]

    def found(step: float, reached: bool) -> Calibration:
        return Calibration(step, at(step), reached, tuple(sorted(evaluated.items())))

    first = next((number for number, step in enumerate(steps) if step >= start), len(steps) - 1)
    crossed = next((number for number in range(first, len(steps)) if at(steps[number]) <= target), None)
    if crossed is None:
        return found(min(evaluated, key=lambda known: evaluated[known]), reached=False)
    while crossed and at(steps[crossed - 1]) <= target:
        crossed -= 1
    if crossed == 0:
        return found(smallest, reached=True)
    ends = math.log(steps[crossed - 1]), math.log(steps[crossed])
    root = brentq(lambda exponent: at(math.exp(exponent)) - target, *ends, xtol=tolerance, rtol=1e-12)
    # Brent's answer may lie on either side of the crossing by the tolerance; both are within it.
    return found(math.exp(root), reached=True)


def first_stop(measure: Callable[[float], float], target: float, stops: Sequence[float]) -> Calibration:
    """Return the first of a path's stops at which `measure(stop)` is at or below `target`, or the lowest where none is.

    Between two stops there is no model that anybody has trained, so nothing is interpolated. The start, the first of
    the stops, counts too.
    """
    evaluated: list[tuple[float, float]] = []
    for stop in stops:
        evaluated.append((float(stop), measure(stop)))
        if evaluated[-1][1] <= target:
            return Calibration(*evaluated[-1], True, tuple(evaluated))
    return Calibration(*min(evaluated, key=lambda pair: pair[1]), False, tuple(evaluated))
