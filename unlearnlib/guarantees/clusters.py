"""k-means that forgets a point exactly, and mostly without being fitted again: by rounded centroids, or by a tree.

After A. Ginart, M. Guan, G. Valiant, J. Zou, Making AI Forget You: Data Deletion in Machine Learning (2019, arXiv
1907.05012), as we remember it: Q-k-means rounds every centroid to a randomly shifted grid, so that one point seldom
moves any of them; DC-k-means clusters random leaves of the data and then their centroids, so that one point is in one
leaf.

Exact means here: the same result, in every bit, as a fit of the other points *with the same randomness*, which is
keyed by what it is for (the id of a point, a step) and never drawn in sequence. From that follows equality in
distribution over keys. To fit again with fresh randomness where a centroid would move is not exact, although it looks
so: the runs that are kept are then those whose grid happened not to show the point (a test sees the difference).

Points are whole numbers, so that sums subtract without rounding; see `grid`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from unlearnlib.core.errors import UserError

UNITS = 1 << 20  # of a coordinate's range: squared distances sum exactly where points times coordinates < 2^23
STEPS = 20  # of Lloyd, at most
SMALL = 0.2  # a cluster below this share of the mean size is drawn towards its last centroid


def grid(points, low: float, high: float) -> np.ndarray:
    """Return points [n, d] between fixed limits as whole numbers from 0 to UNITS; what lies outside goes to the limit.

    The limits must not come from the data: one that did would depend on what is forgotten. UserError where there are no
    points, where one is not finite, and where the limits are not in order.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or 0 in points.shape:
        raise UserError(f"no features: give an array [points, coordinates], not {points.shape}")
    if not np.isfinite(points).all():
        raise UserError("a point is not finite: check the model that it comes from")
    if not low < high:
        raise UserError(f"limits {low!r} and {high!r}: the first has to be the smaller one")
    return np.rint((points.clip(low, high) - low) / (high - low) * UNITS).astype(np.int64)


@dataclass(frozen=True)
class Choices:
    """What a fit is asked for: the number of `clusters`, the key of its randomness (any text or number), the width of
    the grid of rounded centroids as a part of a coordinate's range (0: plain k-means), the most steps."""

    clusters: int
    key: str | int = 0
    width: float = 0.0
    steps: int = STEPS

    def __post_init__(self) -> None:
        if self.clusters < 1 or self.steps < 1 or not 0 <= self.width < 1:
            raise UserError(
                f"clusters {self.clusters}, steps {self.steps}, width {self.width}: give 1 or more, and from 0 to 1"
            )


@dataclass
class Work:
    """What was done, in distances between a point and a centroid (the unit in which a fit and a deletion compare), and
    how often everything was fitted again."""

    distances: int = 0
    fits: int = 0


@dataclass(frozen=True)
class _Step:
    """One step of Lloyd: where every point went, and what the next centroids are made from."""

    assigned: np.ndarray  # int64 [n]
    sums: np.ndarray  # int64 [k, d]
    sizes: np.ndarray  # int64 [k]
    loss: int
    centroids: np.ndarray  # int64 [k, d]


@dataclass(frozen=True)
class Clusters:
    """Centroids int64 [k, d], in UNITS, and what is kept of the fit for a deletion: ids, points, seeds, steps."""

    ids: tuple[str, ...]
    points: np.ndarray
    choices: Choices
    seeds: tuple[int, ...]
    steps: tuple[_Step, ...]
    centroids: np.ndarray
    loss: int
    work: Work = field(default_factory=Work, compare=False)

    def __len__(self) -> int:
        return len(self.ids)


def uniform(*parts) -> float:
    """Return a number from 0 to 1, neither included, that is random in the key and always the same for it."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return (int.from_bytes(digest[:7], "big") + 0.5) / 2**56


def fit(ids: Sequence[str], points: np.ndarray, choices: Choices, work: Work | None = None) -> Clusters:
    """Return the clusters of points int64 [n, d] (see grid): k-means++ seeds, then steps of Lloyd with centroids
    rounded to a shifted grid where `choices.width` is above 0, until the loss no longer falls.

    UserError for fewer points than clusters and for an id that is there twice.
    """
    ids, work = tuple(ids), work or Work()
    if len(ids) != len(points) or len(set(ids)) < len(ids):
        raise UserError(
            f"{len(ids)} ids, {len(set(ids))} of them different, for {len(points)} points: give each its own"
        )
    if len(ids) < choices.clusters:
        raise UserError(f"{len(ids)} points for {choices.clusters} clusters: give fewer clusters")
    work.fits += 1
    seeds = _seeds(ids, points, choices, work)
    steps: list[_Step] = []
    centroids = points[list(seeds)]
    for number in range(choices.steps):
        assigned, distances = _nearest(points, centroids, work)
        loss = int(distances.sum())
        sums, sizes = np.zeros_like(centroids), np.bincount(assigned, minlength=len(centroids))
        np.add.at(sums, assigned, points)
        new = _centroids(sums, sizes, centroids, len(ids), choices, number)
        steps.append(_Step(assigned, sums, sizes, loss, new))
        if number and loss >= steps[-2].loss:
            break  # the centroids of this step were no better than those before
        centroids = new
    return _ended(ids, points, choices, seeds, steps, work)


def forget(model: Clusters, name: str) -> Clusters:
    """Return the clusters without one point: those of `fit` on the others, bit by bit.

    Where the point was no seed and no rounded centroid moves without it, only sums change; else all is fitted again
    with the same key. The work is added to that of the model. UserError for an id that the model does not have.
    """
    row = _row(model, name)
    ids = model.ids[:row] + model.ids[row + 1 :]
    points = np.delete(model.points, row, axis=0)
    if row in model.seeds or len(ids) < model.choices.clusters:
        return fit(ids, points, model.choices, model.work)
    seeds = tuple(seed - (seed > row) for seed in model.seeds)
    centroids, steps = points[list(seeds)], []
    for number, old in enumerate(model.steps):
        at, own = int(old.assigned[row]), model.points[row]
        sums, sizes = old.sums.copy(), old.sizes.copy()
        sums[at] -= own
        sizes[at] -= 1
        loss = old.loss - int(((own - centroids[at]) ** 2).sum())
        model.work.distances += 1 + len(centroids)  # to make a centroid anew is as much as one distance
        new = _centroids(sums, sizes, centroids, len(ids), model.choices, number)
        stops = bool(number) and loss >= steps[-1].loss
        stopped = bool(number) and old.loss >= model.steps[number - 1].loss
        if not np.array_equal(new, old.centroids) or stops != stopped:
            return fit(ids, points, model.choices, model.work)
        steps.append(_Step(np.delete(old.assigned, row), sums, sizes, loss, new))
        centroids = new
    return _ended(ids, points, model.choices, seeds, steps, model.work)


def _row(model, name: str) -> int:
    if name not in model.ids:
        raise UserError(f"no point {name!r} to forget: it is not, or no longer, in the model")
    return model.ids.index(name)


def _ended(ids, points, choices: Choices, seeds, steps: Sequence[_Step], work: Work) -> Clusters:
    """Return the clusters of a fit: the centroids whose loss is the lowest that was measured."""
    best = min(range(len(steps)), key=lambda number: steps[number].loss)
    centroids = steps[best - 1].centroids if best else points[list(seeds)]
    return Clusters(ids, points, choices, tuple(seeds), tuple(steps), centroids, steps[best].loss, work)


def _seeds(ids: Sequence[str], points: np.ndarray, choices: Choices, work: Work) -> tuple[int, ...]:
    """Return the rows of the k-means++ seeds: a race of exponential times, each point's own, at rates of its squared
    distance to the seeds so far. A point that does not win changes nothing for the others."""
    seeds: list[int] = []
    rates = np.ones(len(ids))
    for number in range(choices.clusters):
        times = np.array([-np.log(uniform("seed", choices.key, number, name)) for name in ids])
        with np.errstate(divide="ignore"):
            race = np.where(rates > 0, times / rates, np.inf)
        if not np.isfinite(race).any():  # all points stand where a seed does: the next by id, which no other decides
            left = [row for row in range(len(ids)) if row not in seeds]
            seeds.append(min(left, key=lambda row: times[row]))
            continue
        seeds.append(int(race.argmin()))
        near = ((points - points[seeds[-1]]) ** 2).sum(1).astype(np.float64)
        work.distances += len(ids)
        rates = near if number == 0 else np.minimum(rates, near)
    return tuple(seeds)


def _nearest(points: np.ndarray, centroids: np.ndarray, work: Work) -> tuple[np.ndarray, np.ndarray]:
    """Return for each point the number of its nearest centroid (the first of equals) and the squared distance."""
    work.distances += len(points) * len(centroids)
    distances = np.stack([((points - centroid) ** 2).sum(1) for centroid in centroids], axis=1)
    assigned = distances.argmin(1)
    return assigned, distances[np.arange(len(points)), assigned]


def _centroids(sums, sizes, last: np.ndarray, count: int, choices: Choices, step: int) -> np.ndarray:
    """Return the next centroids, int64 [k, d]: means, those of small clusters drawn to the last centroid, rounded to
    the grid of this step."""
    sizes = sizes[:, None].astype(np.float64)
    means = np.where(sizes > 0, sums / np.maximum(sizes, 1), last)
    if not choices.width:
        return np.rint(means).astype(np.int64)
    share = np.minimum(sizes / (SMALL * count / choices.clusters), 1)
    means = share * means + (1 - share) * last
    width = choices.width * UNITS
    phase = np.array([uniform("phase", choices.key, step, axis) - 0.5 for axis in range(means.shape[1])])
    return np.rint((np.rint(means / width + phase) - phase) * width).astype(np.int64)


# Divide and conquer


@dataclass(frozen=True)
class Tree:
    """Centroids of the centroids of leaves: `root` int64 [k, d]; `leaves` by number, and what each holds."""

    ids: tuple[str, ...]
    points: np.ndarray
    choices: Choices
    count: int
    leaves: Mapping[int, np.ndarray]
    root: np.ndarray
    work: Work = field(default_factory=Work, compare=False)

    @property
    def centroids(self) -> np.ndarray:
        """The centroids at the root."""
        return self.root


def fit_tree(ids: Sequence[str], points: np.ndarray, choices: Choices, leaves: int, work: Work | None = None) -> Tree:
    """Return the clusters of a tree of one level: each point is in the leaf that its id's hash names, each leaf is
    clustered alone, and the leaves' centroids, each as one point, are clustered at the root.

    UserError as in fit, and for fewer than one leaf.
    """
    ids, work = tuple(ids), work or Work()
    if leaves < 1:
        raise UserError(f"{leaves} leaves: give at least one")
    if len(ids) != len(points) or len(set(ids)) < len(ids) or len(ids) < choices.clusters:
        raise UserError(
            f"{len(ids)} ids for {len(points)} points and {choices.clusters} clusters: give each its own id"
        )
    work.fits += 1
    rows: dict[int, list[int]] = {}
    for row, name in enumerate(ids):
        rows.setdefault(leaf_of(name, choices, leaves), []).append(row)
    below = {leaf: _leaf([ids[row] for row in rows[leaf]], points[rows[leaf]], choices, leaf, work) for leaf in rows}
    return Tree(ids, points, choices, leaves, below, _root(below, choices, work), work)


def forget_in_tree(model: Tree, name: str) -> Tree:
    """Return the tree without one point: that of `fit_tree` on the others, bit by bit. Only its leaf and the root are
    clustered again."""
    row = _row(model, name)
    ids = model.ids[:row] + model.ids[row + 1 :]
    points = np.delete(model.points, row, axis=0)
    if len(ids) < model.choices.clusters:
        raise UserError(f"{len(ids)} points for {model.choices.clusters} clusters: nothing more can be forgotten")
    leaf = leaf_of(name, model.choices, model.count)
    own = [number for number, other in enumerate(ids) if leaf_of(other, model.choices, model.count) == leaf]
    below = {number: centroids for number, centroids in model.leaves.items() if number != leaf}
    if own:
        below[leaf] = _leaf([ids[number] for number in own], points[own], model.choices, leaf, model.work)
    return Tree(ids, points, model.choices, model.count, below, _root(below, model.choices, model.work), model.work)


def leaf_of(name: str, choices: Choices, leaves: int) -> int:
    """Return the number of the leaf that a point's id puts it in, whatever other points there are."""
    return int(uniform("leaf", choices.key, name) * leaves)


def _leaf(ids, points, choices: Choices, leaf: int, work: Work) -> np.ndarray:
    few = min(choices.clusters, len(ids))
    inner = Work()
    own = Choices(few, f"{choices.key}|leaf {leaf}", steps=choices.steps)
    centroids = fit(ids, points, own, inner).centroids
    work.distances += inner.distances
    return centroids


def _root(below: Mapping[int, np.ndarray], choices: Choices, work: Work) -> np.ndarray:
    named = {f"{leaf} {number}": row for leaf in sorted(below) for number, row in enumerate(below[leaf])}
    inner = Work()
    own = Choices(choices.clusters, f"{choices.key}|root", steps=choices.steps)
    centroids = fit(tuple(named), np.array(list(named.values())), own, inner).centroids
    work.distances += inner.distances
    return centroids


def loss_of(points: np.ndarray, centroids: np.ndarray) -> float:
    """Return the mean squared distance of points to their nearest centroid, in squared ranges of a coordinate."""
    return float(_nearest(points, centroids, Work())[1].sum()) / len(points) / UNITS**2
