"""The figures of the configurations: what becomes of every claim in each of them, and what comes nearer there."""

import pandas as pd
from matplotlib.patches import Rectangle

from unlearnlib.core.errors import UserError
from unlearnlib.figures.looks import DARK, GREY, LOOKS, REFERENCES, look
from unlearnlib.figures.parts import handle, in_order, marker_size, need_columns, new_figure, plain_ticks
from unlearnlib.figures.verdicts import STATES, VERDICTS, mark, page

LINE, CLAIM, TOP, FOOT = 0.2, 0.36, 1.62, 0.12  # inches
LEFT, RIGHT = 0.47, 0.93  # where the columns begin and end, as parts of the width: the last name goes on beyond


def configurations(rows: pd.DataFrame):
    """Return the figure of a table of unlearnlib.claims.judging.judge_configurations: a column for each configuration,
    a coloured row for each claim and below it a row of small marks for each criterion."""
    need_columns(rows, "configuration", "claim", "statement", "verdict", "criterion", "state", "n")
    if rows.empty:
        raise UserError("there is no configuration to draw")
    names = in_order(rows["configuration"])
    claims = list(rows.groupby("claim", sort=False))
    lines = sum(part["criterion"].nunique() for _, part in claims)
    height = TOP + FOOT + len(claims) * CLAIM + lines * LINE
    figure, axes = page(height, rows)
    width = (RIGHT - LEFT) / len(names)
    places = {name: LEFT + width * (number + 0.5) for number, name in enumerate(names)}
    _heads(axes, places)
    y = TOP
    for claim, part in claims:
        middle = y + CLAIM / 2
        axes.text(0.018, middle, claim, fontsize=9.5, fontweight="bold", color=DARK, va="center")
        statement = part["statement"].iloc[0]
        axes.text(0.062, middle, _wrapped(statement), fontsize=8.5, color=DARK, va="center", linespacing=1.05)
        for name, own in part.groupby("configuration", sort=False):
            shown = VERDICTS[own["verdict"].iloc[0]]
            box = Rectangle((places[name] - width * 0.44, y + 0.035), width * 0.88, CLAIM - 0.07, linewidth=0)
            box.set(facecolor=shown.color, alpha=0.3)
            axes.add_patch(box)
            mark(axes, places[name], middle, shown, 9)
        y += CLAIM
        for criterion, own in part.groupby("criterion", sort=False):
            axes.text(
                0.062, y + LINE / 2, criterion.removeprefix("equal forgetting: "), fontsize=7.5, color=GREY, va="center"
            )
            for name, state in zip(own["configuration"], own["state"], strict=True):
                mark(axes, places[name], y + LINE / 2, STATES[state], 5)
            y += LINE
    return figure


def _heads(axes, places: dict[str, float]) -> None:
    for name, x in places.items():
        axes.text(
            x, TOP - 0.06, name, rotation=52, ha="left", va="bottom", fontsize=8, color=DARK, rotation_mode="anchor"
        )
    axes.text(
        0.062,
        TOP - 0.1,
        "claim (tile), and what of it is asked here (marks)",
        fontsize=8,
        color=GREY,
        va="bottom",
    )


def _wrapped(text: str) -> str:
    """The statement in two lines at most."""
    words, first = text.split(), ""
    while words and len(first) + len(words[0]) < 52:
        first = f"{first} {words.pop(0)}".strip()
    return f"{first}\n{' '.join(words)}" if words else first


def nearer(table: pd.DataFrame):
    """Return the figure of `unlearnlib.experiment.configurations.against_nothing`: a row for each configuration, a mark
    with its 95% interval for each method; left of the line is nearer to the retrained model than doing nothing."""
    need_columns(table, "configuration", "method", "ratio", "low", "high", "n")
    if table.empty:
        raise UserError("there is no configuration to draw")
    names, methods = in_order(table["configuration"]), in_order(table["method"])
    figure, axes = new_figure(height=1.3 + 0.36 * len(names))
    apart = 0.5 / max(len(methods), 1)
    for number, method in enumerate(methods):
        shown = look(method)
        for _, row in table[table["method"] == method].iterrows():
            y = names.index(row["configuration"]) + (number - (len(methods) - 1) / 2) * apart
            axes.plot([row["low"], row["high"]], [y, y], color=shown.color, linewidth=1.8, zorder=2)
            axes.plot(row["ratio"], y, marker=shown.marker, color=shown.color, markersize=marker_size(shown, 7),
                      markeredgecolor="white", markeredgewidth=0.7, zorder=3)  # fmt: skip
    axes.axvline(1, color=LOOKS["finetuned"].color, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6))
    axes.set_xlabel("forget set: KL to the retrained model, as a multiple of that of doing nothing (dashed line)")
    axes.grid(axis="y", visible=False)
    counts = table.groupby("configuration")["n"].max().astype(int)
    seeds = f"{counts.min()} to {counts.max()}" if counts.min() < counts.max() else f"{counts.max()}"
    title = f"{seeds} seeds, geometric mean and 95% interval"
    handles = [handle(look(one)) for one in methods]
    for one, name in zip(handles, methods, strict=True):
        one.set_label(look(name).label if name in REFERENCES else name)
    legend = figure.legend(handles=handles, loc="outside upper left", ncols=2, title=title)
    legend.get_title().set(color=GREY, fontsize=8.5)
    legend.set_alignment("left")
    return figure
