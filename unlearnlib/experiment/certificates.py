"""Certified removal from a head on one seed's data: what is promised, what it costs, and what attacks on it show."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from unlearnlib.experiment.heads import Head
from unlearnlib.experiment.measured import Experiment
from unlearnlib.guarantees import audit, certified, sequence


@dataclass(frozen=True)
class Promise:
    """What a certified head is asked for: the L2 penalty (a row), the standard deviation of the secret noise, and the
    (epsilon, delta) up to which it may forget before it is trained again."""

    penalty: float = 0.003
    noise: float = 0.15
    epsilon: float = 1.0
    delta: float = 1e-4


def removals(experiment: Experiment, head: Head, promise: Promise) -> pd.DataFrame:
    """Return what is promised after each of the forget set's texts, removed one by one in the order of their ids
    (cached).

    Columns: removed (how many, from 0), way, bound (on the norm of the residual gradient), residual (its norm, which
    only who knows the noise can compute), epsilon (at promise.delta; infinite where nothing is promised), fits
    (trainings), and accuracy on people never seen. Ways: `Newton step` (never trained again), `trained again when due`
    (see Ledger), `bounds of Guo et al.` (the same steps), `nothing done`.
    """

    def compute() -> pd.DataFrame:
        due = start = _opened(experiment, head, promise)
        never = _Endless(**vars(start))
        b = -certified.gradient(start.weights, head.data, promise.penalty)
        theirs, rows = never.spent, []
        for number in range(len(head.forget) + 1):
            if number:
                name = head.forget[number - 1]
                place = never.names.index(name)
                removal = certified.remove(never.weights, never.data, [place], promise.penalty)
                theirs, never, due = theirs + removal.data_dependent, never.forget([name]), due.forget([name])
            nothing = certified.untouched(start, head.forget[:number]) if number else 0.0
            left = certified.residual(never.weights, never.data, promise.penalty, b)
            other, none = (certified.epsilon_of(bound, promise.noise, promise.delta) for bound in (theirs, nothing))
            rows += [
                (number, "Newton step", never.spent, left, never.promised, 1, never.weights),
                (number, "trained again when due", due.spent, np.nan, due.promised, due.fits, due.weights),
                (number, "bounds of Guo et al.", theirs, left, other, 1, never.weights),
                (number, "nothing done", nothing, nothing, none, 1, start.weights),
            ]
        table = pd.DataFrame(rows, columns=["removed", "way", "bound", "residual", "epsilon", "fits", "weights"])
        told = [certified.accuracy(weights, head.asked) for weights in table.pop("weights")]
        return table.assign(accuracy=told)

    return experiment.table("certified", {"head": head.identity, "promise": asdict(promise)}, compute)


class _Endless(certified.Ledger):
    """A ledger whose budget has no end."""

    @property
    def budget(self) -> float:
        return np.inf


def _opened(experiment: Experiment, head: Head, promise: Promise) -> certified.Ledger:
    return certified.opened(head.data, head.names, *asdict(promise).values(), seed=experiment.seed)


def prices(experiment: Experiment, head: Head, promise: Promise, noises: Sequence[float]) -> pd.DataFrame:
    """Return what noise costs and buys, a row a standard deviation: accuracy on people never seen (mean over 20 draws),
    budget (the residual that it hides), removals (how many of the forget set fit into it), and seconds of CPU time of a
    removal and of a fit (cached)."""

    def compute() -> pd.DataFrame:
        rows = []
        for noise in noises:
            ledger = _opened(experiment, head, replace(promise, noise=noise))
            b = noise * np.random.default_rng(experiment.seed).standard_normal((20, head.data.rows.shape[1]))
            many, started = certified.fit_many(head.data, promise.penalty, b), time.process_time()
            certified.fit(head.data, promise.penalty, b[0])
            fitting, removed, forgetting = time.process_time() - started, 0, []
            for name in head.forget:
                started, after = time.process_time(), ledger.forget([name])
                if after.fits > 1:
                    break
                forgetting.append(time.process_time() - started)
                ledger, removed = after, removed + 1
            accuracy = np.mean([certified.accuracy(weights, head.asked) for weights in many])
            seconds = np.mean(forgetting) if forgetting else np.nan
            rows.append((noise, accuracy, ledger.budget, removed, seconds, fitting))
        return pd.DataFrame(rows, columns=["noise", "accuracy", "budget", "removals", "removal_seconds", "fit_seconds"])

    key = {"head": head.identity, "promise": asdict(promise), "noises": list(noises)}
    return experiment.table("certified-prices", key, compute)


def audited(experiment: Experiment, head: Head, promise: Promise, draws: int, rows: int = 2) -> pd.DataFrame:
    """Return what the strongest of four attacks shows of each way to forget the first `rows` texts in one go, over so
    many draws of the noise a side (cached).

    The noise is the least with which this removal keeps the promise, where an audit sees most. Columns: way, promised
    (epsilon; infinite for a way that promises nothing), shown (lower bound of epsilon, 95%), gaussian (the same if the
    trade-off is that of Gaussian noise), ceiling (what so many draws can show), statistic. Beside the ways of
    unlearnlib.guarantees.audit there are `retrained twice`, in which there is nothing to find, and `without noise`.
    """

    def compute() -> pd.DataFrame:
        places = head.rows[:rows]
        bound = certified.remove(certified.fit(head.data, promise.penalty), head.data, places, promise.penalty).bound
        # A quarter more than the bound needs at weights without noise, since the bound depends on it a little.
        noise = 1.25 * bound / certified.gaussian_shift(promise.epsilon, promise.delta)

        def of(scale: float, seed: int) -> audit.Draws:
            return audit.drawn(head.data, places, promise.penalty, scale, draws, seed)

        first = of(noise, 2 * experiment.seed)
        shown = {name: audit.attacked(first, way, promise.delta) for name, way in audit.WAYS.items()}
        again = of(noise, 2 * experiment.seed + 1).retrained
        shown["retrained twice"] = audit.attacked(first, audit.newton_step, promise.delta, against=again)
        shown["without noise"] = audit.attacked(of(0.0, 0), audit.newton_step, promise.delta)
        kept = {"Newton step": promise.epsilon, "retrained twice": 0.0}
        return _told(shown, kept, audit.ceiling(draws, promise.delta))

    key = {"head": head.identity, "promise": asdict(promise), "draws": draws, "rows": rows}
    return experiment.table("certified-audit", key, compute)


MANY, BY_THE_NOISE = "one after the other", "the same, trained again by the noise"


def audited_in_sequence(experiment: Experiment, head: Head, promise: Promise, draws: int) -> pd.DataFrame:
    """Return what the strongest of five attacks shows of the ledger itself, at the promise's own noise (cached): the
    columns of `audited`, and used, the largest share that the bounds with noise had in what was planned, of all draws
    (below 1: the plan held; NaN for the control).

    Ways: MANY, the removals up to the last before training is due, when most is spent; and as a control BY_THE_NOISE,
    a ledger that trains again by its own bounds, as Guo et al.'s algorithm does, after as many removals as part the
    draws best (see unlearnlib.guarantees.sequence).
    """

    def compute() -> pd.DataFrame:
        whole = sequence.History(head.data, tuple(head.rows), *asdict(promise).values())
        first, other = sequence.longest(whole), sequence.parted(whole, 400, experiment.seed)
        ours, used = sequence.attacked(first, draws, experiment.seed)
        leaking, _ = sequence.attacked(other, draws, experiment.seed, by_the_noise=True)
        shown, kept = {MANY: ours, BY_THE_NOISE: leaking}, {MANY: promise.epsilon}
        table = _told(shown, kept, audit.ceiling(draws, promise.delta))
        return table.assign(used=[used, np.nan], removed=[len(first.order), len(other.order)])

    key = {"head": head.identity, "promise": asdict(promise), "draws": draws}
    return experiment.table("certified-sequence", key, compute)


def _told(shown: dict[str, audit.Audited], kept: dict[str, float], ceiling: float) -> pd.DataFrame:
    rows = [
        (name, kept.get(name, np.inf), found.epsilon, found.gaussian, ceiling, found.statistic)
        for name, found in shown.items()
    ]
    return pd.DataFrame(rows, columns=["way", "promised", "shown", "gaussian", "ceiling", "statistic"])
