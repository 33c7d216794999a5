"""What the model says against what it should say: perplexity, ROUGE, memorization, answer probability."""

import numpy as np
import pandas as pd

from unlearnlib.core.errors import UserError
from unlearnlib.measures.arrays import matrix, same_length, vector

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL")
IGNORED = -100  # the label of a position that does not count (padding, prompt), as in transformers


def perplexity(nll_sums, token_counts) -> float:
    """Return the perplexity of a corpus: exp(total NLL / total tokens). Lower is better; 1 is certainty.

    `nll_sums` [n] holds each text's summed token NLL in nats, `token_counts` [n] its number of scored tokens. The mean
    is over tokens, not over texts. NaN when no token was scored.
    """
    nll_sums, token_counts = vector(nll_sums, "nll_sums"), vector(token_counts, "token_counts")
    same_length(nll_sums, token_counts, "nll_sums", "token_counts")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return float(np.exp(nll_sums.sum() / token_counts.sum()))


def probability(mean_nll) -> np.ndarray:
    """Return exp(-mean token NLL) per text [n]: the geometric mean of its token probabilities. Higher: better known."""
    return np.exp(-np.asarray(mean_nll, dtype=float))


def choice_probability(log_probabilities) -> np.ndarray:
    """Return the multiple-choice probability of the right answer per question [n]. Higher: better known.

    `log_probabilities` [n, 1 + w] holds the *total* log-probability of every answer given the prompt, the right answer
    in the first column. The result is the softmax's first column; chance is 1 / (1 + w). A row in which no answer has
    any probability, or with a NaN, is NaN.
    """
    scores = matrix(log_probabilities, "log_probabilities", "n, 1 + wrong answers")
    if scores.shape[1] < 2:
        raise UserError("log_probabilities needs the right answer and at least one wrong answer per row")
    with np.errstate(invalid="ignore"):
        weights = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
        return weights[:, 0] / weights.sum(axis=1)


def rouge(predictions, references) -> pd.DataFrame:
    """Return ROUGE-1, -2 and -L precision, recall and F1 (Lin 2004), one row per example. Higher: more alike.

    Columns are `rouge1_precision`, `rouge1_recall`, `rouge1_f1` and the same for `rouge2` and `rougeL`; words are
    stemmed. The caller cuts each prediction at its reference's length. A text without words scores 0.
    """
    from rouge_score.rouge_scorer import RougeScorer  # here, because it imports nltk

    predictions, references = list(predictions), list(references)
    same_length(predictions, references, "predictions", "references")
    scorer = RougeScorer(ROUGE_TYPES, use_stemmer=True)
    columns = [f"{kind}_{part}" for kind in ROUGE_TYPES for part in ("precision", "recall", "f1")]
    rows = []
    for prediction, reference in zip(predictions, references, strict=True):
        scores = scorer.score(target=reference, prediction=prediction)
        rows.append([number for kind in ROUGE_TYPES for number in scores[kind]])
    return pd.DataFrame(rows, columns=columns, dtype=float)


def exact_memorization(predicted, labels) -> float | np.ndarray:
    """Return the share of labelled tokens that the teacher-forced argmax hits, in [0, 1]. Higher: more memorized.

    `predicted` and `labels` are token ids of one text [t] (a float comes back) or of a padded batch [n, t] (one value
    per text), `predicted` already aligned with `labels`; label -100 does not count. NaN for a text without labels.
    """
    return _per_text(predicted, labels, lambda hits: hits.mean())


def extraction_strength(predicted, labels) -> float | np.ndarray:
    """Return the extraction strength 1 - k/n (Carlini et al. 2021), in [0, 1]. Higher: more memorized.

    k is the smallest number of leading tokens after which every greedy teacher-forced prediction is right, n the number
    of labelled tokens: 1 when all are right, 0 when the last one is wrong. Shapes as in `exact_memorization`.
    """
    return _per_text(predicted, labels, lambda hits: np.logical_and.accumulate(hits[::-1]).mean())


def _per_text(predicted, labels, score) -> float | np.ndarray:
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    if predicted.shape != labels.shape or labels.ndim not in (1, 2):
        raise UserError(f"predicted and labels must share a shape [t] or [n, t], got {predicted.shape}, {labels.shape}")
    if labels.ndim == 1:
        counted = labels != IGNORED
        return float(score((predicted == labels)[counted])) if counted.any() else float("nan")
    return np.array([_per_text(*pair, score) for pair in zip(predicted, labels, strict=True)], dtype=float)
