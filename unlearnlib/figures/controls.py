"""The figures of the controls: one thing of a recorded step exchanged at a time, and forget sets of several sizes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from unlearnlib.core.errors import UserError
from unlearnlib.figures.looks import DARK, GREY, LOOKS, look
from unlearnlib.figures.parts import handle, in_order, marker_size, need_columns, new_figure, plain_ticks, seeds_text

PANELS = {"forget set: KL": "Dave's texts", "neighbours: KL": "neighbours' texts"}
LEVELS = {"finetuned": "nothing forgotten", "retrained again": "two retrained models"}
ROW, HEAD, AROUND = 0.2, 0.34, 1.35  # inches


def controls(table: pd.DataFrame, places: Sequence[tuple[str, str]]):
    """Return the two distances from the retrained model (KL, nats a token, logarithmic) of every way in turn.

    table: of unlearnlib.measures.collateral.collateral, columns seed, method, measure, value (ln KL) and reached; the
    methods are called "what, place, kind", and beside them stand those of LEVELS. places: the pairs of place and kind
    in the order in which their ways are drawn, each below a heading. A dot is a seed, a mark the geometric mean, open
    where equal forgetting was not reached in every seed. UserError where no way belongs to any of the places.
    """
    need_columns(table, "seed", "method", "measure", "value", "reached")
    known = [name for name in in_order(table["method"]) if name not in LEVELS and name.count(", ") >= 2]
    rows: list[tuple[float, str, str]] = []  # where, what is written, the method (a heading: none)
    y = 0.0
    for pair in places:
        own = [name for name in known if tuple(name.rsplit(", ", 2)[1:]) == pair]
        if own:
            rows.append((y + HEAD - ROW / 2, ", ".join(pair), ""))
            rows += [(y + HEAD + ROW * (n + 0.5), name.rsplit(", ", 2)[0], name) for n, name in enumerate(own)]
            y += HEAD + ROW * len(own)
    if not rows:
        raise UserError(f"no way belongs to {', '.join(map(str, places))}: methods are called 'what, place, kind'")
    figure, axes = new_figure(columns=len(PANELS), height=AROUND + y, sharey=True)
    for panel, (measure, title) in zip(axes, PANELS.items(), strict=True):
        part = table[table["measure"] == measure]
        for at, _, name in rows:
            if name:
                _draw(panel, at, part[part["method"] == name], name.partition(", ")[0])
        for name in LEVELS:
            level = np.exp(part[part["method"] == name]["value"].mean())
            known_look = LOOKS["retrained" if name == "retrained again" else name]
            panel.axvline(level, color=known_look.color, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        panel.set(xscale="log", xlabel="KL to the retrained model (nats a token)", title=title)
        panel.grid(axis="y", visible=False)
    axes[0].set(yticks=[at for at, _, _ in rows], yticklabels=[text for _, text, _ in rows], ylim=(y + 0.1, 0))
    for label, (_, _, name) in zip(axes[0].get_yticklabels(), rows, strict=True):
        label.set(fontsize=8.5 if name else 9.5, fontweight="normal" if name else "bold")
    handles = [
        Line2D([], [], color=LOOKS[name].color, linewidth=1, linestyle=(0, (4, 3)), label=text)
        for name, text in (("finetuned", LEVELS["finetuned"]), ("retrained", LEVELS["retrained again"]))
    ]
    handles.append(_open())
    legend = figure.legend(
        handles=handles, loc="outside upper left", ncols=3, title=seeds_text(table).partition(",")[0] + ": dots"
    )
    legend.get_title().set(color=GREY, fontsize=8.5)
    legend.set_alignment("left")
    return figure


def _draw(panel, at: float, rows: pd.DataFrame, stem: str) -> None:
    shown, values = look(stem), np.exp(rows["value"])
    panel.plot(values, [at] * len(values), linestyle="none", marker="o", markersize=2.6, color=shown.color,
               markeredgewidth=0, alpha=0.5, zorder=2)  # fmt: skip
    filled = rows["reached"].ne(False).all()
    panel.plot(
        np.exp(rows["value"].mean()), at, linestyle="none", marker=shown.marker if filled else "o", color=shown.color,
        markersize=marker_size(shown, 7) if filled else 7, markerfacecolor=shown.color if filled else "white",
        markeredgecolor="white" if filled else shown.color, markeredgewidth=0.7 if filled else 1.4, zorder=3,
    )  # fmt: skip


def _open() -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker="o", markersize=6.5, markerfacecolor="white", markeredgecolor=DARK,
        markeredgewidth=1.4, label="not forgotten as asked in every seed",
    )  # fmt: skip


def sizes(table: pd.DataFrame):
    """Return how near each way comes, against the number of points to forget: the distance (KL) from the model
    retrained without them on their texts, and on the neighbours', as a multiple of that of doing nothing.

    table: columns points, method, measure (those of PANELS), n (seeds), ratio, low and high (its interval).
    """
    need_columns(table, "points", "method", "measure", "n", "ratio", "low", "high")
    if table.empty:
        raise UserError("there is no forget set to draw")
    figure, axes = new_figure(columns=len(PANELS), height=4.0)
    methods, counts = in_order(table["method"]), sorted(table["points"].unique())
    for panel, (measure, title) in zip(axes, PANELS.items(), strict=True):
        for number, method in enumerate(methods):
            shown, part = look(method), table[(table["method"] == method) & (table["measure"] == measure)]
            x = part["points"] * 1.05 ** (number - (len(methods) - 1) / 2)  # beside each other
            panel.vlines(x, part["low"], part["high"], color=shown.color, linewidth=1.3, alpha=0.7, zorder=2)
            panel.plot(x, part["ratio"], color=shown.color, marker=shown.marker, markersize=marker_size(shown, 7),
                       markeredgecolor="white", markeredgewidth=0.7, linewidth=1.6, zorder=3)  # fmt: skip
        panel.axhline(1, color=LOOKS["finetuned"].color, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        panel.set(xscale="log", yscale="log", xlabel="points to forget", title=title)
        plain_ticks(panel.xaxis)
        panel.set(xticks=counts, xticklabels=[f"{count:g}" for count in counts])
        panel.minorticks_off()
    axes[0].set_ylabel("KL to the retrained model,\nas a multiple of that of doing nothing")
    handles = [handle(look(method), line=True) for method in methods]
    for one, name in zip(handles, methods, strict=True):
        one.set_label(name)
    title = f"{table['n'].max():.0f} seeds, geometric mean and 95% interval"
    legend = figure.legend(handles=handles, loc="outside upper left", ncols=2, title=title)
    legend.get_title().set(color=GREY, fontsize=8.5)
    legend.set_alignment("left")
    return figure
