"""What unlearning is good for: the ways out of a situation beside each other, and a model that goes on learning."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.figures.looks import CHANCE, DASHED, GREY, LOOKS, Look
from unlearnlib.figures.parts import (
    draw_line,
    draw_points,
    draw_reference_line,
    handle,
    in_order,
    line_handle,
    marker_size,
    need_columns,
    new_figure,
    note,
    seeds_text,
    wrapped,
)
from unlearnlib.statistics.seeds import over_seeds

LIVES = {
    "nothing done": replace(LOOKS["nothing_forgotten"], label="nothing done"),
    "unlearned": replace(LOOKS["all_epochs"], label="unlearned"),
    "retrained": LOOKS["retrained"],
}
WAY = Look("", "#0072B2", "o")
# What a measure cannot be below or above; probabilities and shares: 0 and 1.
LIMITS = {"KL": (0, np.inf), "apart": (0, np.inf), "parity gap": (-1, 1), "opportunity gap": (-1, 1)}
PARTS = {
    "removed": "removed so far",
    "first removed": "the first request",
    "remaining": "Dave's that remain",
    "new": "learnt since",
    "others": "retained people",
}


def ways(table: pd.DataFrame, reference: str, measures: Sequence[str] = ()):
    """Return a row for each way out of a situation and a panel for each measure, with 95% intervals over seeds, cut at
    what the measure can be (LIMITS).

    table: columns seed, method, measure, value. The `reference` is a line with its interval as a band, and its own row;
    `measures`: which are drawn, in this order (default: all). UserError for a reference or measure that is not there.
    """
    need_columns(table, "seed", "method", "measure", "value")
    chosen = list(measures) or in_order(table["measure"])
    for name, known in ((reference, table["method"]), *((one, table["measure"]) for one in chosen)):
        if name not in set(known):
            raise UserError(f"nothing to draw of {name!r}: {nearest(name, in_order(known))}")
    table = table[table["measure"].isin(chosen)]
    methods = in_order(table["method"])
    figure, axes = new_figure(columns=len(chosen), height=1.3 + 0.36 * len(methods), sharey=True, squeeze=False)
    for panel, measure in zip(axes[0], chosen, strict=True):
        summary = over_seeds(table[table["measure"] == measure]).set_index("method")
        summary[["low", "high"]] = summary[["low", "high"]].clip(*LIMITS.get(measure, (0, 1)))
        if reference in summary.index:
            draw_reference_line(panel, summary.loc[reference])
        for row, method in enumerate(methods):
            if method in summary.index:
                draw_points(panel, [row], summary.loc[[method]], _look(method, reference))
        panel.set_xlabel(wrapped(measure, 20), fontsize=9)
        panel.grid(axis="y", visible=False)
    axes[0][0].set_yticks(range(len(methods)), methods)
    axes[0][0].set_ylim(len(methods) - 0.5, -0.5)
    figure.suptitle(f"{seeds_text(table)}; line: {reference}", x=0.995, ha="right", fontsize=8.5, color=GREY)
    return figure


def _look(method: str, reference: str) -> Look:
    if method == reference:
        return LOOKS["retrained"]
    return LOOKS["nothing_forgotten"] if method == "nothing done" else WAY


def lives(table: pd.DataFrame):
    """Return what each model knows after every round, a panel for each of PARTS: columns seed, round, method (those of
    LIVES), measure, value (answer probability), with 95% intervals over seeds; the dashed line is chance."""
    need_columns(table, "seed", "round", "method", "measure", "value")
    parts = [name for name in PARTS if name in set(table["measure"])]
    if not parts:
        raise UserError(f"nothing to draw: the table has none of {', '.join(PARTS)}")
    figure, axes = new_figure(columns=len(parts), height=3.4, sharey=True, squeeze=False)
    for panel, part in zip(axes[0], parts, strict=True):
        for method, shown in LIVES.items():
            rows = table[(table["measure"] == part) & (table["method"] == method)]
            if not rows.empty:
                draw_line(panel, rows, "round", shown, size=marker_size(shown, 6), zorder=2)
        panel.axhline(CHANCE, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
        panel.set(title=PARTS[part], xlabel="round", ylim=(0, 1.03), xticks=sorted(table["round"].unique()))
    axes[0][0].set_ylabel("answer probability")
    handles = [handle(shown, line=True) for name, shown in LIVES.items() if name in set(table["method"])]
    note(figure, table, [*handles, line_handle(GREY, "chance", 1, DASHED)])
    return figure
