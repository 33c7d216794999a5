"""What somebody's own model knows of the texts before and after unlearning, as far as texts alone can tell."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from unlearnlib.core.tables import means
from unlearnlib.data.batches import Question
from unlearnlib.data.examples import Examples
from unlearnlib.experiment import export
from unlearnlib.experiment.own import REFERENCE, START, Own, digest
from unlearnlib.experiment.own_way import REPAIRED, UNLEARNED, End, Level, opened, path, repair_of
from unlearnlib.measures import distance, evaluation, generation, membership
from unlearnlib.measures.similarity import choice_probability

METRICS = ("text_tokens", "text_nll", "exact_memorization")
# What is shown of each set: metric, and in words; the other lines are made from several sets.
SHOWN = {
    "perplexity": "perplexity",
    "verbatim": "second half word for word",
    "rougeL_f1": "second half, ROUGE-L",
    "told": "questions: answer told",
    "likelihood": "questions: answer likelihood",
    "choice": "questions: right of several answers",
    "kl": "distance to the retrained model",
}
SET_WORDS = {"forget": "to forget", "keep": "to keep", "unseen": "never read"}
MEMBERSHIP = "membership: AUC, 0.5 is none"

CARD = """---
library_name: transformers
pipeline_tag: text-generation
---

# {title}

A language model that was fine-tuned on somebody's own texts and made to forget some of them, by an approximate method.
**That is no guarantee**: what was to be forgotten may still be told in other words, under attack, or after more
training. Only training again without the texts takes them out for sure.

| what | value |
|---|---|
{rows}

Before and after:

{measured}

Likelihoods, shares and ROUGE-L from 0 to 1; perplexity: of the whole texts (1 is best); distance: KL, nats a token.
`{kind}.from_pretrained` gives the very weights that were measured.
"""


def measured(own: Own, end: End) -> pd.DataFrame:
    """Return tidy rows (method, set, example, metric, value) of one model, computed once.

    Of every text text_nll (mean -log p a token, nats), text_tokens, exact_memorization (share of tokens that the model
    would have chosen), verbatim (1 where it writes the second half word for word from the first), rougeL_f1 of what it
    writes there, and where there is a retrained model kl, the mean KL(retrained || this) a token (0: the same). Of
    every question told (1 where greedy decoding gives the answer), likelihood (geometric mean of its tokens'
    probabilities) and, with wrong answers, choice (probability of the right one among them).
    """
    near = REFERENCE in own.models and end.name != REFERENCE
    key = {**_asked(own), **_of(own, end), "reference": own.identity(REFERENCE) if near else None}

    def compute() -> pd.DataFrame:
        reference = own.model(REFERENCE) if near else None
        with opened(own, end) as model:
            return said(model, sets(own), own.asked, own.profile.evaluation_batch, reference)

    known = own.table("said", key, f"{__name__}:said", compute)
    texts = written(own, end)
    wide = generation.rouge_rows(texts).query("metric == 'rougeL_f1'")
    same = texts[["set", "example"]].assign(metric="verbatim", value=_same(texts))
    return pd.concat([known, wide, same], ignore_index=True).assign(method=end.name)


def written(own: Own, end: End) -> pd.DataFrame:
    """Return what a model writes from the first half of every text, greedily and as long as the second half, computed
    once: rows (set, example, prompt, reference, generation)."""

    def compute() -> pd.DataFrame:
        with opened(own, end) as model:
            return gone_on(model, own.tokenizer, sets(own), own.profile.evaluation_batch)

    return own.table("written", {**_asked(own), **_of(own, end)}, f"{__name__}:gone_on", compute)


def _of(own: Own, end: End) -> dict:
    """Return what stands for one model in a key."""
    if end.variant is None:
        return {"model": own.identity(end.name)}
    repair = {"how": vars(repair_of(own, end))} if end.repair else {}
    return {**own.asked_for, **end.way, **repair}


def _asked(own: Own) -> dict:
    """Return what stands for all that is asked in a key."""
    texts = {name: [examples.names, examples.texts] for name, examples in sets(own).items()}
    questions = [[one.about, asked.prompt, asked.answers] for one, asked in own.asked]
    return {"texts": digest(texts), "questions": digest(questions), "batch": own.profile.evaluation_batch}


def sets(own: Own) -> dict[str, Examples]:
    """Return the texts to forget, to keep and, where there are any, never read, as tokens."""
    groups = {"forget": own.forget, "keep": own.keep, "unseen": own.unseen}
    return {
        name: Examples(tuple(one.id for one in group), tuple(tuple(own.tokens[one.id]) for one in group))
        for name, group in groups.items()
        if group
    }


def halved(examples: Examples) -> Examples:
    """Return the same texts with the question how they go on after the first half of their tokens."""
    cut = [max(1, len(text) // 2) for text in examples.texts]
    asked = [Question(text[:place], (text[place:],)) for text, place in zip(examples.texts, cut, strict=True)]
    return Examples.asked(examples.names, asked)


def gone_on(model, tokenizer, of: Mapping[str, Examples], batch_size: int) -> pd.DataFrame:
    """Return what `written` says of these texts."""
    return generation.generations(model, tokenizer, {name: halved(one) for name, one in of.items()}, batch_size)


def said(model, of: Mapping[str, Examples], questions: Sequence, batch_size: int, reference=None) -> pd.DataFrame:
    """Return tidy rows (set, example, metric, value): what `measured` says, but for what is written."""
    frames = [evaluation.metrics(evaluation.answered(model, dict(of), batch_size), METRICS)]
    if reference is not None:
        frames += [_far(model, reference, name, examples, batch_size) for name, examples in of.items()]
    counts = sorted({len(asked.answers) for _, asked in questions})
    for count in counts:  # those with as many answers can be asked together
        rows = [row for row, (_, asked) in enumerate(questions) if len(asked.answers) == count]
        answers = evaluation.ask(model, [questions[row][1] for row in rows], batch_size, texts=False)
        found = {"told": answers.hits.astype(float), "likelihood": np.exp(-answers.answer_nll)}
        if count > 1:
            found["choice"] = choice_probability(answers.log_probabilities)
        about = [questions[row][0].about for row in rows]
        names = [f"question-{row + 1}" for row in rows]
        frames += [
            pd.DataFrame({"set": about, "example": names, "metric": metric, "value": values})
            for metric, values in found.items()
        ]
    return pd.concat(frames, ignore_index=True)


def _far(model, reference, name: str, examples: Examples, batch_size: int) -> pd.DataFrame:
    """Return the rows of KL(reference || model); a few texts at a time, for a vocabulary is wide."""
    values: list[float] = []
    for start in range(0, len(examples.texts), batch_size):
        texts = examples.texts[start : start + batch_size]
        pairs = zip(*(distance.log_distributions(one, texts, batch_size) for one in (reference, model)), strict=True)
        values += [distance.divergence(*pair) for pair in pairs]
    return pd.DataFrame({"set": name, "example": list(examples.names), "metric": "kl", "value": values})


def _same(texts: pd.DataFrame) -> pd.Series:
    return (texts["generation"] == texts["reference"]).astype(float)


def membership_auc(rows: pd.DataFrame) -> pd.Series:
    """Return by model the AUC with which the loss tells the texts to forget from those never read (0.5: not at all;
    near 1: they still look trained on; far below 0.5: more improbable than what was never read). Empty without such."""
    nll = rows[rows["metric"] == "text_nll"]
    if "unseen" not in set(nll["set"]):
        return pd.Series(dtype=float)
    by_model = {name: part.groupby("set")["value"] for name, part in nll.groupby("method", sort=False)}
    return pd.Series(
        {
            name: membership.auc(*(membership.loss(groups.get_group(of)) for of in ("forget", "unseen")))
            for name, groups in by_model.items()
        }
    )


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the means of tidy rows of several models, long: method, set, metric (SHOWN), value; perplexity is over all
    tokens of a set."""
    found = means(rows, by=["method", "set", "metric"])
    return found[found["metric"].isin(SHOWN)].reset_index(drop=True)


def side_by_side(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the table of before and after: a row for each set and measure in words, a column a model."""
    wide = summary(rows).pivot_table(index=["set", "metric"], columns="method", values="value", sort=False)
    order = [(name, metric) for name in SET_WORDS for metric in SHOWN if (name, metric) in wide.index]
    table = wide.loc[order, list(dict.fromkeys(rows["method"]))]
    table.index = [f"{SET_WORDS[name]}: {SHOWN[metric]}" for name, metric in order]
    table.columns.name = None
    if len(auc := membership_auc(rows)):
        table.loc[MEMBERSHIP] = auc
    return table


def in_words(rows: pd.DataFrame) -> list[str]:
    """Return what the numbers say of the last model among tidy rows, a sentence each."""
    table, last = summary(rows).set_index(["method", "set", "metric"])["value"], rows["method"].iloc[-1]

    def of(model: str, name: str, metric: str) -> float:
        return float(table.get((model, name, metric), np.nan))

    found = []
    for name, words in (("forget", "the texts to forget"), ("keep", "the texts to keep")):
        before, after = (of(model, name, "kl") for model in (START, last))
        if not np.isnan(after):
            nearer = "nearer to" if after < before else "further from"
            found.append(
                f"On {words} it is {nearer} the retrained model than doing nothing: {after:.2f} against {before:.2f} "
                "nats a token."
            )
    for name, words, metric in (
        ("forget", "of the texts to forget are still written to their end", "verbatim"),
        ("keep", "of the texts to keep are written to their end", "verbatim"),
        ("forget", "of the questions about what is to be forgotten are answered", "told"),
        ("keep", "of the questions about what is to be kept are answered", "told"),
    ):
        before, after = (of(model, name, metric) for model in (START, last))
        if not np.isnan(after):
            found.append(f"{after:.0%} {words}; before, {before:.0%}.")
    if last == REPAIRED:
        before, after = (of(model, "keep", "kl") for model in (UNLEARNED, last))
        if after > before:
            found.append(
                f"Repair has taken it further from the retrained model on the texts to keep, {after:.2f} against "
                f"{before:.2f}: it has read them too often. Take fewer repair_steps, or none."
            )
    before, after = (of(model, "keep", "perplexity") for model in (START, last))
    found.append(f"The perplexity of the texts to keep is {after:.3g}; before, {before:.3g}.")
    return found


def examples_written(own: Own, of: Iterable[End], count: int = 4) -> pd.DataFrame:
    """Return how each model goes on after the first half of the first `count` texts to forget, side by side with how
    they do go on."""
    known = {end.name: written(own, end).query("set == 'forget'").head(count) for end in of}
    first = next(iter(known.values()))
    columns = {"it begins": first["prompt"], "and goes on": first["reference"]}
    return pd.DataFrame({**columns, **{name: part["generation"] for name, part in known.items()}})


def save(own: Own, end: End, where: Level, rows: pd.DataFrame, folder: str | Path) -> Path:
    """Write a model that was measured into a new folder, with its tokenizer and a card that says what it is, and return
    the folder; UserError as unlearnlib.experiment.export.write."""
    folder = export.empty(folder)
    about = card(own, end, where, rows)
    with opened(own, end) as model:
        return export.write(model, own.tokenizer, about, folder)


def card(own: Own, end: End, where: Level, rows: pd.DataFrame) -> str:
    """Return the text of the README.md that goes with a model; export.DIGEST stands for the sha256 of its parameters.

    The texts to forget are not in it, nor their ids: a card is there to be read.
    """
    given = own.given
    about = {"base model": given.model, "texts to forget": len(own.forget), "texts to keep": len(own.keep)}
    if not given.already_fine_tuned:
        plan = f"{given.epochs} epochs, batches of {given.batch_size}, learning rate {given.learning_rate:g}"
        about |= {"fine-tuned": f"{plan}, seed {given.seed}"}
    if end.variant is not None:
        about |= {"way": end.variant.method_name, "layers": end.variant.layers, "options": dict(end.variant.options)}
        about |= {
            f"step ({path(own, end.variant).unit})": f"{end.effort:.6g}",
            "repair": f"{end.repair} optimizer steps on the texts to keep",
        }
        beyond = "" if end.share == 1 else f"{end.share:g} times the step to a "
        about |= {"stop": f"{beyond}mean loss {where.loss:.4g} nats a token on the texts to forget ({where.of})"}
    about |= {"sha256 of the parameters": export.DIGEST}
    cells = {name: str(value).replace("|", r"\|") for name, value in about.items()}
    table = side_by_side(rows)
    lines = ["| | " + " | ".join(table.columns) + " |", "|---|" + "---|" * len(table.columns)]
    for label, values in table.iterrows():
        lines.append(f"| {label} | " + " | ".join("" if np.isnan(v) else f"{v:.3g}" for v in values) + " |")
    return CARD.format(
        title=end.name,
        rows="\n".join(f"| {name} | {value} |" for name, value in cells.items()),
        measured="\n".join(lines),
        kind=type(own.loaded).__name__,
    )
