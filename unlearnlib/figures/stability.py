"""What comes back of what was forgotten, and what many requests do to a model."""

from collections.abc import Sequence

import pandas as pd

from unlearnlib.core.errors import UserError
from unlearnlib.figures.looks import CHANCE, DASHED, DOTTED, GREY, LOOKS, Look
from unlearnlib.figures.parts import (
    draw_line,
    handle,
    in_order,
    line_handle,
    marker_size,
    need_columns,
    new_figure,
    seeds_text,
    titled_legend,
)

METHODS = {
    "finetuned": LOOKS["nothing_forgotten"],
    "first epoch": Look("first epoch (the paper's)", "#0072B2", "o"),
    "embedding, preconditioned": Look("embedding, preconditioned", "#D55E00", ">"),
    "gradient difference": Look("gradient difference", "#86BFF9", "v"),
    "NPO + retained": Look("NPO + retained", "#E69F00", "^"),
    "SCRUB": Look("SCRUB", "#882255", "P"),
    "retrained": LOOKS["retrained"],
}
# Whose intervals are drawn where there are many lines.
BANDS = ("first epoch", "embedding, preconditioned", "retrained")
# Probe, measure, title and axis of each panel.
PANELS = (
    ("its own texts", "the rest", "5 forgotten texts", "optimizer steps"),
    ("others' texts", "the rest", "5 retained texts", "optimizer steps"),
    ("learning on", "forget", "about strangers", "optimizer steps"),
    ("rounding", "forget", "rounded weights", "bits of a weight"),
)
REQUESTS = {"removed": "removed so far", "remaining": "Dave's that remain", "others": "retained people"}
FAR = {"KL": "on what was removed", "KL others": "on the retained people"}


def probes(table: pd.DataFrame):
    """Return what each model knows of the forget set when it is trained on, or rounded: a panel for each of PANELS, the
    mean answer probability against the level, with 95% intervals over seeds for BANDS.

    table: columns seed, method (those of METHODS), probe, level, measure, value; the dashed line is chance.
    """
    need_columns(table, "seed", "method", "probe", "level", "measure", "value")
    there = [one for one in PANELS if ((table["probe"] == one[0]) & (table["measure"] == one[1])).any()]
    if not there:
        raise UserError(f"nothing to draw: the table has none of the probes {', '.join(one[0] for one in PANELS)}")
    figure, axes = new_figure(columns=len(there), height=3.6, sharey=True, squeeze=False)
    for panel, (probe, measure, title, label) in zip(axes[0], there, strict=True):
        rows = table[(table["probe"] == probe) & (table["measure"] == measure)]
        levels = sorted(rows["level"].unique(), reverse=probe == "rounding")
        places = {level: place for place, level in enumerate(levels)}
        rows = rows.assign(x=rows["level"].map(places))
        for method in _there(table):
            _line(panel, rows[rows["method"] == method], METHODS[method], band=method in BANDS)
        panel.axhline(CHANCE, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
        panel.set(title=title, xlabel=label, ylim=(0, 1.03))
        panel.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
    axes[0][0].set_ylabel("answer probability")
    _legend(figure, table, [line_handle(GREY, "chance", 1, DASHED)])
    return figure


def requests(table: pd.DataFrame):
    """Return what a model knows, and how far from the retrained one it is, after so many requests one by one: columns
    seed, method, order, requests, measure, value, with 95% intervals over seeds (of distances: of the geometric mean).

    Full lines are order 0, dotted ones the means of the others. Distances are logarithmic.
    """
    need_columns(table, "seed", "method", "order", "requests", "measure", "value")
    figure, axes = new_figure(rows=2, columns=3, height=6.0)
    counts = sorted(table["requests"].unique())
    places = {count: place for place, count in enumerate(counts)}
    table = table.assign(x=table["requests"].map(places))
    for panel, (measure, title) in zip(axes.flat, {**REQUESTS, **FAR}.items(), strict=False):
        for method in _there(table):
            rows = table[(table["measure"] == measure) & (table["method"] == method)]
            _line(panel, rows[rows["order"] == 0], METHODS[method], ratios=measure in FAR)
            if (rows["order"] > 0).any():
                _line(panel, rows[rows["order"] > 0], METHODS[method], DOTTED)
        panel.set(title=title if measure in REQUESTS else f"distance {title}", xlabel="requests")
        panel.set_xticks(range(len(counts)), counts)
        if measure in FAR:
            panel.set_yscale("log")
        else:
            panel.axhline(CHANCE, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
            panel.set_ylim(0, 1.03)
    axes[0][0].set_ylabel("answer probability")
    axes[1][0].set_ylabel("KL (nats a token)")
    axes[1][2].axis("off")
    more = [line_handle(GREY, "chance", 1, DASHED), line_handle(GREY, "other orders", 1.2, DOTTED)]
    _legend(figure, table, more)
    return figure


def _there(table: pd.DataFrame) -> list[str]:
    return [name for name in METHODS if name in set(in_order(table["method"]))]


def _line(axes, rows: pd.DataFrame, shown: Look, dashes="-", ratios: bool = False, band: bool = True) -> None:
    if not rows.empty:
        width = 1.6 if dashes == "-" else 1.2
        draw_line(axes, rows, "x", shown, dashes, width, marker_size(shown, 6), ratios, band and dashes == "-")


def _legend(figure, table: pd.DataFrame, more: Sequence) -> None:
    handles = [handle(METHODS[name], line=True) for name in _there(table)]
    title = seeds_text(table)
    if len(handles) > len(BANDS):
        title += f" (drawn for {', '.join(METHODS[name].label for name in BANDS)})"
    titled_legend(figure, [*handles, *more], title, columns=4)
