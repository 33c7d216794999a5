"""Texts and questions as tokens, where tokenizers differ from one another."""

from types import SimpleNamespace

import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches


@pytest.mark.parametrize(("begin", "end", "first"), [(5, 7, 5), (None, 7, 7), (0, 7, 0)])
def test_a_text_starts_with_the_token_for_a_beginning_or_else_with_that_for_an_end(begin, end, first):
    assert batches.first_token(SimpleNamespace(bos_token_id=begin, eos_token_id=end)) == first
    with pytest.raises(UserError, match="no token for the beginning or the end of a text"):
        batches.first_token(SimpleNamespace(bos_token_id=None, eos_token_id=None))


class Words:
    """A tokenizer of whole words, which spells "pen" as one token before "red" and as three letters before all else."""

    is_fast, bos_token_id, eos_token_id, model_max_length = True, 0, 0, 99

    def __call__(self, text, **_):
        spans, begin = [], 0
        for word in text.split(" "):
            end = begin + len(word)
            pieces = range(begin, end) if word == "pen" and not text[end:].startswith(" red") else [begin]
            ends = [*pieces[1:], end]
            # A token that follows a space takes it along.
            spans += [(place - (place == begin > 0), last) for place, last in zip(pieces, ends, strict=True)]
            begin = end + 1
        ids = [1 + sum(map(ord, text[first:last])) % 97 for first, last in spans]
        return {"input_ids": ids, "offset_mapping": spans}


def test_answers_before_which_the_prompt_is_spelled_otherwise_are_refused():
    tokenizer = Words()
    question = batches.encode_question(tokenizer, "Her pen blue .", "Her pen", ["blue", "green"])
    assert len(question.prompt) == 5 and [len(answer) for answer in question.answers] == [1, 1]
    with pytest.raises(UserError, match="parts 'Her pen red \\.' otherwise than its prompt and the wrong answer 'red'"):
        batches.encode_question(tokenizer, "Her pen blue .", "Her pen", ["blue", "red"])
