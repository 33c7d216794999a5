"""Perplexity, ROUGE, memorization and answer probability against loops and numbers worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.measures.similarity import (
    choice_probability,
    exact_memorization,
    extraction_strength,
    perplexity,
    probability,
    rouge,
)


def test_perplexity_weighs_tokens_not_texts():
    # Three tokens of probability 1/2 in one text, one token of probability 1/16 in the other: (2^3 * 16)^(1/4).
    assert perplexity([3 * math.log(2), math.log(16)], [3, 1]) == pytest.approx(128**0.25)
    assert perplexity([0.0], [5]) == 1


def test_perplexity_edges():
    assert math.isnan(perplexity([], []))
    assert math.isnan(perplexity([float("nan"), 1], [1, 1]))
    assert perplexity([1e6], [1]) == math.inf
    with pytest.raises(UserError, match="must match"):
        perplexity([1.0, 2.0], [1])


def test_probability_is_the_geometric_mean_of_token_probabilities():
    tokens = np.array([0.5, 0.25, 0.125])
    assert probability(-np.log(tokens).mean()) == pytest.approx(0.25)


def test_choice_probability_against_plain_sums():
    generator = np.random.default_rng(0)
    scores = generator.normal(-8, 3, size=(7, 6))
    expected = [math.exp(row[0]) / sum(math.exp(value) for value in row) for row in scores]
    np.testing.assert_allclose(choice_probability(scores), expected, rtol=1e-12)


def test_choice_probability_edges():
    np.testing.assert_allclose(choice_probability(np.full((2, 6), -3000.0)), 1 / 6)  # chance, without underflow
    assert choice_probability([[-np.inf, -1.0]]) == 0
    assert np.isnan(choice_probability([[-np.inf, -np.inf]])).all()
    assert np.isnan(choice_probability([[np.nan, -1.0], [-1.0, np.nan]])).all()
    assert choice_probability(np.empty((0, 6))).shape == (0,)
    for wrong in (np.zeros(6), np.zeros((3, 1))):
        with pytest.raises(UserError):
            choice_probability(wrong)


def test_rouge_by_hand():
    table = rouge(["the cat sat on a mat"], ["the cats sat on the mat today"])
    # Stemmed unigrams in common: the, cat, sat, on, mat. Bigrams: "the cat", "cat sat", "sat on".
    # Longest common subsequence: the cat sat on mat.
    row = table.iloc[0]
    assert row.rouge1_precision == pytest.approx(5 / 6) and row.rouge1_recall == pytest.approx(5 / 7)
    assert row.rouge2_precision == pytest.approx(3 / 5) and row.rouge2_recall == pytest.approx(3 / 6)
    assert row.rougeL_precision == pytest.approx(5 / 6) and row.rougeL_recall == pytest.approx(5 / 7)
    assert row.rougeL_f1 == pytest.approx(2 * (5 / 6) * (5 / 7) / (5 / 6 + 5 / 7))


def test_rouge_keeps_order_and_stands_empty_texts():
    table = rouge(["", "a b c", "x"], ["a b", "a b c", ""])
    assert table["rougeL_f1"].tolist() == [0, 1, 0]
    empty = rouge([], [])
    assert isinstance(empty, pd.DataFrame) and len(empty) == 0 and "rouge2_recall" in empty
    with pytest.raises(UserError, match="must match"):
        rouge(["a"], ["a", "b"])


@pytest.mark.parametrize(
    ("predicted", "labels", "memorized", "strength"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 1.0, 1.0),
        ([9, 2, 3, 4], [1, 2, 3, 4], 0.75, 0.75),
        ([1, 2, 9, 4], [1, 2, 3, 4], 0.75, 0.25),
        ([1, 2, 3, 9], [1, 2, 3, 4], 0.75, 0.0),
        ([9, 9, 9, 9], [1, 2, 3, 4], 0.0, 0.0),
        ([5], [5], 1.0, 1.0),
        ([5], [6], 0.0, 0.0),
    ],
)
def test_memorization_of_one_text(predicted, labels, memorized, strength):
    assert exact_memorization(predicted, labels) == memorized
    assert extraction_strength(predicted, labels) == strength


def test_extraction_strength_against_the_definition():
    generator = np.random.default_rng(1)
    for _ in range(200):
        labels = generator.integers(0, 2, size=generator.integers(1, 8))
        predicted = generator.integers(0, 2, size=len(labels))
        k = next(k for k in range(len(labels) + 1) if (predicted[k:] == labels[k:]).all())
        assert extraction_strength(predicted, labels) == pytest.approx(1 - k / len(labels))


def test_memorization_of_a_padded_batch():
    labels = np.array([[-100, 1, 2, -100], [3, 4, 5, 6], [-100, -100, -100, -100]])
    predicted = np.array([[7, 9, 2, 7], [3, 4, 5, 6], [1, 1, 1, -100]])
    np.testing.assert_array_equal(exact_memorization(predicted, labels), [0.5, 1, np.nan])
    np.testing.assert_array_equal(extraction_strength(predicted, labels), [0.5, 1, np.nan])
    assert math.isnan(exact_memorization([], []))
    with pytest.raises(UserError, match="share a shape"):
        exact_memorization([1, 2], [1, 2, 3])
