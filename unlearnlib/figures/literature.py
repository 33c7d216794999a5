"""The figures of the ways that the literature names: where each ends, what that takes, and its rank among its like."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from unlearnlib.core.errors import UserError
from unlearnlib.figures.labels import label
from unlearnlib.figures.looks import DASHED, GREY, LOOKS, Look, look
from unlearnlib.figures.parts import (
    handle,
    in_order,
    marker_size,
    need_columns,
    new_figure,
    open_handle,
    plain_ticks,
    seeds_text,
)
from unlearnlib.statistics.seeds import over_seeds

AXES = {"forget": "forget set", "retain": "neighbours"}
UNTOUCHED, CEILING = "finetuned", "retrained again"
MODELS = {UNTOUCHED: LOOKS[UNTOUCHED], CEILING: LOOKS["retrained"]}
WORDS = {UNTOUCHED: "nothing forgotten", CEILING: "two retrained models"}
KL = "KL to the retrained model (nats a token)"


def plane(apart: pd.DataFrame, groups: Mapping[str, str], line: Sequence[str], models: pd.DataFrame):
    """Return the plane of the two distances from the retrained model (KL, nats a token, logarithmic): a mark a way.

    apart: columns seed, method, reached, set (forget, retain), value, the mean KL, at one stop; groups: the class of
    each way by name, which gives its colour; line: the names of retraining cut short, which are joined; models: as
    apart, of UNTOUCHED and CEILING. A mark is the geometric mean over seeds with its 95% interval, open where the stop
    was not reached in every seed. UserError where a distance is missing or not above zero.
    """
    summary = _summary(apart, models)
    figure, axes = new_figure(height=7.2)
    places = {name: (one["forget"]["mean"], one["retain"]["mean"]) for name, one in summary.items()}
    joined = np.array([places[name] for name in line]) if line else np.empty((0, 2))
    axes.plot(*joined.T, color=LOOKS["retraining,_1_epoch"].color, linewidth=1.6, zorder=2)
    for name, one in summary.items():
        shown, filled = _shown(name, groups, line), _reached(apart, name)
        x, y = places[name]
        for of, bars in (("forget", axes.hlines), ("retain", axes.vlines)):
            if np.isfinite(one[of]["low"]):
                other = y if of == "forget" else x
                bars(other, one[of]["low"], one[of]["high"], color=shown.color, linewidth=1, alpha=0.55, zorder=2)
        _mark(axes, x, y, shown, filled, 11 if name in MODELS else 8)
    for value, draw in zip(places.get(CEILING, ()), (axes.axvline, axes.axhline), strict=False):
        draw(value, color=MODELS[CEILING].color, linewidth=1, linestyle=DASHED, zorder=1)
    axes.set(xscale="log", yscale="log", xlabel=f"{AXES['forget']}: {KL}", ylabel=f"{AXES['retain']}: {KL}")
    for axis in (axes.xaxis, axes.yaxis):
        plain_ticks(axis)
    _legend(figure, groups, line, apart, models)
    label(axes, {WORDS.get(name, name): (place, _shown(name, groups, line).color) for name, place in places.items()})
    return figure


def against_work(
    apart: pd.DataFrame, work: pd.DataFrame, groups: Mapping[str, str], line: Sequence[str], models: pd.DataFrame
):
    """Return the two distances, one above the other, against the work that each way takes (logarithmic): texts read
    forwards and backwards, as a multiple of what retraining reads.

    apart, groups, line and models: as for plane; work: columns seed, method, work. What reads no text stands at the
    left edge, behind a dotted line. UserError as for plane, and where no way reads any.
    """
    need_columns(work, "seed", "method", "work")
    summary, means = _summary(apart, models), work.groupby("method", sort=False)["work"].mean()
    positive = means[means > 0]
    if positive.empty:
        raise UserError("no way reads any text: there is no work to draw")
    edge = float(positive.min()) / 4
    figure, panels = new_figure(rows=2, height=9.6, sharex=True)
    asked: dict = {}
    for axes, (of, title) in zip(panels, AXES.items(), strict=True):
        asked[axes] = {}
        for name, one in summary.items():
            if name in MODELS:
                axes.axhline(one[of]["mean"], color=MODELS[name].color, linewidth=1, linestyle=DASHED, zorder=1)
            elif name in means.index:
                shown, x = _shown(name, groups, line), max(float(means[name]), edge)
                axes.vlines(x, one[of]["low"], one[of]["high"], color=shown.color, linewidth=1, alpha=0.55, zorder=2)
                _mark(axes, x, one[of]["mean"], shown, _reached(apart, name), 8)
                asked[axes][name] = ((x, one[of]["mean"]), shown.color)
        joined = np.array([asked[axes][name][0] for name in line if name in asked[axes]]).reshape(-1, 2)
        axes.plot(*joined.T, color=LOOKS["retraining,_1_epoch"].color, linewidth=1.6, zorder=2)
        axes.set(xscale="log", yscale="log", title=title, ylabel=KL)
        plain_ticks(axes.yaxis)
        if (means <= 0).any():
            axes.axvline(edge * 2, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    plain_ticks(panels[-1].xaxis)
    aside = " (left of the dots: none)" if (means <= 0).any() else ""
    panels[-1].set_xlabel(f"work, as a multiple of retraining's{aside}")
    _legend(figure, groups, line, apart, models, lines=True)
    for axes, names in asked.items():
        label(axes, names)
    return figure


def ranks(table: pd.DataFrame):
    """Return the rank of each way among those of its class, by the distance on the forget set and on the neighbours'.

    table: columns seed, set (forget, retain), group, method, rank (1 is nearest; NaN where the stop was not reached),
    in the order of classes. A dot is a seed, a mark the mean over the seeds in which it was ranked, open where these
    are not all; the line goes from the best to the worst. Ways that never came to the stop have no mark.
    """
    need_columns(table, "seed", "set", "group", "method", "rank")
    if table.empty:
        raise UserError("there is no way to rank")
    rows: list[tuple[float, str, str]] = []  # where, the class (of a heading), the method (of a way)
    y = 0.0
    for group, part in table.groupby("group", sort=False):
        means = part[part["set"] == "forget"].groupby("method")["rank"].mean()
        rows.append((y + 0.6, group, ""))
        rows += [(y + 1.6 + n, group, name) for n, name in enumerate(means.sort_values(na_position="last").index)]
        y += 1.6 + len(means)
    figure, panels = new_figure(columns=2, height=1.2 + 0.2 * y, sharey=True)
    seeds = table["seed"].nunique()
    for axes, (of, title) in zip(panels, AXES.items(), strict=True):
        for at, group, name in rows:
            own = table[(table["method"] == name) & (table["set"] == of)]["rank"].dropna()
            if not name or own.empty:
                continue
            shown = look(group)
            axes.plot([own.min(), own.max()], [at, at], color=shown.color, linewidth=1.6, zorder=2)
            axes.plot(own, [at] * len(own), linestyle="none", marker="o", markersize=3, color=shown.color, alpha=0.5,
                      markeredgewidth=0, zorder=3)  # fmt: skip
            _mark(axes, own.mean(), at, shown, len(own) == seeds, 7)
        axes.set(title=title, xlabel="rank within its class (1: nearest)")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y", visible=False)
    panels[0].set(yticks=[at for at, _, _ in rows], ylim=(y + 0.3, 0))
    panels[0].set_yticklabels([_row_title(table, *row[1:]) for row in rows])
    for text, (_, _, name) in zip(panels[0].get_yticklabels(), rows, strict=True):
        text.set(fontsize=8.5 if name else 9.5, fontweight="normal" if name else "bold")
    figure.legend(handles=[open_handle()], loc="outside upper left",
                  title=f"{seeds_text(table).partition(',')[0]}: mean and range").set_alignment("left")  # fmt: skip
    return figure


def _row_title(table: pd.DataFrame, group: str, name: str) -> str:
    if not name:
        return group
    never = table[table["method"] == name]["rank"].isna().all()
    return f"{name} (not reached)" if never else name


def _summary(apart: pd.DataFrame, models: pd.DataFrame) -> dict[str, dict[str, pd.Series]]:
    """The geometric mean and interval of each way's and model's two distances."""
    need_columns(apart, "seed", "method", "reached", "set", "value")
    rows = pd.concat([apart, models])
    if not (rows["value"] > 0).all():
        raise UserError("a distance that is missing or zero has no place on a logarithmic axis")
    found = over_seeds(rows.assign(value=np.log(rows["value"])), by=["method", "set"])
    found[["mean", "low", "high"]] = np.exp(found[["mean", "low", "high"]])
    return {
        name: {of: part[part["set"] == of].iloc[0] for of in AXES} for name, part in found.groupby("method", sort=False)
    }


def _shown(name: str, groups: Mapping[str, str], line: Sequence[str]) -> Look:
    if name in MODELS:
        return MODELS[name]
    if name in line:
        return LOOKS["retraining,_1_epoch"]
    return look(groups[name])


def _reached(apart: pd.DataFrame, name: str) -> bool:
    return bool(apart.loc[apart["method"] == name, "reached"].astype(bool).all())


def _mark(axes, x: float, y: float, shown: Look, filled: bool, size: float) -> None:
    axes.plot(
        x, y, linestyle="none", marker=shown.marker if filled else "o", color=shown.color,
        markersize=marker_size(shown, size) if filled else size - 1, markerfacecolor=shown.color if filled else "white",
        markeredgecolor="white" if filled else shown.color, markeredgewidth=0.7 if filled else 1.4, zorder=5,
    )  # fmt: skip


def _legend(figure, groups, line, apart: pd.DataFrame, models: pd.DataFrame, lines: bool = False) -> None:
    handles = [handle(look(group)) for group in in_order(pd.Series(list(groups.values())))]
    if line:
        handles.append(handle(LOOKS["retraining,_1_epoch"], line=True))
    for name in in_order(models["method"]):
        one = Line2D([], [], color=MODELS[name].color, linewidth=1, linestyle=DASHED) if lines else handle(MODELS[name])
        one.set_label(WORDS[name])
        handles.append(one)
    handles.append(open_handle())
    title = seeds_text(apart).replace("mean", "geometric mean")
    legend = figure.legend(handles=handles, loc="outside upper left", ncols=3, title=title)
    legend.get_title().set(color=GREY, fontsize=8.5)
    legend.set_alignment("left")
