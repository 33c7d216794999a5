"""Fine-tuning: determinism, the schedule, and training without a text against never having had it."""

import json

import pandas as pd
import pytest
import torch

from unlearnlib.core.errors import UserError
from unlearnlib.gradients.record import Recorder
from unlearnlib.training import storage
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.schedule import Plan, epoch_order, schedule

PLAN = Plan(epochs=3, batch_size=3, learning_rate=5e-3)


def lengths_of(sequences):
    return {name: len(ids) for name, ids in sequences.items()}


def train(make_model, sequences, removed=(), recorder=None, plan=PLAN, texts=None):
    model = make_model()
    steps = schedule(lengths_of(sequences), plan, seed=2)
    result = fine_tune(model, sequences if texts is None else texts, steps, plan, removed, recorder)
    return model, result


def same(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_same_seed_gives_bitwise_the_same_model_recorded_or_not(make_model, sequences):
    first, _ = train(make_model, sequences)
    again, _ = train(make_model, sequences)
    recorded, _ = train(make_model, sequences, recorder=Recorder(["text-0", "text-5"]))
    assert same(first, again)
    assert same(first, recorded), "recording must not disturb training"
    assert not same(first, make_model())


def test_the_schedule_visits_every_text_once_an_epoch_in_a_new_order(sequences):
    steps = schedule(lengths_of(sequences), PLAN, seed=2)
    orders = [[name for step in steps if step.epoch == epoch for name in step.ids] for epoch in range(PLAN.epochs)]
    assert all(sorted(order) == sorted(sequences) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert orders != [epoch_order(sequences, 3, epoch) for epoch in range(PLAN.epochs)]
    rates = [step.learning_rate for step in steps]
    assert max(rates) == pytest.approx(PLAN.learning_rate) and 0 < rates[-1] < rates[len(rates) // 2]


def test_order_of_the_remaining_texts_does_not_depend_on_the_others(sequences):
    fewer = [name for name in sequences if name != "text-3"]
    full = [name for name in epoch_order(sequences, 2, 1) if name != "text-3"]
    assert full == epoch_order(fewer, 2, 1)


def test_a_removed_text_is_never_read_and_leaves_no_trace(make_model, sequences):
    removed = {"text-1", "text-4"}
    rest = {name: ids for name, ids in sequences.items() if name not in removed}
    without, result = train(make_model, sequences, removed=removed, texts=rest)
    nonsense = {**rest, "text-1": [0, 9, 9], "text-4": [0, 1]}
    with_nonsense, other = train(make_model, sequences, removed=removed, texts=nonsense)
    assert same(without, with_nonsense)
    state = [result.optimizer.state[value] for value in without.parameters()]
    other_state = [other.optimizer.state[value] for value in with_nonsense.parameters()]
    assert all(torch.equal(a["exp_avg_sq"], b["exp_avg_sq"]) for a, b in zip(state, other_state, strict=True))
    assert not same(without, train(make_model, sequences)[0])


def test_the_loss_is_the_mean_over_the_texts_that_are_left(make_model, sequences):
    plan = Plan(epochs=1, batch_size=8, learning_rate=1e-3)
    removed = {"text-2"}
    _, result = train(make_model, sequences, removed=removed, plan=plan)
    model, losses = make_model(), []
    for name, ids in sequences.items():
        if name not in removed:
            tokens = torch.tensor([ids])
            logits = model(tokens).logits[0, :-1]
            losses.append(torch.nn.functional.cross_entropy(logits, tokens[0, 1:]).item())
    assert result.log["loss"].iloc[0] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert result.log["texts"].iloc[0] == 7


def test_a_step_with_no_text_left_skips_the_optimizer_and_its_counter(make_model, sequences):
    plan = Plan(epochs=1, batch_size=2, learning_rate=1e-3)
    steps = schedule(lengths_of(sequences), plan, seed=2)
    model, result = train(make_model, sequences, removed=set(steps[1].ids), plan=plan)
    assert len(result.log) == len(steps) - 1 and 1 not in set(result.log["step"])
    counters = {int(result.optimizer.state[value]["step"]) for value in model.parameters()}
    assert counters == {len(steps) - 1}


def test_what_is_saved_can_be_loaded_and_the_log_names_every_slot(make_model, sequences, tmp_path):
    steps = schedule(lengths_of(sequences), PLAN, seed=2)
    model, result = train(make_model, sequences)
    storage.save(tmp_path, model, result, steps, PLAN, seed=2)
    fresh = make_model(seed=9)
    storage.load_weights(fresh, tmp_path)
    assert same(fresh, model)
    moments = storage.second_moments(tmp_path)
    assert set(moments) == {name for name, _ in model.named_parameters()}
    assert all((value >= 0).all() for value in moments.values())
    written = json.loads((tmp_path / "schedule.json").read_text())
    assert [tuple(step["ids"]) for step in written["steps"]] == [step.ids for step in steps]
    assert len(pd.read_csv(tmp_path / "log.csv")) == len(steps)
    with pytest.raises(UserError, match="another model"):
        storage.load_weights(make_model(blocks=2), tmp_path)


def test_wrong_input_is_one_clear_line(make_model, sequences):
    with pytest.raises(UserError, match="no text for 'text-4'"):
        train(make_model, sequences, texts={name: ids for name, ids in sequences.items() if name != "text-4"})
    with pytest.raises(UserError, match="lower learning_rate"):
        train(make_model, sequences, plan=Plan(3, 3, 1e30, gradient_clip=0.0))
    with pytest.raises(UserError, match="empty"):
        schedule({}, PLAN, seed=0)
