"""What a model knows: every metric for every example of every set, as tidy rows.

Evaluation knows no method. Multiple-choice questions are answered in one pass: a prompt and all its answers form one
sequence in which no answer sees another (a tree of attention), so a prompt is read once and not six times.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from unlearnlib import batches
from unlearnlib.batches import Question, encode_question
from unlearnlib.data import Record, Split
from unlearnlib.metrics import choice_probability, rouge


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


def encode(tokenizer, split: Split, max_tokens: int) -> dict[str, Examples]:
    """Return the sets forget, paraphrase, heldout, retain, never_seen and general of a split, as tokens.

    `paraphrase` holds the three paraphrases of each forget point, named `<id>#<number>`. Where only some points are
    forgotten there is the set `remaining` too. General passages, which are only scored, are cut at 128 tokens.
    """

    def question(record: Record, number: int | None = None) -> Question:
        text = record.text if number is None else record.paraphrases[number]
        prompt = record.prompt if number is None else record.paraphrase_prompt(number)
        return encode_question(tokenizer, text, prompt, (record.answer, *record.wrong_answers), max_tokens)

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
    sets["general"] = Examples(
        tuple(passage.id for passage in split.general),
        tuple(tuple(batches.encode_text(tokenizer, passage.text)[:128]) for passage in split.general),
    )
    return sets


def _branches(question: Question) -> list[tuple[int, ...]]:
    """Return what may follow the prompt: the right answer with the text's tail, then each wrong answer."""
    return [question.answers[0] + question.tail, *question.answers[1:]]


def _tree(question: Question, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return tokens [width], positions [width] and the attention allowed [width, width] of one question."""
    start = len(question.prompt)
    tokens = torch.zeros(width, dtype=torch.long)
    positions = torch.zeros(width, dtype=torch.long)
    allowed = torch.zeros(width, width, dtype=torch.bool)
    tokens[:start] = torch.tensor(question.prompt)
    positions[:start] = torch.arange(start)
    allowed[:start, :start] = torch.ones(start, start).tril().bool()
    at = start
    for branch in _branches(question):
        end = at + len(branch)
        tokens[at:end] = torch.tensor(branch)
        positions[at:end] = torch.arange(start, start + len(branch))
        allowed[at:end, :start] = True
        allowed[at:end, at:end] = torch.ones(len(branch), len(branch)).tril().bool()
        at = end
    # Padding looks at itself alone: a row without any allowed key would be NaN.
    allowed[range(at, width), range(at, width)] = True
    return tokens, positions, allowed


@dataclass(frozen=True)
class Answers:
    """What `ask` returns, one entry per question.

    log_probabilities [n, 1 + w]: total log p of each answer's tokens given the prompt (nats; the right answer first);
    hits [n]: whether greedy decoding from the prompt gives the right answer's tokens; answer_nll [n]: mean -log p a
    token of the right answer; text_nll [n]: mean -log p a token of the whole text. Lower nll is likelier.
    """

    log_probabilities: np.ndarray
    hits: np.ndarray
    answer_nll: np.ndarray
    text_nll: np.ndarray


@torch.no_grad()
def ask(model, questions: Sequence[Question], batch_size: int = 64, texts: bool = True) -> Answers:
    """Score questions that all have the same number of answers; see Answers.

    Without `texts` only the answers are scored (text_nll is NaN), which spares most of the output layer's work.
    """
    where = next(model.parameters()).device
    counts = len(questions[0].answers)
    totals, hits, text_nll = (
        np.zeros((len(questions), counts)),
        np.zeros(len(questions), bool),
        np.zeros(len(questions)),
    )

    def width(question: Question) -> int:
        return len(question.prompt) + sum(map(len, _branches(question)))

    # Questions of like length share a batch, which keeps padding small.
    order = sorted(range(len(questions)), key=lambda row: width(questions[row]))
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        group = [questions[row] for row in rows]
        trees = [_tree(question, width(group[-1])) for question in group]
        tokens, positions, allowed = (torch.stack(part).to(where) for part in zip(*trees, strict=True))
        hidden = model.transformer(tokens, position_ids=positions, attention_mask=allowed[:, None]).last_hidden_state
        scored = [_scored(question, texts) for question in group]
        places = [(place, *pair) for place, (pairs, _) in enumerate(scored) for pair in pairs]
        row_index, source, at = torch.tensor(places, device=where).T
        logits = model.lm_head(hidden[row_index, source])
        target = tokens[row_index, at]
        picked = (logits.gather(1, target[:, None])[:, 0] - logits.logsumexp(1)).double().cpu().numpy()
        best = (logits.argmax(1) == target).cpu().numpy()
        begin = 0
        for row, (pairs, spans) in zip(rows, scored, strict=True):
            mine, right = picked[begin : begin + len(pairs)], best[begin : begin + len(pairs)]
            begin += len(pairs)
            totals[row] = [mine[start:stop].sum() for start, stop in spans]
            hits[row] = right[slice(*spans[0])].all()
            text_nll[row] = -mine[: len(questions[row].text) - 1].mean() if texts else np.nan
    lengths = np.array([len(question.answers[0]) for question in questions])
    return Answers(totals, hits, -totals[:, 0] / lengths, text_nll)


def _scored(question: Question, texts: bool) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return which tokens of a question's tree to score, as (place that predicts it, its own place), and each answer's
    span in that list. With `texts` the whole text stands before the wrong answers; without, the answers stand alone."""
    start = len(question.prompt)
    pairs = [(place - 1, place) for place in range(1, start)] if texts else []
    spans, end = [], start
    for branch, answer in zip(_branches(question), question.answers, strict=True):
        wanted = len(branch) if texts else len(answer)
        spans.append((len(pairs), len(pairs) + len(answer)))
        # The first token of every branch is predicted at the prompt's last one.
        pairs += [(start - 1 if place == end else place - 1, place) for place in range(end, end + wanted)]
        end += len(branch)
    return pairs, spans


@torch.no_grad()
def text_nll(model, texts: Sequence[Sequence[int]], batch_size: int = 64) -> np.ndarray:
    """Return the mean -log p a token [n] of each text (nats; lower is likelier)."""
    where = next(model.parameters()).device
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    result = np.zeros(len(texts))
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        tokens, lengths = batches.pad([texts[row] for row in rows])
        result[rows] = batches.text_losses(model, tokens.to(where), lengths).double().cpu().numpy()
    return result


def answer_probability(model, examples: Examples, batch_size: int = 64) -> float:
    """Return the mean multiple-choice answer probability of a set (1/6 is chance): what calibration watches."""
    return float(choice_probability(ask(model, examples.questions, batch_size, texts=False).log_probabilities).mean())


def evaluate(model, sets: dict[str, Examples], batch_size: int = 64) -> pd.DataFrame:
    """Return tidy rows (set, example, metric, value) for every example of `sets`.

    Metrics: text_nll (mean -log p a token; lower is likelier) and text_tokens for every set; answer_probability (1
    knows, 1/6 is chance), cloze_hit (1 or 0) and answer_nll where the set has questions.
    """
    frames = []
    for name, examples in sets.items():
        values = {"text_tokens": np.array([len(text) - 1.0 for text in examples.texts])}
        if examples.questions:
            answers = ask(model, examples.questions, batch_size)
            values["text_nll"] = answers.text_nll
            values["answer_probability"] = choice_probability(answers.log_probabilities)
            values["cloze_hit"] = answers.hits.astype(float)
            values["answer_nll"] = answers.answer_nll
        else:
            values["text_nll"] = text_nll(model, examples.texts, batch_size)
        frames.append(_tidy(name, examples.names, values))
    return pd.concat(frames, ignore_index=True)


def _tidy(name: str, examples: Sequence[str], values: dict[str, np.ndarray]) -> pd.DataFrame:
    wide = pd.DataFrame({"set": name, "example": list(examples), **values})
    return wide.melt(id_vars=["set", "example"], var_name="metric", value_name="value")


@torch.no_grad()
def greedy_continuations(model, prompts: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[list[int]]:
    """Return, for each prompt, the `lengths[i]` tokens that greedy decoding gives."""
    where = next(model.parameters()).device
    width = max(map(len, prompts))
    tokens = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, width - len(prompt) :] = 1
    written = model.generate(
        tokens.to(where),
        attention_mask=mask.to(where),
        max_new_tokens=max(lengths),
        do_sample=False,
        pad_token_id=model.config.eos_token_id,
        # An end-of-text token must not stop the others early: every row is cut at its own reference's end.
        eos_token_id=-1,
    )[:, width:]
    return [row[:length].tolist() for row, length in zip(written.cpu(), lengths, strict=True)]


def generations(model, tokenizer, sets: dict[str, Examples], batch_size: int = 64) -> pd.DataFrame:
    """Return rows (set, example, prompt, reference, generation): greedy decoding, cut at the reference's end."""
    rows = []
    for name, examples in sets.items():
        for first in range(0, len(examples.names), batch_size):
            chunk = slice(first, first + batch_size)
            prompts = [question.prompt for question in examples.questions[chunk]]
            references = [text[len(prompt) :] for text, prompt in zip(examples.texts[chunk], prompts, strict=True)]
            written = greedy_continuations(model, prompts, [len(reference) for reference in references])
            for example, prompt, reference, tokens in zip(
                examples.names[chunk], prompts, references, written, strict=True
            ):
                rows.append(
                    (
                        name,
                        example,
                        tokenizer.decode(prompt[1:]),
                        tokenizer.decode(reference).strip(),
                        tokenizer.decode(tokens).strip(),
                    )
                )
    return pd.DataFrame(rows, columns=["set", "example", "prompt", "reference", "generation"])


def rouge_rows(written: pd.DataFrame) -> pd.DataFrame:
    """Return tidy rows (set, example, metric, value) with ROUGE-1/2/L precision, recall and F1 (1 is best)."""
    scores = rouge(written["generation"].tolist(), written["reference"].tolist())
    wide = pd.concat([written[["set", "example"]].reset_index(drop=True), scores.reset_index(drop=True)], axis=1)
    return wide.melt(id_vars=["set", "example"], var_name="metric", value_name="value")
