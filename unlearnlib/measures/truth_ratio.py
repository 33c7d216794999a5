"""The TOFU metrics (Maini et al. 2024, arXiv 2401.06121) and the agreement with a retrained model."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import logsumexp

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.measures.arrays import matrix, same_length, vector

VARIANTS = ("arithmetic", "geometric")
WHICH = ("forget", "other")


class ForgetQuality(NamedTuple):
    """Two-sample Kolmogorov-Smirnov test: the distance D, its p-value, and n, the smaller sample's size."""

    D: float
    p: float
    n: int


class Agreement(NamedTuple):
    """Point-by-point agreement: Spearman's rank correlation (higher is closer), RMSE (lower is closer), n points."""

    spearman: float
    rmse: float
    n: int


def truth_ratio(wrong_nll, paraphrase_nll, variant: str) -> np.ndarray:
    """Return the truth ratio R = P(wrong) / P(paraphrased right answer) per question [n]. Higher: less known.

    `wrong_nll` [n, w] and `paraphrase_nll` [n] are mean token NLLs; each P is exp(-NLL). The variants are two
    different numbers: `arithmetic` (the paper's formula) averages the w wrong answers' probabilities, `geometric` (the
    released code) their NLLs. R lies in [0, inf); it may exceed 1. Raises UserError for any other variant.
    """
    if variant not in VARIANTS:
        raise UserError(f"unknown truth ratio variant {variant!r}: {nearest(variant, VARIANTS)}")
    wrong, right = matrix(wrong_nll, "wrong_nll", "n, wrong answers"), vector(paraphrase_nll, "paraphrase_nll")
    same_length(wrong, right, "wrong_nll", "paraphrase_nll")
    if wrong.shape[1] == 0:
        raise UserError("wrong_nll needs at least one wrong answer per question")
    # In logarithms, so that answers of probability 1e-200 still have a ratio.
    with np.errstate(over="ignore", invalid="ignore"):
        if variant == "arithmetic":
            log_wrong = logsumexp(-wrong, axis=1) - np.log(wrong.shape[1])
        else:
            log_wrong = -wrong.mean(axis=1)
        return np.exp(log_wrong + right)


def truth_ratio_aggregate(ratios, which: str = "forget") -> float:
    """Return the mean over questions of min(R, 1/R) (`forget`) or of max(0, 1 - R) (`other`), in [0, 1].

    On the forget set higher is better forgotten: 1 when right and wrong answers are equally likely. On every other set
    higher is better retained: 1 when the wrong answers have no probability. NaN when `ratios` [n] is empty or has
    a NaN.
    """
    if which not in WHICH:
        raise UserError(f"unknown aggregate {which!r}: {nearest(which, WHICH)}")
    ratios = vector(ratios, "ratios")
    if not len(ratios):
        return float("nan")
    with np.errstate(divide="ignore"):
        values = np.minimum(ratios, 1 / ratios) if which == "forget" else np.maximum(0, 1 - ratios)
    return float(values.mean())


def forget_quality(ratios_unlearned, ratios_retrained) -> ForgetQuality:
    """Return D, p and n of the two-sided Kolmogorov-Smirnov test between two models' truth ratios.

    p is TOFU's forget quality: where it is high, no significant difference to the retrained model was found. It says
    nothing about agreement point by point (see `pointwise_agreement`), and collapsed p-values carry no order: at D = 1
    p depends on n alone. Read it beside the value of two retrained models. D and p are NaN for empty or NaN input.
    """
    unlearned, retrained = vector(ratios_unlearned, "ratios_unlearned"), vector(ratios_retrained, "ratios_retrained")
    n = min(len(unlearned), len(retrained))
    if n == 0 or np.isnan(unlearned).any() or np.isnan(retrained).any():
        return ForgetQuality(float("nan"), float("nan"), n)
    result = stats.ks_2samp(unlearned, retrained)
    return ForgetQuality(float(result.statistic), float(result.pvalue), n)


def model_utility(values) -> float:
    """Return the harmonic mean of a mapping (or list) of values in (0, 1]. Higher is better; one 0 makes it 0.

    Raises UserError when there is no value or one lies outside [0, 1]; NaN stays NaN.
    """
    named = dict(values) if isinstance(values, Mapping) else dict(enumerate(np.asarray(values, dtype=float)))
    if not named:
        raise UserError("model utility needs at least one value")
    for name, value in named.items():
        if value < 0 or value > 1:
            raise UserError(f"model utility takes values between 0 and 1, but {name!r} is {float(value)}")
    return float(stats.hmean(np.array(list(named.values()), dtype=float)))


def pointwise_agreement(unlearned_nll, retrained_nll) -> Agreement:
    """Return Spearman's correlation and the RMSE (nats) between two models' NLLs of the same n texts [n].

    Read it beside the value of two retrained models. The correlation is NaN for fewer than two points, for a constant
    vector and for NaN.
    """
    unlearned, retrained = vector(unlearned_nll, "unlearned_nll"), vector(retrained_nll, "retrained_nll")
    same_length(unlearned, retrained, "unlearned_nll", "retrained_nll")
    n = len(unlearned)
    if n == 0 or np.isnan(unlearned).any() or np.isnan(retrained).any():
        return Agreement(float("nan"), float("nan"), n)
    with np.errstate(invalid="ignore"):
        rmse = float(np.sqrt(np.mean((unlearned - retrained) ** 2)))
    constant = n < 2 or (unlearned == unlearned[0]).all() or (retrained == retrained[0]).all()
    spearman = float("nan") if constant else float(stats.spearmanr(unlearned, retrained).statistic)
    return Agreement(spearman, rmse, n)
