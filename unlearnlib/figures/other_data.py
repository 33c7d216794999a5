"""Other data: how far every model is from the retrained one, and what the benchmark's own score says of it."""

from dataclasses import replace

import numpy as np
import pandas as pd

from unlearnlib.core.errors import UserError
from unlearnlib.figures.labels import label
from unlearnlib.figures.looks import DARK, DASHED, GREY, LOOKS, Look
from unlearnlib.figures.parts import (
    TINY,
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
from unlearnlib.statistics.seeds import geometric_over_seeds, over_texts

COUNTS = (Look("fewest to forget", "#0072B2", "o"), Look("more", "#D55E00", ">"), Look("most", "#882255", "P"))
MODELS = {
    "nothing done": Look("nothing done", DARK, "s"),
    "retrained again": Look("another retrained model", LOOKS["retrained"].color, "*"),
    "base model": LOOKS["base"],
    "retraining, 1 epoch": Look("retraining, one epoch", "#44AA99", "X"),
}
STEP = Look("a step, or repaired", "#0072B2", "o")
SETS = {"forget": "to forget", "keep": "to keep"}
SIGNIFICANT = 0.05


def distances(rows: pd.DataFrame, reference: str = "retrained"):
    """Return the KL to the retrained model of every method (a row), on the texts to forget and on those to keep: the
    geometric mean over seeds with its interval, for each number of authors to forget; of a single seed the mean over
    its texts, with an interval over these. Dashed: doing nothing.

    rows: seed, to_forget, method, set, metric, value (see unlearnlib.experiment.other_data.measured).
    """
    need_columns(rows, "seed", "to_forget", "method", "set", "metric", "value")
    far = rows[(rows["metric"] == "kl") & (rows["method"] != reference)]
    if far.empty:
        raise UserError("the table has no distances: give the rows of the metric kl")
    names, counts = in_order(far["method"])[::-1], sorted(far["to_forget"].unique())
    single = far["seed"].nunique() == 1
    by = ["set", "to_forget", "method"]
    if single:
        summaries = over_texts(far, by=by)
    else:
        means = far.groupby([*by, "seed"], sort=False)["value"].mean().reset_index()
        summaries = geometric_over_seeds(means, by=by, floor=TINY)
    figure, axes = new_figure(1, len(SETS), 0.34 * len(names) + 1.6, sharey=True)
    if len(counts) > len(COUNTS):
        raise UserError(f"{len(counts)} numbers of authors to forget: draw {len(COUNTS)} at most")
    shown = {
        count: replace(look, label=f"{count} to forget" if count else "to forget")
        for count, look in zip(counts, COUNTS, strict=False)
    }
    for panel, (name, words) in zip(axes, SETS.items(), strict=True):
        for number, (count, look) in enumerate(shown.items()):
            part = summaries[(summaries["set"] == name) & (summaries["to_forget"] == count)]
            summary = part.set_index("method").reindex(names).dropna(subset=["mean"])
            places = np.array([names.index(one) for one in summary.index]) + 0.2 * (0.5 - number)
            draw_points(panel, places, summary, look)
            if "nothing done" in summary.index:
                panel.axvline(summary.loc["nothing done", "mean"], color=look.color, linestyle=DASHED, linewidth=1.1)
        panel.set(xscale="log", title=f"texts {words}", xlabel="KL to the retrained\nmodel (nats a token)")
        panel.set(yticks=range(len(names)), yticklabels=names)
    handles = [handle(look) for look in shown.values()] + [line_handle(GREY, "nothing done", 1.1, DASHED)]
    said = "one seed, mean over texts and 95% interval" if single else seeds_text(far)
    titled_legend(figure, handles, said, columns=len(handles))
    return figure


def quality(scores: pd.DataFrame, rows: pd.DataFrame, steps: tuple[str, ...] = ()):
    """Return the forget quality of every method upwards (the higher, the less a test tells its truth ratios from the
    retrained model's) against the distance to the retrained model on the texts to forget: geometric means over seeds
    and numbers to forget. Above the dashed line the test finds nothing. `steps` are drawn as steps.

    scores: see unlearnlib.experiment.other_data.tofus; rows as for distances.
    """
    need_columns(scores, "seed", "method", "forget_quality")
    far = rows[(rows["metric"] == "kl") & (rows["set"] == "forget")]
    by = [name for name in ("seed", "to_forget") if name in far]
    means = far.groupby(["method", *by], sort=False)["value"].mean().clip(lower=1e-9)
    right = np.exp(np.log(means).groupby("method", sort=False).mean())
    figure, axes = new_figure(height=4.4)
    logs = np.log(scores["forget_quality"].clip(lower=1e-12)).groupby(scores["method"], sort=False).mean().dropna()
    named, beside = {}, []
    for method, up in np.exp(logs[logs.index.isin(right.index)]).sort_values().items():
        shown = MODELS.get(method, STEP)
        axes.plot(right[method], up, linestyle="none", marker=shown.marker, color=shown.color, zorder=3,
                  markersize=marker_size(shown, 8), markeredgecolor="white")  # fmt: skip
        place = (right[method], up)
        if method in steps:
            named[method] = (place, shown.color)
        else:
            beside.append(place)
    axes.axhline(SIGNIFICANT, color=GREY, linestyle=DASHED, linewidth=1.1)
    axes.set(xscale="log", yscale="log", xlabel="KL to the retrained model on the texts to forget (nats a token)",
             ylabel="forget quality (p)")  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        plain_ticks(axis)
    handles = [handle(one) for name, one in MODELS.items() if name in right.index] + [handle(STEP)]
    handles.append(line_handle(GREY, f"p = {SIGNIFICANT}", 1.1, DASHED))
    seeds = scores["seed"].nunique()
    titled_legend(figure, handles, f"geometric means over {seeds} seed{'s' * (seeds > 1)}", columns=3)
    label(axes, named, beside)
    return figure
