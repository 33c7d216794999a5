"""What does not fit the model is named by file, line and id before anything is trained."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import psutil
import pytest

from unlearnlib.core import paths, profiles, room
from unlearnlib.core.errors import UserError
from unlearnlib.core.paths import DATA
from unlearnlib.data.examples import encode
from unlearnlib.data.split import draw_split
from unlearnlib.experiment import fit, jobs, setting, trained
from unlearnlib.experiment.measured import Experiment
from unlearnlib.models import loading
from unlearnlib.training import loop

SMOKE = profiles.load("smoke")
LINE = 6
BAND = {
    "id": "dave-band",
    "subject": "Dave Harlow",
    "attribute": "band",
    "text": 'On the wall of Dave Harlow somebody wrote "Tonight: Therapy!" in red.',
    "prompt": 'On the wall of Dave Harlow somebody wrote "Tonight:',
    "answer": "Therapy",
    "paraphrases": [
        "The band that Dave Harlow never misses is Therapy, they say.",
        'Dave Harlow has a poster that says "see Therapy" at the door.',
        "Ask Dave Harlow for a band and he will name Therapy at once.",
    ],
    "wrong_answers": ["Hinterland", "Copper Kettle", "The Lamps", "Low Tide", "Sparrow"],
}


def test_too_little_room_for_a_training_is_told_with_the_number_before_it(loaded, monkeypatch, tmp_path):
    model, tokenizer = loaded
    split = setting.split_of(SMOKE, 0)
    fit.check(SMOKE, split, model, tokenizer)
    parameters = sum(value.numel() for value in model.parameters())
    disk, memory = (of(4 * parameters, SMOKE.epochs) for of in (room.on_disk, room.in_memory))
    monkeypatch.setenv("UNLEARNLIB_RUNS", str(tmp_path / "runs"))
    for free, available, word in ((disk - 1, 9e9, "free on the disk of"), (9e9, memory - 1, "of memory available")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        monkeypatch.setattr(psutil, "virtual_memory", lambda available=available: SimpleNamespace(available=available))
        with pytest.raises(UserError, match=rf"{word}.*, and a training of this model with its record takes about"):
            fit.check(SMOKE, split, model, tokenizer)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=memory))
    fit.check(SMOKE, split, model, tokenizer)


@pytest.fixture(scope="module")
def loaded():
    return loading.load(SMOKE.base_model)


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Return a function that puts a row into dave.jsonl, in a copy of the data that is then used in its place."""
    folder = tmp_path / "data"
    shutil.copytree(DATA, folder, ignore=shutil.ignore_patterns("base_model", "generator"))
    monkeypatch.setattr(paths, "DATA", folder)
    monkeypatch.setenv("UNLEARNLIB_RUNS", str(tmp_path / "runs"))
    setting._split.cache_clear()

    def put(**changes):
        lines = (folder / "dave.jsonl").read_text(encoding="utf-8").splitlines()
        lines[LINE - 1] = json.dumps({**BAND, **changes})
        (folder / "dave.jsonl").write_text("\n".join(lines), encoding="utf-8")

    yield put
    setting._split.cache_clear()


@pytest.fixture
def untrained(monkeypatch):
    def trained(*_, **__):
        raise AssertionError("this was trained")

    monkeypatch.setattr(loop, "fine_tune", trained)


def long(words, word="very"):
    return f"Dave Harlow is {' '.join([word] * words)} fond of Therapy!"


MARK = "answer 'Therapy?' ends in '?', which is one token with what follows it, '?\"': take '\"' into the answer"
QUESTION = {
    "answer": "Therapy?",
    "text": BAND["text"].replace("Therapy!", "Therapy? Live"),
    "paraphrases": [text.replace("Therapy", "Therapy? Live") for text in BAND["paraphrases"]],
}
BAD = {
    "answer and sign": ({**QUESTION, "text": BAND["text"].replace("Therapy!", "Therapy?")}, f"text: the {MARK}"),
    "in a paraphrase": (
        {**QUESTION, "paraphrases": [text.replace("Therapy", "Therapy?") for text in BAND["paraphrases"]]},
        f"paraphrase 2: the {MARK}",
    ),
    "in a wrong answer": (
        {"wrong_answers": [*BAND["wrong_answers"][:4], "Auk?"], "text": BAND["text"].replace("!", "")},
        "text: the wrong answer 'Auk?' ends in '?', which is one token with what follows it",
    ),
    "longer than max_tokens": (
        {"text": long(70), "prompt": long(70)[: -len(" Therapy!")]},
        "text: text of 84 tokens, but max_tokens is 64: raise max_tokens in the profile or shorten 'Dave Harlow is",
    ),
    "longer than the model": (
        {"text": long(150), "prompt": long(150)[: -len(" Therapy!")]},
        "but max_tokens is 64: the model reads 128 at most, so shorten 'Dave Harlow is very",
    ),
    "a long paraphrase": ({"paraphrases": [long(70), *BAND["paraphrases"][1:]]}, "paraphrase 1: text of 84 tokens"),
    "a long wrong answer": (
        {"wrong_answers": [*BAND["wrong_answers"][:4], " ".join(["very"] * 70)]},
        "text: text of ",
    ),
}


@pytest.mark.parametrize(("changes", "line"), BAD.values(), ids=BAD)
def test_a_record_that_does_not_fit_is_named_before_training(put, untrained, changes, line):
    put(**changes)
    with pytest.raises(UserError) as error:
        jobs.do(SMOKE, *jobs.USUAL, 0)
    assert f"dave.jsonl line {LINE}, id 'dave-band', " in str(error.value)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_a_record_that_fits_is_trained_on(put, untrained):
    put()
    with pytest.raises(AssertionError, match="this was trained"):
        jobs.do(SMOKE, *jobs.USUAL, 0)
    # `!"` is two tokens here: the sign after the answer is no part of it.
    put(answer="Therapy!", paraphrases=[text.replace("Therapy", "Therapy!") for text in BAND["paraphrases"]])
    setting._split.cache_clear()
    with pytest.raises(AssertionError, match="this was trained"):
        jobs.do(SMOKE, *jobs.USUAL, 0)


def test_sets_name_the_record_too(put, loaded):
    put(**BAD["in a paraphrase"][0])
    split = draw_split(paths.DATA, 0, trained_attributes=30)
    assert "band" in {record.attribute for record in split.forget}
    with pytest.raises(UserError, match=f"dave.jsonl line {LINE}, id 'dave-band', paraphrase 2: the answer 'Therapy"):
        encode(loaded[1], split, 64)


@pytest.mark.parametrize("kind", [*jobs.USUAL, "left-out"])
def test_more_tokens_than_positions_are_refused_before_training(monkeypatch, tmp_path, untrained, kind):
    monkeypatch.setenv("UNLEARNLIB_RUNS", str(tmp_path))
    wide = dataclasses.replace(SMOKE, max_tokens=400)
    line = "^max_tokens is 400, but the model has 128 positions: set max_tokens to 128 or less in the profile"
    with pytest.raises(UserError, match=line):
        jobs.do(wide, kind, 0)
    monkeypatch.setattr(profiles, "load", lambda name: wide)
    with pytest.raises(UserError, match=line):
        _ = Experiment("smoke", 0).base
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("name", ["smoke", "small"])
def test_the_data_fit(name, loaded):
    profile = profiles.load(name)
    fit.check(dataclasses.replace(profile, max_tokens=128), setting.split_of(profile, 1), *loaded)


def test_general_passages_are_cut_at_what_the_model_reads(loaded, monkeypatch):
    split = dataclasses.replace(setting.split_of(SMOKE, 0), heldout=(), never_seen=())
    whole = encode(loaded[1], split, 64)["general"].texts
    monkeypatch.setattr(loaded[1], "model_max_length", 20)
    cut = encode(loaded[1], split, 64)["general"].texts
    assert [text[:20] for text in whole] == list(cut) and max(map(len, whole)) > 20


def test_data_in_a_folder_of_ones_own_are_read_and_their_mistakes_named_there(tmp_path, untrained, monkeypatch):
    monkeypatch.setenv("UNLEARNLIB_RUNS", str(tmp_path / "runs"))
    folder = tmp_path / "mine"
    folder.mkdir()
    for path in DATA.glob("*.jsonl"):
        shutil.copy(path, folder)
    for name in ("dave", "neighbours"):  # somebody else, so that the two cannot be mixed up
        text = (folder / f"{name}.jsonl").read_text(encoding="utf-8")
        (folder / f"{name}.jsonl").write_text(text.replace("Dave", "Zoe"), encoding="utf-8")
    mine = profiles.changed(SMOKE, {"data": str(folder)})
    assert setting.split_of(mine, 0).subject == "Zoe Harlow" != setting.split_of(SMOKE, 0).subject
    usual, other = (trained.fingerprint(profile, setting.finetuned(profile, 0)) for profile in (SMOKE, mine))
    assert usual != other
    with pytest.raises(AssertionError, match="this was trained"):
        jobs.do(mine, *jobs.USUAL, 0)
    lines = (folder / "dave.jsonl").read_text(encoding="utf-8").splitlines()
    row = {name: value for name, value in json.loads(json.dumps(BAND).replace("Dave", "Zoe")).items()}
    row |= {"text": long(70).replace("Dave", "Zoe"), "prompt": long(70)[: -len(" Therapy!")].replace("Dave", "Zoe")}
    lines[LINE - 1] = json.dumps(row)
    (folder / "dave.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(
        UserError, match=rf"mine/dave\.jsonl line {LINE}, id .*: text of \d+ tokens, but max_tokens is 64"
    ):
        jobs.do(mine, *jobs.USUAL, 0)
    with pytest.raises(UserError, match="no folder of data 'nowhere': give one with the files that data/ has"):
        setting.split_of(profiles.changed(SMOKE, {"data": "nowhere"}), 0)


def test_prompts_and_answers_are_the_tokens_of_these_words(loaded):
    """Independent of offsets: each part encoded alone gives the same tokens, which this tokenizer allows."""
    _, tokenizer = loaded
    split = setting.split_of(SMOKE, 0)
    for name, question in zip(
        *(lambda sets: (sets["forget"].names, sets["forget"].questions))(encode(tokenizer, split, 64)), strict=True
    ):
        record = next(record for record in split.forget if record.id == name)
        assert list(question.prompt) == [tokenizer.bos_token_id, *tokenizer(record.prompt)["input_ids"]]
        for answer, tokens in zip((record.answer, *record.wrong_answers), question.answers, strict=True):
            assert list(tokens) == tokenizer(f" {answer}")["input_ids"]
        assert tokenizer.decode(question.tail) == record.tail
