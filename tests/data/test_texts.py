"""Somebody's own texts are read as they stand, and every slip is one line that says where and what to do."""

import json

import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.core.paths import ROOT
from unlearnlib.data import texts


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def rows(*found):
    return "\n".join(json.dumps(row) for row in found)


def test_a_plain_file_has_one_text_a_line(tmp_path):
    file = written(tmp_path, "a.txt", "\ufeffOne two.\r\n\r\n  Three\u2028four \nFive.")
    found = texts.read_texts(file, "keep")
    assert [one.text for one in found] == ["One two.", "Three\u2028four", "Five."]
    assert [one.id for one in found] == ["keep-1", "keep-3", "keep-4"]
    assert found[1].where.endswith("a.txt line 3")


def test_jsonl_has_texts_of_several_lines_ids_and_whatever_else(tmp_path):
    file = written(tmp_path, "a.jsonl", rows({"text": " One\ntwo. ", "source": [1]}, {"id": 7, "text": "x"}) + "\n\n")
    assert [(one.id, one.text) for one in texts.read_texts(file, "forget")] == [("forget-1", "One\ntwo."), ("7", "x")]


def test_questions_have_wrong_answers_or_none(tmp_path):
    asked = {"prompt": "The cat is called", "answer": "Tom"}
    more = {"prompt": "The dog is called", "answer": "Rex", "wrong": ["Max", "Bo"], "about": "keep"}
    first, second = texts.read_questions(written(tmp_path, "q.jsonl", rows(asked, more)))
    assert (first.prompt, first.answer, first.wrong, first.about) == (*asked.values(), (), "forget")
    assert (second.wrong, second.about) == (("Max", "Bo"), "keep") and second.where.endswith("q.jsonl line 2")


def test_the_example_texts_are_texts():
    names = [str(ROOT / "data" / "own" / name) for name in ("forget.txt", "keep.txt", "questions.jsonl")]
    forget, keep = (texts.read_texts(name, role) for name, role in zip(names, ("forget", "keep"), strict=False))
    texts.check_apart([*forget, *keep])
    assert (len(forget), len(keep)) == (20, 60)
    assert {one.about for one in texts.read_questions(names[2])} == set(texts.ABOUT)
    assert texts.read_texts("data/own/forget.txt", "forget") == forget, "looked up in the repository"


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.txt", "", "a.txt is empty: write one text a line"),
        ("a.txt", " \n\n", "a.txt is empty: write one text a line"),
        ("a.txt", b"good\n\xff\xfe", "a.txt line 2: this is not UTF-8: save the file as UTF-8"),
        ("a.txt", '{"text": "x"}', r"a.txt line 1: this looks like JSON: give the file a name that ends in .jsonl"),
        ("a.txt", "A b.\nc\na  B.", "a.txt line 3: says the same as line 1: take one of them out"),
        ("a.jsonl", '{"text": "x"}\n{"text": }', r"a.jsonl line 2, column 10: this is not JSON \(.*\): write one"),
        ("a.json", "[]", "a.json is one piece of JSON: write one object a line, in a file named .jsonl"),
        ("a.jsonl", '["x"]', 'a.jsonl line 1: a row is an object: write {"text": "..."}'),
        ("a.jsonl", '{"txt": "x"}', "a.jsonl line 1, field 'text': is missing; it has 'txt': write "),
        ("a.jsonl", '{"text": 3}', "a.jsonl line 1, field 'text': 3 is no text: put it in quotes"),
        ("a.jsonl", '{"text": null}', "a.jsonl line 1, field 'text': null is no text"),
        ("a.jsonl", '{"text": "  "}', "a.jsonl line 1, field 'text': is empty: fill it in, or take the row out"),
        ("a.jsonl", '{"text": "x", "id": "a|b"}', "line 1, field 'id': 'a|b' holds '|', which is not for ids"),
        ("a.jsonl", '{"text": "x", "id": true}', "line 1, field 'id': is no name"),
        ("a.jsonl", '{"text": ""}\n{}\n[]', r"line 1, field 'text': is empty.* \(2 more like it in this file\)$"),
    ],
)
def test_a_slip_in_a_file_of_texts_is_one_line(tmp_path, name, content, line):
    with pytest.raises(UserError) as raised:
        texts.read_texts(written(tmp_path, name, content), "forget")
    assert_says(raised, line)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"prompt": "a"}, "line 1, field 'answer': is missing: add it"),
        ({"prompt": "a", "anwser": "b"}, "line 1, field 'anwser': is unknown: did you mean 'answer'"),
        ({"prompt": "a", "answer": ""}, "line 1, field 'answer': is empty"),
        ({"prompt": "a", "answer": "b", "wrong": "c"}, "line 1, field 'wrong': is no list of texts"),
        ({"prompt": "a", "answer": "b", "wrong": ["c", 1]}, "line 1, field 'wrong': 1 is no text"),
        ({"prompt": "a", "answer": "b", "wrong": ["B "]}, "line 1, field 'wrong': holds the right answer 'b'"),
        ({"prompt": "a", "answer": "b", "wrong": ["c", "C"]}, "line 1, field 'wrong': holds an answer twice"),
        ({"prompt": "a", "answer": "b", "about": "kept"}, "line 1, field 'about': is 'kept': did you mean 'keep'"),
        ("a", "line 1: a row is an object"),
    ],
)
def test_a_slip_in_a_file_of_questions_is_one_line(tmp_path, row, line):
    with pytest.raises(UserError) as raised:
        texts.read_questions(written(tmp_path, "q.jsonl", rows(row)))
    assert_says(raised, line)


def test_files_that_are_not_there_name_the_nearest(tmp_path):
    written(tmp_path, "forget.txt", "x")
    for file, line in (
        (str(tmp_path / "forgt.txt"), "forget_file .* is not a file: did you mean 'forget.txt'"),
        (str(tmp_path / "no" / "x.txt"), "is not a file: give its path from the repository's folder, or whole"),
        (str(tmp_path), "forget_file .* is a folder: give the path of a file in it"),
        (" ", "forget_file is empty: give the path of a file of texts"),
    ):
        with pytest.raises(UserError) as raised:
            texts.read_texts(file, "forget")
        assert_says(raised, line)
    with pytest.raises(UserError, match=r"questions are JSONL"):
        texts.read_questions(written(tmp_path, "q.txt", "What?"))


def test_what_is_in_two_files_is_named_in_both(tmp_path):
    one = texts.read_texts(written(tmp_path, "a.txt", "x\nThe cat sat."), "forget")
    other = texts.read_texts(written(tmp_path, "b.txt", "y\nz\nthe  CAT sat."), "keep")
    with pytest.raises(UserError) as raised:
        texts.check_apart([*one, *other])
    assert_says(raised, "b.txt line 3: this text stands in .*a.txt line 2 too: take it out of one of them")
    named = texts.read_texts(written(tmp_path, "c.jsonl", rows({"id": "forget-1", "text": "w"})), "keep")
    with pytest.raises(UserError, match=r"c.jsonl line 1, field 'id': 'forget-1' is also the id of .*a.txt line 1"):
        texts.check_apart([*one, *named])


def assert_says(raised, line):
    import re

    message = str(raised.value)
    assert "\n" not in message
    assert line in message or re.search(line, message), message
