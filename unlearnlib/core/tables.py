"""Tidy tables: one row per example and metric, the only thing that passes between notebooks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError

COLUMNS = ["profile", "seed", "method", "layers", "step_size", "step", "set", "example", "metric", "value"]


def tidy(table: pd.DataFrame, **constant) -> pd.DataFrame:
    """Return `table` with the tidy columns (see COLUMNS) first; `constant` fills whole columns."""
    table = table.assign(**constant)
    known = [column for column in COLUMNS if column in table.columns]
    return table[known + [column for column in table.columns if column not in known]]


def means(
    table: pd.DataFrame, by: Sequence[str] = ("profile", "seed", "method", "layers", "step_size", "set", "metric")
):
    """Return the mean over examples of every metric, one row per combination of `by` (those that the table has).

    `text_nll` is averaged weighted by tokens as well, as the metric `perplexity` (exp of total NLL over total tokens).
    """
    by = [column for column in by if column in table.columns]
    plain = table[table["metric"] != "text_tokens"].groupby(by, dropna=False, sort=False)["value"].mean().reset_index()
    keys = [column for column in by if column != "metric"]
    nll, tokens = (table.loc[table["metric"] == metric] for metric in ("text_nll", "text_tokens"))
    if nll.empty or tokens.empty:
        return plain
    same = [column for column in table.columns if column not in ("metric", "value")]
    wide = nll.merge(tokens, on=same, suffixes=("", "_tokens"))
    wide = wide.assign(nll_sum=wide["value"] * wide["value_tokens"], text_tokens=wide["value_tokens"])
    sums = wide.groupby(keys, dropna=False, sort=False)[["nll_sum", "text_tokens"]].sum()
    perplexity = np.exp(sums["nll_sum"] / sums["text_tokens"]).rename("value").reset_index().assign(metric="perplexity")
    return pd.concat([plain, perplexity], ignore_index=True)


def save_table(table: pd.DataFrame, name: str, profile: str, seeds: Sequence[int]) -> Path:
    """Write `table` as results/<name>.csv of this run (six significant digits) and return the path."""
    folder = paths.run_folder(profile, seeds) / "results"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.csv"
    table.to_csv(path, index=False, float_format="%.6g")
    return path


def load_table(name: str, profile: str, seeds: Sequence[int]) -> pd.DataFrame:
    """Return results/<name>.csv of this run; UserError where the notebook that writes it has not been run."""
    path = paths.run_folder(profile, seeds) / "results" / f"{name}.csv"
    if not path.is_file():
        raise UserError(f"no table {name!r} of this run: run the notebook that writes {path.name} first")
    return pd.read_csv(path)
