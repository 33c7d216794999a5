"""The figures of what can be guaranteed: a promise that is spent, attacks on it, and what exact forgetting costs."""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from unlearnlib.core.errors import UserError
from unlearnlib.figures.looks import DARK, DASHED, GREY, SETS, Look
from unlearnlib.figures.parts import (
    draw_line,
    handle,
    in_order,
    line_handle,
    marker_size,
    need_columns,
    new_figure,
    note,
    titled_legend,
)

WAYS = {
    "Newton step": Look("Newton step, our bound", "#0072B2", "o"),
    "bounds of Guo et al.": Look("the same, bound of Guo et al.", "#D55E00", ">"),
    "nothing done": Look("nothing done", DARK, "s"),
    "trained again when due": Look("trained again when due", "#44AA99", "^"),
}
EXACT = {
    "rounded": Look("rounded centroids", "#0072B2", "o"),
    "tree": Look("tree of leaves", "#D55E00", "^"),
    "text": Look("each text its own place", "#882255", "P"),
    "person": Look("a person's texts in one place", "#44AA99", "D"),
}
FAR = 100.0  # an epsilon beyond it promises nothing, and is drawn at it


def promise(table: pd.DataFrame, epsilon: float, delta: float):
    """Return the epsilon that is promised, and the residual bounds behind it, against the number of removed texts.

    table: columns seed, removed, way (those of WAYS), epsilon, bound and residual; epsilon, delta: what the head was
    promised to keep, drawn as the level at which training is due. Logarithmic; epsilons beyond FAR are drawn at FAR,
    and bands are 95% intervals of the geometric mean over seeds.
    """
    need_columns(table, "seed", "removed", "way", "epsilon", "bound", "residual")
    ways = [name for name in WAYS if name in set(table["way"])]
    if not ways:
        raise UserError(f"the table has none of the ways {', '.join(WAYS)}")
    figure, axes = new_figure(columns=2, height=4.2)
    shown = table[table["removed"] > 0]
    for way in ways:
        rows, drawn = shown[shown["way"] == way], WAYS[way]
        # Trained again it stays below the promise in every seed: an interval of the mean would reach above it.
        band = way != "trained again when due"
        draw_line(axes[0], rows.assign(value=rows["epsilon"].clip(1e-3, FAR)), "removed", drawn, ratios=True, band=band)
        if way != "trained again when due":
            draw_line(axes[1], rows.assign(value=rows["bound"]), "removed", drawn, ratios=True)
    left = shown[shown["way"] == "Newton step"].dropna(subset="residual")
    draw_line(axes[1], left.assign(value=left["residual"]), "removed", Look("", GREY, "o"), DASHED, ratios=True)
    axes[0].axhline(epsilon, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
    axes[0].text(
        0, epsilon * 1.1, "training is due", ha="left", va="bottom", color=DARK, fontsize=9, zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
    )  # fmt: skip
    axes[0].set(yscale="log", xlabel="texts removed", ylabel=f"promised epsilon (at delta {delta:g})", title="promise")
    axes[1].set(yscale="log", xlabel="texts removed", ylabel="norm of the residual gradient", title="what it rests on")
    handles = [handle(WAYS[way], line=True) for way in ways]
    handles.append(line_handle(GREY, "residual itself (needs the secret noise)", 1.6, DASHED))
    titled_legend(figure, handles, _seeds(table, ", geometric mean and 95% interval"), columns=2)
    return figure


def attacks(table: pd.DataFrame, epsilon: float):
    """Return the lower bound of epsilon that attacks show of each way to forget, beside the promise.

    table: columns seed, way, promised (epsilon; infinite for what promises nothing, in another colour), shown, gaussian
    (the bound under Gaussian noise) and ceiling (what so many draws can show). A full mark is `shown`, an open one
    `gaussian`, cut off at 10; small dots are seeds. To the right of the line at `epsilon` the promise is refuted.
    """
    need_columns(table, "seed", "way", "promised", "shown", "gaussian", "ceiling")
    ways = in_order(table["way"])
    figure, axes = new_figure(height=1.6 + 0.34 * len(ways))
    for number, way in enumerate(ways):
        rows = table[table["way"] == way]
        color = "#0072B2" if np.isfinite(rows["promised"]).all() else "#D55E00"
        for name, filled, shift in (("shown", True, -0.12), ("gaussian", False, 0.12)):
            values = rows[name].clip(upper=10)
            axes.plot(values, [number + shift] * len(rows), linestyle="none", marker="o", markersize=2.6, color=color,
                      markeredgewidth=0, alpha=0.5, zorder=3)  # fmt: skip
            axes.plot(values.mean(), number + shift, linestyle="none", marker="o", markersize=7, zorder=4,
                      markerfacecolor=color if filled else "white", markeredgecolor="white" if filled else color,
                      markeredgewidth=0.7 if filled else 1.5)  # fmt: skip
    axes.axvline(epsilon, color=DARK, linewidth=1.2, zorder=1)
    axes.axvline(table["ceiling"].max(), color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
    axes.set(yticks=range(len(ways)), yticklabels=ways, ylim=(len(ways) - 0.5, -0.5))
    axes.set(xlim=(-0.25, 10.4), xlabel="lower bound of epsilon, with 95% confidence")
    axes.grid(axis="y", visible=False)
    handles = [
        Line2D([], [], linestyle="none", marker="o", markersize=6.5, color=DARK, label="shown"),
        Line2D([], [], linestyle="none", marker="o", markersize=6.5, markerfacecolor="white", markeredgecolor=DARK,
               label="shown, if noise is Gaussian"),
        line_handle(DARK, "promised of what is blue", 1.2),
        line_handle(GREY, "most that so many draws can show", 1, DASHED),
    ]  # fmt: skip
    titled_legend(figure, handles, _seeds(table, ": dots, and their mean"), columns=2)
    return figure


def exact(clusters: pd.DataFrame, shares: pd.DataFrame):
    """Return what exact forgetting costs: of k-means, the work of a deletion over that of a fit, against the loss; of
    SISA, the share of the training that is made anew for the whole forget set, against the number of shards.

    clusters: columns seed, way (rounded, tree), axes, setting, work and loss; shares: seed, shards, slices, texts,
    placed (text, person), share and expected (drawn as a line). Logarithmic where values span decades; marks are means
    over seeds, their size the number of axes.
    """
    need_columns(clusters, "seed", "way", "axes", "setting", "work", "loss")
    need_columns(shares, "seed", "shards", "slices", "texts", "placed", "share", "expected")
    figure, axes = new_figure(columns=2, height=4.4)
    counts = sorted(clusters["axes"].unique())
    for (way, count, _), rows in clusters.groupby(["way", "axes", "setting"], sort=False):
        drawn, size = EXACT[way], 5.5 + 2.5 * counts.index(count)
        axes[0].plot(rows["work"].mean(), rows["loss"].mean(), linestyle="none", marker=drawn.marker, color=drawn.color,
                     markersize=marker_size(drawn, size), markeredgecolor="white", markeredgewidth=0.7)  # fmt: skip
    axes[0].axvline(1, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
    axes[0].set(xscale="log", xlabel="work of a deletion (1: a whole fit)", ylabel="loss (1: plain k-means)")
    axes[0].set_title(f"k-means, {', '.join(f'{count:g}' for count in counts)} axes (larger marks: more)")
    most = shares[(shares["texts"] == shares["texts"].max()) & (shares["slices"] == 1)]
    for placed in in_order(most["placed"]):
        rows, drawn = most[most["placed"] == placed], EXACT[placed]
        draw_line(axes[1], rows.assign(value=rows["share"]), "shards", drawn, width=0)
        draw_line(axes[1], rows.assign(value=rows["expected"]), "shards", Look("", drawn.color, ""), dashes=DASHED)
    axes[1].set(
        ylim=(0, 1), xticks=sorted(most["shards"].unique()), xlabel="shards", ylabel="share of the training made anew"
    )
    axes[1].set_title(f"SISA, {shares['texts'].max():g} texts at once")
    handles = [handle(each) for each in EXACT.values()]
    handles.append(line_handle(GREY, "formula", 1.6, DASHED))
    titled_legend(figure, handles, _seeds(clusters, ", means; bands: 95% interval"), columns=3)
    return figure


def private(table: pd.DataFrame):
    """Return what a model knows after private fine-tuning, against the epsilon of one text.

    table: columns seed, training (base, fine-tuned, private), epsilon, set, metric, value. Answer probability to the
    left (chance is 1/6), NLL (nats a token) to the right; `no noise` stands at the right end.
    """
    need_columns(table, "seed", "training", "epsilon", "set", "metric", "value")
    rows = table[table["training"] == "private"]
    finite = sorted(value for value in rows["epsilon"].unique() if np.isfinite(value))
    if rows.empty:
        raise UserError("there is no private training to draw: it needs the package opacus")
    end = 10 * max(finite, default=1.0)
    figure, axes = new_figure(columns=2, height=3.9)
    panels = {"answer_probability": "answer probability", "text_nll": "text NLL (nats a token)"}
    for panel, (metric, label) in zip(axes, panels.items(), strict=True):
        for name in in_order(table["set"]):
            drawn = SETS[name]
            part = rows[(rows["set"] == name) & (rows["metric"] == metric)]
            draw_line(panel, part.assign(epsilon=part["epsilon"].clip(upper=end)), "epsilon", drawn)
            for training, dashes in (("base", (0, (1, 2))), ("fine-tuned", DASHED)):
                level = table[(table["training"] == training) & (table["set"] == name) & (table["metric"] == metric)]
                panel.axhline(level["value"].mean(), color=drawn.color, linewidth=1, linestyle=dashes, zorder=1)
        panel.set(xscale="log", xlabel="epsilon of one text", ylabel=label)
        panel.set(xticks=[*finite, end], xticklabels=[*(f"{value:.3g}" for value in finite), "no noise"])
        panel.minorticks_off()
    axes[0].set_ylim(0, 1)
    handles = [handle(SETS[name], line=True) for name in in_order(table["set"])]
    handles += [line_handle(GREY, "base model", 1, (0, (1, 2))), line_handle(GREY, "fine-tuned", 1, DASHED)]
    note(figure, table, handles)
    return figure


def _seeds(table: pd.DataFrame, rest: str) -> str:
    """Return the number of seeds, and what is drawn of them where there are several."""
    count = table["seed"].nunique()
    return "one seed" if count == 1 else f"{count} seeds{rest}"
