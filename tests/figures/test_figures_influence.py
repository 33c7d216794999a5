"""The figures of influence from synthetic tables: what is drawn is what the table says."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from unlearnlib.core.errors import UserError
from unlearnlib.figures import influence, unlearning

matplotlib.use("Agg")

SCORES = {"same point": 0.8, "gradient dot": 0.2, "TracIn": 0.45}


def agreed(truths=("random halves", "one point left out, seed 0")) -> pd.DataFrame:
    rows = [
        (score, truth, value, value - 0.1, value + 0.1, 10.0**place)
        for truth in truths
        for place, (score, value) in enumerate(SCORES.items(), start=-3)
    ]
    return pd.DataFrame(rows, columns=["score", "truth", "estimate", "low", "high", "seconds"])


def drawn(axes) -> dict[float, float]:
    """The markers of a panel: position along y, position along x."""
    lines = [line for line in axes.get_lines() if line.get_marker() not in ("None", None, "", "|", "_")]
    return {float(y): float(x) for line in lines for x, y in [line.get_xydata()[0]]}


def test_agreement_has_a_panel_for_every_truth_and_the_baseline_in_each():
    figure = influence.agreement(agreed())
    assert isinstance(figure, Figure) and len(figure.axes) == 2
    for axes, truth in zip(figure.axes, agreed()["truth"].unique(), strict=True):
        assert axes.get_title(loc="left") == truth
        assert drawn(axes) == pytest.approx({place: value for place, value in enumerate(SCORES.values())})
        dashed = [line.get_xdata()[0] for line in axes.get_lines() if line.get_linestyle() == "--"]
        assert dashed == [SCORES["same point"]]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(SCORES)


def test_a_score_without_this_truth_leaves_its_row_empty():
    table = agreed().query("not (score == 'TracIn' and truth == 'random halves')")
    first, second = influence.agreement(table).axes
    assert (len(drawn(first)), len(drawn(second))) == (2, 3)


def test_cost_is_on_a_logarithmic_axis_and_every_score_is_named():
    figure = influence.agreement_cost(agreed(["random halves"]))
    (axes,), (legend,) = figure.axes, figure.legends
    assert axes.get_xscale() == "log"
    assert {text.get_text() for text in legend.get_texts()} == set(SCORES)
    # What costs nearly nothing stands at a hundredth of a second, not off the axis.
    assert min(drawn(axes).values()) == pytest.approx(0.01)


def test_along_metrics_draws_the_geometric_mean_of_what_spans_orders_of_magnitude():
    rows = []
    for seed, level in enumerate((10.0, 1000.0)):
        rows += [(seed, "finetuned", None, "forget", "self_influence", 1.0)]
        rows += [(seed, "retrained", None, "forget", "self_influence", 4.0)]
        rows += [(seed, "first epoch", 1.0, "forget", "self_influence", level)]
        rows += [(seed, "first epoch", 1.0, "forget", "answer_probability", 0.2)]
    table = pd.DataFrame(rows, columns=["seed", "method", "step", "set", "metric", "value"])
    panels = [("forget", "self_influence"), ("forget", "answer_probability")]
    figure = unlearning.along_metrics(table, panels, columns=3)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 2 and shown[0].get_yscale() == "log" and shown[1].get_yscale() == "linear"
    (line,) = [line for line in shown[0].get_lines() if line.get_marker() == "o"]
    np.testing.assert_allclose(line.get_ydata(), [1.0, 100.0])
    assert 4.0 in [pytest.approx(line.get_ydata()[0]) for line in shown[0].get_lines() if line.get_linestyle() == "--"]


def test_missing_columns_are_one_clear_error():
    with pytest.raises(UserError, match="estimate"):
        influence.agreement(agreed().drop(columns="estimate"))
    with pytest.raises(UserError, match="seconds"):
        influence.agreement_cost(agreed(["random halves"]).drop(columns="seconds"))
