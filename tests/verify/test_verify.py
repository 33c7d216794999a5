"""The second program: it agrees with the first to the bit, and finds out a changed log, manifest, model or text."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.guarantees import manifest
from unlearnlib.models import loading
from unlearnlib.training import storage
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.schedule import Plan, schedule
from unlearnlib.verify import checking
from unlearnlib.verify.__main__ import main

BASE = "data/tiny_model"
TEXTS = {f"t{number}": f"The {word} of the mill was seen by {number + 2} people." for number, word in enumerate(
    ("cat", "clock", "garden", "roof", "baker", "river", "horse")
)}  # fmt: skip
PLAN = Plan(epochs=2, batch_size=3, learning_rate=1e-3)
GONE = ["t1", "t4"]


def train(folder, removed=(), texts=TEXTS):
    model, tokenizer = loading.load(BASE)
    torch.set_num_threads(1)
    tokens = {name: batches.encode_text(tokenizer, text) for name, text in texts.items()}
    steps = schedule({name: len(ids) for name, ids in tokens.items()}, PLAN, seed=0)
    folder.mkdir()
    storage.save(folder, model, fine_tune(model, tokens, steps, PLAN, removed), steps, PLAN, 0, removed, moments=False)
    return folder


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    return train(tmp_path_factory.mktemp("training") / "with")


@pytest.fixture
def written(logged, tmp_path):
    """A manifest, and a folder with the texts that are left alone."""
    left = {name: text for name, text in TEXTS.items() if name not in GONE}
    path = manifest.write(tmp_path / "given", logged, BASE, left, GONE)
    (tmp_path / "texts").mkdir()
    rows = [json.dumps({"id": name, "text": text}) for name, text in left.items()]
    (tmp_path / "texts" / "left.jsonl").write_text("\n".join(rows) + "\n")
    return path, tmp_path / "texts"


def changed(path, change):
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


def test_it_verifies_a_replay_and_a_retraining_without_ever_seeing_what_was_removed(written, tmp_path, capsys):
    path, texts = written
    assert main([str(path), "--texts", str(texts)]) == 0
    assert capsys.readouterr().out.startswith(
        "verified: 5 steps taken again from data/tiny_model, without 2 of 7 texts"
    )
    retrained = load_file(train(tmp_path / "without", GONE) / "weights.safetensors")
    assert checking.digest(retrained) == json.loads(path.read_text())["model"]["parameters"]


def test_other_words_in_place_of_the_removed_ones_change_nothing(written, tmp_path):
    """The result does not depend on what was removed. (On how long it was, yes: the width of the padding is in the
    log.)"""
    path, texts = written
    other = {name: text.replace("3", "8").replace("6", "9") if name in GONE else text for name, text in TEXTS.items()}
    _, tokenizer = loading.load(BASE)
    for name in GONE:
        one, two = (batches.encode_text(tokenizer, these[name]) for these in (TEXTS, other))
        assert one != two and len(one) == len(two)
    left = {name: text for name, text in TEXTS.items() if name not in GONE}
    second = manifest.write(tmp_path / "second", train(tmp_path / "log", texts=other), BASE, left, GONE)
    one, two = (json.loads(each.read_text())["model"] for each in (path, second))
    assert one == two and "verified" in checking.verify(second, texts)


def learning_rate(log):
    log["steps"][2]["learning_rate"] *= 1 + 1e-6


def swapped(log):
    ids = log["steps"][0]["ids"]
    log["steps"][0]["ids"] = ids[::-1]


@pytest.mark.parametrize("change", [learning_rate, swapped])
@pytest.mark.parametrize("hash_too", [False, True], ids=["the log alone", "its hash too"])
def test_a_manipulated_log_is_found_out(written, change, hash_too, capsys):
    path, texts = written
    log = path.parent / "schedule.json"
    changed(log, change)
    if hash_too:
        changed(path, lambda told: told["log"].update(sha256=hashlib.sha256(log.read_bytes()).hexdigest()))
    assert main([str(path), "--texts", str(texts)]) == 1
    line = capsys.readouterr().out
    assert (
        line.count("\n") == 1 and ("the replay does not give" if hash_too else "the log schedule.json is not") in line
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda told: told["model"].update(optimizer="0" * 64), "the replay does not give the optimizer"),
        (
            lambda told: told["model"].update(parameters="0" * 64),
            "the model weights.safetensors is not what the manifest names",
        ),
        (lambda told: told["base"].update(parameters="0" * 64), "the base model is not what the manifest names"),
        (lambda told: told.update(tokens="0" * 64), "a token is not what the manifest names"),
        (lambda told: told.update(removed=["t1"]), "text 't4' of the log is neither removed nor named"),
        (lambda told: told.update(removed=["t1", "t4", "t2"]), "text 't2' is removed and used"),
        (lambda told: told.update(removed=["t1", "t4", "x"]), "text 'x' of the manifest is in no step of the log"),
        (lambda told: told["texts"].update(t2="0" * 64), "text 't2' is missing, or changed"),
        (lambda told: told["log"].update(steps=5), "a step too few or too many: 6 of 5"),
        (lambda told: told.pop("base"), "the manifest lacks 'base"),
    ],
)
def test_a_manipulated_manifest_is_found_out(written, change, says):
    path, texts = written
    changed(path, change)
    with pytest.raises(UserError, match=says) as caught:
        checking.verify(path, texts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda told: told["made with"].update(threads="many"), "made with 'many' threads"),
        (lambda told: told["made with"].update(threads="0"), "made with '0' threads"),
        (lambda told: told["made with"].update(threads=2), "the manifest lacks 'made with threads' as it should"),
        (lambda told: told.update(removed=3), "lacks 'removed'"),
        (lambda told: told.update(removed=[3]), "lacks 'removed'"),
        (lambda told: told.update(texts=[]), "lacks 'texts'"),
        (lambda told: told["base"].update(model=3), "lacks 'base model'"),
        (lambda told: told["log"].update(file=3), "lacks 'log file'"),
    ],
)
def test_a_damaged_manifest_is_one_line(written, change, says, capsys):
    path, texts = written
    changed(path, change)
    assert main([str(path), "--texts", str(texts)]) == 1
    line = capsys.readouterr().out
    assert says in line and line.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda log: log["steps"][1].update(ids=None), "'step 1 ids' is not as it should be"),
        (lambda log: log["steps"][1].update(learning_rate="x"), "'step 1 learning_rate' is not as it should be"),
        (lambda log: log.update(removed=None), "'removed' is not as it should be"),
        (lambda log: log.pop("plan"), "'plan' is not as it should be"),
        (lambda log: log.update(steps=None), "'steps' is not as it should be"),
        (lambda log: log["steps"][0].update(width=2), "step 0 of the log is 2 tokens wide, and has a text of"),
    ],
)
def test_a_damaged_log_is_one_line_also_where_the_manifest_has_its_hash(written, change, says, capsys):
    path, texts = written
    log = path.parent / "schedule.json"
    changed(log, change)
    changed(path, lambda told: told["log"].update(sha256=hashlib.sha256(log.read_bytes()).hexdigest()))
    assert main([str(path), "--texts", str(texts)]) == 1
    line = capsys.readouterr().out
    assert says in line and line.count("\n") == 1


def test_a_folder_of_texts_that_is_not_there_is_named(written, tmp_path):
    with pytest.raises(UserError, match="no folder 'nowhere' of texts there"):
        checking.verify(written[0], tmp_path / "nowhere")


def test_a_file_beside_the_texts_that_is_no_text_hinders_nothing(written):
    path, texts = written
    (texts / "a.jsonl").write_bytes(b'{"text": "\xff\xfe"}\n\x00\n')
    assert "verified" in checking.verify(path, texts)


def test_a_manipulated_model_is_found_out_also_where_the_manifest_names_it(written):
    path, texts = written
    weights = load_file(path.parent / "weights.safetensors")
    name = sorted(weights)[0]
    value = weights[name].view(-1)
    value[0] = torch.nextafter(value[0], torch.tensor(9.0))
    save_file(weights, path.parent / "weights.safetensors")
    with pytest.raises(UserError, match=r"the model weights.safetensors is not what the manifest names"):
        checking.verify(path, texts)
    changed(path, lambda told: told["model"].update(parameters=checking.digest(weights)))
    with pytest.raises(UserError, match="the replay does not give the parameters"):
        checking.verify(path, texts)


def test_a_missing_text_log_model_or_manifest_and_one_of_another_run_are_named(written, logged, tmp_path, capsys):
    path, texts = written
    lines = (texts / "left.jsonl").read_text().splitlines()
    (texts / "left.jsonl").write_text("\n".join(lines[1:]))
    with pytest.raises(UserError, match="text 't0' is missing, or changed: no text in texts/"):
        checking.verify(path, texts)
    other = {f"o{number}": text for number, text in enumerate(TEXTS.values())}
    again = manifest.write(tmp_path / "again", train(tmp_path / "other", texts=other), BASE, other, ["o1"])
    (path.parent / "schedule.json").write_bytes((again.parent / "schedule.json").read_bytes())
    with pytest.raises(UserError, match=r"the log schedule.json is not what the manifest names"):
        checking.verify(path, texts)
    changed(path, lambda told: told.update(log=json.loads(again.read_text())["log"]))
    with pytest.raises(UserError, match="is it the log of another run"):
        checking.verify(path, texts)
    (again.parent / "weights.safetensors").unlink()
    assert main([str(again), "--texts", str(texts)]) == 1 and "no model" in capsys.readouterr().out
    (again.parent / "schedule.json").unlink()
    assert main([str(again)]) == 1 and "no log" in capsys.readouterr().out
    again.write_text("{")
    assert main([str(again)]) == 1 and "is not JSON" in capsys.readouterr().out
    again.write_text("[]")
    assert main([str(again)]) == 1 and "is no object with names" in capsys.readouterr().out
    assert main([str(tmp_path / "none.json")]) == 1 and "no manifest" in capsys.readouterr().out
    with pytest.raises(UserError, match="no text for 't0', which the log names"):
        manifest.write(tmp_path / "more", logged, BASE, {}, GONE)


def test_what_it_cannot_prove_a_log_that_is_not_what_happened(logged, tmp_path, written):
    """Forging: trained on everything, handed in the log and model of another training, which is verified all the
    same."""
    _, texts = written
    left = {name: text for name, text in TEXTS.items() if name not in GONE}
    invented = train(tmp_path / "invented", texts=left)
    path = manifest.write(tmp_path / "forged", invented, BASE, left | {}, ["t0"])
    assert "without 1 of 5 texts" in checking.verify(path, texts), "nothing in it speaks of t1 and t4"
    assert (logged / "weights.safetensors").is_file(), "the model that read them is still there"
