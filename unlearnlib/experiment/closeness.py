"""How far a model is from the retrained one, text by text, and what it still tells of what it was to forget.

The tables have one row per example and metric, as those of unlearnlib.experiment.measured, and are cached there.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
import torch

from unlearnlib.data import batches
from unlearnlib.data.batches import Question
from unlearnlib.data.examples import Examples, ask_for
from unlearnlib.data.records import Record
from unlearnlib.experiment import writing
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import MODELS, Variant, distinct
from unlearnlib.influence import scores
from unlearnlib.measures import evaluation, generation, membership, regimes, truth_ratio
from unlearnlib.measures.disclosure import says
from unlearnlib.measures.distance import attack_scores, divergence, log_distributions
from unlearnlib.models.layers import resolve

COMPARED = ("forget", "paraphrase", "heldout", "retain", "general")
ATTACKED = ("forget", "heldout")


def measure(experiment: Experiment, of: Variant | str, step_size: float | None = None) -> pd.DataFrame:
    """Return tidy rows of what sets a model apart from the retrained one, and of what an attacker sees of it.

    `of` is a model's name, or a Variant with its `step_size`. Metrics: `kl` on the sets COMPARED (of the paraphrases
    the first ones; KL(retrained || model), nats a token; 0 is ideal); on the sets ATTACKED `min_k_20`, `min_k_40`,
    `min_k_plus_plus_20`, `zlib` and `gradient_norm` (higher = less like a member); `truth_ratio_arithmetic` and
    `truth_ratio_geometric` of the first paraphrase of every forget and retain point (higher: less known).
    """

    def compute() -> pd.DataFrame:
        with experiment.at(of, step_size) as model:
            return _measure(experiment, model)

    found = experiment.table("closeness", {"of": experiment.of(of, step_size)}, compute)
    return experiment.named(found, of, step_size)


def _measure(experiment: Experiment, model) -> pd.DataFrame:
    rows = []
    for name, examples in texts_of(experiment).items():
        ours = log_distributions(model, examples.texts, experiment.profile.evaluation_batch)
        theirs = of_retrained(experiment, name)
        for example, text, mine, reference in zip(examples.names, examples.texts, ours, theirs, strict=True):
            values = {"kl": divergence(reference, mine)}
            if name in ATTACKED:
                values |= attack_scores(mine, text)
                loss = -float(mine[torch.arange(len(text) - 1), torch.tensor(text[1:])].mean())
                values["zlib"] = float(membership.zlib([loss], [experiment.tokenizer.decode(text[1:])])[0])
            rows += [(name, example, metric, value) for metric, value in values.items()]
        if name in ATTACKED:
            squares = scores.self_influence(model, examples.texts, resolve(model, "all"))
            norms = zip(examples.names, squares.sqrt().tolist(), strict=True)
            rows += [(name, example, "gradient_norm", value) for example, value in norms]
    table = pd.DataFrame(rows, columns=["set", "example", "metric", "value"])
    return pd.concat([table, _truth_ratios(experiment, model)], ignore_index=True)


def texts_of(experiment: Experiment) -> dict[str, Examples]:
    """Return the sets that are compared; of the paraphrases the first of each point."""
    return {name: read(experiment, name) for name in COMPARED}


def read(experiment: Experiment, name: str) -> Examples:
    """Return a set as it is compared: of the paraphrases the first of each point (see Experiment.examples)."""
    return experiment.examples("paraphrase#0" if name == "paraphrase" else name)


@cache
def of_retrained(experiment: Experiment, name: str) -> list[torch.Tensor]:
    """Return the retrained model's distributions on a set, computed once for an experiment."""
    texts = read(experiment, name).texts
    return log_distributions(experiment.retrained, texts, experiment.profile.evaluation_batch)


def _truth_ratios(experiment: Experiment, model) -> pd.DataFrame:
    frames = []
    for name, records in (("forget", experiment.split.forget), ("retain", experiment.split.retain)):
        questions = [_reworded(experiment, record) for record in records]
        totals = evaluation.ask(model, questions, experiment.profile.evaluation_batch, texts=False).log_probabilities
        lengths = np.array([[len(answer) for answer in question.answers] for question in questions])
        nll = -totals / lengths
        for variant in ("arithmetic", "geometric"):
            ratios = truth_ratio.truth_ratio(nll[:, 1:], nll[:, 0], variant)
            ids = [record.id for record in records]
            frames.append(
                pd.DataFrame({"set": name, "example": ids, "metric": f"truth_ratio_{variant}", "value": ratios})
            )
    return pd.concat(frames, ignore_index=True)


def _reworded(experiment: Experiment, record: Record) -> Question:
    return ask_for(experiment.tokenizer, record, 0, experiment.profile.max_tokens)


def from_retrained(experiment: Experiment, variants: Sequence[Variant], sets: Sequence[str]) -> pd.DataFrame:
    """Return the answer probabilities of the fine-tuned model and of each variant at equal forgetting, on the named
    sets, with those of the retrained model: the columns reference and difference (see
    unlearnlib.measures.regimes.against). A set `remaining` that is empty, where all points are forgotten, is left out.
    """
    chosen = [name for name in sets if name != "remaining" or experiment.split.remaining]
    states = [("finetuned", None), *((v, experiment.calibrated(v).step_size) for v in variants)]
    after = pd.concat([experiment.metric("answer_probability", of, step, chosen) for of, step in states])
    return regimes.against(after, experiment.metric("answer_probability", "retrained", sets=chosen))


# Verification: does it still come out? (E10)

SAMPLES = 4
OPEN_SAMPLES, OPEN_TOKENS = 64, 16


def verify(experiment: Experiment, of: Variant | str, step_size: float | None = None) -> pd.DataFrame:
    """Return what a model writes about the forgotten subject: rows (kind, example, prompt, answer, text, told).

    Kinds: `own words` (greedy, from the trained sentence's prompt), `other words` (greedy, from the three paraphrases'
    prompts), `sampled` (SAMPLES draws from the trained prompt), `name alone` (OPEN_SAMPLES draws from nothing but the
    name; its rows ask for every answer, once, in any of the draws). `told` is whether the right answer is in the text.
    Read it beside the retrained model, which now and then guesses right.
    """

    def compute() -> pd.DataFrame:
        with experiment.at(of, step_size) as model:
            return _verify(experiment, model)

    found = experiment.table("verification", {"of": experiment.of(of, step_size)}, compute)
    return experiment.named(found, of, step_size)


def _verify(experiment: Experiment, model) -> pd.DataFrame:
    tokenizer, records = experiment.tokenizer, {record.id: record for record in experiment.split.forget}
    asked = []
    for kind, name, seeds in (
        ("own words", "forget", [None]),
        ("other words", "paraphrase", [None]),
        ("sampled", "forget", [experiment.seed + number for number in range(SAMPLES)]),
    ):
        examples = experiment.sets[name]
        prompts = [question.prompt for question in examples.questions]
        # A few tokens more than the answer: it may stand behind a word that the text does not have.
        lengths = [len(question.answers[0]) + 3 for question in examples.questions]
        for seed in seeds:
            written = generation.continuations(model, prompts, lengths, seed)
            asked += [
                (kind, example, tokenizer.decode(prompt[1:]), tokenizer.decode(tokens).strip())
                for example, prompt, tokens in zip(examples.names, prompts, written, strict=True)
            ]
    table = pd.DataFrame(asked, columns=["kind", "example", "prompt", "text"])
    subject = experiment.split.subject
    start = batches.encode_text(tokenizer, subject)
    drawn = generation.continuations(model, [start] * OPEN_SAMPLES, [OPEN_TOKENS] * OPEN_SAMPLES, experiment.seed)
    every = " | ".join(tokenizer.decode(tokens) for tokens in drawn)
    alone = pd.DataFrame({"kind": "name alone", "example": list(records), "prompt": subject, "text": every})
    table = pd.concat([table, alone], ignore_index=True)
    answers = [records[example.split("#")[0]].answer for example in table["example"]]
    told = [says(text, answer) for text, answer in zip(table["text"], answers, strict=True)]
    return table.assign(answer=answers, told=told)


def states(
    experiment: Experiment, variants: Sequence[Variant], named: Sequence[str]
) -> list[tuple[Variant | str, float | None]]:
    """Return what measure and verify are to be called with: the named models, and every variant at its own step of
    equal forgetting. UserError for two variants of one name (see unlearnlib.experiment.variants.distinct)."""
    told_apart = distinct(variants, {*MODELS, *named})
    return [*((name, None) for name in named), *((v, experiment.calibrated(v).step_size) for v in told_apart)]


def evaluated(experiment: Experiment, of: Variant | str, step_size: float | None = None) -> pd.DataFrame:
    """Return the usual evaluation of a state together with measure and the ROUGE scores of what it writes."""
    state = (experiment, of, step_size)
    return pd.concat([experiment.at_step(of, step_size), measure(*state), writing.rouge_at(*state)])


def evaluated_all(experiment: Experiment, variants: Sequence[Variant], named: Sequence[str]) -> pd.DataFrame:
    """Return the rows of `evaluated` for the named models, then for every variant at its own step of equal forgetting.
    UserError for two variants of one name."""
    return pd.concat([evaluated(experiment, *state) for state in states(experiment, variants, named)])
