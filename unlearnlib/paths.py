"""Where things lie: the repository, its data, and the git-ignored runs."""

import os
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
PROFILES = ROOT / "profiles"
NOTEBOOKS = ROOT / "notebooks"


def runs() -> Path:
    """Return the folder of all run outputs: `runs/` in the repository, or what UNLEARNLIB_RUNS names."""
    return Path(os.environ.get("UNLEARNLIB_RUNS", ROOT / "runs"))


def run_folder(profile: str, seeds: Sequence[int]) -> Path:
    """Return the folder that a run of one profile over these seeds writes to (notebooks/, results/, figures/).

    A run over one seed and a run over all seeds never overwrite each other.
    """
    return runs() / profile / ("seeds-" + "-".join(str(seed) for seed in seeds))
