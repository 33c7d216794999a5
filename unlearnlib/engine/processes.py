"""Processes that end with the one that started them, and the end of those that an interrupted run left behind."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from unlearnlib.engine import execute

MARK = "UNLEARNLIB_ENGINE"  # in the environment of everything an engine starts: the folder it writes to


def end_with_parent(every: float = 0.5) -> None:
    """Watch the parent from a thread, and end this process and all it started as soon as the parent is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every)
        end(psutil.Process().children(recursive=True))
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


def marked(folder: Path) -> list[psutil.Process]:
    """Return the processes that an engine of this folder started, but not this process and its ancestors."""
    me = psutil.Process()
    spared = {me.pid, *(process.pid for process in me.parents())}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in spared and process.environ().get(MARK) == str(folder):
                found.append(process)
    return found


def end_marked(folder: Path) -> int:
    """End every process that an engine of this folder started, and return how many there were."""
    ended = 0
    for _ in range(10):  # a process may start another while it is being ended
        processes = marked(folder)
        if not processes:
            break
        ended += len(processes)
        end(processes)
    return ended


def end(processes: Sequence[psutil.Process]) -> None:
    """Kill these processes and wait until they are gone."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def _snakemake(words: Sequence[str]) -> None:
    """Run snakemake in this process, to the end of the parent at the latest."""
    end_with_parent()
    execute.quicken_import()
    from snakemake.cli import main

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine decides when to stop
    main(list(words))


if __name__ == "__main__":
    _snakemake(sys.argv[1:])
