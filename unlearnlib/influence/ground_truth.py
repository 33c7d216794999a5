"""What influence scores are checked against: models retrained without some of the points."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from unlearnlib.core.errors import UserError


@dataclass(frozen=True)
class Agreement:
    """A rank correlation with truth in [-1, 1] (1 is perfect, 0 is chance), its percentile interval, and its sizes.

    `groups` is what the interval resamples: models and queries for the LDS, left-out points for leave-one-out.
    """

    estimate: float
    low: float
    high: float
    groups: int
    queries: int


def linear_datamodeling_score(
    scores, kept, losses, own=None, generator: np.random.Generator | None = None, resamples: int = 500
) -> Agreement:
    """Return the linear datamodeling score (LDS; Park et al. 2023, definition 2.3), with a 95% bootstrap interval.

    scores [points, queries]: attribution, positive where the point lowers the query's loss; kept [models, points]: True
    where the model was trained on the point; losses [models, queries]. For each query: Spearman's correlation over the
    models between minus its loss and the sum of the kept points' scores; then the mean over queries. The interval
    resamples models and queries. A score without any spread scores 0. With `own` [queries], the index of each query's
    own point, only models trained on that point count: what is left is what the score knows about the *other* points.
    """
    scores, kept, losses = np.asarray(scores, float), np.asarray(kept, bool), np.asarray(losses, float)
    if scores.shape != (kept.shape[1], losses.shape[1]) or len(kept) != len(losses):
        raise UserError(
            f"shapes do not fit: scores {scores.shape} [points, queries], kept {kept.shape} [models, points], "
            f"losses {losses.shape} [models, queries]"
        )
    if not (np.isfinite(scores).all() and np.isfinite(losses).all()):
        raise UserError("a score or a loss is NaN or infinite: the LDS would rank it silently")
    predicted = kept @ scores
    generator = generator or np.random.default_rng(0)
    models, queries = losses.shape

    def score(rows, columns) -> float:
        counted = predicted[np.ix_(rows, columns)]
        if own is not None:  # a model that was not trained on the query's own point does not count
            counted = np.where(kept[rows][:, np.asarray(own)[columns]], counted, np.nan)
        agreed = _spearman_columns(counted, -losses[np.ix_(rows, columns)])
        # A draw without any model that was trained on a query's point says nothing about it.
        return float(np.nanmean(agreed)) if np.isfinite(agreed).any() else 0.0

    drawn = [
        score(generator.integers(0, models, models), generator.integers(0, queries, queries)) for _ in range(resamples)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Agreement(score(np.arange(models), np.arange(queries)), float(low), float(high), models, queries)


def left_out_correlation(
    scores, rises, generator: np.random.Generator | None = None, resamples: int = 500
) -> Agreement:
    """Return Spearman's correlation of scores with what leaving each point out did, over all (point, query) pairs.

    scores [points, queries]; rises [points, queries]: the query's loss without the point minus with it (nats; positive:
    the point helped). The 95% interval resamples points, since the queries of one retrained model share its noise.
    """
    scores, rises = np.asarray(scores, float), np.asarray(rises, float)
    if scores.shape != rises.shape or not len(scores):
        raise UserError(f"shapes do not fit: scores {scores.shape}, rises {rises.shape}, both [points, queries]")
    if not (np.isfinite(scores).all() and np.isfinite(rises).all()):
        raise UserError("a score or a rise is NaN or infinite: a rank correlation would hide it")
    generator = generator or np.random.default_rng(0)
    count = len(scores)

    def score(rows) -> float:
        if np.ptp(scores[rows]) == 0 or np.ptp(rises[rows]) == 0:
            return 0.0
        return float(spearmanr(scores[rows].ravel(), rises[rows].ravel()).statistic)

    drawn = [score(generator.integers(0, count, count)) for _ in range(resamples)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Agreement(score(np.arange(count)), float(low), float(high), count, scores.shape[1])


def _spearman_columns(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of each column of one matrix with the same column of another; 0 without spread.

    Rows that are NaN in `first` are left out of their column; NaN for a column of nothing else.
    """
    counted = ~np.isnan(first)
    one, other = (pd.DataFrame(np.where(counted, values, np.nan)).rank().to_numpy() for values in (first, second))
    number = counted.sum(0)
    middle = (number + 1) / 2  # the mean rank
    one, other = (np.where(counted, ranks - middle, 0.0) for ranks in (one, other))
    length = np.sqrt((one**2).sum(0) * (other**2).sum(0))
    agreed = np.divide((one * other).sum(0), length, out=np.zeros(len(length)), where=length > 0)
    return np.where(number > 0, agreed, np.nan)
