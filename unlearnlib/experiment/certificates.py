"""Certified removal from a head on one seed's data: what is promised, what it costs, and what attacks on it show."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from unlearnlib.experiment.heads import Head
from unlearnlib.experiment.measured import Experiment
from unlearnlib.guarantees import audit, certified


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
        asked = dict(zip(("penalty", "noise", "epsilon", "delta"), asdict(promise).values(), strict=True))
        due = certified.opened(head.data, head.names, **asked, seed=experiment.seed)
        start, data, names, b = (
            due,
            head.data,
            list(head.names),
            -certified.gradient(due.weights, head.data, promise.penalty),
        )
        weights, spent, theirs, rows = due.weights, due.spent, due.spent, []
        for number in range(len(head.forget) + 1):
            if number:
                row = names.index(head.forget[number - 1])
                removal = certified.remove(weights, data, [row], promise.penalty)
                weights, spent, theirs = removal.weights, spent + removal.bound, theirs + removal.data_dependent
                data = data.without([row])
                names.pop(row)
                due = due.forget([head.forget[number - 1]])
            nothing = certified.untouched(start, head.forget[:number]) if number else 0.0
            left = certified.residual(weights, data, promise.penalty, b)
            rows += [
                (number, "Newton step", spent, left, 1, weights),
                (number, "trained again when due", due.spent, np.nan, due.fits, due.weights),
                (number, "bounds of Guo et al.", theirs, left, 1, weights),
                (number, "nothing done", nothing, nothing, 1, start.weights),
            ]
        return pd.DataFrame(
            [
                (number, way, bound, residual, certified.epsilon_of(bound, promise.noise, promise.delta), fits,
                 certified.accuracy(at, head.asked))
                for number, way, bound, residual, fits, at in rows
            ],
            columns=["removed", "way", "bound", "residual", "epsilon", "fits", "accuracy"],
        )  # fmt: skip

    return experiment.table("certified", {"head": head.identity, "promise": asdict(promise)}, compute)


def prices(experiment: Experiment, head: Head, promise: Promise, noises: Sequence[float]) -> pd.DataFrame:
    """Return what noise costs and buys, a row a standard deviation: accuracy on people never seen (mean over 20 draws),
    budget (the residual that it hides), removals (how many of the forget set fit into it), and seconds of CPU time of a
    removal and of a fit (cached)."""

    def compute() -> pd.DataFrame:
        rows = []
        for noise in noises:
            ledger = certified.opened(head.data, head.names, promise.penalty, noise, promise.epsilon, promise.delta)
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
    """Return what the strongest of four attacks shows of each way to forget the first `rows` texts, over so many draws
    of the noise a side (cached).

    The noise is the least with which the removal keeps the promise, where an audit sees most. Columns: way, promised
    (epsilon; infinite for a way that promises nothing), shown (lower bound of epsilon, 95%), gaussian (the same if the
    trade-off is that of Gaussian noise), ceiling (what so many draws can show), statistic. Beside the ways of
    unlearnlib.guarantees.audit there are `retrained twice`, in which there is nothing to find, and `without noise`.
    """

    def compute() -> pd.DataFrame:
        places = head.rows[:rows]
        bound = certified.remove(certified.fit(head.data, promise.penalty), head.data, places, promise.penalty).bound
        # A twentieth more than the bound needs at b = 0, since the bound depends on b a little.
        noise = 1.05 * bound / certified.gaussian_shift(promise.epsilon, promise.delta)

        def of(scale: float, seed: int) -> audit.Draws:
            return audit.drawn(head.data, places, promise.penalty, scale, draws, seed)

        first = of(noise, 2 * experiment.seed)
        shown = {name: audit.attacked(first, way, promise.delta) for name, way in audit.WAYS.items()}
        again = of(noise, 2 * experiment.seed + 1).retrained
        shown["retrained twice"] = audit.attacked(first, audit.newton_step, promise.delta, against=again)
        shown["without noise"] = audit.attacked(of(0.0, 0), audit.newton_step, promise.delta)
        kept = {"Newton step": promise.epsilon, "retrained twice": 0.0}
        ceiling = audit.ceiling(draws, promise.delta)
        return pd.DataFrame(
            [
                (name, kept.get(name, np.inf), found.epsilon, found.gaussian, ceiling, found.statistic)
                for name, found in shown.items()
            ],
            columns=["way", "promised", "shown", "gaussian", "ceiling", "statistic"],
        )

    key = {"head": head.identity, "promise": asdict(promise), "draws": draws, "rows": rows}
    return experiment.table("certified-audit", key, compute)
