"""The figure of the verdicts: every claim, what was asked of it, and on which side of the margin the answer lies."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from unlearnlib.core.errors import UserError
from unlearnlib.figures.looks import DARK, GREY, Look
from unlearnlib.figures.parts import marker_size, need_columns, new_figure

# Words of claims. The colours stay apart for colour-blind readers, and no two share a marker.
VERDICTS = {
    "holds": Look("holds", "#0072B2", "o"),
    "contradicted": Look("contradicted", "#D55E00", "X"),
    "depends": Look("depends", "#AA4499", "D"),
    "not settled": Look("not settled", "#9A9A9A", "s"),
    "cannot be tested here": Look("cannot be tested here", GREY, "_"),
}
# Of criteria; `mixed` is better on some measures and worse on others.
STATES = {**VERDICTS, "mixed": VERDICTS["depends"], "not tested": VERDICTS["cannot be tested here"]}
COUNTED = "worse and better"  # the interval of a criterion that counts measures
SIGNS = {"above": "> ", "below": "< "}

# Where the columns stand, as parts of the width: claim and criterion, axis from margin, effect, what is asked.
TEXT, LEFT, MIDDLE, RIGHT, EFFECT, ASKED = 0.018, 0.490, 0.573, 0.656, 0.672, 0.860
LINE, HEADING, GAP, TOP = 0.185, 0.315, 0.09, 0.66  # inches


def verdicts(rows: pd.DataFrame):
    """Return the figure of a table of `unlearnlib.claims.judging.judge`: a heading for each claim, a line for each
    criterion.

    The upright line is the margin, the right side is where the claim would have the interval; every line has its own
    scale, so that the far end of its interval reaches the edge. Criteria that cannot be tested say why instead.
    """
    need_columns(rows, "claim", "statement", "verdict", "criterion", "effect", "low", "high", "margin", "centre")
    need_columns(rows, "direction", "least", "state", "interval", "n", "note")
    if rows.empty:
        raise UserError("there is no criterion to draw")
    claims = list(rows.groupby("claim", sort=False))
    height = len(rows) * LINE + len(claims) * (HEADING + GAP) + TOP
    figure, axes = page(height, rows)
    _heads(axes)
    y = TOP
    for _, part in claims:
        top, y = y, y + HEADING
        shown = VERDICTS.get(part["verdict"].iloc[0])
        _heading(axes, top, part.iloc[0], shown)
        for _, row in part.iterrows():
            y += LINE
            _line(axes, y - LINE / 2, row)
        y += GAP
    return figure


def page(height: float, rows: pd.DataFrame):
    """Return a figure that is one page of text, with axes of its width (0 to 1) and of inches from the top; above are
    the marks of the verdicts, and of how many seeds the rows are."""
    figure, axes = new_figure(height=height)
    figure.set_layout_engine("none")
    axes.set_position([0, 0, 1, 1])
    axes.set(xlim=(0, 1), ylim=(height, 0))
    axes.axis("off")
    for x, shown in zip((0.022, 0.100, 0.238, 0.345, 0.470), VERDICTS.values(), strict=True):
        mark(axes, x, 0.17, shown, 8)
        axes.text(x + 0.016, 0.17, shown.label, va="center", fontsize=9, color=DARK)
    seeds = rows["n"].max()
    if not pd.isna(seeds):
        text = "one seed" if seeds == 1 else f"{seeds:.0f} seeds"
        axes.text(0.985, 0.17, text, va="center", ha="right", fontsize=8.5, color=GREY)
    return figure, axes


def _heads(axes) -> None:
    """The heads of the columns."""
    head = {"va": "center", "fontsize": 8, "color": GREY}
    axes.text(TEXT, 0.52, "claim, and what would show it", **head)
    axes.text(MIDDLE - 0.012, 0.52, "wrong side", ha="right", **head)
    axes.text(MIDDLE + 0.012, 0.52, "right side", ha="left", **head)
    axes.text(EFFECT, 0.52, "effect [interval]", **head)
    axes.text(ASKED, 0.52, "asked for", **head)


def _heading(axes, top: float, row: pd.Series, shown: Look | None) -> None:
    color = shown.color if shown else GREY
    place = {"va": "center", "zorder": 3}
    axes.add_patch(Rectangle((0.004, top), 0.992, HEADING - 0.05, facecolor=color, alpha=0.13, linewidth=0))
    axes.add_patch(Rectangle((0.004, top), 0.0045, HEADING - 0.05, facecolor=color, linewidth=0))
    y = top + (HEADING - 0.05) / 2
    axes.text(TEXT, y, row["claim"], fontsize=9.5, fontweight="bold", color=DARK, **place)
    axes.text(0.068, y, row["statement"], fontsize=9.5, color=DARK, **place)
    if shown:
        words = axes.text(0.985, y, shown.label, fontsize=9.5, fontweight="bold", color=color, ha="right", **place)
        mark(axes, 0.985 - _width(axes, words) - 0.016, y, shown, 8)


def _line(axes, y: float, row: pd.Series) -> None:
    place = {"va": "center", "fontsize": 8}
    axes.text(TEXT, y, row["criterion"], color=DARK, **place)
    if row["state"] == "not tested":
        reason = textwrap.shorten(f"not tested: {row['note']}", 70, placeholder=" …")
        axes.text(LEFT, y, reason, color=GREY, style="italic", **place)
        return
    shown = STATES[row["state"]]
    low, effect, high = _from_margin(row)
    axes.plot([LEFT, RIGHT], [y, y], color="#E6E6E6", linewidth=0.8, zorder=1)
    axes.plot([MIDDLE, MIDDLE], [y - LINE / 2, y + LINE / 2], color=DARK, linewidth=0.9, zorder=2)
    scale = (RIGHT - LEFT) / 2 / max(abs(low), abs(high), 1e-300)
    axes.plot([MIDDLE + scale * low, MIDDLE + scale * high], [y, y], color=shown.color, linewidth=2.4, zorder=3)
    mark(axes, MIDDLE + scale * effect, y, shown, 6)
    axes.text(EFFECT, y, _found(row), color=DARK, **place)
    axes.text(ASKED, y, _asked(row), color=GREY, **place)


def _found(row: pd.Series) -> str:
    if row["interval"] == COUNTED:
        return f"{row['high']:.0f} better, {abs(row['low']):.0f} worse"
    interval = "" if row["low"] == row["high"] else f" [{number(row['low'])}, {number(row['high'])}]"
    return number(row["effect"]) + interval


def _from_margin(row: pd.Series) -> tuple[float, float, float]:
    """Low end, effect and high end as distances from the margin, positive on the right side."""
    ends, effect = row[["low", "high"]].to_numpy(float), float(row["effect"])
    if row["direction"] == "within":
        # Nearest to the centre is best, and the centre itself may lie inside the interval.
        away = np.abs(ends - row["centre"])
        best = 0.0 if ends[0] <= row["centre"] <= ends[1] else away.min()
        return row["margin"] - away.max(), row["margin"] - abs(effect - row["centre"]), row["margin"] - best
    sign = 1 if row["direction"] == "above" else -1
    low, high = sorted(sign * (ends - row["margin"]))
    return low, sign * (effect - row["margin"]), high


def _asked(row: pd.Series) -> str:
    if row["interval"] == COUNTED:
        return "better, none worse"
    if row["direction"] != "within":
        least = f", mean > {number(row['least'])}" if np.isfinite(row["least"]) else ""
        return SIGNS[row["direction"]] + number(row["margin"]) + least
    if row["centre"] == 0:
        return f"± {number(row['margin'])}"
    return f"{number(row['centre'] - row['margin'])} to {number(row['centre'] + row['margin'])}"


def number(value: float) -> str:
    """Return a number in as few digits as tell it: two decimals, none from 100 on, a power of ten below 0.001."""
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.005:
        text = f"{value:.0e}" if size < 0.001 else f"{value:.3f}"
    else:
        text = f"{value:.0f}" if size >= 100 else f"{value:.2f}"
    return text.replace("e-0", "e-").replace("-", "−")


def mark(axes, x: float, y: float, shown: Look, size: float) -> None:
    """Draw the mark of a word at a place of the axes."""
    line = Line2D(
        [x], [y], linestyle="none", marker=shown.marker, color=shown.color, markersize=marker_size(shown, size),
        markeredgecolor=shown.color if shown.marker == "_" else "white",
        markeredgewidth=2 if shown.marker == "_" else 0.7, zorder=4,
    )  # fmt: skip
    axes.add_line(line)


def _width(axes, text) -> float:
    """The width of a text, as a part of the figure's."""
    return text.get_window_extent().width / axes.figure.bbox.width
