"""Figures of influence scores and the ground truth that they are checked against."""

import numpy as np
import pandas as pd

from unlearnlib.figures.looks import DARK, DASHED, GREY, look
from unlearnlib.figures.parts import draw_points, handle, in_order, need_columns, new_figure


def agreement(table: pd.DataFrame, baseline: str = "same point"):
    """Return how well each score agrees with retraining: one panel per kind of ground truth, one row per score.

    `table` has the columns score, truth, estimate, low, high (a rank correlation and its interval; 1 is perfect, 0 is
    chance). The dashed line is the baseline, which knows nothing of the model.
    """
    need_columns(table, "score", "truth", "estimate", "low", "high")
    names, truths = in_order(table["score"]), in_order(table["truth"])
    figure, panels = new_figure(1, len(truths), height=max(3.4, 1.3 + 0.34 * len(names)), sharey=True)
    panels = np.atleast_1d(panels)
    for axes, truth in zip(panels, truths, strict=True):
        part = table[table["truth"] == truth].set_index("score")
        axes.axvline(0, color=DARK, linewidth=0.8, zorder=1)
        if baseline in part.index:
            axes.axvline(part.loc[baseline, "estimate"], color=GREY, linestyle=DASHED, linewidth=1.2, zorder=1)
        for place, name in enumerate(names):
            if name in part.index:
                row = part.loc[[name]].rename(columns={"estimate": "mean"})
                draw_points(axes, [place], row, look(name))
        axes.set_title(truth)
        axes.grid(False, axis="y")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    figure.supxlabel("rank correlation with retraining (95% bootstrap interval; dashed: the baseline)", fontsize=10)
    return figure


def agreement_cost(table: pd.DataFrame):
    """Return the rank correlation of each score with retraining against what the score costs.

    `table` as in agreement, of one kind of ground truth, with the column seconds (process CPU time, log axis). The
    legend has the best score on top. Where one would want to be is at the upper left.
    """
    need_columns(table, "score", "estimate", "low", "high", "seconds")
    figure, axes = new_figure()
    axes.axhline(0, color=DARK, linewidth=0.8, zorder=1)
    place = table["seconds"].clip(lower=0.01)
    for at, (_, row) in zip(place, table.iterrows(), strict=True):
        point = pd.DataFrame({"mean": [row["estimate"]], "low": [row["low"]], "high": [row["high"]]})
        draw_points(axes, [at], point, look(row["score"]), vertical=True)
    axes.set_xscale("log")
    best_first = table.sort_values("estimate", ascending=False)["score"]
    figure.legend(handles=[handle(look(name)) for name in best_first], loc="outside right center")
    axes.set_xlabel("process CPU time of the score (seconds, log axis from 0.01; one thread)")
    axes.set_ylabel("LDS: rank correlation with retraining on random halves")
    return figure
