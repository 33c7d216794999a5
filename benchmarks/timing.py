"""Side-by-side timing: process CPU time of one thread, contenders interleaved, medians."""

import ctypes
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import torch


def medians(contenders: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median CPU seconds of every contender, each called once to warm up and then `repeats` times.

    The order is turned round from one round to the next, so that a drift of the machine falls on all of them alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(repeats + 1):
        for name in list(contenders) if turn % 2 else reversed(contenders):
            begun = time.process_time()
            result = contenders[name]()
            spent = time.process_time() - begun
            del result  # freed here, so that no contender holds its result while another runs
            if turn:
                seconds[name].append(spent)
    return {name: statistics.median(values) for name, values in seconds.items()}


def keep_memory() -> None:
    """Make glibc keep freed memory for the process.

    Otherwise large tensors go back to the system when freed, and it clears every page again for the next one: on some
    virtual machines that costs as much as the arithmetic. Raises OSError where the C library is another.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        raise OSError("--keep-memory needs glibc: leave it out on this system")
    trim_threshold, most_mappings = -1, -4  # the numbers that malloc.h gives M_TRIM_THRESHOLD and M_MMAP_MAX
    library.mallopt(trim_threshold, -1)
    library.mallopt(most_mappings, 0)


def conditions(repeats: int) -> str:
    """Return one line: processor, threads, repeats and versions."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    return (
        f"{processor}, {platform.system()}; {torch.get_num_threads()} thread; process CPU time, medians of {repeats} "
        f"interleaved repeats; Python {platform.python_version()}, {packages}"
    )


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Return a markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def verdict(value: float, bar: float, at_least: bool = False) -> str:
    """Return the bar and whether `value` meets it."""
    met = value >= bar if at_least else value <= bar
    return f"{'at least' if at_least else 'at most'} {bar:g}: {'met' if met else 'missed'}"
