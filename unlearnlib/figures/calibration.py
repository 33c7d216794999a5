"""Figures of how far to go: what a stop on the way leaves behind, and how near the calibrated stop comes."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.patches import Patch

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.figures.looks import DARK, GREY, REFERENCES, look
from unlearnlib.figures.parts import (
    draw_band,
    draw_points,
    handle,
    in_order,
    line_handle,
    marker_size,
    need_columns,
    new_figure,
    seeds_text,
)
from unlearnlib.measures.regimes import REGIMES
from unlearnlib.statistics.seeds import over_seeds

# Colours of the regimes, apart for colour-blind readers too, and of the numbers written on them.
COLORS = dict(
    zip(
        REGIMES,
        (("#56B4E9", DARK), ("#D55E00", "white"), ("#DDDDDD", DARK), ("#117733", "white"), (DARK, "white")),
        strict=True,
    )
)
DASHES = (0, (5, 2))


def stops(table: pd.DataFrame, panels: Mapping[str, str], columns: int = 3, logarithmic: Sequence[str] = ()):
    """Return one panel per measure: its value at each stop, one line per method, with bands over seeds.

    `table` has the columns seed, method, step, metric, value; `step` is a stop as a share of the calibrated step, and
    missing for the models base, finetuned and retrained (lines; the fine-tuned one is stop 0 of every method). `panels`
    gives the measures and their titles; those in `logarithmic` are averaged as logarithms. The stops stand at equal
    distances. UserError for a measure that the table lacks.
    """
    need_columns(table, "seed", "method", "step", "metric", "value")
    for metric in panels:
        if metric not in set(table["metric"]):
            raise UserError(f"the table has no metric {metric!r}: {nearest(metric, table['metric'].unique())}")
    names = [name for name in in_order(table["method"]) if name not in REFERENCES]
    steps = [0.0, *sorted(set(table["step"].dropna()) - {0.0})]
    rows = -(-len(panels) // columns)
    figure, axes_grid = new_figure(rows, columns, height=1.0 + 2.35 * rows, squeeze=False)
    for axes, (metric, title) in zip(axes_grid.flat, panels.items(), strict=False):
        part = table[table["metric"] == metric]
        scaled = metric in logarithmic
        if scaled:
            part = part.assign(value=np.log(part["value"]))
        start, levels = part[part["method"] == "finetuned"], []
        for name in names:
            mine = part[part["method"] == name]
            at = pd.concat([start[start["seed"].isin(mine["seed"])].assign(step=0.0), mine])
            summary = over_seeds(at, by="step").sort_values("step")
            summary = _back(summary, scaled, share=not scaled)
            places, shown = [steps.index(step) for step in summary["step"]], look(name)
            levels += list(summary["mean"])
            draw_band(axes, places, summary, shown.color)
            axes.plot(
                places, summary["mean"], color=shown.color, marker=shown.marker, markersize=marker_size(shown, 5),
                markeredgecolor="white", markeredgewidth=0.5, zorder=3,
            )  # fmt: skip
        for name in ("base", "retrained"):
            mine = part[part["method"] == name]
            if len(mine):
                level = _back(over_seeds(mine), scaled)["mean"].iloc[0]
                axes.axhline(level, color=look(name).color, linewidth=1.4, linestyle=DASHES, zorder=2)
        axes.set_title(title, fontsize=9.5)
        axes.set_xticks(range(len(steps)), [str(Fraction(step).limit_denominator(64)) for step in steps])
        if 1.0 in steps:
            axes.axvline(steps.index(1.0), color="#BBBBBB", linewidth=0.8, zorder=0)
        if scaled:
            axes.set_yscale("log")
            axes.yaxis.set_minor_formatter(ticker.NullFormatter())
            # The band of few seeds may span many orders of magnitude more than what was measured.
            axes.set_ylim(min(levels) / 2, max(levels) * 10)
    for axes in axes_grid.flat[len(panels) :]:
        axes.set_visible(False)
    figure.supxlabel(f"stop, as a share of the calibrated step ({seeds_text(table)})", fontsize=9, color=GREY)
    handles = [handle(look(name), line=True) for name in names]
    handles += [
        line_handle(look(name).color, look(name).label, 1.4, DASHES)
        for name in ("base", "retrained")
        if name in set(table["method"])
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), columnspacing=1.2, handletextpad=0.4)
    return figure


def regime_map(table: pd.DataFrame):
    """Return which regime each stop of each method is in: one bar per stop, split by the seeds that are in it.

    `table` has the columns seed, method, step, regime (one of unlearnlib.measures.regimes.REGIMES): one row per seed
    and stop. The numbers count seeds. UserError for an unknown regime and for two rows of one seed and stop.
    """
    need_columns(table, "seed", "method", "step", "regime")
    for name in table["regime"].unique():
        if name not in REGIMES:
            raise UserError(f"unknown regime {name!r}: {nearest(name, REGIMES)}")
    if table.duplicated(["seed", "method", "step"]).any():
        raise UserError("a seed has two rows for one stop: give one regime each")
    names, steps = in_order(table["method"]), sorted(set(table["step"]))
    figure, axes = new_figure(height=1.3 + 0.42 * len(names))
    for (method, step), part in table.groupby(["method", "step"], sort=False):
        left, whole = float(steps.index(step)), part["seed"].nunique()
        for name in REGIMES:
            count = int((part["regime"] == name).sum())
            width = 0.94 * count / whole
            if count:
                color, ink = COLORS[name]
                axes.barh(names.index(method), width, left=left, color=color, height=0.78, linewidth=0)
                axes.text(
                    left + width / 2, names.index(method), str(count), color=ink, ha="center", va="center", fontsize=8.5
                )
            left += width
    axes.grid(False)
    axes.set_xticks([place + 0.47 for place in range(len(steps))])
    axes.set_xticklabels([str(Fraction(step).limit_denominator(64)) for step in steps])
    axes.set_yticks(range(len(names)), [look(name).label for name in names])
    axes.set(ylim=(len(names) - 0.5, -0.5), xlim=(-0.03, len(steps)))
    axes.set_xlabel("stop, as a share of the calibrated step; the numbers count seeds")
    axes.tick_params(length=0)
    handles = [Patch(color=COLORS[name][0], label=name) for name in REGIMES if name in set(table["regime"])]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure


def distance_by_size(table: pd.DataFrame, sets: Sequence[str], rows: Mapping[str, str]):
    """Return the distance to the retrained model by the number of points forgotten: panels by measure and set.

    `table` has the columns seed, points, method, set and one column per measure in `rows`, which names and labels them;
    a set without rows at some size (nothing remains where everything is forgotten) has no point there. The method
    `finetuned` is the model to which nothing was done. UserError for a set that the table lacks.
    """
    need_columns(table, "seed", "points", "method", "set", *rows)
    for name in sets:
        if name not in set(table["set"]):
            raise UserError(f"the table has no set {name!r}: {nearest(name, table['set'].unique())}")
    names, sizes = in_order(table["method"]), sorted(set(table["points"]))
    figure, axes_grid = new_figure(
        len(rows), len(sets), height=1.0 + 2.2 * len(rows), squeeze=False, sharex=True, sharey="row"
    )
    for axes, chosen in zip(axes_grid[0], sets, strict=True):
        axes.set_title(_set_label(chosen), fontsize=9.5)
    for axes_row, (measure, label) in zip(axes_grid, rows.items(), strict=True):
        for axes, chosen in zip(axes_row, sets, strict=True):
            part = table[table["set"] == chosen]
            for name in names:
                shown, mine = look(name), part[part["method"] == name]
                summary = over_seeds(mine, value=measure, by="points").sort_values("points")
                places = [sizes.index(size) for size in summary["points"]]
                # A t-interval may leave the range that a difference of probabilities can have.
                least = 0 if (part[measure] >= 0).all() else -1
                summary = summary.assign(low=summary["low"].clip(lower=least), high=summary["high"].clip(upper=1))
                draw_band(axes, places, summary, shown.color)
                if len(places) == 1:  # a band has no width there
                    draw_points(axes, places, summary, shown, vertical=True)
                axes.plot(
                    places, summary["mean"], color=shown.color, marker=shown.marker, markersize=marker_size(shown, 5),
                    markeredgecolor="white", markeredgewidth=0.5, zorder=3,
                    linestyle=DASHES if name == "finetuned" else "-",
                )  # fmt: skip
            axes.axhline(0, color=look("retrained").color, linewidth=1.6, zorder=2)
            axes.set_xticks(range(len(sizes)), [f"{size:g}" for size in sizes])
        axes_row[0].set_ylabel(label)
    figure.supxlabel(f"points forgotten ({seeds_text(table)})", fontsize=9, color=GREY)
    handles = [handle(look(name), line=True) for name in names]
    handles.append(line_handle(look("retrained").color, "retrained", 1.6))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), columnspacing=1.2, handletextpad=0.4)
    return figure


def _set_label(name: str) -> str:
    return "points that stay" if name == "remaining" else look(name).label


def _back(summary: pd.DataFrame, logarithmic: bool, share: bool = False) -> pd.DataFrame:
    """The summary in the measure's own units; the band of a share ends at 0 and 1."""
    numbers = summary[["mean", "low", "high"]]
    numbers = np.exp(numbers) if logarithmic else numbers
    if share:
        numbers = numbers.assign(low=numbers["low"].clip(0, 1), high=numbers["high"].clip(0, 1))
    return summary.assign(**{name: numbers[name] for name in numbers})
