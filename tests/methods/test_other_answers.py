"""Training on other answers, and DPO: against naive sums in float64."""

import math

import pytest
import torch
from unlearning import FORGET, gradient, loss_of, of_next

from unlearnlib.core.errors import UserError


@pytest.fixture(scope="module")
def replaced(sequences):
    """The texts to forget with other tokens behind the fourth, of another number."""
    return {name: (*sequences[name][:4], 9, 8, 7, *sequences[name][5:]) for name in FORGET}


def mean_nll(model, texts):
    return -sum(of_next(model, ids).mean() for ids in texts) / len(texts)


def test_other_answers_are_trained_in_the_place_of_the_right_ones(asked, other, batch, replaced):
    loss = loss_of("other answers", asked, replacements=replaced, retain_weight=0.5)
    expected = mean_nll(other, replaced.values()) + 0.5 * mean_nll(other, batch[1])
    assert torch.allclose(loss(other, *batch), expected)


def margin(model, batch, replaced):
    """log p of what comes behind the shared beginning, of the replaced text less the text itself."""
    return [
        of_next(model, replaced[name])[3:].sum() - of_next(model, ids)[3:].sum()
        for name, ids in zip(FORGET, batch[0], strict=True)
    ]


@pytest.mark.parametrize("beta", [0.1, 0.6])
def test_dpo_is_log_2_at_the_start_and_its_formula_behind_it(asked, other, batch, replaced, beta):
    loss, start = loss_of("DPO", asked, replacements=replaced, beta=beta), asked.start
    value = loss(start, *batch)
    assert value.item() == pytest.approx(math.log(2))
    wanted = gradient(-beta / 2 * sum(margin(start, batch, replaced)) / len(FORGET), start)
    assert torch.allclose(gradient(value, start), wanted, atol=1e-10), "towards the other answer, away from the text"
    ours, theirs = (margin(model, batch, replaced) for model in (other, start))
    naive = [math.log(1 + math.exp(-beta * (a - b).item())) for a, b in zip(ours, theirs, strict=True)]
    assert loss(other, *batch).item() == pytest.approx(sum(naive) / len(FORGET))


def test_dpo_with_retained_texts_is_on_the_scale_of_npo(asked, other, batch, replaced):
    plain = loss_of("DPO", asked, replacements=replaced, beta=0.3)(other, *batch)
    whole = loss_of("DPO, retaining", asked, replacements=replaced, beta=0.3, retain_weight=2.0)(other, *batch)
    assert torch.allclose(whole, 2 / 0.3 * plain + 2.0 * mean_nll(other, batch[1]))


@pytest.mark.parametrize("name", ["other answers", "DPO", "DPO, retaining"])
def test_without_other_answers_nothing_is_trained(asked, replaced, name):
    with pytest.raises(UserError, match="this method needs other answers: give replacements"):
        loss_of(name, asked)
    with pytest.raises(UserError, match="replacements have no text for 'text-2'"):
        loss_of(name, asked, replacements={"text-0": replaced["text-0"]})
    with pytest.raises(UserError, match="the replacement of 'text-2' is the text itself"):
        loss_of(name, asked, replacements={**replaced, "text-2": tuple(asked.forget["text-2"])})
