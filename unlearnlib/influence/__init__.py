"""Influence of training texts on other texts: scores, curvature, and the ground truth that they are checked against.

One convention everywhere (Koh & Liang 2017, Park et al. 2023):

- *sign*: positive means that training on point i lowered the loss of query q;
- a score is a matrix [points, queries]; the loss of a text is its mean token loss in nats;
- *scale*: a gradient dot product estimates nothing by itself, only up to a positive factor. A score with an inverse
  curvature estimates n times the rise of the query's loss if the point were left out of n training texts; divide it
  by n to compare it with leave-one-out retraining.
"""
