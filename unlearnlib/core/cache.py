"""A cache of results by content: the name of an entry is the fingerprint of everything it depends on.

An entry is computed at most once, also when several processes ask for it at the same time, and it appears whole or not
at all: it is written under a temporary name and then renamed. The lock is the operating system's, so it goes with the
process that held it, and nothing has to be unlocked by hand after a crash.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from unlearnlib.core import fingerprint

if TYPE_CHECKING:  # pandas takes half a second to import, which who only needs folders need not wait for
    import pandas as pd

PATIENCE = 3.0  # seconds of silent waiting for a lock
USED = "UNLEARNLIB_USED"  # the variable that names the file in which a job notes what it has asked for

_noted: set[str] = set()


def folder(root: Path, kind: str, key: Mapping[str, Any], compute: Callable[[Path], None]) -> Path:
    """Return the folder `<root>/<kind>-<fingerprint of key>`, calling `compute(folder)` to fill it if it is missing.

    `key` is a mapping of JSON values and lies as key.json in the folder. `compute` writes into the folder it is given,
    which gets its final name only when `compute` has returned. A folder with a damaged safetensors file (a full disk, a
    broken copy) counts as missing.
    """
    final = Path(root) / f"{kind}-{fingerprint.combine(key)}"
    _used(final)
    if _whole(final):
        return final
    with _locked(final):
        if _whole(final):  # another process computed it while this one waited
            return final
        if final.is_dir():
            print(f"cache: {final.name} is damaged and is computed anew", flush=True)
            shutil.rmtree(final)
        with _partial(final) as partial:
            compute(partial)
            _write_key(partial / "key.json", key)
            partial.rename(final)
    return final


@contextlib.contextmanager
def borrowed(root: Path, kind: str, key: Mapping[str, Any], compute: Callable[[Path], None]) -> Iterator[Path]:
    """Yield the folder that `folder` would return; where it is missing, one that is deleted at the end.

    For what is looked at once: it takes no room afterwards, and is computed again if somebody wants it again.
    """
    final = Path(root) / f"{kind}-{fingerprint.combine(key)}"
    if _whole(final):
        yield final
        return
    with _locked(final), _partial(final) as partial:
        compute(partial)
        yield partial


@contextlib.contextmanager
def _partial(final: Path) -> Iterator[Path]:
    """Yield an empty folder under a temporary name, and delete what is there under it at the end."""
    partial = final.with_name(final.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by an interrupted computation
    partial.mkdir(parents=True)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def table(root: Path, name: str, key: Mapping[str, Any], compute: Callable[[], "pd.DataFrame"]) -> "pd.DataFrame":
    """Return the table `<root>/tables/<name>-<fingerprint of key>.parquet`, calling `compute()` if it is missing or
    cannot be read. The table is always the one read back from the file: the first call and every later one return the
    same.
    """
    import pandas as pd

    path = Path(root) / "tables" / f"{name}-{fingerprint.combine(key)}.parquet"
    _used(path)
    found = _read(path)
    if found is not None:
        return found
    with _locked(path):
        found = _read(path)
        if found is not None:
            return found
        if path.exists():
            print(f"cache: {path.name} cannot be read and is computed anew", flush=True)
        partial = path.with_name(path.name + ".partial")
        try:
            compute().to_parquet(partial)
            _write_key(path.with_suffix(".json"), key)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        return pd.read_parquet(path)


def _used(entry: Path) -> None:
    """Note that an entry was asked for, in the file that USED names, if any: what no job asked for is stale."""
    target = os.environ.get(USED)
    if target and entry.name not in _noted:
        _noted.add(entry.name)
        with open(target, "a", encoding="utf-8") as file:
            file.write(f"{entry.name}\n")


def _whole(entry: Path) -> bool:
    """Tell whether the folder is there and its safetensors files are as long as their headers say."""
    from safetensors import SafetensorError, safe_open

    try:
        for path in entry.glob("*.safetensors"):
            with safe_open(path, "np"):
                pass
    except (OSError, SafetensorError):
        return False
    return entry.is_dir()


def _read(path: Path) -> "pd.DataFrame | None":
    import pandas as pd
    import pyarrow as pa

    if not path.exists():
        return None
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException):
        return None


def _write_key(path: Path, key: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(key, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _locked(entry: Path) -> Iterator[None]:
    locks = entry.parent / "locks"  # apart: a lock's file stays when the lock is given back
    locks.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(locks / f"{entry.name}.lock")
    try:
        lock.acquire(timeout=PATIENCE)
    except filelock.Timeout:
        print(f"cache: waiting for another process that computes {entry.name}", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
