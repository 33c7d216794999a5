"""The plane of two distances from the retrained model: on what was to be forgotten, and on what was to stay."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from unlearnlib.core.errors import UserError
from unlearnlib.figures.looks import DARK, GREY, LOOKS, look
from unlearnlib.figures.parts import handle, in_order, marker_size, need_columns, new_figure, plain_ticks, seeds_text

AXES = {"forget": "forget set", "retain": "neighbours"}
UNTOUCHED, CEILING = "finetuned", "retrained again"


def plane(paths: pd.DataFrame, stops: pd.DataFrame, models: pd.DataFrame, labels: Mapping[str, str] | None = None):
    """Return the plane of distances (KL, nats a token, logarithmic): one curve a method, from doing nothing on.

    paths: columns seed, method, step (0: nothing done), set (forget, retain), value, the mean KL; stops: the same with
    `stop` in place of step, of which the first of several gets an open mark and the others a full one; a path without
    any has a mark at every step; models: columns seed, method, set, value of UNTOUCHED and CEILING. A thick line is the
    geometric mean over seeds, the thin ones are the seeds. UserError where a distance is missing or not above zero.
    """
    need_columns(paths, "seed", "method", "step", "set", "value")
    need_columns(stops, "seed", "method", "stop", "set", "value")
    if not (pd.concat([paths, stops, models])["value"] > 0).all():
        raise UserError("a distance that is missing or zero has no place on a logarithmic axis")
    labels = labels or {}
    figure, axes = new_figure(height=5.4)
    handles = []
    for name in in_order(paths["method"]):
        shown = look(name)
        part = _places(paths[paths["method"] == name], ["seed", "step"])
        for _, line in part.groupby(level="seed"):
            axes.plot(line["forget"], line["retain"], color=shown.color, linewidth=0.6, alpha=0.35, zorder=2)
        mean = _mean(part, "step")
        single = {} if name in set(stops["method"]) else {"marker": shown.marker, "markersize": marker_size(shown, 6)}
        axes.plot(mean["forget"], mean["retain"], color=shown.color, linewidth=2, zorder=3, **single)
        handles.append(handle(shown, line=True))
        handles[-1].set_label(labels.get(name, shown.label))
    chosen = in_order(stops["stop"])
    first = chosen[0] if len(chosen) > 1 else None
    for name in in_order(stops["method"]):
        shown = look(name)
        ends = _mean(_places(stops[stops["method"] == name], ["seed", "stop"]), "stop")
        for stop, place in ends.iterrows():
            axes.plot(
                place["forget"], place["retain"], linestyle="none", marker=shown.marker, color=shown.color,
                markersize=marker_size(shown, 8), markeredgecolor=shown.color if stop == first else "white",
                markerfacecolor="white" if stop == first else shown.color, markeredgewidth=1.3, zorder=5,
            )  # fmt: skip
    _draw_models(axes, models)
    x, y = (f"{name}: KL to the retrained model (nats a token)" for name in AXES.values())
    axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    handles += [handle(LOOKS[UNTOUCHED]), handle(LOOKS["retrained"])]
    handles[-2].set_label("nothing forgotten")
    handles[-1].set_label("two retrained models")
    handles += [_mark(stop, filled=stop != first) for stop in chosen]
    title = f"{seeds_text(paths).partition(',')[0]}, geometric mean"
    legend = figure.legend(handles=handles, loc="outside right upper", title=title)
    legend.get_title().set(color=GREY, fontsize=8.5)
    legend.set_alignment("left")
    return figure


def against_steps(rows: pd.DataFrame, models: pd.DataFrame, labels: Mapping[str, str] | None = None):
    """Return the two distances (KL, nats a token, logarithmic) against the optimizer steps taken since the request.

    rows: columns seed, method, steps (0: what no training was needed for), set (forget, retain), value, the mean KL;
    models: as for `plane`. A line is the geometric mean over seeds, the band holds all seeds. UserError where a
    distance is missing or not above zero.
    """
    need_columns(rows, "seed", "method", "steps", "set", "value")
    if not (pd.concat([rows, models])["value"] > 0).all():
        raise UserError("a distance that is missing or zero has no place on a logarithmic axis")
    labels = labels or {}
    figure, axes = new_figure(columns=len(AXES), height=3.9, sharey=True)
    for panel, (name, title) in zip(axes, AXES.items(), strict=True):
        for method in in_order(rows["method"]):
            shown = look(method)
            part = rows[(rows["method"] == method) & (rows["set"] == name)].groupby("steps")["value"]
            mean, low, high = part.agg(lambda values: np.exp(np.log(values).mean())), part.min(), part.max()
            panel.fill_between(mean.index, low, high, color=shown.color, alpha=0.15, linewidth=0, zorder=1)
            size = marker_size(shown, 7)
            panel.plot(mean, color=shown.color, marker=shown.marker, markersize=size, markeredgecolor="white", zorder=3)
        for model, known in ((UNTOUCHED, LOOKS[UNTOUCHED]), (CEILING, LOOKS["retrained"])):
            values = models[(models["method"] == model) & (models["set"] == name)]["value"]
            level = np.exp(np.log(values).mean())
            panel.axhline(level, color=known.color, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
        panel.set(yscale="log", xlabel="optimizer steps since the request", title=title)
        plain_ticks(panel.yaxis)
    axes[0].set_ylabel("KL to the retrained model (nats a token)")
    handles = [handle(look(method), line=True) for method in in_order(rows["method"])]
    for one, method in zip(handles, in_order(rows["method"]), strict=True):
        one.set_label(labels.get(method, look(method).label))
    for known, text in ((LOOKS[UNTOUCHED], "nothing forgotten"), (LOOKS["retrained"], "two retrained models")):
        handles.append(Line2D([], [], color=known.color, linewidth=1, linestyle=(0, (4, 3)), label=text))
    title = f"{seeds_text(rows).partition(',')[0]}, geometric mean and range"
    legend = figure.legend(handles=handles, loc="outside upper left", ncols=2, title=title)
    legend.get_title().set(color=GREY, fontsize=8.5)
    legend.set_alignment("left")
    return figure


def _places(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The two distances side by side, a row for each of `keys`."""
    return rows.pivot_table(index=list(keys), columns="set", values="value", sort=False)


def _mean(places: pd.DataFrame, by: str) -> pd.DataFrame:
    """The geometric means over seeds."""
    return np.exp(np.log(places).groupby(level=by, sort=False).mean())


def _draw_models(axes, models: pd.DataFrame) -> None:
    for name, known in ((UNTOUCHED, LOOKS[UNTOUCHED]), (CEILING, LOOKS["retrained"])):
        part = _places(models[models["method"] == name], ["method", "seed"])
        if part.empty:
            continue
        place = _mean(part, "method").iloc[0]
        axes.plot(
            place["forget"], place["retain"], linestyle="none", marker=known.marker, color=known.color,
            markersize=marker_size(known, 11), markeredgecolor="white", markeredgewidth=0.8, zorder=6,
        )  # fmt: skip
        if name == CEILING:  # as near as anything comes
            for value, draw in ((place["forget"], axes.axvline), (place["retain"], axes.axhline)):
                draw(value, color=known.color, linewidth=1, linestyle=(0, (4, 3)), zorder=1)


def _mark(label: str, filled: bool) -> Line2D:
    face = DARK if filled else "white"
    return Line2D(
        [], [], linestyle="none", marker="o", markersize=8, markerfacecolor=face, markeredgecolor=DARK, label=label
    )
