"""The figures of scaling: what costs grow with, where ways cross over, and how much of the machine is used."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from unlearnlib.core.errors import UserError
from unlearnlib.figures.looks import DARK, DASHED, DOTTED, GREY, look
from unlearnlib.figures.parts import handle, in_order, marker_size, need_columns, new_figure
from unlearnlib.statistics.laws import power_law

BYTES = {1e12: "TB", 1e9: "GB", 1e6: "MB", 1e3: "kB", 1: "B"}
COUNTS = {1e9: "B", 1e6: "M", 1e3: "k", 1: ""}
UNITS = {"bytes": BYTES, "parameters": COUNTS}


def short(number: float, units: Mapping[float, str]) -> str:
    """Return a number as it is read aloud, such as 30M parameters or 2 GB."""
    scale = next((scale for scale in units if abs(number) >= scale), min(units))
    gap = " " if units is BYTES else ""
    return f"{number / scale:g}{gap}{units[scale]}"


def _logarithmic(panel, x: str, y: str) -> None:
    """Make both axes logarithmic and label them in the unit that the axis' name ends in: names are such as "model size
    (parameters)", "peak memory (bytes)", "CPU time (seconds)". What spans little gets labels at 1, 2 and 5 too."""
    panel.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    for axis, name, (low, high) in ((panel.xaxis, x, panel.get_xlim()), (panel.yaxis, y, panel.get_ylim())):
        units = next((units for unit, units in UNITS.items() if f"({unit}" in name), None)
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 60 * low else (1,), numticks=7))
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(FuncFormatter(partial(_written, units=units)))


def _written(number: float, _place=None, units: Mapping[float, str] | None = None) -> str:
    return short(number, units) if units else f"{number:g}"


def growth(rows: pd.DataFrame, x: str, marks: Mapping[str, float] | None = None):
    """Return costs along one axis, a panel for each kind of cost, both axes logarithmic.

    rows: columns panel (the name of the vertical axis, with its unit in brackets), name (what is drawn, see
    unlearnlib.figures.looks), x and value, and `line` where a name has several lines (models; the first is drawn with
    open marks). x: the name of the horizontal axis. A mark is measured, the line is the fitted power law. marks: places
    beyond what was measured, by their name, up to which the law goes on dashed, an extrapolation, with the 95%
    prediction interval of each law as a bar there, beside one another. UserError where there is nothing to draw.
    """
    need_columns(rows, "panel", "name", "x", "value")
    rows = rows[rows["value"] > 0]
    if rows.empty:
        raise UserError("there is no measured cost above zero to draw")
    titles, marks = in_order(rows["panel"]), dict(marks or {})
    figure, axes = new_figure(columns=len(titles), height=4.9, squeeze=False)
    kinds = in_order(rows["line"]) if "line" in rows.columns else []
    note = f"open marks: {kinds[0]}, full: {', '.join(kinds[1:])}" if len(kinds) > 1 else None
    written: list[str] = []
    for panel, title in zip(axes[0], titles, strict=True):
        part, bars = rows[rows["panel"] == title], []
        for name in in_order(part["name"]):
            own = part[part["name"] == name].assign(line=lambda one: one.get("line", ""))
            for number, line in enumerate(lines := in_order(own["line"])):
                open_ = number == 0 and len(lines) > 1
                beyond = _law(panel, own[own["line"] == line], name, open_, list(marks.values()))
                bars.append((look(name).color, beyond))
        _logarithmic(panel, x, title)
        if marks:
            panel.set_xlim(right=2 * max(marks.values()))
        panel.autoscale(False)  # no room is made for all of a bar: of few points it spans many powers of ten
        for number, (color, said) in enumerate(bars):
            beside = 1.15 ** (number - (len(bars) - 1) / 2)
            panel.vlines(said["x"] * beside, said["least"], said["most"], color=color, linewidth=1.7, zorder=2)
        places = sorted(rows["x"].unique())
        if not marks and len(places) < 6 and places[-1] < 30 * places[0]:
            panel.set(xticks=places, xticklabels=[f"{place:g}" for place in places])
            panel.minorticks_off()
        for label, place in marks.items():
            panel.axvline(place, color=GREY, linewidth=0.8, linestyle=DOTTED, zorder=1)
            panel.text(place, 1.01, label, transform=panel.get_xaxis_transform(), ha="center", fontsize=7.5, color=GREY)
        if (names := in_order(part["name"])) != written:
            legend = panel.legend(
                handles=[handle(look(name), line=True) for name in names], loc="upper left",
                bbox_to_anchor=(-0.15, -0.17), fontsize=8, title=note, title_fontsize=8,
            )  # fmt: skip
            legend.set_alignment("left")
            written = names
    return figure


def _law(panel, rows: pd.DataFrame, name: str, open_: bool, marks: list[float]) -> pd.DataFrame:
    """Draw the points and the law of one name, and return the law at those marks that lie beyond the points."""
    shown = look(name)
    panel.plot(
        rows["x"], rows["value"], linestyle="none", marker=shown.marker, markersize=marker_size(shown, 5.5), zorder=4,
        color=shown.color, markerfacecolor="white" if open_ else shown.color,
        markeredgecolor=shown.color if open_ else "white", markeredgewidth=1.2 if open_ else 0.6,
    )  # fmt: skip
    if rows["x"].nunique() < 2:
        return pd.DataFrame(columns=["x", "least", "most"])
    law = power_law(rows["x"], rows["value"])
    inside = law.at([law.first, law.last])
    panel.plot(inside["x"], inside["value"], color=shown.color, linewidth=1.5, zorder=3)
    outside = law.at([law.last, *(mark for mark in marks if mark > law.last)])
    panel.plot(outside["x"], outside["value"], color=shown.color, linewidth=1.2, linestyle=DASHED, zorder=3)
    return outside.iloc[1:].dropna()


def room(measured: pd.DataFrame, counted: pd.DataFrame):
    """Return the bytes of one text's gradient against the text's length, both axes logarithmic.

    measured: columns model, x (tokens), value and dense (bytes); counted: columns model and tokens, the length from
    which factors take more than the dense gradient, by counting. A mark is a measured file, the sloping line through
    them the law, the level one the dense gradient, the ring where they cross by counting.
    """
    need_columns(measured, "model", "x", "value", "dense")
    need_columns(counted, "model", "tokens")
    if measured.empty:
        raise UserError("there is no measured length to draw")
    figure, axes = new_figure(height=4.2)
    models = in_order(measured["model"])
    colors = sns.color_palette("cividis", len(models) + 1).as_hex()[:-1]
    places = counted.set_index("model")["tokens"]
    for color, model in zip(colors, models, strict=True):
        part = measured[measured["model"] == model]
        dense, at = float(part["dense"].iloc[0]), float(places[model])
        ends = np.array([part["x"].min(), max(part["x"].max(), at)])
        axes.plot(part["x"], part["value"], marker="o", markersize=6, markeredgecolor="white", color=color, zorder=3)
        axes.plot(ends, [dense, dense], color=color, linewidth=1.2, linestyle=DASHED, zorder=2)
        axes.plot(at, dense, marker="o", markersize=12, markerfacecolor="none", markeredgecolor=color, zorder=4)
        axes.annotate(
            f"{model}: {at:.0f} tokens", (at, dense), xytext=(-8, 8), textcoords="offset points", ha="right",
            fontsize=8.5, color=color,
        )  # fmt: skip
    _logarithmic(axes, "length of a text (tokens)", "one text's gradient (bytes)")
    lengths = sorted(measured["x"].unique())
    axes.set(xticks=lengths, xticklabels=[f"{length:g}" for length in lengths])
    axes.minorticks_off()
    drawn = [
        Line2D([], [], color=DARK, marker="o", markeredgecolor="white", label="factors, as stored"),
        Line2D([], [], color=DARK, linewidth=1.2, linestyle=DASHED, label="dense"),
        Line2D([], [], color=DARK, linestyle="none", marker="o", markersize=12, markerfacecolor="none",
               label="where they cross, by counting"),
    ]  # fmt: skip
    figure.legend(handles=drawn, loc="outside upper left", ncols=3)
    return figure


SHARES = {"of_square": ("of a large square product", "o"), "of_shapes": ("of the products of its own shapes", "^")}


def shares(rates: pd.DataFrame):
    """Return how much of the machine's rate of matrix products a training step comes to, against the model's size.

    rates: columns model, parameters, of_square and of_shapes (0 to 1, see unlearnlib.experiment.scaling.rates).
    """
    need_columns(rates, "model", "parameters", *SHARES)
    if rates.empty:
        raise UserError("there is no rate to draw")
    rates = rates.sort_values("parameters")
    figure, axes = new_figure(height=3.6)
    for (column, (label, marker)), color in zip(SHARES.items(), ("#0072B2", "#D55E00"), strict=True):
        axes.plot(rates["parameters"], rates[column], marker=marker, markersize=7, markeredgecolor="white",
                  color=color, label=label)  # fmt: skip
    axes.axhline(1, color=GREY, linewidth=1, linestyle=DASHED)
    axes.set(xscale="log", xlabel="model size (parameters)", ylabel="rate of a training step, as a share")
    axes.set_ylim(0, max(1.1, 1.1 * float(rates[list(SHARES)].max().max())))
    axes.set(xticks=rates["parameters"], xticklabels=rates["model"])
    axes.minorticks_off()
    figure.legend(loc="outside upper left", ncols=2)
    return figure
