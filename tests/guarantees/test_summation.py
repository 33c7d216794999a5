"""Models of sums: forgetting is training without, and is not where something beside the sums depends on the data."""

import numpy as np
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.guarantees import summation

WORDS = ("a", "b", "c", "d", "e")


def texts(seed=0, count=40):
    generator = np.random.default_rng(seed)
    kinds = [str(kind) for kind in generator.choice(["x", "y"], count)]
    rows = [list(generator.choice([*WORDS, "unknown"], generator.integers(1, 9))) for _ in kinds]
    return [[str(word) for word in row] for row in rows], kinds


def test_counts_without_texts_equal_a_count_of_the_others_in_every_number():
    rows, kinds = texts()
    model = summation.counted(rows, kinds, WORDS)
    for row, kind in zip(rows[:15], kinds[:15], strict=True):
        model = model.forget(row, kind)
    assert model == summation.counted(rows[15:], kinds[15:], WORDS)


def test_the_odds_are_those_of_bayes_written_out():
    rows, kinds = [["a", "a", "b"], ["b", "c"], ["c"]], ["x", "y", "y"]
    model = summation.counted(rows, kinds, ("a", "b", "c"))
    first = (1 / 3) * (3 / 6) * (2 / 6)  # prior, (2 + 1) / (3 + 3) for a, (1 + 1) / (3 + 3) for b
    second = (2 / 3) * (1 / 6) * (2 / 6)
    assert model.log_odds(["a", "b"], "x", "y") == pytest.approx(np.log(first / second))
    assert set(model.forget(["a", "a", "b"], "x").documents) == {"y"}, "nothing is left of a kind without documents"


def test_a_vocabulary_of_the_data_itself_still_tells_what_was_forgotten():
    """Broken assumption: the words are taken from the texts, the forgotten one included."""
    rows, kinds = [["a"], ["b"], ["rare"]], ["x", "y", "x"]

    def of(some):
        return tuple(sorted({word for row in some for word in row}))

    model = summation.counted(rows, kinds, of(rows)).forget(["rare"], "x")
    again = summation.counted(rows[:2], kinds[:2], of(rows[:2]))
    assert model.log_odds(["a"], "x", "y") != again.log_odds(["a"], "x", "y")
    fixed = [summation.counted(part, kinds[: len(part)], ("a", "b", "rare")) for part in (rows, rows[:2])]
    assert fixed[0].forget(["rare"], "x") == fixed[1]


def rows_of(count=200, width=12, seed=0):
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((count, width))
    return features, features @ generator.standard_normal(width) + generator.standard_normal(count)


def test_ridge_without_rows_is_least_squares_on_the_others_to_ten_digits():
    features, values = rows_of()
    model = summation.ridge(features, values, 0.5)
    for row in range(80):
        model = model.forget(features[row : row + 1], values[row : row + 1])
    # Another way to the same: penalties as rows of their own, solved by orthogonal factors.
    stacked = np.vstack([features[80:], np.sqrt(0.5) * np.eye(12)])
    oracle = np.linalg.lstsq(stacked, np.concatenate([values[80:], np.zeros(12)]), rcond=None)[0]
    assert np.abs(model.weights - oracle).max() < 1e-10 and model.rows == 120


def test_in_single_precision_or_with_a_mean_of_all_rows_it_is_not():
    """Broken assumptions: sums that round coarsely, and features that depend on what is forgotten."""
    features, values = rows_of()
    small = summation.ridge(features, values, 0.5)
    drifted = (small.products.astype("f4") - (features[:80].T @ features[:80]).astype("f4")).astype("f8")
    right = summation.ridge(features[80:], values[80:], 0.5)
    assert np.abs(summation.Ridge(drifted, right.targets, 120, 0.5).weights - right.weights).max() > 1e-10
    centred = features - features.mean(0)
    left = summation.ridge(centred, values, 0.5).forget(centred[:80], values[:80])
    again = summation.ridge(features[80:] - features[80:].mean(0), values[80:], 0.5)
    assert np.abs(left.weights - again.weights).max() > 1e-4


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: summation.ridge(np.zeros((0, 2)), [], 1.0), "no features"),
        (lambda: summation.ridge([[np.inf]], [1.0], 1.0), "not finite"),
        (lambda: summation.ridge([[1.0]], [1.0], 0), "give one above 0"),
        (lambda: summation.ridge([[1.0]], [1.0], 1.0).forget([[1.0]], [1.0]), "at least one has to stay"),
        (lambda: summation.counted([], [], WORDS), "0 texts and 0 kinds"),
        (lambda: summation.counted([["a"]], ["x"], WORDS).forget(["b"], "x"), "never counted"),
        (lambda: summation.counted([["a"]], ["x"], WORDS).log_odds(["a"], "x", "z"), "no documents of kind 'z'"),
    ],
)
def test_a_slip_is_one_line(call, says):
    with pytest.raises(UserError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
