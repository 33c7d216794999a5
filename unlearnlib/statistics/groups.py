"""Rows of a table by group: what every statistic over methods and seeds needs."""

import numpy as np
import pandas as pd

from unlearnlib.core.errors import UserError, nearest

NAN = float("nan")
# A standard deviation this much smaller than the mean is rounding, not spread.
NO_SPREAD = 1e-12


def mean_of(values: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):
        return float(values.mean()) if len(values) else NAN


def joined_notes(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def columns_of(table: pd.DataFrame, by) -> list[str]:
    by = [by] if isinstance(by, str) else list(by)
    for column in by:
        if column not in table.columns:
            raise UserError(f"the table has no column {column!r}: {nearest(column, table.columns)}")
    return by


def as_tuple(key) -> tuple:
    return key if isinstance(key, tuple) else (key,)


def label_of(key) -> str:
    return " / ".join(map(str, as_tuple(key)))


def keys_of(table: pd.DataFrame, by: list[str]) -> list:
    rows = list(table[by].itertuples(index=False, name=None))
    return [row[0] for row in rows] if len(by) == 1 else rows


def labels_of(table: pd.DataFrame, by: list[str]) -> pd.Series:
    return pd.Series([label_of(key) for key in keys_of(table, by)], index=table.index, dtype=object)


def check_known(label: str, labels: pd.Series) -> None:
    if label not in set(labels):
        raise UserError(f"the table has no rows of {label!r}: {nearest(label, labels.unique())}")


def rows_of(table: pd.DataFrame, by, key, keys: list[str], value: str) -> pd.DataFrame:
    labels = labels_of(table, columns_of(table, by))
    check_known(label_of(key), labels)
    rows = table.loc[labels == label_of(key), [*keys, value]]
    if rows.duplicated(keys).any():
        raise UserError(
            f"{label_of(key)!r} has several rows for one {' and '.join(keys)}: choose one metric, set and "
            "step size first"
        )
    return rows
