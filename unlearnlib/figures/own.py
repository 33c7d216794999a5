"""Somebody's own model before and after unlearning."""

from dataclasses import replace

import pandas as pd

from unlearnlib.core.errors import UserError
from unlearnlib.figures.looks import LOOKS, Look, look
from unlearnlib.figures.parts import handle, in_order, marker_size, need_columns, new_figure, plain_ticks

OWN = {
    "unlearned": replace(LOOKS["all_epochs"], label="unlearned"),
    "repaired": replace(LOOKS["repaired"], label="then repaired"),
}
ROWS = {"forget": "texts to forget", "keep": "texts to keep", "unseen": "never read"}
PANELS = {
    "perplexity": ("perplexity\n(1: known by heart)", True),
    "rougeL_f1": ("ROUGE-L of what it writes\n(1: word for word)", False),
    "kl": ("KL to the retrained model\n(nats a token)", True),
}
APART = 0.13  # of one row's height: how far the models of a row are from each other


def before_after(table: pd.DataFrame):
    """Return the models beside each other: a row for each set of texts, a panel for each measure that there is.

    table: columns method, set, metric, value, a number for each (see unlearnlib.experiment.before_after.summary).
    UserError where it has none of the measures, and where a perplexity or distance is not above zero.
    """
    need_columns(table, "method", "set", "metric", "value")
    there = [metric for metric in PANELS if metric in set(table["metric"])]
    rows = [name for name in ROWS if name in set(table["set"])]
    if not there or not rows:
        raise UserError(f"nothing to draw: the table has none of {', '.join(PANELS)}")
    models = in_order(table["method"])
    height = 1.6 + 0.75 * len(rows)
    figure, axes = new_figure(columns=len(there), height=height, sharey=True, squeeze=False)
    for panel, metric in zip(axes[0], there, strict=True):
        label, logarithmic = PANELS[metric]
        values = table[table["metric"] == metric].set_index(["method", "set"])["value"]
        if logarithmic and not (values > 0).all():
            raise UserError(f"a {metric} that is missing or zero has no place on a logarithmic axis")
        for number, name in enumerate(models):
            shown, shift = _look(name), APART * (number - (len(models) - 1) / 2)
            places = [(values[name, of], row + shift) for row, of in enumerate(rows) if (name, of) in values.index]
            panel.plot(
                *zip(*places, strict=True) if places else ((), ()), linestyle="none", marker=shown.marker,
                color=shown.color, markersize=marker_size(shown, 8), markeredgecolor="white", markeredgewidth=0.7,
            )  # fmt: skip
        if logarithmic:
            panel.set_xscale("log")
            if values.max() < 100 * values.min():
                plain_ticks(panel.xaxis)
        else:
            panel.set_xlim(-0.04, 1.04)
        panel.set_xlabel(label, fontsize=8.5)
    axes[0][0].set_yticks(range(len(rows)), [ROWS[name] for name in rows])
    axes[0][0].set_ylim(len(rows) - 0.5, -0.5)
    figure.legend(handles=[handle(_look(name)) for name in models], loc="outside upper left", ncols=len(models))
    return figure


def _look(name: str) -> Look:
    return OWN.get(name) or look(name)
