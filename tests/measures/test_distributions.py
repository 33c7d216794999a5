"""The forgetting score against a brute-force attacker, closed forms, and bounds that hold in simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from unlearnlib.core.errors import UserError
from unlearnlib.measures.distributions import epsilon_lower_bound, forgetting_epsilon, forgetting_score, klom

DELTA = 1e-5


def attack_epsilon(fpr, fnr):
    if fpr == 0 and fnr == 0:
        return math.inf
    if fpr == 0 or fnr == 0:
        return None
    forms = [(1 - DELTA - fpr, fnr), (1 - DELTA - fnr, fpr)]
    values = [math.log(top) - math.log(bottom) for top, bottom in forms if top > 0]
    return max(values) if values else None


def brute_force(unlearned, retrained):
    """Try every cut between, at and beyond the observed values, one by one."""
    values = sorted({*unlearned, *retrained})
    cuts = [values[0] - 1, *values, values[-1] + 1]
    cuts = sorted([*cuts, *((a + b) / 2 for a, b in itertools.pairwise(cuts))])
    found = []
    high, low = (retrained, unlearned) if np.median(retrained) > np.median(unlearned) else (unlearned, retrained)
    for cut in cuts:
        found.append(attack_epsilon(np.mean([v >= cut for v in low]), np.mean([v < cut for v in high])))
    narrow, wide = (unlearned, retrained) if np.ptp(unlearned) <= np.ptp(retrained) else (retrained, unlearned)
    for left in cuts:
        for right in cuts:
            if left <= right:
                fpr = np.mean([left <= v <= right for v in wide])
                fnr = np.mean([not left <= v <= right for v in narrow])
                found.append(attack_epsilon(fpr, fnr))
    return min(50.0, max([0.0, *(value for value in found if value is not None)]))


@pytest.mark.parametrize(("shift", "scale"), [(0, 1), (0.8, 1), (0, 0.3), (2, 2)])
def test_epsilon_against_brute_force(shift, scale):
    generator = np.random.default_rng(0)
    for _ in range(4):
        unlearned, retrained = generator.normal(shift, scale, 9), generator.normal(0, 1, 9)
        assert forgetting_epsilon(unlearned, retrained, DELTA) == pytest.approx(brute_force(unlearned, retrained))


def test_epsilon_with_ties_against_brute_force():
    generator = np.random.default_rng(1)
    for _ in range(6):
        unlearned, retrained = generator.integers(0, 4, 10).astype(float), generator.integers(1, 6, 12).astype(float)
        assert forgetting_epsilon(unlearned, retrained, DELTA) == pytest.approx(brute_force(unlearned, retrained))


def test_epsilon_by_hand():
    # One model of ten on the wrong side, of either kind. The threshold at 10 errs with rates 1/10 and 1/10; the
    # interval 0..8 around the narrower (retrained) ones has exactly one rate of 0 and does not count.
    unlearned, retrained = [-20.0, *range(10, 19)], [*range(9), 30.0]
    assert forgetting_epsilon(unlearned, retrained, DELTA) == pytest.approx(math.log((0.9 - DELTA) / 0.1))


def test_epsilon_extremes():
    generator = np.random.default_rng(2)
    retrained = generator.normal(size=32)
    assert forgetting_epsilon(retrained + 100, retrained, DELTA) == 50  # separated
    assert forgetting_epsilon(generator.normal(0, 1e-4, 32), retrained, DELTA) == 50  # one has almost no spread
    assert forgetting_epsilon(np.zeros(32), retrained, DELTA) == 50
    assert forgetting_epsilon(np.zeros(32), np.zeros(32), DELTA) == 0  # no attack left
    assert forgetting_epsilon(np.zeros(32), np.ones(32), DELTA) == 50
    assert forgetting_epsilon(retrained, retrained, DELTA) < 0.5
    assert math.isnan(forgetting_epsilon(np.r_[np.nan, retrained[1:]], retrained, DELTA))
    assert forgetting_epsilon(np.full(32, np.inf), retrained, DELTA) == 50


def test_epsilon_of_many_examples_is_that_of_each():
    generator = np.random.default_rng(3)
    unlearned, retrained = generator.normal(0.5, 1, size=(12, 5)), generator.normal(size=(16, 5))
    together = forgetting_epsilon(unlearned, retrained, DELTA)
    assert together.shape == (5,)
    np.testing.assert_allclose(
        together, [forgetting_epsilon(unlearned[:, i], retrained[:, i], DELTA) for i in range(5)]
    )


def test_epsilon_does_not_depend_on_the_unit_of_the_confidences():
    generator = np.random.default_rng(4)
    unlearned, retrained = generator.normal(1, 1, size=(16, 6)), generator.normal(size=(16, 6))
    before = forgetting_epsilon(unlearned, retrained, DELTA)
    np.testing.assert_allclose(forgetting_epsilon(7 * unlearned - 3, 7 * retrained - 3, DELTA), before)


def test_epsilon_rejects_what_does_not_fit():
    with pytest.raises(UserError, match="same examples"):
        forgetting_epsilon(np.zeros((4, 2)), np.zeros((4, 3)), DELTA)
    with pytest.raises(UserError, match="at least 2 models"):
        forgetting_epsilon([1.0], [2.0], DELTA)


def test_forgetting_score_points_and_utility():
    generator = np.random.default_rng(5)
    unlearned, retrained = generator.normal([0, 1, 2, 9], 1, size=(32, 4)), generator.normal(size=(32, 4))
    result = forgetting_score(unlearned, retrained, retain_accuracy=(0.45, 0.5), test_accuracy=(0.3, 0.4))
    limit = math.ceil(math.log(31))
    points = [0 if eps >= limit else 2 ** -math.floor(2 * eps) for eps in result.epsilon]
    np.testing.assert_allclose(result.points, points)
    assert result.points[3] == 0 and result.models == 32
    assert result.forgetting == pytest.approx(np.mean(points))
    assert result.score == pytest.approx(np.mean(points) * 0.9 * 0.75)


def test_forgetting_score_ends_and_ceiling():
    same = np.zeros((32, 3))
    assert forgetting_score(same, same).score == 1
    assert forgetting_score(same, same + 1).score == 0
    # 32 models are harsh: two sets of equally trained models score about a tenth.
    generator = np.random.default_rng(6)
    ceiling = forgetting_score(generator.normal(size=(32, 400)), generator.normal(size=(32, 400)))
    assert 0.07 < ceiling.score < 0.13


def test_lower_bound_by_hand():
    # 40 separated models of each kind: 20 choose the attack, the other 20 have no error.
    limit = stats.beta.ppf(0.975, 1, 20)
    bound = epsilon_lower_bound(np.arange(40.0) + 100, np.arange(40.0))
    assert bound == pytest.approx(math.log((1 - DELTA - limit) / limit))
    assert epsilon_lower_bound(np.zeros(40), np.zeros(40)) == 0
    assert math.isnan(epsilon_lower_bound([1.0], [2.0]))
    assert math.isnan(epsilon_lower_bound([np.nan] * 8, np.zeros(8)))


def test_lower_bound_holds():
    generator = np.random.default_rng(7)
    same = epsilon_lower_bound(generator.normal(size=(32, 300)), generator.normal(size=(32, 300)))
    assert (same > 0).mean() <= 0.05
    # Bernoulli confidences with error rates of 1/4: the true eps is ln 3.
    draw = [(generator.random((64, 300)) < rate).astype(float) for rate in (0.75, 0.25)]
    bound = epsilon_lower_bound(*draw)
    assert (bound > math.log(3)).mean() <= 0.05 and bound.mean() > 0.2


def test_klom_against_a_histogram_by_hand():
    # Common range 0..20, one bin per unit: retrained half in bin 0 and half in the last, unlearned all in bin 0.
    retrained, unlearned = np.array([0.0, 0.5, 19.5, 20.0]), np.array([0.0, 0.1, 0.2, 0.3])
    p, q = np.full(20, 1e-5), np.full(20, 1e-5)
    p[0] += 0.5
    p[19] += 0.5
    q[0] += 1
    p, q = p / p.sum(), q / q.sum()
    result = klom(unlearned, retrained)
    assert result.by_example[0] == pytest.approx(float(np.sum(p * np.log(p / q))))
    assert result.mean == result.by_example[0]


def test_klom_direction_and_edges():
    generator = np.random.default_rng(8)
    retrained = generator.normal(size=(64, 50))
    near, far = klom(generator.normal(size=(64, 50)), retrained), klom(retrained + 3, retrained)
    assert near.mean < far.mean and near.percentile_95 >= near.mean
    assert klom(retrained, retrained).mean == 0
    assert klom(np.zeros((4, 1)), np.zeros((4, 1))).mean == 0
    assert klom(np.full((4, 1), np.inf), np.zeros((4, 1))).mean > 5
    assert math.isnan(klom(np.full((4, 1), np.nan), np.zeros((4, 1))).mean)
