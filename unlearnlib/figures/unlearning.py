"""Figures of what unlearning does."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.lines import Line2D

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.figures.looks import (
    DARK,
    DASHED,
    GREY,
    HEIGHT,
    LOGARITHMIC,
    LOOKS,
    REFERENCES,
    RISES,
    SETS,
    look,
)
from unlearnlib.figures.parts import (
    changes,
    chosen_rows,
    draw_band,
    draw_points,
    draw_reference_line,
    draw_reference_point,
    handle,
    in_order,
    line_handle,
    marker_size,
    metric_label,
    need_columns,
    new_figure,
    note,
    one_step,
    open_handle,
    reached_rows,
    seeds_text,
    wrapped,
)
from unlearnlib.statistics.seeds import over_seeds


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
    need_columns(table, by, "method", "set", "metric")
    if target is None:
        known = table[(table["method"] == "finetuned") & (table["set"] == "never_seen") & (table["metric"] == x[1])]
        target = float(known.groupby("seed")["value"].mean().mean()) if len(known) else None
    references = table[table["method"].isin(REFERENCES)]
    moved = table[~table["method"].isin(REFERENCES)]
    figure, axes = new_figure()
    if target is not None:
        axes.axvline(target, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
    ends = []
    for name in in_order(moved[by]):
        curve = _curve(moved[moved[by] == name], x, y)
        shown = look(name)
        if len(curve) == 0:
            continue
        axes.fill_between(curve["x"], curve["low"], curve["high"], color=shown.color, alpha=0.13, linewidth=0)
        axes.plot(curve["x"], curve["y"], color=shown.color, linewidth=1.8, zorder=3)
        axes.plot(
            curve["x"][1:], curve["y"][1:], linestyle="none", color=shown.color, marker=shown.marker,
            markersize=marker_size(shown, 5), markeredgecolor="white", markeredgewidth=0.5, zorder=4,
        )  # fmt: skip
        ring = _equal_forgetting(curve, target, rises=x[1] in RISES)
        if ring is not None:
            axes.plot(
                *ring, marker="o", markersize=12, markerfacecolor="none", markeredgecolor=shown.color,
                markeredgewidth=1.8, zorder=5,
            )  # fmt: skip
        ends.append((name, shown))
    for name in ("finetuned", "retrained"):
        draw_reference_point(axes, references[references["method"] == name], x, y, name)
    forgotten, kept = ("forgotten →" if x[1] in RISES else "← forgotten"), ("← kept" if y[1] in RISES else "kept →")
    axes.set_xlabel(f"{look(x[0]).label}: {metric_label(x[1])}  ({forgotten})")
    axes.set_ylabel(f"{look(y[0]).label}: {metric_label(y[1])}  ({kept})")
    axes.margins(x=0.06, y=0.08)
    handles = [handle(shown, line=True) for _, shown in ends]
    handles += [handle(look(name)) for name in ("finetuned", "retrained") if name in set(references["method"])]
    handles.append(
        Line2D([], [], linestyle="none", marker="o", markersize=10, markerfacecolor="none", markeredgecolor=DARK,
               markeredgewidth=1.5, label="equal forgetting")
    )  # fmt: skip
    if target is not None:
        handles.append(line_handle(GREY, "never-seen people", 1, DASHED))
    legend = figure.legend(handles=handles, loc="outside right upper", title=wrapped(seeds_text(table), 22))
    legend.get_title().set(color=GREY, fontsize=8.5)
    legend.set_alignment("left")
    return figure


def layer_profile(table: pd.DataFrame, kept: tuple[str, str] = ("retain", "answer_probability"), by: str = "layers"):
    """Return, for each layer, the step norm that equal forgetting needs and what is lost of `kept` at that step.

    `table` holds evaluations at equal forgetting: columns seed, method, layers, step_size, set, metric, value and
    `reached` (false, or a step size that is not finite: the target cannot be reached by these layers); and the rows of
    the models `finetuned` and `retrained`. Losses are differences from the fine-tuned model of the same seed.
    """
    need_columns(table, by, "seed", "method", "step_size")
    chosen = chosen_rows(table, kept[0], [kept[1]])
    moved = chosen[~chosen["method"].isin(REFERENCES)]
    names = [name for name in LOOKS if name in set(moved[by])]
    names += [name for name in in_order(moved[by]) if name not in names]
    start, reference = (chosen[chosen["method"] == name] for name in ("finetuned", "retrained"))
    sign = 1 if kept[1] in RISES else -1
    steps = (
        moved.assign(reached=reached_rows(moved)).groupby([by, "seed"])[["step_size", "reached"]].first().reset_index()
    )
    figure, (left, right) = new_figure(1, 2, sharey=True, height=max(HEIGHT, 1.1 + 0.27 * len(names)))
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
            draw_points(left, [place], np.exp(summary[["mean", "low", "high"]]), shown, filled=len(reached) == seeds)
        if len(reached) < seeds:
            text = f"reached in {len(reached)} of {seeds} seeds" if reached else "unreachable"
            # On the free side of the point.
            right_side = not reached or np.log(good["step_size"]).mean() < np.log(low * limit) / 2
            left.annotate(
                text, (limit if right_side else low, place), (-4 if right_side else 4, 0), textcoords="offset points",
                ha="right" if right_side else "left", va="center", fontsize=8, color="#B00020", style="italic",
            )  # fmt: skip
        # Where no seed reaches the target: what is lost at the step where the set is least known.
        there = moved[(moved[by] == name) & (moved["seed"].isin(reached) if reached else True)]
        draw_points(right, [place], sign * changes(there, start), shown, filled=len(reached) == seeds)
    if len(reference):
        draw_reference_line(right, sign * changes(reference, start).iloc[0])
    right.axvline(0, color=DARK, linewidth=0.8, zorder=1)
    left.set_xscale("log")
    left.set(xlim=(low, limit), xlabel="step norm (L2, log axis; geometric mean)")
    left.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    left.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    left.xaxis.set_minor_formatter(ticker.NullFormatter())
    right.set(xlabel=f"{'rise' if sign > 0 else 'loss'} of the {metric_label(kept[1])}")
    left.set_yticks(range(len(names)), [look(name).label for name in names])
    left.set_ylim(len(names) - 0.4, -0.6)
    left.set_title("Step that equal forgetting needs")
    right.set_title(f"What it costs the {look(kept[0]).label}")
    handles = [line_handle(LOOKS["retrained"].color, "retrained model", 2)] if len(reference) else []
    note(figure, moved, handles if reached_rows(moved).all() else [*handles, open_handle()])
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
    need_columns(table, by, "seed", "method")
    if by == "method":
        one_step(table)
    names = in_order(table.loc[~table["method"].isin(REFERENCES), by])
    rows_high = max(3.2, 1.5 + 0.34 * len(names))
    figure, axes_row = new_figure(1, len(panels), sharey=True, height=rows_high)
    for axes, (chosen_set, metric, kind) in zip(np.atleast_1d(axes_row), panels, strict=True):
        if kind not in ("change", "ratio"):
            raise UserError(f"unknown kind of panel {kind!r}: {nearest(kind, ('change', 'ratio'))}")
        ratio, rows = kind == "ratio", chosen_rows(table, chosen_set, [metric])
        start, reference = (rows[rows["method"] == name] for name in ("finetuned", "retrained"))
        moved = rows[~rows["method"].isin(REFERENCES)]
        if len(reference):
            draw_reference_line(axes, changes(reference, start, ratio).iloc[0])
        axes.axvline(1 if ratio else 0, color=DARK, linewidth=0.8, zorder=1)
        for place, name in enumerate(names):
            mine = moved[moved[by] == name]
            if len(mine):
                draw_points(
                    axes, [place], changes(mine, start, ratio), look(name), filled=bool(reached_rows(mine).all())
                )
        axes.set_title(look(chosen_set).label)
        axes.set_xlabel(f"{kind} of the\n{metric_label(metric)}")
        if ratio:
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(ticker.NullFormatter())
        else:
            axes.xaxis.set_major_locator(ticker.MaxNLocator(3))
        axes.margins(x=0.12)
    first = np.atleast_1d(axes_row)[0]
    first.set_yticks(range(len(names)), [look(name).label for name in names])
    first.set_ylim(len(names) - 0.4, -0.6)
    handles = [line_handle(LOOKS["retrained"].color, "retrained model", 2)]
    handles.append(line_handle(DARK, "fine-tuned model", 0.8))
    if not reached_rows(table).all():
        handles.append(open_handle())
    note(figure, table, handles)
    return figure


def along_steps(table: pd.DataFrame, metric: str, sets: Sequence[str], by: str = "method"):
    """Return one panel per set: `metric` along the step, one line per method, between base and retrained model.

    `table` has the columns seed, method, step, set, metric, value; `step` is the share of each method's own step to
    equal forgetting (missing for the models base, finetuned and retrained; the fine-tuned model is step 0). Perplexity
    is drawn on a logarithmic axis.
    """
    panels = [(chosen_set, metric) for chosen_set in sets]
    figure, all_axes = _along(table, panels, by, len(sets), HEIGHT, sharey=metric not in LOGARITHMIC)
    for axes, chosen_set in zip(all_axes, sets, strict=True):
        axes.set_title(SETS[chosen_set].label)
    all_axes[0].set_ylabel(
        metric_label(metric) + " (log axis; the retrained level is the aim)" * (metric in LOGARITHMIC)
    )
    return figure


def along_metrics(table: pd.DataFrame, panels: Sequence[tuple[str, str]], by: str = "method", columns: int = 3):
    """Return one panel per (set, metric) of `panels`: that metric along the step, as in along_steps."""
    rows = -(-len(panels) // columns)
    figure, all_axes = _along(table, panels, by, columns, 0.9 + 2.3 * rows)
    for axes, (chosen_set, metric) in zip(all_axes, panels, strict=False):
        axes.set_title(f"{SETS[chosen_set].label}:\n{metric_label(metric)}", fontsize=9)
    for axes in all_axes[: len(panels) - columns]:
        axes.set_xlabel("")
    for axes in all_axes[len(panels) :]:
        axes.set_visible(False)
    return figure


def _along(table: pd.DataFrame, panels, by: str, columns: int, height: float, **options):
    """Return a figure and its axes, one for every (set, metric) of `panels`, with lines along the step."""
    need_columns(table, by, "step")
    table = chosen_rows(table, metrics=list(dict.fromkeys(metric for _, metric in panels)))
    rows = -(-len(panels) // columns)
    figure, grid = new_figure(rows, columns, height=height, **options)
    all_axes = np.atleast_1d(grid).ravel()
    models = [name for name in ("base", "retrained") if (table["method"] == name).any()]
    names = [name for name in in_order(table[by]) if name not in REFERENCES]
    for axes, (chosen_set, metric) in zip(all_axes, panels, strict=False):
        part = table[(table["set"] == chosen_set) & (table["metric"] == metric)]
        _draw_along(axes, part, names, models, by, metric in LOGARITHMIC)
        axes.set_xlabel("step / step to\nequal forgetting")
    figure.supxlabel(seeds_text(table), fontsize=8.5, color=GREY, ha="right", x=0.995)
    handles = [handle(look(name), line=True) for name in names]
    handles += [
        Line2D([], [], color=look(name).color, linestyle=(0, (5, 2)), label=look(name).label) for name in models
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), columnspacing=1.2, handletextpad=0.4)
    return figure, all_axes


def _draw_along(axes, part: pd.DataFrame, names: Sequence[str], models: Sequence[str], by: str, logarithmic: bool):
    """Draw one metric of one set along the step; what spans orders of magnitude is averaged as its logarithm."""
    if logarithmic:
        means = part.groupby(list(dict.fromkeys(["seed", "method", by, "step"])), dropna=False)["value"].mean()
        part = means.reset_index().assign(value=lambda rows: np.log(rows["value"].clip(lower=1e-12)))
    start = part[part["method"] == "finetuned"].assign(step=0.0)
    for name in names:
        rows = pd.concat([start.assign(**{by: name}), part[part[by] == name]])
        summary = over_seeds(rows, by="step").sort_values("step")
        if logarithmic:
            summary[["mean", "low", "high"]] = np.exp(summary[["mean", "low", "high"]])
        shown = look(name)
        draw_band(axes, summary["step"], summary, shown.color)
        axes.plot(summary["step"], summary["mean"], color=shown.color, marker=shown.marker, markersize=5)
    for name in models:
        mine = part[part["method"] == name]
        if len(mine):
            level = over_seeds(mine)["mean"].iloc[0]
            level = np.exp(level) if logarithmic else level
            axes.axhline(level, color=look(name).color, linewidth=1.4, linestyle=(0, (5, 2)))
    axes.axvline(1, color="#BBBBBB", linewidth=0.8, zorder=0)
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(ticker.NullFormatter())


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
    if y[1] in ("answer_probability", "cloze_hit"):  # a t-interval may leave the range that the value can have
        curve[["low", "high"]] = curve[["low", "high"]].clip(0, 1)
    curve["calibrated"] = False
    if "calibrated" in rows.columns:
        known = rows[np.isclose(rows["step_size"], rows["calibrated"]) & reached_rows(rows)].drop_duplicates(["seed"])
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
