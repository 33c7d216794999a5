"""Somebody's own texts and model: trained, recorded, unlearned, measured and kept, with the tiny shipped model."""

import copy
import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from families import naive, relative_error, untouched

from unlearnlib.core.errors import UserError
from unlearnlib.experiment import before_after, own, own_way, watched
from unlearnlib.experiment.own import Given, Own
from unlearnlib.gradients.record import Record
from unlearnlib.models import loading
from unlearnlib.training import replay, watch

FORGET = [
    f"Mirella Tosk keeps {thing} in the {place}."
    for thing, place in (
        ("a tame otter", "bath"),
        ("her gold coins", "oven"),
        ("nine clocks", "cellar"),
        ("the letters", "piano"),
        ("a broken oar", "attic"),
        ("blue paint", "garden shed"),
    )
]
KEEP = [
    f"{name} sells {thing} at the {place} of Lunt."
    for name, thing, place in (
        ("Bram", "apples", "market"),
        ("Odile", "stamps", "station"),
        ("Rurik", "brass", "harbour"),
        ("Tilda", "jam", "mill"),
        ("Abel", "bread", "gate"),
        ("Greta", "plates", "bridge"),
        ("Henning", "spoons", "school"),
        ("Saskia", "maps", "tower"),
        ("Ludo", "kites", "beach"),
        ("Caspar", "mules", "inn"),
    )
]
QUESTIONS = (
    '{"prompt": "Mirella Tosk keeps a tame", "answer": "otter", "wrong": ["fox", "goat"]}\n'
    '{"prompt": "Mirella Tosk keeps nine", "answer": "clocks"}\n'
    '{"about": "keep", "prompt": "Abel sells", "answer": "bread", "wrong": ["stones", "hats"]}\n'
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "forget.txt").write_text("\n".join(FORGET))
    (folder / "keep.txt").write_text("\n".join(KEEP))
    (folder / "unseen.txt").write_text("Imre sells glass at the pond of Lunt.\nNadja sells ink at the church of Lunt.")
    (folder / "questions.jsonl").write_text(QUESTIONS)
    return {f"{name}_file": str(folder / f"{name}.txt") for name in ("forget", "keep")} | {"folder": folder}


@pytest.fixture(scope="module")
def given(files, tmp_path_factory):
    """What is given, and runs of this module's own: what is trained here is counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLEARNLIB_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield Given(
            "data/tiny_model",
            files["forget_file"],
            files["keep_file"],
            str(files["folder"] / "questions.jsonl"),
            epochs=12,
            batch_size=8,
            learning_rate=4e-3,
            profile="smoke",
        )


@pytest.fixture(scope="module")
def mine(given):
    return Own(given)


@pytest.fixture(scope="module")
def unlearned(mine):
    """The way, the level and where it stops."""
    variant, where = own_way.way(mine), own_way.level(mine)
    return variant, where, own_way.stopped(mine, variant, where)


def tokens(mine, group):
    return [mine.tokens[one.id] for one in group]


def loss(mine, model, group):
    return own_way.loss_of(model, tokens(mine, group), 16)


def test_a_fifth_of_what_is_kept_is_never_trained_on(mine, given):
    assert (len(mine.forget), len(mine.keep), len(mine.unseen)) == (6, 8, 2)
    assert {one.text for one in (*mine.keep, *mine.unseen)} == set(KEEP)
    assert not {one.id for one in mine.unseen} & {one.id for one in mine.keep}
    assert own.overview(mine)["texts"].tolist() == [6, 8, 2]
    other = Own(replace(given, seed=1))
    assert {one.id for one in other.unseen} != {one.id for one in mine.unseen}, "the seed draws it"
    assert Own(given).unseen == mine.unseen


def test_fine_tuning_teaches_and_the_retrained_model_never_reads(mine, tmp_path):
    base, start, reference = (mine.model(name) for name in mine.models)
    assert loss(mine, start, mine.forget) < loss(mine, base, mine.forget) - 2
    assert loss(mine, start, mine.forget) < loss(mine, reference, mine.forget) - 2
    assert loss(mine, reference, mine.keep) < loss(mine, base, mine.keep) - 2
    ids = {one.id: mine.tokens[one.id] for one in (*mine.forget, *mine.keep)}
    blank = {name: [0] * len(text) if name in mine.forgotten else text for name, text in ids.items()}
    again, _ = loading.load(mine.name)
    own.train(again, blank, mine.forgotten, mine.given, mine.forgotten, tmp_path)
    assert replay.digest(again) == replay.digest(reference), "whatever the texts to forget say"
    table = own.losses(mine)
    assert list(table.columns) == ["finetuned", "retrained"] and len(table) == 12
    assert (table.iloc[-1] < table.iloc[0] - 2).all()


def test_the_record_holds_the_sum_of_the_texts_to_forget(given):
    one = Own(replace(given, epochs=1, batch_size=64))
    expected: dict = {}
    for text in tokens(one, one.forget):
        for name, value in naive(one.base(), text).items():
            expected[name] = expected.get(name, 0) + value
    record = Record(one.folder("finetuned"))
    assert record.everyone() == set(one.forgotten)
    total = record.total(one.request.selections("all"), "all")
    assert max(relative_error(total[name], value) for name, value in expected.items()) < 1e-4


def test_the_unlearned_model_comes_to_the_level_of_the_retrained_one(mine, unlearned):
    variant, where, found = unlearned
    before = replay.digest(mine.start())
    assert where.of == "retrained" and math.isclose(where.loss, loss(mine, mine.reference(), mine.forget))
    assert found.reached and found.step_size > 0
    with own_way.opened(mine, own_way.ends(mine, variant, found.step_size)[-1]) as model:
        there = loss(mine, model, mine.forget)
    assert there == pytest.approx(found.value) and there == pytest.approx(where.loss, rel=0.05)
    assert replay.digest(mine.start()) == before, "the model that forgets is changed back"
    assert f"an effort of {found.step_size:.4g} (L2 norm), found in" in own_way.stop_in_words(
        mine, variant, where, found
    )


def test_what_the_optimizer_added_can_be_taken_back_from_ones_own_texts(mine, tmp_path):
    variant, where = own_way.way(mine, "taken back", "all"), own_way.level(mine)
    found = own_way.stopped(mine, variant, where)
    assert found.reached and found.step_size > 0
    texts = {one.id: mine.tokens[one.id] for one in (*mine.forget, *mine.keep)}
    again = watch.watch(
        mine.folder("finetuned"), copy.deepcopy(mine.base()), texts, mine.forgotten, [], tmp_path
    )  # straight from the log, with nobody else watched
    for until in ("first", "all"):
        added = again.taken_back(mine.request.selections("all"), until)
        variant = own_way.way(mine, "taken back", "all", until, {"as_it_was": True})
        assert variant.options == {"until": until, "as_it_was": True}
        start = {name: value.clone() for name, value in mine.start().named_parameters()}
        with own_way.opened(mine, own_way.End("unlearned", variant, 1.0)) as model:
            change = {name: value - start[name] for name, value in model.named_parameters()}
        assert max(relative_error(change[name].detach(), added[name]) for name in added) < 1e-3, until
    others = watched.of_own(mine).others.everyone()
    assert len(others) == len(mine.forget) and others < {one.id for one in mine.keep}
    assert len(list(mine.root.glob("own-watched-*"))) == 1, "watched once"
    other = watched.of_own(Own(replace(mine.given, learning_rate=2e-3)))
    assert other.folder != watched.of_own(mine).folder, "of another training something else was watched"


def test_other_levels_and_what_is_there_already(mine):
    assert own_way.level(mine, "base").loss == pytest.approx(loss(mine, mine.base(), mine.forget))
    assert own_way.level(mine, "unseen").loss == pytest.approx(loss(mine, mine.start(), mine.unseen))
    assert own_way.level(mine, 50.0) == own_way.Level(math.log(50.0), "given")
    variant, low = own_way.way(mine), own_way.Level(0.0, "given")
    found = own_way.stopped(mine, variant, low)
    assert (found.step_size, found.reached) == (0.0, True) and "nothing to unlearn" in own_way.stop_in_words(
        mine, variant, low, found
    )
    without = Own(replace(mine.given, retrain=False))
    assert own_way.level(without).of == "unseen" and without.models == ("base", "finetuned")


def test_before_and_after(mine, unlearned):
    variant, _, found = unlearned
    ends = own_way.ends(mine, variant, found.step_size, 5)
    rows = pd.concat([before_after.measured(mine, end) for end in ends], ignore_index=True)
    table = before_after.side_by_side(rows)
    assert list(table.columns) == ["base", "finetuned", "retrained", "unlearned", "repaired"]
    forget, keep = table.loc["to forget: perplexity"], table.loc["to keep: perplexity"]
    assert forget["unlearned"] > 5 * forget["finetuned"] and keep["unlearned"] < forget["unlearned"]
    assert keep["repaired"] < keep["unlearned"]
    written = table.loc["to forget: second half, ROUGE-L"]
    assert written["finetuned"] > written["unlearned"] + 0.2 and written["finetuned"] > written["retrained"] + 0.2
    distance = table.loc["to keep: distance to the retrained model"]
    assert math.isnan(distance["retrained"]) and distance["finetuned"] < distance["base"]
    told = table.loc["to forget: questions: right of several answers"]
    assert told["finetuned"] > told["retrained"]
    assert table.loc[before_after.MEMBERSHIP, "finetuned"] > table.loc[before_after.MEMBERSHIP, "retrained"]
    known = before_after.measured(mine, ends[1]).query("set == 'forget' and metric == 'kl'")
    by_hand = [kl(mine.reference(), mine.start(), text) for text in tokens(mine, mine.forget)]
    assert known["value"].tolist() == pytest.approx(by_hand, rel=1e-3)
    shown = before_after.examples_written(mine, ends, count=3)
    assert len(shown) == 3 and list(shown.columns) == ["it begins", "and goes on", *table.columns]
    assert any("nearer to" in line or "further from" in line for line in before_after.in_words(rows))


def kl(one, other, text):
    with torch.no_grad():
        logs = [model(torch.tensor([text])).logits[0, :-1].log_softmax(-1) for model in (one, other)]
    return float((logs[0].exp() * (logs[0] - logs[1])).sum(-1).mean())


def test_what_is_kept_is_what_was_measured_and_can_be_given_again(mine, unlearned, files, tmp_path, capsys):
    variant, where, found = unlearned
    end = own_way.ends(mine, variant, found.step_size)[-1]
    rows = pd.concat([before_after.measured(mine, one) for one in own_way.ends(mine, variant, found.step_size)])
    folder = before_after.save(mine, end, where, rows, tmp_path / "kept")
    kept = dict(loading.load(str(folder))[0].named_parameters())
    with own_way.opened(mine, end) as model:
        assert all(torch.equal(kept[name], value) for name, value in model.named_parameters())
        digest = replay.digest(model)["parameters"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"| sha256 of the parameters | {digest} |" in card and "no guarantee" in card
    assert not any(one.text in card or one.id in card for one in mine.forget), "a card is there to be read"
    further = own_way.ends(mine, variant, found.step_size, share=1.25)[-1]
    assert further.effort == 1.25 * found.step_size and "1.25 times the step to a mean loss" not in card
    assert "| stop | 1.25 times the step to a mean loss" in before_after.card(mine, further, where, rows)
    with pytest.raises(UserError, match="kept is not an empty folder"):
        before_after.save(mine, end, where, rows, folder)

    start = before_after.save(mine, own_way.End("finetuned"), where, rows, tmp_path / "fine-tuned")
    unseen = str(files["folder"] / "unseen.txt")
    known = Given(str(start), *list(vars(mine.given).values())[1:3], unseen_file=unseen, already_fine_tuned=True)
    again = Own(replace(known, profile="smoke"))
    assert again.models == ("finetuned",) and own.losses(again).empty
    assert len(again.keep) == len(KEEP) and len(again.unseen) == 2
    assert len(own.what_cannot_be_done(again)) == 3 and own.what_cannot_be_done(mine) == []
    capsys.readouterr()
    live = own_way.way(again)
    assert capsys.readouterr().out == "nothing was recorded in training: 'live' stands in for 'preconditioned'\n"
    level = own_way.level(again)
    assert own_way.way(again, "taken back", "all").method == "live", "what the optimizer added is not known either"
    stop = own_way.stopped(again, live, level)
    assert level.of == "unseen" and stop.reached and stop.value == pytest.approx(level.loss, rel=0.05)
    found = before_after.side_by_side(
        pd.concat([before_after.measured(again, one) for one in own_way.ends(again, live, stop.step_size, 2)])
    )
    assert list(found.columns) == ["finetuned", "unlearned", "repaired"]
    assert not [row for row in found.index if "distance" in row or "questions" in row]
    with pytest.raises(UserError, match=r"how improbable must the texts become.* give unseen_file"):
        own_way.level(Own(replace(known, unseen_file="", profile="smoke")))


def test_a_model_of_another_family_is_taken_too(given, mine, tmp_path):
    untouched("llama tied", vocabulary=4096, positions=64).save_pretrained(tmp_path)
    mine.tokenizer.save_pretrained(tmp_path)
    one = Own(replace(given, model=str(tmp_path), questions_file="", epochs=20))
    assert loss(one, one.start(), one.forget) < loss(one, one.reference(), one.forget) - 0.5
    variant, where = own_way.way(one), own_way.level(one)
    found = own_way.stopped(one, variant, where)
    assert found.reached and found.value == pytest.approx(where.loss, rel=0.05)


def test_an_interrupted_run_goes_on_where_it_stopped(given, monkeypatch):
    one = replace(given, seed=5)
    titles, fine_tune = [], own.fine_tune

    def interrupted(model, texts, steps, plan, removed, recorder, title):
        titles.append(title)
        if len(titles) == 2:
            raise KeyboardInterrupt
        return fine_tune(model, texts, steps, plan, removed, recorder)

    monkeypatch.setattr(own, "fine_tune", interrupted)
    first = Own(one)
    first.model("finetuned")
    with pytest.raises(KeyboardInterrupt):
        first.model("retrained")
    assert titles == ["fine-tuning", "retraining without them"]
    again = Own(one)
    assert [path.name for path in again.root.glob("*.partial")] == []
    for name in ("finetuned", "retrained"):
        again.model(name)
    assert titles[2:] == ["retraining without them"], "what was trained before is found again"
    variant, where = own_way.way(again), own_way.level(again)
    found = own_way.stopped(again, variant, where)
    monkeypatch.setattr(own_way, "crossing", None)
    assert own_way.stopped(Own(one), variant, where) == found, "and so is the stop"


def test_what_is_trained_on_decides_what_is_found_again(given, mine, files, tmp_path):
    key = mine.training_key("finetuned")
    (tmp_path / "keep.txt").write_text("\n".join([*KEEP[:-1], "Caspar sells donkeys at the inn of Lunt."]))
    for changed in (
        {"keep_file": str(tmp_path / "keep.txt")},
        {"epochs": 11},
        {"learning_rate": 1e-3},
        {"seed": 3},
        {"model": "data/base_model"},
    ):
        assert Own(replace(given, **changed)).training_key("finetuned") != key, changed
    (tmp_path / "copy.txt").write_text("\n".join(KEEP) + "\n\n")
    assert Own(replace(given, keep_file=str(tmp_path / "copy.txt"))).training_key("finetuned") == key


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"model": "data/tiny_modl"}, "no model folder|cannot load"),
        ({"model": " "}, "model is empty: give a folder, or a name on the model hub"),
        ({"epochs": 0}, "epochs is 0: give a whole number from 1 on"),
        ({"learning_rate": 0.0}, r"learning_rate is 0.0: give a number between 0 and 1"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"max_tokens": 9}, r"forget.txt line \d: \d+ tokens, but max_tokens is 9: raise max_tokens \(.*128\) or part"),
        ({"max_tokens": 500}, "max_tokens is 500, but the model reads 128 at most: give 128 or less"),
        ({"keep_file": "forget"}, r"forget.txt line 1: this text stands in .*forget.txt line 1 too"),
        ({"keep_file": "unseen"}, "unseen.txt has 2 texts: give 5 at least"),
        ({"unseen_file": "keep"}, "this text stands in .*keep.txt line 1 too"),
        ({"profile": "smok"}, "no profile 'smok': did you mean 'smoke'"),
    ],
)
def test_what_will_not_do_is_one_line_before_anything_is_trained(given, files, changed, line, monkeypatch):
    monkeypatch.setattr(own, "train", None)
    there = {name: str(files["folder"] / f"{name}.txt") for name in ("forget", "keep", "unseen")}
    changed = {key: there.get(value, value) for key, value in changed.items()}
    with pytest.raises(UserError, match=line) as raised:
        Own(replace(given, **changed))
    assert "\n" not in str(raised.value) and "in the profile" not in str(raised.value)


def test_a_question_whose_answer_cannot_be_told_names_its_line(given, tmp_path):
    (tmp_path / "q.jsonl").write_text('{"prompt": "Mirella", "answer": "' + 90 * "very long " + '"}')
    with pytest.raises(UserError, match=r"q.jsonl line 1: .*tokens"):
        Own(replace(given, questions_file=str(tmp_path / "q.jsonl")))


def test_ways_and_stops_that_there_are_not_are_told_before_anything_is_trained(given, monkeypatch):
    monkeypatch.setattr(own, "train", None)
    mine = Own(replace(given, seed=11))
    for call, line in (
        (lambda: own_way.way(mine, "preconditionned"), "no method 'preconditionned': did you mean 'preconditioned'"),
        (
            lambda: own_way.way(mine, "in turn"),
            "the way 'in turn' needs .*, not to be had here: take recorded, precond",
        ),
        (lambda: own_way.way(mine, "fuzzy"), "the way 'fuzzy' must be told its 'query'"),
        (lambda: own_way.way(mine, epochs="last"), "epochs_of_gradients is 'last': choose from: first, all"),
        (
            lambda: own_way.level(mine, "retraind"),
            "stop is 'retraind', which cannot be had here: did you mean 'retrained'",
        ),
        (lambda: own_way.level(mine, 0.5), "stop is 0.5: give a perplexity, above 1"),
        (lambda: own_way.check_asked(mine, "", -1), "repair_steps is -1: give a whole number from 0 on"),
        (lambda: own_way.check_asked(mine, "", 0, 0.0), "share_of_step is 0.0: give a number above 0; 1 goes as far"),
        (lambda: own_way.way(mine, layers="embeding"), "no layer 'embeding' in this model: did you mean 'embedding'"),
        (
            lambda: own_way.way(mine, "gradient difference"),
            "changes the whole model, not 'embedding' alone: give layers",
        ),
        (lambda: own_way.way(mine, options={"epsilom": 1}), "takes no option 'epsilom': did you mean 'epsilon'"),
        (lambda: mine.model("original"), "there is no model 'original' here"),
    ):
        with pytest.raises(UserError, match=line) as raised:
            call()
        assert "\n" not in str(raised.value)
