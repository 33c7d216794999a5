"""Metrics of unlearning as pure functions of arrays.

Conventions: NLLs and log-probabilities are in nats; each docstring states the direction. A value that cannot be
computed (no data, NaN in, too few models) is NaN; an input that makes no sense (shapes that do not match, an unknown
variant) is a UserError.
"""

from unlearnlib.metrics.distributions import (
    ForgettingScore,
    Klom,
    epsilon_lower_bound,
    forgetting_epsilon,
    forgetting_score,
    klom,
)
from unlearnlib.metrics.membership import (
    Interval,
    ULira,
    auc,
    auc_interval,
    lira,
    loss,
    min_k,
    min_k_plus_plus,
    privleak,
    reference,
    simple_mia,
    tpr_at_fpr,
    u_lira,
    zlib,
)
from unlearnlib.metrics.similarity import (
    choice_probability,
    exact_memorization,
    extraction_strength,
    perplexity,
    probability,
    rouge,
)
from unlearnlib.metrics.truth_ratio import (
    Agreement,
    ForgetQuality,
    forget_quality,
    model_utility,
    pointwise_agreement,
    truth_ratio,
    truth_ratio_aggregate,
)

__all__ = [
    "Agreement",
    "ForgetQuality",
    "ForgettingScore",
    "Interval",
    "Klom",
    "ULira",
    "auc",
    "auc_interval",
    "choice_probability",
    "epsilon_lower_bound",
    "exact_memorization",
    "extraction_strength",
    "forget_quality",
    "forgetting_epsilon",
    "forgetting_score",
    "klom",
    "lira",
    "loss",
    "min_k",
    "min_k_plus_plus",
    "model_utility",
    "perplexity",
    "pointwise_agreement",
    "privleak",
    "probability",
    "reference",
    "rouge",
    "simple_mia",
    "tpr_at_fpr",
    "truth_ratio",
    "truth_ratio_aggregate",
    "u_lira",
    "zlib",
]
