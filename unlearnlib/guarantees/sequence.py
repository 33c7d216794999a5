"""An audit of many removals, of which some may have been answered by training again: does the decision tell of the
noise?

The attacker knows the data, what went and in which order, and sees the weights alone. From weights that a training on
what is left would have given, the noise follows; with that noise the whole history can be gone through again, and what
it would have spent is a statistic of its own: models for which it is more than the budget are those that the ledger
would have trained again, and are missing among those that it did not, where the decision asked the noise.
"""

from dataclasses import dataclass, replace

import numpy as np

from unlearnlib.guarantees import certified
from unlearnlib.guarantees.audit import Audited, Draws, statistics, strongest
from unlearnlib.guarantees.certified import Data, Ledger, Removal


class BySecret(Ledger):
    """A ledger that trains again when the bounds at its own weights have added up to the budget, as in Guo et al.'s
    algorithm: the control that must be caught."""

    def due(self, planned: Removal, removal: Removal) -> bool:
        return self.secret + removal.bound > self.budget


@dataclass(frozen=True)
class History:
    """What is forgotten, in order, by a ledger of `noise` that promises (epsilon, delta): places in `data`."""

    data: Data
    order: tuple[int, ...]
    penalty: float
    noise: float
    epsilon: float
    delta: float

    def ledger(self, generator: np.random.Generator, kind: type[Ledger] = Ledger) -> Ledger:
        """Return the ledger that has forgotten all of it, with noise from a generator."""
        asked = (self.penalty, self.noise, self.epsilon, self.delta)
        ledger = certified.opened(self.data, range(len(self.data)), *asked, seed=generator, kind=kind)
        for row in self.order:
            ledger = ledger.forget([row])
        return ledger

    def spent(self, weights: np.ndarray) -> float:
        """Return what the removals would have spent for the noise that these weights [d] follow from, if a training on
        what is left had given them; without training again."""
        b = -certified.gradient(weights, self.data.without(self.order), self.penalty)
        start, data, names, total = (
            certified.fit(self.data, self.penalty, b),
            self.data,
            list(range(len(self.data))),
            0.0,
        )
        for row in self.order:
            place = names.index(row)
            removal = certified.remove(start, data, [place], self.penalty)
            start, data, total = removal.weights, data.without([place]), total + removal.bound
            names.pop(place)
        return total


def longest(history: History) -> History:
    """Return the part of a history before the first training is due, when most is spent: there an audit sees most."""
    ledger = _cut(history, 0).ledger(np.random.default_rng(0))
    for count, row in enumerate(history.order):
        ledger = ledger.forget([row])
        if ledger.fits > 1:
            return _cut(history, count)
    return history


def parted(history: History, draws: int, seed: int = 0) -> History:
    """Return the part of a history after which a ledger that asks the noise (BySecret) has trained again for some draws
    of it and not for others, nearest to one in twenty: where that tells most. The whole where there is none."""
    generator, trained = np.random.default_rng(seed), np.zeros((draws, len(history.order)))
    for draw in range(draws):
        ledger = _cut(history, 0).ledger(generator, BySecret)
        for count, row in enumerate(history.order):
            ledger = ledger.forget([row])
            trained[draw, count] = ledger.fits > 1
            if ledger.fits > 1:
                trained[draw, count:] = 1
                break
    shares = trained.mean(0)
    some = np.flatnonzero((shares > 0) & (shares < 1))
    return _cut(history, 1 + int(min(some, key=lambda at: abs(shares[at] - 0.05)))) if len(some) else history


def _cut(history: History, count: int) -> History:
    return replace(history, order=history.order[:count])


def attacked(history: History, draws: int, seed: int = 0, kind: type[Ledger] = Ledger, level: float = 0.05) -> Audited:
    """Return what the strongest of five attacks shows of a ledger that has forgotten this history: those of
    unlearnlib.guarantees.audit.attacked, and `spent`. So many draws of the noise on each side; the other side is
    trained without what went."""
    first, second = np.random.default_rng(seed).spawn(2)
    unlearned = np.array([history.ledger(first, kind).weights for _ in range(draws)])
    rest = history.data.without(history.order)
    b = history.noise * second.standard_normal((draws, rest.rows.shape[1]))
    retrained = certified.fit_many(rest, history.penalty, b)
    of = Draws(unlearned, retrained, history.data, history.order, history.penalty)
    found = statistics(unlearned, of)
    for side, models in zip(found, (unlearned, retrained), strict=True):
        side["spent"] = np.array([history.spent(weights) for weights in models])
    return strongest(*found, history.delta, level)


def used(history: History, draws: int, seed: int = 0) -> np.ndarray:
    """Return for each of so many draws of the noise the largest share that the bounds at the weights themselves had in
    what the ledger had planned, at any time [draws]. Below 1 the plan held: the promise assumes that it does for nearly
    every noise, and what share of them does not adds to its delta."""
    generator, shares = np.random.default_rng(seed), np.zeros(draws)
    for draw in range(draws):
        ledger = _cut(history, 0).ledger(generator)
        for row in history.order:
            ledger = ledger.forget([row])
            if ledger.spent > certified.TOLERANCE:  # something was removed since the last training
                shares[draw] = max(shares[draw], ledger.secret / ledger.spent)
    return shares
