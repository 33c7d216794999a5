"""Influence of training texts on other texts: scores, curvature, and the ground truth that they are checked against.

One convention everywhere (Koh & Liang 2017, Park et al. 2023):

- *sign*: positive means that training on point i lowered the loss of query q;
- a score is a matrix [points, queries]; the loss of a text is its mean token loss in nats;
- *scale*: a gradient dot product estimates nothing by itself, only up to a positive factor. A score with an inverse
  curvature estimates n times the rise of the query's loss if the point were left out of n training texts; divide it
  by n to compare it with leave-one-out retraining.
"""

from unlearnlib.influence.curvature import (
    eager_attention,
    gauss_newton_product,
    hessian_product,
    largest_eigenvalue,
)
from unlearnlib.influence.ground_truth import left_out_correlation, linear_datamodeling_score
from unlearnlib.influence.inverse import Solution, conjugate_gradients, inverse_fisher_scores, lissa
from unlearnlib.influence.scores import (
    activation_gradient_products,
    cosine_scores,
    gradient_products,
    paired_products,
    products_with,
    self_influence,
    tracin,
)

__all__ = [
    "Solution",
    "activation_gradient_products",
    "conjugate_gradients",
    "cosine_scores",
    "eager_attention",
    "gauss_newton_product",
    "gradient_products",
    "hessian_product",
    "inverse_fisher_scores",
    "largest_eigenvalue",
    "left_out_correlation",
    "linear_datamodeling_score",
    "lissa",
    "paired_products",
    "products_with",
    "self_influence",
    "tracin",
]
