"""Layers put in to forget, and samples read behind a token: against naive sums in float64."""

import copy

import pytest
import torch
from unlearning import captured, gradient, kl, log_p, loss_of, of_next, request_of

from unlearnlib.core.errors import UserError
from unlearnlib.methods import quark, unlearning_layers
from unlearnlib.methods.named import METHODS
from unlearnlib.methods.quark import Pool, Sample


def mean_nll(model, texts):
    return -sum(of_next(model, ids).mean() for ids in texts) / len(texts)


# Unlearning layers


def with_layers(asked, rank=4, drawn=False):
    names = unlearning_layers.places(asked.start)
    model = unlearning_layers.with_layers(asked.start, names, rank, 7)
    if drawn:
        generator = torch.Generator().manual_seed(1)
        for name, value in model.named_parameters():
            if name.endswith(".up"):
                value.data = 0.3 * torch.randn(value.shape, generator=generator).to(value)
    return model, names


def test_at_the_start_only_the_plain_losses_have_a_slope_and_only_in_up(asked, batch):
    model, names = with_layers(asked)
    assert len(names) == 3 and all(name.endswith("mlp.c_proj") for name in names), "behind every feed-forward part"
    torch.testing.assert_close(log_p(model, batch[0][0]), log_p(asked.start, batch[0][0]))
    loss = loss_of("unlearning layers", asked, rank=4)
    value = loss(model, *batch)
    plain = mean_nll(model, batch[1]) - 0.2 * mean_nll(model, batch[0])
    assert torch.allclose(value, plain)
    own = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
    assert {name.rpartition(".")[2] for name, _ in own} == {"up", "down"}
    slopes = torch.autograd.grad(value, [one for _, one in own], retain_graph=True)
    expected = torch.autograd.grad(plain, [one for _, one in own])
    for (name, _), found, wanted in zip(own, slopes, expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-10, rtol=1e-6)
        assert (found.abs().max() > 1e-8) == name.endswith(".up"), "V has no slope while U is zero"


def test_its_loss_is_its_formula(asked, other, batch):
    weights = {"keep_weight": 0.7, "task_weight": 0.5, "forget_weight": 0.3}
    far = [sum(kl(log_p(asked.start, ids), log_p(other, ids)) for ids in texts) / len(texts) for texts in batch]
    expected = 0.7 * far[1] - far[0] + 0.5 * mean_nll(other, batch[1]) - 0.3 * mean_nll(other, batch[0])
    assert torch.allclose(loss_of("unlearning layers", asked, rank=4, **weights)(other, *batch), expected)


def test_a_layer_is_h_plus_uvh_and_merging_changes_nothing_that_is_said(asked, batch):
    model, names = with_layers(asked, drawn=True)
    seen = {}
    handle = asked.start.get_submodule(names[0]).register_forward_hook(lambda m, i, o: seen.update(plain=o, into=i[0]))
    asked.start(torch.tensor([batch[0][0]]))
    handle.remove()
    module = model.get_submodule(names[0])
    behind = module.parametrizations.weight[0]
    h = seen["plain"]
    expected = h + (h @ behind.down.T) @ behind.up.T
    torch.testing.assert_close(module(seen["into"]), expected)
    flat = unlearning_layers.merged(model, asked.start, names)
    torch.testing.assert_close(log_p(flat, batch[0][0]), log_p(model, batch[0][0]))
    change = flat.get_submodule(names[0]).weight - asked.start.get_submodule(names[0]).weight
    assert 0 < torch.linalg.matrix_rank(change) <= 4
    assert any(name.endswith(".up") for name, _ in model.named_parameters()), "the model goes on with its layers"


def test_a_stop_is_a_change_of_those_layers_alone(make_model, sequences, tmp_path):
    request = request_of(make_model(), sequences, tmp_path)
    path = METHODS["unlearning layers"].path(request, rank=4, steps=18, every=9, batch_size=3, learning_rate=1e-2)
    before = {name: value.detach().clone() for name, value in request.start.named_parameters()}
    texts = list(request.forget.values())
    start = mean_nll(request.start, texts).item()
    with path.at(18.0) as model:
        moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
        assert mean_nll(model, texts).item() > start + 0.05
    names = unlearning_layers.places(request.start)
    assert moved == {f"{name}.{part}" for name in names for part in ("weight", "bias")}


def test_slips_of_unlearning_layers_are_one_line(asked):
    with pytest.raises(UserError, match="unlearning layers of rank 0: give a whole number from 1 to 32"):
        loss_of("unlearning layers", asked, rank=0)
    with pytest.raises(UserError, match=r"task_weight -1\.0 makes no sense"):
        loss_of("unlearning layers", asked, rank=4, task_weight=-1.0)


# Quark


def test_a_sample_is_better_the_less_of_the_text_it_has():
    assert quark.reward([1, 2, 3], [1, 2, 3]) == 0 and quark.reward([4, 5, 6], [1, 2, 3]) == 1
    assert quark.reward([3, 3, 3], [1, 2, 3]) == pytest.approx(2 / 3), "once there, once found"


def test_tokens_are_ones_that_no_text_uses(asked):
    tokens = quark.tokens_of(asked, 3)
    used = {token for texts in (asked.forget, asked.retain) for text in texts.values() for token in text}
    assert len(set(tokens)) == 3 and not set(tokens) & used
    with pytest.raises(UserError, match="1 quantiles tell nothing apart"):
        quark.tokens_of(asked, 1)
    with pytest.raises(UserError, match="tokens that no text uses: 97 quantiles need one each"):
        quark.tokens_of(asked, 97)


def test_the_pool_parts_rewards_into_quantiles_and_equal_ones_alike():
    pool = Pool([90, 91], 1.0)
    rewards = [0.0, 0.0, 0.5, 1.0]
    pool.samples = {(0, row): [Sample((0,), (1,), reward)] for row, reward in enumerate(rewards)}
    assert [pool.token(of[0]) for of in pool.samples.values()] == [91, 91, 90, 90]
    pool.samples = {(0, row): [Sample((0,), (1,), 0.3)] for row in range(4)}
    assert len({pool.token(of[0]) for of in pool.samples.values()}) == 1
    rewards = [0.0, 0.0, 0.0, 0.5, 1.0]
    pool.samples = {(0, row): [Sample((0,), (1,), reward)] for row, reward in enumerate(rewards)}
    assert [pool.token(of[0]) for of in pool.samples.values()] == [91, 91, 91, 90, 90], (
        "the text itself is not the best"
    )


def test_the_pool_writes_from_the_models_distribution_behind_the_best_token(make_model):
    model = make_model()
    text = [0, 5, 9, 7]
    for fresh, given in ((True, [0, 5]), (False, [0, 90, 5])):
        pool = Pool([90, 91], 2.0)
        pool.begin(0)
        for _ in range(300):
            pool.write(model, [text], fresh)
        firsts = torch.tensor([sample.written[0] for sample in pool.samples[tuple(text)]])
        with torch.no_grad():
            p = (model(torch.tensor([given])).logits[0, -1] / 2.0).softmax(0)
        top = int(p.argmax())
        assert float((firsts == top).double().mean()) == pytest.approx(float(p[top]), abs=0.05)
        assert all(len(sample.written) == 2 and sample.prompt == (0, 5) for sample in pool.samples[tuple(text)])


def test_its_loss_is_its_formula_sample_by_sample(asked, other, batch):
    drawn = [(90, Sample((0, 5), (7, 8, 9), 0.5)), (91, Sample((0,), (3,), 0.1))]
    expected = torch.zeros(3, dtype=torch.float64)
    for token, sample in drawn:
        own = log_p(other, [0, token, *sample.prompt[1:], *sample.written])[len(sample.prompt) :]
        theirs = log_p(asked.start, [*sample.prompt, *sample.written])[len(sample.prompt) - 1 :]
        assert len(own) == len(theirs) == len(sample.written)
        nll = -sum(own[place, one] for place, one in enumerate(sample.written)) / len(sample.written)
        entropy = -(own.exp() * own).sum(1).mean()
        expected += torch.stack([nll, kl(own, theirs), entropy]) / 2
    for found, wanted in zip(quark.of_samples(other, asked.start, drawn), expected, strict=True):
        assert torch.allclose(found, wanted)
    held = sum(kl(log_p(asked.start, ids), log_p(other, ids)) for ids in batch[1]) / len(batch[1])
    options = {"kl_weight": 0.4, "entropy_weight": 0.2, "temperature": 1.3}
    with captured("Quark") as found:
        METHODS["Quark"].path(asked, retain_weight=2.0, **options)
        METHODS["Quark"].path(asked, retain_weight=0.0, **options)
    values = []
    for one in found:
        one[4]()  # a training begins
        values.append(one[1](other, *batch))
    assert torch.allclose(values[0] - values[1], 2 * held), "the same samples, and what is held on retained texts"


def test_a_model_that_is_asked_with_the_token_lets_go_of_the_texts(make_model, sequences, tmp_path):
    from unlearnlib.methods.trained import Steps, further_trained

    known = request_of(make_model(), sequences, tmp_path / "first")
    start = further_trained(known.start, {**known.forget, **known.retain}, Steps(150, 150, 8, 5e-3), 0, "learnt")
    request = request_of(start, sequences, tmp_path / "second")
    path = METHODS["Quark"].path(request, steps=48, every=48, batch_size=3, learning_rate=3e-3, sample_every=12)
    token = quark.tokens_of(request)[0]

    def halves(model, with_token):
        told = []
        for text in request.forget.values():
            prompt = text[: len(text) // 2]
            given = quark.behind(token, prompt) if with_token else prompt
            told.append(of_next(model, [*given, *text[len(prompt) :]])[len(given) - 1 :].mean().item())
        return sum(told) / len(told)

    before = copy.deepcopy(halves(start, False))
    with path.at(48.0) as model:
        assert halves(model, True) < before - 1.0, "what is written behind the token is not the text"
        assert gradient(mean_nll(model, list(request.retain.values())), model).isfinite().all()
        assert mean_nll(model, list(request.retain.values())) < 1.0, "and others stay"
