"""Labels that somebody got wrong, by accident or by bias, taken out of a head: found, removed, and compared with a head
trained without them."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from unlearnlib.core.errors import UserError
from unlearnlib.data.subsets import drawn
from unlearnlib.experiment.certificates import Promise
from unlearnlib.experiment.heads import Head
from unlearnlib.experiment.measured import Experiment
from unlearnlib.guarantees import certified
from unlearnlib.guarantees.certified import Data

NOTHING, CLEAN = "nothing done", "never wrong"
BY_LOSS, BY_INFLUENCE, BY_CHANCE, KNOWN = "found by loss", "found by influence", "by chance", "all known"
ANNOTATOR = "the annotator's"
ANEW = ", retrained"  # a head trained without what a way removes
GROUP = 3.0  # how strongly the head sees the group: the other features have a variance of about one


def mislabelled(experiment: Experiment, head: Head, share: float = 0.1, promise: Promise | None = None) -> pd.DataFrame:
    """Return what becomes of a head, a `share` of whose labels is turned over (cached): rows (method, measure, value).

    As many rows as were turned over are removed by a Newton step: those with the largest loss, those with the largest
    self-influence g'H^-1 g (how much the loss of a row falls because the head was trained on it), drawn ones, or the
    very ones. Measures: found (share of the removed that were wrong), accuracy (on people never trained on), apart (to
    the head retrained without the same rows, over the distance of doing nothing to that; 0: the same), epsilon (what
    the bound on this step would promise at the promise's delta if the head had its noise, which it has not; infinite:
    nothing). Methods whose name ends in ANEW are
    those retrained heads, `never wrong` is one of right labels. UserError for a share out of range.
    """
    promise = promise or Promise()
    if not 0 < share < 0.5:
        raise UserError(f"a share of {share} is turned over: give one above 0 and below a half")

    def compute() -> pd.DataFrame:
        clean, names = head.data, list(head.names)
        turned = set(drawn(names, experiment.seed, "mislabelled")[: max(1, round(share * len(names)))])
        wrong = [row for row, name in enumerate(names) if name in turned]
        labels = clean.labels.copy()
        labels[wrong] *= -1
        data = Data(clean.rows, labels)
        start = certified.fit(data, promise.penalty)
        ranked = {
            BY_LOSS: np.argsort(-_losses(start, data), kind="stable"),
            BY_INFLUENCE: np.argsort(-_influence(start, data, promise.penalty), kind="stable"),
            BY_CHANCE: [names.index(name) for name in drawn(names, experiment.seed, "by chance")],
            KNOWN: wrong,
        }
        rows = [(NOTHING, "accuracy", certified.accuracy(start, head.asked))]
        for method, order in ranked.items():
            chosen = [int(row) for row in order[: len(wrong)]]
            rows.append((method, "found", len(set(chosen) & set(wrong)) / len(chosen)))
            rows += _removed(start, data, chosen, promise, method, lambda at: _accuracy(at, head))
        rows.append((CLEAN, "accuracy", certified.accuracy(certified.fit(clean, promise.penalty), head.asked)))
        return pd.DataFrame(rows, columns=["method", "measure", "value"])

    return experiment.table("mislabelled", {"head": head.identity, "share": share, "promise": asdict(promise)}, compute)


def biased(experiment: Experiment, head: Head, denied: float = 0.8, promise: Promise | None = None) -> pd.DataFrame:
    """Return what becomes of a head into which an annotator has brought a bias (cached): rows (method, measure, value).

    Half of the people, drawn, are of a group that the head sees; the annotator had half of that group, and turned each
    yes about them into a no with the probability `denied`. Removed are all the annotator's rows, right ones too, or as
    many others, drawn. Measures: parity gap (share of yes if people never trained on were all of the other group, less
    that if they were all of this one: the same texts, 0 is fair), opportunity gap (the same where yes is right),
    accuracy (of both), apart and epsilon (see mislabelled). Methods as there.
    """
    promise = promise or Promise()
    if not 0 < denied <= 1:
        raise UserError(f"a yes is denied with probability {denied}: give one above 0, up to 1")

    def compute() -> pd.DataFrame:
        people = sorted(set(head.people))
        order = drawn(people, experiment.seed, "group")
        group = set(order[: len(order) // 2])
        had = set(sorted(group, key=order.index)[: len(group) // 2])
        theirs = [row for row, person in enumerate(head.people) if person in had]
        draw = [_share(f"{experiment.seed}|{name}") < denied for name in head.names]
        told = head.labels & ~np.array([person in had and no for person, no in zip(head.people, draw, strict=True)])
        of_group = np.array([person in group for person in head.people])
        data, clean = (certified.data(_seeing(head.features, of_group), labels) for labels in (told, head.labels))
        start = certified.fit(data, promise.penalty)
        rest = [row for row in range(len(head.names)) if row not in set(theirs)]
        others = drawn([head.names[row] for row in rest], experiment.seed, "by chance")[: len(theirs)]
        removed = {ANNOTATOR: theirs, BY_CHANCE: [head.names.index(name) for name in others]}
        rows = [(NOTHING, *one) for one in _fairness(start, head)]
        for method, chosen in removed.items():
            rows += _removed(start, data, chosen, promise, method, lambda at: _fairness(at, head))
        rows += [(CLEAN, *one) for one in _fairness(certified.fit(clean, promise.penalty), head)]
        return pd.DataFrame(rows, columns=["method", "measure", "value"])

    return experiment.table("biased", {"head": head.identity, "denied": denied, "promise": asdict(promise)}, compute)


def _removed(start, data: Data, chosen: Sequence[int], promise: Promise, method: str, asked) -> Iterator[tuple]:
    """Yield the rows of a removal by a Newton step, and of a head retrained without the same rows of `data`."""
    removal = certified.remove(start, data, chosen, promise.penalty)
    anew = certified.fit(data.without(chosen), promise.penalty)
    for name, weights in ((method, removal.weights), (method + ANEW, anew)):
        yield from ((name, *one) for one in asked(weights))
    yield method, "apart", float(np.linalg.norm(removal.weights - anew) / np.linalg.norm(start - anew))
    yield method, "epsilon", certified.epsilon_of(removal.bound, promise.noise, promise.delta)


def _accuracy(weights, head: Head) -> list[tuple[str, float]]:
    return [("accuracy", certified.accuracy(weights, head.asked))]


def _fairness(weights, head: Head) -> list[tuple[str, float]]:
    right, said = head.asked_labels, {}
    for member in (False, True):
        rows = certified.data(_seeing(head.asked_features, np.full(len(right), member)), right).rows
        said[member] = rows @ weights > 0
    correct = np.mean([(answers == right).mean() for answers in said.values()])
    return [
        ("parity gap", float(said[False].mean() - said[True].mean())),
        ("opportunity gap", float(said[False][right].mean() - said[True][right].mean())),
        ("accuracy", float(correct)),
    ]


def _seeing(features: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Return features with one more: whether somebody is of the group."""
    return np.hstack([features, np.where(member, GROUP, -GROUP)[:, None]])


def _losses(weights, data: Data) -> np.ndarray:
    return np.logaddexp(0, -data.labels * (data.rows @ weights))


def _influence(weights, data: Data, penalty: float) -> np.ndarray:
    slopes = (-data.labels * expit(-data.labels * (data.rows @ weights)))[:, None] * data.rows
    return (slopes * cho_solve(cho_factor(certified.hessian(weights, data, penalty)), slopes.T).T).sum(1)


def _share(text: str) -> float:
    """Return a number from 0 to 1 that a text fixes."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12
