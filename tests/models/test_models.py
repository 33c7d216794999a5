"""Loading a model: from a folder, from the hub's cache, and one clear line for everything that cannot work."""

import copy
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from families import FAMILIES, WPE, WTE, tiny, untouched
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast
from transformers.pytorch_utils import Conv1D

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError
from unlearnlib.models import loading
from unlearnlib.models.anatomy import anatomy
from unlearnlib.models.layers import Selection, in_order, layer_names, parameter_count, resolve, spread_blocks
from unlearnlib.models.linear import own_weights, use_linear_layers

END = "<|endoftext|>"
SHAPE = {"n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A folder with a small GPT-2 (with the library's default dropout of 0.1) and its tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "saved"
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(["Dave likes tea."], vocab_size=280, special_tokens=[END], show_progress=False)
    tokenizer = GPT2TokenizerFast(tokenizer_object=trainer._tokenizer, bos_token=END, eos_token=END, unk_token=END)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **SHAPE)).save_pretrained(folder)
    return folder


@pytest.fixture
def broken(saved, tmp_path) -> Path:
    """A copy of the saved model, to break."""
    return Path(shutil.copytree(saved, tmp_path / "broken"))


def configure(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refusal(name, **options) -> str:
    with pytest.raises(UserError) as caught:
        loading.load(str(name), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same_weights(one, other) -> bool:
    """Whether two state dicts are equal in every name and bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_folder_gives_a_deterministic_float32_model_and_its_tokenizer(saved, capfd):
    model, tokenizer = loading.load(str(saved))
    config = model.config
    assert (config.attn_pdrop, config.embd_pdrop, config.resid_pdrop) == (0.0, 0.0, 0.0)
    assert not model.training and model.dtype == torch.float32 and model.device.type == "cpu"
    assert model.lm_head.weight is model.transformer.wte.weight
    original = GPT2LMHeadModel.from_pretrained(saved)
    assert original.config.attn_pdrop == 0.1
    assert same_weights(own_weights(model), original.state_dict())
    tokens = torch.tensor([tokenizer("Dave likes tea.")["input_ids"]])
    capfd.readouterr()
    model.train()
    assert torch.equal(model(tokens).logits, model(tokens).logits), "no dropout, even in training mode"
    assert tokenizer.decode(tokens[0]) == "Dave likes tea." and tokenizer.eos_token == END


def test_loading_prints_nothing_and_leaves_the_library_as_talkative_as_it_was(saved, capfd):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    loading.load(str(saved))
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_half_precision_weights_are_loaded_in_float32(broken):
    GPT2LMHeadModel.from_pretrained(broken).half().save_pretrained(broken)
    assert loading.load(str(broken))[0].dtype == torch.float32


def test_a_relative_folder_is_looked_up_in_the_repository_first(saved, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "ROOT", saved.parent)
    monkeypatch.chdir(tmp_path)
    assert loading.load("saved")[0].config.n_layer == 2


def test_the_fused_activation_is_gpt2s_own(saved):
    fused, _ = loading.load(str(saved))
    own = GPT2LMHeadModel.from_pretrained(saved).eval()
    assert own.config.activation_function == "gelu_new" != fused.config.activation_function
    tokens = torch.arange(20).view(2, 10)
    with torch.no_grad():
        assert torch.allclose(fused(tokens).logits, own(tokens).logits, rtol=0, atol=1e-5)


def test_both_attentions_give_the_same_logits(saved):
    fast, exact = loading.load(str(saved))[0], loading.load(str(saved), attention="eager")[0]
    assert exact.config._attn_implementation == "eager"
    tokens = torch.arange(20).view(2, 10)
    with torch.no_grad():
        assert torch.allclose(fast(tokens).logits, exact(tokens).logits, rtol=0, atol=1e-5)


# Linear layers in the place of GPT-2's transposed ones


@pytest.mark.parametrize("family", ["gpt2", "openai-gpt"])
def test_transposed_layers_become_linear_ones_that_compute_the_same(family):
    before, model = untouched(family), untouched(family)
    names, drawn = list(model.state_dict()), torch.random.get_rng_state()
    model.get_submodule("transformer.h.1").train()
    modes = {name: module.training for name, module in model.named_modules()}
    assert use_linear_layers(model) is model
    assert torch.equal(torch.random.get_rng_state(), drawn), "turning draws no random numbers"
    turned = [name for name, module in before.named_modules() if type(module) is Conv1D]
    assert len(turned) == 12 and all(type(model.get_submodule(name)) is torch.nn.Linear for name in turned)
    assert not [name for name, module in model.named_modules() if type(module) is Conv1D]
    assert list(model.state_dict()) == names and {n: m.training for n, m in model.named_modules()} == modes
    assert all(value.is_contiguous() and value.requires_grad for value in model.parameters())
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    tokens = torch.arange(20).view(2, 10)
    with torch.no_grad():
        assert torch.allclose(model.eval()(tokens).logits, before(tokens).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "gpt2"])
def test_a_family_of_linear_layers_is_left_as_it_is(family):
    model = untouched(family)
    modules, weights = list(model.modules()), {name: value.clone() for name, value in model.state_dict().items()}
    assert all(one is other for one, other in zip(use_linear_layers(model).modules(), modules, strict=True))
    assert same_weights(model.state_dict(), weights) and same_weights(own_weights(model), weights)


@pytest.mark.parametrize("family", ["gpt2", "openai-gpt"])
def test_a_model_gives_the_weights_of_its_family_back_bitwise(family):
    before, model = untouched(family), tiny(family)
    assert same_weights(own_weights(model), before.state_dict())
    assert same_weights(own_weights(before), before.state_dict()), "nothing was turned, and nothing is"
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for value in moved.parameters():
            value.mul_(1.5)
    before.load_state_dict(own_weights(moved))
    tokens = torch.arange(20).view(2, 10)
    with torch.no_grad():
        expected, found = before(tokens).logits, moved(tokens).logits
    assert float((found - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    assert same_weights(own_weights(model), untouched(family).state_dict()), "a copy's change is its own"


# What cannot work


@pytest.mark.parametrize("name", ["./nowhere", "data/nowhere", "/nowhere/model", "~/model", "several/folders/deep"])
def test_a_folder_that_is_not_there(name):
    assert refusal(name).startswith(f"no model folder {name!r}: give one that save_pretrained() wrote")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no weights (model.safetensors)"),
        ("tokenizer.json", "no tokenizer (tokenizer.json)"),
    ],
)
def test_a_folder_without_one_of_its_files(broken, file, expected):
    (broken / file).unlink()
    message = refusal(broken)
    assert expected in message and str(broken) in message


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("config.json", b"{", "not a JSON object"),
        ("config.json", b"[1]", "not a JSON object"),
        ("model.safetensors", b"", "the folder is damaged"),
        ("model.safetensors", b"nonsense" * 100, "the folder is damaged"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "the folder is damaged"),
        ("tokenizer.json", b"{", "the folder is damaged"),
        ("tokenizer.json", b"{}", "the folder is damaged"),
    ],
)
def test_a_folder_with_a_damaged_file(broken, file, content, expected):
    (broken / file).write_bytes(content)
    assert expected in refusal(broken)


def test_weights_cut_off_in_a_download(broken):
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-500])
    assert "the folder is damaged; save a model and its tokenizer" in refusal(broken)


def test_what_is_no_causal_language_model(broken):
    configure(broken, model_type="t5")
    assert "a 't5' (model_type) is no causal language model that transformers knows" in refusal(broken)
    configure(broken, model_type="gtp2")
    assert "a 'gtp2' (model_type) is no causal language model" in refusal(broken)


def test_weights_of_another_architecture(broken):
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    configure(broken, model_type="llama", **small)
    assert "of the weights that its config.json asks for are missing" in refusal(broken)


@pytest.mark.parametrize("family", [*FAMILIES, "phi"])
def test_any_family_is_loaded_whatever_its_weights_are_kept_in(saved, tmp_path, family):
    tokenizer = GPT2TokenizerFast.from_pretrained(saved)
    own = untouched(family, vocabulary=len(tokenizer)).bfloat16()
    own.save_pretrained(tmp_path, max_shard_size="20kB")
    tokenizer.save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    model, _ = loading.load(str(tmp_path))
    assert type(model) is type(own) and model.dtype == torch.float32 and not model.training
    assert not [name for name, module in model.named_modules() if type(module) is Conv1D]
    assert same_weights(own_weights(model), own.float().state_dict())
    assert anatomy(model) == anatomy(own)
    assert anatomy(model).tied == (model.get_output_embeddings().weight is model.get_input_embeddings().weight)
    loading.check_positions(model, 48)
    with pytest.raises(UserError, match="max_tokens is 49, but the model has 48 positions"):
        loading.check_positions(model, 49)


def test_every_dropout_is_zero_whatever_a_family_calls_it(saved, tmp_path):
    tokenizer = GPT2TokenizerFast.from_pretrained(saved)
    model = tiny("gpt-neox", vocabulary=len(tokenizer))
    model.config.attention_dropout = model.config.hidden_dropout = 0.3
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, _ = loading.load(str(tmp_path))
    tokens = torch.arange(20).view(2, 10)
    loaded.train()
    assert torch.equal(loaded(tokens).logits, loaded(tokens).logits)


def test_an_untied_gpt2_has_an_output_layer_of_its_own(broken):
    configure(broken, tie_word_embeddings=False)
    GPT2LMHeadModel(GPT2Config.from_pretrained(broken)).save_pretrained(broken)
    model, _ = loading.load(str(broken))
    assert not anatomy(model).tied and set(resolve(model, "output_embedding")) == {"lm_head.weight"}
    assert set(resolve(model, "embedding")) == {WTE} == set(resolve(model, "name_rows", [1]))


def test_what_authors_prefer_when_writing_has_no_part(broken):
    (broken / "generation_config.json").write_text(json.dumps({"do_sample": True, "temperature": 3.0, "top_k": 2}))
    settings = loading.load(str(broken))[0].generation_config
    assert (settings.temperature, settings.top_k, settings.do_sample) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"n_layer": 3}, "12 of the weights that its config.json asks for are missing"),
        ({"n_embd": 32}, "such as transformer.h.0.attn.c_attn.bias"),
        ({"vocab_size": 400}, "such as transformer.wte.weight"),
    ],
)
def test_weights_that_are_not_those_of_the_configuration_are_not_made_up(broken, changes, expected):
    configure(broken, **changes)
    assert expected in refusal(broken)


def test_a_tokenizer_of_another_model(broken):
    GPT2LMHeadModel(GPT2Config(vocab_size=100, **SHAPE)).save_pretrained(broken)
    assert "is not that of the model (100 tokens)" in refusal(broken)


def test_a_tokenizer_without_end_of_text(broken):
    settings = broken / "tokenizer_config.json"
    kept = {
        key: value for key, value in json.loads(settings.read_text()).items() if key not in ("bos_token", "eos_token")
    }
    settings.write_text(json.dumps({**kept, "tokenizer_class": "PreTrainedTokenizerFast"}))
    assert "end-of-text None" in refusal(broken)


def test_an_unknown_device_or_attention(saved):
    assert refusal(saved, on="cdua") == "no device 'cdua': did you mean 'cuda'?"
    assert refusal(saved, attention="egaer") == "no attention 'egaer': did you mean 'eager'?"
    if not torch.cuda.is_available():
        assert "no CUDA device is visible" in refusal(saved, on="cuda")
        assert loading.device("auto").type == "cpu"


def test_out_of_reach_the_hub_is_asked_once_and_a_cached_model_still_loads(saved, tmp_path):
    # As the hub's client lays out its cache: a named reference to a snapshot folder.
    cached = tmp_path / "models--someone--cached"
    shutil.copytree(saved, cached / "snapshots" / "0123")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0123")
    program = (
        "import time; from unlearnlib.models import loading; import transformers.models.gpt2.modeling_gpt2\n"
        "print(loading.load('someone/cached')[0].config.n_layer)\n"
        "begun = time.perf_counter()\n"
        "try: loading.load('someone/absent')\n"
        "except loading.UserError as error: print(error)\n"
        "print(time.perf_counter() - begun)"
    )
    # Nothing listens on port 9: every request is refused, as without a network.
    settings = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **settings},
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    layers, message, seconds = done.stdout.splitlines()
    assert layers == "2"
    assert message.startswith("cannot load 'someone/absent': it is not in the local cache, and the model hub cannot be")
    assert "base_model in the profile" in message
    assert float(seconds) < 5 and "Retrying" not in done.stderr


# Which parameter belongs to which layer


def test_gpt2_has_124_million_parameters_and_a_third_of_them_embed():
    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config())
    model.tie_weights()
    assert parameter_count(model) == 124_439_808
    assert parameter_count(model, "embedding") == 50257 * 768
    assert parameter_count(model, "input_embedding") == parameter_count(model, "output_embedding")
    embedding = parameter_count(model, "embedding+position_embedding")
    assert embedding == (50257 + 1024) * 768
    # 31.6% with positions, 31.0% without, where the paper says half.
    assert round(embedding / 124_439_808, 3) == 0.316
    assert round(parameter_count(model, "embedding") / 124_439_808, 3) == 0.310
    blocks = [parameter_count(model, f"h.{index}") for index in range(12)]
    assert blocks == [7_087_872] * 12
    assert embedding + sum(blocks) + parameter_count(model, "ln_f") == 124_439_808
    assert parameter_count(model, "name_rows", name_rows=[5, 7, 7]) == 2 * 768
    assert parameter_count(model, "embedding_without_name_rows", name_rows=[5, 7]) == 50255 * 768


def test_layers_resolve_to_their_parameters_and_selections(make_model):
    model = make_model()
    assert set(resolve(model, "embedding")) == {WTE}
    assert set(resolve(model, "position_embedding")) == {WPE}
    last = resolve(model, "h.1+h.2")
    assert len(last) == 24 and all(name.startswith(("transformer.h.1.", "transformer.h.2.")) for name in last)
    assert set(resolve(model, "all")) == {name for name, _ in model.named_parameters()}
    assert resolve(model, "output_embedding")[WTE].halves == ("output",)
    assert set(resolve(model, "last_blocks")) == set(last)
    for layers in layer_names(model):
        assert parameter_count(model, layers, name_rows=[1]) > 0
    with pytest.raises(UserError, match="no layer ''"):
        resolve(model, "h.0+")
    with pytest.raises(UserError, match="twice"):
        resolve(model, "h.0+h.0")


def test_blocks_of_a_deep_model_are_spread_from_the_first_to_the_last(make_model):
    model = make_model()
    depth = len(in_order(model)) - 3
    assert spread_blocks(model, 12) == [f"h.{index}" for index in range(depth)]
    assert spread_blocks(model, 2) == ["h.0", f"h.{depth - 1}"]
    with pytest.raises(UserError, match="at most 1 blocks: name two at least"):
        spread_blocks(model, 1)
    deep = [f"h.{index}" for index in range(30)]
    shown = spread_blocks(GPT2LMHeadModel(GPT2Config(vocab_size=20, **{**SHAPE, "n_layer": 30})), 12)
    places = [deep.index(name) for name in shown]
    assert len(set(shown)) == 12 and (places[0], places[-1]) == (0, 29)
    assert {after - before for before, after in itertools.pairwise(places)} == {2, 3}


def test_a_selection_of_rows_and_its_complement_add_up():
    gradient = torch.arange(12.0).view(4, 3) + 1
    rows, rest = Selection(rows=(0, 2)), Selection(rows=(0, 2), without=True)
    assert torch.equal(rows.mask(gradient) + rest.mask(gradient), gradient)
    assert rows.mask(gradient)[[1, 3]].abs().sum() == 0 and rest.mask(gradient)[[0, 2]].abs().sum() == 0
    assert Selection().mask(gradient) is gradient
