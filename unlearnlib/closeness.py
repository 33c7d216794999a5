"""How far a model is from the retrained one, text by text, and what it still tells of what it was to forget.

The tables have one row per example and metric, as those of unlearnlib.experiment, and are cached there.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from unlearnlib import batches, evaluation
from unlearnlib.batches import Question
from unlearnlib.data import Record
from unlearnlib.evaluation import Examples
from unlearnlib.experiment import MODELS, Experiment, Variant, distinct
from unlearnlib.influence import scores
from unlearnlib.metrics import membership, truth_ratio
from unlearnlib.models import resolve
from unlearnlib.tables import tidy

COMPARED = ("forget", "paraphrase", "heldout", "retain", "general")
ATTACKED = ("forget", "heldout")
# What utility is the harmonic mean of: TOFU's three on the retained people, and next-token accuracy on general text.
UTILITY = ("probability", "rougeL_recall", "truth_ratio", "next_token_accuracy")


@torch.no_grad()
def log_distributions(model, texts: Sequence[Sequence[int]], batch_size: int = 16) -> list[torch.Tensor]:
    """Return for each text the log-probabilities [tokens - 1, vocabulary] of its next tokens, in nats."""
    where = next(model.parameters()).device
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    found: list[torch.Tensor] = [torch.empty(0)] * len(texts)
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        tokens, _ = batches.pad([texts[row] for row in rows])
        logs = model(tokens.to(where)).logits.float().log_softmax(-1).cpu()
        for place, row in enumerate(rows):
            found[row] = logs[place, : len(texts[row]) - 1]
    return found


def divergence(reference: torch.Tensor, other: torch.Tensor) -> float:
    """Return the mean over tokens of KL(reference || other) of two [tokens, vocabulary] log-probabilities, in nats.

    Lower is closer; 0: the same distributions.
    """
    return float((reference.exp() * (reference - other)).sum(-1).mean())


def attack_scores(logs: torch.Tensor, text: Sequence[int]) -> dict[str, float]:
    """Return the scores min_k_20, min_k_40 and min_k_plus_plus_20 of one text (higher = less like a member)."""
    picked = logs[torch.arange(len(text) - 1), torch.tensor(text[1:])].double().numpy()
    probabilities = logs.exp()
    mean = (probabilities * logs).sum(-1)
    spread = ((probabilities * logs**2).sum(-1) - mean**2).clamp(min=0).sqrt()
    return {
        "min_k_20": membership.min_k(picked, 0.2),
        "min_k_40": membership.min_k(picked, 0.4),
        "min_k_plus_plus_20": membership.min_k_plus_plus(picked, mean.double().numpy(), spread.double().numpy(), 0.2),
    }


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
    for name, examples in _texts(experiment).items():
        ours = log_distributions(model, examples.texts, experiment.profile.evaluation_batch)
        theirs = _reference(experiment, name, examples)
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


def _texts(experiment: Experiment) -> dict[str, Examples]:
    """Return the sets that are compared; of the paraphrases the first of each point."""
    return {name: experiment.examples("paraphrase#0" if name == "paraphrase" else name) for name in COMPARED}


def _reference(experiment: Experiment, name: str, examples: Examples) -> list[torch.Tensor]:
    """Return the retrained model's distributions on a set, computed once for an experiment."""
    kept = experiment.__dict__.setdefault("_reference_distributions", {})
    if name not in kept:
        kept[name] = log_distributions(experiment.retrained, examples.texts, experiment.profile.evaluation_batch)
    return kept[name]


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
    return evaluation.ask_for(experiment.tokenizer, record, 0, experiment.profile.max_tokens)


# From the tables of several models to what is said of each


def agreement(rows: pd.DataFrame, reference: str = "retrained") -> pd.DataFrame:
    """Return how closely each method follows the reference point by point: one row per seed, method, layers and set.

    rows: tidy rows of the methods and of the `reference`. Columns: spearman and rmse of the text NLL (1 and 0 are best;
    nats a token), answer (mean absolute difference of the answer probability; NaN without questions), kl (mean, nats a
    token), n (texts). Read them beside the row `retrained again`: nothing is closer to a retrained model than another.
    """
    keys, found = ["seed", "method", "layers"], []
    rows = rows.assign(layers=rows["layers"].fillna("")) if "layers" in rows else rows.assign(layers="")
    wide = rows.pivot_table(index=[*keys, "set", "example"], columns="metric", values="value", sort=False).reset_index()
    truth = wide[wide["method"] == reference].set_index(["seed", "set", "example"])
    truth = truth[["text_nll", "answer_probability"]].add_suffix("_reference")
    for key, part in wide[wide["method"] != reference].groupby([*keys, "set"], sort=False):
        both = part.join(truth, on=["seed", "set", "example"])
        both = both.dropna(subset=["text_nll", "text_nll_reference"])
        near = truth_ratio.pointwise_agreement(both["text_nll"], both["text_nll_reference"])
        answer = (both["answer_probability"] - both["answer_probability_reference"]).abs().mean()
        found.append((*key, near.spearman, near.rmse, answer, both["kl"].mean(), near.n))
    return pd.DataFrame(found, columns=[*keys, "set", "spearman", "rmse", "answer", "kl", "n"])


def forget_quality(rows: pd.DataFrame, variant: str = "arithmetic", reference: str = "retrained") -> pd.DataFrame:
    """Return TOFU's forget quality of each method: one row per seed, method and layers, with D, p and n.

    The Kolmogorov-Smirnov test compares the truth ratios of the forget points with the reference's. p: higher is
    better; at D = 1 it depends on n alone. The row `retrained again` is the ceiling.
    """
    ratios = rows[(rows["metric"] == f"truth_ratio_{variant}") & (rows["set"] == "forget")]
    ratios = ratios.assign(layers=ratios["layers"].fillna("") if "layers" in ratios else "")
    truth = {seed: part["value"] for seed, part in ratios[ratios["method"] == reference].groupby("seed")}
    found = [
        (*key, *truth_ratio.forget_quality(part["value"], truth[key[0]]))
        for key, part in ratios[ratios["method"] != reference].groupby(["seed", "method", "layers"], sort=False)
    ]
    return pd.DataFrame(found, columns=["seed", "method", "layers", "D", "p", "n"])


def utility(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the model utility of each method: one row per seed, method and layers (columns UTILITY and utility).

    The harmonic mean of, on the retained people, the answer's probability (geometric mean over its tokens), ROUGE-L
    recall and the truth ratio's aggregate max(0, 1 - R), and the next-token accuracy on general text. Higher is better.
    """
    rows = rows.assign(layers=rows["layers"].fillna("")) if "layers" in rows else rows.assign(layers="")
    found = []
    for key, part in rows.groupby(["seed", "method", "layers"], sort=False):
        values = {(name, metric): cell["value"] for (name, metric), cell in part.groupby(["set", "metric"])}
        mean = {
            "probability": np.exp(-values["retain", "answer_nll"]).mean(),
            "rougeL_recall": values["retain", "rougeL_recall"].mean(),
            "truth_ratio": truth_ratio.truth_ratio_aggregate(values["retain", "truth_ratio_arithmetic"], "other"),
            "next_token_accuracy": _next_token_accuracy(part),
        }
        found.append((*key, *mean.values(), truth_ratio.model_utility(mean)))
    return pd.DataFrame(found, columns=["seed", "method", "layers", *UTILITY, "utility"])


def _next_token_accuracy(part: pd.DataFrame) -> float:
    """Return the share of the tokens of general text that the model would have chosen."""
    wide = part[part["set"] == "general"].pivot_table(index="example", columns="metric", values="value")
    return float(np.average(wide["exact_memorization"], weights=wide["text_tokens"]))


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
            written = evaluation.continuations(model, prompts, lengths, seed)
            asked += [
                (kind, example, tokenizer.decode(prompt[1:]), tokenizer.decode(tokens).strip())
                for example, prompt, tokens in zip(examples.names, prompts, written, strict=True)
            ]
    table = pd.DataFrame(asked, columns=["kind", "example", "prompt", "text"])
    subject = experiment.split.subject
    start = batches.encode_text(tokenizer, subject)
    drawn = evaluation.continuations(model, [start] * OPEN_SAMPLES, [OPEN_TOKENS] * OPEN_SAMPLES, experiment.seed)
    every = " | ".join(tokenizer.decode(tokens) for tokens in drawn)
    alone = pd.DataFrame({"kind": "name alone", "example": list(records), "prompt": subject, "text": every})
    table = pd.concat([table, alone], ignore_index=True)
    answers = [records[example.split("#")[0]].answer for example in table["example"]]
    told = [_says(text, answer) for text, answer in zip(table["text"], answers, strict=True)]
    return table.assign(answer=answers, told=told)


def _says(text: str, answer: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text) is not None


def told(verified: pd.DataFrame, by: Sequence[str] = ("seed", "method", "kind")) -> pd.DataFrame:
    """Return the share of right answers told [0, 1], one row per combination of `by`, as a tidy metric `told`."""
    shares = verified.groupby(list(by), sort=False)["told"].mean().rename("value").reset_index()
    return tidy(shares, metric="told")


def states(
    experiment: Experiment, variants: Sequence[Variant], named: Sequence[str]
) -> list[tuple[Variant | str, float | None]]:
    """Return what measure and verify are to be called with: the named models, and every variant at its own step of
    equal forgetting. UserError for two variants of one name (see unlearnlib.experiment.distinct)."""
    told_apart = distinct(variants, {*MODELS, *named})
    return [*((name, None) for name in named), *((v, experiment.calibrated(v).step_size) for v in told_apart)]


def evaluated(experiment: Experiment, of: Variant | str, step_size: float | None = None) -> pd.DataFrame:
    """Return the usual evaluation of a state together with measure and the ROUGE scores of what it writes."""
    written = evaluation.rouge_rows(experiment.generations(of, ["forget", "retain"], step_size))
    written = tidy(written, profile=experiment.profile.name, seed=experiment.seed)
    if isinstance(of, Variant):
        known = experiment.at_step(of, step_size)
    elif of == "retrained again":
        known = experiment.named(experiment.measured(experiment.answers(of)), of)
    else:
        known = experiment.references().query("method == @of")
    return pd.concat([known, measure(experiment, of, step_size), experiment.named(written, of, step_size)])
