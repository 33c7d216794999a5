"""TOFU (Maini et al. 2024, arXiv 2401.06121): invented authors, twenty questions each.

Rows of `full` stand author by author; forget01, forget05 and forget10 are its last authors, retain99, retain95 and
retain90 the others. Of some questions there are an answer in other words and five wrong ones (`*_perturbed`).
"""

from dataclasses import replace

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data.items import Benchmark, Item, with_wrong_answers
from unlearnlib.data.reading import TEXT, TEXTS, Part, Place, Row
from unlearnlib.data.subsets import drawn

HUB = "locuslab/TOFU"
FORGET = ("forget01", "forget05", "forget10", "forget20")
ASKED = ("real_authors", "world_facts")
QUESTION = {"question": TEXT, "answer": TEXT}
OTHER_WORDS = {"paraphrased_question?": TEXT, "paraphrased_answer?": TEXT, "perturbed_answer": TEXTS}
OPTIONS = tuple(f"option{number}" for number in range(1, 5))


def load(
    place: Place,
    forget: str = "forget10",
    authors: int | None = None,
    to_forget: int = 1,
    seed: int = 0,
    per_author: int = 20,
) -> Benchmark:
    """Return TOFU with one of its published forget sets, or a small part of it.

    forget: one of FORGET; retain is everybody else. With `authors`, so many authors alone are trained on: `to_forget`
    of them are drawn by `seed` from the authors of the forget set, the others from those kept, first from the authors
    whose retained questions have wrong answers. A larger `to_forget` forgets the same authors and more. The authors of
    the forget set that are not drawn are `heldout` then. Authors stay whole: `per_author` rows each.

    Probes: `forget_perturbed` and `retain_perturbed`, those of the two with wrong answers; `real_authors` and
    `world_facts`, with options and wrong answers. Ids are author and question, the same whatever is drawn. UserError
    where a file is wrong, an author is not whole, a row of one file is not in the other, or a number is out of range.
    """
    if forget not in FORGET:
        raise UserError(f"no forget set {forget!r} in TOFU: {nearest(forget, FORGET)}")
    items, gone, notes = _everything(place, forget, per_author)
    everybody = sorted({item.group for item in items.values()})
    forgotten = sorted({items[number].group for number in gone})
    name, kept, held = f"TOFU {forget}", [author for author in everybody if author not in forgotten], []
    if authors is not None:
        ready = {item.group for item in with_wrong_answers(items.values())}
        forgotten, held = _drawn(forgotten, to_forget, seed, "to_forget")
        kept, _ = _drawn(kept, authors - to_forget, seed, "authors less to_forget", first=ready)
        name = f"TOFU, {len(forgotten)} of {authors} authors, seed {seed}"

    def of(names: list[str]) -> tuple[Item, ...]:
        return tuple(item for item in items.values() if item.group in set(names))

    probes = {
        "forget_perturbed": with_wrong_answers(of(forgotten)),
        "retain_perturbed": with_wrong_answers(of(kept)),
    }
    probes |= {other: found for other in ASKED if (found := _with_options(place, other))}
    return Benchmark(name, of(forgotten), of(kept), of(held), probes, notes)


def _part(name: str, schema: dict[str, str] = QUESTION, check=None) -> Part:
    return Part((f"{name}.json",), schema, name, check=check)


def _everything(place: Place, forget: str, per_author: int) -> tuple[dict[int, Item], set[int], tuple[str, ...]]:
    """Return every item by its place in `full`, the places to forget, and notes."""
    to_forget, retain = place.need(_part(forget)), f"retain{100 - int(forget[6:])}"
    full, rest, notes = place.find(_part("full")), place.find(_part(retain)), []
    if full is None:
        full = [*(place.need(_part(retain)) if rest is None else rest), *to_forget]
        notes.append(f"there is no full.json: {retain}.json and {forget}.json stand for it")
    elif rest is None:
        notes.append(f"there is no {retain}.json: what full.json has besides {forget}.json stands for it")
    places = {_key(row): number for number, row in enumerate(full)}
    gone = {_place(row, places, "full.json") for row in to_forget}
    if len(full) % per_author:
        raise UserError(
            f"{full[-1].at}: {len(full)} rows are not {per_author} questions an author; restore the missing rows, or "
            "give per_author"
        )
    for row in to_forget:
        author = _place(row, places, "full.json") // per_author
        there = sum(number // per_author == author for number in gone)
        if there != per_author:
            raise UserError(
                f"{row.at}: field 'question': its author has {there} of {per_author} questions in {forget}.json; keep "
                "authors whole"
            )
    for row in rest or ():
        if _place(row, places, "full.json") in gone:
            raise UserError(
                f"{row.at}: field 'question': is in {forget}.json too; the sets must not overlap: remove it from one"
            )
    if rest is not None and len(rest) + len(to_forget) != len(full):
        raise UserError(
            f"{rest[-1].at}: {len(rest)} rows, and {len(to_forget)} to forget, are not the {len(full)} of full.json; "
            "take files of one version"
        )
    items = {number: _item(row, number, per_author) for number, row in enumerate(full)}
    for name in (f"{forget}_perturbed", "retain_perturbed"):
        more = place.find(_part(name, QUESTION | OTHER_WORDS, wrong_answers))
        if more is None:
            notes.append(f"there is no {name}.json: no truth ratio can be asked there")
        for row in more or ():
            number = _place(row, places, "full.json")
            items[number] = replace(items[number], **_other_words(row))
    return items, gone, tuple(notes)


def _key(row: Row) -> tuple[str, str]:
    return row.values["question"].strip(), row.values["answer"].strip()


def _place(row: Row, places: dict[tuple[str, str], int], file: str) -> int:
    if _key(row) not in places:
        raise UserError(
            f"{row.at}: field 'question': this question with this answer is not in {file}; take files of one version"
        )
    return places[_key(row)]


def _item(row: Row, number: int, per_author: int) -> Item:
    author = f"author{number // per_author:03d}"
    question, answer = _key(row)
    return Item(f"{author}-q{number % per_author:02d}", question=question, answer=answer, group=author, at=row.at)


def _other_words(row: Row) -> dict[str, tuple[str, ...]]:
    return {
        "paraphrased_questions": tuple(_optional(row, "paraphrased_question")),
        "paraphrased_answers": tuple(_optional(row, "paraphrased_answer")),
        "wrong_answers": tuple(text.strip() for text in row.values["perturbed_answer"]),
    }


def _optional(row: Row, name: str) -> list[str]:
    return [row.values[name].strip()] if name in row.values else []


def wrong_answers(row: dict, first: dict) -> list[str]:
    """Return what is wrong with the wrong answers of a row: the right one among them, one twice, or another number
    than in the first row."""
    wrong = [text.strip() for text in row["perturbed_answer"]]
    right = {row[name].strip() for name in ("answer", "paraphrased_answer") if row.get(name)}
    found = [f"holds the right answer {text!r}; replace it" for text in wrong if text in right]
    found += [f"repeats {text!r}; give different ones" for text in sorted({t for t in wrong if wrong.count(t) > 1})]
    if len(wrong) != len(first["perturbed_answer"]):
        found.append(f"has {len(wrong)} texts, row 1 has {len(first['perturbed_answer'])}; give as many in every row")
    return [f"field 'perturbed_answer': {problem}" for problem in found]


def options(row: dict, first: dict) -> list[str]:
    """Return what is wrong with the options of a row: the right answer is not among them, or one comes twice."""
    given = [row[name].strip() for name in OPTIONS]
    if row["answer"].strip() not in given:
        return [f"field 'answer': {row['answer']!r} is none of {OPTIONS[0]} to {OPTIONS[-1]}; make it one of them"]
    again = next((name for name, text in zip(OPTIONS, given, strict=True) if given.count(text) > 1), None)
    return [f"field {again!r}: {row[again]!r} comes twice; give different options"] if again else []


def _with_options(place: Place, name: str) -> tuple[Item, ...]:
    """Return the questions about real authors or the world, from the file with options, that with wrong answers, or
    both."""
    shown = place.find(_part(name, QUESTION | dict.fromkeys(OPTIONS, TEXT), options))
    wrong = place.find(_part(f"{name}_perturbed", QUESTION | OTHER_WORDS, wrong_answers))
    listed = {_key(row): tuple(row.values[option].strip() for option in OPTIONS) for row in shown or ()}
    items = []
    for number, row in enumerate(wrong or shown or ()):
        question, answer = _key(row)
        if wrong and shown:
            _place(row, listed, f"{name}.json")
        choices = listed.get((question, answer), ())
        words = _other_words(row) if wrong else {"wrong_answers": tuple(text for text in choices if text != answer)}
        items.append(
            Item(f"{name}-{number:03d}", question=question, answer=answer, options=choices, at=row.at, **words)
        )
    return tuple(items)


def _drawn(
    names: list[str], count: int, seed: int, what: str, first: set[str] | None = None
) -> tuple[list[str], list[str]]:
    """Return `count` of the names, drawn by the seed, those in `first` before others, and the names that are left."""
    if not 1 <= count <= len(names):
        raise UserError(f"{what} is {count}, but there are {len(names)} such authors: choose 1 to {len(names)}")
    order = drawn(names, seed, "TOFU")
    if first is not None:
        order.sort(key=lambda name: name not in first)
    return order[:count], order[count:]
