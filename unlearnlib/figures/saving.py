"""Figures of a run, and what they were drawn from."""

import json
import pickle
from collections.abc import Callable, Sequence

from unlearnlib.core import definitions, paths
from unlearnlib.figures import looks


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
