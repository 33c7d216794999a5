"""A training taken once more: what it shows, against a plain loop and against sums that are known."""

import math
import shutil

import pytest
import torch
from families import WTE

from unlearnlib.core.errors import UserError
from unlearnlib.gradients.record import Record, Recorder
from unlearnlib.models.layers import resolve
from unlearnlib.training import replay
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.watch import watch

OWN, OTHERS = ["text-0", "text-2", "text-6"], ["text-1", "text-4"]


def watched(recorded, make_model, sequences, folder, points=OWN, limit=None):
    return watch(recorded.log, make_model(), sequences, points, OTHERS, folder, limit=limit)


def parameters(model):
    return {name: value.detach() for name, value in model.named_parameters()}


def told(found) -> dict[str, torch.Tensor]:
    """Which entries have a gradient. That of a key's bias is zero but for rounding, and AdamW divides it by its own
    size: what comes out is as large as any other step, and says nothing."""
    return {name: value > 1e-13 for name, value in found.second_moments().items()}


def test_the_shares_of_all_texts_are_everything_that_training_did(recorded, make_model, sequences, tmp_path):
    found = watched(recorded, make_model, sequences, tmp_path, points=list(sequences))
    back, base = found.taken_back(resolve(recorded.start, "all")), parameters(make_model())
    for name, value in parameters(recorded.start).items():
        assert torch.allclose(value + back[name], base[name], rtol=0, atol=2e-6), name
        assert float((value - base[name]).abs().max()) > 1e-3, "the training has moved it"


def test_the_shares_of_two_groups_add_up(recorded, make_model, sequences, tmp_path):
    rest, selections = [name for name in sequences if name not in OWN], resolve(recorded.start, "all")
    parts = []
    for number, points in enumerate((OWN, rest, list(sequences))):
        (tmp_path / str(number)).mkdir()
        found = watched(recorded, make_model, sequences, tmp_path / str(number), points, limit=math.inf)
        parts.append([found.taken_back(selections, until) for until in ("first", "all")])
    own, others, everyone = parts
    for one, other, both in zip(own, others, everyone, strict=True):
        for name, known in told(found).items():
            size = one[name].abs() + other[name].abs()
            wrong = (one[name] + other[name] - both[name]).abs() > 1e-3 * size + 1e-5
            assert wrong[known].double().mean() < 0.01 and known.double().mean() > 0.2, name
            assert float(one[name].abs().max()) > 1e-4


def test_the_shares_are_what_a_plain_loop_adds_up(recorded, make_model, sequences, tmp_path):
    """AdamW by hand in double precision, text by text, with the mean of the own texts' gradients kept beside the whole;
    batches are clipped, which the longer gradient of the first steps makes felt."""
    log = replay.log_of(recorded.log)
    model = make_model().double()
    values = dict(model.named_parameters())
    whole, own, squares, back = ({name: torch.zeros_like(v) for name, v in values.items()} for _ in range(4))
    first, clipped, longest = None, 0, 0.0
    for count, step in enumerate(log.steps, 1):
        sums = {part: {name: torch.zeros_like(v) for name, v in values.items()} for part in ("all", "own")}
        for text in step.ids:
            tokens = torch.tensor([sequences[text]])
            loss = torch.nn.functional.cross_entropy(model(tokens).logits[0, :-1], tokens[0, 1:])
            for name, gradient in zip(values, torch.autograd.grad(loss, list(values.values())), strict=True):
                for part in ("all", *(["own"] if text in OWN else [])):
                    sums[part][name] += gradient / len(step.ids)
        norm = torch.sqrt(sum(value.pow(2).sum() for value in sums["all"].values()))
        scale, clipped = min(1.0, 1.0 / (float(norm) + 1e-6)), clipped + (float(norm) > 1)
        with torch.no_grad():
            for name, value in values.items():
                whole[name] = 0.9 * whole[name] + 0.1 * scale * sums["all"][name]
                own[name] = 0.9 * own[name] + 0.1 * scale * sums["own"][name]
                squares[name] = 0.999 * squares[name] + 0.001 * (scale * sums["all"][name]) ** 2
                root = (squares[name] / (1 - 0.999**count)).sqrt() + 1e-8
                value -= step.learning_rate * whole[name] / (1 - 0.9**count) / root
                share = own[name] / (1 - 0.9**count) / root
                longest = max(longest, float(share.abs().max()))
                back[name] += step.learning_rate * share.clamp(-0.1 / 0.001**0.5, 0.1 / 0.001**0.5)
        if step.epoch == 0:
            first = {name: value.clone() for name, value in back.items()}
            moments = {name: value.clone() for name, value in squares.items()}
    assert clipped > 0 and longest > 10, "some texts pull against each other"
    found, selections = watched(recorded, make_model, sequences, tmp_path), resolve(recorded.start, "all")
    for until, expected in (("first", first), ("all", back)):
        for name, value in found.taken_back(selections, until).items():
            known = told(found)[name]
            wrong = (value - expected[name]).abs() > 1e-2 * expected[name].abs() + 1e-5
            assert wrong[known].double().mean() < 0.03, (until, name)
    for name, value in found.second_moments().items():
        assert torch.allclose(value.double(), moments[name], rtol=1e-3, atol=1e-12), name


def test_the_gradients_of_others_are_those_that_a_recorder_has(recorded, make_model, sequences, tmp_path):
    log, recorder, model = replay.log_of(recorded.log), Recorder(OTHERS, (), joined_from=1), make_model()
    fine_tune(model, sequences, log.steps, log.plan, recorder=recorder)
    for folder in ("recorded", "watched"):
        (tmp_path / folder).mkdir()
    recorder.save(tmp_path / "recorded")
    found, known = watched(recorded, make_model, sequences, tmp_path / "watched").others, Record(tmp_path / "recorded")
    assert found.everyone() == set(OTHERS) and found.epochs() == known.epochs() == [0, 1]
    for layers, epochs in (("all", "all"), ("embedding", "first")):
        one, other = (record.total(resolve(model, layers), epochs) for record in (found, known))
        for name, value in one.items():
            assert torch.allclose(value, other[name], rtol=1e-4, atol=1e-6), name


def test_what_was_added_to_one_use_of_the_embedding_is_not_told(recorded, make_model, sequences, tmp_path):
    found = watched(recorded, make_model, sequences, tmp_path)
    with pytest.raises(UserError, match="is not known by its uses: name the whole embedding"):
        found.taken_back(resolve(recorded.start, "input_embedding"))
    rows = found.taken_back(resolve(recorded.start, "name_rows", (3, 5)))[WTE]
    assert rows.abs().sum(1).nonzero()[:, 0].tolist() == [3, 5]


def test_a_training_that_cannot_be_taken_again_is_one_line(recorded, make_model, sequences, tmp_path):
    shutil.copytree(recorded.log, tmp_path / "other", dirs_exist_ok=True)
    (tmp_path / "found").mkdir()
    with pytest.raises(UserError, match="ends with other weights"):
        watch(tmp_path / "other", make_model(seed=1), sequences, OWN, OTHERS, tmp_path / "found")
