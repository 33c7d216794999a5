"""Shape checks shared by the metrics, so that a wrong array is one clear line and not a broadcast."""

import numpy as np

from unlearnlib.core.errors import UserError


def vector(values, name: str) -> np.ndarray:
    """Return `values` as a float array [n]; UserError when it has another number of dimensions."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 1:
        raise UserError(f"{name} must be one-dimensional, got shape {array.shape}")
    return array


def matrix(values, name: str, columns: str) -> np.ndarray:
    """Return `values` as a float array [rows, columns]; UserError when it is not two-dimensional."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 2:
        raise UserError(f"{name} must have shape [{columns}], got {array.shape}")
    return array


def same_length(first, second, first_name: str, second_name: str) -> None:
    """Raise UserError when two arrays or lists differ in length."""
    if len(first) != len(second):
        raise UserError(f"{first_name} has {len(first)} entries but {second_name} has {len(second)}; they must match")
