"""Metrics of unlearning as pure functions of arrays.

Conventions: NLLs and log-probabilities are in nats; each docstring states the direction. A value that cannot be
computed (no data, NaN in, too few models) is NaN; an input that makes no sense (shapes that do not match, an unknown
variant) is a UserError.
"""
