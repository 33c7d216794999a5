"""MUSE's scores from raw answers (Shi et al. 2024, arXiv 2407.06460): verbatim and knowledge memorization, leakage."""

from collections.abc import Sequence

import numpy as np

from unlearnlib.measures import membership
from unlearnlib.measures.arrays import same_length

TOKENS = {"verbmem": 128, "knowmem": 32}  # so much is written (the released code's defaults)
STOPS = ("\n\n", "\nQuestion", "Question:")  # where an answer ends that goes on to a next question
K = 0.4  # of the tokens, in Min-K%


def verbmem(written: Sequence[str], continuations: Sequence[str]) -> np.ndarray:
    """Return ROUGE-L F1 [n], words not stemmed, of what a model writes after the beginnings of texts. Lower is better
    forgotten; the retrained model's value is the aim. The caller cuts the continuations where writing stops."""
    return _rouge_l(written, continuations)


def knowmem(written: Sequence[str], answers: Sequence[str]) -> np.ndarray:
    """Return ROUGE-L F1 [n], words not stemmed, of answers to questions, each cut where the next question would begin.
    On the forget set lower is better forgotten, on the retained set higher is better kept (utility)."""
    return _rouge_l([_cut(text) for text in written], answers)


def privleak(
    unlearned: Sequence, unlearned_heldout: Sequence, retrained: Sequence, retrained_heldout: Sequence
) -> float:
    """Return MUSE's privacy leakage in percent from the token log p (nats) of each text: those to forget and held-out
    ones, by the unlearned and by the retrained model. 0 is ideal, negative under-, positive over-unlearned; see
    unlearnlib.measures.membership.privleak."""
    auc = [
        membership.auc(*([membership.min_k(log_p, K) for log_p in texts] for texts in pair))
        for pair in ((unlearned, unlearned_heldout), (retrained, retrained_heldout))
    ]
    return membership.privleak(*auc)


def _cut(text: str) -> str:
    for stop in STOPS:
        text = text.split(stop)[0]
    return text


def _rouge_l(written: Sequence[str], references: Sequence[str]) -> np.ndarray:
    from rouge_score.rouge_scorer import RougeScorer  # here, because it imports nltk

    same_length(written, references, "written", "references")
    scorer = RougeScorer(["rougeL"])
    pairs = zip(references, written, strict=True)
    return np.array([scorer.score(reference, text)["rougeL"].fmeasure for reference, text in pairs], dtype=float)
