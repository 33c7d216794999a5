"""Free the room that a profile's runs take, by kind: what is stale, the trained models, or everything.

What is stale: entries of the cache that no job asked for which is up to date now (a job's stamp names those it used),
and what interrupted computations left. A notebook that you run by hand is no job: what only it used is stale too.
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from unlearnlib.core import paths, sweeps
from unlearnlib.core.errors import UserError
from unlearnlib.engine import plan
from unlearnlib.experiment import jobs


def clean(profile: str, kind: str, yes: bool, ask: Callable[[str], str] = input) -> int:
    """Say how much room the runs of a profile take, and delete what `kind` names ("": nothing) once that is wanted.

    Without `yes` a person is asked; where nobody can be, UserError. Returns 0, or 1 where the answer was no.
    """
    profile = profile.partition("@")[0]  # what is changed shares the cache of the profile itself
    root = paths.runs() / profile
    if not root.is_dir():
        print(f"there is nothing of the profile {profile} in {paths.runs()}")
        return 0
    everything = [root, *(paths.runs() / name for name in sweeps.derived(profile))]
    found = {"stale": stale(profile), "models": models(profile), "all": everything}
    room = {name: sum(map(size, entries)) for name, entries in found.items()}
    print(f"{shown(room['all'])} in {root}: trained models {shown(room['models'])}, stale {shown(room['stale'])}")
    if not kind:
        print("delete with --clean stale, --clean models or --clean all")
        return 0
    entries = found[kind]
    if not entries:
        print("nothing to delete")
        return 0
    question = f"delete {len(entries)} entries, {shown(room[kind])}?"
    if not yes:
        if not sys.stdin.isatty() and ask is input:
            raise UserError(f"{question} say so with --yes")
        if ask(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was deleted")
            return 1
    for entry in entries:
        remove(entry)
    print(f"deleted {shown(room[kind])}")
    return 0


def models(profile: str) -> list[Path]:
    """Return the folders of trained models, and the stamps that say they are there."""
    cache = paths.cache_folder(profile)
    return [path for path in _entries(cache) if path.is_dir()] + sorted(cache.glob("done*/*.json"))


def stale(profile: str) -> list[Path]:
    """Return the entries of the cache, and the stamps, that no job needs which is up to date."""
    cache = paths.cache_folder(profile)
    current, old = _stamps(profile)
    used = {name for stamp in current for name in json.loads(stamp.read_text()).get("used", ())}
    entries = [*_entries(cache), *(cache / "tables").glob("*.parquet")]
    left = [path for path in entries if path.name not in used]
    keys = [path.with_suffix(".json") for path in left if path.suffix == ".parquet"]
    return [*left, *(path for path in keys if path.exists()), *old]


def size(entry: Path) -> int:
    """Return the bytes that a file or folder takes, a file under two names counted once."""
    files = [entry] if entry.is_file() else [path for path in entry.rglob("*") if path.is_file()]
    return sum({path.stat().st_ino: path.stat().st_size for path in files}.values())


def shown(count: int) -> str:
    """Return a number of bytes as a person reads it."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def remove(entry: Path) -> None:
    """Delete a file or folder."""
    if entry.is_dir():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def _entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.glob("*") if not path.name.startswith(("done", "tables", "locks")))


def _stamps(profile: str) -> tuple[list[Path], list[Path]]:
    """Return the stamps of jobs that are up to date, and the others, also those of runs with changed values."""
    current, old = [], []
    stamps: Iterable[tuple[str, Path]] = (
        (name, stamp)
        for name in (profile, *sweeps.derived(profile))
        for training in (True, False)
        for stamp in sorted(plan.stamps_folder(name, training).glob("*.json"))
    )
    for profile, stamp in stamps:
        job = plan.from_stamp(profile, stamp)
        gone = not job.source.is_file() if job.notebook else job.kind not in jobs.KINDS
        # Code that cannot be read is no reason to delete anything: its error goes up.
        fits = not gone and plan.job_of(profile, stamp).stamp == stamp
        (current if fits else old).append(stamp)
    return current, old
