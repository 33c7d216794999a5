"""Many removals: does the decision to train again tell of the noise? The rule that asks it is caught, ours is not."""

from dataclasses import replace

import numpy as np
import pytest

from unlearnlib.guarantees import certified, sequence
from unlearnlib.guarantees.sequence import History

DELTA, PENALTY = 1e-4, 1e-2


@pytest.fixture(scope="module")
def history():
    """Three removals, with a noise at which they come to more than the budget for one draw of it in twenty."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 120)
    data = certified.data(generator.standard_normal((120, 5)) + labels[:, None], labels)
    of = History(data, (4, 0, 9), PENALTY, 0.02, 1.0, DELTA)
    for _ in range(3):  # the bounds spread with the noise, a little
        draws = np.random.default_rng(1).standard_normal((300, data.rows.shape[1]))
        fits = certified.fit_many(data.without(of.order), PENALTY, of.noise * draws)
        of = replace(of, noise=np.quantile(sequence.spent(of, fits), 0.95) / certified.gaussian_shift(1.0, DELTA))
    return of


def one_by_one(history, seed):
    """Return a ledger after a history, its first noise, and what it used of the plan, a removal at a time."""
    ledger, used = history.ledger(seed), 0.0
    b = -certified.gradient(ledger.weights, history.data, PENALTY)
    for row in history.order:
        ledger = ledger.forget([row])
        used = max(used, ledger.secret / ledger.spent if ledger.spent > certified.TOLERANCE else 0.0)
    return ledger, b, used


@pytest.mark.parametrize("more", [1.0, 2.0])
def test_many_ledgers_at_once_are_as_many_ledgers(history, more):
    """With this noise the last removal is a training, whose noise is new; with twice as much nothing is trained
    again."""
    history = replace(history, noise=more * history.noise)
    ledgers = [one_by_one(history, seed) for seed in range(20)]
    b = np.array([noise for _, noise, _ in ledgers])
    weights, used = sequence.forgotten(history, b, np.random.default_rng(99))
    assert used == pytest.approx([most for _, _, most in ledgers], rel=1e-6) and used.min() > 0.4 and used.max() < 1
    if more > 1:
        assert weights == pytest.approx(np.array([ledger.weights for ledger, _, _ in ledgers]), abs=1e-8)
        assert sequence.longest(history) == history
    else:
        assert {ledger.fits for ledger, _, _ in ledgers} == {2}
        again = -certified.gradient(weights, history.data.without(history.order), PENALTY)
        assert np.linalg.norm(again - b, axis=1).min() > 0.1 * history.noise
        assert len(sequence.longest(history).order) == 2, "before the training that is due"


def test_the_rule_that_asks_the_noise_trains_again_for_some_of_it_alone(history):
    b = history.noise * np.random.default_rng(5).standard_normal((200, history.data.rows.shape[1]))
    weights, _ = sequence.forgotten(history, b, np.random.default_rng(0), by_the_noise=True)
    left = -certified.gradient(weights, history.data.without(history.order), PENALTY)
    trained = np.linalg.norm(left - b, axis=1) > 0.1 * history.noise
    assert 0 < trained.mean() < 0.2 and sequence.parted(history, 300).order == history.order
    for draw in np.flatnonzero(trained)[:3]:
        total, data, at = 0.0, history.data, certified.fit(history.data, PENALTY, b[draw])
        for place in (4, 0, 7):  # where they are once those before them went
            removal = certified.remove(at, data, [place], PENALTY)
            total, data, at = total + removal.bound, data.without([place]), removal.weights
        assert total > history.ledger().budget


def test_the_rule_that_asks_the_noise_is_refuted_and_ours_stands(history):
    leaking, _ = sequence.attacked(history, 4000, seed=1, by_the_noise=True)
    assert leaking.epsilon > 1.2 and leaking.statistic == "spent"
    for asked in (history, sequence.longest(history)):
        ours, used = sequence.attacked(asked, 4000, seed=1)
        assert ours.epsilon <= 1.0 and ours.gaussian <= 1.0 and 0.4 < used < 1


def test_what_was_spent_is_found_from_the_weights_alone(history):
    """Of a model that was trained without the texts the noise is known, and with it the whole history."""
    b = history.noise * np.random.default_rng(3).standard_normal((2, history.data.rows.shape[1]))
    retrained = certified.fit_many(history.data.without(history.order), PENALTY, b)
    for draw, found in enumerate(sequence.spent(history, retrained)):
        weights, data, total = certified.fit(history.data, PENALTY, b[draw]), history.data, 0.0
        for place in (4, 0, 7):
            removal = certified.remove(weights, data, [place], PENALTY)
            weights, data, total = removal.weights, data.without([place]), total + removal.bound
        assert found == pytest.approx(total, rel=1e-5)
