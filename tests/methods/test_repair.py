"""Repair, and retraining cut short: against the same steps taken by hand."""

import copy

import pytest
import torch

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.methods.path import apply
from unlearnlib.methods.preconditioned import preconditioned_ascent
from unlearnlib.methods.recorded import recorded_ascent
from unlearnlib.methods.repair import repaired
from unlearnlib.methods.truncated import truncated_retraining
from unlearnlib.training import replay

FORGET = {"text-0", "text-2", "text-6"}


@pytest.fixture
def request_(recorded, make_model, sequences, tmp_path):
    def keep(compute, name=""):
        folder = tmp_path / name
        if not folder.exists():
            folder.mkdir()
            compute(folder)
        return folder

    retain = {name: ids for name, ids in sequences.items() if name not in FORGET}
    return recorded.having(retain=retain, base=make_model(), keep=keep)


def weights(model):
    return torch.cat([value.detach().flatten().clone() for value in model.parameters()])


def at(path, effort):
    with path.at(effort) as model:
        return weights(model)


@pytest.mark.parametrize(("precondition", "ascent"), [(True, preconditioned_ascent), (False, recorded_ascent)])
def test_repair_begins_where_the_step_ends(request_, precondition, ascent):
    path = repaired(request_, precondition=precondition, effort=0.5, learning_rate=1e-12, steps=2, batch_size=2)
    stepped = weights(apply(request_.start, ascent(request_).change(0.5)))
    assert torch.allclose(at(path, 1.0), stepped, atol=1e-9)
    assert torch.equal(at(path, 0.0), weights(request_.start)) and path.stops == (0.0, 1.0, 2.0)


def test_repair_brings_back_the_retained_texts(request_):
    path = repaired(request_, effort=1.0, learning_rate=3e-3, steps=8, every=8, batch_size=5)

    def loss(model):
        tokens, lengths = batches.pad(list(request_.retain.values()))
        with torch.no_grad():
            return float(batches.text_losses(model, tokens, lengths).mean())

    broken = loss(apply(request_.start, preconditioned_ascent(request_).change(1.0)))
    with path.at(8.0) as model:
        assert loss(model) < broken - 0.1
    assert path.seconds(8.0) > 0 and path.seconds(0.0) == 0.0


def test_retraining_cut_short_is_a_training_of_its_own(request_):
    path = truncated_retraining(request_, epochs=[1, 2])
    plan, names = replay.log_of(request_.log).plan, list(request_.retain)
    per_epoch = -(-len(names) // plan.batch_size)
    assert path.stops == (0.0, per_epoch, 2.0 * per_epoch) and path.unit == "optimizer steps"
    model = copy.deepcopy(request_.base)
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    from unlearnlib.training.schedule import epoch_order

    total, warmup = 2 * per_epoch, max(1, round(plan.warmup_fraction * 2 * per_epoch))
    number = 0
    for epoch in range(2):
        order = epoch_order(names, request_.seed, epoch)
        for start in range(0, len(order), plan.batch_size):
            texts = [request_.retain[name] for name in order[start : start + plan.batch_size]]
            losses = []
            for text in texts:  # one plain forward pass a text
                logits = model(torch.tensor([text])).logits[0, :-1]
                losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(text[1:])))
            torch.stack(losses).mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), plan.gradient_clip)
            rate = min((number + 1) / warmup, (total - number) / max(1, total - warmup))
            optimizer.param_groups[0]["lr"] = plan.learning_rate * rate
            optimizer.step()
            optimizer.zero_grad()
            number += 1
    assert torch.allclose(at(path, 2.0 * per_epoch), weights(model), atol=2e-4)
    assert not torch.allclose(at(path, float(per_epoch)), weights(model), atol=2e-3)
    assert path.seconds(2.0 * per_epoch) > 0


@pytest.mark.parametrize("epochs", [[], [0, 1], [2, 1], [1, 1]])
def test_lengths_that_make_no_sense_are_refused(request_, epochs):
    with pytest.raises(UserError, match="give whole numbers that rise, from 1 on"):
        truncated_retraining(request_, epochs=epochs)


def test_without_retained_texts_there_is_nothing_to_train_on(request_):
    with pytest.raises(UserError, match="no texts to retain"):
        truncated_retraining(request_.having(retain={}))
    with pytest.raises(UserError, match="no texts to retain"), repaired(request_.having(retain={})).at(1.0):
        pass
