"""Certified removal from logistic regression on frozen features: objective perturbation, Newton step, bound, budget.

After C. Guo, T. Goldstein, A. Hannun, L. van der Maaten, Certified Data Removal from Machine Learning Models (2020,
arXiv 1911.03030), as we read it; the tighter bound on the residual and the exact Gaussian certificate are derived
here.

A model minimises the sum of its losses, with y in {-1, +1} and rows no longer than 1,

    L_b(w; D) = sum_i log(1 + exp(-y_i x_i.w)) + (penalty n / 2) |w|^2 + b.w,    b ~ N(0, noise^2 I),

where b is drawn once and secret. To forget rows, one Newton step is taken on the objective of the n' rows that are
left. What remains of the gradient there is the residual r; b cancels from the step. A model retrained with b has
gradient zero, so the unlearned model is what retraining gives with the noise b - r in place of b: Gaussian noise,
shifted by |r|. With every bound on |r| comes an (epsilon, delta): see `gaussian_epsilon`.

What the proof takes for granted, and a certificate therefore does not say: the features come from a network that never
saw what is forgotten; b, and the model before the removal, are not published; requests do not depend on published
models; and r is treated as a fixed shift although it depends (smoothly, and little) on b. The last is not needed where
noise is added to the weights instead: `output_noise`.

When to train again must not depend on b. In Guo et al.'s algorithm it does: the bound is taken at the weights, which b
has tilted, so a model that was not trained again is one whose b was such that it had not to be. Who knows the data can
ask that of any model, and refutes the promise (unlearnlib.guarantees.sequence does). So a Ledger plans by heads with
noise of their own, its shadows: what nearly every noise would have spent. The plan is the same whatever b is. What it
assumes instead, that the bounds spread over the noise no wider than planned, is looked at (`kept`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import stats
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit, log_ndtr, ndtr

from unlearnlib.core.errors import UserError

LIPSCHITZ = 1 / (
    6 * np.sqrt(3)
)  # of the second derivative of log(1 + exp(-z)): its largest slope, at z = log(2 + sqrt 3)
GUO_LIPSCHITZ = 1 / 4  # what Guo et al. use: valid and looser
TOLERANCE = 1e-10  # norm of the gradient at which a fit has converged
SHADOWS = 50  # heads with noise of their own, by which a ledger plans
SLACK = 1.25  # times what log-normal bounds come to: their tail is heavier, two of 10,000 draws passed the limit itself
PLANNED = 0.1  # the part of a promise's delta that is for noise whose bounds come to more than was planned


@dataclass(frozen=True)
class Data:
    """Rows and labels: `rows` float64 [n, d] no longer than 1, `labels` float64 [n] of -1 and +1."""

    rows: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def without(self, rows: Sequence[int]) -> "Data":
        """Return the data without the rows at these places; UserError where one is not there or none would be left."""
        chosen = set(map(int, rows))
        if not chosen or not chosen <= set(range(len(self))):
            raise UserError(f"rows {sorted(chosen)[:3]} cannot be removed: the data has rows 0 to {len(self) - 1}")
        if len(chosen) == len(self):
            raise UserError("every row is to be removed: nothing would be left to fit, so delete the model instead")
        kept = [row for row in range(len(self)) if row not in chosen]
        return Data(self.rows[kept], self.labels[kept])

    def only(self, rows: Sequence[int]) -> "Data":
        """Return the data of the rows at these places."""
        return Data(self.rows[list(rows)], self.labels[list(rows)])


def data(features, labels) -> Data:
    """Return features [n, d] and labels [n] (two kinds, the larger is +1) as Data.

    A constant is appended to every row, in place of an intercept, which would have no penalty; then each row is divided
    by its own length: a scale taken from all rows would depend on those that are to be forgotten. UserError where there
    are no features, where they are no finite numbers, and where the labels are not of two kinds.
    """
    try:
        features, labels = np.asarray(features, dtype=np.float64), np.asarray(labels)
    except (TypeError, ValueError) as error:
        raise UserError(f"features or labels are no arrays of numbers, with rows of one length ({error})") from None
    if features.ndim != 2 or 0 in features.shape:
        raise UserError(f"no features: give an array [rows, features] with at least one of each, not {features.shape}")
    if len(features) != len(labels):
        raise UserError(f"{len(features)} rows of features and {len(labels)} labels: give one label a row")
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(1))[0])
        raise UserError(f"the features of row {row} are not finite: check the model that they come from")
    if labels.ndim != 1 or (labels.dtype.kind == "f" and not np.isfinite(labels).all()):
        raise UserError(f"labels of shape {labels.shape} that may not be finite: give one label a row, of two kinds")
    kinds = np.unique(labels)
    if len(kinds) != 2:
        raise UserError(f"the labels are of {len(kinds)} kinds, {kinds.tolist()[:3]}: give two kinds")
    rows = np.hstack([features, np.ones((len(features), 1))])
    return Data(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.where(labels == kinds[1], 1.0, -1.0))


# The objective


def gradient(weights, data: Data, penalty: float, b=0.0) -> np.ndarray:
    """Return the gradient of L_b [d] at weights [d]; of many weights [k, d], with b [k, d], one a row."""
    slopes = -data.labels * expit(-data.labels * (weights @ data.rows.T))
    return slopes @ data.rows + penalty * len(data) * weights + b


def hessian(weights, data: Data, penalty: float) -> np.ndarray:
    """Return the Hessian of L_b [d, d] at weights [d] (b has no part in it)."""
    at = expit(data.rows @ weights)
    curved = data.rows.T * (at * (1 - at))
    return curved @ data.rows + penalty * len(data) * np.eye(data.rows.shape[1])


def loss(weights, data: Data, penalty: float, b=0.0) -> float:
    """Return L_b at weights [d] (natural logarithm, a sum over rows; lower is better)."""
    sums = np.logaddexp(0, -data.labels * (data.rows @ weights)).sum()
    return float(sums + penalty * len(data) / 2 * weights @ weights + np.sum(b * weights))


def fit(data: Data, penalty: float, b=0.0, start=None) -> np.ndarray:
    """Return the weights [d] that minimise L_b, by Newton's method to a gradient of norm TOLERANCE.

    UserError for a penalty that is not above 0, without which there is neither a bound nor always a minimum.
    """
    if not penalty > 0:
        raise UserError(f"penalty {penalty!r}: a certificate needs one above 0, such as 0.001")
    weights = np.zeros(data.rows.shape[1]) if start is None else np.array(start, dtype=float)
    for _ in range(100):
        slope = gradient(weights, data, penalty, b)
        if np.linalg.norm(slope) < TOLERANCE:
            return weights
        step = cho_solve(cho_factor(hessian(weights, data, penalty)), slope)
        length, before, fall = 1.0, loss(weights, data, penalty, b), slope @ step
        # Near the minimum the loss falls by less than its own rounding: there a whole step is right.
        while fall > 1e-8 and loss(weights - length * step, data, penalty, b) > before - 1e-4 * length * fall:
            length /= 2
        weights = weights - length * step
    raise UserError("the fit did not converge: give a larger penalty")


def fit_many(data: Data, penalty: float, b: np.ndarray) -> np.ndarray:
    """Return the weights [k, d] that minimise L_b for each row of b [k, d]: one curvature serves all, rows that it does
    not bring to TOLERANCE are fitted alone."""
    center = fit(data, penalty)
    factor = cho_factor(hessian(center, data, penalty))
    weights, left = np.tile(center, (len(b), 1)), np.arange(len(b))
    for _ in range(60):
        slopes = gradient(weights[left], data, penalty, b[left])
        open_ = np.linalg.norm(slopes, axis=1) >= TOLERANCE
        left = left[open_]
        if not len(left):
            return weights
        weights[left] -= cho_solve(factor, slopes[open_].T).T
    for row in left:
        weights[row] = fit(data, penalty, b[row])
    return weights


# Removal


@dataclass(frozen=True)
class Removal:
    """What one removal gives: `weights` [d]; upper bounds on the norm of the residual gradient, from the loosest to the
    tightest (`worst_case`, of rows no longer than 1 alone; `data_dependent`, both of Guo et al.; `bound`, ours).

    The worst case is that of weights without noise: with b it is (1 + |b| / 2n)^2 times as much, for n rows.
    """

    weights: np.ndarray
    worst_case: float
    data_dependent: float
    bound: float


def remove(weights, data: Data, rows: Sequence[int], penalty: float) -> Removal:
    """Return the weights after a Newton step that removes these rows of `data`, with bounds on what remains of the
    gradient (for weights at which that of L_b over `data` is zero; see Ledger for those at which it is not).

    Needs neither the noise nor, after it, the removed rows. UserError for rows that are not there.
    """
    rest, gone = data.without(rows), data.only(rows)
    step = newton(weights, rest, gone, penalty)
    return Removal(weights + step, *bounds(step, rest, len(gone), penalty))


def remove_many(weights: np.ndarray, data: Data, rows: Sequence[int], penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Return what `remove` gives for many weights [k, d] at once: the weights [k, d], and `bound` of each [k]."""
    rest, gone = data.without(rows), data.only(rows)
    at = expit(weights @ rest.rows.T)
    products = (rest.rows[:, :, None] * rest.rows[:, None, :]).reshape(len(rest), -1)
    width = rest.rows.shape[1]
    curved = ((at * (1 - at)) @ products).reshape(-1, width, width) + penalty * len(rest) * np.eye(width)
    steps = np.linalg.solve(curved, gradient(weights, gone, penalty)[:, :, None])[:, :, 0]
    moved = steps @ rest.rows.T
    return weights + steps, LIPSCHITZ / 2 * _spectral(rest) * np.linalg.norm(moved**2, axis=1)


def newton(weights, rest: Data, gone: Data, penalty: float) -> np.ndarray:
    """Return the Newton step [d] on the objective of the rows that are left, after these rows went.

    Where the gradient over all rows is zero, that over the rest is minus that of what went, in which b has no part.
    """
    return cho_solve(cho_factor(hessian(weights, rest, penalty)), gradient(weights, gone, penalty))


def bounds(step, rest: Data, gone: int, penalty: float) -> tuple[float, float, float]:
    """Return the three bounds of Removal on the residual gradient after a Newton `step` [d] on the rows that are left,
    after `gone` rows went.

    The residual is X'^T of what Taylor's first order leaves of each row's slope, at most LIPSCHITZ / 2 (x_i.step)^2;
    |X'^T q| is at most the largest singular value of X' (exact here, not by iteration) times |q|.
    """
    moved = rest.rows @ step
    spectral = _spectral(rest)
    ours = LIPSCHITZ / 2 * spectral * np.linalg.norm(moved**2)
    theirs = GUO_LIPSCHITZ * spectral * np.linalg.norm(step) * np.linalg.norm(moved)
    return 4 * GUO_LIPSCHITZ * gone**2 / (penalty**2 * len(rest)), float(theirs), float(ours)


def _spectral(data: Data) -> float:
    return float(np.sqrt(np.linalg.eigvalsh(data.rows.T @ data.rows)[-1]))


def residual(weights, rest: Data, penalty: float, b=0.0) -> float:
    """Return the norm of what remains of the gradient at weights [d]: what the bounds are bounds of."""
    return float(np.linalg.norm(gradient(weights, rest, penalty, b)))


# From a shift of Gaussian noise to (epsilon, delta)


def gaussian_delta(epsilon: float, shift: float) -> float:
    """Return the smallest delta at which N(0, 1) and N(shift, 1) are (epsilon, delta)-indistinguishable.

    Exact for every epsilon: B. Balle and Y.-X. Wang, Improving the Gaussian Mechanism for Differential Privacy (2018,
    arXiv 1805.06530, theorem 8, as we read it). From 0 (epsilon large) to the total variation distance (epsilon 0).
    """
    if shift <= 0:
        return 0.0
    second = np.exp(epsilon + log_ndtr(-shift / 2 - epsilon / shift)) if np.isfinite(epsilon) else 0.0
    return float(max(0.0, ndtr(shift / 2 - epsilon / shift) - second))


def gaussian_epsilon(shift: float, delta: float) -> float:
    """Return the smallest epsilon at which N(0, 1) and N(shift, 1) are (epsilon, delta)-indistinguishable: 0 where they
    are for every epsilon, infinity for an infinite shift (noise 0). UserError for a delta outside (0, 1)."""
    _check(1.0, delta)
    if not np.isfinite(shift):
        return float("inf")
    if gaussian_delta(0.0, shift) <= delta:
        return 0.0
    low, high = 0.0, 1.0
    while gaussian_delta(high, shift) > delta:
        low, high = high, 2 * high
    # The upper end of the bisection: an epsilon that is promised holds.
    return _bisect(lambda epsilon: gaussian_delta(epsilon, shift) <= delta, high, low)


def gaussian_shift(epsilon: float, delta: float) -> float:
    """Return the largest shift at which N(0, 1) and N(shift, 1) are (epsilon, delta)-indistinguishable. UserError for
    an epsilon that is not above 0 and for a delta outside (0, 1)."""
    _check(epsilon, delta)
    high = 1.0
    while gaussian_delta(epsilon, high) <= delta:
        high *= 2
    return _bisect(lambda shift: gaussian_delta(epsilon, shift) <= delta, 0.0, high)


def guo_shift(epsilon: float, delta: float) -> float:
    """Return the shift that Guo et al. allow, epsilon / sqrt(2 ln(1.5 / delta)): smaller than gaussian_shift, and valid
    for small epsilon alone (at epsilon 10 it promises a delta of 1e-4 where the exact one is 2.2e-4)."""
    _check(epsilon, delta)
    return float(epsilon / np.sqrt(2 * np.log(1.5 / delta)))


def output_noise(bound: float, penalty: float, left: int, epsilon: float, delta: float) -> float:
    """Return the standard deviation of noise on the weights, of the unlearned and of the retrained model alike, at
    which these are (epsilon, delta)-indistinguishable, whatever the residual depends on.

    The objective of `left` rows is penalty * left strongly convex, so weights with a residual of at most `bound` lie
    within bound / (penalty * left) of the retrained ones.
    """
    return bound / (penalty * left) / gaussian_shift(epsilon, delta)


def _check(epsilon: float, delta: float) -> None:
    if not 0 < delta < 1:
        raise UserError(f"delta {delta!r}: give one above 0 and below 1, such as 1e-4 (Gaussian noise has none of 0)")
    if not epsilon > 0:
        raise UserError(f"epsilon {epsilon!r}: give one above 0, such as 1.0")


def _bisect(holds: Callable[[float], bool], good: float, bad: float) -> float:
    """Return the last value at which `holds` holds, between one at which it does and one at which it does not."""
    for _ in range(200):
        middle = (good + bad) / 2
        if middle in (good, bad):
            break
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return good


# Many removals


def planned(sums: np.ndarray, share: float) -> float:
    """Return what the bounds come to for all noise but a `share`, from what they came to for some draws of it [k]:
    SLACK times a prediction limit of the log-normal distribution, one-sided."""
    logs, count = np.log(sums), len(sums)
    wide = stats.t.ppf(1 - share, count - 1) * np.sqrt(1 + 1 / count)
    return SLACK * float(np.exp(logs.mean() + wide * logs.std(ddof=1)))


@dataclass(frozen=True)
class Ledger:
    """A model that forgets again and again, and what of its promise is left.

    `spent`: upper bound on the norm of the residual of all removals since the last fit, for nearly every noise: planned
    from `shadows` [SHADOWS, d], heads with noise of their own, and what their bounds added up to, `sums`; so that it,
    the promise, and when training is due say nothing of the noise. `secret`: what the bounds at the weights themselves
    added up to, not to be published; `noise`: the standard deviation of b. All that was removed shares one (epsilon,
    delta): bounds add up, epsilons do not. `fits` counts the trainings, the first one included.
    """

    data: Data
    names: tuple[str, ...]
    penalty: float
    noise: float
    epsilon: float
    delta: float
    weights: np.ndarray
    shadows: np.ndarray
    sums: np.ndarray
    spent: float = TOLERANCE
    secret: float = TOLERANCE
    fits: int = 1
    generator: np.random.Generator = field(default_factory=np.random.default_rng, repr=False)

    @property
    def budget(self) -> float:
        """The residual at which the promise ends: noise times gaussian_shift."""
        return self.noise * gaussian_shift(self.epsilon, (1 - PLANNED) * self.delta)

    @property
    def promised(self) -> float:
        """The epsilon, at the ledger's delta, that holds for all that has been removed since the last fit."""
        return epsilon_of(self.spent, self.noise, (1 - PLANNED) * self.delta)

    @property
    def kept(self) -> bool:
        """Whether the bounds at the weights themselves stayed below the plan: what the promise assumes of nearly every
        noise. To train again where they did not would tell of it."""
        return self.secret <= self.spent

    def forget(self, names: Iterable[str]) -> "Ledger":
        """Return the ledger after these rows were removed: by a Newton step where the budget allows it, by a fit with
        new noise where it does not. UserError for a name that it does not have."""
        chosen = {names} if isinstance(names, str) else set(names)
        if not chosen:
            raise UserError("no row is named: give the names of those to forget")
        if wrong := sorted(map(str, chosen - set(self.names))):
            raise UserError(f"no row {wrong[0]!r} to forget: it is not, or no longer, in the model")
        rows = [row for row, name in enumerate(self.names) if name in chosen]
        after = replace(self, data=self.data.without(rows), names=tuple(one for one in self.names if one not in chosen))
        shadows, bounds = remove_many(self.shadows, self.data, rows, self.penalty)
        sums = self.sums + bounds
        spent = planned(sums, PLANNED * self.delta)
        if spent > self.budget:
            return after._trained()
        removal = remove(self.weights, self.data, rows, self.penalty)
        secret = self.secret + removal.bound
        return replace(after, weights=removal.weights, shadows=shadows, sums=sums, spent=spent, secret=secret)

    def _trained(self) -> "Ledger":
        """Return the ledger fitted on what it has, with new noise. That of the shadows is public, and always the
        same."""
        width = self.data.rows.shape[1]
        public = self.noise * np.random.default_rng((SHADOWS, self.fits)).standard_normal((SHADOWS, width))
        weights = fit(self.data, self.penalty, self.noise * self.generator.standard_normal(width))
        shadows, sums = fit_many(self.data, self.penalty, public), np.full(SHADOWS, TOLERANCE)
        return replace(
            self, weights=weights, shadows=shadows, sums=sums, spent=TOLERANCE, secret=TOLERANCE, fits=self.fits + 1
        )


def opened(
    data: Data,
    names: Sequence[str],
    penalty: float,
    noise: float,
    epsilon: float,
    delta: float,
    seed: int | None = None,
) -> Ledger:
    """Return the ledger of a model fitted on `data` with noise of this standard deviation, of which nothing was
    removed. A `seed` is for experiments alone: who knows it knows the noise, and nothing is promised; without one the
    noise is the system's own.

    UserError for names that are not one for each row, for a negative noise, and for an epsilon or delta out of range.
    Noise 0 is allowed, and promises nothing.
    """
    _check(epsilon, delta)
    if not 0 <= noise < np.inf:
        raise UserError(f"noise {noise!r}: a standard deviation is 0 or more")
    if len(names) != len(data) or len(set(names)) != len(data):
        raise UserError(f"{len(set(names))} different names for {len(data)} rows: give each row one of its own")
    none, generator = np.zeros(0), np.random.default_rng(seed)
    asked = (penalty, noise, epsilon, delta)
    return Ledger(data, tuple(names), *asked, none, none, none, fits=0, generator=generator)._trained()


def untouched(ledger: Ledger, names: Iterable[str]) -> float:
    """Return the norm of the residual of doing nothing about these rows: also a removal, with a promise of its own."""
    chosen = set(names)
    rows = [row for row, name in enumerate(ledger.names) if name in chosen]
    return float(np.linalg.norm(gradient(ledger.weights, ledger.data.only(rows), ledger.penalty)))


def epsilon_of(bound: float, noise: float, delta: float) -> float:
    """Return the epsilon that a bound on the residual gives at this noise and delta; infinity without noise."""
    return gaussian_epsilon(bound / noise if noise else np.inf, delta)


def accuracy(weights, data: Data) -> float:
    """Return the share of rows on the right side (1 is best)."""
    return float((data.labels * (data.rows @ weights) > 0).mean())
