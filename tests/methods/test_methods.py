"""The methods: direction, length, what they leave untouched, and what they refuse."""

import numpy as np
import pytest
import torch
from families import WTE

from unlearnlib.core import room
from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.gradients import algebra, per_example
from unlearnlib.methods import equal_forgetting, live
from unlearnlib.methods.named import METHODS
from unlearnlib.methods.path import applied, apply
from unlearnlib.methods.request import Request

STRAIGHT = ("recorded", "preconditioned", "live", "random")
FORGET = ["text-0", "text-2", "text-6"]


def change_at(path, start, effort) -> dict[str, torch.Tensor]:
    """What a path has changed at an effort, by the names of the parameters that it has changed at all."""
    before = {name: value.detach().clone() for name, value in start.named_parameters()}
    with path.at(effort) as model:
        found = {name: value.detach() - before[name] for name, value in model.named_parameters()}
    return {name: value for name, value in found.items() if value.any()}


def change(method, recorded, effort, layers="all", **options) -> dict[str, torch.Tensor]:
    return change_at(METHODS[method].path(recorded, layers=layers, **options), recorded.start, effort)


def forget_loss(recorded, model) -> float:
    tokens, lengths = batches.pad(list(recorded.forget.values()))
    with torch.no_grad():
        return float(batches.text_losses(model, tokens, lengths).mean())


@pytest.mark.parametrize("method", STRAIGHT)
@pytest.mark.parametrize("layers", ["all", "embedding", "h.1+h.2", "name_rows"])
def test_the_effort_is_the_norm_and_only_the_layers_named_move(recorded, method, layers):
    before = [value.detach().clone() for value in recorded.start.parameters()]
    found = change(method, recorded, 0.2, layers)
    assert algebra.norm(found) == pytest.approx(0.2, rel=1e-4)
    assert set(found) == set(recorded.selections(layers))
    if layers == "name_rows":
        untouched = [row for row in range(found[WTE].shape[0]) if row not in recorded.name_tokens]
        assert found[WTE][untouched].abs().sum() == 0
    assert all(torch.equal(a, b) for a, b in zip(before, recorded.start.parameters(), strict=True))


@pytest.mark.parametrize("method", ["recorded", "preconditioned", "live"])
def test_ascent_makes_the_forget_set_less_likely_and_more_so_than_chance(recorded, method):
    start = forget_loss(recorded, recorded.start)
    with METHODS[method].path(recorded).at(0.5) as model:
        reached = forget_loss(recorded, model)
    with METHODS["random"].path(recorded).at(0.5) as model:
        by_chance = forget_loss(recorded, model)
    assert reached > start + 2 * abs(by_chance - start)


def test_the_first_live_step_is_the_gradient_of_the_present_model(recorded):
    found = change("live", recorded, 0.1, "h.1", step_length=0.3)
    total = per_example.sum_gradient(recorded.start, [recorded.forget[name] for name in sorted(recorded.forget)])
    expected = algebra.select(total, recorded.selections("h.1"))
    for name, value in found.items():
        assert torch.allclose(value, 0.1 * expected[name] / algebra.norm(expected), atol=1e-6)


def test_a_longer_live_way_goes_on_from_the_shorter_and_leaves_it_as_it_was(recorded):
    path = METHODS["live"].path(recorded, layers="embedding", step_length=0.1)
    short, longer = (change_at(path, recorded.start, effort) for effort in (0.15, 0.45))
    assert all(torch.equal(short[name], value) for name, value in change_at(path, recorded.start, 0.15).items())
    fresh = change("live", recorded, 0.45, "embedding", step_length=0.1)
    assert all(torch.allclose(fresh[name], value) for name, value in longer.items())


def test_a_live_way_of_which_little_is_kept_is_the_same_way(recorded, monkeypatch):
    """Where memory holds two steps alone, going back walks the way again from its beginning."""
    whole = METHODS["live"].path(recorded, layers="embedding", step_length=0.1)
    monkeypatch.setattr(room, "KEPT_STEPS", 0)
    short = METHODS["live"].path(recorded, layers="embedding", step_length=0.1)
    counted = []
    real = live.per_example.sum_gradient
    monkeypatch.setattr(live.per_example, "sum_gradient", lambda *given: counted.append(1) or real(*given))
    for effort, gradients in ((0.45, 5), (0.35, 0), (0.05, 0), (0.15, 1), (0.45, 0), (0.25, 1), (0.45, 2)):
        expected = whole.change(effort)
        del counted[:]
        found = short.change(effort)
        assert len(counted) == gradients, effort
        assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_a_subset_of_the_points_uses_their_own_first_epoch_gradients_alone(recorded):
    one = recorded.having(forget={"text-2": recorded.forget["text-2"]})
    found = change("recorded", one, 1.0)
    own = recorded.record.subset(recorded.start, ["text-2"], recorded.selections("all"))
    assert all(torch.allclose(found[name], own[name] / algebra.norm(own), atol=1e-6) for name in found)
    with pytest.raises(UserError, match="not recorded on its own in epoch 1"):
        METHODS["recorded"].path(one, epochs="all")
    METHODS["recorded"].path(recorded, epochs="all")


def test_preconditioning_divides_by_the_root_of_the_second_moments(recorded):
    found, plain = (change(method, recorded, 1.0, "h.0") for method in ("preconditioned", "recorded"))
    ratio = {
        name: found[name] * (recorded.second_moments[name].sqrt() + 1e-8) / plain[name].where(plain[name] != 0, 1)
        for name in found
    }
    weights = {name: plain[name].abs() > 1e-3 for name in found}  # small ones drown in the rounding of parameters
    values = torch.cat([value[weights[name]] for name, value in ratio.items()])
    assert len(values) > 100 and values.std() < 1e-2 * values.mean()
    with pytest.raises(UserError, match="second moments"):
        METHODS["preconditioned"].path(recorded.having(second_moments={}), layers="h.0")


def test_apply_copies_unless_asked_and_applied_restores_bitwise(recorded):
    added = change("random", recorded, 3.0)
    before = {name: value.detach().clone() for name, value in recorded.start.named_parameters()}
    copy = apply(recorded.start, added)
    with applied(recorded.start, added) as model:
        moved = {name: value.detach().clone() for name, value in model.named_parameters()}
    for name, value in recorded.start.named_parameters():
        assert torch.equal(value, before[name])
        assert torch.equal(dict(copy.named_parameters())[name], moved[name])
        assert not torch.equal(moved[name], before[name])
    assert apply(copy, added, in_place=True) is copy
    with pytest.raises(UserError, match="another model"), applied(recorded.start, {"nonsense": torch.zeros(1)}):
        pass


def test_methods_refuse_what_they_cannot_do(recorded):
    with pytest.raises(UserError, match="no layer"):
        METHODS["recorded"].path(recorded, layers="h.77")
    with pytest.raises(UserError, match="this method asks for 'record'"):
        METHODS["recorded"].path(Request(recorded.start, forget=recorded.forget))
    with pytest.raises(UserError, match="no option 'epoch' of this method: did you mean 'epochs'"):
        METHODS["recorded"].path(recorded, epoch=1)


def test_first_crossing_of_a_known_curve_is_found_to_the_tolerance():
    calls = []

    def curve(step):
        calls.append(step)
        return 1.0 / (1.0 + step)

    found = equal_forgetting.first_crossing(curve, 0.2, smallest=0.1, factor=1.7, largest=100.0, tolerance=0.01)
    assert (
        found.reached
        and found.step_size == pytest.approx(4.0, rel=0.02)
        and found.value == pytest.approx(0.2, rel=0.02)
    )
    assert len(calls) == len(set(calls)) == len(found.evaluated)


def test_the_target_is_where_a_mean_of_ignorant_answers_rarely_lies_above():
    generator = np.random.default_rng(0)
    above = []
    for _ in range(2000):
        never_seen, forget = generator.beta(0.5, 2.5, 60), generator.beta(0.5, 2.5, 40)
        above.append(forget.mean() > equal_forgetting.never_seen_target(never_seen, 40))
    # 2.5% by construction, were the answers normal; theirs are skewed, as real ones are.
    assert 0.015 < np.mean(above) < 0.07
    assert equal_forgetting.never_seen_target([0.1, 0.2], 1) > equal_forgetting.never_seen_target([0.1, 0.2], 40) > 0.15
    with pytest.raises(UserError, match="never-seen"):
        equal_forgetting.never_seen_target([0.1], 40)


@pytest.mark.parametrize("start", [0.0, 0.2, 1.0, 3.0, 500.0])
def test_where_the_search_looks_first_does_not_change_what_it_finds(start):
    def curve(step):
        return 1 / (1 + step**2)

    search = {"smallest": 0.1, "factor": 1.5, "largest": 100.0, "tolerance": 0.001}
    plain, moved = (equal_forgetting.first_crossing(curve, 0.5, **search, start=first) for first in (0.0, start))
    assert (moved.step_size, moved.value, moved.reached) == (plain.step_size, plain.value, True)
    looked = len(equal_forgetting.first_crossing(curve, 0.5, **search, start=1.0).evaluated)
    assert looked < len(plain.evaluated) - 3, "the short steps are spared"


def test_first_crossing_takes_the_first_of_two_and_reports_the_unreachable():
    def dips(step):
        return 0.1 if 2 <= step <= 4 or step >= 50 else 0.9

    assert equal_forgetting.first_crossing(dips, 0.5, 0.1, 1.5, 100.0, 0.001).step_size == pytest.approx(2.0, rel=0.01)
    never = equal_forgetting.first_crossing(lambda step: 1 + (step - 3) ** 2, 0.5, 0.1, 1.5, 20.0)
    assert not never.reached and never.step_size == pytest.approx(3, rel=0.3)
    assert equal_forgetting.first_crossing(lambda step: 0.0, 0.5, 0.1, 1.5, 20.0).step_size == 0.1
    with pytest.raises(UserError, match="above 1"):
        equal_forgetting.first_crossing(dips, 0.5, 0.1, 1.0, 20.0)
