"""The figures of scaling: what is drawn is what was measured, and what is extrapolated is dashed."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.figures import looks, scaling

matplotlib.use("Agg")
SIZES = np.array([1e6, 3e6, 1e7, 3e7])


def rows(**more):
    return pd.concat(
        pd.DataFrame({"panel": panel, "name": name, "x": SIZES, "value": factor * SIZES**power * [1, 1.1, 0.9, 1]})
        for panel, name, factor, power in (
            ("CPU time (seconds)", "training", 1e-7, 1.0),
            ("CPU time (seconds)", "evaluation", 1e-7, 0.9),
            ("stored (bytes)", "kept, sums", 4, 1.0),
        )
    ).assign(**more)


def lines(panel, name):
    return [line for line in panel.get_lines() if line.get_color() == looks.look(name).color]


def test_a_cost_is_a_mark_at_what_was_measured_and_a_line_through_it():
    left, right = scaling.growth(rows(), "model size (parameters)").axes
    assert (left.get_xscale(), left.get_yscale()) == ("log", "log")
    marks, law = lines(left, "training")[:2]
    assert np.allclose(marks.get_xdata(), SIZES) and np.allclose(marks.get_ydata(), rows()["value"].iloc[:4])
    assert (law.get_xdata()[0], law.get_xdata()[-1]) == pytest.approx((1e6, 3e7))
    assert right.get_ylabel() == "stored (bytes)" and len(lines(right, "kept, sums")) >= 2
    assert right.yaxis.get_major_formatter()(1e7, 0) == "10 MB"
    assert left.xaxis.get_major_formatter()(1e9, 0) == "1B"


def test_beyond_what_was_measured_a_law_is_dashed_and_has_its_interval():
    figure = scaling.growth(rows(), "model size (parameters)", {"124M": 1.24e8, "7B": 7e9})
    panel = figure.axes[0]
    dashed = lines(panel, "training")[2]
    assert dashed.get_linestyle() == "--" and dashed.get_xdata()[-1] == pytest.approx(7e9)
    assert dashed.get_xdata()[0] == pytest.approx(3e7)
    assert {"124M", "7B"} <= {text.get_text() for text in panel.texts}
    bars = [one for one in panel.collections if len(one.get_segments()) == 2]
    assert len(bars) == 2  # training and evaluation, at both marks
    assert 1e5 < panel.get_xlim()[0] < 1e6 and 7e9 < panel.get_xlim()[1] < 1e11
    low, high = bars[0].get_segments()[1][:, 1]
    assert low < 1e-7 * 7e9 < high


def test_several_models_of_one_cost_are_told_apart_by_open_marks():
    both = pd.concat([rows(line="1M"), rows(line="3M").assign(value=lambda table: 3 * table["value"])])
    figure = scaling.growth(both, "length of a text (tokens)")
    marks = [line for line in lines(figure.axes[0], "training") if line.get_linestyle() == "None"]
    assert [mark.get_markerfacecolor() for mark in marks] == ["white", looks.look("training").color]
    assert figure.axes[0].get_legend().get_title().get_text() == "open marks: 1M, full: 3M"


def test_a_single_point_has_no_law_and_nothing_to_draw_is_one_line():
    one = rows().groupby("name").head(1)
    assert len(lines(scaling.growth(one, "x").axes[0], "training")) == 1
    with pytest.raises(UserError, match="no measured cost"):
        scaling.growth(rows().assign(value=np.nan), "x")
    with pytest.raises(UserError, match="'panel'"):
        scaling.growth(rows().drop(columns="panel"), "x")


def test_the_ring_is_where_factors_and_the_dense_gradient_cross():
    measured = pd.DataFrame({"model": "1M", "x": [16, 32, 64, 128], "value": [1e6, 2e6, 4e6, 8e6], "dense": 5e6})
    counted = pd.DataFrame({"model": ["1M"], "tokens": [80.0]})
    (axes,) = scaling.room(measured, counted).axes
    (ring,) = (line for line in axes.get_lines() if line.get_markersize() == 12)
    assert (float(ring.get_xdata()[0]), float(ring.get_ydata()[0])) == (80.0, 5e6)
    assert [text.get_text() for text in axes.texts] == ["1M: 80 tokens"]
    with pytest.raises(UserError, match="no measured length"):
        scaling.room(measured.iloc[:0], counted)


def test_shares_are_drawn_by_size():
    rates = pd.DataFrame(
        {"model": ["3M", "1M"], "parameters": [3e6, 1e6], "of_square": [0.5, 0.3], "of_shapes": [0.7, 0.4]}
    )
    (axes,) = scaling.shares(rates).axes
    assert [list(line.get_ydata()) for line in axes.get_lines()[:2]] == [[0.3, 0.5], [0.4, 0.7]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1M", "3M"]
    with pytest.raises(UserError, match="no rate"):
        scaling.shares(rates.iloc[:0])


@pytest.mark.parametrize(
    ("number", "units", "text"),
    [(2e9, scaling.BYTES, "2 GB"), (500, scaling.BYTES, "500 B"), (0.5, scaling.BYTES, "0.5 B"),
     (3e7, scaling.COUNTS, "30M"), (7e9, scaling.COUNTS, "7B"), (100, scaling.COUNTS, "100")],
)  # fmt: skip
def test_numbers_are_written_as_they_are_read(number, units, text):
    assert scaling.short(number, units) == text
