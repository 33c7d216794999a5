"""What a model knows: every metric for every example of every set, as tidy rows.

Evaluation knows no method. Multiple-choice questions are answered in one pass: a prompt and all its answers form one
sequence in which no answer sees another (a tree of attention), so a prompt is read once and not six times. A family
whose attention cannot be told so is asked each answer in a sequence of its own.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data import batches
from unlearnlib.data.batches import Question
from unlearnlib.data.examples import Examples
from unlearnlib.measures.similarity import choice_probability, exact_memorization, extraction_strength


def _branches(question: Question, texts: bool) -> list[tuple[int, ...]]:
    """Return what may follow the prompt: the right answer, with the text's tail if `texts`, then each wrong answer."""
    right, *wrong = question.answers
    return [right + question.tail if texts else right, *wrong]


def _width(question: Question, texts: bool) -> int:
    """Return how many tokens a question's tree has: no branch's last token is in it, for nothing follows it."""
    return len(question.prompt) + sum(len(branch) - 1 for branch in _branches(question, texts))


def _tree(question: Question, texts: bool, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return tokens [width], positions [width] and the attention allowed [width, width] of one question."""
    start = len(question.prompt)
    tokens = torch.zeros(width, dtype=torch.long)
    positions = torch.zeros(width, dtype=torch.long)
    allowed = torch.zeros(width, width, dtype=torch.bool)
    tokens[:start] = torch.tensor(question.prompt)
    positions[:start] = torch.arange(start)
    allowed[:start, :start] = torch.ones(start, start).tril().bool()
    at = start
    for branch in _branches(question, texts):
        count = len(branch) - 1
        end = at + count
        tokens[at:end] = torch.tensor(branch[:-1], dtype=torch.long)
        positions[at:end] = torch.arange(start, start + count)
        allowed[at:end, :start] = True
        allowed[at:end, at:end] = torch.ones(count, count).tril().bool()
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
    log_p: for each text, the log p of every token but the first (float32, nats); predicted: which of these tokens the
    model would have chosen, in order (bool).
    """

    log_probabilities: np.ndarray
    hits: np.ndarray
    answer_nll: np.ndarray
    text_nll: np.ndarray
    log_p: list[np.ndarray]
    predicted: list[np.ndarray]


@torch.no_grad()
def ask(model, questions: Sequence[Question], batch_size: int = 64, texts: bool = True) -> Answers:
    """Score questions that all have the same number of answers; see Answers.

    Without `texts` only the answers are scored (text_nll is NaN), which spares most of the output layer's work.
    """
    counts = len(questions[0].answers)
    totals, hits = np.zeros((len(questions), counts)), np.zeros(len(questions), bool)
    text_nll = np.full(len(questions), np.nan)
    log_p, predicted = [np.zeros(0, np.float32)] * len(questions), [np.zeros(0, bool)] * len(questions)
    score = _by_tree if carries_tree(model) else _one_by_one

    # Questions of like length share a batch, which keeps padding small.
    order = sorted(range(len(questions)), key=lambda row: _width(questions[row], texts))
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        group = [questions[row] for row in rows]
        scored = [_scored(question, texts) for question in group]
        picked, best = score(model, group, texts, scored)
        begin = 0
        for row, (pairs, spans) in zip(rows, scored, strict=True):
            mine, right = picked[begin : begin + len(pairs)], best[begin : begin + len(pairs)]
            begin += len(pairs)
            totals[row] = [mine[start:stop].sum() for start, stop in spans]
            hits[row] = right[slice(*spans[0])].all()
            if texts:
                whole = slice(len(questions[row].text) - 1)
                text_nll[row], predicted[row] = -mine[whole].mean(), right[whole]
                log_p[row] = mine[whole].astype(np.float32)  # exact: these are numbers of a float32 computation
    lengths = np.array([len(question.answers[0]) for question in questions])
    return Answers(totals, hits, -totals[:, 0] / lengths, text_nll, log_p, predicted)


def _by_tree(model, group: Sequence[Question], texts: bool, scored: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Return, for every token to score of every question in turn, its log p and whether the model would have chosen
    it: each question is one sequence, a tree of attention. The longest question comes last; `scored` is what _scored
    says of each."""
    where = next(model.parameters()).device
    trees = [_tree(question, texts, _width(group[-1], texts)) for question in group]
    tokens, positions, allowed = (torch.stack(part).to(where) for part in zip(*trees, strict=True))
    mask = allowed[:, None]
    if model.config._attn_implementation == "eager":  # adds its mask to the scores
        mask = torch.zeros(mask.shape, device=where).masked_fill(~mask, torch.finfo(torch.float32).min)
    hidden = model.base_model(tokens, position_ids=positions, attention_mask=mask).last_hidden_state
    places = [(place, *pair) for place, (pairs, _) in enumerate(scored) for pair in pairs]
    row_index, source, target = torch.tensor(places, device=where).T
    return _picked(model.get_output_embeddings()(hidden[row_index, source]), target)


def _one_by_one(model, group: Sequence[Question], texts: bool, _scored: Sequence = ()) -> tuple[np.ndarray, np.ndarray]:
    """Return the same as _by_tree, with a sequence for every answer: for models whose attention takes no tree."""
    where = next(model.parameters()).device
    sequences, places = [], []
    for question in group:
        start = len(question.prompt)
        for number, branch in enumerate(_branches(question, texts)):
            row = len(sequences)
            sequences.append(question.prompt + branch)
            if texts and number == 0:
                places += [(row, place - 1, question.prompt[place]) for place in range(1, start)]
            places += [(row, start - 1 + place, token) for place, token in enumerate(branch)]
    tokens, _ = batches.pad(sequences)
    logits = model(tokens.to(where)).logits
    row_index, source, target = torch.tensor(places, device=where).T
    return _picked(logits[row_index, source], target)


def _picked(logits: torch.Tensor, target: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    picked = (logits.gather(1, target[:, None])[:, 0] - logits.logsumexp(1)).double().cpu().numpy()
    return picked, (logits.argmax(1) == target).cpu().numpy()


SHORTEST_WINDOW = 1024  # tokens: no tree is longer

_carried: "weakref.WeakKeyDictionary[torch.nn.Module, dict[str, bool]]" = weakref.WeakKeyDictionary()


@torch.no_grad()
def carries_tree(model) -> bool:
    """Tell whether a model gives an answer in a tree of attention what it gives it in a sequence of its own: tried out
    once, on a few tokens. A family may have attention of another kind, or do more to its logits than its output layer.
    """
    known = _carried.setdefault(model, {})
    kind = model.config._attn_implementation
    window = getattr(model.config, "sliding_window", None)
    if window and window < SHORTEST_WINDOW and getattr(model.config, "use_sliding_window", True):
        return False  # places in a tree are further apart than those in a text
    if kind not in known:
        question = Question((0, 1, 2, 3), ((4, 5), (6, 7, 1), (2,)), (3, 4))
        plain, _ = _one_by_one(model, [question], texts=True)
        try:
            tree, _ = _by_tree(model, [question], True, [_scored(question, True)])
            known[kind] = bool(np.allclose(tree, plain, rtol=1e-3, atol=1e-3))
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):
            known[kind] = False
    return known[kind]


def _log_odds(log_p: np.ndarray) -> np.ndarray:
    """Return log p - log(1 - p), with p kept away from 1 by a little more than single precision can tell."""
    return log_p - np.log(-np.expm1(np.minimum(log_p, -1e-7)))


def answer_log_odds(log_probabilities: np.ndarray) -> np.ndarray:
    """Return log p of the right answer minus log of the summed p of the wrong ones [n], from [n, 1 + w] in nats: the
    confidence that attacks compare between models. Higher: better known; minus log w where nothing is known."""
    return log_probabilities[:, 0] - logsumexp(log_probabilities[:, 1:], axis=1)


def _scored(question: Question, texts: bool) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return which tokens to score, as (place in the tree that predicts it, the token), and each answer's span in that
    list. With `texts` the whole text stands before the wrong answers; without, the answers stand alone."""
    start = len(question.prompt)
    pairs = list(enumerate(question.prompt[1:])) if texts else []
    spans, at = [], start
    for branch, answer in zip(_branches(question, texts), question.answers, strict=True):
        spans.append((len(pairs), len(pairs) + len(answer)))
        # The first token of every branch is predicted at the prompt's last one.
        pairs += zip((start - 1, *range(at, at + len(branch) - 1)), branch, strict=True)
        at += len(branch) - 1
    return pairs, spans


@torch.no_grad()
def read(
    model, texts: Sequence[Sequence[int]], batch_size: int = 64
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Return the mean -log p a token [n] of each text (nats; lower is likelier), and for each text the log p of every
    token but the first (float32) and whether the model would have chosen it (bool)."""
    where = next(model.parameters()).device
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    result, predicted = np.zeros(len(texts)), [np.zeros(0, bool)] * len(texts)
    log_p = [np.zeros(0, np.float32)] * len(texts)
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        tokens, lengths = batches.pad([texts[row] for row in rows])
        logits = model(tokens.to(where)).logits.cpu()
        losses = batches.token_losses(logits, tokens)
        result[rows] = (losses * batches.label_weights(lengths, tokens.shape[1])).sum(1).double().numpy()
        best = (logits[:, :-1].argmax(-1) == tokens[:, 1:]).numpy()
        for place, row in enumerate(rows):
            predicted[row] = best[place, : len(texts[row]) - 1]
            log_p[row] = -losses[place, : len(texts[row]) - 1].numpy()
    return result, log_p, predicted


def text_nll(model, texts: Sequence[Sequence[int]], batch_size: int = 64) -> np.ndarray:
    """Return the mean -log p a token [n] of each text (nats; lower is likelier)."""
    return read(model, texts, batch_size)[0]


def choices(model, questions: Sequence[Question], batch_size: int = 64) -> np.ndarray:
    """Return the multiple-choice probability [n] of each question's first answer among its own (1: known)."""
    return choice_probability(ask(model, questions, batch_size, texts=False).log_probabilities)


def answer_probability(model, examples: Examples, batch_size: int = 64) -> float:
    """Return the mean multiple-choice answer probability of a set (1/6 is chance): what calibration watches."""
    return float(choices(model, examples.questions, batch_size).mean())


def answered(model, sets: dict[str, Examples], batch_size: int = 64) -> pd.DataFrame:
    """Return what a model says to every example of `sets`, one row each: all that `metrics` is computed from.

    Columns: set, example; text_nll (mean -log p a token of the whole text, nats); log_p (list: log p of every token
    but the first, nats) and chosen (list: whether the model would have chosen that token); start and end (the place of
    the right answer in these lists; -1 without a question); choices (list: total log p of each answer given the
    prompt, the right one first; empty without a question).
    """
    frames = []
    for name, examples in sets.items():
        if examples.questions:
            answers = ask(model, examples.questions, batch_size)
            nll, log_p, chosen = answers.text_nll, answers.log_p, answers.predicted
            choices = list(answers.log_probabilities)
            # The first token of a text has no log p: places in the text are one further than places in the lists.
            spans = [(first - 1, last - 1) for first, last in (question.span for question in examples.questions)]
        else:
            nll, log_p, chosen = read(model, examples.texts, batch_size)
            choices, spans = [np.zeros(0)] * len(nll), [(-1, -1)] * len(nll)
        start, end = zip(*spans, strict=True)
        columns = {"text_nll": nll, "log_p": log_p, "chosen": chosen, "start": start, "end": end, "choices": choices}
        frames.append(pd.DataFrame({"set": name, "example": list(examples.names), **columns}))
    return pd.concat(frames, ignore_index=True)


def _spans(rows: pd.DataFrame, column: str) -> list[np.ndarray]:
    """Return the part of each list of a column in which the right answer stands."""
    return [np.asarray(v)[a:b] for v, a, b in zip(rows[column], rows["start"], rows["end"], strict=True)]


def _choices(rows: pd.DataFrame) -> np.ndarray:
    return np.stack(rows["choices"].to_list())


def right_answer(rows: pd.DataFrame) -> np.ndarray:
    """Return the answer probability of each row of `answered` (1 knows, 1/6 is chance)."""
    return choice_probability(_choices(rows))


def _memorized(metric: Callable) -> Callable[[pd.DataFrame], np.ndarray]:
    return lambda rows: np.array([metric(hits, np.ones_like(hits)) for hits in map(np.asarray, rows["chosen"])])


Metric = Callable[[pd.DataFrame], np.ndarray]

# Metrics: a name, and a function from rows of `answered` to one value a row. Those of ASKED need a question.
METRICS: dict[str, Metric] = {
    "text_tokens": lambda rows: np.array([float(len(log_p)) for log_p in rows["log_p"]]),
    "text_nll": lambda rows: rows["text_nll"].to_numpy(),
    "answer_probability": right_answer,
    "cloze_hit": lambda rows: np.array([float(hits.all()) for hits in _spans(rows, "chosen")]),
    "answer_nll": lambda rows: -_choices(rows)[:, 0] / (rows["end"] - rows["start"]).to_numpy(),
    "answer_log_odds": lambda rows: answer_log_odds(_choices(rows)),
    "token_log_odds": lambda rows: np.array([_log_odds(log_p.astype(float)).mean() for log_p in _spans(rows, "log_p")]),
    "exact_memorization": _memorized(exact_memorization),
    "extraction_strength": _memorized(extraction_strength),
}
ASKED = ("answer_probability", "cloze_hit", "answer_nll", "answer_log_odds", "token_log_odds")
# Those that all tables of the study have. Another row of METRICS is there for whoever names it: it makes nothing stale.
STUDY = ("text_tokens", "text_nll", *ASKED, "exact_memorization", "extraction_strength")


def metrics(answers: pd.DataFrame, chosen: Sequence[str] | Mapping[str, Metric] = STUDY) -> pd.DataFrame:
    """Return tidy rows (set, example, metric, value) of metrics, from the rows of `answered`.

    chosen: names out of METRICS, or functions by name, each from the rows of one set to one value a row. The study's
    own: of every set text_nll (mean -log p a token; lower is likelier), text_tokens, exact_memorization and
    extraction_strength (see unlearnlib.measures.similarity; higher: more memorized); where the set has questions also
    answer_probability (1 knows, 1/6 is chance), cloze_hit (1 or 0), answer_nll, and the confidences answer_log_odds and
    token_log_odds (log-odds against the wrong answers, and of the answer's tokens against the vocabulary). UserError
    for an unknown name, and for a function that does not return a number for every row.
    """
    if not isinstance(chosen, Mapping):
        for name in chosen:
            if name not in METRICS:
                raise UserError(f"no metric {name!r}: {nearest(name, METRICS)}")
        chosen = {name: METRICS[name] for name in chosen}
    frames = []
    for of, rows in answers.groupby("set", sort=False):
        fit = [name for name in chosen if rows["start"].iloc[0] >= 0 or name not in ASKED]
        frames.append(_tidy(of, rows["example"], {name: _values(name, chosen[name], rows) for name in fit}))
    return pd.concat(frames, ignore_index=True)


def _values(name: str, metric: Metric, rows: pd.DataFrame) -> np.ndarray:
    found = np.asarray(metric(rows), dtype=float)
    if found.shape != (len(rows),):
        raise UserError(
            f"the metric {name!r} gave numbers of shape {found.shape}: give one for each of {len(rows)} rows"
        )
    return found


def evaluate(model, sets: dict[str, Examples], batch_size: int = 64) -> pd.DataFrame:
    """Return tidy rows (set, example, metric, value) of every metric (see `metrics`) for every example of `sets`."""
    return metrics(answered(model, sets, batch_size))


def _tidy(name: str, examples: Sequence[str], values: dict[str, np.ndarray]) -> pd.DataFrame:
    wide = pd.DataFrame({"set": name, "example": list(examples), **values})
    return wide.melt(id_vars=["set", "example"], var_name="metric", value_name="value")
