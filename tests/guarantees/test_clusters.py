"""Deletion-efficient k-means: the bits of a fit without the point, its law over keys, and its price."""

import numpy as np
import pytest
from scipy import stats
from scipy.cluster.vq import kmeans2

from unlearnlib.core.errors import UserError
from unlearnlib.guarantees import clusters
from unlearnlib.guarantees.clusters import Choices, Work


def blobs(count=150, width=3, kinds=4, seed=0):
    generator = np.random.default_rng(seed)
    centers = generator.uniform(0.1, 0.9, (kinds, width))
    points = centers[generator.integers(0, kinds, count)] + 0.05 * generator.standard_normal((count, width))
    return [f"p{number}" for number in range(count)], clusters.grid(points, 0, 1)


def same(one, other):
    return one.ids == other.ids and np.array_equal(one.centroids, other.centroids)


def test_plain_k_means_is_that_of_scipy_from_the_same_seeds():
    ids, points = blobs()
    model = clusters.fit(ids, points, Choices(4, steps=100))
    other, _ = kmeans2(points.astype(float), points[list(model.seeds)].astype(float), iter=100, minit="matrix")
    assert np.allclose(model.centroids, other, atol=2), "to a unit of the grid"
    assert model.loss / len(ids) / clusters.UNITS**2 == pytest.approx(clusters.loss_of(points, model.centroids))


def test_the_first_two_seeds_have_the_law_of_k_means_plus_plus():
    points = clusters.grid([[0.0], [0.1], [1.0]], 0, 1)
    pairs = [clusters.fit("abc", points, Choices(2, key=key)).seeds for key in range(3000)]
    first = np.bincount([pair[0] for pair in pairs], minlength=3)
    assert stats.chisquare(first).pvalue > 1e-3
    after_a = [pair[1] for pair in pairs if pair[0] == 0]
    assert np.mean([seed == 1 for seed in after_a]) == pytest.approx(0.01 / 1.01, abs=0.012)


@pytest.mark.parametrize("width", [0.0, 0.02, 0.1, 0.3])
@pytest.mark.parametrize("key", [0, 1])
def test_forgetting_is_a_fit_of_the_others_in_every_bit(width, key):
    ids, points = blobs()
    model = clusters.fit(ids, points, Choices(4, key, width))
    order = np.random.default_rng(key).permutation(len(ids))[:40]
    left = dict(zip(ids, points, strict=True))
    for number in order:
        model = clusters.forget(model, ids[number])
        del left[ids[number]]
        again = clusters.fit(list(left), np.array(list(left.values())), model.choices)
        assert same(model, again) and model.loss == again.loss and model.seeds == again.seeds


def test_a_wide_grid_saves_fits_and_a_narrow_one_none():
    ids, points = blobs(count=400)
    shares = []
    for width in (0.0, 0.05, 0.3):
        model = clusters.fit(ids, points, Choices(4, 0, width))
        first = model.work.distances
        for name in ids[:30]:
            model = clusters.forget(model, name)
        shares.append((model.work.fits - 1) / 30)
        assert model.work.distances >= first
    assert shares[0] > 0.9 and max(shares[1:]) < 0.4


def test_the_work_of_a_deletion_that_moves_nothing_is_counted_by_the_step():
    """Of each step one distance of the point, and each centroid made anew."""
    ids, points = blobs(count=400)
    model = clusters.fit(ids, points, Choices(4, 0, 0.3))
    for name in ids[:30]:
        before, fits = model.work.distances, model.work.fits
        model = clusters.forget(model, name)
        if model.work.fits == fits:
            assert model.work.distances - before == len(model.steps) * (1 + 4)


@pytest.mark.parametrize("leaves", [1, 5, 20])
def test_a_tree_forgets_in_every_bit_and_clusters_one_leaf_again(leaves):
    ids, points = blobs(count=200)
    model = clusters.fit_tree(ids, points, Choices(4, 3), leaves)
    whole = model.work.distances
    for name in ids[:25]:
        model = clusters.forget_in_tree(model, name)
    assert same(model, clusters.fit_tree(ids[25:], points[25:], Choices(4, 3), leaves))
    amortised = (model.work.distances - whole) / 25
    assert amortised < whole / 2 if leaves > 1 else amortised > whole / 2


def one_step(points, width, key, fresh=None):
    """One centroid, one step, in one dimension: all that is random is the grid's shift."""
    model = clusters.fit([f"p{n}" for n in range(len(points))], points, Choices(1, key, width, steps=1))
    if fresh is None:
        return int(clusters.forget(model, "p0").steps[0].centroids[0, 0])
    # The shortcut: where the centroid would move, everything anew with other randomness.
    row = clusters.forget(model, "p0")
    if np.array_equal(row.steps[0].centroids, model.steps[0].centroids):
        return int(row.steps[0].centroids[0, 0])
    rest = clusters.fit([f"p{n}" for n in range(1, len(points))], points[1:], Choices(1, fresh, width, steps=1))
    return int(rest.steps[0].centroids[0, 0])


def test_equal_in_distribution_to_a_fit_of_the_others_unless_the_randomness_is_fresh():
    points = clusters.grid([[0.9], [0.5], [0.5], [0.5], [0.5], [0.5], [0.5]], 0, 1)
    names = [f"p{n}" for n in range(1, 7)]
    keys = range(1500)
    scratch = [
        int(clusters.fit(names, points[1:], Choices(1, f"other {key}", 0.1, steps=1)).steps[0].centroids[0, 0])
        for key in keys
    ]
    kept = [one_step(points, 0.1, key) for key in keys]
    shortcut = [one_step(points, 0.1, key, fresh=f"fresh {key}") for key in keys]
    assert stats.ks_2samp(kept, scratch).pvalue > 0.01
    assert stats.ks_2samp(shortcut, scratch).pvalue < 1e-6, "the runs that were kept are a selection"


def test_limits_or_leaves_of_the_data_would_break_it():
    """Broken assumption: the range of the grid is that of the points, the forgotten one included."""
    points = np.random.default_rng(0).uniform(0, 1, (60, 2))
    points[0] = 3.0
    ids = [f"p{n}" for n in range(60)]
    own = clusters.fit(ids, clusters.grid(points, points.min(), points.max()), Choices(3))
    again = clusters.fit(ids[1:], clusters.grid(points[1:], points[1:].min(), points[1:].max()), Choices(3))
    assert not same(clusters.forget(own, "p0"), again)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: clusters.grid(np.zeros((0, 2)), 0, 1), "no features"),
        (lambda: clusters.grid([[np.nan]], 0, 1), "not finite"),
        (lambda: clusters.grid([[0.5]], 1, 1), "the first has to be the smaller"),
        (lambda: Choices(0), "give 1 or more"),
        (lambda: clusters.fit("ab", np.zeros((2, 1), int), Choices(3)), "give fewer clusters"),
        (lambda: clusters.fit("aa", np.zeros((2, 1), int), Choices(1)), "give each its own"),
        (
            lambda: clusters.forget(clusters.fit("ab", np.zeros((2, 1), int), Choices(1)), "c"),
            "no longer, in the model",
        ),
        (lambda: clusters.fit_tree("ab", np.zeros((2, 1), int), Choices(1), 0), "at least one"),
    ],
)
def test_a_slip_is_one_line(call, says):
    with pytest.raises(UserError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_points_that_coincide_have_seeds_too():
    model = clusters.fit("abcd", np.zeros((4, 2), dtype=np.int64), Choices(3), Work())
    assert len(set(model.seeds)) == 3 and model.loss == 0
