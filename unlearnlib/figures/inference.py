"""Figures of statistical tests."""

import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from unlearnlib.core.errors import UserError
from unlearnlib.figures.looks import DARK, LOOKS, look
from unlearnlib.figures.parts import (
    draw_points,
    effect_text,
    handle,
    in_order,
    line_handle,
    metric_label,
    need_columns,
    new_figure,
    plain_ticks,
    wrapped,
)


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


def by_effort(comparisons: pd.DataFrame, band: tuple[float, float]):
    """Return Cohen's d of the change since the fine-tuned model (below zero: a fall) against the effort, a panel for
    each metric, a curve for each method, and the retrained model as a line.

    comparisons: tables of `unlearnlib.statistics.paired.compare_methods` over one unit, with the column step (parts of
    the step to equal forgetting; NaN for the retrained model). The grey zone is the `band` of a paper's d, as a fall.
    """
    need_columns(comparisons, "metric", "method", "step", "d")
    metrics, curves = in_order(comparisons["metric"]), comparisons.dropna(subset=["step"])
    methods = in_order(curves["method"])
    figure, axes = new_figure(1, len(metrics), height=3.4, sharex=True, squeeze=False)
    for panel, metric in zip(axes[0], metrics, strict=True):
        panel.axhspan(-band[1], -band[0], color="#E6E6E6", zorder=0)
        panel.axhline(0, color=DARK, linewidth=0.8, zorder=1)
        reference = comparisons[(comparisons["metric"] == metric) & (comparisons["method"] == "retrained")]
        for value in reference["d"]:
            panel.axhline(value, color=LOOKS["retrained"].color, linewidth=2, zorder=2)
        for method in methods:
            shown = look(method)
            part = curves[(curves["metric"] == metric) & (curves["method"] == method)].sort_values("step")
            panel.plot(part["step"], part["d"], color=shown.color, marker=shown.marker, markersize=5, zorder=3,
                       markeredgecolor="white", markeredgewidth=0.5, linewidth=1.6)  # fmt: skip
        panel.set(title=wrapped(metric_label(metric), 20), xscale="log")
        plain_ticks(panel.xaxis)
        panel.set_xticks([0.1, 0.3, 1])
        panel.minorticks_off()
    axes[0][0].set_ylabel("Cohen's d of the change")
    figure.supxlabel("part of the step to equal forgetting", fontsize=10)
    handles = [handle(look(name), line=True) for name in methods]
    handles.append(line_handle(LOOKS["retrained"].color, "retrained", 2))
    handles.append(Patch(color="#E6E6E6", label=f"the paper's d, {band[0]} to {band[1]}"))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure
