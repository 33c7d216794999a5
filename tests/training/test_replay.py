"""A replay without some texts is the training without them, bit by bit."""

import json

import pytest
import torch

from unlearnlib.core.errors import UserError
from unlearnlib.training import replay, storage
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.schedule import Plan, last_of_epochs, staged

PLAN = Plan(epochs=2, batch_size=3, learning_rate=1e-3)


def stages(sequences, second=()):
    """Return the lengths of the texts of each stage: one, or two where some texts come in the `second`."""
    lengths = {name: len(ids) for name, ids in sequences.items()}
    first = {name: length for name, length in lengths.items() if name not in second}
    return [first, {name: lengths[name] for name in second}] if second else [first]


def trained(make_model, sequences, folder, removed=(), second=(), every=1, plan=PLAN):
    """Train with or without texts, as a job does, keep every state, and return the model and its optimizer's state."""
    steps = staged(stages(sequences, second), plan, seed=2)
    texts = {name: ids for name, ids in sequences.items() if name not in removed}
    model = make_model()
    folder.mkdir()

    def after_step(step, optimizer):
        if (step.step + 1) % every == 0:
            storage.save_state(folder, model, optimizer, step.step)

    result = fine_tune(model, texts, steps, plan, removed, after_step=after_step)
    storage.save(folder, model, result, steps, plan, seed=2, removed=removed)
    return model, result.optimizer


def everything(model, optimizer):
    parameters = {f"parameter|{name}": value.detach() for name, value in model.named_parameters()}
    return {**parameters, **storage.optimizer_state(model, optimizer)}


def assert_bitwise_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("removed", "second"),
    [
        (["text-3"], ()),
        (["text-1", "text-6"], ()),
        ([f"text-{index}" for index in range(8)], ()),
        (["text-5", "text-7"], ("text-4", "text-5", "text-6", "text-7")),
    ],
    ids=["one", "two", "all", "late"],
)
def test_replay_equals_retraining_in_every_tensor(make_model, sequences, tmp_path, removed, second):
    trained(make_model, sequences, tmp_path / "with", second=second)
    retrained = everything(*trained(make_model, sequences, tmp_path / "without", removed, second))
    rest = {name: ids for name, ids in sequences.items() if name not in removed}
    model = make_model()
    replayed = replay.replay(tmp_path / "with", model, rest, removed)
    assert_bitwise_equal(everything(model, replayed.optimizer), retrained)
    assert replayed.manifest["sha256 after"] == replay.stored_digest(tmp_path / "without")
    assert replayed.manifest["sha256 before"] == replay.stored_digest(tmp_path / "with")
    assert replayed.manifest["sha256 before"] != replayed.manifest["sha256 after"]


def test_a_replay_starts_at_the_last_state_before_the_first_use(make_model, sequences, tmp_path):
    steps = staged(stages(sequences), PLAN, seed=2)
    late = steps[2].ids[-1]
    trained(make_model, sequences, tmp_path / "with", every=2)
    model = make_model()
    rest = {name: ids for name, ids in sequences.items() if name != late}
    manifest = replay.replay(tmp_path / "with", model, rest, [late]).manifest
    assert manifest["first step that held a removed text"] == 2 and manifest["resumed after step"] == 1
    assert manifest["steps replayed"] == len(steps) - 2 and manifest["steps in the log"] == len(steps)
    retrained, optimizer = trained(make_model, sequences, tmp_path / "without", [late])
    assert manifest["sha256 after"] == replay.digest(retrained, optimizer)
    json.dumps(manifest)


def test_a_batch_with_no_survivor_is_skipped_by_both(make_model, sequences, tmp_path):
    steps = staged(stages(sequences), PLAN, seed=2)
    removed = list(steps[1].ids)
    trained(make_model, sequences, tmp_path / "with")
    retrained = everything(*trained(make_model, sequences, tmp_path / "without", removed))
    model = make_model()
    rest = {name: ids for name, ids in sequences.items() if name not in removed}
    replayed = replay.replay(tmp_path / "with", model, rest, removed)
    assert_bitwise_equal(everything(model, replayed.optimizer), retrained)
    counters = {int(value) for name, value in retrained.items() if name.startswith("step|")}
    assert counters == {sum(not set(step.ids) <= set(removed) for step in steps)} and counters != {len(steps)}


def test_removing_in_two_requests_equals_removing_at_once(make_model, sequences, tmp_path):
    trained(make_model, sequences, tmp_path / "first", ["text-1"])
    both = everything(*trained(make_model, sequences, tmp_path / "both", ["text-1", "text-2"]))
    model = make_model()
    rest = {name: ids for name, ids in sequences.items() if name not in ("text-1", "text-2")}
    replayed = replay.replay(tmp_path / "first", model, rest, ["text-2"])
    assert_bitwise_equal(everything(model, replayed.optimizer), both)


def test_a_digest_sees_one_changed_bit(make_model):
    model = make_model()
    before = replay.digest(model)
    assert before == replay.digest(make_model()) and set(before) == {"parameters"}
    with torch.no_grad():
        value = next(model.parameters())
        value.view(-1)[0] = torch.nextafter(value.view(-1)[0], torch.tensor(9.0))
    assert replay.digest(model) != before


def test_savings_count_the_steps_before_the_last_state(sequences):
    steps = staged(stages(sequences), PLAN, seed=2)
    table = replay.savings(steps, [0, 1], list(sequences)).set_index("point")
    for point in sequences:
        first = min(step.step for step in steps if point in step.ids)
        assert table.loc[point, "first_step"] == first
        assert table.loc[point, "saved"] == pytest.approx(min(first, 2) / len(steps))
    assert table["saved"].max() > 0


def test_stages_are_numbered_on_and_warm_up_anew(sequences):
    second = ("text-4", "text-5", "text-6", "text-7")
    steps = staged(stages(sequences, second), PLAN, seed=2)
    assert [step.step for step in steps] == list(range(len(steps)))
    assert sorted({step.epoch for step in steps}) == [0, 1, 2, 3]
    assert all((step.epoch >= 2) == bool(set(step.ids) & set(second)) for step in steps)
    start = min(step.step for step in steps if step.epoch == 2)
    assert steps[start].learning_rate > steps[start - 1].learning_rate
    assert last_of_epochs(steps)[1] == start - 1


def test_wrong_input_is_one_clear_line(make_model, sequences, tmp_path):
    trained(make_model, sequences, tmp_path / "with")
    with pytest.raises(UserError, match="knows no text 'text-33': did you mean 'text-3'"):
        replay.replay(tmp_path / "with", make_model(), sequences, ["text-33"])
    with pytest.raises(UserError, match="nothing to remove"):
        replay.replay(tmp_path / "with", make_model(), sequences, [])
    with pytest.raises(UserError, match="no training log in elsewhere"):
        replay.replay(tmp_path / "elsewhere", make_model(), sequences, ["text-3"])
    (tmp_path / "with" / "schedule.json").write_text("{")
    with pytest.raises(UserError, match="no training log in with"):
        replay.log_of(tmp_path / "with")
