"""KnowUnDo (Tian et al. 2024, arXiv 2407.01920): what must go and what may stay, about the same people or books."""

import re
from collections import Counter
from collections.abc import Iterable

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data.items import Benchmark, Item
from unlearnlib.data.reading import TEXT, Part, Place, Row

HUB = "zjunlp/KnowUnDo"
DOMAINS = ("privacy", "copyright")
SCHEMA = {"text": TEXT, "labels": TEXT}
NAMED = 2  # so often in each half a name has to stand, to be an entity
CAPITALS = re.compile(r"[A-ZÀ-Þ][\w'’-]*(?:\s+[A-ZÀ-Þ][\w'’-]*)+")


def load(place: Place, domain: str = "privacy") -> Benchmark:
    """Return KnowUnDo of one domain, "privacy" or "copyright".

    forget: what must be unlearned, of the training split; retain: what may stay, of the same split. Probes:
    `unlearn_val` and `retention_val`, the validation split of the two, which is not trained on. `group` is the entity
    that a question names (our reading: a name of two or more words that at least two questions of each half have; ""
    where there is none), so that retention can be read within an entity. Files are those of the repository
    (privacy/unlearn_train.json), or of the hub (privacy/unlearn.json, with the lists train and val). UserError where a
    row is wrong.
    """
    if domain not in DOMAINS:
        raise UserError(f"no domain {domain!r} in KnowUnDo: {nearest(domain, DOMAINS)}")
    halves = ("unlearn", "retention")
    rows = {(half, split): place.need(*_parts(domain, half, split)) for half in halves for split in ("train", "val")}
    names = entities(*([*rows[half, "train"], *rows[half, "val"]] for half in halves))

    def items(half: str, split: str) -> tuple[Item, ...]:
        return tuple(
            Item(
                f"{half}-{split}-{number:03d}",
                question=row.values["text"].strip(),
                answer=row.values["labels"].strip(),
                group=entity(row, names),
                at=row.at,
            )
            for number, row in enumerate(rows[half, split])
        )

    notes = []
    full = place.find(Part((f"{domain}/full.json",), SCHEMA))
    if full is not None:
        there = {tuple(row.values.values()) for row in full}
        other = [row.at for part in rows.values() for row in part if tuple(row.values.values()) not in there]
        if other:
            notes.append(f"not in full.json: {len(other)} rows, the first {other[0]}")
    probes = {"unlearn_val": items("unlearn", "val"), "retention_val": items("retention", "val")}
    return Benchmark(
        f"KnowUnDo {domain}", items("unlearn", "train"), items("retention", "train"), (), probes, tuple(notes)
    )


def _parts(domain: str, half: str, split: str) -> tuple[Part, Part]:
    return (
        Part((f"{domain}/{half}_{split}.json",), SCHEMA),
        Part((f"{domain}/{half}.json",), SCHEMA, domain, half, inside=split),
    )


def entities(unlearn: Iterable[Row], retention: Iterable[Row]) -> Counter:
    """Return the names that at least two questions of each half have, with how many questions name them."""
    counts = [Counter(name for row in half for name in set(_names(row))) for half in (unlearn, retention)]
    both = [name for name in counts[0] if min(count[name] for count in counts) >= NAMED]
    return Counter({name: counts[0][name] + counts[1][name] for name in both})


def entity(row: Row, names: Counter) -> str:
    """Return the one of `names` that a question has, the most frequent and longest of several, "" where it has none."""
    found = (name for name in _names(row) if name in names)
    return max(found, key=lambda name: (names[name], len(name), name), default="")


def _names(row: Row) -> list[str]:
    """Return every run of two or more words with a capital, as parts of longer runs too: "Is Ada Lund" has Ada Lund."""
    names = []
    for run in CAPITALS.findall(row.values["text"]):
        words = re.sub(r"['’]s?$", "", run).split()
        names += [" ".join(words[a:b]) for a in range(len(words)) for b in range(a + 2, len(words) + 1)]
    return names
