"""The figures of the applications show the numbers that they are given."""

import numpy as np
import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.figures import applications


def table():
    rows = [
        (seed, method, measure, value + 0.02 * seed)
        for seed in (0, 1)
        for method, value in (("nothing done", 0.9), ("unlearned", 0.3), ("retrained", 0.2))
        for measure in ("old", "KL")
    ]
    return pd.DataFrame(rows, columns=["seed", "method", "measure", "value"])


def test_every_way_has_a_row_and_every_measure_a_panel():
    figure = applications.ways(table(), "retrained")
    assert [panel.get_xlabel() for panel in figure.axes] == ["old", "KL"]
    first = figure.axes[0]
    assert [one.get_text() for one in first.get_yticklabels()] == ["nothing done", "unlearned", "retrained"]
    marks = [line for line in first.get_lines() if line.get_linestyle() == "None" and len(line.get_xdata()) == 1]
    places = {round(float(line.get_ydata()[0])): float(line.get_xdata()[0]) for line in marks}
    assert places == pytest.approx({0: 0.91, 1: 0.31, 2: 0.21})
    lines = [
        line.get_xdata() for line in first.get_lines() if line.get_linestyle() == "-" and len(line.get_xdata()) == 2
    ]
    assert [list(line) for line in lines] == [pytest.approx([0.21, 0.21])], "the reference is a line"
    assert len(applications.ways(table(), "retrained", ["KL"]).axes) == 1


def test_an_interval_ends_where_a_probability_does():
    wide = table().assign(value=lambda one: one["value"] + 0.06 * one["seed"])
    bars = applications.ways(wide, "retrained", ["old"]).axes[0].collections
    ends = np.concatenate([np.asarray(segment)[:, 0] for bar in bars if hasattr(bar, "get_segments") for segment in bar.get_segments()])  # fmt: skip  # noqa: E501
    assert ends.min() >= 0 and ends.max() == 1.0, "0.9 and 0.98 have a 95% interval up to 1.45"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda: applications.ways(table(), "retraind"), "nothing to draw of 'retraind'"),
        (lambda: applications.ways(table(), "retrained", ["new"]), "nothing to draw of 'new'"),
        (lambda: applications.ways(table().drop(columns="seed"), "retrained"), "no column 'seed'"),
        (lambda: applications.lives(table().assign(round=0)), "the table has none of removed"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(asked, message):
    with pytest.raises(UserError, match=message):
        asked()


def test_a_life_is_a_line_for_each_model():
    rows = [
        (seed, round_, method, measure, value - 0.1 * round_)
        for seed in (0, 1)
        for round_ in (0, 1, 2)
        for method, value in (("nothing done", 0.9), ("unlearned", 0.8), ("retrained", 0.4))
        for measure in ("removed", "others")
        if measure == "others" or round_
    ]
    lived = pd.DataFrame(rows, columns=["seed", "round", "method", "measure", "value"])
    figure = applications.lives(lived)
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["removed so far", "retained people"]
    drawn = [list(line.get_ydata()) for line in figure.axes[1].get_lines()]
    assert pytest.approx([0.8, 0.7, 0.6]) in drawn
