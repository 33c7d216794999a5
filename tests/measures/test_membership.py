"""Attacks against loops over pairs, closed forms and simulations with a known answer."""

import math
import zlib as zlib_module

import numpy as np
import pytest
from scipy import stats

from unlearnlib.core.errors import UserError
from unlearnlib.measures import membership


def pairs_auc(forget, heldout):
    return np.mean([(h > f) + 0.5 * (h == f) for f in forget for h in heldout])


def test_scores_of_single_texts():
    texts = ["Dave lives in a small town by the sea.", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
    sizes = [len(zlib_module.compress(text.encode("utf-8"))) for text in texts]
    np.testing.assert_array_equal(membership.loss([1.0, 2.0]), [1, 2])
    np.testing.assert_allclose(membership.zlib([3.0, 3.0], texts), [3 / sizes[0], 3 / sizes[1]])
    np.testing.assert_allclose(membership.reference([3.0, 1.0], [1.0, 2.0]), [2, -1])
    with pytest.raises(UserError):
        membership.reference([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("k", "expected"), [(0.2, 5.0), (0.4, 4.5), (0.5, 4.5), (1.0, 3.0), (0.01, 5.0)])
def test_min_k_by_hand(k, expected):
    assert membership.min_k([-1.0, -5.0, -3.0, -2.0, -4.0], k) == pytest.approx(expected)


def test_min_k_edges():
    assert math.isnan(membership.min_k([], 0.2)) and math.isnan(membership.min_k([np.nan, -1], 0.5))
    assert membership.min_k([-np.inf, -1], 0.5) == np.inf
    for k in (0, 1.5, 40):
        with pytest.raises(UserError, match="fraction"):
            membership.min_k([-1.0], k)


def test_min_k_plus_plus_against_the_vocabulary():
    generator = np.random.default_rng(0)
    log_p = np.log(generator.dirichlet(np.full(30, 0.3), size=12))
    tokens = generator.integers(30, size=12)
    mu = np.array([sum(math.exp(v) * v for v in row) for row in log_p])
    variance = np.array([sum(math.exp(v) * v * v for v in row) for row in log_p]) - mu**2
    chosen = log_p[np.arange(12), tokens]
    z = sorted((chosen - mu) / np.sqrt(variance))
    assert membership.min_k_plus_plus(chosen, mu, np.sqrt(variance), 0.3) == pytest.approx(-np.mean(z[:3]))


def test_min_k_plus_plus_floors_the_variance_not_the_deviation():
    # sigma = 1e-5 has a variance of 1e-10, floored at 1e-6: the deviation in use is 1e-3.
    assert membership.min_k_plus_plus([-2.0], [-1.0], [1e-5], 1.0) == pytest.approx(1000)
    assert membership.min_k_plus_plus([-2.0], [-1.0], [0.01], 1.0) == pytest.approx(100)


def test_auc_counts_pairs():
    generator = np.random.default_rng(1)
    forget, heldout = generator.integers(0, 6, 23).astype(float), generator.integers(1, 8, 17).astype(float)
    assert membership.auc(forget, heldout) == pytest.approx(pairs_auc(forget, heldout))
    assert membership.auc([1, 2], [3, 4]) == 1 and membership.auc([3, 4], [1, 2]) == 0
    assert membership.auc([1, 1], [1, 1]) == 0.5
    assert membership.auc([1], [np.inf]) == 1
    for empty in ([], [np.nan]):
        assert math.isnan(membership.auc(empty, [1.0])) and math.isnan(membership.auc([1.0], empty))


def test_auc_interval_covers_and_is_reproducible():
    truth = stats.norm.cdf(1 / math.sqrt(2))  # P(N(1, 1) > N(0, 1))
    generator, covered = np.random.default_rng(2), 0
    for _ in range(150):
        forget, heldout = generator.normal(0, 1, 30), generator.normal(1, 1, 30)
        low, high = membership.auc_interval(forget, heldout, generator, resamples=200)
        covered += low <= truth <= high
    assert 0.87 <= covered / 150 <= 0.99
    once, again = (membership.auc_interval([1, 2, 3, 6], [2, 5, 6], np.random.default_rng(0)) for _ in range(2))
    assert once == again
    assert membership.auc_interval([1, 2, 3], [4, 5, 6], generator) == (1, 1)
    assert all(map(math.isnan, membership.auc_interval([1], [2, 3], generator)))


def test_tpr_at_fpr_against_every_threshold():
    generator = np.random.default_rng(3)
    forget, heldout = np.round(generator.normal(-1, 1, 40), 1), np.round(generator.normal(0, 1, 60), 1)
    for fpr in (0.05, 0.1, 0.31):
        best = max(
            ((forget <= t).mean() for t in np.concatenate([forget, heldout]) if (heldout <= t).mean() <= fpr), default=0
        )
        assert membership.tpr_at_fpr(forget, heldout, fpr) == pytest.approx(best)


def test_tpr_is_not_reported_where_the_negatives_cannot_resolve_it():
    forget = np.arange(10.0)
    assert math.isnan(membership.tpr_at_fpr(forget, np.arange(199.0), 0.01))
    assert not math.isnan(membership.tpr_at_fpr(forget, np.arange(200.0), 0.01))
    with pytest.raises(UserError):
        membership.tpr_at_fpr(forget, forget, 1.0)


def test_privleak():
    assert membership.privleak(0.5, 0.5) == 0
    assert membership.privleak(0.9, 0.5) == pytest.approx(-80)  # forget still looks like members
    assert membership.privleak(0.1, 0.5) == pytest.approx(80)
    assert membership.privleak(0.5, 1.0) == np.inf and math.isnan(membership.privleak(1.0, 1.0))


def test_simple_mia_is_a_threshold_on_the_loss():
    pytest.importorskip("sklearn")
    generator = np.random.default_rng(4)
    assert membership.simple_mia(generator.normal(0, 0.1, 40), generator.normal(9, 0.1, 40)) == 1
    assert abs(membership.simple_mia(generator.normal(size=400), generator.normal(size=400)) - 0.5) < 0.08
    # Two normal distributions one standard deviation apart: the best threshold is right with Phi(1/2).
    value = membership.simple_mia(generator.normal(0, 1, 2000), generator.normal(1, 1, 2000))
    assert value == pytest.approx(stats.norm.cdf(0.5), abs=0.02)


def test_simple_mia_follows_the_starting_kit():
    linear_model = pytest.importorskip("sklearn.linear_model")
    from sklearn.model_selection import StratifiedShuffleSplit

    generator = np.random.default_rng(5)
    forget, heldout = generator.normal(0, 1, 25), generator.normal(0.7, 1, 25)
    x, y = np.r_[heldout, forget][:, None], np.r_[np.zeros(25), np.ones(25)]
    right = []
    for train, test in StratifiedShuffleSplit(10, random_state=0).split(x, y):
        attack = linear_model.LogisticRegression().fit(x[train], y[train])
        right.append((attack.predict(x[test]) == y[test]).mean())
    assert membership.simple_mia(forget, heldout) == pytest.approx(np.mean(right))


def test_simple_mia_edges():
    assert math.isnan(membership.simple_mia([1.0] * 5, [2.0] * 50))
    assert math.isnan(membership.simple_mia([np.inf] * 10, [2.0] * 10))
    pytest.importorskip("sklearn")
    unequal = [membership.simple_mia(np.arange(30.0), np.arange(12.0), np.random.default_rng(1)) for _ in range(2)]
    assert unequal[0] == unequal[1]


def test_lira_against_the_likelihood_ratio():
    generator = np.random.default_rng(6)
    shadows, members = generator.normal(size=(20, 4)), generator.random((20, 4)) < 0.5
    shadows += 3 * members
    target = np.array([0.0, 3.0, 1.5, np.nan])
    scores = membership.lira(target, shadows, members)
    for i in range(3):
        inside, outside = shadows[members[:, i], i], shadows[~members[:, i], i]
        expected = stats.norm(outside.mean(), outside.std(ddof=1)).logpdf(target[i]) - stats.norm(
            inside.mean(), inside.std(ddof=1)
        ).logpdf(target[i])
        assert scores[i] == pytest.approx(expected)
    assert scores[0] > 0 > scores[1] and math.isnan(scores[3])  # higher = less like a member


def test_lira_with_one_pooled_variance():
    shadows = np.array([[0.0, 10.0], [2.0, 14.0], [5.0, 20.0], [7.0, 20.0]])
    members = np.array([[False, False], [False, False], [True, True], [True, True]])
    # Outside: means 1 and 12, squares 2 + 8 over 2 degrees of freedom; inside: means 6 and 20, squares 2 + 0 over 2.
    outside, inside = stats.norm([1, 12], math.sqrt(5)), stats.norm([6, 20], 1)
    target = np.array([2.0, 15.0])
    np.testing.assert_allclose(
        membership.lira(target, shadows, members, pooled_variance=True), outside.logpdf(target) - inside.logpdf(target)
    )


def test_lira_edges():
    shadows = np.zeros((4, 2))
    members = np.array([[True, True], [True, False], [False, False], [False, False]])
    scores = membership.lira([0.0, 0.0], shadows, members)
    assert scores[0] == 0 and math.isnan(scores[1])  # no spread at all; only one model with the second example
    with pytest.raises(UserError, match="shape"):
        membership.lira([0.0], shadows, members)


@pytest.mark.parametrize("pooled", [False, True])
def test_u_lira_is_one_half_for_models_that_cannot_be_told_apart(pooled):
    generator = np.random.default_rng(7)
    results = [
        membership.u_lira(generator.normal(size=(8, 10)), generator.normal(size=(8, 10)), pooled_variance=pooled)
        for _ in range(60)
    ]
    assert np.mean([result.auc for result in results]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([result.auc_by_example.mean() for result in results]) == pytest.approx(0.5, abs=0.03)


def test_u_lira_finds_what_a_population_attack_cannot():
    generator = np.random.default_rng(8)
    level = generator.normal(0, 5, size=20)  # examples differ far more than unlearned and retrained models do
    unlearned = level + generator.normal(1.5, 0.5, size=(16, 20))
    retrained = level + generator.normal(0, 0.5, size=(16, 20))
    result = membership.u_lira(unlearned, retrained, np.random.default_rng(0), resamples=100)
    assert result.auc > 0.9 and (result.auc_by_example > 0.7).all()
    assert abs(membership.auc(-unlearned.ravel(), -retrained.ravel()) - 0.5) < 0.15
    assert result.interval.low <= result.auc <= result.interval.high
    assert result.scores_unlearned.shape == (16, 20)
    # The first half's scores rest on the second half's Gaussians alone.
    theirs, ours = retrained[1::2], unlearned[1::2]
    expected = stats.norm.logpdf(unlearned[0], theirs.mean(0), theirs.std(0, ddof=1)) - stats.norm.logpdf(
        unlearned[0], ours.mean(0), ours.std(0, ddof=1)
    )
    np.testing.assert_allclose(result.scores_unlearned[0], expected)


def test_u_lira_with_too_few_models_is_nan():
    assert math.isnan(membership.u_lira(np.zeros((3, 2)), np.zeros((8, 2))).auc)
    with pytest.raises(UserError, match="examples"):
        membership.u_lira(np.zeros((4, 2)), np.zeros((4, 3)))
