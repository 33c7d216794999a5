"""Ways at little compute: how near each ends on what was to be forgotten and on what was to stay."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from unlearnlib.figures.looks import DASHED, GREY, LOOKS, Look
from unlearnlib.figures.parts import (
    handle,
    in_order,
    line_handle,
    marker_size,
    need_columns,
    new_figure,
    open_handle,
    plain_ticks,
    titled_legend,
)
from unlearnlib.statistics.seeds import geometric_over_seeds

FIRSTS = {
    "embedding, preconditioned": Look("embedding, preconditioned", "#E69F00", "^"),
    "whole model, preconditioned": Look("whole model, preconditioned", "#D6A9C7", "D"),
    "embedding, plain": Look("embedding, plain", "#882255", "P"),
    "taken back, embedding": Look("taken back, embedding", "#86BFF9", "v"),
    "taken back, whole model": Look("taken back, whole model", "#0072B2", "o"),
    "short task vector": Look("short task vector", "#D55E00", ">"),
}
MODELS = {
    "retrained again": Look("another retrained model", LOOKS["retrained"].color, "*"),
    "retraining, 1 epoch": Look("retraining, one epoch", "#44AA99", "X"),
    "base": LOOKS["base"],
}
SMALLEST, REPAIRED = 7, 2.5  # points: of a mark without repair, and how much larger it is with each pair of steps


def plane(ways: pd.DataFrame, models: pd.DataFrame, chosen: Sequence[str] = (), intervals: bool = False):
    """Return every way as a mark: its distance over that of doing nothing, on the texts to forget to the right and on
    those to keep upwards (geometric means; 1, dashed: doing nothing). The larger a mark, the more repair; open where
    the answers are still told in some run; ringed ones are `chosen`: the choice, with a heavy ring, and the nearest.
    With `intervals` a cross through each mark: the 95% interval over seeds, each way (which needs a column seed in both
    tables).

    ways: columns first, repair, method, forget, retain, forgotten (see unlearnlib.experiment.practical.scored, with
    first and repair joined); models: method, forget, retain.
    """
    need_columns(ways, "first", "repair", "method", "forget", "retain", "forgotten")
    need_columns(models, "method", "forget", "retain")
    figure, axes = new_figure(height=5.0)
    means = ways.groupby(["first", "method", "repair"], sort=False)[["forget", "retain"]].agg(_middle).reset_index()
    means = means.join(ways.groupby("method")["forgotten"].all(), on="method")
    for name, shown in FIRSTS.items():
        for one in means[means["first"] == name].itertuples():
            size = marker_size(shown, SMALLEST + REPAIRED * one.repair / 2)
            face, edge = (shown.color, "white") if one.forgotten else ("white", shown.color)
            axes.plot(one.forget, one.retain, linestyle="none", marker=shown.marker, markerfacecolor=face,
                      markeredgecolor=edge, markeredgewidth=0.7 if one.forgotten else 1.3, markersize=size,
                      color=shown.color, zorder=3)  # fmt: skip
            if intervals:
                _cross(axes, ways[ways["method"] == one.method], shown.color)
            if one.method in chosen:
                axes.plot(one.forget, one.retain, markersize=size + 8, **_ring(one.method == chosen[0]))
    for name, shown in MODELS.items():
        rows = models[models["method"] == name]
        if len(rows):
            if intervals:
                _cross(axes, rows, shown.color)
            axes.plot(
                _middle(rows["forget"]), _middle(rows["retain"]), linestyle="none", marker=shown.marker,
                color=shown.color, markersize=marker_size(shown, 10), markeredgecolor="white", zorder=5,
            )  # fmt: skip
    for line in (axes.axvline, axes.axhline):
        line(1, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
    axes.set(xscale="log", yscale="log", xlabel="distance on the texts to forget (1: nothing done)",
             ylabel="distance on the texts to keep (1: nothing done)")  # fmt: skip
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    handles = [handle(FIRSTS[name]) for name in FIRSTS if name in set(in_order(ways["first"]))]
    handles += [handle(MODELS[name]) for name in MODELS if name in set(models["method"])]
    runs = ways[[name for name in ("person", "seed") if name in ways]].drop_duplicates()
    what = "people and seeds" if "person" in runs else "seeds"
    spread = ", with 95% intervals" if intervals else ""
    title = f"geometric means over {len(runs)} {what}{spread}; large marks: repaired"
    handles += [line_handle(GREY, "nothing done", 1, DASHED), open_handle("a way that still tells in some run")]
    rings = zip(chosen, ("the choice", "the nearest, whatever it tells"), strict=False)
    handles += [Line2D([], [], markersize=9, label=words, **_ring(name == chosen[0])) for name, words in rings]
    titled_legend(figure, handles, title, columns=3)
    return figure


def _ring(heavy: bool) -> dict:
    width = 2.2 if heavy else 1.0
    return {"linestyle": "none", "marker": "o", "markerfacecolor": "none", "markeredgecolor": "black",
            "markeredgewidth": width, "zorder": 4}  # fmt: skip


def _cross(axes, rows: pd.DataFrame, color: str) -> None:
    """Draw the interval over the seeds of one method, on both axes; nothing where there is a single seed."""
    long = rows.melt(["method", "seed"], ["forget", "retain"], "set")
    of = geometric_over_seeds(long, by="set").set_index("set")
    across, up = of.loc["forget"], of.loc["retain"]
    if np.isfinite(across["low"]):
        axes.plot([across["low"], across["high"]], [up["mean"]] * 2, color=color, linewidth=1.4, alpha=0.8, zorder=2)
        axes.plot([across["mean"]] * 2, [up["low"], up["high"]], color=color, linewidth=1.4, alpha=0.8, zorder=2)


def _middle(values: pd.Series) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.log(values).mean()))
