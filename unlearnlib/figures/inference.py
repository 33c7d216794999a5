"""Figures of statistical tests."""

import numpy as np
import pandas as pd

from unlearnlib.core.errors import UserError
from unlearnlib.figures.looks import DARK, look
from unlearnlib.figures.parts import draw_points, effect_text, in_order, metric_label, need_columns, new_figure


def forest(comparisons: pd.DataFrame, by: str = "method"):
    """Return the mean differences with their intervals: over points and over seeds side by side, effect sizes printed.

    `comparisons` is a table of `unlearnlib.statistics.paired.compare_methods` of one metric and set. The grey zone is
    the margin of "no impact" where one was given; p is Holm-adjusted.
    """
    need_columns(comparisons, by, "metric", "set", "baseline", "unit", "difference", "low", "high", "d", "p_holm", "n")
    if comparisons.duplicated([by, "unit"]).any():
        raise UserError(f"the comparisons hold several rows for one {by} and unit: choose one metric and set")
    names = in_order(comparisons[by])
    figure, (left, right) = new_figure(1, 2, sharey=True, sharex=True, height=max(3.4, 1.5 + 0.36 * len(names)))
    for axes, unit in ((left, "points"), (right, "seeds")):
        part = comparisons[comparisons["unit"] == unit].set_index(by)
        axes.axvline(0, color=DARK, linewidth=0.8, zorder=1)
        margin = part["margin"].max() if "margin" in part.columns else np.nan
        if np.isfinite(margin):
            axes.axvspan(-margin, margin, color="#EDEDED", zorder=0)
        for place, name in enumerate(names):
            if name not in part.index:
                continue
            row = part.loc[name]
            point = pd.DataFrame({"mean": [row["difference"]], "low": [row["low"]], "high": [row["high"]]})
            draw_points(axes, [place], point, look(name))
            axes.annotate(
                effect_text(row), (1, place), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                va="center", fontsize=8, color=DARK, annotation_clip=False,
            )  # fmt: skip
        size = part["n"].max()
        of = "points pooled, as in the paper" if unit == "points" else "seed means: the inference"
        axes.set_title(f"{of}\n(n = {size:.0f})" if len(part) else of)
        axes.grid(False, axis="y")
        axes.margins(x=0.1)
    left.set_yticks(range(len(names)), [look(name).label for name in names])
    left.set_ylim(len(names) - 0.4, -0.6)
    first = comparisons.iloc[0]
    shown = f"{look(first['set']).label}: {metric_label(first['metric'])}, method minus {look(first['baseline']).label}"
    figure.supxlabel(f"{shown} (mean and 95% interval; p by Holm)", fontsize=10)
    return figure
