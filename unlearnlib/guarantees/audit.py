"""An audit tries to break a certificate: can the unlearned model be told from the retrained one more often than
promised?

An attack on many draws of the noise gives a lower bound of epsilon that holds with a stated confidence. Above the
promised epsilon it refutes the promise; below it nothing is proved, since a better attack may come. So the audit has
controls: what must be caught, or the audit has no teeth, and what must not be.

Threshold and statistic are chosen on one half of the draws, errors counted on the other, their rates bounded from above
after C. J. Clopper and E. S. Pearson (1934). The bound that assumes the trade-off curve of Gaussian noise follows
M. Nasr et al., Tight Auditing of Differentially Private Machine Learning (2023, arXiv 2302.07956), as we remember it:
shifted Gaussians have the rates Phi(-t) and Phi(t - shift) at a threshold t, so the shift is the sum of two quantiles.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, ndtri

from unlearnlib.core.errors import UserError
from unlearnlib.guarantees import certified
from unlearnlib.guarantees.certified import Data

LEAST = 40  # draws a side: with fewer even a perfect attack shows next to nothing


@dataclass(frozen=True)
class Audited:
    """What an attack shows: lower bounds of epsilon (0: nothing shown; the larger the worse for the promise), of which
    `gaussian` assumes Gaussian noise; the upper bounds on the rates of both errors behind them (each from 0 to 1), the
    draws counted on each side, and the name of the statistic."""

    epsilon: float
    gaussian: float
    false_alarms: float
    misses: float
    counted: int
    statistic: str = ""


def upper(errors, of, level: float) -> np.ndarray:
    """Return the upper Clopper-Pearson limit of a rate, from how many of how many: below the true rate in at most a
    share `level` of all experiments. 1 where all are errors; 1 - level^(1/of) where none is."""
    errors, of = np.broadcast_arrays(np.asarray(errors, dtype=float), np.asarray(of, dtype=float))
    limits = betaincinv(errors + 1, np.maximum(of - errors, 1), 1 - level)
    return np.where(errors >= of, 1.0, limits)


def lower_bound(false_alarms, misses, delta: float) -> np.ndarray:
    """Return the smallest epsilon that these error rates leave possible, by the definition of (epsilon, delta) applied
    to the event of the attack and to its contrary."""
    false_alarms, misses = np.asarray(false_alarms, dtype=float), np.asarray(misses, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        both = np.log((1 - delta - false_alarms) / misses), np.log((1 - delta - misses) / false_alarms)
    return np.nanmax([*both, np.zeros(np.broadcast(false_alarms, misses).shape)], axis=0)


def ceiling(draws: int, delta: float, level: float = 0.05) -> float:
    """Return the largest lower bound that so many draws a side can show: that of an attack without errors on the half
    that is counted."""
    none = upper(0, draws - draws // 2, level / 2)
    return float(lower_bound(none, none, delta))


def audit(unlearned, retrained, delta: float, level: float = 0.05, statistic: str = "") -> Audited:
    """Return what a statistic of unlearned [k] and of retrained [k] models shows, with confidence 1 - level.

    The first half of each chooses the threshold, and on which side of it a model counts as unlearned; the second is
    counted. The level is split between the two rates. UserError for fewer than LEAST draws or sides of unequal length.
    """
    unlearned, retrained = np.asarray(unlearned, dtype=float), np.asarray(retrained, dtype=float)
    if len(unlearned) != len(retrained) or len(unlearned) < LEAST:
        raise UserError(f"{len(unlearned)} and {len(retrained)} draws: an audit needs {LEAST} or more, as many each")
    half = len(unlearned) // 2
    first, second = (unlearned[:half], retrained[:half]), (unlearned[half:], retrained[half:])
    alarms, misses = _rates(*second, *_choice(*first, delta, level)[1:], level)
    # Two sides that are near show most of a shift in the middle, where nothing is seen of epsilon.
    shift = max(0.0, float(_shift(*_rates(*second, *_choice(*first, None, level)[1:], level))))
    gaussian = certified.gaussian_epsilon(shift, delta) if shift else 0.0
    shown = float(lower_bound(alarms, misses, delta))
    return Audited(shown, gaussian, float(alarms), float(misses), len(second[0]), statistic)


def strongest(
    unlearned: dict[str, np.ndarray], retrained: dict[str, np.ndarray], delta: float, level: float = 0.05
) -> Audited:
    """Return what the strongest of several statistics shows (see audit): the statistic, too, is chosen on the first
    half of the draws, so that the level need not be split between them."""
    half = len(next(iter(unlearned.values()))) // 2
    shown = {name: _choice(unlearned[name][:half], retrained[name][:half], delta, level)[0] for name in unlearned}
    best = max(shown, key=lambda name: shown[name])
    return audit(unlearned[best], retrained[best], delta, level, best)


def _choice(unlearned, retrained, delta: float | None, level: float) -> tuple[float, int, float]:
    """Return (what it shows here, sign, threshold) of the best attack "unlearned where sign * value > threshold": the
    one that shows the largest epsilon, or without a delta the largest shift."""
    best = (-np.inf, 1, 0.0)
    for sign in (1, -1):
        places = np.unique(sign * np.concatenate([unlearned, retrained]))
        places = np.concatenate([[places[0] - 1], (places[1:] + places[:-1]) / 2])
        rates = _rates(unlearned, retrained, sign, places, level)
        shown = _shift(*rates) if delta is None else lower_bound(*rates, delta)
        at = int(np.argmax(shown))
        if shown[at] > best[0]:
            best = (float(shown[at]), sign, float(places[at]))
    return best


def _rates(unlearned, retrained, sign: int, places, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the upper limits of the rates of false alarms and of misses at thresholds, each at half of the level."""
    high, low = np.sort(sign * unlearned), np.sort(sign * retrained)
    misses = np.searchsorted(high, places, side="right")
    alarms = len(low) - np.searchsorted(low, places, side="right")
    return upper(alarms, len(low), level / 2), upper(misses, len(high), level / 2)


def _shift(alarms, misses) -> np.ndarray:
    return ndtri(1 - alarms) - ndtri(misses)


# What is attacked: ways to forget rows that share the noise b with a fit on all rows

Way = Callable[[np.ndarray, Data, Sequence[int], float], np.ndarray]


def newton_step(weights, data: Data, rows: Sequence[int], penalty: float) -> np.ndarray:
    """Return the weights after the removal that is certified."""
    return weights + certified.newton(weights, data.without(rows), data.only(rows), penalty)


def nothing_done(weights, data: Data, rows: Sequence[int], penalty: float) -> np.ndarray:
    """Return the weights as they are: a promise on little noise must not cover that."""
    return weights


def wrong_sign(weights, data: Data, rows: Sequence[int], penalty: float) -> np.ndarray:
    """Return the weights after the step in the wrong direction."""
    return weights - certified.newton(weights, data.without(rows), data.only(rows), penalty)


def old_curvature(weights, data: Data, rows: Sequence[int], penalty: float) -> np.ndarray:
    """Return the weights after a step with the curvature of all rows, those to be forgotten included."""
    return weights + certified.newton(weights, data, data.only(rows), penalty)


def one_left_in(weights, data: Data, rows: Sequence[int], penalty: float) -> np.ndarray:
    """Return the weights after the removal of all but the last of these rows."""
    return newton_step(weights, data, rows[:-1], penalty) if len(rows) > 1 else weights


WAYS: dict[str, Way] = {
    "Newton step": newton_step,
    "nothing done": nothing_done,
    "wrong sign": wrong_sign,
    "curvature of all rows": old_curvature,
    "one row left in": one_left_in,
}


@dataclass(frozen=True)
class Draws:
    """Weights [k, d] of models fitted on all rows, and of models fitted without some: one for each draw of the
    noise."""

    fitted: np.ndarray
    retrained: np.ndarray
    data: Data
    rows: tuple[int, ...]
    penalty: float


def drawn(data: Data, rows: Sequence[int], penalty: float, noise: float, draws: int, seed: int = 0) -> Draws:
    """Return models for so many draws of the noise a side, those of the two sides independent."""
    generator = np.random.default_rng(seed)
    first, second = noise * generator.standard_normal((2, draws, data.rows.shape[1]))
    fitted = certified.fit_many(data, penalty, first)
    return Draws(fitted, certified.fit_many(data.without(rows), penalty, second), data, tuple(rows), penalty)


def attacked(of: Draws, way: Way, delta: float, level: float = 0.05, against: np.ndarray | None = None) -> Audited:
    """Return what the strongest of four attacks shows on a way to forget (`against`: other models [k, d] in its place).

    The attacker knows the rows that are left and the one that went, and sees the weights alone. Statistics: the noise
    that the weights would have come from (minus the gradient without it), along the mean residual; the weights along
    the best linear direction between the sides; the margin and the loss of the first removed row.
    """
    unlearned = against
    if unlearned is None:
        unlearned = np.array([way(weights, of.data, of.rows, of.penalty) for weights in of.fitted])
    return strongest(*statistics(unlearned, of), delta, level)


def statistics(unlearned: np.ndarray, of: Draws) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the four statistics of `attacked`, by name: of unlearned models [k, d], and of the retrained ones."""
    rest, (x, y) = of.data.without(of.rows), (of.data.rows[of.rows[0]], of.data.labels[of.rows[0]])
    sides = (unlearned, of.retrained)
    half = len(unlearned) // 2
    noise = [-certified.gradient(side, rest, of.penalty) for side in sides]
    along = noise[0][:half].mean(0) - noise[1][:half].mean(0)
    # What a side has in common is known to the attacker: the spread within the sides, from the first half alone.
    spread = sum(np.cov(side[:half].T) for side in sides) + 1e-12 * np.eye(unlearned.shape[1])
    between = np.linalg.solve(spread, sides[0][:half].mean(0) - sides[1][:half].mean(0))
    first, second = (
        {
            "residual": noise[side] @ along,
            "weights": sides[side] @ between,
            "margin": y * (sides[side] @ x),
            "loss": np.logaddexp(0, -y * (sides[side] @ x)),
        }
        for side in (0, 1)
    )
    return first, second
