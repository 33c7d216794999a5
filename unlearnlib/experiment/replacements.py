"""Other texts for methods that train on some: other answers for what is to be forgotten (their option `replacements`),
and texts about people that the model has never seen (`unseen`).

A question about a point offers six answers, and a method that is trained on one of these is trained on what it is
measured by. So an answer here is never among the six: it is one that a retained person gives to the same question, or
words that say nothing.
"""

from collections.abc import Sequence

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data.batches import encode_text
from unlearnlib.data.records import Record, load_records
from unlearnlib.data.subsets import drawn

KINDS = ("answers", "unknown")
UNKNOWN = "something that nobody remembers"


def of(experiment, kind: str = "answers") -> dict[str, tuple[int, ...]]:
    """Return the token ids of every text to forget with another answer in its place, by id (see other_answer).

    An option of the methods that train on them: `Variant("DPO", "DPO", options={"replacements": of(experiment)})`.
    """
    split, most = experiment.split, experiment.profile.max_tokens
    return {
        record.id: tuple(encode_text(experiment.tokenizer, with_answer(record, answer), most))
        for record in split.forget
        for answer in [other_answer(record, split.retain, experiment.seed, kind)]
    }


def with_answer(record: Record, answer: str) -> str:
    """Return the text of a record with this answer in the place of its own."""
    return f"{record.prompt} {answer}{record.tail}"


def other_answer(record: Record, others: Sequence[Record], seed: int, kind: str = "answers") -> str:
    """Return another answer for a record, which is none of the six that its question offers.

    `answers`: one that `others` give to the same question, drawn by `seed`, or else to one of the same attribute, or
    else UNKNOWN; `unknown`: UNKNOWN for all. UserError for another kind.
    """
    if kind not in KINDS:
        raise UserError(f"no replacements of kind {kind!r}: {nearest(kind, KINDS)}")
    offered = {answer.casefold() for answer in (record.answer, *record.wrong_answers)}
    alike = [other for other in others if other.attribute == record.attribute]
    for given in ([other for other in alike if _question(other) == _question(record)], alike):
        free = {other.answer for other in given if other.answer.casefold() not in offered}
        if free and kind == "answers":
            return drawn(sorted(free), seed, f"another answer for {record.id}")[0]
    return UNKNOWN


def _question(record: Record) -> str:
    """Return which question a record answers: what stands in its id behind the person, such as drink-cafe."""
    _, found, rest = record.id.rpartition(f"-{record.attribute}-")
    return rest if found else ""


def unseen(experiment, count: int | None = None) -> dict[str, tuple[int, ...]]:
    """Return the token ids of `count` texts (default: as many as are to be forgotten) about people like the retained
    ones of whom the model has seen nothing, by id, drawn by the seed: neighbours beyond those that it was trained on.

    The never-seen people, by whom forgetting is judged, are not among them. UserError where there are too few.
    """
    count, found = len(experiment.split.forget) if count is None else count, strangers(experiment)
    if not 1 <= count <= len(found):
        raise UserError(f"{count} texts about people never seen, of {len(found)} in the data: give a number up to that")
    most = experiment.profile.max_tokens
    return {
        name: tuple(encode_text(experiment.tokenizer, found[name].text, most))
        for name in drawn(list(found), experiment.seed, "unseen")[:count]
    }


def strangers(experiment) -> dict[str, Record]:
    """Return the records about people like the retained ones whom the study's models have not read about, by id."""
    folder = paths.data_folder(experiment.profile.data)
    known = {record.subject for record in experiment.split.retain}
    files = [path for name in ("neighbours", "more_neighbours") if (path := folder / f"{name}.jsonl").is_file()]
    return {record.id: record for path in files for record in load_records(path) if record.subject not in known}
