"""The sources of other data: invented files in their schemas, their protocols, and files that are wrong.

The real files are read where they are: in the folder that UNLEARNLIB_REAL_DATA names, or ../shared/data beside the
repository.
"""

import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.core.paths import DATA, ROOT
from unlearnlib.data import encoding, pistol, reading, rwku
from unlearnlib.data.benchmarks import SOURCES, load
from unlearnlib.data.items import Benchmark, Item, to_dataset
from unlearnlib.data.records import load_records

FIXTURES = Path(__file__).parent / "fixtures"
ADAPTING = (ROOT / "docs" / "adapting.md").read_text(encoding="utf-8")
ADA = "Target/1_Ada_Quillon"
TOFU = {"per_author": 4}  # the invented authors have four questions each
REAL = Path(os.environ.get("UNLEARNLIB_REAL_DATA") or ROOT.parent / "shared" / "data")


def lines(name):
    return [json.loads(line) for line in (FIXTURES / "tofu" / name).read_text().splitlines()]


def put(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(DATA / "tiny_model")


@pytest.fixture
def tofu(tmp_path):
    """A copy of the invented TOFU, to be broken."""
    return Path(shutil.copytree(FIXTURES / "tofu", tmp_path / "tofu"))


# Every source and its protocol

COUNTS = {
    "tofu": (
        TOFU,
        {
            "forget": 8, "retain": 12, "forget_perturbed": 8, "retain_perturbed": 8, "real_authors": 5,
            "world_facts": 5,
        },
    ),
    "muse": (
        {},
        {
            "forget": 5, "retain": 5, "heldout": 5, "retain2": 5, "verbmem": 5, "knowmem_forget": 5,
            "knowmem_retain": 6, "knowmem_forget_shown": 2, "knowmem_retain_shown": 2, "privleak_forget": 5,
            "privleak_retain": 5, "privleak_holdout": 5,
        },
    ),
    "rwku": (
        {},
        {
            "forget": 5, "forget_level1": 6, "forget_level2": 5, "forget_level3": 5, "neighbour_level1": 5,
            "neighbour_level2": 5, "mia_forget": 5, "mia_retain": 5, "intro": 1, "utility_general": 5,
            "utility_reason": 5, "utility_truthfulness": 5, "utility_factuality": 5,
        },
    ),
    "knowundo": ({}, {"forget": 6, "retain": 6, "unlearn_val": 6, "retention_val": 6}),
    "pistol": ({}, {"forget": 4, "retain": 12, "neighbours": 8, "independent": 4, "utility": 5}),
    "pii": ({"forget": "forget1"}, {"forget": 5, "retain": 5}),
    "text": ({}, {"forget": 2, "retain": 2, "heldout": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_loads_with_its_sets(name):
    options, counts = COUNTS[name]
    found = load(name, FIXTURES / name, **options)
    assert found.counts == counts
    everything = [*found.forget, *found.retain, *found.heldout, *(item for of in found.probes.values() for item in of)]
    assert all(re.search(r" line \d+, row \d+$", item.at) for item in everything)
    assert all(bool(item.text) != bool(item.question and item.answer) for item in everything)
    assert found == load(name, str(FIXTURES / name), **options), "the same again"


def test_tofu_parts_by_authors():
    found = load("tofu", FIXTURES / "tofu", forget="forget01", **TOFU)
    assert {item.group for item in found.forget} == {"author004"}
    assert {item.group for item in found.retain} == {f"author{number:03d}" for number in range(4)}
    assert found.notes == ("there is no retain99.json: what full.json has besides forget01.json stands for it",)
    first = found.forget[0]
    assert (first.id, len(first.wrong_answers), len(first.paraphrased_answers)) == ("author004-q00", 5, 1)
    asked = found.probes["real_authors"][0]
    assert asked.answer in asked.options and set(asked.wrong_answers) == set(asked.options) - {asked.answer}
    with pytest.raises(UserError, match="did you mean 'forget10'"):
        load("tofu", FIXTURES / "tofu", forget="forget1O")


def test_tofu_of_a_few_authors_keeps_them_whole_and_forgets_more_of_the_same():
    def few(**options):
        return load("tofu", FIXTURES / "tofu", **(TOFU | {"authors": 4} | options))

    one, two, again = few(to_forget=1), few(to_forget=2), few(to_forget=1)
    assert one == again and set(one.forget) < set(two.forget)
    assert one.counts == {
        "forget": 4, "retain": 12, "heldout": 4, "forget_perturbed": 4, "retain_perturbed": 8,
        "real_authors": 5, "world_facts": 5,
    }  # fmt: skip
    assert {item.group for item in two.retain} == {"author000", "author001"}, "first those with wrong answers"
    assert all(count == 4 for count in Counter(item.group for item in (*two.forget, *two.retain)).values())
    assert len({few(seed=seed).forget for seed in range(8)}) == 2, "the seed draws the author"
    for wrong in ({"to_forget": 3}, {"to_forget": 0}, {"authors": 5, "to_forget": 1}):
        with pytest.raises(UserError, match="choose 1 to"):
            few(**wrong)


def test_tofu_without_the_full_file_and_without_wrong_answers(tofu):
    usual = load("tofu", tofu, **TOFU)
    (tofu / "full.json").unlink()
    assert load("tofu", tofu, **TOFU).forget == usual.forget
    (tofu / "retain_perturbed.json").unlink()
    found = load("tofu", tofu, **TOFU)
    assert not found.probes["retain_perturbed"] and "no truth ratio can be asked" in found.notes[-1]
    (tofu / "retain90.json").unlink()
    with pytest.raises(UserError, match=r"has no retain90.json: add it to forget01.json, forget01_perturbed.json, "):
        load("tofu", tofu, **TOFU)


def test_muse_has_two_corpora_and_texts_of_verbmem_in_place_of_raw_ones(tmp_path):
    folder = Path(shutil.copytree(FIXTURES / "muse", tmp_path / "muse"))
    usual = load("muse", folder)
    assert usual.notes == ("knowmem_retain: 1 of 6 rows repeat an earlier one, kept as published",)
    assert usual.probes["verbmem"][0].kind == "continuation"
    shutil.rmtree(folder / "news" / "raw")
    found = load("muse", folder)
    assert found.forget[0].text.startswith("The council of Ashwick said on Tuesday that the old bridge will be closed")
    assert not found.retain and "there is no news/raw/forget.json" in found.notes
    (folder / "news").rename(folder / "hp")
    assert load("muse", folder, corpus="books").probes.keys() == found.probes.keys()
    with pytest.raises(UserError, match="did you mean 'books'"):
        load("muse", folder, corpus="book")
    with pytest.raises(UserError, match="has no table of MUSE's 'news'"):
        load("muse", folder)


def test_rwku_has_levels_neighbours_and_options():
    found = load("rwku", FIXTURES / "rwku", target="Ada Quillon")
    assert found == load("rwku", FIXTURES / "rwku", target="1_Ada_Quillon")
    assert not found.retain and "RWKU gives nothing to keep" in found.notes[0]
    assert {item.kind for item in found.probes["forget_level1"]} == {"cloze"}
    assert "reverse query" in {item.topic for item in found.probes["forget_level3"]}
    assert {item.group for item in found.probes["neighbour_level1"]} == {"Tomos Brice", "Petrel (glider)"}
    general = found.probes["utility_general"][1]
    assert general.answer == "Malta" and len(general.wrong_answers) == 3
    assert found.probes["utility_factuality"][0].paraphrased_answers == ("City of Paris",)
    with pytest.raises(UserError, match="did you mean 'Ada Quillon'"):
        load("rwku", FIXTURES / "rwku", target="Ada Quillan")
    alone = FIXTURES / "rwku" / ADA
    assert load("rwku", alone).counts == found.counts, "the target's own folder"


def test_knowundo_unlearns_and_retains_within_an_entity():
    found = load("knowundo", FIXTURES / "knowundo")
    for of in (found.forget, found.retain):
        assert {item.group for item in of} == {"Rosa Elvedin", "Bruno Katz"}
    rights = load("knowundo", FIXTURES / "knowundo", domain="copyright")  # as on the hub: one object of two lists
    assert rights.counts == {"forget": 5, "retain": 5, "unlearn_val": 5, "retention_val": 5}
    assert rights.forget[1].at.endswith("row 2") and " line 7," in rights.forget[1].at


def test_pistol_knows_which_edges_touch_and_which_no_path_joins():
    edges = ["A_B", "A_C", "B_D", "D_X", "E1_F1", "F1_q"]
    assert pistol.touching(["A_C"], edges) == {"A_B"}
    assert pistol.independent(["A_C"], edges) == {"E1_F1", "F1_q"}
    found = load("pistol", FIXTURES / "pistol", forget=["A_C", "B_D"])
    assert {item.group for item in found.forget} == {"A_C", "B_D"} and len(found.retain) == 8
    with pytest.raises(UserError, match="did you mean 'A_B'"):
        load("pistol", FIXTURES / "pistol", forget="AB")


def test_a_folder_of_text_by_file_and_by_paragraph(tmp_path):
    folder = Path(shutil.copytree(FIXTURES / "text", tmp_path / "text"))
    found = load("text", folder, by="paragraph")
    assert [item.id for item in found.forget] == ["forget-harbour-000", "forget-harbour-001", "forget-market-000"]
    assert found.forget[1].at.endswith("harbour.txt line 3, row 2")
    (folder / "keep" / "copy.txt").write_bytes(b"On Fridays the market of  Vell\r\nsells eels.")
    with pytest.raises(UserError, match=r"copy.txt line 1, row 1: field 'text': say what .*market.txt .* in forget"):
        load("text", folder)
    (folder / "keep" / "copy.txt").write_text("\n \n")
    with pytest.raises(UserError, match=r"copy.txt line 1: the file is empty"):
        load("text", folder)
    shutil.rmtree(folder / "keep")
    with pytest.raises(UserError, match=r"has no keep/\*.txt"):
        load("text", folder)


def test_who_asks_for_what_is_not_there_is_told_so():
    for arguments, words in (
        (("tufo", FIXTURES / "tofu"), "did you mean 'tofu'"),
        (("tofu", FIXTURES / "nowhere"), "is no folder"),
        (("pistol", "hub"), "no data set of this source on the hub is known"),
        (("tofu", FIXTURES / "pistol"), "has no forget10.json"),
    ):
        with pytest.raises(UserError, match=words):
            load(*arguments)
    with pytest.raises(UserError, match="has no option 'autors': did you mean 'authors'"):
        load("tofu", FIXTURES / "tofu", autors=3)


# Forms that are right


@pytest.mark.parametrize(
    "form", ["array", "indented", "CRLF", "byte order mark", "jsonl", "blank lines", "more fields"]
)
def test_every_form_of_a_file_reads_alike(tofu, form):
    usual, path, rows = load("tofu", tofu, **TOFU), tofu / "forget10.json", lines("forget10.json")
    if form in ("array", "indented"):
        path.write_text(json.dumps(rows, indent=2 if form == "indented" else None))
    elif form == "CRLF":
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    elif form == "byte order mark":
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    elif form == "jsonl":
        path.rename(tofu / "forget10.jsonl")
    elif form == "blank lines":
        path.write_text("\n" + path.read_text().replace("\n", "\n\n"))
    else:
        path.write_text("".join(json.dumps(row | {"note": None}) + "\n" for row in rows))
    assert load("tofu", tofu, **TOFU) == usual


# Forms that are wrong: file, row, field and mend in one line


def changed(name, number, **fields):
    """Return what changes fields of a row (from 1) of a file of JSON lines; None removes the field."""

    def change(folder):
        rows = lines(name)
        rows[number - 1] = {key: value for key, value in (rows[number - 1] | fields).items() if value is not None}
        put(folder / name, rows)

    return change


def written(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def doubled(name, number):
    def change(folder):
        rows = lines(name)
        put(folder / name, [*rows, rows[number - 1]])

    return change


def without_the_first(name):
    return lambda folder: put(folder / name, lines(name)[1:])


ROW = b'{"question": "Q?", "answer": "A."}'
WRONG = {  # what is done to which file, where the error is, and what it says
    "missing field": (
        changed("forget10.json", 3, answer=None), "line 3, row 3", "field 'answer': is missing; add it"
    ),
    "misspelt field": (
        changed("full.json", 2, answer=None, anwser="x"), "line 2, row 2", "field 'answer': is missing; rename 'anwser'"
    ),
    "empty field": (
        changed("retain90.json", 4, answer=" "), "line 4, row 4", "field 'answer': is empty; fill it in"
    ),
    "null": (
        written("full.json", b'{"question": "Q?", "answer": null}'), "line 1, row 1",
        "field 'answer': is null, not a text; put it in quotes",
    ),
    "a number": (
        changed("full.json", 5, answer=7), "line 5, row 5", "field 'answer': is a number, not a text; put it in quotes"
    ),
    "no list": (
        changed("retain_perturbed.json", 1, perturbed_answer="x"), "line 1, row 1",
        "field 'perturbed_answer': is a text, not a list of texts; write [",
    ),
    "an empty list": (
        changed("retain_perturbed.json", 1, perturbed_answer=[]), "line 1, row 1",
        "field 'perturbed_answer': is an empty list; fill it in",
    ),
    "an empty text in a list": (
        changed("retain_perturbed.json", 1, perturbed_answer=["a", ""]), "line 1, row 1",
        "field 'perturbed_answer': number 2 of the list is empty; fill it in",
    ),
    "fewer wrong answers": (
        changed("retain_perturbed.json", 2, perturbed_answer=["a", "b"]), "line 2, row 2",
        "field 'perturbed_answer': has 2 texts, row 1 has 5; give as many in every row",
    ),
    "the right among the wrong": (
        changed("world_facts_perturbed.json", 2, perturbed_answer=["Carbon dioxide", "b", "c"]), "line 2, row 2",
        "field 'perturbed_answer': holds the right answer 'Carbon dioxide'; replace it",
    ),
    "no right option": (
        changed("real_authors.json", 2, answer="Kafka"), "line 2, row 2",
        "field 'answer': 'Kafka' is none of option1 to option4; make it one of them",
    ),
    "an option twice": (
        changed("real_authors.json", 1, option3="Walt Whitman"), "line 1, row 1",
        "field 'option2': 'Walt Whitman' comes twice; give different options",
    ),
    "a row twice": (
        doubled("forget10.json", 2), "line 9, row 9",
        "fields 'question' and 'answer': are those of row 2 again; remove one of the two",
    ),
    "empty file": (written("full.json", b" \n"), "line 1", "the file holds no rows; write one JSON object a line, or"),
    "an empty array": (written("full.json", b"[]"), "line 1", "the file holds no rows"),
    "not JSON": (
        written("full.json", b"question,answer\nQ,A\n"), "line 1, row 1",
        "column 1 is not JSON (Expecting value); write one JSON object a line, or an array of them",
    ),
    "a line cut short": (
        written("full.json", ROW + b'\n{"question": "Q'), "line 2, row 2", "column 14 is not JSON"
    ),
    "an array cut short": (
        written("full.json", b"[" + ROW + b',\n {"question": "R?"'), "line 2, row 2", "column 19 is not JSON"
    ),
    "an open array": (
        written("full.json", b"[" + ROW + b"\n"), "line 2, row 2", "a comma or the array's end ']' is missing; add it"
    ),
    "a comma too many": (
        written("full.json", b"[" + ROW + b",\n]"), "line 2, row 2",
        "a comma stands before the array's end; remove it",
    ),
    "more behind the array": (
        written("full.json", b"[" + ROW + b"]\n[]"), "line 2, row 2",
        "more stands behind the array's end; remove it",
    ),
    "rows that are texts": (
        written("full.json", b'["Q?"]'), "line 1, row 1",
        "a row is a text, not an object; write one with the fields question, answer",
    ),
    "not UTF-8": (
        written("full.json", ROW + b'\n{"question": "Q\xe9"}'), "line 2", "this is not UTF-8; save the file as UTF-8"
    ),
    "half an author": (
        without_the_first("forget10.json"), "line 1, row 1",
        "field 'question': its author has 3 of 4 questions in forget10.json; keep authors whole",
    ),
    "an author's question lost": (
        without_the_first("full.json"), "line 19, row 19", "19 rows are not 4 questions an author; restore the missing"
    ),
    "splits that overlap": (
        changed("retain90.json", 1, **lines("forget10.json")[0]), "line 1, row 1",
        "field 'question': is in forget10.json too; the sets must not overlap: remove it from one",
    ),
    "of another version": (
        changed("forget10_perturbed.json", 1, question="Who?"), "line 1, row 1",
        "field 'question': this question with this answer is not in full.json; take files of one version",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_file_is_one_line_with_file_row_field_and_mend(tofu, what):
    change, where, words = WRONG[what]
    before = {path.name: path.read_bytes() for path in tofu.iterdir()}
    change(tofu)
    (file,) = [path for path in tofu.iterdir() if path.read_bytes() != before[path.name]]
    with pytest.raises(UserError) as error:
        load("tofu", tofu, **TOFU)
    assert str(error.value).startswith(f"{file} {where}: {words}") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "file", "row", "words"),
    [
        ("rwku", f"{ADA}/retain_mmlu.json", {"answer": 4}, "field 'answer': 4 is no place in 'choices'"),
        ("rwku", f"{ADA}/retain_mmlu.json", {"answer": "A"}, "field 'answer': is a text, not a whole number"),
        ("rwku", f"{ADA}/truthful.json", {"mc1_targets": {"choices": ["a"], "labels": [0]}}, "0 labels are 1"),
        ("rwku", f"{ADA}/forget_level1.json", {"subject": "Bet"}, "field 'subject': is 'Bet', but the folder"),
        ("muse", "news/verbmem/forget.json", {"gt": ""}, "field 'gt': is empty"),
        ("muse", "news/raw/retain1.json", 3, "a row is a number, not an object"),
        ("knowundo", "privacy/retention_train.json", {"labels": None}, "field 'labels': is null, not a text"),
        ("knowundo", "privacy/retention_train.json", "first of unlearn_train", "say what"),
        ("pistol", "sample_data_1.json", {"edge": "A-B"}, "field 'edge': 'A-B' does not join two nodes"),
        ("pii", "test_retain_pii.json", {"subject": "Gerda Moll"}, "field 'subject': 'Gerda Moll' is in forget1.json"),
        ("pii", "forget1.json", {"perturbed_answer_2": "Gerda Moll was born on 20/11/1970."}, "is the right answer"),
    ],
)  # fmt: skip
def test_a_wrong_row_of_every_other_source(tmp_path, source, file, row, words):
    folder = Path(shutil.copytree(FIXTURES / source, tmp_path / source))
    rows = json.loads((folder / file).read_text())
    if row == "first of unlearn_train":
        row = json.loads((folder / "privacy" / "unlearn_train.json").read_text())[0]
    rows[0] = rows[0] | row if isinstance(row, dict) else row
    (folder / file).write_text(json.dumps(rows))
    with pytest.raises(UserError, match=r"line 1, row 1: ") as error:
        load(source, folder, **COUNTS[source][0])
    assert words in str(error.value) and file.rpartition("/")[2] in str(error.value)


def test_several_problems_are_counted(tofu):
    (tofu / "full.json").write_text('{"question": "Q?"}\n{"answer": "A."}\n{"question": "", "answer": ""}\n')
    with pytest.raises(UserError, match=r"\(3 more problems in this file\)"):
        load("tofu", tofu, **TOFU)


def test_a_key_that_an_object_of_lists_lacks(tmp_path):
    folder = Path(shutil.copytree(FIXTURES / "knowundo", tmp_path / "knowundo"))
    path = folder / "copyright" / "retention.json"
    path.write_text(path.read_text().replace('"train"', '"trian"'))
    with pytest.raises(UserError, match=r"field 'train': is missing; did you mean 'trian'"):
        load("knowundo", folder, domain="copyright")
    path.write_text("[]")
    with pytest.raises(UserError, match=r"this is not one JSON object"):
        load("knowundo", folder, domain="copyright")


# As tokens, and as a data set


def test_items_become_texts_and_questions_as_tokens(tokenizer):
    found = load("tofu", FIXTURES / "tofu", **TOFU)
    examples = encoding.examples(tokenizer, found.forget, 200)
    assert examples.names[0] == "author003-q00" and len(examples.questions[0].answers) == 6
    item, whole = found.forget[0], tokenizer.decode(examples.texts[0][1:])
    assert whole == f"Question: {item.question}\nAnswer: {item.answer}"
    assert tokenizer.decode(examples.questions[0].answers[0]) == f" {item.answer}"
    with pytest.raises(UserError, match=r"forget10.json|full.json line \d+, row \d+: text of"):
        encoding.examples(tokenizer, found.forget, 8)
    with pytest.raises(UserError, match=r"must hold \{question\}"):
        encoding.prompt(item, "Question: ")


def test_long_texts_are_cut_into_pieces_that_join_again(tokenizer):
    found = load("muse", FIXTURES / "muse")
    whole = encoding.examples(tokenizer, found.forget, 200)
    cut = encoding.examples(tokenizer, found.forget, 16, pieces=True)
    assert not cut.questions and max(map(len, cut.texts)) == 16
    assert cut.names[:2] == ("raw_forget-000.1", "raw_forget-000.2")
    of_first = [text[1:] for name, text in zip(cut.names, cut.texts, strict=True) if name.startswith("raw_forget-000.")]
    assert sum(of_first, ()) == whole.texts[0][1:]
    with pytest.raises(UserError, match=r"raw/forget.json line 2, row 1: .* or give pieces=True"):
        encoding.examples(tokenizer, found.forget, 16)
    with pytest.raises(UserError, match="texts alone, or questions alone"):
        encoding.examples(tokenizer, [*found.forget, *found.probes["verbmem"]], 200)


def test_prompts_of_clozes_continuations_and_examples_shown_first():
    cloze = load("rwku", FIXTURES / "rwku").probes["forget_level1"][0]
    assert encoding.prompt(cloze) == "Question: Fill in the blank. Ada Quillon is a Welsh ___.\nAnswer:"
    muse = load("muse", FIXTURES / "muse").probes
    assert encoding.prompt(muse["verbmem"][0]) == muse["verbmem"][0].question
    template = encoding.shown_first(muse["knowmem_forget_shown"])
    prompt = encoding.prompt(muse["knowmem_forget"][0], template)
    assert prompt.startswith("Question: What is closed in Fenby?\nAnswer: the old bridge\n\nQuestion: Which road")
    assert prompt.endswith("Question: In how many weeks does the repair of the bridge of Ashwick begin?\nAnswer:")


def test_the_example_of_the_readme(capsys):
    (block,) = (
        found for found in re.findall(r"```python\n(.*?)```", ADAPTING, flags=re.S) if "benchmarks.load" in found
    )
    names = {"__name__": "__main__"}
    small = block.replace('"my_tofu", authors=20', f"{str(FIXTURES / 'tofu')!r}, authors=4, per_author=4")
    exec(compile(small.replace("packaged:smollm2", "data/tiny_model"), "docs/adapting.md", "exec"), names)
    assert names["data"].counts["forget"] == len(names["forget"].questions) == 4
    assert 0 <= float(capsys.readouterr().out.splitlines()[-1]) <= 1


def test_sets_may_not_share_an_item_or_an_id():
    item = Item("a", question="Q?", answer="A.", at="f line 1, row 1")
    same = Item("b", question="q? ", answer="a.", at="g line 2, row 2")
    with pytest.raises(UserError, match=r"g line 2, row 2: .* say what f line 1, row 1 says, which is in forget"):
        Benchmark("x", (item,), (same,))
    with pytest.raises(UserError, match="an id comes twice in retain"):
        Benchmark("x", (), (item, item))


def test_items_are_a_data_set_and_a_folder_laid_out_as_on_the_hub_loads_through_datasets(tofu, monkeypatch):
    usual = load("tofu", tofu, **TOFU)
    table = to_dataset(usual.forget)
    assert len(table) == 8 and table[0]["wrong_answers"] == list(usual.forget[0].wrong_answers)

    names = ["full", "forget10", "retain90", "forget10_perturbed", "retain_perturbed", "real_authors", "world_facts"]
    names += ["real_authors_perturbed", "world_facts_perturbed"]
    configs = "".join(f"- config_name: {name}\n  data_files: {name}.json\n" for name in names)
    (tofu / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tofu / "cache"))
    found = load("tofu", f"hub:{tofu}", **TOFU)
    assert (found.forget, found.retain, found.probes) == (usual.forget, usual.retain, usual.probes)
    assert found.forget[0].at.endswith("full train row 13")
    with pytest.raises(UserError, match="has no forget05, split train"):
        load("tofu", f"hub:{tofu}", forget="forget05", **TOFU)
    changed("full.json", 2, answer=" ")(tofu)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tofu / "another cache"))
    with pytest.raises(UserError, match=r"full train row 2: field 'answer': is empty"):
        load("tofu", f"hub:{tofu}", **TOFU)


# The real files

REAL_COUNTS = [
    ("tofu", "tofu", {"forget": "forget01"}, {"forget": 40, "retain": 3960, "forget_perturbed": 40}),
    ("tofu", "tofu", {"forget": "forget05"}, {"forget": 200, "retain": 3800, "forget_perturbed": 200}),
    ("tofu", "tofu", {}, {"forget": 400, "retain": 3600, "real_authors": 100, "world_facts": 117}),
    ("tofu", "tofu", {"authors": 20}, {"forget": 20, "retain": 380, "heldout": 380, "retain_perturbed": 380}),
    ("tofu", "tofu", {"authors": 20, "to_forget": 2}, {"forget": 40, "retain": 360, "forget_perturbed": 40}),
    ("muse", "muse", {}, {"verbmem": 100, "knowmem_forget": 100, "knowmem_retain": 100, "knowmem_forget_shown": 10}),
    ("muse", "muse", {"corpus": "books"}, {"knowmem_forget": 100, "knowmem_retain": 100, "knowmem_retain_shown": 10}),
    ("rwku", "rwku", {"target": "Stephen King"}, {"forget": 128, "forget_level1": 8, "forget_level3": 29}),
    ("rwku", "rwku", {"target": "Prince Harry, Duke of Sussex"}, {"forget": 146, "mia_forget": 57}),
    ("rwku", "rwku", {"target": "Miley Cyrus"}, {"forget": 95, "forget_level2": 18, "neighbour_level2": 16}),
    ("rwku", "rwku", {"target": "Genghis Khan"}, {"forget": 31, "forget_level3": 40, "mia_retain": 36, "intro": 1}),
    ("knowundo", "knowundo", {}, {"forget": 400, "retain": 441, "unlearn_val": 110, "retention_val": 108}),
    ("pistol", "pistol", {}, {"forget": 20, "retain": 380, "independent": 120, "utility": 217}),
    ("pistol", "pistol", {"data": "sample_data_2"}, {"forget": 20, "retain": 1480, "neighbours": 20, "utility": 217}),
    ("pii", "pii-synthetic", {"forget": "forget1"}, {"forget": 20, "retain": 250}),
    ("pii", "pii-synthetic", {"forget": "forget5"}, {"forget": 100, "retain": 250}),
    ("pii", "pii-synthetic", {}, {"forget": 200, "retain": 250}),
]  # fmt: skip


@pytest.mark.skipif(not (REAL / "tofu").is_dir(), reason=f"the real files are not there: {REAL} (UNLEARNLIB_REAL_DATA)")
@pytest.mark.parametrize(("name", "folder", "options", "counts"), REAL_COUNTS)
def test_the_real_files_load(name, folder, options, counts):
    found = load(name, REAL / folder, **options)
    assert counts.items() <= found.counts.items()


@pytest.mark.skipif(not (REAL / "tofu").is_dir(), reason=f"the real files are not there: {REAL} (UNLEARNLIB_REAL_DATA)")
def test_the_real_files_are_what_the_protocols_say(tokenizer):
    tofu = load("tofu", REAL / "tofu")
    assert {item.group for item in tofu.forget} == {f"author{number}" for number in range(180, 200)}
    few = load("tofu", REAL / "tofu", authors=20, to_forget=2)
    assert all(len(item.wrong_answers) == 5 for item in (*few.forget, *few.retain, *few.heldout))
    assert len(encoding.examples(tokenizer, few.forget, 400).questions) == 40
    named = [bool(item.group) for item in load("knowundo", REAL / "knowundo").forget]
    assert sum(named) / len(named) > 0.9, "an entity is found in nearly every question"
    assert len(rwku.targets(reading.place(REAL / "rwku", None))) == 4
    rewritten = REAL / "rwku-1_Stephen_King.jsonl"
    assert not rewritten.is_file() or len(load_records(rewritten, one_person=True)) == 18
