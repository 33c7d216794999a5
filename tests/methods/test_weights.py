"""Task arithmetic, noise, dampening, saliency masks: what they do to the weights, against naive sums."""

import pytest
import torch
from families import naive
from unlearning import FORGET, captured, loss_of, request_of

from unlearnlib.core.errors import UserError
from unlearnlib.gradients import algebra
from unlearnlib.methods import importance, saliency
from unlearnlib.methods.named import METHODS
from unlearnlib.methods.path import change_between
from unlearnlib.methods.trained import mean_loss

REPLACED = {name: (0, 5, 4, 3, 2) for name in FORGET}


@pytest.fixture
def asked(make_model, sequences, tmp_path):
    return request_of(make_model().double(), sequences, tmp_path, base=make_model(seed=3).double())


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def at(path, effort):
    with path.at(effort) as model:
        return weights(model)


# Task arithmetic


@pytest.mark.parametrize(("name", "begins"), [("task vector", "base"), ("own task vector", "start")])
def test_a_task_vector_is_what_training_on_the_forget_set_adds_and_is_taken_off(asked, name, begins):
    import copy

    path = METHODS[name].path(asked, steps=3, batch_size=3, learning_rate=1e-3)
    model = copy.deepcopy(getattr(asked, begins))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    for _ in range(3):  # three texts in a batch of three: their order is all that is drawn
        mean_loss(model, list(asked.forget.values())).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    vector, start = change_between(getattr(asked, begins), model), weights(asked.start)
    assert algebra.norm(vector) > 0.01
    for times in (0.0, 1.0, 2.5):
        for key, value in at(path, times).items():
            assert torch.allclose(value, start[key] - times * vector[key], atol=1e-6), key
    one_layer = METHODS[name].path(asked, steps=3, batch_size=3, learning_rate=1e-3, layers="h.1")
    moved = {key for key, value in at(one_layer, 1.0).items() if not torch.equal(value, start[key])}
    assert moved == set(asked.selections("h.1"))


def test_a_task_vector_from_the_base_to_the_start_leads_back_to_the_base(asked, monkeypatch):
    from unlearnlib.methods import task_arithmetic

    monkeypatch.setattr(task_arithmetic, "further_trained", lambda *given: asked.start)
    found, base = at(METHODS["task vector"].path(asked), 1.0), weights(asked.base)
    assert all(torch.allclose(value, base[name], atol=1e-12) for name, value in found.items())


# Adapters


def test_an_adapter_is_two_factors_that_were_trained_and_their_product_is_taken_off(asked):
    """Against a training of the factors by hand, by calls of the base model with other weights."""
    options = {"steps": 4, "batch_size": 3, "learning_rate": 1e-2, "rank": 2, "alpha": 6.0}
    path, base = METHODS["negated adapter"].path(asked, **options), asked.base
    names = [f"transformer.h.{block}.{part}" for block in range(3) for part in LINEAR]
    generator = torch.Generator().manual_seed(asked.seed)
    factors = {}
    for name in names:
        rows, columns = base.get_submodule(name).weight.shape
        down = ((2 * torch.rand(2, columns, generator=generator) - 1) / columns**0.5).double().requires_grad_()
        factors[name] = (torch.zeros(rows, 2, dtype=torch.float64, requires_grad=True), down)
    fixed = {name: value.detach() for name, value in base.named_parameters()}
    optimizer = torch.optim.AdamW([one for pair in factors.values() for one in pair], lr=1e-2, weight_decay=0.0)
    texts = list(asked.forget.values())
    for _ in range(4):
        added = {f"{name}.weight": fixed[f"{name}.weight"] + 3.0 * up @ down for name, (up, down) in factors.items()}
        losses = [_loss_with(base, {**fixed, **added}, text) for text in texts]
        torch.stack(losses).mean().backward()
        torch.nn.utils.clip_grad_norm_([one for pair in factors.values() for one in pair], 1.0)
        optimizer.step()
        optimizer.zero_grad()
    start = weights(asked.start)
    for times in (0.0, 1.0, 2.0):
        found = at(path, times)
        for key, value in found.items():
            up, down = factors.get(key.removesuffix(".weight"), (None, None))
            expected = start[key] if up is None else start[key] - times * 3.0 * (up @ down).detach()
            assert torch.allclose(value, expected, atol=1e-9), key
    product = 3.0 * (factors[names[0]][0] @ factors[names[0]][1]).detach()
    assert product.norm() > 1e-3 and torch.linalg.matrix_rank(product) <= 2
    for rank in (0, 33):
        with pytest.raises(UserError, match=f"an adapter of rank {rank}: give a whole number from 1 to 32"):
            METHODS["negated adapter"].path(asked, rank=rank)


LINEAR = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")


def _loss_with(model, parameters, text):
    ids = torch.tensor([text])
    logits = torch.func.functional_call(model, parameters, (ids,)).logits[0]
    return torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:])


@pytest.mark.parametrize("name", ["task vector", "negated adapter", "other answers", "DPO", "saliency"])
def test_what_was_known_becomes_less_likely(recorded, make_model, sequences, tmp_path, name):
    request = request_of(recorded.start, sequences, tmp_path, base=make_model(), record=recorded.record)
    options = {"steps": 4, "batch_size": 3, "learning_rate": 2e-3}
    if name not in ("task vector", "negated adapter"):
        options |= {"every": 4, "replacements": REPLACED}
    path = METHODS[name].path(request, **options)
    losses = []
    for effort in (0.0, 0.5 if path.stops is None else 4.0):
        with path.at(effort) as model, torch.no_grad():
            losses.append(mean_loss(model, list(request.forget.values())).item())
    assert losses[0] < losses[1]


@pytest.mark.parametrize("name", ["task vector", "noise", "Fisher noise", "dampening", "contrastive"])
def test_only_the_layers_named_move(asked, name):
    options = {
        "task vector": {"steps": 1, "batch_size": 3},
        "dampening": {"against": "retained"},
        "contrastive": {"replacements": REPLACED},
    }
    path, start = METHODS[name].path(asked, layers="h.0+ln_f", **options.get(name, {})), weights(asked.start)
    moved = {key for key, value in at(path, 2.0).items() if not torch.equal(value, start[key])}
    assert moved and moved <= set(asked.selections("h.0+ln_f"))


# Importance, dampening, noise


def test_importance_is_the_mean_square_of_single_gradients(asked):
    texts = list(asked.retain.values())
    found = importance.squared_gradients(asked.start, texts)
    single = [naive(asked.start, list(ids)) for ids in texts]
    for name, value in found.items():
        assert torch.allclose(value, sum(one[name] ** 2 for one in single) / len(texts), rtol=1e-9, atol=1e-15), name
    drawn = [importance.squared_gradients(asked.start, texts, torch.Generator().manual_seed(n)) for n in (1, 1, 2)]
    assert all(torch.equal(value, drawn[1][name]) for name, value in drawn[0].items())
    assert any(not torch.equal(value, drawn[2][name]) for name, value in drawn[0].items())
    with pytest.raises(UserError, match="no texts to measure the importance"):
        importance.squared_gradients(asked.start, [])


@pytest.mark.parametrize("against", ["all", "retained"])
@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_dampening_is_its_formula_and_makes_nothing_larger(asked, against, alpha):
    path, start = METHODS["dampening"].path(asked, alpha=alpha, against=against), weights(asked.start)
    single = [[naive(asked.start, list(ids)) for ids in texts.values()] for texts in (asked.forget, asked.retain)]
    mine, rest = ({name: sum(one[name] ** 2 for one in of) for name in start} for of in single)
    counts = len(asked.forget), len(asked.retain)
    for strength in (0.5, 1.0, 40.0):
        for name, value in at(path, strength).items():
            f = mine[name] / counts[0]
            d = (mine[name] + rest[name]) / sum(counts) if against == "all" else rest[name] / counts[1]
            factor = torch.where((f > alpha * d) & (f > 0), (d / (strength * f.clamp(min=1e-300))).clamp(max=1.0), 1.0)
            near = (f - alpha * d).abs() < 1e-9 * f  # on the edge either will do
            assert torch.allclose(value[~near], (start[name] * factor)[~near], rtol=1e-6, atol=1e-12), name
            assert (value.abs() <= start[name].abs() + 1e-15).all()
    assert any(not torch.equal(value, start[name]) for name, value in at(path, 1.0).items())


def test_an_alpha_that_no_parameter_can_reach_is_refused(asked):
    count = len(asked.forget) + len(asked.retain)
    with pytest.raises(UserError, match=r"matters 2\.67 times as much for the forget set: lower alpha"):
        METHODS["dampening"].path(asked, alpha=count / len(asked.forget) * (1 + 1e-6))
    with pytest.raises(UserError, match="cannot be held against 'retain': did you mean 'retained'"):
        METHODS["dampening"].path(asked, against="retain")
    with pytest.raises(UserError, match="alpha 0 makes no sense here"):
        METHODS["dampening"].path(asked, alpha=0)


def test_plain_noise_is_as_large_in_every_tensor_as_the_tensor(asked):
    path, start = METHODS["noise"].path(asked), weights(asked.start)
    change = path.change(2.0)
    assert algebra.norm(change) == pytest.approx(2.0)
    large = [name for name, value in start.items() if value.numel() > 1000]
    shares = [float(change[name].square().mean() / start[name].square().mean()) ** 0.5 for name in large]
    assert len(large) > 5 and max(shares) < 1.15 * min(shares)
    again, other = METHODS["noise"].path(asked).change(4.0), METHODS["noise"].path(asked, draw=1).change(2.0)
    assert all(torch.allclose(again[name], 2 * change[name]) for name in change), "one draw is a straight line"
    assert not torch.allclose(other[large[0]], change[large[0]])


def test_fisher_noise_spares_what_the_retained_texts_mind(asked):
    plain = METHODS["Fisher noise"].path(asked, exponent=1e-9).change(1.0)
    change = METHODS["Fisher noise"].path(asked, smallest=1e-3).change(1.0)
    texts = [asked.retain[name] for name in sorted(asked.retain)]
    fisher = importance.squared_gradients(asked.start, texts, torch.Generator().manual_seed(asked.seed))
    everything = torch.cat([value.flatten() for value in fisher.values()])
    raised = everything.clamp(min=float(1e-3 * everything.mean())) ** -0.25
    ratio = torch.cat([(change[name] / plain[name]).flatten() for name in fisher])
    assert torch.allclose(ratio / ratio.max(), raised / raised.max(), rtol=1e-5)
    with pytest.raises(UserError, match="smallest 0 makes no sense"):
        METHODS["Fisher noise"].path(asked, smallest=0)


# Saliency


def test_a_mask_holds_the_largest_share_of_all_entries_together():
    gradient = {"a": torch.tensor([[3.0, -9.0], [0.0, 1.0]]), "b": torch.tensor([-4.0, 0.5])}
    found = saliency.largest(gradient, 0.5)
    assert found["a"].tolist() == [[1.0, 1.0], [0.0, 0.0]] and found["b"].tolist() == [1.0, 0.0]
    assert all((value == 1).all() for value in saliency.largest(gradient, 1.0).values())
    ties = saliency.largest({"a": torch.zeros(4)}, 0.5)
    assert ties["a"].tolist() == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("gradients", ["recorded", "present"])
def test_only_the_masked_weights_move_and_all_of_them_as_other_answers(recorded, sequences, tmp_path, gradients):
    asked = request_of(recorded.start, sequences, tmp_path, record=recorded.record)
    options = {"replacements": REPLACED, "steps": 3, "every": 3, "batch_size": 3}
    path = METHODS["saliency"].path(asked, share=0.3, gradients=gradients, **options)
    start, found = weights(asked.start), at(path, 3.0)
    wanted = saliency.largest(saliency._gradient(asked, gradients, "first"), 0.3)
    assert sum(float(mask.sum()) for mask in wanted.values()) == pytest.approx(
        0.3 * sum(value.numel() for value in start.values()), abs=1
    )
    for name, value in found.items():
        assert torch.equal(value[wanted[name] == 0], start[name][wanted[name] == 0]), name
    moved = sum(float(((value != start[name]) & (wanted[name] == 1)).sum()) for name, value in found.items())
    assert moved > 0.9 * sum(float(mask.sum()) for mask in wanted.values())
    whole, plain = (tmp_path / "whole", tmp_path / "plain")
    everywhere = METHODS["saliency"].path(
        request_of(asked.start, sequences, whole, record=recorded.record), share=1, **options
    )
    unmasked = METHODS["other answers"].path(request_of(asked.start, sequences, plain), **options)
    for one, other in zip(at(everywhere, 3.0).values(), at(unmasked, 3.0).values(), strict=True):
        assert torch.equal(one, other), "with every weight it is training on other answers"


def test_slips_of_a_mask_are_one_line(asked):
    with pytest.raises(UserError, match=r"share 1\.5 is no part of the weights"):
        loss_of("saliency", asked, replacements=REPLACED, share=1.5)
    with pytest.raises(UserError, match="no gradients 'presnt' to rank weights by: did you mean 'present'"):
        loss_of("saliency", asked, replacements=REPLACED, gradients="presnt")
    with captured("saliency") as found:
        METHODS["saliency"].path(asked, replacements=REPLACED)
    assert found[0][4] is not None, "it trains a model of its own making"
