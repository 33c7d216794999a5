"""What several figures share: choosing rows of a tidy table, drawing marks, writing labels."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.figures.looks import DARK, GREY, HEIGHT, LOOKS, METRICS, REFERENCES, WIDTH, Look, look, style
from unlearnlib.statistics.seeds import geometric_over_seeds, over_seeds

TINY = 1e-12  # a value below it is drawn at it on a logarithmic axis


def need_columns(table: pd.DataFrame, *names: str) -> None:
    for name in names:
        if name not in table.columns:
            raise UserError(f"the table has no column {name!r}: {nearest(name, table.columns)}")


def chosen_rows(table: pd.DataFrame, chosen_set: str | None = None, metrics: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of one set (or all) and some metrics; UserError where there are none."""
    need_columns(table, "seed", "method", "set", "metric", "value")
    for metric in metrics:
        if metric not in set(table["metric"]):
            raise UserError(f"the table has no metric {metric!r}: {nearest(metric, table['metric'].unique())}")
    rows = table[table["metric"].isin(metrics)]
    if chosen_set is not None:
        rows = rows[rows["set"] == chosen_set]
        if rows.empty:
            raise UserError(f"no {', '.join(metrics)} of the set {chosen_set!r} in the table")
    return rows


def one_step(table: pd.DataFrame) -> None:
    """UserError where a method stands in the table at several step sizes of one seed: they must not be averaged."""
    if "step_size" in table.columns:
        counts = table.groupby(["method", "seed"])["step_size"].nunique()
        if (counts > 1).any():
            raise UserError(
                f"{counts.idxmax()[0]!r} has several step sizes in one seed: choose one, or draw its frontier"
            )


def in_order(names: pd.Series) -> list[str]:
    """The different names in the order in which the table brings them."""
    return list(dict.fromkeys(names.dropna()))


def changes(rows: pd.DataFrame, start: pd.DataFrame, ratio: bool = False) -> pd.DataFrame:
    """Mean and interval over seeds of the change from `start` (or of the quotient, averaged as logarithms)."""
    if start.empty:
        raise UserError("the table lacks the rows of the method 'finetuned', from which changes are counted")
    after, before = (part.groupby("seed")["value"].mean() for part in (rows, start))
    change = np.log(after / before) if ratio else after - before
    summary = over_seeds(change.rename("value").reset_index().assign(name="change"), by="name")
    numbers = summary[["mean", "low", "high"]]
    return np.exp(numbers) if ratio else numbers


def reached_rows(rows: pd.DataFrame) -> pd.Series:
    """Whether each row's step reaches equal forgetting."""
    reached = pd.Series(True, index=rows.index)
    if "reached" in rows.columns:
        reached &= rows["reached"].fillna(True).astype(bool)
    if "step_size" in rows.columns:
        reached &= np.isfinite(rows["step_size"].astype(float)) | rows["method"].isin(REFERENCES)
    return reached


def new_figure(rows: int = 1, columns: int = 1, height: float = HEIGHT, **options):
    style()
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), layout="constrained", **options)
    plt.close(figure)  # a notebook shows what a cell returns; an open figure would be shown twice
    return figure, axes


def plain_ticks(axis) -> None:
    """Let a logarithmic axis that spans little more than a decade read 0.5, 1, 2, 5."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def marker_size(shown: Look, size: float) -> float:
    """Stars, crosses and diamonds look smaller or larger than discs of the same size."""
    return size * {"*": 1.9, "X": 1.15, "P": 1.15, "D": 0.85, "s": 0.92}.get(shown.marker, 1)


def draw_points(axes, places, summary: pd.DataFrame, shown: Look, vertical: bool = False, filled: bool = True) -> None:
    """Means with intervals at `places` along the other axis; open markers where `filled` is false."""
    places, means = np.asarray(places, dtype=float), summary["mean"].to_numpy()
    reach = np.abs(np.array([means - summary["low"], summary["high"] - means], dtype=float))
    xy = (places, means) if vertical else (means, places)
    error = {"yerr" if vertical else "xerr": reach} if np.isfinite(reach).any() else {}
    marker, size = (shown.marker, marker_size(shown, 7)) if filled else ("o", 7)
    axes.errorbar(
        *xy, **error, linestyle="none", color=shown.color, elinewidth=1.6, capsize=0, marker=marker,
        markersize=size, markerfacecolor=shown.color if filled else "white",
        markeredgecolor="white" if filled else shown.color, markeredgewidth=0.7 if filled else 1.5, zorder=4,
    )  # fmt: skip


def draw_seed_dots(axes, rows: pd.DataFrame, sets: Sequence[str], shift: float, color: str) -> None:
    if rows["seed"].nunique() < 2:
        return
    means = rows.groupby(["set", "seed"])["value"].mean().reset_index()
    axes.plot(
        [sets.index(name) + shift + 0.075 for name in means["set"]], means["value"], linestyle="none", marker="o",
        markersize=2.6, markeredgewidth=0, color=color, alpha=0.45, zorder=3,
    )  # fmt: skip


def draw_band(axes, x, summary: pd.DataFrame, color: str) -> None:
    if summary["low"].notna().any():
        axes.fill_between(x, summary["low"], summary["high"], color=color, alpha=0.18, linewidth=0)


def draw_line(
    axes, rows: pd.DataFrame, x: str, shown: Look, dashes="-", width: float = 1.6, size: float = 6.5,
    ratios: bool = False, band: bool = True,
    zorder: float = 3,
) -> None:  # fmt: skip
    """Draw the mean of `value` over seeds (of `ratios`, the geometric one) against a column, with its interval."""
    summary = geometric_over_seeds(rows, by=x, floor=TINY) if ratios else over_seeds(rows, by=x)
    summary = summary.sort_values(x)
    many = len(summary) > 12
    axes.plot(summary[x], summary["mean"], color=shown.color, linewidth=width, linestyle=dashes if width else "none",
              marker=None if many or dashes != "-" else shown.marker, markersize=size, markeredgecolor="white",
              markeredgewidth=0.6, zorder=zorder)  # fmt: skip
    if band:
        draw_band(axes, summary[x], summary, shown.color)


def titled_legend(figure, handles: Sequence[Line2D], title: str, columns: int) -> None:
    """A legend above the panels, with what is drawn of how many seeds in small grey letters above it."""
    legend = figure.legend(
        handles=list(handles), loc="outside upper left", ncols=columns, title=title, alignment="left"
    )
    legend.get_title().set(color=GREY, fontsize=8.5)


def draw_reference_point(axes, rows: pd.DataFrame, x: tuple[str, str], y: tuple[str, str], name: str) -> None:
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
        place[0]["mean"], place[1]["mean"], marker=shown.marker, markersize=marker_size(shown, 9), color=shown.color,
        markeredgecolor="white", markeredgewidth=0.8, linestyle="none", zorder=6,
    )  # fmt: skip


def draw_reference_line(axes, row: pd.Series) -> None:
    """The retrained model as a vertical line with its interval as a band."""
    color = LOOKS["retrained"].color
    axes.axvline(row["mean"], color=color, linewidth=2, zorder=2)
    if np.isfinite(row["low"]):
        axes.axvspan(row["low"], row["high"], color=color, alpha=0.12, linewidth=0, zorder=0)


def metric_label(name: str) -> str:
    return METRICS.get(name, str(name).replace("_", " "))


def effect_text(row: pd.Series) -> str:
    if not np.isfinite(row["p_holm"]):
        return "one seed: no test" if row["n"] <= 1 else "no test"
    size = f"d = {row['d']:.2f}" if abs(row["d"]) < 100 else ("d infinite" if np.isinf(row["d"]) else "|d| > 100")
    p = "p < .001" if row["p_holm"] < 0.001 else "p = " + f"{row['p_holm']:.3f}".lstrip("0")
    return f"{size}\n{p}".replace("-", "−")


def wrapped(text: str, width: int = 11) -> str:
    return "\n".join(textwrap.wrap(text, width, break_long_words=False))


def seeds_text(table: pd.DataFrame) -> str:
    n = table["seed"].nunique()
    return "one seed" if n == 1 else f"{n} seeds, mean and 95% interval"


def set_title(axes, text: str, table: pd.DataFrame) -> None:
    axes.set_title(text, fontweight="bold")
    axes.set_title(seeds_text(table), loc="right", fontsize=8.5, color=GREY)


def handle(shown: Look, line: bool = False) -> Line2D:
    return Line2D(
        [], [], color=shown.color, linestyle="-" if line else "none", linewidth=1.8, marker=shown.marker,
        markersize=marker_size(shown, 6.5), markeredgecolor="white", markeredgewidth=0.5, label=shown.label,
    )  # fmt: skip


def line_handle(color: str, label: str, width: float, dashes="-") -> Line2D:
    return Line2D([], [], color=color, linewidth=width, linestyle=dashes, label=label)


def open_handle(label: str = "not reached in every seed") -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker="o", markersize=6.5, markerfacecolor="white", markeredgecolor=DARK,
        markeredgewidth=1.5, label=label,
    )  # fmt: skip


def legend_above(figure, methods: Sequence[str], table: pd.DataFrame) -> None:
    handles = [handle(look(name)) for name in methods]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), title=None)
    figure.text(0.995, 0.985, seeds_text(table), ha="right", va="top", fontsize=8.5, color=GREY)


def note(figure, table: pd.DataFrame, handles: Sequence[Line2D] = ()) -> None:
    """The number of seeds, and a legend where there is one, above the panels."""
    if handles:
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    figure.text(0.995, 0.985, seeds_text(table), ha="right", va="top", fontsize=8.5, color=GREY)
