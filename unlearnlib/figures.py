"""Figures: a tidy table in, a matplotlib figure out.

Every name has one colour and one marker in all figures (LOOKS). Points and lines are means of the seed means; bars and
bands are 95% t-intervals over seeds, and are left out where there is one seed. The retrained model, which never saw the
forget set, is in each figure as the reference.
"""

import io
import textwrap
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import ticker
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from unlearnlib.errors import UserError, nearest
from unlearnlib.statistics import over_seeds

WIDTH, HEIGHT, DPI = 8.0, 4.5, 110
CHANCE = 1 / 6  # of a multiple choice among the right and five wrong answers
GREY, DARK = "#767676", "#222222"
DASHED, DOTTED = (0, (4, 3)), (0, (1, 2))


@dataclass(frozen=True)
class Look:
    """How a name is drawn and written."""

    label: str
    color: str
    marker: str = "o"


# The one place for colours and markers. The colours stay apart for colour-blind readers (Okabe and Ito; Tol).
LOOKS = {
    # models
    "base": Look("base model", "#9A9A9A", "o"),
    "finetuned": Look("fine-tuned", DARK, "s"),
    "retrained": Look("retrained", "#117733", "*"),
    # methods
    "first_epoch": Look("first epoch", "#0072B2", "o"),
    "recorded": Look("recorded gradient", "#0072B2", "o"),
    "all_epochs": Look("all epochs", "#D55E00", "s"),
    "last_epoch": Look("last epoch", "#E69F00", "^"),
    "live": Look("live ascent", "#56B4E9", "v"),
    "preconditioned": Look("preconditioned", "#CC79A7", "D"),
    "random": Look("random direction", GREY, "X"),
    # layers
    "all": Look("whole model", "#0072B2", "o"),
    "embedding": Look("embedding", "#882255", "P"),
    "input_embedding": Look("input embedding", "#AA4499", "<"),
    "output_embedding": Look("output embedding", "#CC6677", ">"),
    "name_rows": Look("rows of the name", "#B8860B", "h"),
    "embedding_without_name_rows": Look("embedding without the name", "#661100", "p"),
    "position_embedding": Look("position embedding", "#6699CC", "d"),
    **{
        f"h.{block}": Look(f"block {block + 1}", color, "o")
        for block, color in enumerate(sns.color_palette("cividis", 12).as_hex())
    },
    "ln_f": Look("last layer norm", "#44AA99", "8"),
    "h.10+h.11": Look("blocks 11 and 12", "#999933", "D"),
}
SETS = {
    "forget": Look("forget set", "#D55E00", "o"),
    "paraphrase": Look("its paraphrases", "#E69F00", "^"),
    "heldout": Look("held-out points", "#56B4E9", "v"),
    "never_seen": Look("never-seen people", GREY, "X"),
    "retain": Look("retained people", "#0072B2", "s"),
    "general": Look("general text", "#AA4499", "D"),
}
METRICS = {
    "answer_probability": "answer probability",
    "cloze_hit": "cloze hits (share)",
    "text_nll": "text NLL (nats a token)",
    "answer_nll": "answer NLL (nats a token)",
    "perplexity": "perplexity",
    "rouge1_f1": "ROUGE-1 F1",
    "rouge2_f1": "ROUGE-2 F1",
    "rougeL_f1": "ROUGE-L F1",
    "rougeL_recall": "ROUGE-L recall",
}
RISES = ("text_nll", "answer_nll", "perplexity")  # metrics that are higher where less is known
REFERENCES = ("base", "finetuned", "retrained")
SPARE = ("#332288", "#88CCEE", "#DDCC77", "#CC6677", "#AA4499", "#44AA99", "#6699CC", "#661100")


def style() -> None:
    """Set the theme of all figures."""
    sns.set_theme(
        style="ticks",
        rc={
            "figure.dpi": DPI,
            "savefig.dpi": DPI,
            "font.size": 10,
            "axes.labelsize": 10,
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.titlepad": 8,
            "axes.grid": True,
            "grid.color": "#E6E6E6",
            "grid.linewidth": 0.8,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#555555",
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "xtick.color": "#555555",
            "ytick.color": "#555555",
            "xtick.labelcolor": DARK,
            "ytick.labelcolor": DARK,
            "legend.fontsize": 9,
            "legend.frameon": False,
        },
    )


def look(name: str) -> Look:
    """Return how `name` (a model, method, layer or set) is drawn; an unknown one always gets the same spare colour."""
    known = LOOKS | SETS
    for spelled in (str(name), str(name).strip().replace(" ", "_").replace("-", "_")):
        if spelled in known:
            return known[spelled]
    number = zlib.crc32(str(name).encode())
    return Look(str(name).replace("_", " "), SPARE[number % len(SPARE)], "osD^vPX"[number // len(SPARE) % 7])


def save(figure, folder, name: str) -> Path:
    """Write `figure` as <folder>/<name>.png and return the path.

    Equal figures give equal bytes: no date, no version. A palette of 256 colours keeps the committed files small.
    """
    path = Path(folder) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def training_curve(log: pd.DataFrame):
    """Return the training loss: per step (faint), per epoch and seed (thin), per epoch over seeds with its interval.

    `log` has the columns seed, epoch, step, loss (nats a token) and, where several models are shown, method
    (`finetuned`, `retrained`).
    """
    _columns(log, "seed", "epoch", "step", "loss")
    log = log.assign(method=log["method"] if "method" in log.columns else "finetuned")
    log = log.sort_values(["method", "seed", "epoch", "step"])
    log["at"] = log.groupby(["method", "seed"]).cumcount() + 1
    figure, axes = _figure()
    ends = []
    for method, rows in log.groupby("method", sort=False):
        shown, dashes = look(method), (0, (3, 1.5)) if method == "retrained" else "-"
        each = rows.groupby("at")["loss"].mean()
        axes.plot(each.index, each, color=shown.color, linewidth=0.5, alpha=0.4)
        middle = rows.groupby("epoch")["at"].mean()
        for _, one in rows.groupby("seed"):
            axes.plot(middle, one.groupby("epoch")["loss"].mean(), color=shown.color, linewidth=0.7, alpha=0.5)
        means = over_seeds(rows, value="loss", by="epoch").sort_values("epoch")
        _band(axes, middle, means, shown.color)
        axes.plot(middle, means["mean"], color=shown.color, linewidth=2, linestyle=dashes)
        ends.append((float(means["mean"].iloc[-1]), float(middle.iloc[-1]), shown))
    for place, (height, at, shown) in enumerate(sorted(ends, key=lambda end: end[0])):
        axes.annotate(
            shown.label, (at, height), (9, 9 * (2 * place - len(ends) + 1)), textcoords="offset points",
            color=shown.color, va="center", fontweight="bold",
        )  # fmt: skip
    edges = log.groupby("epoch")["at"].max().to_numpy()
    for edge in edges[:-1]:
        axes.axvline(edge + 0.5, color="#DDDDDD", linewidth=0.8, zorder=0)
    axes.grid(False, axis="x")
    axes.set(xlabel="optimizer step (vertical lines: ends of epochs)", ylabel="training loss (nats a token)")
    axes.set_xlim(0, log["at"].max() * 1.1)
    axes.set_ylim(bottom=0)
    _title(axes, "Training loss", log)
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
    table = _rows(table, metrics=metrics)
    methods = [name for name in REFERENCES if name in set(table["method"])]
    table = table[table["method"].isin(methods) & table["set"].isin(sets)]
    sets = [name for name in sets if name in set(table["set"])]
    figure, panels = _figure(1, len(metrics), sharey=True)
    for axes, metric in zip(np.atleast_1d(panels), metrics, strict=True):
        part = table[table["metric"] == metric]
        summary = over_seeds(part, by=["method", "set"]).set_index(["method", "set"])
        for place, method in enumerate(methods):
            shown, shift = look(method), 0.24 * (place - (len(methods) - 1) / 2)
            present = [i for i, name in enumerate(sets) if (method, name) in summary.index]
            rows = summary.loc[[(method, sets[i]) for i in present]]
            _seed_dots(axes, part[part["method"] == method], sets, shift, shown.color)
            _points(axes, np.array(present) + shift, rows, shown, vertical=True)
        if metric == "answer_probability":
            axes.axhline(CHANCE, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
            axes.annotate(
                "chance, 1/6", (1, CHANCE), (-2, -4), xycoords=("axes fraction", "data"), textcoords="offset points",
                ha="right", va="top", color=GREY, fontsize=8.5,
            )  # fmt: skip
        axes.set_xticks(range(len(sets)), [_wrapped(look(name).label) for name in sets])
        axes.set(ylim=(-0.03, 1.03), xlim=(-0.5, len(sets) - 0.5))
        axes.grid(False, axis="x")
        axes.set_title(_metric(metric))
    np.atleast_1d(panels)[0].set_ylabel("mean over the set")
    _legend(figure, methods, table)
    return figure


def frontier(
    table: pd.DataFrame,
    x: tuple[str, str] = ("forget", "answer_probability"),
    y: tuple[str, str] = ("retain", "answer_probability"),
    by: str = "method",
    target: float | None = None,
):
    """Return the forget-retain frontier: one curve per method (or `by="layers"`) along its step sizes.

    `table` has the columns seed, method, (layers), step_size, set, metric, value; points of different seeds are matched
    by the column `step` (or else by the rank of their step size), then averaged. Rows with the methods `finetuned` and
    `retrained` are the start and the reference. `target` is the line of equal forgetting, by default the never-seen
    people's value under the fine-tuned model where the table has it. A ring marks each curve's point of equal
    forgetting: the step where `step_size` equals the column `calibrated` (none where `reached` is false), or else where
    the curve first crosses the target.
    """
    _columns(table, by, "method", "set", "metric")
    if target is None:
        known = table[(table["method"] == "finetuned") & (table["set"] == "never_seen") & (table["metric"] == x[1])]
        target = float(known.groupby("seed")["value"].mean().mean()) if len(known) else None
    references = table[table["method"].isin(REFERENCES)]
    moved = table[~table["method"].isin(REFERENCES)]
    figure, axes = _figure()
    if target is not None:
        axes.axvline(target, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
    ends = []
    for name in _order(moved[by]):
        curve = _curve(moved[moved[by] == name], x, y)
        shown = look(name)
        if len(curve) == 0:
            continue
        axes.fill_between(curve["x"], curve["low"], curve["high"], color=shown.color, alpha=0.13, linewidth=0)
        axes.plot(curve["x"], curve["y"], color=shown.color, linewidth=1.8, zorder=3)
        axes.plot(
            curve["x"][1:], curve["y"][1:], linestyle="none", color=shown.color, marker=shown.marker,
            markersize=_size(shown, 5), markeredgecolor="white", markeredgewidth=0.5, zorder=4,
        )  # fmt: skip
        ring = _equal_forgetting(curve, target, rises=x[1] in RISES)
        if ring is not None:
            axes.plot(
                *ring, marker="o", markersize=12, markerfacecolor="none", markeredgecolor=shown.color,
                markeredgewidth=1.8, zorder=5,
            )  # fmt: skip
        ends.append((name, shown))
    for name in ("finetuned", "retrained"):
        _reference_point(axes, references[references["method"] == name], x, y, name)
    forgotten, kept = ("forgotten →" if x[1] in RISES else "← forgotten"), ("← kept" if y[1] in RISES else "kept →")
    axes.set_xlabel(f"{look(x[0]).label}: {_metric(x[1])}  ({forgotten})")
    axes.set_ylabel(f"{look(y[0]).label}: {_metric(y[1])}  ({kept})")
    axes.margins(x=0.06, y=0.08)
    handles = [_handle(shown, line=True) for _, shown in ends]
    handles += [_handle(look(name)) for name in ("finetuned", "retrained") if name in set(references["method"])]
    handles.append(
        Line2D([], [], linestyle="none", marker="o", markersize=10, markerfacecolor="none", markeredgecolor=DARK,
               markeredgewidth=1.5, label="equal forgetting")
    )  # fmt: skip
    if target is not None:
        handles.append(_line_handle(GREY, "never-seen people", 1, DASHED))
    legend = figure.legend(handles=handles, loc="outside right upper", title=_wrapped(_seeds(table), 22))
    legend.get_title().set(color=GREY, fontsize=8.5)
    legend.set_alignment("left")
    return figure


def layer_profile(table: pd.DataFrame, kept: tuple[str, str] = ("retain", "answer_probability"), by: str = "layers"):
    """Return, for each layer, the step norm that equal forgetting needs and what is lost of `kept` at that step.

    `table` holds evaluations at equal forgetting: columns seed, method, layers, step_size, set, metric, value and
    `reached` (false, or a step size that is not finite: the target cannot be reached by these layers); and the rows of
    the models `finetuned` and `retrained`. Losses are differences from the fine-tuned model of the same seed.
    """
    _columns(table, by, "seed", "method", "step_size")
    chosen = _rows(table, kept[0], [kept[1]])
    moved = chosen[~chosen["method"].isin(REFERENCES)]
    names = [name for name in LOOKS if name in set(moved[by])]
    names += [name for name in _order(moved[by]) if name not in names]
    start, reference = (chosen[chosen["method"] == name] for name in ("finetuned", "retrained"))
    sign = 1 if kept[1] in RISES else -1
    steps = moved.assign(reached=_reached(moved)).groupby([by, "seed"])[["step_size", "reached"]].first().reset_index()
    figure, (left, right) = _figure(1, 2, sharey=True, height=max(HEIGHT, 1.1 + 0.27 * len(names)))
    seeds = moved["seed"].nunique()
    finite = steps.loc[steps["reached"], "step_size"]
    low, limit = (float(finite.min()) / 1.6, float(finite.max()) * 1.6) if len(finite) else (0.1, 1.0)
    for place, name in enumerate(names):
        shown = look(name)
        mine = steps[(steps[by] == name)]
        reached = set(mine.loc[mine["reached"], "seed"])
        good = mine[mine["seed"].isin(reached)]
        if len(good):
            summary = over_seeds(good.assign(value=np.log(good["step_size"])), by=by)
            _points(left, [place], np.exp(summary[["mean", "low", "high"]]), shown)
        if len(reached) < seeds:
            text = f"reached in {len(reached)} of {seeds} seeds" if reached else "unreachable"
            # On the free side of the point.
            right_side = not reached or np.log(good["step_size"]).mean() < np.log(low * limit) / 2
            left.annotate(
                text, (limit if right_side else low, place), (-4 if right_side else 4, 0), textcoords="offset points",
                ha="right" if right_side else "left", va="center", fontsize=8, color="#B00020", style="italic",
            )  # fmt: skip
        # An open marker: what is lost at the step where the set is least known, short of the target.
        there = moved[(moved[by] == name) & (moved["seed"].isin(reached) if reached else True)]
        _points(right, [place], sign * _changes(there, start), shown, filled=bool(reached))
    if len(reference):
        _reference_line(right, sign * _changes(reference, start).iloc[0])
    right.axvline(0, color=DARK, linewidth=0.8, zorder=1)
    left.set_xscale("log")
    left.set(xlim=(low, limit), xlabel="step norm (L2, log axis)")
    left.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    left.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    left.xaxis.set_minor_formatter(ticker.NullFormatter())
    right.set(xlabel=f"{'rise' if sign > 0 else 'loss'} of the {_metric(kept[1])}")
    left.set_yticks(range(len(names)), [look(name).label for name in names])
    left.set_ylim(len(names) - 0.4, -0.6)
    left.set_title("Step that equal forgetting needs")
    right.set_title(f"What it costs the {look(kept[0]).label}")
    handles = [_line_handle(LOOKS["retrained"].color, "retrained model", 2)] if len(reference) else []
    _note(figure, moved, handles if _reached(moved).all() else [*handles, _open_handle()])
    return figure


def collateral(
    table: pd.DataFrame,
    panels: Sequence[tuple[str, str, str]] = (
        ("retain", "answer_probability", "change"),
        ("paraphrase", "answer_probability", "change"),
        ("heldout", "answer_probability", "change"),
        ("general", "perplexity", "ratio"),
    ),
    by: str = "method",
):
    """Return what else moved at equal forgetting, per method: dots with intervals, one panel per (set, metric, kind).

    `table` holds evaluations at equal forgetting (columns seed, method, set, metric, value, and `reached` where known)
    and the models `finetuned` and `retrained`. `change` is the difference from the fine-tuned model of the same seed,
    `ratio` the quotient (averaged as logarithms). The green line is the retrained model's own change: the place to be.
    """
    _columns(table, by, "seed", "method")
    if by == "method":
        _one_step(table)
    names = _order(table.loc[~table["method"].isin(REFERENCES), by])
    rows_high = max(3.2, 1.5 + 0.34 * len(names))
    figure, axes_row = _figure(1, len(panels), sharey=True, height=rows_high)
    for axes, (chosen_set, metric, kind) in zip(np.atleast_1d(axes_row), panels, strict=True):
        if kind not in ("change", "ratio"):
            raise UserError(f"unknown kind of panel {kind!r}: {nearest(kind, ('change', 'ratio'))}")
        ratio, rows = kind == "ratio", _rows(table, chosen_set, [metric])
        start, reference = (rows[rows["method"] == name] for name in ("finetuned", "retrained"))
        moved = rows[~rows["method"].isin(REFERENCES)]
        if len(reference):
            _reference_line(axes, _changes(reference, start, ratio).iloc[0])
        axes.axvline(1 if ratio else 0, color=DARK, linewidth=0.8, zorder=1)
        for place, name in enumerate(names):
            mine = moved[moved[by] == name]
            if len(mine):
                _points(axes, [place], _changes(mine, start, ratio), look(name), filled=bool(_reached(mine).all()))
        axes.set_title(look(chosen_set).label)
        axes.set_xlabel(f"{kind} of the\n{_metric(metric)}")
        axes.xaxis.set_major_locator(ticker.MaxNLocator(3))
        axes.margins(x=0.12)
    first = np.atleast_1d(axes_row)[0]
    first.set_yticks(range(len(names)), [look(name).label for name in names])
    first.set_ylim(len(names) - 0.4, -0.6)
    handles = [_line_handle(LOOKS["retrained"].color, "retrained model", 2)]
    handles.append(_line_handle(DARK, "fine-tuned model", 0.8))
    if not _reached(table).all():
        handles.append(_open_handle())
    _note(figure, table, handles)
    return figure


def forest(comparisons: pd.DataFrame, by: str = "method"):
    """Return the mean differences with their intervals: over points and over seeds side by side, effect sizes printed.

    `comparisons` is a table of `unlearnlib.statistics.compare_methods` of one metric and set. The grey zone is the
    margin of "no impact" where one was given; p is Holm-adjusted.
    """
    _columns(comparisons, by, "metric", "set", "baseline", "unit", "difference", "low", "high", "d", "p_holm", "n")
    if comparisons.duplicated([by, "unit"]).any():
        raise UserError(f"the comparisons hold several rows for one {by} and unit: choose one metric and set")
    names = _order(comparisons[by])
    figure, (left, right) = _figure(1, 2, sharey=True, sharex=True, height=max(3.4, 1.5 + 0.36 * len(names)))
    for axes, unit in ((left, "points"), (right, "seeds")):
        part = comparisons[comparisons["unit"] == unit].set_index(by)
        axes.axvline(0, color=DARK, linewidth=0.8, zorder=1)
        margin = part["margin"].max() if "margin" in part.columns else np.nan
        if np.isfinite(margin):
            axes.axvspan(-margin, margin, color="#EDEDED", zorder=0)
        for place, name in enumerate(names):
            if name not in part.index:
                continue
            row = part.loc[name]
            point = pd.DataFrame({"mean": [row["difference"]], "low": [row["low"]], "high": [row["high"]]})
            _points(axes, [place], point, look(name))
            axes.annotate(
                _effect(row), (1, place), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                va="center", fontsize=8, color=DARK, annotation_clip=False,
            )  # fmt: skip
        size = part["n"].max()
        of = "all points pooled, as in the paper" if unit == "points" else "seed means: the inference"
        axes.set_title(f"{of}  (n = {size:.0f})" if len(part) else of)
        axes.grid(False, axis="y")
        axes.margins(x=0.1)
    left.set_yticks(range(len(names)), [look(name).label for name in names])
    left.set_ylim(len(names) - 0.4, -0.6)
    first = comparisons.iloc[0]
    shown = f"{look(first['set']).label}: {_metric(first['metric'])}, method minus {look(first['baseline']).label}"
    figure.supxlabel(f"{shown} (mean and 95% interval)", fontsize=10)
    return figure


def perplexity_steps(table: pd.DataFrame, sets: Sequence[str] = ("forget", "heldout", "retain", "general")):
    """Return the perplexity of each set before fine-tuning, after it, after each method, and of the retrained model.

    `table` has the columns seed, method, set, metric, value with the metric `perplexity` (see `results.means`), the
    methods each at one step size. Logarithmic axis.
    """
    return _stages(table, "perplexity", sets, "Perplexity along the experiment", log=True)


def rouge_steps(table: pd.DataFrame, sets: Sequence[str] = ("forget", "retain"), metric: str = "rougeL_f1"):
    """Return ROUGE of each set before fine-tuning, after it, after each method, and of the retrained model.

    `table` has the columns seed, method, set, metric, value (examples are averaged within each seed), the methods each
    at one step size.
    """
    return _stages(table, metric, sets, f"{_metric(metric)} of greedy continuations")


def _stages(table: pd.DataFrame, metric: str, sets: Sequence[str], title: str, log: bool = False):
    table = _rows(table, metrics=[metric])
    _one_step(table)
    table = table[table["set"].isin(sets)]
    sets = [name for name in sets if name in set(table["set"])]
    methods = _order(table["method"])
    stages = [name for name in ("base", "finetuned") if name in methods]
    stages += [name for name in methods if name not in REFERENCES]
    stages += [name for name in ("retrained",) if name in methods]
    figure, axes = _figure()
    for place, name in enumerate(sets):
        shown, shift = look(name), 0.13 * (place - (len(sets) - 1) / 2)
        summary = over_seeds(table[table["set"] == name], by="method").set_index("method")
        present = [i for i, stage in enumerate(stages) if stage in summary.index]
        rows = summary.loc[[stages[i] for i in present]]
        if "retrained" in summary.index:
            # Where the reference stands, drawn through all stages.
            axes.axhline(summary.loc["retrained", "mean"], color=shown.color, linewidth=1, linestyle=DOTTED, zorder=1)
        _points(axes, np.array(present) + shift, rows, shown, vertical=True)
    if "retrained" in stages and len(stages) > 1:
        axes.axvline(len(stages) - 1.5, color="#BBBBBB", linewidth=0.8)
    if "finetuned" in stages and len(stages) > 2:
        axes.axvline(stages.index("finetuned") + 0.5, color="#BBBBBB", linewidth=0.8)
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    else:
        axes.set_ylim(-0.03, 1.03)
    axes.set_xticks(range(len(stages)), [_wrapped(look(name).label) for name in stages])
    axes.set(xlim=(-0.5, len(stages) - 0.5), ylabel=_metric(metric) + (" (log axis; lower is better)" if log else ""))
    axes.grid(False, axis="x")
    handles = [_handle(look(name)) for name in sets]
    handles.append(_line_handle(DARK, "retrained", 1, DOTTED))
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), columnspacing=1.2, handletextpad=0.4)
    _title(axes, title, table)
    return figure


def along_steps(table: pd.DataFrame, metric: str, sets: Sequence[str], by: str = "method"):
    """Return one panel per set: `metric` along the step, one line per method, between base and retrained model.

    `table` has the columns seed, method, step, set, metric, value; `step` is the share of each method's own step to
    equal forgetting (missing for the models base, finetuned and retrained; the fine-tuned model is step 0). Perplexity
    is drawn on a logarithmic axis.
    """
    _columns(table, by, "step")
    table = _rows(table, metrics=[metric])
    figure, panels = _figure(1, len(sets), sharey=metric != "perplexity")
    names = [name for name in _order(table[by]) if name not in REFERENCES]
    for axes, chosen_set in zip(np.atleast_1d(panels), sets, strict=True):
        part = table[table["set"] == chosen_set]
        start = part[part["method"] == "finetuned"].assign(step=0.0)
        for name in names:
            rows = pd.concat([start.assign(**{by: name}), part[part[by] == name]])
            summary = over_seeds(rows, by="step").sort_values("step")
            shown = look(name)
            _band(axes, summary["step"], summary, shown.color)
            axes.plot(summary["step"], summary["mean"], color=shown.color, marker=shown.marker, markersize=5)
        for name in ("base", "retrained"):
            mine = part[part["method"] == name]
            if len(mine):
                axes.axhline(
                    over_seeds(mine)["mean"].iloc[0], color=look(name).color, linewidth=1.4, linestyle=(0, (5, 2))
                )
        axes.axvline(1, color="#BBBBBB", linewidth=0.8, zorder=0)
        axes.set_title(SETS[chosen_set].label)
        axes.set_xlabel("step / step to\nequal forgetting")
        if metric == "perplexity":
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
            axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    np.atleast_1d(panels)[0].set_ylabel(
        _metric(metric) + (" (log axis; lower is better)" if metric == "perplexity" else "")
    )
    handles = [_handle(look(name), line=True) for name in names]
    handles += [
        Line2D([], [], color=look(name).color, linewidth=1.4, linestyle=(0, (5, 2)), label=look(name).label)
        for name in ("base", "retrained")
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), columnspacing=1.2, handletextpad=0.4)
    return figure


def gradient_norms(
    norms: pd.DataFrame, layers: Sequence[str] = ("embedding", "h.0", "h.5", "h.11", "position_embedding")
):
    """Return the norm of the recorded gradient (summed over the forget set) by epoch, one line per layer, log axis.

    `norms` has the columns seed, epoch, layer, norm; the line "whole model" is the root of the sum of squares.
    """
    _columns(norms, "seed", "epoch", "layer", "norm")
    whole = norms.assign(norm=norms["norm"] ** 2).groupby(["seed", "epoch"], as_index=False)["norm"].sum()
    table = pd.concat([norms, whole.assign(norm=whole["norm"] ** 0.5, layer="all")])
    figure, axes = _figure()
    for layer in ["all", *[name for name in layers if name in set(norms["layer"])]]:
        rows = table[table["layer"] == layer].assign(log=lambda rows: np.log(rows["norm"]))
        summary = over_seeds(rows, value="log", by="epoch").sort_values("epoch")
        summary[["mean", "low", "high"]] = np.exp(summary[["mean", "low", "high"]])
        shown = look(layer)
        _band(axes, summary["epoch"] + 1, summary, shown.color)
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
    _title(axes, "What the gradients of Dave's points are worth, epoch by epoch", norms)
    return figure


def pretraining_curve(log: pd.DataFrame, uniform: int):
    """Return the base model's loss along the tokens read (columns tokens, loss); `uniform` is the vocabulary's size."""
    _columns(log, "tokens", "loss")
    figure, axes = _figure(height=3.6)
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


def split_drawn(drawn: pd.DataFrame):
    """Return which attributes each seed trains on: `drawn` is attributes x seeds, with the values forget and heldout."""
    figure, axes = _figure(height=max(2.2, 0.42 * drawn.shape[1] + 1.5))
    ordered = drawn.loc[(drawn == "forget").sum(axis=1).sort_values(kind="stable").index]
    colors = [SETS["heldout"].color, SETS["forget"].color]
    sns.heatmap(
        (ordered == "forget").T.astype(int), cmap=colors, cbar=False, linewidths=1.5, linecolor="white", ax=axes,
        xticklabels=True, yticklabels=True,
    )  # fmt: skip
    axes.set(xlabel="", ylabel="seed")
    axes.tick_params(length=0)
    axes.set_xticklabels(axes.get_xticklabels(), rotation=60, ha="right")
    handles = [Line2D([], [], linestyle="none", marker="s", markersize=9, color=color, label=name)
               for color, name in zip(reversed(colors), ("trained on, to be forgotten", "held out"), strict=True)]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    axes.set_title("Dave's attributes, as each seed draws them")
    return figure


def overview(counts: Mapping[str, int]):
    """Return the experiment as a drawing: the three models, and the sets (with their `counts`) that each has read."""
    figure, axes = _figure(height=3.9)
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
            )  # fmt: skip
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
    arrow((1.8, 2.9), (4.1, 4.3), models["finetuned"].color, text=both, at=0.32, lift=0.32)
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
    unseen = f"never trained on:  held-out points of Dave ({counts['heldout']}),  never-seen people ({counts['never_seen']}),"
    axes.text(0.1, -0.15, f"{unseen}  general text ({counts['general']})", fontsize=8.8, color=DARK, va="center")
    return figure


# Tables


def _columns(table: pd.DataFrame, *names: str) -> None:
    for name in names:
        if name not in table.columns:
            raise UserError(f"the table has no column {name!r}: {nearest(name, table.columns)}")


def _rows(table: pd.DataFrame, chosen_set: str | None = None, metrics: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of one set (or all) and some metrics; UserError where there are none."""
    _columns(table, "seed", "method", "set", "metric", "value")
    for metric in metrics:
        if metric not in set(table["metric"]):
            raise UserError(f"the table has no metric {metric!r}: {nearest(metric, table['metric'].unique())}")
    rows = table[table["metric"].isin(metrics)]
    if chosen_set is not None:
        rows = rows[rows["set"] == chosen_set]
        if rows.empty:
            raise UserError(f"no {', '.join(metrics)} of the set {chosen_set!r} in the table")
    return rows


def _one_step(table: pd.DataFrame) -> None:
    """UserError where a method stands in the table at several step sizes of one seed: they must not be averaged."""
    if "step_size" in table.columns:
        counts = table.groupby(["method", "seed"])["step_size"].nunique()
        if (counts > 1).any():
            raise UserError(
                f"{counts.idxmax()[0]!r} has several step sizes in one seed: choose one, or draw its frontier"
            )


def _order(names: pd.Series) -> list[str]:
    """The different names in the order in which the table brings them."""
    return list(dict.fromkeys(names.dropna()))


def _changes(rows: pd.DataFrame, start: pd.DataFrame, ratio: bool = False) -> pd.DataFrame:
    """Mean and interval over seeds of the change from `start` (or of the quotient, averaged as logarithms)."""
    if start.empty:
        raise UserError("the table lacks the rows of the method 'finetuned', from which changes are counted")
    after, before = (part.groupby("seed")["value"].mean() for part in (rows, start))
    change = np.log(after / before) if ratio else after - before
    summary = over_seeds(change.rename("value").reset_index().assign(name="change"), by="name")
    numbers = summary[["mean", "low", "high"]]
    return np.exp(numbers) if ratio else numbers


def _reached(rows: pd.DataFrame) -> pd.Series:
    """Whether each row's step reaches equal forgetting."""
    reached = pd.Series(True, index=rows.index)
    if "reached" in rows.columns:
        reached &= rows["reached"].fillna(True).astype(bool)
    if "step_size" in rows.columns:
        reached &= np.isfinite(rows["step_size"].astype(float)) | rows["method"].isin(REFERENCES)
    return reached


def _curve(rows: pd.DataFrame, x: tuple[str, str], y: tuple[str, str]) -> pd.DataFrame:
    """One curve, averaged over seeds at each step: x, y, low, high, and whether it is the calibrated step."""
    wide = []
    for name, (chosen_set, metric) in (("x", x), ("y", y)):
        part = rows[(rows["set"] == chosen_set) & (rows["metric"] == metric)]
        wide.append(part.groupby(["seed", "step_size"])["value"].mean().rename(name))
    points = pd.concat(wide, axis=1).dropna().reset_index()
    if "step" in rows.columns and rows["step"].notna().all():
        points = points.merge(rows[["seed", "step_size", "step"]].drop_duplicates(), on=["seed", "step_size"])
    else:
        points["step"] = points.groupby("seed")["step_size"].rank(method="dense")
    summary = over_seeds(points, value="y", by="step").sort_values("step").set_index("step")
    curve = points.groupby("step")[["x", "y"]].mean().join(summary[["low", "high"]])
    curve["calibrated"] = False
    if "calibrated" in rows.columns:
        known = rows[np.isclose(rows["step_size"], rows["calibrated"]) & _reached(rows)].drop_duplicates(["seed"])
        at = points.merge(known[["seed", "step_size"]], on=["seed", "step_size"])["step"]
        # A ring only where every seed reaches the target at one and the same step.
        if len(at) == rows["seed"].nunique() and at.nunique() == 1:
            curve.loc[at.iloc[0], "calibrated"] = True
    curve.attrs["calibration known"] = "calibrated" in rows.columns
    return curve


def _equal_forgetting(curve: pd.DataFrame, target: float | None, rises: bool) -> tuple[float, float] | None:
    """Where a curve reaches equal forgetting: its calibrated step, or its first crossing of the target."""
    if curve.attrs["calibration known"]:
        at = curve[curve["calibrated"]]
        return None if at.empty else (at["x"].iloc[0], at["y"].iloc[0])
    if target is None:
        return None
    xs, ys = curve["x"].to_numpy(), curve["y"].to_numpy()
    beyond = np.flatnonzero(xs >= target if rises else xs <= target)
    if not len(beyond):
        return None
    after = beyond[0]
    if after == 0:
        return xs[0], ys[0]
    share = (xs[after - 1] - target) / (xs[after - 1] - xs[after])
    return target, ys[after - 1] + share * (ys[after] - ys[after - 1])


# Marks


def _figure(rows: int = 1, columns: int = 1, height: float = HEIGHT, **options):
    style()
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), layout="constrained", **options)
    plt.close(figure)  # a notebook shows what a cell returns; an open figure would be shown twice
    return figure, axes


def _size(shown: Look, size: float) -> float:
    """Stars, crosses and diamonds look smaller or larger than discs of the same size."""
    return size * {"*": 1.9, "X": 1.15, "P": 1.15, "D": 0.85, "s": 0.92}.get(shown.marker, 1)


def _points(axes, places, summary: pd.DataFrame, shown: Look, vertical: bool = False, filled: bool = True) -> None:
    """Means with intervals at `places` along the other axis; open markers where `filled` is false."""
    places, means = np.asarray(places, dtype=float), summary["mean"].to_numpy()
    reach = np.abs(np.array([means - summary["low"], summary["high"] - means], dtype=float))
    xy = (places, means) if vertical else (means, places)
    error = {"yerr" if vertical else "xerr": reach} if np.isfinite(reach).any() else {}
    marker, size = (shown.marker, _size(shown, 7)) if filled else ("o", 7)
    axes.errorbar(
        *xy, **error, linestyle="none", color=shown.color, elinewidth=1.6, capsize=0, marker=marker,
        markersize=size, markerfacecolor=shown.color if filled else "white",
        markeredgecolor="white" if filled else shown.color, markeredgewidth=0.7 if filled else 1.5, zorder=4,
    )  # fmt: skip


def _seed_dots(axes, rows: pd.DataFrame, sets: Sequence[str], shift: float, color: str) -> None:
    if rows["seed"].nunique() < 2:
        return
    means = rows.groupby(["set", "seed"])["value"].mean().reset_index()
    axes.plot(
        [sets.index(name) + shift + 0.075 for name in means["set"]], means["value"], linestyle="none", marker="o",
        markersize=2.6, markeredgewidth=0, color=color, alpha=0.45, zorder=3,
    )  # fmt: skip


def _band(axes, x, summary: pd.DataFrame, color: str) -> None:
    if summary["low"].notna().any():
        axes.fill_between(x, summary["low"], summary["high"], color=color, alpha=0.18, linewidth=0)


def _reference_point(axes, rows: pd.DataFrame, x: tuple[str, str], y: tuple[str, str], name: str) -> None:
    place = []
    for chosen_set, metric in (x, y):
        part = rows[(rows["set"] == chosen_set) & (rows["metric"] == metric)]
        if part.empty:
            return
        place.append(over_seeds(part, by="method").iloc[0])
    shown = look(name)
    for one, axis in zip(place, ("xerr", "yerr"), strict=True):
        if np.isfinite(one["low"]):
            reach = [[one["mean"] - one["low"]], [one["high"] - one["mean"]]]
            axes.errorbar(
                place[0]["mean"], place[1]["mean"], **{axis: reach}, color=shown.color, elinewidth=1.2, zorder=5
            )
    axes.plot(
        place[0]["mean"], place[1]["mean"], marker=shown.marker, markersize=_size(shown, 9), color=shown.color,
        markeredgecolor="white", markeredgewidth=0.8, linestyle="none", zorder=6,
    )  # fmt: skip


def _reference_line(axes, row: pd.Series) -> None:
    """The retrained model as a vertical line with its interval as a band."""
    color = LOOKS["retrained"].color
    axes.axvline(row["mean"], color=color, linewidth=2, zorder=2)
    if np.isfinite(row["low"]):
        axes.axvspan(row["low"], row["high"], color=color, alpha=0.12, linewidth=0, zorder=0)


# Words


def _metric(name: str) -> str:
    return METRICS.get(name, str(name).replace("_", " "))


def _effect(row: pd.Series) -> str:
    if not np.isfinite(row["p_holm"]):
        return "one seed: no test" if row["n"] <= 1 else "no test"
    size = f"d = {row['d']:.2f}" if abs(row["d"]) < 100 else ("d infinite" if np.isinf(row["d"]) else "|d| > 100")
    p = "p < .001" if row["p_holm"] < 0.001 else "p = " + f"{row['p_holm']:.3f}".lstrip("0")
    return f"{size}\n{p}".replace("-", "−")


def _wrapped(text: str, width: int = 11) -> str:
    return "\n".join(textwrap.wrap(text, width, break_long_words=False))


def _seeds(table: pd.DataFrame) -> str:
    n = table["seed"].nunique()
    return "one seed" if n == 1 else f"{n} seeds, mean and 95% interval"


def _title(axes, text: str, table: pd.DataFrame) -> None:
    axes.set_title(text, fontweight="bold")
    axes.set_title(_seeds(table), loc="right", fontsize=8.5, color=GREY)


def _handle(shown: Look, line: bool = False) -> Line2D:
    return Line2D(
        [], [], color=shown.color, linestyle="-" if line else "none", linewidth=1.8, marker=shown.marker,
        markersize=_size(shown, 6.5), markeredgecolor="white", markeredgewidth=0.5, label=shown.label,
    )  # fmt: skip


def _line_handle(color: str, label: str, width: float, dashes="-") -> Line2D:
    return Line2D([], [], color=color, linewidth=width, linestyle=dashes, label=label)


def _open_handle() -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker="o", markersize=6.5, markerfacecolor="white", markeredgecolor=DARK,
        markeredgewidth=1.5, label="equal forgetting not reached",
    )  # fmt: skip


def _legend(figure, methods: Sequence[str], table: pd.DataFrame) -> None:
    handles = [_handle(look(name)) for name in methods]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), title=None)
    figure.text(0.995, 0.985, _seeds(table), ha="right", va="top", fontsize=8.5, color=GREY)


def _note(figure, table: pd.DataFrame, handles: Sequence[Line2D] = ()) -> None:
    """The number of seeds, and a legend where there is one, above the panels."""
    if handles:
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    figure.text(0.995, 0.985, _seeds(table), ha="right", va="top", fontsize=8.5, color=GREY)
