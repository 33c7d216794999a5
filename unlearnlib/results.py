"""Writing the tables and figures of a run, and what they depend on."""

import json
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from unlearnlib import paths
from unlearnlib.errors import UserError


def save_table(table: pd.DataFrame, name: str, profile: str, seeds: Sequence[int]) -> Path:
    """Write `table` as results/<name>.csv of this run (six significant digits) and return the path."""
    folder = paths.run_folder(profile, seeds) / "results"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.csv"
    table.to_csv(path, index=False, float_format="%.6g")
    return path


def load_table(name: str, profile: str, seeds: Sequence[int]) -> pd.DataFrame:
    """Return results/<name>.csv of this run; UserError where the notebook that writes it has not been run."""
    path = paths.run_folder(profile, seeds) / "results" / f"{name}.csv"
    if not path.is_file():
        raise UserError(f"no table {name!r} of this run: run the notebook that writes {path.name} first")
    return pd.read_csv(path)


def save_figure(figure, name: str, profile: str, seeds: Sequence[int]):
    """Write `figure` as figures/<name>.png of this run and return it, for the notebook to show."""
    from unlearnlib import figures

    figures.save(figure, paths.run_folder(profile, seeds) / "figures", name)
    return figure


def provenance() -> dict[str, str]:
    """Return what a result depends on beside its profile: commit, versions and hardware, as short strings."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=paths.ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    packages = {name: version(name) for name in ("torch", "transformers", "datasets", "papermill", "snakemake")}
    return {
        "commit": commit or "unknown",
        "python": platform.python_version(),
        **packages,
        "machine": platform.machine(),
    }


def write_provenance(profile, seeds: Sequence[int]) -> Path:
    """Write provenance.json (with the whole profile) beside the results of this run and return the path."""
    from dataclasses import asdict

    folder = paths.run_folder(profile.name, seeds)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "provenance.json"
    path.write_text(json.dumps({**provenance(), "profile": asdict(profile), "seeds": list(seeds)}, indent=1) + "\n")
    return path
