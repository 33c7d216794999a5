"""Removal by a Newton step: against a dense matrix, and where the damping is all there is."""

import numpy as np
import pytest
import torch
from unlearning import of_next, request_of

from unlearnlib.core.errors import UserError
from unlearnlib.gradients import algebra, per_example
from unlearnlib.influence import curvature
from unlearnlib.influence.inverse import flat, unflat
from unlearnlib.influence.removal import NEWTON
from unlearnlib.methods.present import present_ascent


@pytest.fixture
def asked(make_model, sequences, tmp_path):
    return request_of(make_model().double(), sequences, tmp_path)


def sums(request, selections):
    texts = [request.forget[name] for name in sorted(request.forget)]
    return algebra.select(per_example.sum_gradient(request.start, texts, algebra.parts_of(selections)), selections)


def test_the_step_solves_the_damped_equation_of_the_retained_texts(asked):
    selections, retain = asked.selections("ln_f"), list(asked.retain.values())
    step = NEWTON.path(asked, layers="ln_f", damping=0.05, iterations=200, tolerance=1e-8).change(1.0)
    target = sums(asked, selections)
    size = len(flat(target))
    with curvature.eager_attention(asked.start) as model:
        columns = [
            flat(curvature.gauss_newton_product(model, retain, selections, unflat(column, target)))
            for column in np.eye(size)
        ]
    dense = np.stack(columns, 1)
    largest = np.linalg.eigvalsh(dense).max()
    exact = np.linalg.solve(dense + 0.05 * largest * np.eye(size), flat(target)) / len(retain)
    step = {name: step[name] for name in target}
    assert np.linalg.norm(flat(step) - exact) < 0.05 * np.linalg.norm(exact)  # the eigenvalue is an estimate


def test_it_leads_up_the_forget_loss_and_a_large_damping_leaves_the_gradient(asked, sequences, tmp_path):
    path = NEWTON.path(asked, damping=0.1, iterations=60, tolerance=0.02)
    losses = []
    for effort in (0.0, 0.5):
        with path.at(effort) as model, torch.no_grad():
            losses.append(-sum(of_next(model, ids).mean().item() for ids in asked.forget.values()))
    assert losses[0] < losses[1] and path.unit == "times the change"
    damped = NEWTON.path(request_of(asked.start, sequences, tmp_path / "damped"), damping=1e6)
    plain = present_ascent(asked).change(1.0)
    found = damped.change(1.0)
    assert algebra.dot(found, plain) / algebra.norm(found) > 0.99999


def test_it_changes_nothing_of_the_model_and_sees_what_it_says(asked):
    attention = asked.start.config._attn_implementation
    before = [value.detach().clone() for value in asked.start.parameters()]
    with NEWTON.path(asked, layers="ln_f").at(1.0) as model:
        assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, asked.start.parameters(), strict=True))
    assert asked.start.config._attn_implementation == attention
    with pytest.raises(UserError, match="no texts to retain: there is no curvature"):
        NEWTON.path(asked.having(retain={}))
    with pytest.raises(UserError, match="damping is"):
        NEWTON.path(asked.having(keep=lambda compute, name: compute(None)), layers="ln_f", damping=0.0)
