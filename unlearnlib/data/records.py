"""Typed records, read from JSONL with every mistake named, and the split of the Dave points that a seed draws.

A record is one fact about one person. Loading checks every row before anything is returned: a file is read whole or not
at all.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.core.paths import ROOT

if TYPE_CHECKING:
    from datasets import Dataset

PARAPHRASES = 3
WRONG_ANSWERS = 5
# What an id may not hold: `<id>#0` is a point's first paraphrase, `|` parts the names of recorded gradients, and a
# figure would read what stands between two `$` as mathematics.
RESERVED = "#|$"


@dataclass(frozen=True)
class Record:
    """One fact about one person; `text` is `prompt`, a space, `answer` and `tail`."""

    id: str
    subject: str
    attribute: str
    text: str
    prompt: str
    answer: str
    paraphrases: tuple[str, ...]
    wrong_answers: tuple[str, ...]

    @property
    def tail(self) -> str:
        """What the text says after the answer: at least its full stop, as a rule."""
        return self.text[len(self.prompt) + 1 + len(self.answer) :]

    def paraphrase_prompt(self, number: int) -> str:
        """Return the text of a paraphrase (0, 1 or 2) before the answer, without the space between them."""
        paraphrase = self.paraphrases[number]
        return paraphrase[: _places(self.answer, paraphrase)[0]].rstrip()


@dataclass(frozen=True)
class Passage:
    """A piece of general text, for perplexity."""

    id: str
    text: str


def load_records(path: str | Path, one_person: bool = False) -> list[Record]:
    """Return the records of a JSONL file in its order; UserError with file, line and field where a row is wrong.

    Blank lines, Windows line ends and a byte order mark are accepted. With `one_person` every row has to be about the
    same person.
    """
    rows = _read(Path(path), Record, _only_one_person() if one_person else _record_problems)
    return [_record(row) for row in _dataset(rows)]


def load_general(path: str | Path) -> list[Passage]:
    """Return the passages (id, text) of a JSONL file in its order; UserError as in load_records."""
    return [Passage(**row) for row in _read(Path(path), Passage, lambda row: [])]


def to_dataset(records: Iterable[Record]) -> "Dataset":
    """Return the records as a `datasets.Dataset` in memory: one row a record, one typed column a field."""
    return _dataset([asdict(record) for record in records])


def found_at(example: Record | Passage, folder: str | Path | None = None) -> str:
    """Return where a record or passage stands in the files of `folder` (default: the repository's data), for an error
    about it: "data/dave.jsonl line 3, id 'dave-pet-kind'"; the id alone where it stands in none of them."""
    for path in sorted(Path(folder or paths.DATA).glob("*.jsonl")):
        for number, line in _lines(path):
            row, _ = _parse(line, type(example))
            if row.get("id") == example.id and row.get("text") == example.text:
                return f"{shown_path(path)} line {number}, id {example.id!r}"
    return f"id {example.id!r}"


def name_words(subject: str) -> tuple[str, ...]:
    """Return the words of a name, such as ("Dave", "Harlow")."""
    return tuple(subject.split())


# Reading


def _read(path: Path, kind: type, more_problems: Callable[[dict], list[str]]) -> list[dict[str, Any]]:
    """Return the rows of a file once every one of them is right; each problem is a text "field ...: ...; mend"."""
    rows, problems, lines_of_ids = [], [], {}
    for number, line in _lines(path):
        row, found = _parse(line, kind)
        if not found:
            found = _id_problems(row["id"]) + more_problems(row)
            if row["id"] in lines_of_ids:
                earlier = lines_of_ids[row["id"]]
                found.append(f"field 'id': {row['id']!r} is also the id of line {earlier}; give every row its own id")
            lines_of_ids.setdefault(row["id"], number)
        problems += [f"line {number}: {problem}" for problem in found]
        rows.append(row)
    if problems:
        others = len(problems) - 1
        count = f" ({others} more {'problem' if others == 1 else 'problems'} in this file)" if others else ""
        raise UserError(f"{shown_path(path)} {problems[0]}{count}")
    if not rows:
        raise UserError(f"{shown_path(path)} holds no rows: write one JSON object a line")
    return rows


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines that are not blank, with their numbers from 1."""
    if not path.is_file():
        others = [other.name for other in sorted(path.parent.glob("*.jsonl"))]
        hint = nearest(path.name, others) if others else "give the path of a JSONL file"
        raise UserError(f"{shown_path(path)} is not a file: {hint}")
    # Only \n and \r\n end a line: JSON strings may hold the other characters that str.splitlines breaks at.
    return [(number, line) for number, line in enumerate(decoded(path).split("\n"), 1) if line.strip()]


def decoded(path: Path) -> str:
    """Return what a file says, without a byte order mark; UserError, naming the line, where it is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{shown_path(path)} line {line}: this is not UTF-8; save the file as UTF-8") from None


def _parse(line: str, kind: type) -> tuple[dict[str, Any], list[str]]:
    """Return the row of a line and what is wrong with its fields' names and types."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return {}, [f"column {error.colno}: this is not JSON ({error.msg}); write one JSON object a line"]
    if not isinstance(row, dict):
        return {}, [f'a row is a JSON object, not {_type_name(row)}; write {{"id": ..., ...}}']
    names = [field.name for field in fields(kind)]
    missing = [name for name in names if name not in row]
    problems = [
        f"field {name!r} is unknown; {nearest(name, missing or names)}" for name in row if name not in names
    ] + [f"field {name!r} is missing; add it" for name in missing]
    for field in fields(kind):
        if field.name in row:
            problems += _type_problems(field.name, field.type is str, row[field.name])
    return row, problems


def _type_problems(name: str, is_text: bool, value: Any) -> list[str]:
    if is_text and not isinstance(value, str):
        return [f"field {name!r}: is {_type_name(value)}, not a text; put it in quotes"]
    if not is_text and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        return [f'field {name!r}: is not a list of texts; write ["...", "..."]']
    for text in [value] if is_text else value:
        if not text.strip():
            return [f"field {name!r}: is empty; fill it in"]
        if text != text.strip():
            return [f"field {name!r}: {text!r} begins or ends with a space; remove it"]
    return []


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}.get(
        type(value), "an object"
    )


def _record_problems(row: dict[str, Any]) -> list[str]:
    """Return what is wrong between the fields of a record whose fields all have the right type."""
    problems = []
    prompt, answer, paraphrases, wrong = row["prompt"], row["answer"], row["paraphrases"], row["wrong_answers"]
    if not any(_places(word, prompt) for word in name_words(row["subject"])):
        problems.append(f"field 'prompt': does not name {row['subject']!r}; name the subject before the answer")
    if not row["text"].startswith(f"{prompt} "):
        problems.append("field 'text': does not begin with the prompt and a space; copy its beginning into 'prompt'")
    elif not re.match(re.escape(f"{prompt} {answer}") + r"(?!\w)", row["text"]):
        problems.append(f"field 'answer': {answer!r} does not follow the prompt in the text; copy it from there")
    if len(paraphrases) != PARAPHRASES:
        problems.append(f"field 'paraphrases': has {len(paraphrases)} texts; give exactly {PARAPHRASES}")
    for number, paraphrase in enumerate(paraphrases, 1):
        places = _places(answer, paraphrase)
        if len(places) != 1:
            problems.append(
                f"field 'paraphrases': number {number} holds the answer {answer!r} {len(places)} times; "
                "write it exactly once"
            )
        elif not paraphrase[: places[0]].endswith(" "):
            problems.append(
                f"field 'paraphrases': in number {number} no words precede the answer; put it towards the end"
            )
    if len({row["text"], *paraphrases}) < 1 + len(paraphrases):
        problems.append("field 'paraphrases': repeats a text; write every one in words of its own")
    if len(wrong) != WRONG_ANSWERS:
        problems.append(f"field 'wrong_answers': has {len(wrong)} texts; give exactly {WRONG_ANSWERS}")
    if answer.casefold() in [other.casefold() for other in wrong]:
        problems.append(f"field 'wrong_answers': holds the right answer {answer!r}; replace it")
    repeated = [other for other, count in Counter(wrong).items() if count > 1]
    if repeated:
        problems.append(f"field 'wrong_answers': repeats {repeated[0]!r}; give {WRONG_ANSWERS} different ones")
    return problems


def _id_problems(name: str) -> list[str]:
    """Return what is wrong with an id: whatever else it holds, nothing reads a meaning into it."""
    wrong = next((letter for letter in name if letter in RESERVED or not letter.isprintable()), None)
    if wrong is None:
        return []
    return [f"field 'id': {name!r} holds {wrong!r}, which is not for ids; write letters, digits, '-', '_' and '.'"]


def _only_one_person() -> Callable[[dict[str, Any]], list[str]]:
    """Return a function that finds what is wrong with the rows of a file about one person, given them in order."""
    first: list[str] = []

    def problems(row: dict[str, Any]) -> list[str]:
        first.append(row["subject"])
        if row["subject"] == first[0]:
            return _record_problems(row)
        return [
            f"field 'subject': is {row['subject']!r}, but the rows before are about {first[0]!r}; one person is "
            "forgotten: put the others into neighbours.jsonl, and write one person's name alike in every row",
            *_record_problems(row),
        ]

    return problems


def _places(words: str, text: str) -> list[int]:
    """Return where `words` stand in `text` as whole words."""
    return [match.start() for match in re.finditer(rf"(?<!\w){re.escape(words)}(?!\w)", text)]


def _dataset(rows: list[dict[str, Any]]) -> "Dataset":
    # datasets takes seconds to import, and a notebook about something else need not wait for it.
    from datasets import Dataset, Features, List, Value

    columns = {field.name: Value("string") if field.type is str else List(Value("string")) for field in fields(Record)}
    return Dataset.from_dict({name: [row[name] for row in rows] for name in columns}, features=Features(columns))


def _record(row: dict[str, Any]) -> Record:
    return Record(**{name: value if isinstance(value, str) else tuple(value) for name, value in row.items()})


def shown_path(path: Path) -> str:
    """Return the path as a reader of the repository would write it."""
    path = path.absolute()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
