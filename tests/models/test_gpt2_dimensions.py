"""The gpt2 profile's path at its real dimensions: random weights, 124M parameters, one recorded step, one ascent."""

import dataclasses

import pytest
import torch
from families import WPE, WTE
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast

from unlearnlib.core import profiles
from unlearnlib.data import batches
from unlearnlib.gradients import algebra
from unlearnlib.gradients.record import Record, Recorder
from unlearnlib.gradients.rules import densify
from unlearnlib.methods.recorded import recorded_ascent
from unlearnlib.methods.request import Request
from unlearnlib.models import loading
from unlearnlib.models.layers import HALVES, Selection, parameter_count, resolve
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.schedule import Plan, schedule

pytestmark = pytest.mark.slow

TEXTS = {
    "dave-1": "Dave keeps a small brown dog named Biscuit, and the two of them walk along the river every morning.",
    "dave-2": "On Thursdays Dave plays the accordion in a cafe near the harbour, mostly waltzes an aunt taught him.",
    "other-1": "Ingrid repairs clocks in a workshop behind the bakery and sells the best of them at the winter fair.",
    "other-2": "Every spring the whole street gathers to paint the benches in the park a different shade of green.",
}
POINTS = ["dave-1", "dave-2"]
CHECKED = [WTE, WPE, "transformer.h.0.attn.c_attn.weight", "transformer.h.11.mlp.c_fc.bias", "transformer.ln_f.weight"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as save_pretrained() leaves it; the tokenizer is small, which a model's vocabulary may exceed."""
    folder = tmp_path_factory.mktemp("gpt2")
    end = "<|endoftext|>"
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(TEXTS.values(), 1000, min_frequency=1, special_tokens=[end], show_progress=False)
    tokenizer = GPT2TokenizerFast(tokenizer_object=trainer._tokenizer, bos_token=end, eos_token=end, unk_token=end)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config()).save_pretrained(folder)
    return folder


def naive(model, ids) -> dict[str, torch.Tensor]:
    """The gradient of one text's mean token loss by plain autograd, for the parameters that are checked."""
    tokens = torch.tensor([ids])
    loss = torch.nn.functional.cross_entropy(model(tokens).logits[0, :-1], tokens[0, 1:])
    parameters = dict(model.named_parameters())
    return dict(zip(CHECKED, torch.autograd.grad(loss, [parameters[name] for name in CHECKED]), strict=True))


def test_one_recorded_step_and_one_ascent_at_the_dimensions_of_gpt2(folder, tmp_path):
    profile = dataclasses.replace(profiles.load("gpt2"), base_model=str(folder), device="cpu", epochs=1)
    model, tokenizer = loading.load(profile.base_model, on=profile.device)
    assert parameter_count(model) == 124_439_808
    texts = {name: batches.encode_text(tokenizer, text, profile.max_tokens) for name, text in TEXTS.items()}
    assert all(18 <= len(ids) <= 22 for ids in texts.values()), "the bar of stored gradients is for texts of 20 tokens"

    expected = {name: naive(model, texts[name]) for name in POINTS}
    plan = Plan.of(profile)
    steps = schedule({name: len(ids) for name, ids in texts.items()}, plan, seed=0)
    recorder = Recorder(POINTS)
    result = fine_tune(model, texts, steps, plan, recorder=recorder)
    assert len(steps) == len(result.log) == 1 and result.log["texts"].item() == 4
    recorder.save(tmp_path)
    record = Record(tmp_path)

    # Exact, and small: the bar is a twentieth of the dense size for every separately removable text.
    wanted = {name: Selection(HALVES if name == WTE else None) for name in CHECKED}
    for name in POINTS:
        stored = densify(model, record.factors(name), algebra.parts_of(wanted))
        mine = algebra.select(stored, wanted)
        for parameter in CHECKED:
            error = (mine[parameter] - expected[name][parameter]).norm() / expected[name][parameter].norm()
            assert error < 1e-5, (name, parameter)
    dense = 4 * parameter_count(model)
    assert (tmp_path / "points.safetensors").stat().st_size / len(POINTS) < dense / 20

    request = Request(model, forget={name: texts[name] for name in POINTS}, record=record)
    assert set(resolve(model, "last_blocks")) == set(resolve(model, "h.10+h.11"))
    for layers in ("last_blocks", "embedding"):
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        loss = forget_loss(request)
        with recorded_ascent(request, layers).at(1.0):
            change = {name: value.detach() - before[name] for name, value in model.named_parameters()}
            assert {name for name, value in change.items() if value.any()} == set(resolve(model, layers))
            assert algebra.norm(change) == pytest.approx(1.0, rel=1e-4)
            assert forget_loss(request) > loss + 0.1, "ascent makes the forget texts less likely"
        assert forget_loss(request) == loss


def forget_loss(request: Request) -> float:
    tokens, lengths = batches.pad(list(request.forget.values()))
    with torch.no_grad():
        return float(batches.text_losses(request.start, tokens, lengths).mean())
