"""Mechanics of the unlearning experiments: recorded gradients, unlearning, evaluation, statistics."""
