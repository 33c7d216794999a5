"""Many removals: does the decision to train again tell of the noise? The rule that asks it is caught, ours is not."""

from dataclasses import replace

import numpy as np
import pytest

from unlearnlib.guarantees import certified, sequence
from unlearnlib.guarantees.sequence import BySecret, History

DELTA, PENALTY = 1e-4, 1e-2


@pytest.fixture(scope="module")
def history():
    """Three removals, with a noise at which they come to more than the budget for one draw of it in twenty."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 120)
    data = certified.data(generator.standard_normal((120, 5)) + labels[:, None], labels)
    of = History(data, (0, 1, 2), PENALTY, 0.02, 1.0, DELTA)
    for _ in range(3):  # the bounds spread with the noise, a little
        draws = np.random.default_rng(1).standard_normal((300, data.rows.shape[1]))
        fits = certified.fit_many(data.without(of.order), PENALTY, of.noise * draws)
        spent = np.quantile([of.spent(weights) for weights in fits], 0.95)
        of = replace(of, noise=spent / certified.gaussian_shift(1.0, DELTA))
    return of


def test_when_to_train_again_is_the_same_for_every_noise_and_not_where_the_noise_is_asked(history):
    def fits(kind):
        return {history.ledger(np.random.default_rng(seed), kind).fits for seed in range(100)}

    assert fits(certified.Ledger) == {2}, "with the margin the budget is too small, for every noise"
    assert fits(BySecret) == {1, 2}, "for some only"
    assert sequence.parted(history, 100).order == history.order
    assert len(sequence.longest(history).order) == 2, "before the training that is due"


def test_the_rule_that_asks_the_noise_is_refuted_and_ours_stands(history):
    leaking = sequence.attacked(history, 2000, seed=1, kind=BySecret)
    assert leaking.epsilon > 1.2 and leaking.statistic == "spent"
    for asked in (history, sequence.longest(history)):
        ours = sequence.attacked(asked, 1000, seed=1)
        assert ours.epsilon <= 1.0 and ours.gaussian <= 1.0


def test_what_was_spent_is_found_from_the_weights_alone(history):
    """Of a model that was trained without the texts the noise is known, and with it the whole history."""
    b = history.noise * np.random.default_rng(3).standard_normal(history.data.rows.shape[1])
    retrained = certified.fit(history.data.without(history.order), PENALTY, b)
    weights, data, total = certified.fit(history.data, PENALTY, b), history.data, 0.0
    for _ in history.order:  # the first of those that are left, each time
        removal = certified.remove(weights, data, [0], PENALTY)
        weights, data, total = removal.weights, data.without([0]), total + removal.bound
    assert history.spent(retrained) == pytest.approx(total, rel=1e-6)


def test_the_plan_holds_for_every_draw_and_would_not_without_a_margin(history, monkeypatch):
    shares = sequence.used(history, 200)
    assert shares.max() < 1 and shares.min() > 0.7
    monkeypatch.setattr(certified, "MARGIN", 1.0)
    assert sequence.used(history, 200).max() > 1
