"""An audit of many removals, of which some may have been answered by training again: does the decision tell of the
noise?

The attacker knows the data, what went and in which order, and sees the weights alone. From weights that a training on
what is left would have given, the noise follows; with that noise the whole history can be gone through again, and what
it would have spent is a statistic of its own: models for which it is more than the budget are those that would have
been trained again, and are missing among those that were not, where the decision asked the noise.
"""

from dataclasses import dataclass, replace

import numpy as np

from unlearnlib.guarantees import certified
from unlearnlib.guarantees.audit import Audited, Draws, statistics, strongest
from unlearnlib.guarantees.certified import TOLERANCE, Data


@dataclass(frozen=True)
class History:
    """What is forgotten, in order, by a ledger of `noise` that promises (epsilon, delta): places in `data`."""

    data: Data
    order: tuple[int, ...]
    penalty: float
    noise: float
    epsilon: float
    delta: float

    def first(self, count: int) -> "History":
        """Return the history up to so many removals."""
        return replace(self, order=self.order[:count])

    def ledger(self, seed: int = 0) -> certified.Ledger:
        """Return the ledger before it has forgotten anything; its names are the places."""
        asked = (self.penalty, self.noise, self.epsilon, self.delta)
        return certified.opened(self.data, range(len(self.data)), *asked, seed=seed)

    def planned(self) -> list[float]:
        """Return what the ledger has spent after each removal; TOLERANCE where it was trained again."""
        ledger, spent = self.ledger(), []
        for row in self.order:
            ledger = ledger.forget([row])
            spent.append(ledger.spent)
        return spent

    def each(self):
        """Yield for every removal the data before it, and the place there of what goes."""
        left, names = self.data, list(range(len(self.data)))
        for row in self.order:
            place = names.index(row)
            yield left, place
            left = left.without([place])
            names.pop(place)


def forgotten(
    history: History, b: np.ndarray, generator: np.random.Generator, by_the_noise: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights [k, d] of as many ledgers as there is noise b [k, d], after all of a history; and the largest
    share [k] that the bounds at these weights had in what was planned, at any time (0: nothing was ever planned).

    by_the_noise: a training is due where the bounds at the weights themselves add up to more than the budget, as in Guo
    et al.'s algorithm, and not where the ledger has planned one. New noise comes from the generator.
    """
    weights = certified.fit_many(history.data, history.penalty, b)
    budget, secret, most = history.ledger().budget, np.full(len(b), TOLERANCE), np.zeros(len(b))
    for (left, place), spent in zip(history.each(), history.planned(), strict=True):
        weights, bound = certified.remove_many(weights, left, [place], history.penalty)
        secret = secret + bound
        again = secret > budget if by_the_noise else np.full(len(b), spent == TOLERANCE)
        if again.any():
            fresh = history.noise * generator.standard_normal((int(again.sum()), b.shape[1]))
            weights[again] = certified.fit_many(left.without([place]), history.penalty, fresh)
            secret[again] = TOLERANCE
        if spent > TOLERANCE and not by_the_noise:
            most = np.maximum(most, secret / spent)
    return weights, most


def spent(history: History, weights: np.ndarray) -> np.ndarray:
    """Return what the removals would have spent [k] for the noise that weights [k, d] follow from, if a training on
    what is left had given them; without training again."""
    return _spent(history, -certified.gradient(weights, history.data.without(history.order), history.penalty))[:, -1]


def _spent(history: History, b: np.ndarray) -> np.ndarray:
    """Return what is spent after each removal [k, removals] at weights with noise b [k, d]."""
    weights, bounds = certified.fit_many(history.data, history.penalty, b), []
    for left, place in history.each():
        weights, bound = certified.remove_many(weights, left, [place], history.penalty)
        bounds.append(bound)
    return TOLERANCE + np.cumsum(bounds, axis=0).T


def longest(history: History) -> History:
    """Return the part of a history before the first training is due, when most is spent: there an audit sees most."""
    planned = history.planned()
    return history.first(planned.index(TOLERANCE)) if TOLERANCE in planned else history


def parted(history: History, draws: int, seed: int = 0) -> History:
    """Return the part of a history after which ledgers that ask the noise have been trained again for some draws of it
    and not for others, nearest to one in twenty: where that tells most. The whole where there is none."""
    shares = (_spent(history, _noise(history, draws, seed)) > history.ledger().budget).mean(0)
    some = np.flatnonzero((shares > 0) & (shares < 1))
    return history.first(1 + int(min(some, key=lambda at: abs(shares[at] - 0.05)))) if len(some) else history


def attacked(
    history: History, draws: int, seed: int = 0, by_the_noise: bool = False, level: float = 0.05
) -> tuple[Audited, float]:
    """Return what the strongest of five attacks shows of ledgers that have forgotten a history: those of
    unlearnlib.guarantees.audit.attacked, and `spent`; and the largest share of the plan that any of the draws used (see
    forgotten). So many draws of the noise on each side; the other side is trained without what went."""
    fresh = np.random.default_rng((seed, 2))
    unlearned, most = forgotten(history, _noise(history, draws, seed), fresh, by_the_noise)
    b = _noise(history, draws, seed, side=1)
    retrained = certified.fit_many(history.data.without(history.order), history.penalty, b)
    of = Draws(unlearned, retrained, history.data, history.order, history.penalty)
    found = statistics(unlearned, of)
    for side, models in zip(found, (unlearned, retrained), strict=True):
        side["spent"] = spent(history, models)
    return strongest(*found, history.delta, level), float(most.max())


def _noise(history: History, draws: int, seed: int, side: int = 0) -> np.ndarray:
    width = history.data.rows.shape[1]
    return history.noise * np.random.default_rng((seed, side)).standard_normal((draws, width))
