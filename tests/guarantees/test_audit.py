"""The audit: what it must show, what it must not, and whether it catches a removal that is wrong."""

import numpy as np
import pytest
from scipy import stats

from unlearnlib.core.errors import UserError
from unlearnlib.guarantees import audit, certified

DELTA, PENALTY = 1e-4, 1e-2


def test_the_limit_of_a_rate_is_that_of_clopper_and_pearson():
    for errors, of in ((0, 100), (3, 100), (50, 100), (99, 100)):
        found = float(audit.upper(errors, of, 0.025))
        assert stats.binom.cdf(errors, of, found) == pytest.approx(0.025, rel=1e-6), "the definition"
    assert audit.upper(100, 100, 0.05) == 1.0 and audit.upper(0, 100, 0.05) == pytest.approx(1 - 0.05**0.01)


@pytest.mark.parametrize(("draws", "shown"), [(200, 3.3), (1000, 4.9), (5000, 6.5)])
def test_so_many_draws_can_show_no_more(draws, shown):
    assert audit.ceiling(draws, DELTA) == pytest.approx(shown, abs=0.15)


@pytest.mark.parametrize("shift", [0.25, 1.0, 2.0])
def test_what_is_shown_of_shifted_gaussians_stays_below_their_epsilon_and_comes_near(shift):
    true, shown = certified.gaussian_epsilon(shift, DELTA), []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        noise = generator.standard_normal((2, 4000))
        found = audit.audit(shift + noise[0], noise[1], DELTA)
        assert found.epsilon <= true
        shown.append(found.gaussian)
    assert sum(value > true for value in shown) <= 3, "5% of the experiments, at most, show too much"
    assert np.median(shown) > 0.3 * true


def test_equal_sides_show_nothing_and_sides_apart_show_all_that_can_be_shown():
    noise = np.random.default_rng(0).standard_normal((2, 2000))
    assert audit.audit(noise[0], noise[1], DELTA).epsilon < 0.1
    for sign in (1, -1):
        found = audit.audit(noise[0] + sign * 100, noise[1], DELTA)
        assert found.epsilon == pytest.approx(audit.ceiling(2000, DELTA))
    with pytest.raises(UserError, match="an audit needs 40 or more"):
        audit.audit(noise[0, :20], noise[1, :20], DELTA)


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 120)
    return certified.data(generator.standard_normal((120, 5)) + labels[:, None], labels)


ROWS = (3, 7)


@pytest.fixture(scope="module")
def promised(data):
    """The noise at which one removal uses up a budget of (1, DELTA)."""
    bound = certified.remove(certified.fit(data, PENALTY), data, ROWS, PENALTY).bound
    return 1.05 * bound / certified.gaussian_shift(1.0, DELTA)


def test_the_certificate_stands_and_every_wrong_removal_is_caught(data, promised):
    draws = audit.drawn(data, ROWS, PENALTY, promised, 1500, seed=1)
    shown = {name: audit.attacked(draws, way, DELTA) for name, way in audit.WAYS.items()}
    assert shown["Newton step"].epsilon <= 1.0 and shown["Newton step"].gaussian <= 1.0
    for name in set(audit.WAYS) - {"Newton step"}:
        assert shown[name].epsilon > 1.0, name
    again = audit.drawn(data, ROWS, PENALTY, promised, 1500, seed=2)
    assert audit.attacked(draws, audit.newton_step, DELTA, against=again.retrained).epsilon < 0.2, "retrained, both"


def test_without_the_noise_the_audit_refutes_the_promise(data):
    draws = audit.drawn(data, ROWS, PENALTY, 0.0, 400, seed=1)
    assert audit.attacked(draws, audit.newton_step, DELTA).epsilon == pytest.approx(audit.ceiling(400, DELTA))
    assert audit.ceiling(400, DELTA) > 1.0
