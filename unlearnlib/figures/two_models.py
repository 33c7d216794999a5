"""Two models side by side: by how much one way is better than another in each, and how near each way ends."""

import pandas as pd

from unlearnlib.figures.looks import DASHED, GREY, REFERENCES, Look, look
from unlearnlib.figures.parts import handle, in_order, line_handle, marker_size, need_columns, new_figure, titled_legend

MODELS = (Look("first", "#0072B2", "o"), Look("second", "#D55E00", "D"))  # in the order of the table
APART = 0.22  # between two models of one measure, as a part of a row
LIMIT = 6.0  # further out an interval of a few seeds only says that it is wide
ROOM = 4.0  # times that an axis of ratios goes beyond its outermost mark: the same of ratios


def gains(table: pd.DataFrame):
    """Return the figure of `unlearnlib.statistics.between.gains` for several comparisons: a panel for each, a row for
    each measure, a mark with its 95% interval for each of two models; right of the line speaks for the way that is
    named first. An arrow: the interval goes on beyond the axis.

    table: columns comparison, model, measure, gain, low, high, n.
    """
    need_columns(table, "comparison", "model", "measure", "gain", "low", "high", "n")
    comparisons, measures, models = (in_order(table[name]) for name in ("comparison", "measure", "model"))
    wide = 2 if len(comparisons) > 1 else 1
    tall = -(-len(comparisons) // wide)
    figure, axes = new_figure(tall, wide, height=1.1 + tall * (0.65 + 0.24 * len(measures)), sharex=True, sharey=True,
                              squeeze=False)  # fmt: skip
    for panel, name in zip(axes.flat, comparisons, strict=False):
        rows = table[table["comparison"] == name].rename(columns={"gain": "value", "measure": "row"})
        _panel(panel, rows, measures, models, (-LIMIT, LIMIT), 0, name.replace(" (", "\n(", 1))
    for panel in axes.flat[len(comparisons) :]:
        panel.set_axis_off()
    reach = min(LIMIT, float(table[["low", "high", "gain"]].abs().max(axis=None)) * 1.05)
    axes[0, 0].set(yticks=range(len(measures)), yticklabels=measures, ylim=(len(measures) - 0.4, -0.6))
    axes[0, 0].set_xlim(-reach, reach)
    figure.supxlabel("how much better (probabilities, and natural logarithms of perplexity and KL)", fontsize=9)
    title = "means and 95% intervals over seeds; to the right: the first named way is better"
    _legend(figure, table, title, "no difference")
    return figure


def nearer(table: pd.DataFrame):
    """Return the figure of where ways end in two models: a panel for each set of texts, a row for each way, a mark with
    its 95% interval for each model; left of the line is nearer to the retrained model than doing nothing. An arrow: the
    interval goes on beyond the axis.

    table: columns of, method, model, ratio (distance over that of doing nothing, above 0), low, high (NaN: no
    interval), n (seeds).
    """
    need_columns(table, "of", "method", "model", "ratio", "low", "high", "n")
    sets, methods, models = (in_order(table[name]) for name in ("of", "method", "model"))
    figure, axes = new_figure(1, len(sets), height=1.4 + 0.3 * len(methods), sharey=True, squeeze=False)
    for panel, of in zip(axes.flat, sets, strict=True):
        here = table[table["of"] == of]
        limits = (min(1, here["ratio"].min()) / ROOM, max(1, here["ratio"].max()) * ROOM)
        _panel(panel, here.rename(columns={"ratio": "value", "method": "row"}), methods, models, limits, 1, of)
        panel.set_xscale("log")
        panel.set_xlim(*limits)
        panel.xaxis.set_major_formatter("{x:g}")
    names = [look(name).label if name in REFERENCES else name for name in methods]
    axes[0, 0].set(yticks=range(len(methods)), yticklabels=names, ylim=(len(methods) - 0.4, -0.6))
    figure.supxlabel("KL to the retrained model, as a multiple of that of doing nothing", fontsize=9)
    title = "geometric means and 95% intervals over seeds; to the left: nearer to the retrained model"
    _legend(figure, table, title, "doing nothing")
    return figure


def _panel(axes, table: pd.DataFrame, rows: list, models: list, limits: tuple[float, float], line: float, title: str):
    """Draw a mark with its interval for each model (columns row, model, value, low, high) and the line of no effect."""
    for number, (model, shown) in enumerate(zip(models, MODELS, strict=False)):
        for _, one in table[table["model"] == model].iterrows():
            y = rows.index(one["row"]) + (number - 0.5) * 2 * APART
            _mark(axes, y, one["value"], one["low"], one["high"], shown, limits)
    axes.axvline(line, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
    axes.set_title(title, fontsize=8.5)
    axes.grid(axis="y", visible=False)


def _legend(figure, table: pd.DataFrame, title: str, line: str) -> None:
    seeds = table.groupby("model", sort=False)["n"].max()
    handles = [
        handle(Look(f"{model}, {seeds[model]:.0f} seeds", shown.color, shown.marker))
        for model, shown in zip(seeds.index, MODELS, strict=False)
    ]
    titled_legend(figure, [*handles, line_handle(GREY, line, 1, DASHED)], title, columns=3)


def _mark(axes, y: float, value: float, low: float, high: float, shown: Look, limits: tuple[float, float]) -> None:
    least, most = limits
    ends = (max(low, least), min(high, most))
    axes.plot(ends, [y, y], color=shown.color, linewidth=1.6, zorder=2)
    for end, beyond, arrow in zip(ends, (low < least, high > most), "<>", strict=True):
        if beyond:
            axes.plot(end, y, marker=arrow, color=shown.color, markersize=5, zorder=2, clip_on=False)
    axes.plot(min(max(value, least), most), y, marker=shown.marker, color=shown.color,
              markersize=marker_size(shown, 6), markeredgecolor="white", markeredgewidth=0.6, zorder=3)  # fmt: skip
