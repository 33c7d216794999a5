"""Runs over several values of a profile: which profiles these are, and their tables side by side."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from unlearnlib.core import paths, profiles
from unlearnlib.core.errors import UserError, nearest

if TYPE_CHECKING:  # pandas takes half a second to import
    import pandas as pd


def names(profile: str, values: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names of the profiles that differ from `profile` in each combination of these values (none: its own
    name). UserError for a key or value that does not fit."""
    base = profiles.load(profile)
    found = [
        profiles.changed(base, dict(zip(values, combination, strict=True))).name
        for combination in itertools.product(*values.values())
    ]
    return list(dict.fromkeys(found))


def read(text: str) -> tuple[str, list[str]]:
    """Return the key and the values of a text such as "learning_rate=4e-4,8e-4" or "forget_sizes=[1],[1, 5]"; UserError
    where it is none."""
    key, sign, rest = text.partition("=")
    try:
        values = yaml.safe_load(f"[{rest}]")
    except yaml.YAMLError:
        values = None
    if not (key.strip() and sign and values):
        raise UserError(f"--set {text!r} cannot be read: write for example learning_rate=4e-4,8e-4")
    return key.strip(), [str(value) for value in values]


def joined(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the values by key of several such texts; those of a key that is there twice are put together."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, values = read(text)
        found.setdefault(key, []).extend(values)
    return found


def derived(profile: str) -> list[str]:
    """Return the names of the profiles with changed values of which there are runs, sorted."""
    return sorted(path.name for path in paths.runs().glob(f"{profile}@*") if path.is_dir())


def collect(profile: str, table: str) -> "pd.DataFrame":
    """Return one table of all runs of a profile and of those with changed values: the rows of results/<table>.csv, with
    a column for every key that was changed in one of them, holding the value of each run.

    Of every profile the run over the most seeds counts. UserError where no run has the table, naming those there are.
    """
    import pandas as pd

    frames, keys, there = [], [], set()
    for name in (profile, *derived(profile)):
        folders = list((paths.runs() / name).glob("seeds-*/results"))
        folders.sort(key=lambda path: (path.parent.name.count("-"), path))
        there |= {path.stem for folder in folders for path in folder.glob("*.csv")}
        files = [folder / f"{table}.csv" for folder in folders if (folder / f"{table}.csv").is_file()]
        if files:
            frames.append((name, pd.read_csv(files[-1])))
            keys += [part.partition("=")[0] for part in name.partition("@")[2].split(",") if part]
    if not frames:
        known = nearest(table, there) if there else "run ./run_all.sh --set ... first"
        raise UserError(f"no run of {profile} has a table {table!r}: {known}")
    keys = list(dict.fromkeys(keys))
    taken = [key for key in keys for _, frame in frames if key in frame.columns]
    if taken:
        raise UserError(
            f"the table {table!r} has a column {taken[0]!r} of its own: it cannot hold the profile's value too"
        )
    rows = [frame.assign(profile=name, **_values(name, keys)) for name, frame in frames]
    whole = pd.concat(rows, ignore_index=True)
    first = ["profile", *keys]
    return whole[first + [column for column in whole.columns if column not in first]]


def _values(name: str, keys: Sequence[str]) -> dict:
    values = {key: getattr(profiles.load(name), key) for key in keys}
    return {key: str(value) if isinstance(value, list) else value for key, value in values.items()}


def save(profile: str, table: str) -> Path:
    """Write what collect returns below the profile's runs, and return the path."""
    path = paths.runs() / profile / "collected" / f"{table}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    collect(profile, table).to_csv(path, index=False, float_format="%.6g")
    return path
