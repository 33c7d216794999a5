"""Somebody's own texts, and questions about them: read from plain files or JSONL, with every mistake named.

A plain file holds one text a line; blank lines do not count. A JSONL file (its name ends in .jsonl) holds one object a
line with the field `text`, which may have line breaks, and if one likes an `id` of one's own; other fields are not
read. A file of questions is JSONL: `prompt`, `answer`, and if there are any `wrong` answers and what it is `about`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data.records import RESERVED, shown_path

ABOUT = ("forget", "keep")  # what a question may be about
QUESTION = ("prompt", "answer", "wrong", "about")


@dataclass(frozen=True)
class Text:
    """One text; `where` says in which line of which file it stands, for an error about it."""

    id: str
    text: str
    where: str


@dataclass(frozen=True)
class OwnQuestion:
    """What may be asked: how well does a model continue `prompt`, a space, by `answer`, and how well by each of the
    `wrong` answers (there may be none)? `about` is `forget` or `keep`."""

    prompt: str
    answer: str
    wrong: tuple[str, ...]
    about: str
    where: str


def read_texts(file: str, role: str) -> tuple[Text, ...]:
    """Return the texts of a file in its order, without spaces at their ends.

    A text without an id of its own is called by its `role` and line, such as "forget-3". Raises UserError, in one line
    that names file, line, field and mend, for a file that is not there, is empty, is no UTF-8 or holds a wrong row, an
    id or a text twice.
    """
    path = found(file, role)
    if path.suffix == ".json":
        raise UserError(f"{shown_path(path)} is one piece of JSON: write one object a line, in a file named .jsonl")
    wanted = _jsonl_text if path.suffix == ".jsonl" else _plain_text
    return _checked(path, (wanted(number, line, role) for number, line in _lines(path)), "text")


def read_questions(file: str) -> tuple[OwnQuestion, ...]:
    """Return the questions of a JSONL file in its order; UserError as in read_texts, and for a field that no question
    has."""
    path = found(file, "questions")
    if path.suffix != ".jsonl":
        raise UserError(
            f'{shown_path(path)}: questions are JSONL: {{"prompt": "...", "answer": "..."}} in a .jsonl file'
        )
    return _checked(path, (_question(number, line) for number, line in _lines(path)), "prompt")


def found(file: str, role: str) -> Path:
    """Return the path of a file that somebody names, looked up in the repository first; UserError where there is
    none."""
    named = f"{role}_file"
    if not file.strip():
        raise UserError(f"{named} is empty: give the path of a file of texts, one a line")
    for path in (paths.ROOT / file, Path(file).expanduser()):
        if path.is_file():
            return path
    path = Path(file).expanduser()
    if path.is_dir() or (paths.ROOT / file).is_dir():
        raise UserError(f"{named} {file!r} is a folder: give the path of a file in it")
    beside = next((one.parent for one in (paths.ROOT / file, path) if one.parent.is_dir()), None)
    others = sorted(other.name for other in beside.iterdir() if other.suffix in (".txt", ".jsonl")) if beside else []
    hint = (
        nearest(path.name, others) if 0 < len(others) <= 20 else "give its path from the repository's folder, or whole"
    )
    raise UserError(f"{named} {file!r} is not a file: {hint}")


def check_apart(texts: Iterable[Text]) -> None:
    """Raise UserError, naming both places, where two of these texts are the same words, or have one id: what is to be
    forgotten cannot also be kept, and what is trained on cannot stand for what is not."""
    by_words: dict[str, Text] = {}
    by_id: dict[str, Text] = {}
    for one in texts:
        same = by_words.setdefault(_words(one.text), one)
        if same is not one:
            raise UserError(f"{one.where}: this text stands in {same.where} too: take it out of one of them")
        other = by_id.setdefault(one.id, one)
        if other is not one:
            raise UserError(f"{one.where}, field 'id': {one.id!r} is also the id of {other.where}: give it another one")


def _words(text: str) -> str:
    return " ".join(text.split()).casefold()


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines that are not blank, with their numbers from 1."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{shown_path(path)} line {line}: this is not UTF-8: save the file as UTF-8") from None
    except OSError as error:
        raise UserError(f"{shown_path(path)} cannot be read ({error.strerror}): mend its permissions") from None
    # Only \n and \r\n end a line: a text may hold the other characters that str.splitlines breaks at.
    found = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not found:
        raise UserError(f"{shown_path(path)} is empty: write one text a line")
    return found


def _checked(path: Path, rows: Iterator, field: str) -> tuple:
    """Return the rows of a file with their places, once all are right; each is (number, row or problem)."""
    right: list = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for number, row in rows:
        if isinstance(row, str):
            problems.append(f"line {number}{row}")
            continue
        words = _words(row[field])
        if words in seen:
            problems.append(f"line {number}: says the same as line {seen[words]}: take one of them out")
        seen.setdefault(words, number)
        kind = Text if field == "text" else OwnQuestion
        right.append(kind(**row, where=f"{shown_path(path)} line {number}"))
    if problems:
        more = len(problems) - 1
        raise UserError(f"{shown_path(path)} {problems[0]}" + (f" ({more} more like it in this file)" if more else ""))
    return tuple(right)


def _plain_text(number: int, line: str, role: str) -> tuple[int, dict | str]:
    if line.lstrip().startswith('{"'):
        return number, ": this looks like JSON: give the file a name that ends in .jsonl, or write the bare text"
    return number, {"id": f"{role}-{number}", "text": line.strip()}


def _jsonl_text(number: int, line: str, role: str) -> tuple[int, dict | str]:
    row = _object(line, '{"text": "..."}')
    if isinstance(row, str):
        return number, row
    if "text" not in row:
        known = f"; it has {', '.join(map(repr, row))}" if row else ""
        return number, f', field \'text\': is missing{known}: write {{"text": "..."}}'
    name = row.get("id", f"{role}-{number}")
    if isinstance(name, bool) or not isinstance(name, str | int) or not str(name).strip():
        return number, ", field 'id': is no name: write letters and digits in quotes, or leave it out"
    wrong = next((letter for letter in str(name) if letter in RESERVED or not letter.isprintable()), None)
    if wrong is not None:
        return (
            number,
            f", field 'id': {name!r} holds {wrong!r}, which is not for ids: write letters, digits, '-' and '_'",
        )
    return number, _text_problem("text", row["text"]) or {"id": str(name), "text": row["text"].strip()}


def _question(number: int, line: str) -> tuple[int, dict | str]:
    row = _object(line, '{"prompt": "...", "answer": "..."}')
    if isinstance(row, str):
        return number, row
    for name in row:
        if name not in QUESTION:
            return number, f", field {name!r}: is unknown: {nearest(name, QUESTION)}"
    for name in ("prompt", "answer"):
        if name not in row:
            return number, f", field {name!r}: is missing: add it"
        if problem := _text_problem(name, row[name]):
            return number, problem
    prompt, answer = row["prompt"].strip(), row["answer"].strip()
    wrong, about = row.get("wrong", []), row.get("about", "forget")
    if about not in ABOUT:
        return number, f", field 'about': is {about!r}: {nearest(str(about), ABOUT)}"
    if not isinstance(wrong, list):
        return number, ', field \'wrong\': is no list of texts: write ["...", "..."], or leave it out'
    for other in wrong:
        if problem := _text_problem("wrong", other):
            return number, problem
    others = [_words(other) for other in wrong]
    if _words(answer) in others:
        return number, f", field 'wrong': holds the right answer {answer!r}: replace it"
    if len(set(others)) < len(others):
        return number, ", field 'wrong': holds an answer twice: replace one"
    wrong = tuple(other.strip() for other in wrong)
    return number, {"prompt": prompt, "answer": answer, "wrong": wrong, "about": about}


def _object(line: str, such_as: str) -> dict[str, Any] | str:
    """Return the JSON object of a line, or what is wrong with it."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return f", column {error.colno}: this is not JSON ({error.msg}): write one object a line, such as {such_as}"
    except RecursionError:
        return f": this is no row of texts: write one object a line, such as {such_as}"
    return row if isinstance(row, dict) else f": a row is an object: write {such_as}"


def _text_problem(name: str, value: Any) -> str:
    """Return what is wrong with a text in a field, or nothing."""
    if not isinstance(value, str):
        return f", field {name!r}: {json.dumps(value)[:40]} is no text: put it in quotes"
    return "" if value.strip() else f", field {name!r}: is empty: fill it in, or take the row out"


def counted(texts: Sequence) -> str:
    """Return a number of texts in words: "1 text", "3 texts"."""
    return f"{len(texts)} text{'' if len(texts) == 1 else 's'}"
