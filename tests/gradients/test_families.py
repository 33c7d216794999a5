"""Gradients of single texts in five families of models, layer by layer, against a naive loop of autograd."""

import numpy as np
import pytest
import torch
from families import FAMILIES, naive, relative_error, tiny, untouched
from torch import nn
from transformers.pytorch_utils import Conv1D

from unlearnlib.core.errors import UserError
from unlearnlib.gradients import algebra, per_example
from unlearnlib.gradients.record import Record, Recorder
from unlearnlib.gradients.rules import own_gradients
from unlearnlib.influence import scores
from unlearnlib.models.anatomy import anatomy
from unlearnlib.models.layers import in_order, layer_names, parameter_count, resolve, tables_of
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.schedule import Plan, schedule


@pytest.mark.parametrize("family", [*FAMILIES, "phi", "qwen3"])
def test_every_layer_of_every_text_equals_the_naive_loop(family, sequences):
    model, texts = tiny(family).double(), list(sequences.values())
    everything = resolve(model, "all")
    assert set(everything) == {name for name, _ in model.named_parameters()}
    for ids, gradient in zip(texts, per_example.per_example_gradients(model, texts), strict=True):
        mine, expected = algebra.select(gradient, everything), naive(model, ids)
        for name in expected:
            assert relative_error(mine[name], expected[name]) < 1e-9, name
    assert per_example.check_exact(model) is None


@pytest.mark.parametrize("family", FAMILIES)
def test_every_name_of_a_layer_means_its_own_parameters(family, sequences):
    model, texts = tiny(family).double(), list(sequences.values())[:3]
    whole = {name: sum(naive(model, ids)[name] for ids in texts) for name, _ in model.named_parameters()}
    for layers in layer_names(model):
        if layers == "position_embedding" and family != "gpt2":
            with pytest.raises(UserError, match="has no learned positions"):
                resolve(model, layers)
            continue
        chosen = resolve(model, layers, name_rows=[3, 5])
        found = algebra.select(per_example.sum_gradient(model, texts, algebra.parts_of(chosen)), chosen)
        assert found.keys() == chosen.keys() and parameter_count(model, layers, [3, 5]) > 0
        for name, selection in chosen.items():
            if selection.halves in (None, ("input", "output")):
                assert relative_error(found[name], selection.mask(whole[name])) < 1e-9, (layers, name)
    whole = {name for layers in in_order(model) for name in resolve(model, layers)}
    assert whole == set(resolve(model, "all")) - (set() if anatomy(model).tied else {anatomy(model).head_weight})
    assert tables_of(model) == ("embedding+position_embedding" if family == "gpt2" else "embedding")
    last, rest = (set(resolve(model, name)) for name in ("last_blocks", "all_but_last_blocks"))
    assert last == set(resolve(model, "h.1+h.2")) and not last & rest
    assert last | rest == set(resolve(model, "all"))


@pytest.mark.parametrize("family", ["gpt2", "llama tied"])
def test_the_two_uses_of_a_tied_embedding_are_those_of_an_untied_copy(family, sequences):
    model, untied, ids = tiny(family).double(), tiny(family).double(), sequences["text-1"]
    head = untied.get_output_embeddings()
    head.weight = nn.Parameter(head.weight.detach().clone())
    expected = naive(untied, ids)
    (mine,) = per_example.per_example_gradients(model, [ids])
    known, other = anatomy(model), anatomy(untied)
    assert known.tied and not other.tied
    assert relative_error(mine[f"{known.embedding_weight}#input"], expected[other.embedding_weight]) < 1e-9
    assert relative_error(mine[f"{known.embedding_weight}#output"], expected[other.head_weight]) < 1e-9


@pytest.mark.parametrize("family", FAMILIES)
def test_what_training_records_is_the_gradient_of_its_steps(family, sequences, tmp_path):
    points = ["text-0", "text-3", "text-4"]
    steps = schedule({name: len(ids) for name, ids in sequences.items()}, Plan(1, 8, 1e-2), seed=4)
    base, model, recorder = tiny(family), tiny(family), Recorder(points)
    fine_tune(model, sequences, steps, Plan(1, 8, 1e-2), recorder=recorder)
    recorder.save(tmp_path)
    record, everything = Record(tmp_path), resolve(model, "all")
    total = record.total(everything, "first")
    for name, value in record.subset(base, points, everything).items():
        expected = sum(naive(base, sequences[point])[name] for point in points)
        assert relative_error(value, expected) < 1e-4 and relative_error(total[name], expected) < 1e-4, name


@pytest.mark.parametrize("family", FAMILIES)
def test_products_of_gradients_are_those_of_the_gradients(family, sequences):
    model, texts = tiny(family).double(), list(sequences.values())[:4]
    for layers in ("all", "embedding", "input_embedding", "output_embedding", "last_blocks"):
        chosen = resolve(model, layers)
        dense = [algebra.select(one, chosen) for one in per_example.per_example_gradients(model, texts)]
        flat = torch.stack([torch.cat([value.flatten() for value in one.values()]) for one in dense])
        assert np.allclose(scores.self_influence(model, texts, chosen), flat.pow(2).sum(1), rtol=1e-8)
        products = scores.gradient_products(model, texts[:2], texts[2:], chosen)
        assert np.allclose(products, flat[:2] @ flat[2:].T, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_activations_times_gradients_are_what_enlarging_a_layer_does(family, sequences):
    model, ids = tiny(family).double(), sequences["text-1"]
    found, known = scores.activation_gradient_products(model, [ids]), anatomy(model)
    assert list(found) == ["embedding", "h.0", "h.1", "h.2", "ln_f"]
    step, tokens = 1e-6, torch.tensor([ids])

    def loss(scale: float) -> float:
        handle = model.get_submodule(known.norm).register_forward_hook(lambda _m, _i, output: output * scale)
        with torch.no_grad():
            value = nn.functional.cross_entropy(model(tokens).logits[0, :-1], tokens[0, 1:])
        handle.remove()
        return float(value)

    assert float(found["ln_f"][0]) == pytest.approx((loss(1 + step) - loss(1 - step)) / (2 * step), rel=1e-5)


class Scaled(nn.Linear):
    """A layer that is derived from a linear one and does more."""

    def forward(self, x):
        return super().forward(x) * 3


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.LayerNorm(8), (5, 8)),
        (nn.LayerNorm(8, bias=False), (5, 8)),
        (nn.LayerNorm(8, eps=0.5), (5, 8)),
        (nn.RMSNorm(8), (5, 8)),
        (nn.RMSNorm(4), (5, 2, 4)),
        (nn.GroupNorm(2, 4), (4, 3, 3)),
        (nn.Conv2d(3, 4, 3), (3, 6, 6)),
        (Scaled(8, 6), (5, 8)),
        (Conv1D(6, 8), (5, 8)),
    ],
    ids=[
        "layer norm",
        "without bias",
        "epsilon",
        "RMS norm",
        "of heads",
        "group norm",
        "convolution",
        "derived",
        "transposed",
    ],
)
def test_the_exact_rule_gives_any_layer_its_gradients(module, shape):
    module = module.double()
    incoming = torch.randn(3, *shape, dtype=torch.double)
    outgoing = torch.randn_like(module(incoming))
    found = own_gradients(module, incoming, outgoing)
    assert found.keys() == dict(module.named_parameters()).keys()
    for row in range(3):
        parameters = dict(module.named_parameters())
        expected = torch.autograd.grad(module(incoming[[row]]), list(parameters.values()), outgoing[[row]])
        alone = own_gradients(module, incoming[row], outgoing[row], one=True)
        for name, value in zip(parameters, expected, strict=True):
            assert relative_error(found[name][row], value) < 1e-10 and relative_error(alone[name], value) < 1e-10


def test_a_gpt2_whose_layers_are_still_transposed_has_exact_gradients_without_a_rule_of_its_own(sequences):
    model, texts = untouched("gpt2").double(), list(sequences.values())
    everything = resolve(model, "all")
    for ids, gradient in zip(texts, per_example.per_example_gradients(model, texts), strict=True):
        mine, expected = algebra.select(gradient, everything), naive(model, ids)
        for name in expected:
            assert relative_error(mine[name], expected[name]) < 1e-9, name
    assert per_example.check_exact(model) is None


@pytest.mark.parametrize(("family", "part"), [("mixtral", "MixtralTopKRouter"), ("opt", "OPTLearnedPositional")])
def test_a_family_whose_texts_have_no_gradients_of_their_own_here_is_refused_in_a_line(family, part):
    with pytest.raises(UserError, match=rf"a {part}\w* owns cannot be given the gradient of a single text"):
        per_example.check_exact(tiny(family))


def test_a_layer_that_is_used_twice_is_noticed():
    model = tiny("llama untied")
    blocks = model.model.layers
    blocks[1].mlp = blocks[0].mlp
    with pytest.raises(
        UserError, match=r"cannot be had of model\.layers\.0\.mlp\.\w+\.weight, which belongs to a Linear"
    ):
        per_example.check_exact(model)


def test_a_model_that_looks_ahead_or_is_asked_for_all_texts_at_once_is_refused():
    import transformers

    config = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    for decoder, line in (
        (False, "lets a token see those behind it"),
        (True, "gradients of single texts cannot be had"),
    ):
        settings = transformers.BertConfig(intermediate_size=48, is_decoder=decoder, **config)
        model = transformers.BertLMHeadModel(settings).eval()
        with pytest.raises(UserError, match=line):
            per_example.check_exact(model)


def test_no_gradient_is_kept_of_a_padding_token(sequences):
    model = tiny("llama untied").double()
    model.model.embed_tokens.padding_idx = 5
    ids = [0, 5, 7, 5, 9]
    (mine,) = per_example.per_example_gradients(model, [ids])
    expected = naive(model, ids)["model.embed_tokens.weight"]
    assert expected[5].abs().sum() == 0 and relative_error(mine["model.embed_tokens.weight"], expected) < 1e-9
