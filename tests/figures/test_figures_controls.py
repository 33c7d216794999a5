"""The figures of the controls: every way has a row and its numbers in it."""

import numpy as np
import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.figures import controls

PLACES = [("whole model", "plain"), ("embedding", "preconditioned")]
WAYS = {
    "first epoch, whole model, plain": 4.0,
    "live, steps of 0.1, whole model, plain": 8.0,
    "first epoch, embedding, preconditioned": 0.6,
}


def table():
    rows = [
        (seed, name, measure, np.log(value) + 0.1 * (2 * seed - 1), not (seed and value == 8.0))
        for seed in (0, 1)
        for measure in controls.PANELS
        for name, value in {**WAYS, "finetuned": 0.75, "retrained again": 0.08}.items()
    ]
    return pd.DataFrame(rows, columns=["seed", "method", "measure", "value", "reached"])


def test_every_way_has_a_row_below_its_place_and_its_numbers_there():
    figure = controls.controls(table(), PLACES)
    left = figure.axes[0]
    labels = [label.get_text() for label in left.get_yticklabels()]
    assert labels == [
        "whole model, plain", "first epoch", "live, steps of 0.1", "embedding, preconditioned", "first epoch"
    ]  # fmt: skip
    places = dict(zip(zip(labels, [0, 0, 0, 1, 1], strict=True), left.get_yticks(), strict=True))
    for axes in figure.axes:
        marks = [line for line in axes.get_lines() if len(line.get_ydata()) == 1 and line.get_linestyle() == "None"]
        found = {float(line.get_ydata()[0]): (float(line.get_xdata()[0]), line.get_markerfacecolor()) for line in marks}
        assert found[places["first epoch", 0]][0] == pytest.approx(4.0)
        assert found[places["first epoch", 1]][0] == pytest.approx(0.6)
        assert found[places["live, steps of 0.1", 0]] == (pytest.approx(8.0), "white"), "open: not in every seed"
        dots = [line for line in axes.get_lines() if len(line.get_ydata()) == 2 and line.get_marker() == "o"]
        assert sorted(len(set(line.get_xdata())) for line in dots) == [2, 2, 2]
        levels = [float(line.get_xdata()[0]) for line in axes.get_lines() if line.get_linestyle() == "--"]
        assert sorted(levels) == pytest.approx([0.08, 0.75])
    with pytest.raises(UserError, match="no way belongs to"):
        controls.controls(table(), [("head", "plain")])
    with pytest.raises(UserError, match="no column 'reached'"):
        controls.controls(table().drop(columns="reached"), PLACES)


def test_the_sizes_stand_side_by_side_with_their_intervals():
    rows = [
        (points, method, measure, 5, ratio * points, ratio * points / 1.5, ratio * points * 1.5)
        for points in (1, 5, 40)
        for method, ratio in (("first epoch, whole model, plain", 1.0), ("first epoch, embedding, plain", 0.1))
        for measure in controls.PANELS
    ]
    sizes = pd.DataFrame(rows, columns=["points", "method", "measure", "n", "ratio", "low", "high"])
    figure = controls.sizes(sizes)
    for axes in figure.axes:
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "5", "40"]
        curves = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]
        assert [list(line.get_ydata()) for line in curves] == [[1, 5, 40], pytest.approx([0.1, 0.5, 4.0])]
        assert np.allclose(curves[0].get_xdata(), [1, 5, 40], rtol=0.05)
    with pytest.raises(UserError, match="no forget set to draw"):
        controls.sizes(sizes.iloc[:0])
