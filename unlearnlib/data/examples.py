"""Sets of examples as tokens: texts, and questions with their answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.data.batches import Question, encode_question
from unlearnlib.data.records import Record, found_at
from unlearnlib.data.split import Split

GENERAL_TOKENS = 128  # so much of a general passage is read


@dataclass(frozen=True)
class Examples:
    """A set of examples as tokens: names, texts, and multiple-choice questions (none in `general`)."""

    names: tuple[str, ...]
    texts: tuple[tuple[int, ...], ...]
    questions: tuple[Question, ...] = ()

    @classmethod
    def asked(cls, names: Sequence[str], questions: Sequence[Question]) -> "Examples":
        """Return the set whose texts are those of its questions."""
        return cls(tuple(names), tuple(question.text for question in questions), tuple(questions))


def encode(tokenizer, split: Split, max_tokens: int, folder: Path | None = None) -> dict[str, Examples]:
    """Return the sets forget, paraphrase, heldout, retain, never_seen and general of a split, as tokens.

    `paraphrase` holds the three paraphrases of each forget point, named `<id>#<number>`. Where only some points are
    forgotten there is the set `remaining` too. General passages, which are only scored, are cut at 128 tokens, or at
    what the model reads. UserError, naming file, line, id and field, for a text that is too long or whose tokens do not
    fall apart at its answer (see unlearnlib.data.batches.encode_question); `folder` is where the files lie.
    """

    def question(record: Record, number: int | None = None) -> Question:
        return ask_for(tokenizer, record, number, max_tokens, folder)

    sets = {
        name: Examples.asked([record.id for record in records], [question(record) for record in records])
        for name in ("forget", "heldout", "retain", "never_seen", "remaining")
        for records in [getattr(split, name)]
        if records or name != "remaining"
    }
    numbered = [(record, number) for record in split.forget for number in range(len(record.paraphrases))]
    sets["paraphrase"] = Examples.asked(
        [f"{record.id}#{number}" for record, number in numbered],
        [question(record, number) for record, number in numbered],
    )
    most = min(GENERAL_TOKENS, tokenizer.model_max_length)
    sets["general"] = Examples(
        tuple(passage.id for passage in split.general),
        tuple(tuple(batches.encode_text(tokenizer, passage.text)[:most]) for passage in split.general),
    )
    return sets


def ask_for(tokenizer, record: Record, number: int | None, max_tokens: int, folder: Path | None = None) -> Question:
    """Return the question that a record's text asks, or its paraphrase of this number; UserError as in encode."""
    text = record.text if number is None else record.paraphrases[number]
    prompt = record.prompt if number is None else record.paraphrase_prompt(number)
    try:
        return encode_question(tokenizer, text, prompt, (record.answer, *record.wrong_answers), max_tokens)
    except UserError as error:
        which = "text" if number is None else f"paraphrase {number + 1}"
        raise UserError(f"{found_at(record, folder)}, {which}: {error}") from None
