"""Two models side by side: by how much one way is better than another in each."""

import pandas as pd

from unlearnlib.figures.looks import DASHED, GREY, Look
from unlearnlib.figures.parts import handle, in_order, line_handle, marker_size, need_columns, new_figure, titled_legend

MODELS = (Look("first", "#0072B2", "o"), Look("second", "#D55E00", "D"))  # in the order of the table
APART = 0.22  # between two models of one measure, as a part of a row
LIMIT = 6.0  # further out an interval of a few seeds only says that it is wide


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
                _mark(panel, places[measure], row, shown)
        panel.axvline(0, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
        panel.set_title(name.replace(" (", "\n(", 1), fontsize=8.5)
        panel.grid(axis="y", visible=False)
    for panel in axes.flat[len(comparisons) :]:
        panel.set_axis_off()
    reach = min(LIMIT, float(table[["low", "high", "gain"]].abs().max(axis=None)) * 1.05)
    axes[0, 0].set(yticks=range(len(measures)), yticklabels=measures, ylim=(len(measures) - 0.4, -0.6))
    axes[0, 0].set_xlim(-reach, reach)
    figure.supxlabel("how much better (probabilities, and natural logarithms of perplexity and KL)", fontsize=9)
    seeds = table.groupby("model", sort=False)["n"].max()
    handles = [
        handle(Look(f"{model}, {seeds[model]:.0f} seeds", shown.color, shown.marker))
        for model, shown in zip(models, MODELS, strict=False)
    ]
    title = "means and 95% intervals over seeds; to the right: the first named way is better"
    titled_legend(figure, [*handles, line_handle(GREY, "no difference", 1, DASHED)], title, columns=3)
    return figure


def _mark(axes, y: float, row: pd.Series, shown: Look) -> None:
    low, high = max(row["low"], -LIMIT), min(row["high"], LIMIT)
    axes.plot([low, high], [y, y], color=shown.color, linewidth=1.6, zorder=2)
    for end, beyond, arrow in ((low, row["low"] < -LIMIT, "<"), (high, row["high"] > LIMIT, ">")):
        if beyond:
            axes.plot(end, y, marker=arrow, color=shown.color, markersize=5, zorder=2, clip_on=False)
    at = min(max(row["gain"], -LIMIT), LIMIT)
    axes.plot(at, y, marker=shown.marker, color=shown.color, markersize=marker_size(shown, 6), markeredgecolor="white",
              markeredgewidth=0.6, zorder=3)  # fmt: skip
