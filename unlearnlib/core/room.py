"""Is there room for what is to come? Asked before long work starts, which a full disk or memory would break off."""

import ctypes
import gc
import shutil

import psutil

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError

# What a recorded training leaves on disk and holds in memory beside the summed gradients of every epoch, in copies of
# the parameters: weights, gradients, the optimizer's two moments, the record of single texts, what a step computes.
# Measured with SmolLM2 and 40 texts to forget: 6.0 GB and 11.1 GB of 0.54 GB of parameters and 8 epochs.
ON_DISK, IN_MEMORY = 4, 11
# What may be kept in memory only to spare its being computed again, in bytes.
KEPT_PATHS, KEPT_STEPS = 1.2e9, 4e9


def on_disk(parameters: float, epochs: int) -> float:
    """Return about how many bytes a training with its record leaves on disk: `parameters` in bytes."""
    return parameters * (ON_DISK + epochs)


def in_memory(parameters: float, epochs: int) -> float:
    """Return about how many bytes a training with its record takes at most, beside the program and the model itself:
    `parameters` in bytes."""
    return parameters * (IN_MEMORY + epochs)


def fitting(kept: float, size: float, least: int = 2) -> int:
    """Return how many things of `size` bytes may be kept in `kept` bytes, `least` in any case."""
    return max(least, int(kept // max(size, 1)))


def check(what: str, disk: float, memory: float) -> None:
    """Raise UserError, with the numbers and what to do, where less than `disk` bytes are free in the folder of runs or
    less than `memory` bytes of memory can be had; `what` says for what: "converting the model", say."""
    folder = next(path for path in (paths.runs(), *paths.runs().parents) if path.exists())
    free, available = shutil.disk_usage(folder).free, psutil.virtual_memory().available
    for have, need, where, remedy in (
        (free, disk, f"free on the disk of {folder}", "make room, or name another place in UNLEARNLIB_RUNS"),
        (available, memory, "of memory available", "end other programs, give --jobs 1, or use a larger machine"),
    ):
        if have < need:
            raise UserError(f"{have / 1e9:.1f} GB {where}, and {what} takes about {need / 1e9:.1f}: {remedy}")


def give_back() -> None:
    """Return to the system the memory that this process no longer uses, as far as its C library can: what an earlier
    training needed would be counted as taken otherwise, and a gigabyte often stays behind."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # in glibc alone
    if trim:
        trim(0)
