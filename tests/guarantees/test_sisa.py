"""SISA: forgetting is training without, costs what the formula says, and rests on where a record's place comes from."""

import hashlib

import numpy as np
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.guarantees import sisa
from unlearnlib.guarantees.sisa import Layout

IDS = {f"r{number}": f"r{number}" for number in range(300)}


def chain(state, ids, shard, number):
    """A learner in which everything ever seen, and the order of it, decides the state."""
    return hashlib.sha256(repr((state, list(ids), shard, number)).encode()).hexdigest()


def walk(state, ids, shard, number):
    """A learner like stochastic gradient descent, on numbers."""
    weights = np.zeros(3) if state is None else state.copy()
    for name in ids:
        weights += 0.1 * (np.full(3, float(name[1:]) / 300) - weights)
    return weights


@pytest.mark.parametrize("layout", [Layout(1), Layout(5), Layout(5, 4, "k"), Layout(20, 10)])
@pytest.mark.parametrize("count", [1, 7, 120])
def test_forgetting_is_training_without(layout, count):
    gone = list(IDS)[::2][:count]
    left = {name: unit for name, unit in IDS.items() if name not in gone}
    model = sisa.forget(sisa.train(IDS, layout, chain), gone, chain)
    again = sisa.train(left, layout, chain)
    assert model.states == again.states and model.units == again.units
    numbers = sisa.forget(sisa.train(IDS, layout, walk), gone, walk).models
    for one, other in zip(numbers, sisa.train(left, layout, walk).models, strict=True):
        assert (one is None and other is None) or np.array_equal(one, other)


def test_one_record_after_the_other_is_all_at_once_and_an_empty_shard_is_none():
    model, layout = sisa.train(IDS, Layout(4, 3), chain), Layout(4, 3)
    gone = [name for name in IDS if layout.place(name)[0] == 2]
    for name in gone:
        model = sisa.forget(model, [name], chain)
    assert model.states == sisa.forget(sisa.train(IDS, layout, chain), gone, chain).states
    assert model.models[2] is None and model.stored == 9


@pytest.mark.parametrize(("requests", "shards", "slices"), [(1, 5, 4), (1, 1, 3), (10, 20, 10), (40, 5, 4), (3, 4, 1)])
def test_the_expected_share_is_what_random_requests_make_anew(requests, shards, slices):
    generator, shares = np.random.default_rng(0), []
    units = {f"r{number}": f"r{number}" for number in range(800)}
    for trial in range(40):
        gone = generator.choice(list(units), requests, replace=False)
        shares.append(sisa.share_of(Layout(shards, slices, trial), units, gone))
    spread = np.std(shares) / np.sqrt(len(shares))
    # What is forgotten is not learned again: the formula is for many more records than requests.
    expected = sisa.expected_share(requests, shards, slices) * (1 - requests / len(units))
    assert np.mean(shares) == pytest.approx(expected, abs=4 * spread + 0.01)
    if requests == 1:
        assert sisa.expected_share(1, shards, slices) == pytest.approx((2 * slices + 1) / (3 * slices * shards))


def test_a_persons_records_in_one_shard_are_cheap_and_scattered_ones_are_not():
    units = {f"{person}-{number}": f"person {person}" for person in range(30) for number in range(40)}
    own = {name: name for name in units}
    dave = [name for name in units if name.startswith("7-")]
    together = np.mean([sisa.share_of(Layout(10, 1, key), units, dave) for key in range(20)])
    scattered = np.mean([sisa.share_of(Layout(10, 1, key), own, dave) for key in range(20)])
    assert together < 0.2 < 0.9 < scattered and sisa.expected_share(40, 10) == pytest.approx(scattered, abs=0.03)


def test_places_that_depend_on_the_other_records_break_it():
    """Broken assumption: records dealt out in turn, so that one that goes moves all behind it."""

    class Dealt(Layout):
        def place(self, name):
            return list(DEALT).index(name) % self.shards, 0

    DEALT = dict(IDS)
    model = sisa.train(DEALT, Dealt(5), chain)
    left = {name: unit for name, unit in IDS.items() if name != "r3"}
    kept = sisa.forget(model, ["r3"], chain)
    DEALT = left
    assert kept.states != sisa.train(left, Dealt(5), chain).states


def test_a_learner_that_draws_in_sequence_breaks_it():
    """Broken assumption: randomness that goes on from shard to shard."""
    generator = np.random.default_rng(0)

    def drawing(state, ids, shard, number):
        return float(generator.standard_normal()) + len(ids)

    model = sisa.train(IDS, Layout(3), drawing)
    generator = np.random.default_rng(0)
    left = {name: unit for name, unit in IDS.items() if name != "r0"}
    assert sisa.forget(model, ["r0"], drawing).states != sisa.train(left, Layout(3), drawing).states


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Layout(0), "at least one of each"),
        (lambda: sisa.train({}, Layout(1), chain), "there are no records"),
        (lambda: sisa.forget(sisa.train(IDS, Layout(2), chain), ["x"], chain), "no longer, in the model"),
        (lambda: sisa.forget(sisa.train(IDS, Layout(2), chain), list(IDS), chain), "nothing would be left"),
        (lambda: sisa.expected_share(1, 0), "at least one"),
    ],
)
def test_a_slip_is_one_line(call, says):
    with pytest.raises(UserError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
