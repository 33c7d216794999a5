"""Is there room for what is to come? Asked before long work starts, which a full disk or memory would break off."""

import shutil

import psutil

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError


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
