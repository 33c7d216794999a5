"""Ascent by training, KL-regularised ascent, NPO, SimNPO, retained texts alone: against naive sums in float64."""

import math

import pytest
import torch
from unlearning import FORGET, captured, gradient, kl, log_p, loss_of, of_next, request_of

from unlearnlib.core.errors import UserError
from unlearnlib.methods.named import METHODS


def mean_nll(model, texts):
    return -sum(of_next(model, ids).mean() for ids in texts) / len(texts)


def test_trained_ascent_descends_along_minus_the_loss_in_one_batch(asked, other, batch):
    loss = loss_of("trained ascent", asked)
    assert torch.allclose(loss(other, *batch), -mean_nll(other, batch[0]))
    with captured("trained ascent") as found:
        METHODS["trained ascent"].path(asked)
    assert found[0][2].batch_size == len(FORGET)


def test_retained_texts_alone_are_all_that_it_sees(asked, other, batch):
    with captured("retained only") as found:
        METHODS["retained only"].path(asked)
    request, loss, _, retain, *_ = found[0]
    assert request.forget == request.retain == retain == asked.retain
    assert torch.allclose(loss(other, *batch), mean_nll(other, batch[1]))


def test_kl_ascent_is_plain_ascent_at_the_start_and_held_back_behind_it(asked, other, batch):
    loss, plain = loss_of("KL ascent", asked, retain_weight=2.0), loss_of("trained ascent", asked)
    start = asked.start
    assert torch.allclose(loss(start, *batch), plain(start, *batch), atol=1e-12)
    assert torch.allclose(gradient(loss(start, *batch), start), gradient(plain(start, *batch), start), atol=1e-12)
    held = sum(kl(log_p(start, ids), log_p(other, ids)) for ids in batch[1]) / len(batch[1])
    assert held > 0.01 and torch.allclose(loss(other, *batch), -mean_nll(other, batch[0]) + 2 * held)
    without = loss_of("KL ascent", asked, retain_weight=0.0)
    assert torch.allclose(without(other, *batch), plain(other, *batch))


@pytest.mark.parametrize("beta", [0.1, 0.7])
def test_npo_begins_as_ascent_on_sums_and_is_its_formula(asked, other, batch, beta):
    loss, start = loss_of("NPO", asked, beta=beta), asked.start
    value = loss(start, *batch)
    assert value.item() == pytest.approx(2 / beta * math.log(2))
    sums = sum(of_next(start, ids).sum() for ids in batch[0]) / len(batch[0])
    assert torch.allclose(gradient(value, start), gradient(sums, start), atol=1e-10), "down with the likelihood"
    ratios = [(of_next(other, ids).sum() - of_next(start, ids).sum()).item() for ids in batch[0]]
    assert min(map(abs, ratios)) > 0.1
    naive = sum(-2 / beta * math.log(1 / (1 + math.exp(beta * ratio))) for ratio in ratios) / len(ratios)
    assert loss(other, *batch).item() == pytest.approx(naive)


def test_npo_with_a_small_beta_is_ascent_all_along_and_with_a_large_one_lets_go(asked, other, batch):
    sums = sum(of_next(other, ids).sum() for ids in batch[0]) / len(batch[0])
    ascent = gradient(sums, other)
    small = gradient(loss_of("NPO", asked, beta=1e-6)(other, *batch), other)
    assert torch.allclose(small, ascent, rtol=1e-4, atol=1e-6)
    unlikely = [list(batch[0][1])]
    drop = (of_next(other, unlikely[0]).sum() - of_next(asked.start, unlikely[0]).sum()).item()
    beta = 2.0
    scale = 2 * math.exp(beta * drop) / (math.exp(beta * drop) + 1)
    mine = gradient(loss_of("NPO", asked, beta=beta)(other, unlikely, batch[1]), other)
    assert torch.allclose(mine, scale * gradient(of_next(other, unlikely[0]).sum(), other), atol=1e-10)


@pytest.mark.parametrize(("plain", "weight"), [("NPO", 1.0), ("SimNPO", 0.1375)])
def test_retained_texts_are_added_to_it(asked, other, batch, plain, weight):
    whole = loss_of(f"{plain}, retaining", asked, retain_weight=3.0)(other, *batch)
    forgets = loss_of(plain, asked)(other, *batch)
    assert torch.allclose(whole, weight * forgets + 3.0 * mean_nll(other, batch[1]))


@pytest.mark.parametrize("margin", [0.0, 1.5])
def test_simnpo_is_its_formula_and_knows_no_reference(asked, other, batch, margin):
    loss, beta = loss_of("SimNPO", asked, beta=2.5, margin=margin), 2.5
    means = [-of_next(other, ids).mean().item() for ids in batch[0]]
    naive = sum(-2 / beta * math.log(1 / (1 + math.exp(margin - beta * mean))) for mean in means) / len(means)
    assert loss(other, *batch).item() == pytest.approx(naive)
    elsewhere = loss_of("SimNPO", request_of(other, {**asked.forget, **asked.retain}), beta=2.5, margin=margin)
    assert torch.equal(elsewhere(other, *batch), loss(other, *batch))
    small = gradient(loss_of("SimNPO", asked, beta=1e-6)(other, *batch), other)
    assert torch.allclose(small, -gradient(mean_nll(other, batch[0]), other), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["trained ascent", "KL ascent", "NPO", "NPO, retaining", "SimNPO"])
def test_the_first_steps_make_the_forget_set_less_likely(make_model, sequences, tmp_path, name):
    request = request_of(make_model(), sequences, tmp_path)
    path = METHODS[name].path(request, steps=2, every=1, learning_rate=1e-3, batch_size=3)
    losses = []
    for effort in path.stops:
        with path.at(effort) as model, torch.no_grad():
            losses.append(float(mean_nll(model, request.forget.values())))
    assert losses[0] < losses[1] < losses[2]


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("NPO", {"beta": -0.1}, "beta -0.1 makes no sense here: give a number above 0"),
        ("SimNPO", {"beta": 0.0}, "beta 0.0 makes no sense here"),
        ("NPO, retaining", {"retain_weight": -1.0}, "retain_weight -1.0 makes no sense here: give a number from 0 on"),
        ("SimNPO, retaining", {"forget_weight": 0.0}, "forget_weight 0.0 makes no sense here"),
        ("KL ascent", {"retain_weight": float("nan")}, "retain_weight nan makes no sense here"),
        ("KL ascent", {"steps": 4}, "4 steps have no stop at their end"),
    ],
)
def test_a_slip_in_a_hyperparameter_is_one_line(asked, name, options, line):
    with pytest.raises(UserError, match=line):
        loss_of(name, asked, **options)
