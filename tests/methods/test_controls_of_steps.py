"""The controls of a recorded step: each differs from it in the one thing that it says."""

import numpy as np
import pytest
import torch

from unlearnlib.gradients import algebra
from unlearnlib.measures import evaluation
from unlearnlib.methods.named import METHODS
from unlearnlib.methods.path import apply, change_between
from unlearnlib.methods.preconditioned import rescaled
from unlearnlib.methods.recorded import recorded_direction
from unlearnlib.training.watch import watch

FORGET = ["text-0", "text-2", "text-6"]


@pytest.fixture(scope="module")
def asked(recorded, make_model, sequences, tmp_path_factory):
    """A request that hands out what the controls use; how well a text is known is its likelihood a token."""
    others = [name for name in sequences if name not in FORGET]
    folder = tmp_path_factory.mktemp("watched")
    return recorded.having(
        watched=watch(recorded.log, make_model(), sequences, FORGET, others, folder),
        known=lambda model, names: np.exp(-evaluation.text_nll(model, [sequences[name] for name in names])),
    )


def direction(path) -> dict[str, torch.Tensor]:
    found = path.change(1.0)
    return {name: value / algebra.norm(found) for name, value in found.items()}


def along(request, expected) -> dict[str, torch.Tensor]:
    return {name: value / algebra.norm(expected) for name, value in expected.items()}


def same(one, other, rtol=1e-5) -> bool:
    return one.keys() == other.keys() and all(torch.allclose(one[k], other[k], rtol=rtol, atol=1e-8) for k in one)


@pytest.mark.parametrize("precondition", [True, False])
@pytest.mark.parametrize("layers", ["all", "embedding"])
def test_random_signs_are_as_long_in_every_entry_and_point_nowhere(asked, precondition, layers):
    drawn = direction(METHODS["random signs"].path(asked, layers=layers, precondition=precondition))
    own = recorded_direction(asked, layers)
    own = along(asked, rescaled(own, asked.second_moments) if precondition else own)
    assert same({name: value.abs() for name, value in drawn.items()}, {name: v.abs() for name, v in own.items()})
    assert abs(algebra.dot(drawn, own)) < 0.2
    assert not same(drawn, direction(METHODS["random signs"].path(_of_seed(asked, 8), layers=layers)))


def _of_seed(request, seed):
    other = request.having()
    other.seed = seed
    return other


def test_the_neighbours_gradient_is_that_of_the_others(asked):
    plain = direction(METHODS["others"].path(asked, precondition=False))
    assert same(plain, along(asked, asked.watched.others.total(asked.selections("all"), "first")))
    assert not same(plain, along(asked, recorded_direction(asked, "all")), rtol=0.1)
    divided = direction(METHODS["others"].path(asked, layers="embedding"))
    expected = rescaled(asked.watched.others.total(asked.selections("embedding"), "first"), asked.second_moments)
    assert same(divided, along(asked, expected))


def test_early_moments_are_those_of_the_end_of_the_first_epoch(asked):
    own, early = recorded_direction(asked, "all"), asked.watched.second_moments()
    expected = along(asked, {name: value / (early[name].sqrt() + 1e-8) for name, value in own.items()})
    found = direction(METHODS["early preconditioned"].path(asked))
    assert same(found, expected) and not same(found, direction(METHODS["preconditioned"].path(asked)), rtol=0.01)


def test_what_was_added_is_taken_back_once_or_along_its_way(asked):
    given = METHODS["taken back"].path(asked, as_it_was=True)
    expected = asked.watched.taken_back(asked.selections("all"), "all")
    assert given.stops == (0.0, 1.0) and same(given.change(1.0), expected)
    with given.at(1.0) as model:
        assert same(change_between(asked.start, model), {name: v * 0 for name, v in expected.items()}), "the same model"
        moved = {name: value.detach().clone() for name, value in model.named_parameters()}
    wanted = dict(apply(asked.start, expected).named_parameters())
    assert all(torch.equal(moved[name], value) for name, value in wanted.items())
    searched = METHODS["taken back"].path(asked, layers="embedding", until="first")
    part = asked.watched.taken_back(asked.selections("embedding"), "first")
    assert searched.stops is None and same(direction(searched), along(asked, part))
    assert algebra.norm(searched.change(0.3)) == pytest.approx(0.3, rel=1e-5)


@pytest.mark.parametrize("precondition", [True, False])
def test_each_point_gets_the_step_that_it_needs_alone(asked, precondition, tmp_path):
    import pandas as pd

    def keep(compute, name=""):
        compute(tmp_path)
        return tmp_path

    known = asked.known(asked.start, FORGET)
    target = 0.6 * float(known.max())
    path = METHODS["per point"].path(asked.having(keep=keep, target=target), precondition=precondition)
    log, total = pd.read_csv(tmp_path / "log.csv").set_index("point"), {}
    assert list(log.index) == FORGET and log["step_size"].nunique() > 1
    for name in FORGET:
        own = asked.record.subset(asked.start, [name], asked.selections("all"))
        own = along(asked, rescaled(own, asked.second_moments) if precondition else own)
        step = log.loc[name, "step_size"]
        own = {key: value * step for key, value in own.items()}
        value = float(asked.known(apply(asked.start, own), [name])[0])
        assert value == pytest.approx(log.loc[name, "after"], rel=1e-4)
        assert (value <= target and value > 0.8 * target) or step == 0.05, "at the target, and hardly further"
        total = algebra.add(total, own)
    assert same(direction(path), along(asked, total), rtol=1e-3)
