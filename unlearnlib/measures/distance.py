"""How far a model is from the retrained one, text by text."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from unlearnlib.data import batches
from unlearnlib.measures import membership, truth_ratio

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


def mean_divergence(references: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> float:
    """Return the mean over texts of `divergence` (nats a token), of two lists of `log_distributions` of the same
    texts."""
    return float(np.mean([divergence(*pair) for pair in zip(references, others, strict=True)]))


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


def by_set(near: pd.DataFrame, measures: Sequence[str] = ("kl", "rmse", "answer", "spearman")) -> pd.DataFrame:
    """Return a table of `agreement` with a row for each of these measures: seed, method, set, measure, value, and
    metric, the measure and the set in one name, such as "kl forget"."""
    long = near.melt(id_vars=["seed", "method", "set"], value_vars=list(measures), var_name="measure")
    return long.assign(metric=long["measure"] + " " + long["set"])


def answers_apart(rows: pd.DataFrame, reference: str = "retrained") -> pd.DataFrame:
    """Return how far the answer probabilities of each method are from the reference's: a row a method, a column a set.

    rows: tidy rows of several methods, the `reference` among them. The number is the mean over examples of the absolute
    difference, averaged over seeds (0 to 1; lower is nearer, 0 is the reference's own row).
    """
    known = rows[rows["metric"] == "answer_probability"]
    beside = known.pivot_table(index=["seed", "set", "example"], columns="method", values="value", sort=False)
    apart = beside.sub(beside[reference], axis=0).abs().groupby(["seed", "set"], sort=False).mean()
    return apart.groupby("set", sort=False).mean().T


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
