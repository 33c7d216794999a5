"""RWKU (Jin et al. 2024, arXiv 2406.10890): famous people whom a model knows already, to be forgotten by name.

The benchmark gives a target and no corpus to train on: what a model is asked before and after is all there is, and the
passages about a target that its authors used for comparison.
"""

import re
from collections.abc import Callable

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data.items import Benchmark, Item
from unlearnlib.data.reading import NUMBER, OBJECT, TEXT, TEXTS, Part, Place, Row, repeated

HUB = "jinzhuoran/RWKU"
PROBE = {"query": TEXT, "answer": TEXT, "level": TEXT, "type": TEXT, "subject": TEXT}
MEMBER = {"text": TEXT, "subject": TEXT}
# Probe, as it is called here: the file of a target, the table on the hub, its split, what a row is.
TABLES = {
    "forget_level1": ("forget_level1", "forget_level1", "test", PROBE),
    "forget_level2": ("forget_level2", "forget_level2", "test", PROBE),
    "forget_level3": ("forget_level3", "forget_level3", "test", PROBE),
    "neighbour_level1": ("neighbor_level1", "neighbor_level1", "test", PROBE | {"neighbor": TEXT}),
    "neighbour_level2": ("neighbor_level2", "neighbor_level2", "test", PROBE | {"neighbor": TEXT}),
    "mia_forget": ("forget_mia", "mia_forget", "train", MEMBER),
    "mia_retain": ("retain_mia", "mia_retain", "train", MEMBER),
    "intro": ("intro", "forget_target", "train", {"target": TEXT, "intro": TEXT}),
    # Fields as the original's evaluation reads them: no such file was at hand.
    "utility_general": (
        "retain_mmlu", "utility_general", "test",
        {"question": TEXT, "choices": TEXTS, "answer": NUMBER, "subject": TEXT}
    ),
    "utility_reason": (
        "retain_bbh", "utility_reason", "test", {"question": TEXT, "answer": TEXT, "subject": TEXT}
    ),
    "utility_truthfulness": (
        "truthful", "utility_truthfulness", "test", {"question": TEXT, "mc1_targets": OBJECT, "subject": TEXT}
    ),
    "utility_factuality": (
        "triviaqa", "utility_factuality", "test", {"question": TEXT, "answers": TEXTS, "subject": TEXT}
    ),
}  # fmt: skip


def load(place: Place, target: str | None = None) -> Benchmark:
    """Return RWKU for one target, by its name ("Stephen King") or its folder ("1_Stephen_King").

    forget: passages about the target (passage.json), which the zero-shot protocol does without; retain: nothing, as
    published. Probes: `forget_level1` (kind cloze: a blank to fill in), `forget_level2` (questions), `forget_level3`
    (attacks, whose type is `topic`); `neighbour_level1` and `neighbour_level2` about a neighbour (`group`);
    `mia_forget` and `mia_retain`, texts for membership inference; `intro`, what a request to forget says; and where
    they are there `utility_general` and `utility_truthfulness` (with options), `utility_reason`, `utility_factuality`
    (the other right answers are paraphrased_answers). Fluency has no answers and is not read. Repeated rows are kept
    and noted. UserError for an unknown target, a wrong row, and a row about somebody else.
    """
    folder = None if place.folder is None else _chosen(targets(place), target)
    subject = target if folder is None else _name(folder)
    if subject is None:
        raise UserError("name the target: the hub's tables hold all of them")
    notes, found = ["RWKU gives nothing to keep: retain is empty"], {}
    for name, (file, config, split, schema) in TABLES.items():
        rows = _rows(
            place, folder, subject, Part(_files(folder, file), schema, config, split, None, _check(name), True)
        )
        if rows is None:
            notes += [f"there is no {file}.json"]
            continue
        if repeated(rows):
            notes.append(f"{name}: {repeated(rows)} of {len(rows)} rows repeat an earlier one, kept as published")
        found[name] = tuple(_item(name, number, row) for number, row in enumerate(rows))
    passages = Part(_files(folder, "passage"), MEMBER, "train_original_passage", "train", repeats=True)
    rows = _rows(place, folder, subject, passages)
    if not found and not rows:
        raise UserError(f"{place} has nothing about {subject!r}: name another target")
    forget = tuple(_item("passage", number, row) for number, row in enumerate(rows or ()))
    return Benchmark(f"RWKU {subject}", forget, probes=found, notes=tuple(notes))


def targets(place: Place) -> list[str]:
    """Return the targets of a folder as their folders are called, such as "1_Stephen_King", by number."""
    if place.folder is None:
        return []
    above = ("", "*/", "*/*/")
    folders = [path.parent.name for part in above for path in place.folder.glob(f"{part}forget_level1.json")]
    flat = [path.name.removesuffix("-forget_level1.json") for path in place.folder.glob("*-forget_level1.json")]
    return sorted({*folders, *flat}, key=lambda name: (int(re.match(r"\d*", name)[0] or 0), name))


def _chosen(known: list[str], target: str | None) -> str:
    names = {_name(folder): folder for folder in known} | {folder: folder for folder in known}
    if not known:
        raise UserError("no target of RWKU in this folder: give the one that holds Target/1_Stephen_King, say")
    if target is None and len(known) == 1:
        return known[0]
    if target not in names:
        hint = nearest(str(target), [_name(folder) for folder in known])
        raise UserError(f"no target {target!r} in this folder: {hint}")
    return names[target]


def _name(folder: str) -> str:
    return re.sub(r"^\d+_", "", folder).replace("_", " ")


def _files(folder: str | None, file: str) -> tuple[str, ...]:
    """Return where a target's file may lie: in the folder of all targets, one above it, or in the target's own."""
    return tuple(f"{above}{file}.json" for above in (f"Target/{folder}/", f"{folder}/", ""))


def _rows(place: Place, folder: str | None, subject: str, part: Part) -> list[Row] | None:
    rows = place.find(part)
    who = "target" if "target" in part.schema else "subject"
    if folder is None and rows is not None:  # the hub's tables are of all targets
        return [row for row in rows if row.values[who] == subject] or None
    for row in rows or ():
        if row.values[who].replace("_", " ") != subject:
            raise UserError(
                f"{row.at}: field {who!r}: is {row.values[who]!r}, but the folder is that of {subject!r}; move the row"
            )
    return rows


def _item(name: str, number: int, row: Row) -> Item:
    values, known = row.values, {"id": f"{name}-{number:03d}", "at": row.at, "group": row.values.get("subject", "")}
    if "query" in values:
        kind = "cloze" if values["level"] == "1" else "question"
        known["group"] = values.get("neighbor", values["subject"])
        return Item(
            **known, kind=kind, question=values["query"].strip(), answer=values["answer"].strip(), topic=values["type"]
        )
    if "text" in values or "intro" in values:
        return Item(**known, kind="text", text=values.get("text") or values["intro"])
    if "answers" in values:
        first, *others = (text.strip() for text in values["answers"])
        return Item(**known, question=values["question"].strip(), answer=first, paraphrased_answers=tuple(others))
    if "answer" in values and "choices" not in values:
        return Item(**known, question=values["question"].strip(), answer=values["answer"].strip())
    options, right = _options(values)
    wrong = tuple(text for number, text in enumerate(options) if number != right)
    return Item(
        **known, question=values["question"].strip(), answer=options[right], options=options, wrong_answers=wrong
    )


def _options(values: dict) -> tuple[tuple[str, ...], int]:
    if "choices" in values:
        return tuple(values["choices"]), values["answer"]
    return tuple(values["mc1_targets"]["choices"]), values["mc1_targets"]["labels"].index(1)


def _check(name: str) -> Callable[[dict, dict], list[str]] | None:
    """Return what finds a wrong option list, for the probes that have one."""

    def index(row: dict, first: dict) -> list[str]:
        if 0 <= row["answer"] < len(row["choices"]):
            return []
        most = len(row["choices"]) - 1
        return [f"field 'answer': {row['answer']} is no place in 'choices'; write a number from 0 to {most}"]

    def labelled(row: dict, first: dict) -> list[str]:
        choices, labels = row["mc1_targets"].get("choices"), row["mc1_targets"].get("labels")
        if not isinstance(choices, list) or not isinstance(labels, list) or len(choices) != len(labels):
            return ["field 'mc1_targets': needs the lists 'choices' and 'labels' of one length; write both"]
        right = labels.count(1)
        return [] if right == 1 else [f"field 'mc1_targets': {right} labels are 1; mark the one right choice"]

    return {"utility_general": index, "utility_truthfulness": labelled}.get(name)
