"""Models that are functions of sums over records: to forget a record, subtract its part and compute the function again.

After Y. Cao and J. Yang, Towards Making Systems Forget with Machine Unlearning (IEEE Security and Privacy 2015), as we
remember it. The result is that of training without the record, exactly, as long as the sums are sums: what else
depends on the record (a vocabulary, a mean that is subtracted from features) has to be fixed before, or be a sum too.
Counts are whole numbers and subtract without any rounding; sums of floating point numbers do so up to rounding, which
the tests bound.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from unlearnlib.core.errors import UserError

# Counts: naive Bayes


@dataclass(frozen=True)
class Counts:
    """Naive Bayes over words: documents of each kind, and words in the documents of each kind, from a fixed
    vocabulary."""

    vocabulary: tuple[str, ...]
    documents: Mapping[Hashable, int]
    words: Mapping[Hashable, Mapping[str, int]]

    def forget(self, text: Sequence[str], kind: Hashable) -> "Counts":
        """Return the counts without one document, given as its words; UserError where it cannot have been counted."""
        parts = _of_one(text, self.vocabulary)
        left = Counter(self.words.get(kind, {}))
        left.subtract(parts)
        if not self.documents.get(kind) or any(count < 0 for count in left.values()):
            raise UserError(f"a text of kind {kind!r} to forget that was never counted: {' '.join(text)[:50]!r}")
        documents = {**self.documents, kind: self.documents[kind] - 1}
        words = {**self.words, kind: {word: count for word, count in left.items() if count}}
        gone = [] if documents[kind] else [kind]  # a kind of no documents is no kind
        return replace(
            self,
            documents={name: count for name, count in documents.items() if name not in gone},
            words={name: counts for name, counts in words.items() if name not in gone},
        )

    def log_odds(self, text: Sequence[str], kind: Hashable, other: Hashable, smoothing: float = 1.0) -> float:
        """Return ln p(kind | text) - ln p(other | text), with additive smoothing; positive where `kind` is likelier."""
        parts, terms = _of_one(text, self.vocabulary), []
        for name in (kind, other):
            if name not in self.documents:
                raise UserError(f"no documents of kind {name!r} are left")
            counts = self.words[name]
            whole = sum(counts.values()) + smoothing * len(self.vocabulary)
            rates = (many * np.log((counts.get(word, 0) + smoothing) / whole) for word, many in sorted(parts.items()))
            terms.append(np.log(self.documents[name]) + sum(rates))
        return float(terms[0] - terms[1])


def counted(texts: Sequence[Sequence[str]], kinds: Sequence[Hashable], vocabulary: Sequence[str]) -> Counts:
    """Return the counts of texts, each given as its words, of these kinds; words outside the vocabulary do not count.

    The vocabulary is given and not taken from the texts: one that was would still tell which words a forgotten text
    had. UserError where there are no texts or not as many kinds.
    """
    if not len(texts) or len(texts) != len(kinds):
        raise UserError(f"{len(texts)} texts and {len(kinds)} kinds: give at least one text, and a kind for each")
    words: dict[Hashable, Counter] = {}
    for text, kind in zip(texts, kinds, strict=True):
        words.setdefault(kind, Counter()).update(_of_one(text, vocabulary))
    return Counts(tuple(vocabulary), dict(Counter(kinds)), {kind: dict(counts) for kind, counts in words.items()})


def _of_one(text: Sequence[str], vocabulary: Sequence[str]) -> Counter:
    known = frozenset(vocabulary)
    return Counter(word for word in text if word in known)


# Sums: ridge regression


@dataclass(frozen=True)
class Ridge:
    """Ridge regression as sums over rows: `products` sum x x^T [d, d], `targets` sum y x [d], the number of `rows`, and
    the `penalty` in |Xw - y|^2 + penalty |w|^2."""

    products: np.ndarray
    targets: np.ndarray
    rows: int
    penalty: float

    @property
    def weights(self) -> np.ndarray:
        """The weights [d] that minimise the penalised sum of squares."""
        penalised = self.products + self.penalty * np.eye(len(self.targets))
        return cho_solve(cho_factor(penalised), self.targets)

    def forget(self, features, values) -> "Ridge":
        """Return the sums without these rows [m, d] and values [m]; UserError where there are not so many left."""
        features, values = _checked(features, values)
        if len(features) >= self.rows:
            raise UserError(f"{len(features)} rows to forget of {self.rows}: at least one has to stay")
        return Ridge(
            self.products - features.T @ features,
            self.targets - values @ features,
            self.rows - len(features),
            self.penalty,
        )


def ridge(features, values, penalty: float) -> Ridge:
    """Return the sums of features [n, d] and values [n] for ridge regression; UserError where there are none, where
    they are not finite, and for a penalty that is not above 0.

    Squares are the loss at which the Newton step of unlearnlib.guarantees.certified leaves no residual: the same model.
    """
    features, values = _checked(features, values)
    if not penalty > 0:
        raise UserError(f"penalty {penalty!r}: give one above 0, such as 0.1")
    return Ridge(features.T @ features, values @ features, len(features), penalty)


def _checked(features, values) -> tuple[np.ndarray, np.ndarray]:
    features, values = np.asarray(features, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if features.ndim != 2 or 0 in features.shape or len(features) != len(values):
        raise UserError(f"no features: give arrays [n, d] and [n], not {features.shape} and {values.shape}")
    if not (np.isfinite(features).all() and np.isfinite(values).all()):
        raise UserError("a feature or value is not finite: check the model that they come from")
    return features, values
