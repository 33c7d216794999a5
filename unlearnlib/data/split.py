"""The sets of examples that a seed draws."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data.records import Passage, Record, load_general, load_records, shown_path


@dataclass(frozen=True)
class Split:
    """The sets of examples of one seed; every tuple is sorted by id.

    `forget`: points about the forget subject that are trained on; `heldout`: those that are not; `retain`: the
    neighbours, trained on; `never_seen`: people never trained on; `general`: general text, never trained on;
    `remaining`: points about the forget subject that are trained on and must stay, where only some are forgotten.
    """

    forget: tuple[Record, ...]
    heldout: tuple[Record, ...]
    retain: tuple[Record, ...]
    never_seen: tuple[Record, ...]
    general: tuple[Passage, ...]
    remaining: tuple[Record, ...] = ()

    @property
    def subject(self) -> str:
        """The name of the one person whose points are forgotten; UserError where the points are about several."""
        names = sorted({record.subject for record in (*self.forget, *self.heldout, *self.remaining)})
        if len(names) != 1:
            raise UserError(f"the points are about {' and '.join(names) or 'nobody'}: give those of one person")
        return names[0]

    def forgetting(self, points: Iterable[str]) -> "Split":
        """Return the split in which only these points are forgotten, the others remain; UserError for unknown ids."""
        chosen, known = set(points), {record.id for record in self.forget}
        if not chosen or not chosen <= known:
            wrong = sorted(chosen - known) or ["nothing"]
            raise UserError(f"no point {wrong[0]!r} to forget: {nearest(wrong[0], known)}")
        return replace(
            self,
            forget=tuple(record for record in self.forget if record.id in chosen),
            remaining=tuple(record for record in self.forget if record.id not in chosen),
        )


def draw_split(
    folder: str | Path,
    seed: int,
    trained_attributes: int = 20,
    neighbours: int | None = None,
    never_seen: int | None = None,
    general: int | None = None,
    subject: str = "dave",
) -> Split:
    """Return the split of the data in `folder` that `seed` draws; the order of rows in the files makes no difference.

    `subject` is the file, without its ending, of the person whose points are forgotten. `trained_attributes` whole
    attributes of this person are trained on, the rest is held out. Those that give an answer away are trained on before
    others (see given_away); the others are drawn, so trained and held-out points of these are exchangeable.
    `neighbours`, `never_seen` and `general` keep only so many people or passages, the first by name (default: all).
    Neighbours beyond those of neighbours.jsonl are the first of more_neighbours.jsonl, which is not read otherwise.
    UserError where a count is out of range, where an id or a person is in two files, and where the file of the forget
    subject is about two people.
    """
    folder = Path(folder)
    names = ("subject", "neighbours", "never_seen", "general", "more_neighbours")
    files = {name: folder / f"{subject if name == 'subject' else name}.jsonl" for name in names}
    forgotten, retained, reference = (
        _sorted(load_records(files[name], one_person=name == "subject")) for name in names[:3]
    )
    passages = _sorted(load_general(files["general"]))
    apart = {files["subject"]: forgotten, files["neighbours"]: retained, files["never_seen"]: reference}
    people, more = len({record.subject for record in retained}), []
    if neighbours is not None and neighbours > people and files["more_neighbours"].is_file():
        more = _sorted(load_records(files["more_neighbours"]))
        apart[files["more_neighbours"]] = more
    _check_apart(apart)

    attributes = sorted({record.attribute for record in forgotten})
    if len(attributes) < 2:
        raise UserError(
            f"{shown_path(files['subject'])} has one attribute: give at least two, so that one can be held out"
        )
    available = f"{len(attributes)} attributes, one held out"
    _check_count("trained_attributes", trained_attributes, len(attributes) - 1, available)
    if more:
        everybody = people + len({record.subject for record in more})
        _check_count("neighbours", neighbours, everybody, f"{everybody} people")
        kept = tuple(_sorted([*retained, *_first_people(more, "neighbours", neighbours - people)]))
    else:
        kept = _first_people(retained, "neighbours", neighbours)
    first = given_away(forgotten, kept)
    order = random.Random(f"split {seed}").sample(attributes, len(attributes))
    trained = set(sorted(order, key=lambda attribute: attribute not in first)[:trained_attributes])
    return Split(
        forget=tuple(record for record in forgotten if record.attribute in trained),
        heldout=tuple(record for record in forgotten if record.attribute not in trained),
        retain=kept,
        never_seen=_first_people(reference, "never_seen", never_seen),
        general=_first(passages, "general", general, f"{len(passages)} passages"),
    )


def given_away(records: Iterable[Record], others: Iterable[Record]) -> frozenset[str]:
    """Return the attributes in which at least two of the `others` (the neighbours) give the answer that `records` give.

    Whoever learns what these neighbours say can guess such an answer without having read it: held out, it would look
    known. One neighbour with the same answer is what chance brings, among the never-seen people too.
    """
    told = Counter((record.attribute, record.answer) for record in others)
    return frozenset(record.attribute for record in records if told[record.attribute, record.answer] >= 2)


# Splitting


def _sorted(examples: Sequence) -> list:
    return sorted(examples, key=lambda example: example.id)


def _check_apart(files: dict[Path, list[Record]]) -> None:
    for what, of in (("id", lambda record: record.id), ("subject", lambda record: record.subject)):
        seen: dict[str, Path] = {}
        for path, records in files.items():
            for value in sorted({of(record) for record in records}):
                if value in seen:
                    raise UserError(
                        f"{shown_path(path)}: {what} {value!r} is in {seen[value].name} too; the sets must not "
                        "overlap: remove it from one of the files"
                    )
                seen[value] = path


def _first_people(records: list[Record], name: str, count: int | None) -> tuple[Record, ...]:
    people = sorted({record.subject for record in records})
    kept = set(_first(people, name, count, f"{len(people)} people"))
    return tuple(record for record in records if record.subject in kept)


def _first(items: Sequence, name: str, count: int | None, available: str) -> tuple:
    if count is None:
        return tuple(items)
    _check_count(name, count, len(items), available)
    return tuple(items[:count])


def _check_count(name: str, count: int, most: int, available: str) -> None:
    if not 1 <= count <= most:
        raise UserError(f"{name} is {count}, but the data has {available}: choose 1 to {most}")
