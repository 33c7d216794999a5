"""Figures that set every method beside the retrained model: distances, attacks, distributions, replay."""

from collections.abc import Collection, Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.ticker import NullLocator

from unlearnlib.core.errors import UserError
from unlearnlib.figures.looks import DARK, DASHED, GREY, LOOKS, look
from unlearnlib.figures.parts import draw_points, in_order, line_handle, need_columns, new_figure, note
from unlearnlib.statistics.seeds import over_seeds

CEILING = "retrained again"


def by_method(
    table: pd.DataFrame,
    panels: Mapping[str, str],
    columns: int = 2,
    logarithmic: Collection[str] = (),
    ideal: Mapping[str, float] | None = None,
    ceiling: str = CEILING,
):
    """Return one panel per metric and one row per method: mean and interval over seeds, a faint dot for each seed.

    table: columns seed, method, metric, value; panels: title by metric; `logarithmic`: metrics on a log axis. The green
    line is the method `ceiling` (a second retrained model: as close as anything comes), or the value that `ideal` has
    for the metric, drawn dashed. UserError where a metric is missing.
    """
    need_columns(table, "seed", "method", "metric", "value")
    missing = [metric for metric in panels if metric not in set(table["metric"])]
    if missing:
        raise UserError(f"the table has no metric {missing[0]!r} to draw")
    names = [name for name in in_order(table["method"]) if name != ceiling]
    rows = -(-len(panels) // columns)
    figure, grid = new_figure(rows, columns, height=0.5 + rows * (1.0 + 0.27 * len(names)), sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (metric, title) in zip(grid.flat, panels.items(), strict=False):
        part = table[table["metric"] == metric]
        _draw_rows(axes, part, names, ceiling, metric in logarithmic)
        if ideal and metric in ideal:
            axes.axvline(ideal[metric], color=DARK, linestyle=DASHED, linewidth=1.1, zorder=1)
        if metric in logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(title, fontsize=9.5)
        axes.grid(False, axis="y")
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(names)), [look(name).label for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
    handles = []
    if ceiling in set(table["method"]):
        handles.append(line_handle(LOOKS["retrained"].color, f"ceiling: {ceiling}", 2))
    if ideal:
        handles.append(line_handle(DARK, "ideal", 1.1, DASHED))
    note(figure, table, handles)
    return figure


def _draw_rows(axes, part: pd.DataFrame, names: Sequence[str], ceiling: str, logarithm: bool) -> None:
    values = part.assign(value=np.log(part["value"]) if logarithm else part["value"])
    summary = over_seeds(values, by="method").set_index("method")[["mean", "low", "high"]]
    summary = np.exp(summary) if logarithm else summary
    if ceiling in summary.index:
        row = summary.loc[ceiling]
        axes.axvline(row["mean"], color=LOOKS["retrained"].color, linewidth=2, zorder=2)
        if np.isfinite(row["low"]):
            axes.axvspan(row["low"], row["high"], color=LOOKS["retrained"].color, alpha=0.12, linewidth=0, zorder=0)
    seeds = part.groupby(["method", "seed"])["value"].mean()
    for place, name in enumerate(names):
        if name in summary.index and np.isfinite(summary.loc[name, "mean"]):
            if len(seeds[name]) > 1:
                dots = {
                    "color": look(name).color,
                    "marker": "o",
                    "markersize": 2.6,
                    "markeredgewidth": 0,
                    "alpha": 0.45,
                }
                axes.plot(seeds[name], [place + 0.22] * len(seeds[name]), linestyle="none", zorder=3, **dots)
            draw_points(axes, [place], summary.loc[[name]], look(name))


def replay_savings(table: pd.DataFrame):
    """Return how much of the training a replay without one point saves: one panel per scenario, points sorted.

    table: columns seed, scenario, saved (share of the steps, 0 to 1). The dashed line is the mean.
    """
    need_columns(table, "seed", "scenario", "saved")
    names = in_order(table["scenario"])
    figure, panels = new_figure(1, len(names), height=3.4, sharey=True, squeeze=False)
    for axes, name in zip(panels[0], names, strict=True):
        part = table[table["scenario"] == name]
        for _, saved in part.groupby("seed")["saved"]:
            ordered = np.sort(100 * saved.to_numpy())
            x = (np.arange(len(ordered)) + 0.5) / len(ordered)
            axes.step(100 * x, ordered, where="mid", color=look("recorded").color, linewidth=1.4, alpha=0.7)
        mean = 100 * part["saved"].mean()
        axes.axhline(mean, color=DARK, linestyle=DASHED, linewidth=1.1)
        axes.annotate(f"mean {mean:.0f}%", (2, mean), (0, 4), textcoords="offset points", fontsize=9, color=DARK)
        count = part["seed"].nunique()
        axes.set_title(f"{name} ({'one seed' if count == 1 else f'{count} seeds'})", fontsize=9.5)
        axes.set_xlabel("points, sorted (%)")
        axes.set_ylim(0, 100)
    panels[0][0].set_ylabel("training steps that a replay saves (%)")
    retrained = line_handle(LOOKS["retrained"].color, "retraining saves nothing", 2)
    for axes in panels[0]:
        axes.axhline(0, color=LOOKS["retrained"].color, linewidth=3, clip_on=False)
    handles = [line_handle(look("recorded").color, "replay without one point, a line a seed", 1.4), retrained]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure


def confidence_distributions(table: pd.DataFrame, examples: Sequence[str], methods: Sequence[str], limit: float = 25.0):
    """Return the confidences of single examples over many models: one row per method, one column per example.

    table: columns method, example, model, value (log-odds of the right answer against the wrong ones; 0: even odds).
    The green histogram behind each is that of the retrained models: where unlearning ought to arrive. Values beyond
    `limit` are drawn at its edge.
    """
    need_columns(table, "method", "example", "model", "value")
    height = 1.0 + 0.8 * len(methods)
    figure, grid = new_figure(len(methods), len(examples), height, sharex="col", sharey=True, squeeze=False)
    for column, example in enumerate(examples):
        mine = table[table["example"] == example]
        values = mine["value"].clip(-limit, limit)
        edges = np.linspace(values.min() - 0.5, values.max() + 0.5, 41)
        truth = mine[mine["method"] == "retrained"]["value"].clip(-limit, limit)
        for row, method in enumerate(methods):
            axes, shown = grid[row][column], look(method)
            ours = mine[mine["method"] == method]["value"].clip(-limit, limit)
            for data, color, alpha in ((truth, LOOKS["retrained"].color, 0.35), (ours, shown.color, 0.75)):
                axes.hist(data, edges, weights=np.full(len(data), 1 / max(1, len(data))), color=color, alpha=alpha)
            axes.grid(False)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            if column == 0:
                axes.set_ylabel(shown.label.replace(" ", "\n", 1), rotation=0, ha="right", va="center", fontsize=9)
        grid[0][column].set_title(example, fontsize=9.5)
    figure.supxlabel("log-odds of the right answer against the five wrong ones", fontsize=10)
    handles = [matplotlib.patches.Patch(color=LOOKS["retrained"].color, alpha=0.35, label="retrained models")]
    figure.legend(handles=handles, loc="outside upper left")
    figure.text(0.995, 0.985, "share of the models", ha="right", va="top", fontsize=8.5, color=GREY)
    return figure
