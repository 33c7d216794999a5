"""What a method does beside what it is stopped by: every measure of it beside the others."""

import numpy as np
import pandas as pd

from unlearnlib.core.tables import means

# Measures by name: the set and the metric that each is the mean of. Of those in LOGARITHMIC the logarithm is taken: a
# perplexity or a divergence of ten times as much is as far up as one of a tenth is down. Of these less is better.
MEASURES = {
    "neighbours: answer probability": ("retain", "answer_probability"),
    "neighbours: completions": ("retain", "cloze_hit"),
    "neighbours: perplexity": ("retain", "perplexity"),
    "neighbours: KL": ("retain", "kl"),
    "general text: perplexity": ("general", "perplexity"),
    "general text: next token": ("general", "exact_memorization"),
    "general text: KL": ("general", "kl"),
    "held-out points: KL": ("heldout", "kl"),
    "forget set: KL": ("forget", "kl"),
}
LOGARITHMIC = ("perplexity", "kl")


def collateral(rows: pd.DataFrame, by: tuple[str, ...] = ("seed", "method", "stop", "reached")) -> pd.DataFrame:
    """Return the measures of each model: columns of `by` (those that `rows` has), measure, value and better (`higher`
    or `lower`).

    rows: tidy rows of several models (see unlearnlib.experiment.measured), with `kl` beside the usual metrics. Values
    of perplexities and divergences are natural logarithms; KL is to the retrained model.
    """
    by = [column for column in by if column in rows.columns]
    found = means(rows, by=(*by, "set", "metric"))
    frames = []
    for name, (of, metric) in MEASURES.items():
        part = found[(found["set"] == of) & (found["metric"] == metric)]
        with np.errstate(divide="ignore"):  # of the retrained model to itself: minus infinity
            value = np.log(part["value"]) if metric in LOGARITHMIC else part["value"]
        better = "lower" if metric in LOGARITHMIC else "higher"
        frames.append(part[by].assign(measure=name, value=value, better=better))
    return pd.concat(frames, ignore_index=True)


def summary(table: pd.DataFrame, by: tuple[str, ...] = ("stop", "method")) -> pd.DataFrame:
    """Return the measures side by side: a row for each of `by`, a column a measure, means over seeds; of perplexities
    and divergences (see collateral) the geometric means."""
    wide = table.pivot_table(index=list(by), columns="measure", values="value", sort=False)[list(MEASURES)]
    return wide.assign(**{name: np.exp(wide[name]) for name, (_, metric) in MEASURES.items() if metric in LOGARITHMIC})
