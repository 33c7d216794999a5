"""Whether an answer stands in what a model has written."""

import re
from collections.abc import Sequence

import pandas as pd

from unlearnlib.core.tables import tidy


def says(text: str, answer: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text) is not None


def told(verified: pd.DataFrame, by: Sequence[str] = ("seed", "method", "kind")) -> pd.DataFrame:
    """Return the share of right answers told [0, 1], one row per combination of `by`, as a tidy metric `told`."""
    shares = verified.groupby(list(by), sort=False)["told"].mean().rename("value").reset_index()
    return tidy(shares, metric="told")
