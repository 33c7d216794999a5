"""Where things lie: the repository, its data, and the git-ignored runs."""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from unlearnlib.core.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
PROFILES = ROOT / "profiles"
NOTEBOOKS = ROOT / "notebooks"


def runs() -> Path:
    """Return the folder of all run outputs: `runs/` in the repository, or what UNLEARNLIB_RUNS names.

    The variable counts as not set where it is empty; `~` is the home folder, and a relative folder is one of the
    repository, wherever the notebook or the command that asks has been started. UserError for the `~` of nobody.
    """
    named = os.environ.get("UNLEARNLIB_RUNS", "").strip() or "runs"
    try:
        return ROOT / Path(named).expanduser()
    except RuntimeError:
        raise UserError(
            f"UNLEARNLIB_RUNS is {named!r}, but that home folder is not there: write the whole path"
        ) from None


def run_folder(profile: str, seeds: Sequence[int]) -> Path:
    """Return the folder that a run of one profile over these seeds writes to (notebooks/, results/, figures/).

    A run over one seed and a run over all seeds never overwrite each other.
    """
    check_repository()
    return runs() / profile / ("seeds-" + "-".join(str(seed) for seed in seeds))


def cache_folder(profile: str) -> Path:
    """Return where what a profile's runs compute is kept; a profile with changed values shares that of its own one."""
    return runs() / profile.partition("@")[0] / "cache"


def data_folder(name: str) -> Path:
    """Return the folder of data that a profile names: a relative one is looked up in the repository first. UserError
    where there is none."""
    for folder in (ROOT / name if name != "data" else DATA, Path(name).expanduser()):
        if folder.is_dir():
            return folder
    raise UserError(f"no folder of data {name!r}: give one with the files that data/ has, such as dave.jsonl")


def check_repository() -> None:
    """Raise UserError where this package is not that of the repository in which the present folder lies.

    An environment in which one clone is installed imports that clone's package in the notebooks of every other.
    """
    _check_repository(Path.cwd(), Path(__file__).resolve().parents[2])


@cache
def _check_repository(here: Path, root: Path) -> None:
    here = here.resolve()
    for folder in (here, *here.parents):
        if (folder / "unlearnlib" / "__init__.py").is_file() and (folder / "notebooks").is_dir():
            if folder != root:
                raise UserError(
                    f"this is the repository {folder}, but the package unlearnlib comes from {root}: run "
                    f"`pip install -e {folder}` in this environment, or set PYTHONPATH={folder}, and start again"
                )
            return
