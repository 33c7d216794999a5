"""Writing the tables and figures of a run, and what they depend on."""

import json
import os
import pickle
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from unlearnlib import definitions, paths
from unlearnlib.errors import UserError
from unlearnlib.figures import looks


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


def save_figure(name: str, profile: str, seeds: Sequence[int], draw: Callable, *data, **options):
    """Write the figure `draw(*data, **options)` as figures/<name>.png of this run, and return that very picture.

    What it was drawn from is kept beside it: when nothing but the drawing changes, the figure is drawn anew from that,
    and the notebook need not run again (see unlearnlib.engine.drawing).
    """
    from IPython.display import Image

    looks.style()
    folder = paths.run_folder(profile, seeds)
    path = looks.save(draw(*data, **options), folder / "figures", name)
    drawn = folder / "drawn"
    drawn.mkdir(parents=True, exist_ok=True)
    label = f"{draw.__module__}:{draw.__qualname__}"
    if label.startswith("unlearnlib.figures."):
        (drawn / f"{name}.pickle").write_bytes(pickle.dumps({"draw": label, "data": data, "options": options}))
        (drawn / f"{name}.json").write_text(json.dumps({"draw": label, "code": definitions.code(label)}))
    return Image(filename=path, format="png")


def provenance() -> dict[str, str]:
    """Return what a result depends on beside its code and profile: versions and hardware, as short strings."""
    packages = {name: version(name) for name in ("torch", "transformers", "datasets", "papermill", "snakemake")}
    return {"python": platform.python_version(), **packages, "processor": _processor(), "cores": str(os.cpu_count())}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()} ({platform.machine()})"
