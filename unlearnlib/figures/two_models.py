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
        for number, (model, shown) in enumerate(zip(models, MODELS, strict=False)):
            rows = table[(table["comparison"] == name) & (table["model"] == model)].set_index("measure")
            places = {one: at + (number - 0.5) * 2 * APART for at, one in enumerate(measures)}
            for measure, row in rows.iterrows():
                _mark(panel, places[measure], row["gain"], row["low"], row["high"], shown, (-LIMIT, LIMIT))
        panel.axvline(0, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
        panel.set_title(name.replace(" (", "\n(", 1), fontsize=8.5)
        panel.grid(axis="y", visible=False)
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
        for number, (model, shown) in enumerate(zip(models, MODELS, strict=False)):
            for _, row in here[here["model"] == model].iterrows():
                y = methods.index(row["method"]) + (number - 0.5) * 2 * APART
                _mark(panel, y, row["ratio"], row["low"], row["high"], shown, limits)
        panel.axvline(1, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
        panel.set_xscale("log")
        panel.set_xlim(*limits)
        panel.xaxis.set_major_formatter("{x:g}")
        panel.set_title(of, fontsize=8.5)
        panel.grid(axis="y", visible=False)
    names = [look(name).label if name in REFERENCES else name for name in methods]
    axes[0, 0].set(yticks=range(len(methods)), yticklabels=names, ylim=(len(methods) - 0.4, -0.6))
    figure.supxlabel("KL to the retrained model, as a multiple of that of doing nothing", fontsize=9)
    title = "geometric means and 95% intervals over seeds; to the left: nearer to the retrained model"
    _legend(figure, table, title, "doing nothing")
    return figure


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
