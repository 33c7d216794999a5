"""Tables of other people's data: JSON arrays and JSON lines, in a folder or on the hub, each mistake one line.

A file is read whole or not at all. A mistake is named by file, line, row (from 1) and field, and how to mend it. A byte
order mark, Windows line ends, blank lines and fields that nobody asked for are accepted.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.core.paths import ROOT
from unlearnlib.data.records import decoded, shown_path

# What a field holds. A schema is {name: one of these}, a name that ends in "?" may be missing; or PLAIN: a row is a
# text, or an object with the one field `text`.
TEXT, TEXTS, NUMBER, OBJECT = "a text", "a list of texts", "a whole number", "an object"
PLAIN = {"text": TEXT}


@dataclass(frozen=True)
class Row:
    """One row: its fields by name, and where it stands, for an error."""

    values: dict[str, Any]
    at: str


@dataclass(frozen=True)
class Part:
    """One table of a source: which files may hold it, and what a row is.

    files: paths in the folder, the first that is there counts; `inside`: the key of the rows, where a file is one
    object of several lists. config, split: the table's names on the hub. check: from a row's fields and those of the
    first row to what is wrong between the fields, each as "field ...: ...; mend". repeats: rows may repeat others.
    """

    files: tuple[str, ...]
    schema: dict[str, str]
    config: str | None = None
    split: str = "train"
    inside: str | None = None
    check: Callable[[dict, dict], list[str]] | None = None
    repeats: bool = False


@dataclass(frozen=True)
class Place:
    """Where a source lies: in a folder, or (folder None) under a name on the hub."""

    folder: Path | None
    hub: str | None = None

    def find(self, part: Part) -> list[Row] | None:
        """Return the rows of a part in their order, None where it is not there; UserError where a row is wrong."""
        if self.folder is None:
            return hub_rows(self.hub, part)
        path = self.path(part.files)
        return None if path is None else file_rows(path, part)

    def need(self, *parts: Part) -> list[Row]:
        """Return the rows of the first of `parts` that is there; UserError, naming what is there, where none is."""
        for part in parts:
            rows = self.find(part)
            if rows is not None:
                return rows
        if self.folder is None:
            wanted = f"{parts[0].config}, split {parts[0].split}"
            raise UserError(f"{self} has no {wanted}: name another data set, or give a folder")
        there = sorted(path.name for path in self.folder.glob("*.json*"))[:12]
        mend = f"add it to {', '.join(there)}" if there else "give the folder that holds the files of the original"
        raise UserError(f"{self} has no {parts[0].files[0]}: {mend}")

    def path(self, files: Iterable[str]) -> Path | None:
        """Return the first of `files` that is in the folder. A file may end in .json or .jsonl, and may lie flat, with
        the names of its folders before its own: news/knowmem/forget_qa.json, or news-knowmem-forget_qa.json."""
        for name in files:
            for flat in (name, name.replace("/", "-")):
                for ending in (".json", ".jsonl"):
                    path = (self.folder / flat).with_suffix(ending)
                    if path.is_file():
                        return path
        return None

    def __str__(self) -> str:
        return str(self.hub) if self.folder is None else shown_path(self.folder)


def place(where: str | Path, hub: str | None) -> Place:
    """Return the place that `where` names: a folder (a relative one is looked up in the repository first), "hub" for
    the source's own data set there (`hub`), or "hub:owner/name" for another of the same form. UserError where there is
    none."""
    if str(where) == "hub" or str(where).startswith("hub:"):
        name = str(where).partition(":")[2] or hub
        if not name:
            raise UserError("no data set of this source on the hub is known: give hub:owner/name, or a folder")
        return Place(None, name)
    for folder in (ROOT / where, Path(where).expanduser()):
        if folder.is_dir():
            return Place(folder)
    raise UserError(f"{where} is no folder: give the folder of the files, or 'hub'")


def file_rows(path: Path, part: Part) -> list[Row]:
    """Return the rows of a file in its order; UserError, naming file, line, row and field, where one is wrong."""
    shown, rows = shown_path(path), []
    try:
        for number, (line, value) in enumerate(_values(decoded(path), part.inside), 1):
            rows.append((f"{shown} line {line}, row {number}", value))
    except _Malformed as error:
        raise UserError(f"{shown} line {error.line}, row {len(rows) + 1}: {error}") from None
    return _checked(rows, part, shown)


def hub_rows(name: str, part: Part) -> list[Row] | None:
    """Return the rows of a table on the hub through `datasets`, None where it has no such table; UserError as in
    file_rows, and where the hub cannot be reached. (`name` may be a folder that is laid out as a data set there.)"""
    from datasets import load_dataset  # here, because importing it takes seconds

    if part.config is None:
        return None
    try:
        table = load_dataset(name, part.config, split=part.split)
    except ValueError as error:
        if re.search(r"BuilderConfig .* not found|Unknown split", str(error)):
            return None
        raise UserError(f"{name} {part.config}: {str(error).splitlines()[0]}; give a folder") from None
    except Exception as error:  # of many kinds: no connection, no such data set, no right to it
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{name} cannot be loaded from the hub ({reason}): give a folder") from None
    values = list(table) if part.inside is None else [row for lists in table for row in lists.get(part.inside) or ()]
    shown = f"{name} {part.config} {part.split}"
    return _checked([(f"{shown} row {number}", value) for number, value in enumerate(values, 1)], part, shown)


def file_text(path: Path) -> str:
    """Return the text of a file with \\n as its line ends; UserError, naming the line, where it is not UTF-8, and
    where the file is empty."""
    text = decoded(path).replace("\r\n", "\n")
    if not text.strip():
        raise UserError(f"{shown_path(path)} line 1: the file is empty; write a text into it, or remove it")
    return text


def repeated(rows: Iterable[Row]) -> int:
    """Return how many rows repeat an earlier one in every field."""
    keys = [_key(row.values) for row in rows]
    return len(keys) - len(set(keys))


# Checking


def _checked(rows: list[tuple[str, Any]], part: Part, shown: str) -> list[Row]:
    if not rows:
        raise UserError(f"{shown} line 1: the file holds no rows; write one JSON object a line, or an array of them")
    problems, good, earlier, first = [], [], {}, None
    for at, value in rows:
        if part.schema == PLAIN and isinstance(value, str):
            value = {"text": value}
        found = _problems(value, part.schema)
        if not found:
            first = value if first is None else first
            found = part.check(value, first) if part.check else []
            wanted = {name.rstrip("?"): value.get(name.rstrip("?")) for name in part.schema}
            key = _key(wanted)
            if not part.repeats and key in earlier:
                fields = " and ".join(repr(name) for name, given in wanted.items() if given is not None)
                found = [f"fields {fields}: are those of {earlier[key]} again; remove one of the two"]
            earlier.setdefault(key, "row " + at.rpartition("row ")[2])
            good.append(Row({name: given for name, given in wanted.items() if given is not None}, at))
        problems += [f"{at}: {problem}" for problem in found]
    if problems:
        more = len(problems) - 1
        count = f" ({more} more {'problem' if more == 1 else 'problems'} in this file)" if more else ""
        raise UserError(problems[0] + count)
    return good


def _problems(value: Any, schema: dict[str, str]) -> list[str]:
    if not isinstance(value, dict):
        wanted = ", ".join(name for name in schema if not name.endswith("?"))
        return [f"a row is {_kind(value)}, not an object; write one with the fields {wanted}"]
    found, names = [], [name.rstrip("?") for name in schema]
    others = [name for name in value if name not in names]
    for name, kind in schema.items():
        plain = name.rstrip("?")
        given = value.get(plain)
        if given is None and (name.endswith("?") or plain not in value):
            if not name.endswith("?"):
                found.append(f"field {plain!r}: is missing; {_mend(plain, others)}")
            continue
        found += [f"field {plain!r}: {problem}" for problem in _of_kind(given, kind)]
    return found


def _mend(name: str, others: list[str]) -> str:
    hint = nearest(name, others) if others else ""
    return f"rename {hint[13:-1]}" if hint.startswith("did you mean") else "add it"


def _of_kind(value: Any, kind: str) -> list[str]:
    if kind == NUMBER:
        right = isinstance(value, int) and not isinstance(value, bool)
        return [] if right else [f"is {_kind(value)}, not {NUMBER}; write digits without quotes"]
    if kind == OBJECT:
        return [] if isinstance(value, dict) else [f"is {_kind(value)}, not {OBJECT}; write {{...}}"]
    if kind == TEXTS:
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            return [f'is {_kind(value)}, not {TEXTS}; write ["...", "..."]']
        if not value:
            return ["is an empty list; fill it in"]
        empty = [number for number, text in enumerate(value, 1) if not text.strip()]
        return [f"number {empty[0]} of the list is empty; fill it in"] if empty else []
    if not isinstance(value, str):
        return [f"is {_kind(value)}, not {TEXT}; put it in quotes"]
    return [] if value.strip() else ["is empty; fill it in"]


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return TEXTS if all(isinstance(item, str) for item in value) else "a list that is not of texts alone"
    kinds = {bool: "true or false", int: "a number", float: "a number", str: TEXT, type(None): "null"}
    return kinds.get(type(value), OBJECT)


def _key(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


# Parsing


class _Malformed(Exception):
    def __init__(self, line: int, problem: str):
        super().__init__(problem)
        self.line = line


def _values(text: str, inside: str | None) -> Iterator[tuple[int, Any]]:
    """Yield (line, value) of every row of an array, of lines, or of the array under the key `inside` of an object."""
    start = _skip(text, 0)
    if inside is not None:
        yield from _array(text, _find(text, start, inside), whole=False)
    elif text.startswith("[", start):
        yield from _array(text, start)
    else:  # only \n ends a line: a JSON text may hold the other characters that str.splitlines breaks at
        for line, row in enumerate(text.split("\n"), 1):
            if row.strip():
                try:
                    yield line, json.loads(row)
                except json.JSONDecodeError as error:
                    mend = "write one JSON object a line, or an array of them"
                    raise _Malformed(line, f"column {error.colno} is not JSON ({error.msg}); {mend}") from None


def _array(text: str, start: int, whole: bool = True) -> Iterator[tuple[int, Any]]:
    if not text.startswith("[", start):
        raise _Malformed(_line(text, start), "this is not an array; write [...]")
    at, line, counted = _skip(text, start + 1), _line(text, start), start
    while not text.startswith("]", at):
        line, counted = line + text.count("\n", counted, at), at
        value, at = _one(text, at)
        yield line, value
        at = _skip(text, at)
        if text.startswith(",", at):
            at = _skip(text, at + 1)
            if text.startswith("]", at):
                raise _Malformed(_line(text, at), "a comma stands before the array's end; remove it")
        elif not text.startswith("]", at):
            raise _Malformed(_line(text, at), "a comma or the array's end ']' is missing; add it")
    behind = _skip(text, at + 1)
    if whole and behind < len(text):
        raise _Malformed(_line(text, behind), "more stands behind the array's end; remove it")


def _find(text: str, at: int, key: str) -> int:
    """Return where the value of `key` begins in the object that begins at `at`."""
    if text.startswith("{", at):
        at, names = _skip(text, at + 1), []
        while text.startswith('"', at):
            name, at = _one(text, at)
            at = _skip(text, at)
            if not text.startswith(":", at):
                break
            at = _skip(text, at + 1)
            if name == key:
                return at
            names.append(name)
            at = _skip(text, _one(text, at)[1])
            at = _skip(text, at + 1) if text.startswith(",", at) else at
        if text.startswith("}", at):
            raise _Malformed(1, f"field {key!r}: is missing; {nearest(key, names) if names else 'add it'}")
    raise _Malformed(_line(text, at), f'this is not one JSON object; write {{"{key}": [...]}}')


def _one(text: str, at: int) -> tuple[Any, int]:
    try:
        return json.JSONDecoder().raw_decode(text, at)
    except json.JSONDecodeError as error:
        problem = f"column {error.colno} is not JSON ({error.msg}); is a quote, a comma or a bracket missing?"
        raise _Malformed(error.lineno, problem) from None


def _skip(text: str, at: int) -> int:
    return re.compile(r"\s*").match(text, at).end()


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
