"""Figures of the data, the base model and fine-tuning."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import ticker
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch

from unlearnlib.figures.looks import CHANCE, DARK, DASHED, GREY, LOOKS, REFERENCES, SETS, look
from unlearnlib.figures.parts import (
    chosen_rows,
    draw_band,
    draw_points,
    draw_seed_dots,
    legend_above,
    line_handle,
    metric_label,
    need_columns,
    new_figure,
    set_title,
    wrapped,
)
from unlearnlib.statistics.seeds import over_seeds


def overview(counts: Mapping[str, int]):
    """Return the experiment as a drawing: the three models, and the sets (with their `counts`) that each has read."""
    figure, axes = new_figure(height=3.9)
    axes.set(xlim=(0, 10), ylim=(0, 5.2))
    axes.axis("off")

    def box(x, y, width, height, text, color, filled=False):
        axes.add_patch(
            FancyBboxPatch(
                (x, y),
                width,
                height,
                boxstyle="round,pad=0.02,rounding_size=0.12",
                linewidth=1.6,
                edgecolor=color,
                facecolor=color if filled else "white",
            )
        )
        axes.text(
            x + width / 2,
            y + height / 2,
            text,
            ha="center",
            va="center",
            color="white" if filled else DARK,
            fontsize=9.5,
        )

    def arrow(start, end, color, style="-", text="", at=0.5, lift=0.16):
        axes.annotate(
            "", end, start, arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 1.6, "linestyle": style}
        )
        place = (start[0] + at * (end[0] - start[0]), start[1] + at * (end[1] - start[1]) + lift)
        axes.text(*place, text, ha="center", va="bottom", color=color, fontsize=8.5)

    models = {name: LOOKS[name] for name in REFERENCES}
    box(0.1, 2.1, 1.7, 0.9, "base model", models["base"].color, filled=True)
    box(4.1, 3.9, 1.9, 0.9, "fine-tuned", models["finetuned"].color, filled=True)
    box(4.1, 0.3, 1.9, 0.9, "retrained", models["retrained"].color, filled=True)
    box(8.0, 3.9, 1.9, 0.9, "unlearned", LOOKS["recorded"].color, filled=True)
    both = f"forget set ({counts['forget']})\n+ retain set ({counts['retain']})"
    arrow((1.8, 2.9), (4.1, 4.3), models["finetuned"].color, text=both, at=0.26, lift=0.36)
    arrow(
        (1.8, 2.2),
        (4.1, 0.8),
        models["retrained"].color,
        text=f"retain set ({counts['retain']}) alone",
        at=0.25,
        lift=-0.95,
    )
    arrow((6.0, 4.35), (8.0, 4.35), LOOKS["recorded"].color, text="recorded gradients,\nopposite sign")
    arrow((8.6, 3.8), (6.1, 0.85), GREY, style=(0, (4, 3)))
    axes.text(7.75, 2.25, "should be\nthe same", color=GREY, fontsize=9.5, ha="left", va="center", style="italic")
    unseen = {"heldout": "held-out points of Dave", "never_seen": "never-seen people", "general": "general text"}
    text = ",  ".join(f"{label} ({counts[name]})" for name, label in unseen.items())
    axes.text(0.1, -0.15, f"never trained on:  {text}", fontsize=8.8, color=DARK, va="center")
    return figure


def split_drawn(drawn: pd.DataFrame):
    """Return which attributes each seed trains on: `drawn` is attributes x seeds, with values forget and heldout."""
    figure, axes = new_figure(height=max(2.2, 0.42 * drawn.shape[1] + 1.5))
    ordered = drawn.loc[(drawn == "forget").sum(axis=1).sort_values(kind="stable").index]
    colors = [SETS["heldout"].color, SETS["forget"].color]
    sns.heatmap(
        (ordered == "forget").T.astype(int), cmap=colors, cbar=False, linewidths=1.5, linecolor="white", ax=axes,
        xticklabels=True, yticklabels=True,
    )  # fmt: skip
    axes.set(xlabel="", ylabel="seed")
    axes.tick_params(length=0)
    axes.set_xticklabels(axes.get_xticklabels(), rotation=60, ha="right")
    handles = [
        Line2D([], [], linestyle="none", marker="s", markersize=9, color=SETS[name].color, label=label)
        for name, label in (("forget", "trained on, to be forgotten"), ("heldout", "held out"))
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    axes.set_title("Dave's attributes, as each seed draws them")
    return figure


def pretraining_curve(log: pd.DataFrame, uniform: int):
    """Return the base model's loss along the tokens read (columns tokens, loss); `uniform` is the vocabulary's size."""
    need_columns(log, "tokens", "loss")
    figure, axes = new_figure(height=3.6)
    axes.plot(log["tokens"] / 1e6, log["loss"], color=LOOKS["all"].color, linewidth=1.8)
    axes.axhline(np.log(uniform), color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"all {uniform} tokens equally likely", (1, np.log(uniform)), (-2, -4), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", va="top", color=GREY, fontsize=8.5,
    )  # fmt: skip
    axes.set(xlabel="tokens read (millions), each once", ylabel="loss on text not read before (nats a token)")
    axes.set_ylim(bottom=0)
    axes.set_title("Pretraining of the base model")
    return figure


def training_curve(log: pd.DataFrame):
    """Return the training loss: per step (faint), per epoch and seed (thin), per epoch over seeds with its interval.

    `log` has the columns seed, epoch, step, loss (nats a token) and, where several models are shown, method
    (`finetuned`, `retrained`).
    """
    need_columns(log, "seed", "epoch", "step", "loss")
    log = log.assign(method=log["method"] if "method" in log.columns else "finetuned")
    log = log.sort_values(["method", "seed", "epoch", "step"])
    log["at"] = log.groupby(["method", "seed"]).cumcount() + 1
    figure, axes = new_figure()
    ends = []
    for method, rows in log.groupby("method", sort=False):
        shown, dashes = look(method), (0, (3, 1.5)) if method == "retrained" else "-"
        each = rows.groupby("at")["loss"].mean()
        axes.plot(each.index, each, color=shown.color, linewidth=0.5, alpha=0.4)
        middle = rows.groupby("epoch")["at"].mean()
        for _, one in rows.groupby("seed"):
            axes.plot(middle, one.groupby("epoch")["loss"].mean(), color=shown.color, linewidth=0.7, alpha=0.5)
        means = over_seeds(rows, value="loss", by="epoch").sort_values("epoch")
        draw_band(axes, middle, means, shown.color)
        axes.plot(middle, means["mean"], color=shown.color, linewidth=2, linestyle=dashes)
        ends.append((float(means["mean"].iloc[-1]), shown))
    last = log["at"].max()
    for place, (height, shown) in enumerate(sorted(ends, key=lambda end: end[0])):
        axes.annotate(
            shown.label, (last, height), (7, 9 * (2 * place - len(ends) + 1)), textcoords="offset points",
            color=shown.color, va="center", fontweight="bold",
        )  # fmt: skip
    edges = log.groupby("epoch")["at"].max().to_numpy()
    for edge in edges[:-1]:
        axes.axvline(edge + 0.5, color="#DDDDDD", linewidth=0.8, zorder=0)
    axes.grid(False, axis="x")
    axes.set(xlabel="optimizer step (vertical lines: ends of epochs)", ylabel="training loss (nats a token)")
    axes.set_xlim(0, last * 1.15)
    axes.set_ylim(bottom=0)
    lines = [line_handle(DARK, "mean of an epoch", 2), line_handle(DARK, "one step, mean over seeds", 0.5)]
    axes.legend(handles=lines, loc="upper right")
    set_title(axes, "Training loss", log)
    return figure


def before_after(
    table: pd.DataFrame,
    sets: Sequence[str] = ("forget", "paraphrase", "heldout", "never_seen", "retain"),
    metrics: Sequence[str] = ("answer_probability", "cloze_hit"),
):
    """Return what the base, fine-tuned and retrained models know of each set: one panel per metric.

    `table` has the columns seed, method, set, metric, value (examples are averaged within each seed). Sets that it
    lacks are left out.
    """
    table = chosen_rows(table, metrics=metrics)
    methods = [name for name in REFERENCES if name in set(table["method"])]
    table = table[table["method"].isin(methods) & table["set"].isin(sets)]
    sets = [name for name in sets if name in set(table["set"])]
    figure, panels = new_figure(1, len(metrics), sharey=True)
    for axes, metric in zip(np.atleast_1d(panels), metrics, strict=True):
        part = table[table["metric"] == metric]
        summary = over_seeds(part, by=["method", "set"]).set_index(["method", "set"])
        for place, method in enumerate(methods):
            shown, shift = look(method), 0.24 * (place - (len(methods) - 1) / 2)
            present = [i for i, name in enumerate(sets) if (method, name) in summary.index]
            rows = summary.loc[[(method, sets[i]) for i in present]]
            draw_seed_dots(axes, part[part["method"] == method], sets, shift, shown.color)
            draw_points(axes, np.array(present) + shift, rows, shown, vertical=True)
        if metric == "answer_probability":
            axes.axhline(CHANCE, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
            axes.annotate(
                "chance, 1/6", (1, CHANCE), (-2, 4), xycoords=("axes fraction", "data"), textcoords="offset points",
                ha="right", va="bottom", color=GREY, fontsize=8.5,
            )  # fmt: skip
        axes.set_xticks(range(len(sets)), [wrapped(look(name).label) for name in sets])
        axes.set(ylim=(-0.03, 1.03), xlim=(-0.5, len(sets) - 0.5))
        axes.grid(False, axis="x")
        axes.set_title(metric_label(metric))
    np.atleast_1d(panels)[0].set_ylabel("mean over the set")
    legend_above(figure, methods, table)
    return figure


def gradient_norms(
    norms: pd.DataFrame, layers: Sequence[str] = ("embedding", "h.0", "h.5", "h.11", "position_embedding")
):
    """Return the norm of the recorded gradient (summed over the forget set) by epoch, one line per layer, log axis.

    `norms` has the columns seed, epoch, layer, norm; the line "whole model" is the root of the sum of squares.
    """
    need_columns(norms, "seed", "epoch", "layer", "norm")
    whole = norms.assign(norm=norms["norm"] ** 2).groupby(["seed", "epoch"], as_index=False)["norm"].sum()
    table = pd.concat([norms, whole.assign(norm=whole["norm"] ** 0.5, layer="all")])
    figure, axes = new_figure()
    for layer in ["all", *[name for name in layers if name in set(norms["layer"])]]:
        rows = table[table["layer"] == layer].assign(log=lambda rows: np.log(rows["norm"]))
        summary = over_seeds(rows, value="log", by="epoch").sort_values("epoch")
        summary[["mean", "low", "high"]] = np.exp(summary[["mean", "low", "high"]])
        shown = look(layer)
        draw_band(axes, summary["epoch"] + 1, summary, shown.color)
        axes.plot(
            summary["epoch"] + 1, summary["mean"], color=shown.color, marker=shown.marker,
            linewidth=2.4 if layer == "all" else 1.5, label=shown.label,
        )  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="norm of the recorded gradient (log axis)")
    figure.legend(loc="outside right upper")
    set_title(axes, "The recorded gradients", norms)
    return figure
