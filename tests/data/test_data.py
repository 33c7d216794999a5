"""The data: what the generator writes, what the loader refuses, what a seed draws."""

import dataclasses
import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import pytest

from data.generator import base_text, make
from data.generator.facts import ATTRIBUTES, KINDS, prompt, sentence
from data.generator.people import CHARACTERS, MAIN, MORE_NEIGHBOURS, NEIGHBOURS, NEVER_SEEN, OTHER_SUBJECTS
from unlearnlib.core.errors import UserError
from unlearnlib.core.paths import DATA, ROOT
from unlearnlib.data import subsets
from unlearnlib.data.records import found_at, load_general, load_records, name_words, to_dataset
from unlearnlib.data.split import draw_split, given_away
from unlearnlib.experiment import attacks

FILES = ("dave", "neighbours", "never_seen")
LATER = ("anita", "grace", "henry", "stuart", "more_neighbours")


@pytest.fixture(scope="module")
def records():
    return {name: load_records(DATA / f"{name}.jsonl") for name in FILES}


@pytest.fixture(scope="module")
def every_record(records):
    return list(itertools.chain(*records.values(), *(load_records(DATA / f"{name}.jsonl") for name in LATER)))


def key(record):
    """The kind of fact of a record of ours, such as "pet-name"."""
    return next(kind for kind in KINDS if record.id.endswith(f"-{kind}"))


# The generator


def test_the_committed_files_are_regenerated_byte_for_byte():
    for name, content in make.files().items():
        assert (DATA / name).read_bytes() == content.encode(), name


def test_the_check_of_the_command_line_tells_a_change(tmp_path, monkeypatch):
    command = [sys.executable, "data/generator/make.py", "--check"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
    (tmp_path / "authors").mkdir()
    for name, content in make.files().items():
        (tmp_path / name).write_text(content.replace("Dave", "Rave"), newline="\n")
    monkeypatch.setattr(make, "DATA", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make.py", "--check"])
    assert make.main() == 1


def test_sixty_kinds_of_fact_with_enough_answers_and_wordings():
    assert len(KINDS) == 60 and len(ATTRIBUTES) == 30
    assert set(Counter(kind.attribute for kind in KINDS.values()).values()) == {2}
    for kind in KINDS.values():
        assert len(set(kind.pool)) == len(kind.pool) >= 14, kind.key
        assert len(kind.patterns) >= 7, kind.key
        openings = [tuple(pattern.split()[:2]) for pattern in kind.patterns]
        assert len(set(openings)) == len(openings), kind.key
        assert sum(pattern.startswith("{name}") for pattern in kind.patterns) <= 1, kind.key
        for one, other in itertools.permutations(kind.pool, 2):
            assert one.lower() not in other.lower(), (kind.key, one, other)


def test_every_wording_works_with_every_answer():
    gendered = re.compile(r"\b(he|she|his|her|him|hers|himself|herself)\b")
    for kind in KINDS.values():
        for pattern, answer in itertools.product(kind.patterns, kind.pool):
            for name in ("Dave", MAIN):
                text = sentence(pattern, name, answer)
                assert 10 <= len(text.split()) <= 22, text
                assert text.lower().count(answer.lower()) == 1, text
                assert text.startswith(f"{prompt(pattern, name)} {answer}") and text.endswith("."), text
                assert name in prompt(pattern, name), text
                assert len(text.split(answer)[1].strip(" .,").split()) <= 6, text
                assert not gendered.search(text), text


def test_counts_and_who_appears(records):
    assert {name: len(rows) for name, rows in records.items()} == {"dave": 60, "neighbours": 120, "never_seen": 60}
    assert [record.id.removeprefix("dave-") for record in records["dave"]] == list(KINDS)
    for name, people in (("dave", (MAIN,)), ("neighbours", NEIGHBOURS), ("never_seen", NEVER_SEEN)):
        facts = Counter(record.subject for record in records[name])
        assert set(facts) == set(people)
        assert set(facts.values()) == {60 if name == "dave" else 5}
    for person in NEIGHBOURS + NEVER_SEEN:
        attributes = [r.attribute for name in FILES[1:] for r in records[name] if r.subject == person]
        assert len(set(attributes)) == 5
    assert Counter(map(key, records["never_seen"])) == dict.fromkeys(KINDS, 1)
    firsts = Counter(name.split()[0] for name in CHARACTERS)
    assert firsts.pop("Dave") == 2 and set(firsts.values()) == {1}
    passages = load_general(DATA / "general.jsonl")
    assert len({passage.text for passage in passages}) == len(passages) == 80


def test_those_who_came_later_have_names_of_their_own_that_the_base_model_has_not_read(monkeypatch):
    later = (*OTHER_SUBJECTS, *MORE_NEIGHBOURS)
    firsts = Counter(name.split()[0] for name in (*CHARACTERS, *later))
    assert len(later) == len(set(later)) == 84 and firsts.pop("Dave") == 2 and set(firsts.values()) == {1}
    for name, people in zip(LATER, (*((one,) for one in OTHER_SUBJECTS), MORE_NEIGHBOURS), strict=True):
        facts = {}
        for record in load_records(DATA / f"{name}.jsonl"):
            facts.setdefault(record.subject, []).append(record)
        assert set(facts) == set(people)
        for rows in facts.values():
            assert len(rows) == (60 if len(people) == 1 else 5) and len({key(record) for record in rows}) == len(rows)
            assert len(people) == 1 or len({record.attribute for record in rows}) == 5
    drawn, draw = set(), base_text.background_person
    monkeypatch.setattr(base_text, "background_person", lambda rng: _noted(drawn, draw(rng)))
    recipe = json.loads((DATA / "base_model" / "recipe.json").read_text())
    words, tokens = 0, recipe["steps"] * recipe["batch_size"] * recipe["block_tokens"]
    for document in base_text.documents(recipe["seed"]):
        words += len(document.split())
        if words > tokens:  # no word is less than a token
            break
    assert len(drawn) > 20_000 and not drawn & set(later)


def _noted(names, name):
    names.add(name)
    return name


def test_every_record_comes_from_its_kind(every_record):
    for record in every_record:
        kind = KINDS[key(record)]
        assert record.text == f"{record.prompt} {record.answer}{record.tail}"
        assert record.tail and not record.tail[0].isalnum()
        assert {record.answer, *record.wrong_answers} <= set(kind.pool)
        names = {record.subject} if record.subject == "Dave Brandt" else {record.subject, record.subject.split()[0]}
        said = {sentence(p, name, record.answer): p for p in kind.patterns for name in names}
        used = [said[text] for text in (record.text, *record.paraphrases)]
        assert len(set(used)) == 4
        for number, paraphrase in enumerate(record.paraphrases):
            assert paraphrase.startswith(f"{record.paraphrase_prompt(number)} {record.answer}")
            assert any(name in record.paraphrase_prompt(number) for name in names)


def test_no_answer_of_a_person_tells_another(every_record):
    people = {}
    for record in every_record:
        people.setdefault(record.subject, []).append(record)
    for rows in people.values():
        words = [word for record in rows for word in set(record.answer.lower().split()) - make.SMALL_WORDS]
        assert len(words) == len(set(words))
        for record, other in itertools.permutations(rows, 2):
            bare = re.sub(r"^(a|an|the) ", "", record.answer)
            assert not any(bare in text for text in (other.text, *other.paraphrases)), (record.id, other.id)
            assert record.answer not in other.wrong_answers, (record.id, other.id)


def test_neighbours_share_daves_town_employer_and_hobby(records):
    dave = {key(record): record.answer for record in records["dave"]}
    sharing = [(key(r), r.subject) for r in records["neighbours"] if r.answer == dave[key(r)] and key(r) in make.SHARED]
    assert set(Counter(kind for kind, _ in sharing).items()) == {(kind, 2) for kind in make.SHARED}
    assert len({person for _, person in sharing}) == 6 and "Dave Brandt" not in dict(map(reversed, sharing))


def test_base_text_knows_no_character_and_is_reproducible():
    documents = list(itertools.islice(base_text.documents(0), 2000))
    assert documents == list(itertools.islice(base_text.documents(0), 2000))
    assert documents[:20] != list(itertools.islice(base_text.documents(1), 20))
    assert len(set(documents)) == 2000
    assert all(40 <= len(document.split()) <= 120 for document in documents)
    assert not any(re.search(r"[\[\]{}\n]|  ", document) for document in documents)
    text = "\n".join(documents)
    assert not [name for name in CHARACTERS if name in text]
    # The characters' names as such are known, as names of other people.
    assert all(re.search(rf"\b{name.split()[0]}\b", text) for name in CHARACTERS)


def test_base_text_tells_facts_again():
    rng = base_text.random.Random(0)
    portraits = [base_text.portrait(rng) for _ in range(300)]

    def tells_twice(document):
        return any(
            sum(document.count(pattern.split("{name}")[0] or "\0") > 0 for pattern in kind.patterns) > 1
            for kind in KINDS.values()
        )

    assert sum(map(tells_twice, portraits)) > 100


def test_general_passages_are_no_part_of_the_pretraining_stream():
    passages = {passage.text for passage in load_general(DATA / "general.jsonl")}
    assert not passages & set(itertools.islice(base_text.documents(0), 5000))
    assert not any(name in text for text in passages for name in CHARACTERS)


def test_the_example_in_the_datasheet_is_a_row_of_the_data():
    example = re.search(r"```json\n(.*?)```", (DATA / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    assert json.dumps(json.loads(example)) in (DATA / "dave.jsonl").read_text(encoding="utf-8").splitlines()


# The loader

GOOD = {
    "id": "mine-1",
    "subject": "Ada Sands",
    "attribute": "boat",
    "text": "The boat that Ada rows is called Tern, they say.",
    "prompt": "The boat that Ada rows is called",
    "answer": "Tern",
    "paraphrases": ["Ada named the boat Tern.", "On the boat of Ada Sands stands Tern.", "Ada's boat is Tern."],
    "wrong_answers": ["Gull", "Auk", "Crane", "Swan", "Rook"],
}


def write(folder, *rows, name="mine.jsonl"):
    path = folder / name
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_good_row_becomes_a_record(tmp_path):
    (record,) = load_records(write(tmp_path, GOOD))
    assert record.tail == ", they say."
    assert [record.paraphrase_prompt(number) for number in range(3)] == [
        "Ada named the boat",
        "On the boat of Ada Sands stands",
        "Ada's boat is",
    ]
    assert record.wrong_answers == ("Gull", "Auk", "Crane", "Swan", "Rook")
    assert name_words(record.subject) == ("Ada", "Sands")
    assert hash(record)


def test_records_as_a_dataset(records):
    table = to_dataset(records["dave"])
    assert table.num_rows == 60 and list(table.features) == list(GOOD)
    assert table[0]["paraphrases"] == list(records["dave"][0].paraphrases)
    assert to_dataset([]).features == table.features


def test_windows_line_ends_byte_order_mark_and_blank_lines(tmp_path):
    second = {**GOOD, "id": "mine-2", "attribute": "line\u2028separator"}
    rows = [json.dumps(row, ensure_ascii=False) for row in (GOOD, second)]
    path = tmp_path / "mine.jsonl"
    path.write_bytes(("\ufeff" + "\r\n\r\n".join(rows) + "\r\n  \r\n").encode())
    assert [record.id for record in load_records(path)] == ["mine-1", "mine-2"]


def changed(**fields):
    return {**GOOD, **fields}


def without(field, **added):
    return {name: value for name, value in GOOD.items() if name != field} | added


PARAPHRASES, WRONG = GOOD["paraphrases"], GOOD["wrong_answers"]
BAD = [
    ("{'id': 1}", "column 2: this is not JSON"),
    ("[1, 2]", "a row is a JSON object, not a list"),
    (without("answer", anwser="Tern"), "field 'anwser' is unknown; did you mean 'answer'?"),
    (without("prompt"), "field 'prompt' is missing; add it"),
    (changed(answer=7), "field 'answer': is a number, not a text; put it in quotes"),
    (changed(id=None), "field 'id': is null, not a text"),
    (changed(wrong_answers="Gull"), "field 'wrong_answers': is not a list of texts"),
    (changed(paraphrases=[PARAPHRASES[0], 3, "x"]), "field 'paraphrases': is not a list of texts"),
    (changed(attribute=" "), "field 'attribute': is empty"),
    (changed(prompt="The boat "), "field 'prompt': 'The boat ' begins or ends with a space"),
    (changed(subject="Bo Sands"), "field 'prompt': does not name 'Bo Sands'"),
    (changed(prompt="The ship that Ada rows is called"), "field 'text': does not begin with the prompt"),
    (changed(answer="Ter"), "field 'answer': 'Ter' does not follow the prompt"),
    (changed(paraphrases=PARAPHRASES[:2]), "field 'paraphrases': has 2 texts; give exactly 3"),
    (changed(paraphrases=[*PARAPHRASES[:2], "Ada rows."]), "field 'paraphrases': number 3 holds the answer 'Tern' 0"),
    (changed(paraphrases=["Ada: Tern, Tern.", *PARAPHRASES[1:]]), "field 'paraphrases': number 1 holds the answer"),
    (changed(paraphrases=["Tern is Ada's.", *PARAPHRASES[1:]]), "field 'paraphrases': in number 1 no words precede"),
    (changed(paraphrases=PARAPHRASES[:1] * 3), "field 'paraphrases': repeats a text"),
    (changed(wrong_answers=[*WRONG, "Owl"]), "field 'wrong_answers': has 6 texts; give exactly 5"),
    (changed(wrong_answers=[*WRONG[:4], "tern"]), "field 'wrong_answers': holds the right answer 'Tern'"),
    (changed(wrong_answers=[*WRONG[:4], "Gull"]), "field 'wrong_answers': repeats 'Gull'"),
    (changed(id="other-1"), "field 'id': 'other-1' is also the id of line 1"),
    (changed(id="dave#drink"), "field 'id': 'dave#drink' holds '#', which is not for ids; write letters, digits"),
    (changed(id="dave|drink"), "field 'id': 'dave|drink' holds '|', which is not for ids"),
    (changed(id="$a$"), "field 'id': '$a$' holds '$', which is not for ids"),
    (changed(id="dave\ndrink"), "field 'id': 'dave\\ndrink' holds '\\n', which is not for ids"),
]


@pytest.mark.parametrize(("row", "message"), BAD)
def test_a_bad_row_is_named_by_file_line_and_field(tmp_path, row, message):
    path = write(tmp_path, {**GOOD, "id": "other-1"}, "", row)
    with pytest.raises(UserError) as error:
        load_records(path)
    assert f"mine.jsonl line 3: {message}" in str(error.value)
    assert "\n" not in str(error.value)


def test_any_other_id_is_only_a_name(tmp_path):
    names = ["7", "NaN", "Dave, born 1980", "straße/1", "a.b-c_d", "without 3"]
    rows = [{**GOOD, "id": name} for name in names]
    assert [record.id for record in load_records(write(tmp_path, *rows))] == names


def test_an_id_of_a_passage_is_checked_too(tmp_path):
    with pytest.raises(UserError, match=r"general.jsonl line 2: field 'id': 'a#0' holds '#'"):
        load_general(write(tmp_path, {"id": "a", "text": "x"}, {"id": "a#0", "text": "y"}, name="general.jsonl"))


def test_a_second_person_is_named_by_the_first_row_about_them(tmp_path):
    other = {**GOOD, "id": "b", "subject": "Ada Petra Sands"}
    path = write(tmp_path, GOOD, other, {**other, "id": "c"})
    assert len(load_records(path)) == 3, "a file of neighbours is about many"
    with pytest.raises(UserError) as error:
        load_records(path, one_person=True)
    line = "mine.jsonl line 2: field 'subject': is 'Ada Petra Sands', but the rows before are about 'Ada Sands'; one"
    assert line in str(error.value) and str(error.value).endswith("(1 more problem in this file)")


def test_all_problems_are_counted_and_the_first_is_named(tmp_path):
    path = write(tmp_path, {**GOOD, "answer": 7}, "nonsense", {**GOOD, "wrong_answers": []})
    with pytest.raises(UserError, match=r"mine.jsonl line 1: field 'answer'.*\(2 more problems in this file\)$"):
        load_records(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="holds no rows"):
        load_records(write(tmp_path, "", "  "))
    with pytest.raises(UserError, match=r"mine.json is not a file: did you mean 'mine.jsonl'"):
        load_records(tmp_path / "mine.json")
    (tmp_path / "mine.jsonl").write_bytes(b'{}\n{"id": "caf\xe9"}\n')
    with pytest.raises(UserError, match=r"line 2: this is not UTF-8"):
        load_records(tmp_path / "mine.jsonl")
    with pytest.raises(UserError, match=r"line 1: field 'body' is unknown; choose from: text \(1 more problem in"):
        load_general(write(tmp_path, {"id": "1", "body": "x"}))


# The split


def sizes(split):
    return [len(getattr(split, name)) for name in ("forget", "heldout", "retain", "never_seen", "general")]


def test_a_seed_draws_whole_attributes():
    splits = [draw_split(DATA, seed) for seed in range(40)]
    for one in splits:
        assert sizes(one) == [40, 20, 120, 60, 80]
        assert not {record.attribute for record in one.forget} & {record.attribute for record in one.heldout}
        assert {record.id for record in one.forget + one.heldout} == {f"dave-{kind}" for kind in KINDS}
    assert len({one.heldout for one in splits}) == len(splits)
    assert draw_split(DATA, 3) == splits[3]
    # Every other attribute is trained on by some seeds and held out by others: their points are exchangeable.
    heldout = Counter(attribute for one in splits for attribute in {record.attribute for record in one.heldout})
    assert set(heldout) == set(ATTRIBUTES) - {"home", "hobby", "work"}
    assert max(heldout.values()) < len(splits)


def test_no_heldout_answer_follows_from_what_the_neighbours_say():
    for seed in range(10):
        one = draw_split(DATA, seed)
        assert given_away(one.forget, one.retain) == {"home", "hobby", "work"}
        assert not given_away(one.heldout, one.retain)


def test_the_order_of_rows_makes_no_difference(tmp_path):
    for path in DATA.glob("*.jsonl"):
        rows = path.read_text(encoding="utf-8").splitlines()
        (tmp_path / path.name).write_text("\n".join(reversed(rows)), encoding="utf-8")
    assert draw_split(tmp_path, 2) == draw_split(DATA, 2)


def test_counts_cut_by_whole_people():
    small = draw_split(DATA, 0, trained_attributes=4, neighbours=3, never_seen=2, general=4)
    assert sizes(small) == [8, 52, 15, 10, 4]
    assert len({record.subject for record in small.retain}) == 3


def test_more_neighbours_come_after_the_first_ones(tmp_path):
    usual, some, most = (draw_split(DATA, 0, neighbours=count) for count in (24, 26, 104))
    assert usual == draw_split(DATA, 0), "without a count: all of the first file"
    people = sorted({record.subject for record in some.retain} - {record.subject for record in usual.retain})
    assert people == sorted(MORE_NEIGHBOURS)[:2] and len(most.retain) == 520
    assert {record.subject for record in most.retain} == {*NEIGHBOURS, *MORE_NEIGHBOURS}
    assert [record.id for record in most.retain] == sorted(record.id for record in most.retain)
    assert not given_away(most.heldout, most.retain)
    (copied(tmp_path) / "more_neighbours.jsonl").unlink()
    with pytest.raises(UserError, match="neighbours is 26, but the data has 24 people"):
        draw_split(tmp_path, 0, neighbours=26)


@pytest.mark.parametrize("person", OTHER_SUBJECTS)
def test_another_person_is_forgotten_in_the_place_of_dave(person):
    one, usual = (draw_split(DATA, 1, neighbours=20, subject=name) for name in (person.split()[0].lower(), "dave"))
    assert one.subject == person and sizes(one) == sizes(usual)
    assert one.retain == usual.retain and one.never_seen == usual.never_seen
    assert not given_away(one.heldout, one.retain)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"trained_attributes": 0}, "trained_attributes is 0, but the data has 30 attributes, one held out: choose"),
        ({"trained_attributes": 30}, "trained_attributes is 30"),
        ({"neighbours": 105}, "neighbours is 105, but the data has 104 people: choose 1 to 104"),
        ({"subject": "dav"}, r"data/dav.jsonl is not a file: did you mean 'dave.jsonl'"),
        ({"never_seen": 0}, "never_seen is 0"),
        ({"general": 81}, "general is 81, but the data has 80 passages"),
    ],
)
def test_a_count_out_of_range(counts, message):
    with pytest.raises(UserError, match=message):
        draw_split(DATA, 0, **counts)


def test_sets_that_overlap(tmp_path):
    for path in DATA.glob("*.jsonl"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    row = json.loads((DATA / "dave.jsonl").read_text(encoding="utf-8").splitlines()[0])
    write(tmp_path, row, name="never_seen.jsonl")
    with pytest.raises(UserError, match=r"never_seen.jsonl: id 'dave-pet-kind' is in dave.jsonl too"):
        draw_split(tmp_path, 0)
    write(tmp_path, {**row, "id": "new"}, name="never_seen.jsonl")
    with pytest.raises(UserError, match=r"never_seen.jsonl: subject 'Dave Harlow' is in dave.jsonl too"):
        draw_split(tmp_path, 0)


def copied(folder, change=lambda rows: rows):
    """Copy the data to a folder, the rows of dave.jsonl changed by `change`."""
    for path in DATA.glob("*.jsonl"):
        (folder / path.name).write_bytes(path.read_bytes())
    rows = [json.loads(line) for line in (DATA / "dave.jsonl").read_text(encoding="utf-8").splitlines()]
    return write(folder, *change(rows), name="dave.jsonl").parent


def test_one_person_is_forgotten(tmp_path):
    def about_petra(rows):
        changed = json.loads(json.dumps(rows[1::2]).replace("Dave Harlow", "Petra Lund").replace("Dave", "Petra"))
        return [row for pair in zip(rows[::2], changed, strict=True) for row in pair]

    with pytest.raises(UserError, match=r"dave.jsonl line 2: field 'subject': is 'Petra Lund', but the rows before"):
        draw_split(copied(tmp_path, about_petra), 0)
    one = draw_split(DATA, 0)
    assert one.subject == "Dave Harlow"
    with pytest.raises(UserError, match=r"the points are about .* and .*: give those of one person"):
        _ = dataclasses.replace(one, heldout=one.retain[:1]).subject


def test_an_attribute_with_a_single_fact_is_drawn_like_any_other(tmp_path):
    """Attributes are drawn as a whole: how many facts each has makes no difference."""
    folder = copied(tmp_path, lambda rows: list({row["attribute"]: row for row in rows}.values()))
    one = draw_split(folder, 0, neighbours=20)
    assert sizes(one)[:3] == [20, 10, 100]
    assert len({record.attribute for record in one.forget}) == 20
    assert len(subsets.random_halves([record.id for record in one.forget], 4, 0)) == 4
    blind = attacks.blind(SimpleNamespace(split=one))[0]
    assert 0 <= blind <= 1


def test_an_example_is_found_where_it_stands(tmp_path):
    record = load_records(DATA / "dave.jsonl")[2]
    assert found_at(record) == f"data/dave.jsonl line 3, id {record.id!r}"
    assert found_at(record, tmp_path) == f"id {record.id!r}"
    passage = load_general(DATA / "general.jsonl")[1]
    assert found_at(passage).startswith("data/general.jsonl line 2, id ")
