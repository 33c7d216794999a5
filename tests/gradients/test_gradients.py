"""Recorded gradients against a naive loop of autograd, layer by layer."""

import pytest
import torch
from families import WPE, WTE, naive, relative_error

from unlearnlib.core.errors import UserError
from unlearnlib.gradients import algebra, per_example
from unlearnlib.gradients.record import Record, Recorder
from unlearnlib.gradients.rules import densify
from unlearnlib.models.layers import layer_names, resolve
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.schedule import Plan, schedule


def test_every_layer_of_every_text_equals_the_naive_loop(make_model, sequences):
    model = make_model().double()
    texts = list(sequences.values())
    everything = resolve(model, "all")
    for ids, gradient in zip(texts, per_example.per_example_gradients(model, texts), strict=True):
        mine, expected = algebra.select(gradient, everything), naive(model, ids)
        assert mine.keys() == expected.keys()
        for name in expected:
            assert relative_error(mine[name], expected[name]) < 1e-10, name


def test_the_halves_of_the_tied_embedding_equal_those_of_an_untied_copy(make_model, sequences):
    model = make_model().double()
    ids = sequences["text-1"]
    (mine,) = per_example.per_example_gradients(model, [ids])
    untied = make_model().double()
    untied.lm_head.weight = torch.nn.Parameter(untied.transformer.wte.weight.detach().clone())
    tokens = torch.tensor([ids])
    logits = untied.lm_head(untied.transformer(tokens).last_hidden_state)
    loss = torch.nn.functional.cross_entropy(logits[0, :-1], tokens[0, 1:])
    halves = torch.autograd.grad(loss, [untied.transformer.wte.weight, untied.lm_head.weight])
    for half, expected in zip(("input", "output"), halves, strict=True):
        assert relative_error(mine[f"{WTE}#{half}"], expected) < 1e-10


@pytest.mark.parametrize("layers", ["embedding", "input_embedding", "position_embedding", "h.1", "h.0+h.2", "ln_f"])
def test_asking_for_some_layers_gives_the_same_and_nothing_else(make_model, sequences, layers):
    model = make_model().double()
    texts = list(sequences.values())
    chosen = resolve(model, layers)
    total = algebra.select(per_example.sum_gradient(model, texts, algebra.parts_of(chosen), batch_size=3), chosen)
    expected = [algebra.select(one, chosen) for one in per_example.per_example_gradients(model, texts)]
    assert set(total) == set(chosen)
    for name in chosen:
        assert relative_error(total[name], sum(one[name] for one in expected)) < 1e-10


def test_a_model_too_large_for_all_texts_at_once_gives_every_text_its_own_gradient(make_model, sequences):
    model = make_model(blocks=2, width=512)
    texts = list(sequences.values())[:5]
    assert 1 < 2**24 // sum(value.numel() for value in model.parameters()) < 5
    everything = resolve(model, "all")
    found = [algebra.select(one, everything) for one in per_example.per_example_gradients(model, texts)]
    assert len(found) == 5
    for ids, mine in zip(texts, found, strict=True):
        expected = naive(model, ids)
        assert algebra.norm({name: mine[name] - expected[name] for name in mine}) < 1e-5 * algebra.norm(expected)


def test_float32_stays_within_the_bar_of_1e_5(make_model, sequences):
    model = make_model()
    for ids, gradient in zip(
        sequences.values(), per_example.per_example_gradients(model, list(sequences.values())), strict=True
    ):
        mine, expected = algebra.select(gradient, resolve(model, "all")), naive(model, ids)
        difference = algebra.norm({name: mine[name] - expected[name] for name in expected})
        assert difference < 1e-5 * algebra.norm(expected)


@pytest.fixture(scope="module")
def recorded(make_model, sequences, tmp_path_factory):
    """Fine-tune a small model, recording four of its eight texts."""
    points = ["text-0", "text-3", "text-4", "text-6"]
    plan = Plan(epochs=2, batch_size=3, learning_rate=1e-2, gradient_clip=0.1)
    steps = schedule({name: len(ids) for name, ids in sequences.items()}, plan, seed=4)
    model = make_model()
    recorder = Recorder(points)
    fine_tune(model, sequences, steps, plan, recorder=recorder)
    folder = tmp_path_factory.mktemp("record")
    recorder.save(folder)
    return model, Record(folder), points, steps


def test_first_step_records_the_gradient_at_the_base_model_unclipped_and_undivided(recorded, make_model, sequences):
    _, record, points, steps = recorded
    base = make_model()
    everything = resolve(base, "all")
    seen = [name for name in steps[0].ids if name in points]
    assert seen, "the schedule of this seed should put a point into the first step"
    for name in seen:
        stored = algebra.select(densify(base, record.factors(name)), everything)
        expected = naive(base, sequences[name])
        for part in expected:
            assert relative_error(stored[part], expected[part]) < 1e-5, part


def test_sum_of_the_first_epoch_equals_the_sum_of_its_points(recorded):
    model, record, points, _ = recorded
    everything = resolve(model, "all")
    from_sum = record.total(everything, "first")
    from_points = record.subset(model, points, everything)
    for name in from_sum:
        assert relative_error(from_points[name], from_sum[name]) < 1e-5, name


def test_a_removed_point_is_not_recorded_and_the_others_are_those_of_the_smaller_batch(make_model, sequences, tmp_path):
    points, removed = ["text-0", "text-3", "text-4"], {"text-3"}
    plan = Plan(epochs=1, batch_size=8, learning_rate=1e-2)
    steps = schedule({name: len(ids) for name, ids in sequences.items()}, plan, seed=4)
    recorder = Recorder(points)
    fine_tune(make_model(), sequences, steps, plan, removed=removed, recorder=recorder)
    recorder.save(tmp_path)
    record, base = Record(tmp_path), make_model()
    assert record.points() == ["text-0", "text-4"]
    expected = {name: sum(naive(base, sequences[point])[name] for point in record.points()) for name in (WTE, WPE)}
    total = record.total({name: resolve(base, "all")[name] for name in expected})
    assert all(relative_error(total[name], expected[name]) < 1e-5 for name in expected)


def test_epochs_add_up_and_unknown_ones_are_refused(recorded):
    model, record, _, _ = recorded
    embedding = resolve(model, "embedding")
    both = record.total(embedding, "all")[WTE]
    each = [record.total(embedding, [epoch])[WTE] for epoch in record.epochs()]
    assert torch.allclose(both, each[0] + each[1], atol=1e-6)
    assert not torch.allclose(each[0], each[1], atol=1e-3)
    with pytest.raises(UserError, match="first, last, all"):
        record.total(embedding, [7])
    with pytest.raises(UserError, match="text-1"):
        record.factors("text-1")
    with pytest.raises(UserError, match="empty set"):
        record.subset(model, [], embedding)


def test_factors_are_smaller_than_the_dense_gradient_at_the_dimensions_of_gpt2():
    # T (d_in + d_out) numbers a linear layer, counted from the shapes of GPT-2 124M; 20-token texts.
    width, vocabulary, tokens, blocks = 768, 50257, 20, 12
    block = (width + 3 * width) + (width + width) + (width + 4 * width) + (4 * width + width) + 4 * width / tokens
    stored = tokens * (blocks * block + (vocabulary + width) + width)
    assert stored < 124_439_808 / 20


def test_masked_rows_and_missing_or_broken_gradients(make_model, sequences):
    model = make_model()
    total = per_example.sum_gradient(model, list(sequences.values()))
    names, rest = (
        algebra.select(total, resolve(model, layers, name_rows=[3, 5]))[WTE]
        for layers in ("name_rows", "embedding_without_name_rows")
    )
    whole = algebra.select(total, resolve(model, "embedding"))[WTE]
    assert torch.equal(names + rest, whole)
    assert names[[3, 5]].abs().sum() > 0 and rest[[3, 5]].abs().sum() == 0
    with pytest.raises(UserError, match=r"no gradient was recorded for transformer\.h\.1"):
        algebra.select({WTE: whole}, resolve(model, "h.1"))
    broken = {part: value.clone() for part, value in total.items()}
    broken[f"{WTE}#input"][0, 0] = float("nan")
    with pytest.raises(UserError, match="NaN"):
        algebra.select(broken, resolve(model, "embedding"))


def test_unknown_layers_name_the_nearest(make_model):
    model = make_model()
    with pytest.raises(UserError, match="did you mean 'embedding'"):
        resolve(model, "embeding")
    with pytest.raises(UserError, match=r"no layer 'h\.11'"):
        resolve(model, "h.11")
    with pytest.raises(UserError, match="twice"):
        resolve(model, "embedding+input_embedding")
    with pytest.raises(UserError, match="token ids of a name"):
        resolve(model, "name_rows")
    covered = [name for layer in layer_names(model)[:6] for name in resolve(model, layer)]
    assert sorted(covered) == sorted(name for name, _ in model.named_parameters())
