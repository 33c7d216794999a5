"""Distributions of models: can unlearned models be told from retrained ones, example by example?

Confidences are arrays [models, examples]; for text, the log-odds of the answer against the wrong answers. A single
example may be given as [models]. Unlearned and retrained models need not be equally many.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import betaincinv

from unlearnlib.core.errors import UserError

DELTA = 1e-5
EPSILON_CAP = 50.0
SPREAD_RATIO = 0.01  # below this ratio of ranges one distribution counts as having no spread: separated
KLOM_CLIP = 100.0  # confidences beyond are cut, so that one runaway model does not stretch the bins
KLOM_SMOOTHING = 1e-5  # added to every bin's share, so that an empty bin does not make the divergence infinite


class ForgettingScore(NamedTuple):
    """The NeurIPS 2023 score with its parts: F = mean of `points`, epsilon and points by example, models N."""

    score: float
    forgetting: float
    epsilon: np.ndarray
    points: np.ndarray
    models: int


class Klom(NamedTuple):
    """KL divergence of margins by example [n] in nats, its mean and its 95th percentile. Lower is better."""

    by_example: np.ndarray
    mean: float
    percentile_95: float


def forgetting_epsilon(unlearned_confidences, retrained_confidences, delta: float = DELTA) -> float | np.ndarray:
    """Return eps per example of the NeurIPS 2023 forgetting score, in [0, 50]. Lower is better; 0: indistinguishable.

    Attacks: every single threshold (at or above it: the models with the larger median) and every interval (inside it:
    the models with the smaller range). An attack with error rates FPR and FNR has
    eps = max(ln(1 - delta - FPR) - ln FNR, ln(1 - delta - FNR) - ln FPR); both rates 0 give infinity, exactly one 0
    discards the attack. The example's eps is the largest one, cut to [0, 50]; 0 where no attack is left; 50 where one
    range is under 1% of the other. NaN where a confidence is NaN. Few models are harsh: print the value of two sets of
    retrained models beside it. A float for one example [models], else an array [examples].

    Source: Triantafillou et al. 2024, arXiv 2406.09073. Thresholds are enumerated exactly instead of on a grid.
    """
    unlearned, retrained, single = _models(unlearned_confidences, retrained_confidences)
    epsilon = np.array([_epsilon(*pair, delta) for pair in zip(unlearned.T, retrained.T, strict=True)], dtype=float)
    return float(epsilon[0]) if single else epsilon


def forgetting_score(
    unlearned_confidences,
    retrained_confidences,
    retain_accuracy: tuple[float, float] = (1.0, 1.0),
    test_accuracy: tuple[float, float] = (1.0, 1.0),
    delta: float = DELTA,
) -> ForgettingScore:
    """Return the NeurIPS 2023 score: F times two utility ratios. Higher is better; F is in [0, 1].

    H = 2^(-floor(2 eps)) per example, 0 from eps = ceil(ln(N - 1)) on, N the number of models (the smaller of the two);
    F is the mean of H. `retain_accuracy` and `test_accuracy` are pairs (unlearned, retrained), each a mean over models;
    score = F x their ratios. NaN epsilon stays NaN.
    """
    unlearned, retrained, _ = _models(unlearned_confidences, retrained_confidences)
    models = min(len(unlearned), len(retrained))
    epsilon = np.atleast_1d(forgetting_epsilon(unlearned, retrained, delta))
    points = np.where(epsilon < np.ceil(np.log(models - 1)), 2.0 ** -np.floor(2 * epsilon), 0.0)
    points = np.where(np.isnan(epsilon), np.nan, points)
    forgetting = float(points.mean()) if len(points) else float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        utility = float(np.divide(*retain_accuracy) * np.divide(*test_accuracy))
    return ForgettingScore(forgetting * utility, forgetting, epsilon, points, models)


def epsilon_lower_bound(
    unlearned_confidences, retrained_confidences, delta: float = DELTA, confidence: float = 0.95
) -> float | np.ndarray:
    """Return a lower confidence bound of eps per example. 0: nothing can be claimed; higher: provably distinguishable.

    Every second model picks the attack with the largest eps; on the other models its two error rates get
    Clopper-Pearson upper limits (each at 1 - (1 - confidence) / 2, so that both hold together), which go into the eps
    formula. Choosing and testing on different models is what makes the bound valid. Shapes as in `forgetting_epsilon`;
    NaN with fewer than two models of a kind or a NaN confidence.
    """
    unlearned, retrained, single = _models(unlearned_confidences, retrained_confidences, minimum=1)
    bounds = []
    for ours, theirs in zip(unlearned.T, retrained.T, strict=True):
        if min(len(ours), len(theirs)) < 2 or np.isnan(np.concatenate([ours, theirs])).any():
            bounds.append(np.nan)
            continue
        attack = _best_attack(ours[::2], theirs[::2], delta)
        bounds.append(0.0 if attack is None else _bound(attack, ours[1::2], theirs[1::2], delta, confidence))
    return float(bounds[0]) if single else np.array(bounds, dtype=float)


def klom(unlearned_confidences, retrained_confidences, bins: int = 20) -> Klom:
    """Return KLOM (Georgiev et al. 2024, arXiv 2410.23232): KL(retrained || unlearned) per example, in nats.

    Both sets of models are binned into `bins` equal bins over their common range (confidences cut at +-100), 1e-5 is
    added to every bin's share and the shares renormalised. Lower is better; 0: the same histogram. NaN stays NaN.
    """
    unlearned, retrained, _ = _models(unlearned_confidences, retrained_confidences, minimum=1)
    values = np.array([_kl(*pair, bins) for pair in zip(unlearned.T, retrained.T, strict=True)], dtype=float)
    if not len(values):
        return Klom(values, float("nan"), float("nan"))
    return Klom(values, float(values.mean()), float(np.quantile(values, 0.95)))


def _models(unlearned, retrained, minimum: int = 2) -> tuple[np.ndarray, np.ndarray, bool]:
    """Both arrays as [models, examples], and whether one example was given as a vector."""
    unlearned, retrained = np.asarray(unlearned, dtype=float), np.asarray(retrained, dtype=float)
    if unlearned.ndim != retrained.ndim or unlearned.ndim not in (1, 2) or unlearned.shape[1:] != retrained.shape[1:]:
        raise UserError(
            f"confidences must be [models] or [models, examples] with the same examples, got {unlearned.shape} and "
            f"{retrained.shape}"
        )
    if min(len(unlearned), len(retrained)) < minimum:
        raise UserError(f"at least {minimum} models of each kind are needed, got {len(unlearned)} and {len(retrained)}")
    single = unlearned.ndim == 1
    return (unlearned[:, None], retrained[:, None], True) if single else (unlearned, retrained, False)


def _epsilon(ours: np.ndarray, theirs: np.ndarray, delta: float) -> float:
    both = np.concatenate([ours, theirs])
    if np.isnan(both).any():
        return float("nan")
    ranges = sorted(_range(group) for group in (ours, theirs))
    if ranges[1] > 0 and ranges[0] < SPREAD_RATIO * ranges[1]:
        return EPSILON_CAP
    epsilon = np.concatenate([_attack_epsilon(*rates[:2], delta) for rates in _attacks(ours, theirs)])
    return float(np.clip(epsilon.max(), 0, EPSILON_CAP))


def _range(values: np.ndarray) -> float:
    low, high = values.min(), values.max()
    return 0.0 if low == high else high - low  # inf - inf is no spread


def _attacks(ours: np.ndarray, theirs: np.ndarray):
    """Yield (FPR, FNR, lower ends, upper ends, whether positive means ours) of all thresholds, then all intervals.

    Every attack calls a model positive when its confidence lies in [lower, upper]. The observed values are the only
    ends that matter: any other one splits the models as one of them does.
    """
    ends = np.unique(np.concatenate([ours, theirs]))
    ours_larger = np.median(theirs) <= np.median(ours)
    first, last = np.triu_indices(len(ends))
    families = [
        (ends, np.full(len(ends), np.inf), ours_larger),
        (ends[first], ends[last], _range(ours) <= _range(theirs)),
    ]
    for lower, upper, positive_is_ours in families:
        positive, negative = (ours, theirs) if positive_is_ours else (theirs, ours)
        yield _share(negative, lower, upper), 1 - _share(positive, lower, upper), lower, upper, positive_is_ours


def _share(values: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Share of values in each closed interval."""
    values = np.sort(values)
    inside = np.searchsorted(values, upper, side="right") - np.searchsorted(values, lower, side="left")
    return inside / len(values)


def _attack_epsilon(fpr: np.ndarray, fnr: np.ndarray, delta: float) -> np.ndarray:
    """Eps of each attack; -inf for one that is discarded."""
    with np.errstate(divide="ignore", invalid="ignore"):
        forms = [np.log(1 - delta - fpr) - np.log(fnr), np.log(1 - delta - fnr) - np.log(fpr)]
    epsilon = np.fmax(*[np.nan_to_num(form, nan=-np.inf, posinf=np.inf, neginf=-np.inf) for form in forms])
    return np.select([(fpr == 0) & (fnr == 0), (fpr == 0) | (fnr == 0)], [np.inf, -np.inf], epsilon)


def _best_attack(ours: np.ndarray, theirs: np.ndarray, delta: float) -> tuple[float, float, bool] | None:
    """The attack (lower end, upper end, positive means ours) with the largest eps; None where none beats guessing."""
    best, choice = 0.0, None
    for fpr, fnr, lower, upper, positive_is_ours in _attacks(ours, theirs):
        # On a few models an attack with exactly one error rate of 0 is worth a try: the bound will correct for it.
        floor = 0.5 / min(len(ours), len(theirs))
        epsilon = _attack_epsilon(np.maximum(fpr, floor), np.maximum(fnr, floor), delta)
        at = int(epsilon.argmax())
        if epsilon[at] > best:
            best, choice = epsilon[at], (lower[at], upper[at], positive_is_ours)
    return choice


def _bound(attack, ours: np.ndarray, theirs: np.ndarray, delta: float, confidence: float) -> float:
    lower, upper, positive_is_ours = attack
    positive, negative = (ours, theirs) if positive_is_ours else (theirs, ours)
    false_positives = int(((lower <= negative) & (negative <= upper)).sum())
    false_negatives = len(positive) - int(((lower <= positive) & (positive <= upper)).sum())
    wrong, total = np.array([false_positives, false_negatives]), np.array([len(negative), len(positive)])
    # The Clopper-Pearson upper limit is this quantile of a beta distribution; 1 where every model was misjudged.
    right = np.maximum(total - wrong, 1)
    limits = np.where(wrong < total, betaincinv(wrong + 1, right, (1 + confidence) / 2), 1.0)
    return float(max(0.0, _attack_epsilon(limits[0], limits[1], delta)))


def _kl(ours: np.ndarray, theirs: np.ndarray, bins: int) -> float:
    both = np.clip(np.concatenate([ours, theirs]), -KLOM_CLIP, KLOM_CLIP)
    if np.isnan(both).any():
        return float("nan")
    edges = np.linspace(both.min(), both.max(), bins + 1) if both.min() < both.max() else np.array([0.0, 1.0]) + both[0]
    shares = []
    for group in (theirs, ours):
        share = np.histogram(np.clip(group, -KLOM_CLIP, KLOM_CLIP), edges)[0] / len(group) + KLOM_SMOOTHING
        shares.append(share / share.sum())
    return float(stats.entropy(*shares))
