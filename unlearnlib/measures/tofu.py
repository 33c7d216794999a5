"""TOFU's scores from raw answers (Maini et al. 2024, arXiv 2401.06121): probability, ROUGE-L recall and truth ratio of
each set, model utility from nine of them, forget quality against a retrained model.

`answers` asks a model once; everything else is a function of what it said.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data.encoding import TEMPLATE, examples, question
from unlearnlib.data.items import Item
from unlearnlib.measures import truth_ratio as ratios
from unlearnlib.measures.arrays import matrix, same_length, vector
from unlearnlib.measures.evaluation import ask
from unlearnlib.measures.generation import generations
from unlearnlib.measures.similarity import probability, rouge
from unlearnlib.measures.truth_ratio import ForgetQuality

AMONG_OPTIONS = ("real_authors", "world_facts")  # the right answer's probability is its share there
UTILITY = ("retain", *AMONG_OPTIONS)
SETS = ("forget", *UTILITY)
SCORES = ("probability", "rouge", "truth_ratio")


class Answers(NamedTuple):
    """What a model says to n questions with w wrong answers each.

    names [n]; answer_nll [n], paraphrase_nll [n] and wrong_nll [n, w]: mean -log p a token (nats) of the right answer,
    of the right answer in other words (of itself, where there are none) and of the wrong ones; rouge [n]: ROUGE-L
    recall of what greedy decoding writes, cut at the answer's length.
    """

    names: tuple[str, ...]
    answer_nll: np.ndarray
    paraphrase_nll: np.ndarray
    wrong_nll: np.ndarray
    rouge: np.ndarray


class Utility(NamedTuple):
    """Model utility, in [0, 1] (higher is better), and the nine means it is the harmonic mean of, by (set, score)."""

    value: float
    parts: dict[tuple[str, str], float]


def answers(
    model,
    tokenizer,
    items: Sequence[Item],
    max_tokens: int | None = None,
    template: str = TEMPLATE,
    batch_size: int = 16,
) -> Answers:
    """Return what a model says to items that have wrong answers; UserError for one that has none, or another number."""
    counts = {len(item.wrong_answers) for item in items}
    if len(counts) != 1 or counts == {0}:
        raise UserError("TOFU's scores need items with wrong answers, as many each: give `..._perturbed`, say")
    questions = [
        question(tokenizer, item, max_tokens, template, (item.answer, _in_other_words(item), *item.wrong_answers))
        for item in items
    ]
    totals = ask(model, questions, batch_size, texts=False).log_probabilities
    nll = mean_nll(totals, [[len(answer) for answer in one.answers] for one in questions])
    written = generations(model, tokenizer, {"": examples(tokenizer, items, max_tokens, template)}, batch_size)
    recall = rouge(written["generation"], written["reference"])["rougeL_recall"].to_numpy()
    return Answers(tuple(item.id for item in items), nll[:, 0], nll[:, 1], nll[:, 2:], recall)


def mean_nll(log_probabilities, lengths) -> np.ndarray:
    """Return the mean -log p a token [n, k] of k answers, from their total log p (nats) and numbers of tokens."""
    totals, counts = matrix(log_probabilities, "log_probabilities", "n, k"), matrix(lengths, "lengths", "n, k")
    if totals.shape != counts.shape:
        raise UserError(f"log_probabilities has shape {totals.shape}, lengths {counts.shape}; they must match")
    return -totals / counts


def scores(given: Answers, of: str, variant: str = "geometric") -> dict[str, np.ndarray]:
    """Return the scores of a set, one of SETS, one value [n] a question each, in [0, 1].

    probability: exp(-NLL) of the right answer, in AMONG_OPTIONS its share of that of all answers; rouge: ROUGE-L
    recall; truth_ratio: min(R, 1/R) on `forget` (higher: less known), max(0, 1 - R) elsewhere (higher: better known).
    The other two: higher is better known. variant: see unlearnlib.measures.truth_ratio; "geometric" is that of the
    released code.
    """
    if of not in SETS:
        raise UserError(f"no set {of!r} in TOFU: {nearest(of, SETS)}")
    right = probability(vector(given.answer_nll, "answer_nll"))
    if of in AMONG_OPTIONS:
        wrong = probability(matrix(given.wrong_nll, "wrong_nll", "n, wrong answers"))
        same_length(right, wrong, "answer_nll", "wrong_nll")
        with np.errstate(invalid="ignore"):
            right = right / (right + wrong.sum(1))
    ratio = ratios.truth_ratio(given.wrong_nll, given.paraphrase_nll, variant)
    with np.errstate(divide="ignore"):
        known = np.minimum(ratio, 1 / ratio) if of == "forget" else np.maximum(0, 1 - ratio)
    return {"probability": right, "rouge": vector(given.rouge, "rouge"), "truth_ratio": known}


def model_utility(given: Mapping[str, Answers], variant: str = "geometric") -> Utility:
    """Return the model utility of one model: the harmonic mean of the means of three SCORES on three sets (UTILITY).

    One mean of 0 makes it 0; NaN stays NaN. UserError where a set is missing. What is asked of the forget set is not
    part of it.
    """
    missing = [name for name in UTILITY if name not in given]
    if missing:
        raise UserError(f"model utility needs the answers to {', '.join(UTILITY)}; {missing[0]} is missing")
    parts = {
        (name, score): float(np.mean(values)) if len(values) else float("nan")
        for name in UTILITY
        for score, values in scores(given[name], name, variant).items()
    }
    return Utility(ratios.model_utility(parts), parts)


def forget_quality(unlearned: Answers, retrained: Answers, variant: str = "geometric") -> ForgetQuality:
    """Return the Kolmogorov-Smirnov test between two models' truth ratios of the same questions of the forget set.

    p is TOFU's forget quality (higher: no difference found); read it with D, n, and the value of two retrained models
    (see unlearnlib.measures.truth_ratio.forget_quality). UserError where the two were asked different questions.
    """
    if unlearned.names != retrained.names:
        raise UserError("forget quality compares two models on the same questions: ask both the same items")
    both = [ratios.truth_ratio(one.wrong_nll, one.paraphrase_nll, variant) for one in (unlearned, retrained)]
    return ratios.forget_quality(*both)


def _in_other_words(item: Item) -> str:
    return item.paraphrased_answers[0] if item.paraphrased_answers else item.answer
