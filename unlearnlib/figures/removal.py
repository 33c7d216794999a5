"""Figures of choosing what to remove, and of where the model ends."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import ticker

from unlearnlib.core.errors import UserError
from unlearnlib.figures.looks import DASHED, GREY, LOOKS, look
from unlearnlib.figures.parts import (
    draw_band,
    handle,
    in_order,
    line_handle,
    marker_size,
    metric_label,
    need_columns,
    new_figure,
    seeds_text,
    wrapped,
)
from unlearnlib.statistics.seeds import over_seeds


def picks(table: pd.DataFrame, thresholds: Mapping[str, Sequence[float]] | None = None):
    """Return the share of each group of texts that a query picks, against the threshold: one panel per query.

    `table` has the columns seed, query, threshold, group, share (see unlearnlib.methods.fuzzy_matching.picks_along).
    `thresholds` marks values of each query with dashed lines.
    """
    need_columns(table, "seed", "query", "threshold", "group", "share")
    queries, names = in_order(table["query"]), in_order(table["group"])
    figure, panels = new_figure(1, len(queries), sharey=True, height=3.8, squeeze=False)
    for axes, query in zip(panels[0], queries, strict=True):
        mine = table[table["query"] == query]
        for place in (thresholds or {}).get(query, ()):
            axes.axvline(place, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
        for name in reversed(names):
            summary = over_seeds(mine[mine["group"] == name], value="share", by="threshold")
            summary[["low", "high"]] = summary[["low", "high"]].clip(0, 1)
            _draw_curve(axes, summary, "threshold", name)
        axes.set_title(wrapped(f"query: {query}", 48))
        axes.set(xlabel="threshold of similarity", ylim=(-0.04, 1.04))
    panels[0][0].set_ylabel("share of the group that is picked")
    handles = [handle(look(name), line=True) for name in names]
    if thresholds:
        handles.append(line_handle(GREY, "threshold used", 1, DASHED))
    _legend(figure, table, handles)
    return figure


def landscape(table: pd.DataFrame, sets: Sequence[str] = ("retain", "forget")):
    """Return the loss along straight lines: a row of panels per set, and a panel for each of three kinds of line.

    `table` has the columns seed, start, end, share, set, value (see unlearnlib.measures.landscape.landscape), with
    lines between the models `finetuned` and `retrained` and the unlearned ones. The loss is drawn, and averaged over
    seeds, on a logarithmic axis. The dashed line is the retrained model's loss.
    """
    need_columns(table, "seed", "start", "end", "share", "set", "value")
    for name in sets:
        if name not in set(table["set"]):
            raise UserError(f"the table has no line of the set {name!r}: it has {', '.join(in_order(table['set']))}")
    names = [name for name in in_order(table["start"]) if name not in ("finetuned", "retrained")]
    kinds = {
        "fine-tuned to retrained": [("finetuned", "retrained", "retrained")],
        "fine-tuned to unlearned": [("finetuned", name, name) for name in names],
        "unlearned to retrained": [(name, "retrained", name) for name in names],
    }
    green, high = LOOKS["retrained"].color, 1.2 + 2.5 * len(sets)
    figure, panels = new_figure(len(sets), len(kinds), sharex=True, sharey="row", height=high, squeeze=False)
    for row, chosen_set in zip(panels, sets, strict=True):
        rows = table[table["set"] == chosen_set]
        level = rows[(rows["end"] == "retrained") & np.isclose(rows["share"], 1)]
        for axes, lines in zip(row, kinds.values(), strict=True):
            axes.axhline(_on_logs(level, "set")["mean"].iloc[0], color=green, linewidth=1.3, linestyle=DASHED)
            for start, end, name in lines:
                mine = rows[(rows["start"] == start) & (rows["end"] == end)]
                _draw_curve(axes, _on_logs(mine, "share"), "share", name)
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 3)))
            axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
            axes.yaxis.set_minor_formatter(ticker.NullFormatter())
        row[0].set_ylabel(f"{look(chosen_set).label}:\n{metric_label('text_nll')}, log axis")
    for axes, title in zip(panels[0], kinds, strict=True):
        axes.set_title(title)
    for axes in panels[-1]:
        axes.set(xlabel="share of the way", xticks=[0, 0.5, 1])
    handles = [handle(look(name), line=True) for name in ["retrained", *names]]
    _legend(figure, table, [*handles, line_handle(green, "loss of the retrained model", 1.3, DASHED)])
    return figure


def step_lengths(table: pd.DataFrame):
    """Return what point-by-point removal leaves against the longest step it may take: one panel per quantity.

    `table` has the columns seed, method, longest_step, what, value: a thin line is one seed, the thick one their mean.
    Rows without a longest step (the retrained model, another way to remove) are levels, with their interval as a band.
    """
    need_columns(table, "seed", "method", "longest_step", "what", "value")
    stepped = table["longest_step"].notna()
    levels, names = in_order(table.loc[~stepped, "method"]), in_order(table.loc[stepped, "method"])
    lengths, quantities = sorted(set(table.loc[stepped, "longest_step"])), in_order(table["what"])
    rows = -(-len(quantities) // 2)
    figure, panels = new_figure(rows, min(2, len(quantities)), height=1.2 + 2.4 * rows, squeeze=False)
    for axes in panels.flat[len(quantities) :]:
        axes.remove()
    for axes, what in zip(panels.flat, quantities, strict=False):
        mine = table[table["what"] == what]
        for name in levels:
            level, color = over_seeds(mine[mine["method"] == name], by="method").iloc[0], look(name).color
            axes.axhline(level["mean"], color=color, linewidth=1.3, linestyle=DASHED, zorder=2)
            if np.isfinite(level["low"]):
                axes.axhspan(level["low"], level["high"], color=color, alpha=0.12, linewidth=0, zorder=0)
        for name in names:
            walked = mine[mine["method"] == name].sort_values("longest_step")
            for _, one in walked.groupby("seed"):
                axes.plot(one["longest_step"], one["value"], color=look(name).color, linewidth=0.8, alpha=0.55)
            # Without a band: seeds fall into two heaps, and an interval of their mean would describe neither.
            _draw_curve(axes, over_seeds(walked, by="longest_step").assign(low=np.nan), "longest_step", name)
        axes.set_xscale("log")
        axes.set_xticks(lengths, [f"{length:g}" for length in lengths])
        axes.minorticks_off()
        axes.set(xlabel="longest step (L2 norm), log axis", ylim=(-0.04, 1.04))
        axes.set_title(wrapped(what, 48))
    handles = [handle(look(name), line=True) for name in names]
    handles += [line_handle(GREY, "one seed", 0.8)]
    handles += [line_handle(look(name).color, look(name).label, 1.3, DASHED) for name in levels]
    _legend(figure, table, handles)
    return figure


def _draw_curve(axes, summary: pd.DataFrame, x: str, name: str) -> None:
    summary, shown = summary.sort_values(x), look(name)
    draw_band(axes, summary[x], summary, shown.color)
    axes.plot(
        summary[x], summary["mean"], color=shown.color, marker=shown.marker, markersize=marker_size(shown, 4.5),
        markeredgecolor="white", markeredgewidth=0.4, linewidth=1.6, zorder=3,
    )  # fmt: skip


def _legend(figure, table: pd.DataFrame, handles) -> None:
    """The legend above the panels, and the number of seeds below them: side by side there is no room for both."""
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), columnspacing=1.2, handletextpad=0.4)
    figure.supxlabel(seeds_text(table), fontsize=8.5, color=GREY, ha="right", x=0.995)


def _on_logs(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """Mean and interval over seeds of the logarithm, as values again."""
    summary = over_seeds(rows.assign(value=np.log(rows["value"])), by=by)
    summary[["mean", "low", "high"]] = np.exp(summary[["mean", "low", "high"]])
    return summary
