"""A folder of plain text: forget/*.txt, keep/*.txt, and if you like heldout/*.txt, never trained on."""

import re
from pathlib import Path

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data.items import Benchmark, Item
from unlearnlib.data.reading import Place, file_text
from unlearnlib.data.records import shown_path

HUB = None
FOLDERS = {"forget": "forget", "retain": "keep", "heldout": "heldout"}
BY = ("file", "paragraph", "line")
BREAKS = {"paragraph": r"\n\s*\n", "line": r"\n"}


def load(place: Place, by: str = "file") -> Benchmark:
    """Return the texts of a folder: one text a file, a paragraph (blank lines part them) or a line.

    forget and keep must be there with a file in each; heldout need not. `group` is the file. UserError where a file is
    empty or not UTF-8, a text comes twice, or one is both to forget and to keep.
    """
    if by not in BY:
        raise UserError(f"no way {by!r} to part the texts: {nearest(by, BY)}")
    if place.folder is None:
        raise UserError("a folder of plain text is not on the hub: give the folder")
    sets = {}
    for name, folder in FOLDERS.items():
        paths = sorted((place.folder / folder).glob("*.txt"))
        if not paths and name != "heldout":
            there = sorted(path.name for path in place.folder.iterdir() if path.is_dir())
            hint = nearest(folder, there) if there else "write the texts into it"
            raise UserError(f"{shown_path(place.folder)} has no {folder}/*.txt: {hint}")
        sets[name] = _once(tuple(item for path in paths for item in _items(path, by)))
    return Benchmark(f"texts of {place}", sets["forget"], sets["retain"], sets["heldout"])


def _items(path: Path, by: str) -> list[Item]:
    text, shown, items, at = file_text(path), shown_path(path), [], 0
    ends = [match.span() for match in re.finditer(BREAKS[by], text)] if by in BREAKS else []
    for end, begin in [*ends, (len(text), len(text))]:
        part = text[at:end]
        if part.strip():
            line = text.count("\n", 0, at + len(part) - len(part.lstrip())) + 1
            name = f"{path.parent.name}-{path.stem}" + (f"-{len(items):03d}" if by in BREAKS else "")
            where = f"{shown} line {line}, row {len(items) + 1}"
            items.append(Item(name, "text", part.strip(), group=path.name, at=where))
        at = begin
    return items


def _once(items: tuple[Item, ...]) -> tuple[Item, ...]:
    seen = {}
    for item in items:
        earlier = seen.setdefault(item.said, item)
        if earlier is not item:
            raise UserError(f"{item.at}: field 'text': is that of {earlier.at} again; remove one of the two")
    return items
