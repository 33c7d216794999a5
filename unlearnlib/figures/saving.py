"""Figures of a run, and what they were drawn from."""

import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

from unlearnlib.core import definitions, paths
from unlearnlib.figures import looks


def save_figure(name: str, profile: str, seeds: Sequence[int], draw: Callable, *data, **options):
    """Write the figure `draw(*data, **options)` as figures/<name>.png of this run, and return it as a picture for the
    notebook, of fewer dots.

    The picture, and what the figure was drawn from, are kept in the folder drawn: when nothing but the drawing changes,
    both are drawn anew from that, and the notebook need not run again (see unlearnlib.engine.drawing).
    """
    from IPython.display import Image

    looks.style()
    folder = paths.run_folder(profile, seeds)
    drawn = folder / "drawn"
    path = save_both(draw(*data, **options), folder, name)
    label = f"{draw.__module__}:{draw.__qualname__}"
    if label.startswith("unlearnlib.figures."):
        (drawn / f"{name}.pickle").write_bytes(pickle.dumps({"draw": label, "data": data, "options": options}))
        (drawn / f"{name}.json").write_text(json.dumps({"draw": label, "code": definitions.code(label)}))
    return Image(filename=path, format="png")


def save_both(figure, folder: Path, name: str) -> Path:
    """Write a figure of the run in `folder` to figures/, and to drawn/ as the notebook shows it; return the latter."""
    looks.save(figure, folder / "figures", name, looks.PUBLISHED)
    return looks.save(figure, folder / "drawn", name)
