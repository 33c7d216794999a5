"""Forgetting by words alone: what stands before a question is changed, and no weight; and a model that is meant to be
asked behind a token."""

from dataclasses import replace

import pandas as pd

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data import batches
from unlearnlib.data.examples import Examples
from unlearnlib.data.records import Record
from unlearnlib.data.subsets import drawn
from unlearnlib.experiment import literature, replacements
from unlearnlib.experiment.measured import Experiment
from unlearnlib.measures import evaluation
from unlearnlib.methods import quark

GUARD, IN_CONTEXT, OTHERS = "guard prompt", "in-context unlearning", "other texts before it"
TOKEN, WITHOUT = "Quark behind its token", "Quark without it"
KINDS = {
    GUARD: "an instruction to say nothing about the person (Thaker et al. 2024, 2403.03329)",
    IN_CONTEXT: "the text itself with another answer, and one that stays (Pawelczyk et al. 2023, 2310.07579)",
    OTHERS: "control: two texts that stay",
    TOKEN: "not words alone: what Quark trained, as it is meant to be asked (Lu et al. 2022, 2205.13636)",
    WITHOUT: "the same model, asked as all others are",
}
QUARKS = (TOKEN, WITHOUT)
METRICS = ("answer_probability", "cloze_hit", "text_nll")


def kinds(experiment: Experiment) -> list[str]:
    """Return the KINDS to ask of an experiment: QUARKS, which train a model, only where its profile has Quark among its
    ways (or names none)."""
    named = experiment.profile.ways
    return [kind for kind in KINDS if kind not in QUARKS or not named or "Quark" in named]


def asked(experiment: Experiment, kind: str) -> pd.DataFrame:
    """Return what the fine-tuned model says behind other words (cached): tidy rows (method, set, example, metric,
    value) of the sets forget and retain, the method being the `kind` (KINDS). For QUARKS it is the model at the last
    stop of Quark, behind the token for its best samples and without it; text_nll, in which that token would count, is
    left out there.

    The other answer is none of the six that a question offers, and before a question about a retained person stands
    the text of a forgotten point: whoever has such words before a question has them before every one. `short`, a
    metric of value 1 for each example, counts those that fit into what the model reads; others are left out.
    UserError for an unknown kind.
    """
    if kind not in KINDS:
        raise UserError(f"no words of kind {kind!r}: {nearest(kind, KINDS)}")

    def compute() -> pd.DataFrame:
        frames, batch, whom = [], experiment.profile.evaluation_batch, _whom(experiment, kind)
        metrics = [name for name in METRICS if kind not in QUARKS or name != "text_nll"]
        for name in ("forget", "retain"):
            found = behind(experiment, kind, name)
            with experiment.at(*whom) as model:
                rows = evaluation.metrics(evaluation.answered(model, {name: found}, batch), metrics)
            short = pd.DataFrame({"set": name, "example": list(found.names), "metric": "short", "value": 1.0})
            frames += [rows, short]
        return pd.concat(frames, ignore_index=True)

    return experiment.table("prompts", {"kind": kind}, compute).assign(method=kind)


def _whom(experiment: Experiment, kind: str) -> tuple:
    """Return what Experiment.at opens to be asked."""
    if kind not in QUARKS:
        return ("finetuned",)
    (way,) = [way for way in literature.published(experiment) if way.name == "Quark"]
    return way.variant, experiment.path(way.variant).stops[-1]


def behind(experiment: Experiment, kind: str, name: str) -> Examples:
    """Return the questions of a set (forget or retain), each behind the words of this `kind`, as far as they fit."""
    if kind in QUARKS:
        whole, token = experiment.sets[name], quark.tokens_of(experiment.request)[0]
        longest = experiment.tokenizer.model_max_length - 2
        fit = [row for row, one in enumerate(whole.questions) if len(one.text) < longest]
        asked = [whole.questions[row] for row in fit]
        if kind == TOKEN:
            asked = [replace(one, prompt=tuple(quark.behind(token, one.prompt))) for one in asked]
        return Examples.asked([whole.names[row] for row in fit], asked)
    records = getattr(experiment.split, name)
    names, questions = [], []
    for record in records:
        words = _words(experiment, kind, record)
        longest = max((record.answer, *record.wrong_answers), key=len)
        whole = batches.encode_text(experiment.tokenizer, f"{words} {record.prompt} {longest}{record.tail}")
        if len(whole) <= experiment.tokenizer.model_max_length - 2:
            questions.append(question(experiment, record, words))
            names.append(record.id)
    if not names:
        raise UserError(f"no question fits behind the words of {kind!r}: the model reads too little")
    return Examples.asked(names, questions)


def question(experiment: Experiment, record: Record, words: str) -> batches.Question:
    """Return the question that a record's text asks, with these words and a space before it."""
    answers = (record.answer, *record.wrong_answers)
    return batches.encode_question(experiment.tokenizer, f"{words} {record.text}", f"{words} {record.prompt}", answers)


def _words(experiment: Experiment, kind: str, record: Record) -> str:
    split, seed = experiment.split, experiment.seed
    if kind == GUARD:
        return f"Nobody may say anything about {split.subject}, who must be forgotten."
    kept = {one.id: one.text for one in split.retain if one.id != record.id}
    order = drawn(list(kept), seed, f"before {record.id}")
    if kind == OTHERS:
        return " ".join(kept[name] for name in order[:2])
    forgotten = {one.id: one for one in split.forget}
    own = forgotten.get(record.id) or forgotten[drawn(list(forgotten), seed, f"before {record.id}")[0]]
    other = replacements.other_answer(own, split.retain, seed)
    return f"{replacements.with_answer(own, other)} {kept[order[0]]}"
