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
from unlearnlib.batches import Choices
from unlearnlib.data import Record, Split
from unlearnlib.metrics import choice_probability, rouge


@dataclass(frozen=True)
class Questions:
    """A set of examples as tokens: `names`, the `texts` to score, and their multiple-choice questions (may be empty)."""

    names: tuple[str, ...]
    texts: tuple[tuple[int, ...], ...]
    choices: tuple[Choices, ...] = ()


def record_choices(tokenizer, record: Record) -> Choices:
    """Return the multiple-choice question of a record's own prompt."""
    return batches.encode_choices(tokenizer, record.prompt, (record.answer, *record.wrong_answers))


def paraphrase_choices(tokenizer, record: Record) -> list[Choices]:
    """Return the same question asked through each paraphrase of a record."""
    answers = (record.answer, *record.wrong_answers)
    return [
        batches.encode_choices(tokenizer, record.paraphrase_prompt(index), answers) for index in range(len(record.paraphrases))
    ]


def encode(tokenizer, split: Split, max_tokens: int) -> dict[str, Questions]:
    """Return the sets forget, paraphrase, heldout, retain, never_seen and general of a split, as tokens.

    `paraphrase` holds the three paraphrases of each forget point, named `<id>#<number>`.
    """

    def text(value: str) -> tuple[int, ...]:
        return tuple(batches.encode_text(tokenizer, value, max_tokens))

    sets = {}
    for name in ("forget", "heldout", "retain", "never_seen"):
        records = getattr(split, name)
        sets[name] = Questions(
            tuple(record.id for record in records),
            tuple(text(record.text) for record in records),
            tuple(record_choices(tokenizer, record) for record in records),
        )
    sets["paraphrase"] = Questions(
        tuple(f"{record.id}#{index}" for record in split.forget for index in range(len(record.paraphrases))),
        tuple(text(paraphrase) for record in split.forget for paraphrase in record.paraphrases),
        tuple(choices for record in split.forget for choices in paraphrase_choices(tokenizer, record)),
    )
    long = max(max_tokens, 128)  # general passages are longer than the records; they are only scored, never trained on
    sets["general"] = Questions(
        tuple(passage.id for passage in split.general),
        tuple(tuple(batches.encode_text(tokenizer, passage.text, None)[:long]) for passage in split.general),
    )
    return sets


def _tree(choices: Choices, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return tokens [width], positions [width] and the attention allowed [width, width] of one question."""
    start = len(choices.prompt)
    tokens = torch.zeros(width, dtype=torch.long)
    positions = torch.zeros(width, dtype=torch.long)
    allowed = torch.zeros(width, width, dtype=torch.bool)
    tokens[:start] = torch.tensor(choices.prompt)
    positions[:start] = torch.arange(start)
    allowed[:start, :start] = torch.ones(start, start).tril().bool()
    at = start
    for answer in choices.answers:
        end = at + len(answer)
        tokens[at:end] = torch.tensor(answer)
        positions[at:end] = torch.arange(start, start + len(answer))
        allowed[at:end, :start] = True
        allowed[at:end, at:end] = torch.ones(len(answer), len(answer)).tril().bool()
        at = end
    # Padding looks at itself alone: a row without any allowed key would be NaN.
    allowed[range(at, width), range(at, width)] = True
    return tokens, positions, allowed


@torch.no_grad()
def choice_log_probabilities(
    model, questions: Sequence[Choices], batch_size: int = 64
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (log_probabilities [n, 1 + w], hits [n], answer_nll [n]).

    log_probabilities: the total log p of each answer's tokens given the prompt (nats; the right answer first); hits:
    whether greedy decoding from the prompt gives the right answer's tokens; answer_nll: mean -log p a token of the
    right answer. All questions of one call must have the same number of answers.
    """
    where = next(model.parameters()).device
    totals, hits, means = [], [], []
    for first in range(0, len(questions), batch_size):
        group = questions[first : first + batch_size]
        width = max(len(question.prompt) + sum(map(len, question.answers)) for question in group)
        trees = [_tree(question, width) for question in group]
        tokens, positions, allowed = (torch.stack(part).to(where) for part in zip(*trees, strict=True))
        logits = model(tokens, position_ids=positions, attention_mask=allowed[:, None]).logits
        log_p = torch.log_softmax(logits, -1)
        best = logits.argmax(-1)
        # Each answer token is predicted at the token before it: the prompt's last one for an answer's first.
        source, index, owner = [], [], []
        for row, question in enumerate(group):
            at = len(question.prompt)
            for number, answer in enumerate(question.answers):
                for offset in range(len(answer)):
                    source.append((row, at - 1 if offset else len(question.prompt) - 1))
                    index.append((row, at))
                    owner.append((row, number))
                    at += 1
        source, index, owner = (np.array(part).T for part in (source, index, owner))
        target = tokens[index[0], index[1]]
        token_log_p = log_p[source[0], source[1], target].double().cpu().numpy()
        right = (best[source[0], source[1]] == target).cpu().numpy()
        total = np.zeros((len(group), len(group[0].answers)))
        np.add.at(total, (owner[0], owner[1]), token_log_p)
        hit = np.ones(len(group), dtype=bool)
        np.logical_and.at(hit, owner[0][owner[1] == 0], right[owner[1] == 0])
        totals.append(total)
        hits.append(hit)
        means.append(-total[:, 0] / np.array([len(question.answers[0]) for question in group]))
    return np.concatenate(totals), np.concatenate(hits), np.concatenate(means)


@torch.no_grad()
def text_nll(model, texts: Sequence[Sequence[int]], batch_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Return (mean -log p a token [n], number of labelled tokens [n]) of each text; lower is likelier."""
    where = next(model.parameters()).device
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    result = np.zeros(len(texts))
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        tokens, lengths = batches.pad([texts[row] for row in rows])
        result[rows] = batches.text_losses(model, tokens.to(where), lengths).double().cpu().numpy()
    return result, np.array([len(text) - 1 for text in texts])


def answer_probability(model, questions: Questions, batch_size: int = 64) -> float:
    """Return the mean multiple-choice answer probability of a set (1 knows, 1/6 is chance): what calibration watches."""
    log_probabilities, _, _ = choice_log_probabilities(model, questions.choices, batch_size)
    return float(choice_probability(log_probabilities).mean())


def evaluate(model, sets: dict[str, Questions], batch_size: int = 64) -> pd.DataFrame:
    """Return tidy rows (set, example, metric, value) for every example of `sets`.

    Metrics: text_nll (mean -log p a token; lower is likelier) and text_tokens for every set; answer_probability (1
    knows, 1/6 is chance), cloze_hit (1 or 0) and answer_nll where the set has questions.
    """
    frames = []
    for name, questions in sets.items():
        nll, tokens = text_nll(model, questions.texts, batch_size)
        values = {"text_nll": nll, "text_tokens": tokens.astype(float)}
        if questions.choices:
            log_probabilities, hits, answer_nll = choice_log_probabilities(model, questions.choices, batch_size)
            values["answer_probability"] = choice_probability(log_probabilities)
            values["cloze_hit"] = hits.astype(float)
            values["answer_nll"] = answer_nll
        frames.append(_tidy(name, questions.names, values))
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


def generations(model, tokenizer, sets: dict[str, Questions], batch_size: int = 64) -> pd.DataFrame:
    """Return rows (set, example, prompt, reference, generation): greedy decoding, cut at the reference's end."""
    rows = []
    for name, questions in sets.items():
        for first in range(0, len(questions.names), batch_size):
            chunk = slice(first, first + batch_size)
            prompts = [choices.prompt for choices in questions.choices[chunk]]
            references = [
                text[len(prompt) :] for text, prompt in zip(questions.texts[chunk], prompts, strict=True)
            ]
            written = greedy_continuations(model, prompts, [len(reference) for reference in references])
            for example, prompt, reference, tokens in zip(
                questions.names[chunk], prompts, references, written, strict=True
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
    """Return tidy rows (set, example, metric, value) with ROUGE-1/2/L precision, recall and F1 (1 is a perfect match)."""
    scores = rouge(written["generation"].tolist(), written["reference"].tolist())
    wide = pd.concat([written[["set", "example"]].reset_index(drop=True), scores.reset_index(drop=True)], axis=1)
    return wide.melt(id_vars=["set", "example"], var_name="metric", value_name="value")
