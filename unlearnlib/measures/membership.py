"""Membership inference: is a text still recognisable as one that the model was trained on?

Every score points the same way: *higher = less like a member*. So does the AUC, with forget = 0 and held-out = 1:
0.5 is ideal, near 1 means that the forget texts still look like members, far below 0.5 is over-unlearning, not success.
"""

import zlib as _zlib
from typing import NamedTuple

import numpy as np
from scipy import stats

from unlearnlib.core.errors import UserError
from unlearnlib.measures.arrays import matrix, same_length, vector

VARIANCE_FLOOR = 1e-6  # of a token's log-probability under the model, in Min-K%++
SPREAD_FLOOR = 1e-6  # of the standard deviation of shadow confidences, so that identical models do not divide by zero


class Interval(NamedTuple):
    """A confidence interval; both ends NaN where it cannot be computed."""

    low: float
    high: float


class ULira(NamedTuple):
    """Per-example attack on unlearned models: scores [models, examples], AUC of all, AUC by example, interval."""

    scores_unlearned: np.ndarray
    scores_retrained: np.ndarray
    auc: float
    auc_by_example: np.ndarray
    interval: Interval


def loss(mean_nll) -> np.ndarray:
    """Return the LOSS score per text [n]: its mean token NLL. Higher = less like a member."""
    return vector(mean_nll, "mean_nll")


def zlib(mean_nll, texts) -> np.ndarray:
    """Return the zlib score per text [n]: mean token NLL / compressed size in bytes. Higher = less like a member."""
    nll, texts = vector(mean_nll, "mean_nll"), list(texts)
    same_length(nll, texts, "mean_nll", "texts")
    return nll / np.array([len(_zlib.compress(text.encode())) for text in texts], dtype=float)


def reference(mean_nll, reference_nll) -> np.ndarray:
    """Return the reference score per text [n]: NLL minus a reference model's NLL. Higher = less like a member."""
    nll, other = vector(mean_nll, "mean_nll"), vector(reference_nll, "reference_nll")
    same_length(nll, other, "mean_nll", "reference_nll")
    return nll - other


def min_k(log_probs, k: float) -> float:
    """Return the Min-K% score of one text (Shi et al. 2023, arXiv 2310.16789). Higher = less like a member.

    It is minus the mean of the lowest max(1, floor(k n)) of the n token log-probabilities [n]; k is a fraction in
    (0, 1]. NaN for a text without tokens or with a NaN.
    """
    values = vector(log_probs, "log_probs")
    if not 0 < k <= 1:
        raise UserError(f"k is a fraction in (0, 1], got {k}")
    if not len(values) or np.isnan(values).any():
        return float("nan")
    return -float(np.sort(values)[: max(1, int(k * len(values)))].mean())


def min_k_plus_plus(log_probs, mu, sigma, k: float) -> float:
    """Return the Min-K%++ score of one text (Zhang et al. 2024, arXiv 2404.02936). Higher = less like a member.

    `mu` [n] and `sigma` [n] are the mean and the standard deviation of log p over the vocabulary under the model's own
    distribution at each position; the variance sigma^2 is floored at 1e-6. The standardised log-probabilities then go
    through `min_k`.
    """
    values, mu, sigma = vector(log_probs, "log_probs"), vector(mu, "mu"), vector(sigma, "sigma")
    same_length(values, mu, "log_probs", "mu")
    same_length(values, sigma, "log_probs", "sigma")
    return min_k((values - mu) / np.sqrt(np.maximum(sigma**2, VARIANCE_FLOOR)), k)


def auc(forget_scores, heldout_scores) -> float:
    """Return the probability that a held-out text scores above a forget text, ties counting one half.

    0.5 is ideal, near 1: forget still looks like members, far below 0.5: over-unlearning. NaN for empty or NaN input.
    """
    forget, heldout = vector(forget_scores, "forget_scores"), vector(heldout_scores, "heldout_scores")
    return float(_auc(forget, heldout))


def auc_interval(forget_scores, heldout_scores, generator, confidence: float = 0.95, resamples: int = 2000) -> Interval:
    """Return the percentile bootstrap interval of `auc`, resampling forget and held-out texts independently.

    `generator` is a numpy Generator. Both ends are NaN where either group has fewer than two texts or holds a NaN.
    """
    groups = vector(forget_scores, "forget_scores"), vector(heldout_scores, "heldout_scores")
    if min(map(len, groups)) < 2 or np.isnan(np.concatenate(groups)).any():
        return Interval(float("nan"), float("nan"))
    result = stats.bootstrap(
        groups,
        _auc,
        n_resamples=resamples,
        confidence_level=confidence,
        method="percentile",
        vectorized=True,
        rng=generator,
    )
    return Interval(*map(float, result.confidence_interval))


def tpr_at_fpr(forget_scores, heldout_scores, fpr: float, minimum_false_positives: int = 2) -> float:
    """Return the share of forget texts recognised as members at a false positive rate of at most `fpr`.

    A text is called a member when its score lies at or below a threshold; false positives are held-out texts. Higher:
    still recognisable; `fpr` itself is what guessing reaches. NaN where the held-out texts are too few to resolve
    `fpr`, that is where they would allow fewer than `minimum_false_positives` (at 1% that needs 200), and for NaN.
    """
    forget, heldout = vector(forget_scores, "forget_scores"), vector(heldout_scores, "heldout_scores")
    if not 0 < fpr < 1:
        raise UserError(f"fpr is a rate strictly between 0 and 1, got {fpr}")
    allowed = int(np.floor(fpr * len(heldout) + 1e-9))
    if not len(forget) or allowed < minimum_false_positives or np.isnan(np.concatenate([forget, heldout])).any():
        return float("nan")
    # With `allowed` false positives permitted, every threshold below the next smallest held-out score will do.
    return float(np.mean(forget < np.sort(heldout)[allowed])) if allowed < len(heldout) else 1.0


def privleak(auc_unlearned: float, auc_retrained: float) -> float:
    """Return MUSE's privacy leakage in percent (arXiv 2407.06460): 100 (A_u - A_r) / A_r with A = 1 - AUC.

    The AUCs are those of Min-40% in the orientation of `auc`. 0 is ideal; negative: under-unlearned (forget still looks
    like members), positive: over-unlearned. Where A_r is 0 the result is infinite, or NaN when A_u is 0 too.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ours, theirs = 1 - np.float64(auc_unlearned), 1 - np.float64(auc_retrained)
        return float(100 * (ours - theirs) / theirs)


def simple_mia(forget_losses, heldout_losses, generator=None, splits: int = 10) -> float:
    """Return the accuracy of the NeurIPS 2023 starting kit's attack. 0.5 is ideal; higher: forget is recognisable.

    Logistic regression on the loss alone tells forget from held-out texts: the mean test accuracy over 10 stratified
    random splits (a tenth each) with a fixed state. The larger group is subsampled with `generator` (by default a
    fresh one of seed 0) to the smaller one's size. Read it beside the original's and the retrained model's value. NaN
    for losses that are not finite and for fewer than six texts a group (a test split needs one of each).
    """
    forget, heldout = vector(forget_losses, "forget_losses"), vector(heldout_losses, "heldout_losses")
    n = min(len(forget), len(heldout))
    if n < 6 or not np.isfinite(np.concatenate([forget, heldout])).all():
        return float("nan")
    from sklearn.linear_model import LogisticRegression  # here, because importing scikit-learn takes seconds
    from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

    generator = np.random.default_rng(0) if generator is None else generator
    forget, heldout = (
        group if len(group) == n else generator.choice(group, n, replace=False) for group in (forget, heldout)
    )
    losses, member = np.concatenate([heldout, forget])[:, None], np.repeat([0, 1], n)
    folds = StratifiedShuffleSplit(n_splits=splits, random_state=0)
    return float(cross_val_score(LogisticRegression(), losses, member, cv=folds, scoring="accuracy").mean())


def lira(target_confidences, shadow_confidences, shadow_members, pooled_variance: bool = False) -> np.ndarray:
    """Return the LiRA score per example [n] (Carlini et al. 2022). Higher = less like a member.

    `target_confidences` [n] are the attacked model's logit-scaled confidences, `shadow_confidences` [models, n] those
    of the shadow models, and `shadow_members` [models, n] says which of them were trained with which example. Per
    example a Gaussian is fitted to the models with it and one to those without it; the score is the log-likelihood
    ratio log p(target | without) - log p(target | with). With few shadow models, `pooled_variance` shares one variance
    of either kind among all examples, which is steadier. NaN where fewer than two models have (or lack) the example.
    """
    target = vector(target_confidences, "target_confidences")
    shadows = matrix(shadow_confidences, "shadow_confidences", "models, examples")
    members = np.asarray(shadow_members, dtype=bool)
    if members.shape != shadows.shape or shadows.shape[1] != len(target):
        raise UserError(
            f"shadow_confidences {shadows.shape} and shadow_members {members.shape} must both have shape "
            f"[models, {len(target)}]"
        )
    outside = _gaussian(np.where(members, np.nan, shadows), pooled_variance)
    inside = _gaussian(np.where(members, shadows, np.nan), pooled_variance)
    return stats.norm.logpdf(target, *outside) - stats.norm.logpdf(target, *inside)


def u_lira(
    unlearned_confidences,
    retrained_confidences,
    generator=None,
    pooled_variance: bool = False,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> ULira:
    """Return the U-LiRA attack on unlearned models (Hayes et al. 2024). AUC 0.5 is ideal, 1: every model is recognised.

    Both arguments are logit-scaled confidences [models, examples] of the forget examples, under unlearned and under
    retrained models: the negatives are the same examples under models that never saw them. Gaussians are fitted to
    every second model and score the others, log p(c | retrained) - log p(c | unlearned), then the other way round; the
    AUCs are means over the two halves, so that models which cannot be told apart score 0.5 (leaving one model out
    would not). The percentile interval resamples models, not examples, where a `generator` is given (NaN otherwise).
    At least four models of either kind are needed, else everything is NaN.
    """
    unlearned = matrix(unlearned_confidences, "unlearned_confidences", "models, examples")
    retrained = matrix(retrained_confidences, "retrained_confidences", "models, examples")
    if unlearned.shape[1] != retrained.shape[1]:
        raise UserError(f"unlearned has {unlearned.shape[1]} examples but retrained has {retrained.shape[1]}")
    scores = [np.full_like(unlearned, np.nan), np.full_like(retrained, np.nan)]
    for half in (0, 1):
        positive = _gaussian(unlearned[1 - half :: 2], pooled_variance)
        negative = _gaussian(retrained[1 - half :: 2], pooled_variance)
        for kind, models in enumerate((unlearned, retrained)):
            tested = models[half::2]
            scores[kind][half::2] = stats.norm.logpdf(tested, *negative) - stats.norm.logpdf(tested, *positive)

    halves = [[kind[half::2] for kind in scores] for half in (0, 1)]
    overall = float(np.mean([_auc(ours.ravel(), theirs.ravel()) for ours, theirs in halves]))
    by_example = np.mean([_auc(ours.T, theirs.T) for ours, theirs in halves], axis=0)
    interval = Interval(float("nan"), float("nan"))
    if generator is not None and not np.isnan(overall):
        draws = np.empty(resamples)
        for i in range(resamples):
            drawn = [[kind[generator.integers(len(kind), size=len(kind))].ravel() for kind in half] for half in halves]
            draws[i] = np.mean([_auc(ours, theirs) for ours, theirs in drawn])
        interval = Interval(*map(float, np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])))
    return ULira(scores[0], scores[1], overall, by_example, interval)


def _auc(forget: np.ndarray, heldout: np.ndarray, axis: int = -1) -> np.ndarray:
    """AUC over the last axis by ranks (Mann-Whitney), NaN where a group is empty or holds a NaN."""
    n, m = forget.shape[axis], heldout.shape[axis]
    if not n or not m:
        return np.full(forget.shape[:-1], np.nan)
    ranks = stats.rankdata(np.concatenate([forget, heldout], axis=axis), axis=axis, nan_policy="propagate")
    return (ranks[..., n:].sum(axis=axis) - m * (m + 1) / 2) / (n * m)


def _gaussian(confidences: np.ndarray, pooled: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over models [models, n], ignoring NaN; NaN where fewer than two models are left."""
    count = (~np.isnan(confidences)).sum(axis=0)
    enough = count >= 2
    safe = np.maximum(count, 1)
    mean = np.where(enough, np.nansum(confidences, axis=0) / safe, np.nan)
    squares = np.nansum((confidences - mean) ** 2, axis=0)
    if pooled:
        variance = squares[enough].sum() / max((count[enough] - 1).sum(), 1)
    else:
        variance = squares / np.maximum(count - 1, 1)
    return mean, np.where(enough, np.maximum(np.sqrt(variance), SPREAD_FLOOR), np.nan)
