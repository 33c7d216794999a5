"""Items of other data as what this house trains on and asks: texts, and a prompt with its answers, as tokens."""

from collections.abc import Sequence

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.data.batches import Question
from unlearnlib.data.examples import Examples
from unlearnlib.data.items import Item

TEMPLATE = "Question: {question}\nAnswer:"  # TOFU's for models without a chat format; a space and the answer follow
BLANK = "Fill in the blank. "  # before the sentence of a cloze; RWKU's own words are longer


def prompt(item: Item, template: str = TEMPLATE) -> str:
    """Return what stands before an item's answer and the space: its question in the place of the template's (last)
    {question}; of a continuation the beginning itself. UserError for a text, and for a template without {question} or
    with a space at its end."""
    before, hole, behind = template.rpartition("{question}")
    if not hole or template != template.rstrip():
        raise UserError(f"the template {template!r} must hold {{question}} and not end with a space: {TEMPLATE!r}, say")
    if item.kind == "text":
        raise UserError(f"{item.at or item.id}: is a text and asks nothing; encode it as a text")
    if item.kind == "continuation":
        return item.question
    return before + (BLANK if item.kind == "cloze" else "") + item.question + behind


def shown_first(items: Sequence[Item], template: str = TEMPLATE) -> str:
    """Return a template in which these items, answered, stand before the question (MUSE's `..._shown`)."""
    return "".join(f"{prompt(item, template)} {item.answer}\n\n" for item in items) + template


def question(
    tokenizer,
    item: Item,
    max_tokens: int | None = None,
    template: str = TEMPLATE,
    answers: Sequence[str] | None = None,
) -> Question:
    """Return an item to ask as tokens: its answer first, then its wrong answers, or the given `answers`; UserError with
    file and row where it is too long, or where a token lies across the answer's beginning."""
    answers = (item.answer, *item.wrong_answers) if answers is None else answers
    before = prompt(item, template)
    try:
        return batches.encode_question(tokenizer, f"{before} {answers[0]}", before, answers, max_tokens)
    except UserError as error:
        raise UserError(f"{item.at or item.id}: {error}") from None


def examples(
    tokenizer, items: Sequence[Item], max_tokens: int, template: str = TEMPLATE, pieces: bool = False
) -> Examples:
    """Return items as tokens, to train on and to ask; all are texts, or all are asked (UserError for a mixture).

    A question's text is its prompt, a space and the answer. A text longer than `max_tokens` is a UserError; with
    `pieces` it is cut into pieces of that length, each behind the first token, named `<id>.1`, `<id>.2`, ...
    """
    kinds = {item.kind == "text" for item in items}
    if len(kinds) != 1:
        raise UserError(
            "give texts alone, or questions alone, and at least one" if items else "there are no items here"
        )
    if not kinds.pop():
        names = [item.id for item in items]
        return Examples.asked(names, [question(tokenizer, item, max_tokens, template) for item in items])
    names, texts = [], []
    for item in items:
        try:
            ids = batches.encode_text(tokenizer, item.text, None if pieces else max_tokens)
        except UserError as error:
            raise UserError(f"{item.at or item.id}: {error}, or give pieces=True") from None
        cut = _pieces(ids, max_tokens) if pieces else [ids]
        names += [item.id] if len(cut) == 1 else [f"{item.id}.{number}" for number in range(1, len(cut) + 1)]
        texts += [tuple(piece) for piece in cut]
    return Examples(tuple(names), tuple(texts))


def _pieces(ids: list[int], max_tokens: int) -> list[list[int]]:
    if max_tokens < 2:
        raise UserError(f"max_tokens is {max_tokens}: a piece needs its first token and one more, so give 2 or more")
    width = max_tokens - 1
    return [[ids[0], *ids[at : at + width]] for at in range(1, len(ids), width)]
