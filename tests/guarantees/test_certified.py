"""Certified removal: the fit, the step, the bounds and the budget against other ways to have them."""

import itertools

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from unlearnlib.core.errors import UserError
from unlearnlib.guarantees import certified

PENALTY = 1e-2


def made(rows=300, width=8, seed=0):
    """Rows of two overlapping kinds."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, rows)
    features = generator.standard_normal((rows, width)) + 0.8 * labels[:, None] * np.linspace(-1, 1, width)
    return certified.data(features, labels)


def opened(*given, seed=0):
    return certified.opened(*given, seed=seed)


def noise_of(data, scale=0.5, seed=1):
    return scale * np.random.default_rng(seed).standard_normal(data.rows.shape[1])


def test_rows_are_scaled_by_their_own_length_alone_and_labels_are_signs():
    whole, part = made(), made().without([0, 5])
    assert np.allclose(np.linalg.norm(whole.rows, axis=1), 1) and set(whole.labels) == {-1.0, 1.0}
    assert np.array_equal(part.rows[0], whole.rows[1]), "no row's scale depends on another's"


def test_the_fit_is_the_minimum_that_an_optimiser_finds_from_differences_of_the_loss():
    data = made(rows=60, width=3)
    b = noise_of(data)
    found = certified.fit(data, PENALTY, b)

    def loss(w):  # written out, a row at a time
        sums = sum(np.log1p(np.exp(-y * x @ w)) for x, y in zip(data.rows, data.labels, strict=True))
        return sums + PENALTY * len(data) / 2 * w @ w + b @ w

    other = optimize.minimize(
        loss, np.zeros(4), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 9999}
    )
    assert np.allclose(found, other.x, atol=1e-5) and loss(found) <= loss(other.x) + 1e-12
    differences = optimize.approx_fprime(found, lambda w: certified.gradient(w, data, PENALTY, b), 1e-6)
    assert np.allclose(differences, certified.hessian(found, data, PENALTY), atol=1e-5)
    many = certified.fit_many(data, PENALTY, np.array([b, 0 * b, 40 * b]))
    assert np.allclose(many[0], found, atol=1e-9) and np.allclose(many[1], certified.fit(data, PENALTY), atol=1e-9)
    assert np.linalg.norm(certified.gradient(many[2], data, PENALTY, 40 * b)) < certified.TOLERANCE


def test_the_slope_of_the_second_derivative_is_at_most_what_the_bound_takes():
    z = np.linspace(-10, 10, 200001)
    second = 1 / (1 + np.exp(-z)) * (1 - 1 / (1 + np.exp(-z)))
    steepest = np.abs(np.gradient(second, z)).max()
    assert certified.LIPSCHITZ * (1 - 1e-6) < steepest < certified.LIPSCHITZ * (1 + 1e-6) < certified.GUO_LIPSCHITZ


@pytest.mark.parametrize("gone", [[0], [3, 4, 5], list(range(40))])
@pytest.mark.parametrize("penalty", [1e-1, 1e-2, 1e-3])
def test_the_residual_of_a_removal_is_below_its_bounds_and_these_are_in_order(gone, penalty):
    data = made()
    b = noise_of(data)
    before = certified.fit(data, penalty, b)
    removal, rest = certified.remove(before, data, gone, penalty), data.without(gone)
    left = certified.residual(removal.weights, rest, penalty, b)
    assert left <= removal.bound <= removal.data_dependent and left <= removal.worst_case
    retrained = certified.fit(rest, penalty, b)
    nothing = np.linalg.norm(before - retrained)
    assert np.linalg.norm(removal.weights - retrained) < 0.2 * nothing
    assert np.linalg.norm(removal.weights - retrained) <= left / (penalty * len(rest)) + 1e-12, "strong convexity"
    # Broken: the curvature of all rows, and the wrong sign, leave more than the bound allows.
    wrong = before - (removal.weights - before)
    assert certified.residual(wrong, rest, penalty, b) > removal.bound


def test_a_removal_knows_neither_the_noise_nor_the_order_of_the_rows():
    data = made(rows=80)
    one = certified.remove(certified.fit(data, PENALTY), data, [2, 9], PENALTY)
    other = certified.remove(certified.fit(data, PENALTY), data, [9, 2], PENALTY)
    assert np.allclose(one.weights, other.weights, atol=1e-12) and one.bound == pytest.approx(other.bound)


@pytest.mark.parametrize("shift", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("epsilon", [0.01, 1.0, 10.0])
def test_the_delta_of_two_shifted_gaussians_is_the_integral_that_defines_it(shift, epsilon):
    def excess(x):
        return max(0.0, stats.norm.pdf(x, shift) - np.exp(epsilon) * stats.norm.pdf(x))

    edge = epsilon / shift + shift / 2  # from here on the excess is positive
    integral = integrate.quad(excess, edge, edge + 40, epsabs=1e-16, limit=500)[0]
    assert certified.gaussian_delta(epsilon, shift) == pytest.approx(integral, rel=1e-6, abs=1e-15)


def test_epsilon_delta_and_shift_are_inverse_to_each_other_and_guos_formula_fails_at_a_large_epsilon():
    for epsilon, delta in ((0.5, 1e-4), (1.0, 1e-5), (3.0, 1e-4), (10.0, 1e-4)):
        shift = certified.gaussian_shift(epsilon, delta)
        assert certified.gaussian_delta(epsilon, shift) <= delta * (1 + 1e-9)
        assert certified.gaussian_epsilon(shift, delta) == pytest.approx(epsilon, rel=1e-6)
    ratios = [certified.gaussian_shift(e, 1e-4) / certified.guo_shift(e, 1e-4) for e in (0.5, 1.0, 3.0)]
    assert ratios == pytest.approx([1.5, 1.4, 1.2], abs=0.06)
    assert certified.gaussian_delta(10.0, certified.guo_shift(10.0, 1e-4)) == pytest.approx(2.2e-4, rel=0.05)
    assert certified.gaussian_epsilon(0.0, 1e-4) == 0 and certified.gaussian_epsilon(np.inf, 1e-4) == np.inf
    assert certified.gaussian_epsilon(1e-6, 1e-4) == 0


def test_the_worst_case_grows_with_the_noise_as_is_said():
    """With a strong penalty and much noise the residual passes the worst case of weights without noise."""
    data, penalty, b = made(60), 10.0, noise_of(made(60), 2000.0)
    before = certified.fit(data, penalty, b)
    removal = certified.remove(before, data, [0], penalty)
    left = certified.residual(removal.weights, data.without([0]), penalty, b)
    grown = removal.worst_case * (1 + np.linalg.norm(b) / (2 * len(data))) ** 2
    assert removal.worst_case < left <= grown


def test_a_plan_is_exceeded_as_seldom_as_is_asked_where_logarithms_are_normal(monkeypatch):
    assert certified.planned(np.full(5, 2.0), 1e-5) == pytest.approx(2.0 * certified.SLACK)
    monkeypatch.setattr(certified, "SLACK", 1.0)
    generator = np.random.default_rng(0)
    drawn = np.exp(0.3 * generator.standard_normal((20000, 11)))
    over = [one[-1] > certified.planned(one[:-1], 0.05) for one in drawn]
    assert np.mean(over) == pytest.approx(0.05, abs=0.006)


def test_a_training_that_is_due_has_new_noise_and_the_plan_says_nothing_of_it():
    data, names = made(), list(range(300))
    one, other = (opened(data, names, PENALTY, 0.02, 1.0, 1e-4, seed=seed) for seed in (0, 1))
    noise = [-certified.gradient(one.weights, data, PENALTY)]
    plans: list[list] = [[], []]
    for name in names[:40]:
        one, other = one.forget([name]), other.forget([name])
        for plan, ledger in zip(plans, (one, other), strict=True):
            plan.append((ledger.spent, ledger.promised, ledger.fits))
        if one.spent == certified.TOLERANCE:  # just trained
            noise.append(-certified.gradient(one.weights, one.data, PENALTY))
    for seed in range(3):  # the noise of the shadows is public: no ledger's own
        ledger = opened(data, names, PENALTY, 0.02, 1.0, 1e-4, seed=seed)
        assert np.abs(ledger.shadows - ledger.weights).max(1).min() > 1e-4
    assert plans[0] == plans[1] and not np.allclose(one.weights, other.weights), "the same plan for other noise"
    assert len(noise) > 2, "training came due, twice at least"
    apart = [np.linalg.norm(first - second) for first, second in itertools.pairwise(noise)]
    assert min(apart) > 0.01, "each training draws its own"
    unequal = opened(data, names, PENALTY, 1.0, 1.0, 1e-4).forget([0])
    assert unequal.kept and certified.TOLERANCE < unequal.secret < unequal.spent


def test_without_a_seed_the_noise_is_nobodys():
    data, names = made(40), list(range(40))
    one, other = (certified.opened(data, names, PENALTY, 0.5, 1.0, 1e-4) for _ in range(2))
    assert np.abs(one.weights - other.weights).max() > 1e-3


def test_a_ledger_spends_its_budget_and_then_trains_again_with_new_noise():
    data, names = made(), [f"row-{number}" for number in range(300)]
    bound = certified.remove(certified.fit(data, PENALTY), data, [0], PENALTY).bound
    noise = 4 * bound / certified.gaussian_shift(1.0, 1e-4)  # about four removals long
    ledger = opened(data, names, PENALTY, noise, 1.0, 1e-4)
    spent, promised, fits = [], [], []
    for name in names[:20]:
        before = ledger
        ledger = ledger.forget([name])
        spent.append(ledger.spent), promised.append(ledger.promised), fits.append(ledger.fits)
        assert name not in ledger.names and len(ledger.data) == len(before.data) - 1
    assert all(value <= ledger.budget for value in spent) and max(promised) <= 1.0 + 1e-9
    assert 3 <= fits[-1] <= 10, "retraining came due, several times"
    due = [number for number in range(1, 20) if fits[number] > fits[number - 1]]
    assert all(spent[number] < 1e-9 for number in due) and all(
        spent[n] > spent[n - 1] for n in range(1, 20) if n not in due
    )
    with pytest.raises(UserError, match="no longer, in the model"):
        ledger.forget([names[0]])


def test_the_bounds_of_many_removals_add_up_to_more_than_the_residual_of_all():
    data, names = made(), list(range(300))
    ledger = opened(data, names, PENALTY, 1.0, 1.0, 1e-4, seed=3)
    b = -certified.gradient(ledger.weights, data, PENALTY)
    for name in names[:15]:
        ledger = ledger.forget([name])
    assert ledger.fits == 1 and certified.residual(ledger.weights, ledger.data, PENALTY, b) <= ledger.spent
    assert certified.untouched(ledger, [20]) > ledger.spent / 15, "doing nothing leaves more than a removal"


def test_without_noise_and_without_a_small_residual_nothing_is_promised():
    data, names = made(), list(range(300))
    silent = opened(data, names, PENALTY, 0.0, 1.0, 1e-4)
    assert silent.budget == 0 and silent.promised == np.inf
    assert silent.forget([0]).fits == 2, "every removal is a training"
    little = opened(data, names, PENALTY, 0.3, 1.0, 1e-4)
    assert certified.epsilon_of(certified.untouched(little, [0]), 0.3, 1e-4) > 1.0


def test_noise_on_the_weights_covers_the_distance_whatever_the_residual_depends_on():
    data = made()
    rest = data.without([0])
    removal = certified.remove(certified.fit(data, PENALTY), data, [0], PENALTY)
    noise = certified.output_noise(removal.bound, PENALTY, len(rest), 1.0, 1e-4)
    far = np.linalg.norm(removal.weights - certified.fit(rest, PENALTY))
    assert certified.gaussian_epsilon(far / noise, 1e-4) <= 1.0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: certified.data(np.zeros((0, 3)), []), "no features: give an array"),
        (lambda: certified.data(np.zeros((4, 0)), [0, 1, 0, 1]), "no features: give an array"),
        (lambda: certified.data(np.zeros((3, 2)), [0, 1]), "3 rows of features and 2 labels"),
        (lambda: certified.data(np.full((2, 2), np.nan), [0, 1]), "the features of row 0 are not finite"),
        (lambda: certified.data(["a text", "another"], [0, 1]), "features or labels are no arrays of numbers"),
        (lambda: certified.data([[1.0], [1.0, 2.0]], [0, 1]), "with rows of one length"),
        (lambda: certified.data(np.ones((2, 2)), ["a", "a"]), r"the labels are of 1 kinds, \['a'\]: give two"),
        (lambda: certified.data(np.ones((2, 2)), [1.0, float("nan")]), "labels of shape .* may not be finite"),
        (lambda: certified.data(np.ones((2, 2)), [[1], [2]]), "labels of shape .* give one label a row"),
        (lambda: opened(made(20), range(19), 0.1, 0.1, 1.0, 1e-4), "19 different names for 20 rows"),
        (lambda: opened(made(20), [0] * 20, 0.1, 0.1, 1.0, 1e-4), "1 different names for 20 rows"),
        (lambda: opened(made(20), range(20), 0.1, 0.1, 1.0, 1e-4).forget([]), "no row is named"),
        (lambda: opened(made(20), range(20), 0.1, 0.1, 1.0, 1e-4).forget("ABC"), "no row 'ABC' to forget"),
        (lambda: certified.fit(made(20), 0.0), "a certificate needs one above 0"),
        (lambda: made(20).without([25]), "cannot be removed"),
        (lambda: made(20).without(range(20)), "nothing would be left"),
        (lambda: certified.gaussian_shift(1.0, 0), "delta 0: give one above 0"),
        (lambda: certified.gaussian_epsilon(1.0, 0), "delta 0: give one above 0"),
        (lambda: certified.gaussian_shift(0.0, 1e-4), "epsilon 0.0: give one above 0"),
        (lambda: opened(made(20), range(20), 0.1, -1, 1.0, 1e-4), "noise -1: a standard deviation"),
    ],
)
def test_a_slip_is_one_line(call, says):
    with pytest.raises(UserError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
