"""Invented people's personal data as questions (github.com/pariidanDKE/Toward-Practical-PII-Unlearning): names, birth
dates, addresses, each question with five paraphrases and five wrong answers."""

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data.items import Benchmark, Item
from unlearnlib.data.reading import TEXT, TEXTS, Part, Place, Row

HUB = None
FORGET = ("forget1", "forget5", "forget10")
RETAIN = ("test/test_retain_pii.json", "test_retain_pii.json")
NUMBERS = range(1, 6)
SCHEMA = {"question": TEXT, "answer": TEXT, "subject": TEXT, "subject_pii": TEXTS} | {
    f"{kind}_{number}": TEXT
    for number in NUMBERS
    for kind in ("paraphrased_question", "paraphrased_answer", "perturbed_answer")
}


def load(place: Place, forget: str = "forget10") -> Benchmark:
    """Return one of FORGET to forget, and the people of test_retain_pii to keep.

    `group` is the person; a truth ratio can be asked of every item. UserError where a row is wrong, and where a person
    is in both files.
    """
    if forget not in FORGET:
        raise UserError(f"no forget set {forget!r} here: {nearest(forget, FORGET)}")
    gone, kept = (
        tuple(_item(f"{name}-{number:03d}", row) for number, row in enumerate(place.need(part)))
        for name, part in (
            ("forget", Part((f"PII/{forget}.json", f"{forget}.json"), SCHEMA, check=_wrong)),
            ("retain", Part(RETAIN, SCHEMA, check=_wrong)),
        )
    )
    people = {item.group for item in gone}
    for item in kept:
        if item.group in people:
            raise UserError(
                f"{item.at}: field 'subject': {item.group!r} is in {forget}.json too; the sets must not overlap: "
                "remove the person from one"
            )
    return Benchmark(f"PII {forget}", gone, kept)


def _item(name: str, row: Row) -> Item:
    values = row.values
    words = {
        kind: tuple(values[f"{kind}_{number}"].strip() for number in NUMBERS)
        for kind in ("paraphrased_question", "paraphrased_answer", "perturbed_answer")
    }
    return Item(
        name,
        question=values["question"].strip(),
        answer=values["answer"].strip(),
        group=values["subject"].strip(),
        paraphrased_questions=words["paraphrased_question"],
        paraphrased_answers=words["paraphrased_answer"],
        wrong_answers=words["perturbed_answer"],
        at=row.at,
    )


def _wrong(row: dict, first: dict) -> list[str]:
    for number in NUMBERS:
        name = f"perturbed_answer_{number}"
        if row[name].strip() == row["answer"].strip():
            return [f"field {name!r}: is the right answer; replace it"]
        if row[name].strip() in [row[f"perturbed_answer_{other}"].strip() for other in range(1, number)]:
            return [f"field {name!r}: {row[name]!r} comes twice; give different ones"]
    return []
