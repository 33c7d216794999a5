"""Images: what there is to remove, where each way ends, in which layer, and what the challenge's score makes of it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import NullFormatter

from unlearnlib.core.errors import UserError
from unlearnlib.figures.labels import label
from unlearnlib.figures.looks import DARK, DASHED, DOTTED, GREY, LOOKS, Look
from unlearnlib.figures.parts import (
    TINY,
    draw_line,
    draw_points,
    handle,
    in_order,
    line_handle,
    marker_size,
    need_columns,
    new_figure,
    plain_ticks,
    seeds_text,
    titled_legend,
)
from unlearnlib.statistics.seeds import geometric_over_seeds, over_seeds

STEPS = {
    "first epoch, whole network": Look("first epoch, whole network", "#0072B2", "o"),
    "all epochs, whole network": Look("all epochs, whole network", "#D55E00", ">"),
    "first epoch, first layer": Look("first epoch, first layer", "#882255", "P"),
    "all epochs, first layer": Look("all epochs, first layer", "#E69F00", "^"),
    "gradient at the end": Look("gradient at the end", "#86BFF9", "v"),
}
MODELS = {
    "nothing done": Look("nothing done", DARK, "s"),
    "retrained": Look("retrained network", LOOKS["retrained"].color, "*"),
    "retraining cut short": Look("retraining, a fifth of it", "#44AA99", "h"),
}
ENTRY = Look("an entry of the challenge", "#B82E8A", "X")
OTHER = Look("another step", GREY, "d")
CONTROLS = ("random direction", "retained images' gradient")
NEAR = 1.6  # marks within this factor of doing nothing are not named
EPOCHS = {"first": LOOKS["first_epoch"], "all": LOOKS["all_epochs"], "last": LOOKS["last_epoch"]}
GROUPS = {"forget": Look("images to forget", "#D55E00"), "compared": Look("never seen", "#0072B2")}
KINDS = {"random": "drawn at random", "mislabelled": "wrongly labelled"}
LOSSES = (1e-6, 60.0)  # nats: the ends of a histogram's logarithmic axis


def known(answers: pd.DataFrame, methods: Sequence[str] = ("nothing done", "retrained")):
    """Return histograms of the loss of the images to forget and of images never seen, labelled alike: a row a kind, a
    column a method. Where the two histograms of a panel are one, an attack by the loss finds nothing.

    answers: see unlearnlib.experiment.pictured.Images.asked.
    """
    need_columns(answers, "kind", "method", "set", "loss")
    kinds = in_order(answers["kind"])
    figure, axes = new_figure(len(kinds), len(methods), 2.2 * len(kinds) + 0.6, squeeze=False, sharex=True)
    edges = np.geomspace(*LOSSES, 41)
    for row, kind in enumerate(kinds):
        for column, method in enumerate(methods):
            panel = axes[row, column]
            rows = answers[(answers["kind"] == kind) & (answers["method"] == method)]
            if rows.empty:
                raise UserError(f"no answers of {method!r} to the images {kind!r}")
            for name, shown in GROUPS.items():
                values = rows.loc[rows["set"] == name, "loss"].clip(*LOSSES)
                panel.hist(values, edges, color=shown.color, alpha=0.55, weights=np.full(len(values), 1 / len(values)))
            panel.set(xscale="log", title=f"{KINDS.get(kind, kind)}: {method}")
            if row == len(kinds) - 1:
                panel.set_xlabel("loss of the label (nats)")
            if column == 0:
                panel.set_ylabel("share of images")
    handles = [line_handle(shown.color, shown.label, 6) for shown in GROUPS.values()]
    titled_legend(figure, handles, f"all images of {_networks(answers)}", columns=2)
    return figure


def _networks(table: pd.DataFrame) -> str:
    count = len(table[["seed", "number"]].drop_duplicates())
    return "one network" if count == 1 else f"{count} networks"


def plane(networks: pd.DataFrame, entries: Sequence[str], kinds: Sequence[str] = ("mislabelled", "random")):
    """Return where every way ends: its distance to a retrained network on the images to forget to the right, on test
    images upwards (geometric means over seeds, with intervals), a panel a kind. `entries` and CONTROLS are named beside
    their marks, where these do not lie where doing nothing does.

    networks: one row a network (see unlearnlib.experiment.pictured.by_network).
    """
    need_columns(networks, "kind", "method", "seed", "kl_forget", "kl_test")
    figure, axes = new_figure(1, len(kinds), 4.9, squeeze=False)
    named: dict = {}
    others = [name for name in in_order(networks["method"]) if name not in {*STEPS, *MODELS, *entries}]
    looks = STEPS | MODELS | dict.fromkeys(entries, ENTRY) | dict.fromkeys(others, OTHER)
    for panel, kind in zip(axes[0], kinds, strict=True):
        rows, placed = networks[networks["kind"] == kind], {}
        for method, shown in looks.items():
            own = rows[rows["method"] == method]
            if own.empty:
                continue
            right, up = (_geometric(own, column) for column in ("kl_forget", "kl_test"))
            for place, axis in ((right, "xerr"), (up, "yerr")):
                if np.isfinite(place["low"]):
                    reach = [[place["mean"] - place["low"]], [place["high"] - place["mean"]]]
                    error = {axis: reach}
                    panel.errorbar(right["mean"], up["mean"], **error, color=shown.color, elinewidth=0.9, alpha=0.6)
            panel.plot(
                right["mean"], up["mean"], linestyle="none", marker=shown.marker, color=shown.color,
                markersize=marker_size(shown, 8), markeredgecolor="white", markeredgewidth=0.7, zorder=4,
            )  # fmt: skip
            placed[method] = float(right["mean"]), float(up["mean"])
        ends = [_around(values) for values in zip(*placed.values(), strict=True)]
        panel.set(xscale="log", yscale="log", title=KINDS.get(kind, kind), xlabel="KL on the images to forget (nats)")
        panel.set(xlim=ends[0], ylim=ends[1])
        named[panel] = _far_from_nothing(placed, (*entries, *CONTROLS)), placed
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
    axes[0, 0].set_ylabel("KL on test images (nats)")
    handles = [handle(shown) for shown in (*(STEPS | MODELS).values(), ENTRY, OTHER)]
    titled_legend(figure, handles, f"distance to another retrained network; {seeds_text(networks)}", columns=3)
    for panel, (names, placed) in named.items():
        asked = {name: (placed[name], looks[name].color) for name in names}
        label(panel, asked, [place for name, place in placed.items() if name not in names])
    return figure


def _far_from_nothing(placed: Mapping[str, tuple[float, float]], names: Sequence[str]) -> list[str]:
    """Return which of these names have a place that is not where doing nothing is."""
    x, y = placed.get("nothing done", (np.nan, np.nan))
    near = {one for one, (a, b) in placed.items() if max(abs(np.log(a / x)), abs(np.log(b / y))) < np.log(NEAR)}
    return [name for name in names if name in placed and name not in near]


def _around(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of a logarithmic axis for means: intervals may reach beyond, a few seeds' are very wide."""
    return min(values) / 1.8, max(values) * 1.8


def _geometric(rows: pd.DataFrame, column: str) -> pd.Series:
    """Return the geometric mean over seeds and its interval."""
    summary = geometric_over_seeds(rows.assign(name="all"), column, "name", TINY)
    return summary.iloc[0][["mean", "low", "high"]].astype(float)


def layers(networks: pd.DataFrame, names: Sequence[str]):
    """Return what it costs to forget in one layer, from the input up: at the stop, the distance to the retrained
    network on the images to forget and on test images, for the recorded gradients of each choice of epochs.

    networks: as for plane, with the columns layers and epochs and no method that is not a step; the rows of `nothing
    done` are drawn as a line.
    """
    need_columns(networks, "layers", "epochs", "method", "seed", "kl_forget", "kl_test")
    figure, axes = new_figure(1, 2, 3.9)
    nothing, again = (networks[networks["method"] == name] for name in ("nothing done", "retrained"))
    for panel, (column, title) in zip(
        axes, {"kl_forget": "images to forget", "kl_test": "test images"}.items(), strict=True
    ):
        for epochs, shown in EPOCHS.items():
            rows = networks[(networks["epochs"] == epochs) & networks["layers"].isin(names)]
            if len(rows):
                places = {name: place for place, name in enumerate(names)}
                drawn = rows.assign(place=rows["layers"].map(places), value=rows[column])
                draw_line(panel, drawn, "place", shown, ratios=True)
        for rows, color, dashes in ((nothing, DARK, DASHED), (again, LOOKS["retrained"].color, DOTTED)):
            if len(rows):
                panel.axhline(_geometric(rows, column)["mean"], color=color, linestyle=dashes, linewidth=1.4, zorder=1)
        drawn = networks.loc[networks["layers"].isin(names) & networks["epochs"].isin(EPOCHS)]
        ends = drawn.groupby("method").apply(lambda part, of=column: _geometric(part, of)["mean"])
        panel.set(yscale="log", title=title, xticks=range(len(names)), xlabel="where the step is taken")
        panel.set_ylim(*_around([*ends, *(_geometric(rows, column)["mean"] for rows in (nothing, again) if len(rows))]))
        panel.set_xticklabels(list(names), fontsize=8)
        plain_ticks(panel.yaxis)
    axes[0].set_ylabel("KL to another retrained network (nats)")
    handles = [handle(EPOCHS[name], line=True) for name in EPOCHS if name in set(networks["epochs"])]
    handles += [
        line_handle(DARK, "nothing done", 1.4, DASHED),
        line_handle(LOOKS["retrained"].color, "retrained network", 1.4, DOTTED),
    ]
    titled_legend(figure, handles, f"at the stop; {seeds_text(networks)}", columns=4)
    return figure


def score(table: pd.DataFrame, entries: Sequence[str]):
    """Return the forgetting quality of every method (a dot; the higher, the less an attack can tell its networks from
    retrained ones) in a panel for each kind; of several seeds the mean. The line is what retrained networks score:
    the ceiling.

    table: see unlearnlib.experiment.pictured.scores; entries: the methods that are entries of the challenge.
    """
    need_columns(table, "kind", "method", "F", "networks")
    kinds, names = in_order(table["kind"]), in_order(table["method"])[::-1]
    figure, axes = new_figure(1, len(kinds), 0.2 * len(names) + 1.4, squeeze=False, sharey=True)
    for panel, kind in zip(axes[0], kinds, strict=True):
        rows = table[table["kind"] == kind].groupby("method", sort=False)[["F"]].mean()
        ceiling = rows["F"].get("retrained")
        if ceiling is not None:
            panel.axvline(ceiling, color=LOOKS["retrained"].color, linewidth=1.6, zorder=1)
        for place, name in enumerate(names):
            if name in rows.index:
                shown = (STEPS | MODELS).get(name, ENTRY if name in entries else OTHER)
                value = rows["F"][name]
                panel.plot([0, value], [place, place], color=shown.color, linewidth=1.0, alpha=0.6, zorder=2)
                panel.plot(value, place, linestyle="none", marker=shown.marker, color=shown.color,
                           markersize=marker_size(shown, 7), markeredgecolor="white", zorder=3)  # fmt: skip
        panel.set(title=KINDS.get(kind, kind), xlabel="forgetting quality F (1: best)", yticks=range(len(names)))
        panel.set_xlim(left=0)
        panel.set_yticklabels(names, fontsize=8)
        panel.grid(axis="y", visible=False)
    title = f"{int(table['networks'].min())} networks of each method against as many retrained ones"
    line = line_handle(LOOKS["retrained"].color, "what retrained networks score", 1.6)
    titled_legend(figure, [line, handle(ENTRY), handle(OTHER)], title, 3)
    return figure


def gradients(paths: pd.DataFrame, own: pd.DataFrame):
    """Return on the left the cosine between the recorded gradients of the images to forget and of as many retained
    ones, by epoch; on the right, for each image, the cosine of its own first-epoch gradient with the sum of the others
    that have its label (same) and of those that have another.

    paths, own: see unlearnlib.experiment.pictured.gradients and own_share.
    """
    need_columns(paths, "kind", "seed", "epoch", "cosine")
    need_columns(own, "kind", "same", "other")
    figure, (left, right) = new_figure(1, 2, 3.9)
    colors = {
        "random": Look("drawn at random", "#0072B2", "o"),
        "mislabelled": Look("wrongly labelled", "#D55E00", ">"),
    }
    for kind, shown in colors.items():
        rows = paths[paths["kind"] == kind]
        if len(rows):
            draw_line(left, rows.assign(value=rows["cosine"]), "epoch", shown)
    left.axhline(0, color=GREY, linewidth=1)
    left.set(xlabel="epoch", ylabel="cosine with retained images' gradient", ylim=(-1, 1))
    places, labels = [], []
    for number, (kind, shown) in enumerate(colors.items()):
        for offset, column in enumerate(("same", "other")):
            values = (
                own.loc[own["kind"] == kind]
                .assign(value=lambda part, of=column: part[of], name=column)
                .dropna(subset=["value"])
            )
            place = 2 * number + offset
            if len(values):
                draw_points(right, [place], over_seeds(values, by="name"), shown, vertical=True, filled=not offset)
            places.append(place)
            labels.append(f"{'its' if not offset else 'other'}\nlabel{'' if not offset else 's'}")
    right.axhline(0, color=GREY, linewidth=1)
    right.set(xticks=places, ylim=(-1, 1), ylabel="cosine of one image with others, epoch 1")
    right.set_xticklabels(labels, fontsize=8.5)
    handles = [handle(shown, line=True) for shown in colors.values()]
    titled_legend(figure, handles, seeds_text(paths), columns=2)
    return figure
