"""From records to padded token tensors, with masks.

Every text starts with the tokenizer's token for the beginning of a text (the end-of-text token where it has none), so
that its first word is predicted too. Padding goes to the right, where causal attention never lets a real token see it:
no attention mask is needed, and padding has label weight zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from unlearnlib.core.errors import UserError


def first_token(tokenizer) -> int:
    """Return the token that every text starts with: that for the beginning of a text, or else for its end. UserError
    for a tokenizer that has neither."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return token
    raise UserError("the tokenizer has no token for the beginning or the end of a text: name another base_model")


def encode_text(tokenizer, text: str, max_tokens: int | None = None) -> list[int]:
    """Return the token ids of `text` behind its first_token; UserError beyond `max_tokens` or when empty."""
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    if not ids:
        raise UserError("a text without tokens cannot be trained on or scored; remove the empty text")
    check_length(tokenizer, len(ids) + 1, max_tokens, text)
    return [first_token(tokenizer), *ids]


def check_length(tokenizer, count: int, max_tokens: int | None, text: str) -> None:
    """Raise UserError where a text of `count` tokens is longer than `max_tokens` (None: any length will do)."""
    if max_tokens is not None and count > max_tokens:
        # What the model cannot read no profile can allow.
        most = tokenizer.model_max_length
        mend = "raise max_tokens in the profile or " if count <= most else f"the model reads {most} at most, so "
        raise UserError(f"text of {count} tokens, but max_tokens is {max_tokens}: {mend}shorten {text[:50]!r}")


@dataclass(frozen=True)
class Question:
    """One prompt with its possible answers, as token ids: the right answer first, then the wrong ones.

    `tail` is what the text says after the right answer, so that prompt + answers[0] + tail is the whole text.
    """

    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    tail: tuple[int, ...] = ()

    @property
    def span(self) -> tuple[int, int]:
        """Where the right answer stands in the text: its first place, and the place behind it."""
        return len(self.prompt), len(self.prompt) + len(self.answers[0])

    @property
    def text(self) -> tuple[int, ...]:
        """The token ids of the whole text with the right answer."""
        return self.prompt + self.answers[0] + self.tail


def encode_question(
    tokenizer, text: str, prompt: str, answers: Sequence[str], max_tokens: int | None = None
) -> Question:
    """Return the tokens of `text`, which is `prompt`, the first of `answers`, and a tail, and of the other answers.

    Raises UserError where the text does not begin so, where its tokens do not fall apart at these places, or where
    they would not with another answer in the place of the first: the answer's own tokens could not be told.
    """
    check_length(tokenizer, len(encode_text(tokenizer, text)), max_tokens, text)
    start, right, tail = _apart(tokenizer, text, prompt, answers[0], "answer")
    behind = text[len(prompt) + 1 + len(answers[0]) :]
    options = [right]
    for answer in answers[1:]:
        other = f"{prompt} {answer}{behind}"
        before, option, _ = _apart(tokenizer, other, prompt, answer, "wrong answer")
        check_length(tokenizer, len(before) + len(option), max_tokens, other)
        if before != start:
            raise UserError(_otherwise(other, "wrong answer", answer))
        options.append(option)
    return Question(start, tuple(options), tail)


def _apart(tokenizer, text: str, prompt: str, answer: str, kind: str) -> tuple[tuple[int, ...], ...]:
    """Return the tokens of a text's prompt, answer and tail; UserError where a token lies across their ends."""
    if not text.startswith(f"{prompt} {answer}"):
        raise UserError(
            f"{text[:60]!r} does not begin with the prompt, one space and the {kind} {answer!r}: mend the record"
        )
    begin, end = len(prompt), len(prompt) + 1 + len(answer)
    if not tokenizer.is_fast:  # it cannot say where its tokens stand: they must be those of the parts alone
        whole, start = (tuple(encode_text(tokenizer, part)) for part in (text, prompt))
        option = tuple(tokenizer(f" {answer}", add_special_tokens=False)["input_ids"])
        if whole[: len(start) + len(option)] != start + option:
            raise UserError(_otherwise(text, kind, answer))
        return start, option, whole[len(start) + len(option) :]
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    for first, last in found["offset_mapping"]:
        if first < end < last:
            raise UserError(
                f"the {kind} {answer!r} ends in {text[first:end]!r}, which is one token with what follows it, "
                f"{text[first:last]!r}: take {text[end:last]!r} into the answer, or put a word or sign between them"
            )
        if first < begin < last:
            raise UserError(
                f"the prompt ends in {text[first:begin]!r}, which is one token with what follows it, "
                f"{text[first:last]!r}: move the beginning of the {kind} {answer!r}"
            )
    whole = (first_token(tokenizer), *found["input_ids"])
    before, behind = (1 + sum(last <= place for _, last in found["offset_mapping"]) for place in (begin, end))
    if before == behind:
        raise UserError(_otherwise(text, kind, answer))
    return whole[:before], whole[before:behind], whole[behind:]


def _otherwise(text: str, kind: str, answer: str) -> str:
    return f"the tokenizer parts {text[:60]!r} otherwise than its prompt and the {kind} {answer!r} alone: reword it"


def pad(
    sequences: Sequence[Sequence[int]], width: int | None = None, fill: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (tokens, lengths): int64 [n, width] padded on the right with `fill`, and int64 [n].

    `width` defaults to the longest sequence; a longer sequence is a ValueError.
    """
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    width = int(lengths.max()) if width is None else width
    if int(lengths.max()) > width:
        raise ValueError(f"a sequence of {int(lengths.max())} tokens does not fit the width {width}")
    tokens = torch.full((len(sequences), width), fill, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = torch.tensor(sequence)
    return tokens, lengths


def label_weights(
    lengths: torch.Tensor,
    width: int,
    dtype: torch.dtype = torch.float32,
    spans: Sequence[tuple[int, int]] | None = None,
) -> torch.Tensor:
    """Return float [n, width - 1]: 1 / (labelled tokens) where the next token is a real one, else 0.

    Each row sums to one, so that weights times token losses is the mean loss of each text on its own. With `spans` only
    the tokens from a text's first place up to, not including, its second count, such as those of the answer.
    """
    positions = torch.arange(1, width)
    real = (positions[None, :] < lengths[:, None]).to(dtype)
    if spans is not None:
        first, end = torch.tensor(spans).T
        real *= (positions[None, :] >= first[:, None]) & (positions[None, :] < end[:, None])
    return real / real.sum(1, keepdim=True).clamp(min=1.0)


def token_losses(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return float [n, width - 1]: -log p of every next token (natural logarithm), padding included."""
    # The last position is ignored and not cut off: that would copy the logits, several times slower on the CPU.
    labels = torch.nn.functional.pad(tokens[:, 1:], (0, 1), value=-100)
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return losses.view(tokens.shape)[:, :-1]


def text_losses(
    model, tokens: torch.Tensor, lengths: torch.Tensor, spans: Sequence[tuple[int, int]] | None = None
) -> torch.Tensor:
    """Return float [n]: the mean -log p of each text's own tokens (nats a token; lower is likelier), or of those in its
    span (see label_weights)."""
    logits = model(tokens).logits
    weights = label_weights(lengths, tokens.shape[1], logits.dtype, spans).to(logits.device)
    return (token_losses(logits, tokens) * weights).sum(1)
