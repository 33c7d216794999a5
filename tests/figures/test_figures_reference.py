"""The figures that set methods beside the retrained model: what is drawn is what the table says."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.figures import reference

matplotlib.use("Agg")
VALUES = {"first epoch": 2.0, "embedding": 0.5, "retrained again": 0.1}


def table(seeds=(0, 1, 2), metrics=("kl", "auc")) -> pd.DataFrame:
    rows = [
        (seed, method, metric, value * (1 + 0.1 * seed)) for seed in seeds for method, value in VALUES.items()
        for metric in metrics
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["seed", "method", "metric", "value"])


def test_every_method_has_a_row_and_the_ceiling_is_a_line():
    figure = reference.by_method(table(), {"kl": "KL", "auc": "AUC"}, logarithmic=["kl"], ideal={"auc": 0.5})
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["first epoch", "embedding"]
    assert first.get_xscale() == "log" and second.get_xscale() == "linear"
    ceilings = [
        line.get_xdata()[0] for line in first.get_lines() if len(set(line.get_xdata())) == 1 and line.get_lw() == 2
    ]
    assert ceilings == pytest.approx([0.1 * np.exp(np.mean(np.log([1, 1.1, 1.2])))])
    dashed = [line.get_xdata()[0] for line in second.get_lines() if line.get_linestyle() == "--"]
    assert dashed == [0.5]


def test_one_seed_has_no_interval_and_a_missing_metric_is_named():
    reference.by_method(table(seeds=(3,)), {"kl": "KL"})
    with pytest.raises(UserError, match="no metric 'rmse'"):
        reference.by_method(table(), {"rmse": "RMSE"})


def test_savings_are_drawn_in_percent_with_their_mean():
    rows = pd.DataFrame({"seed": 0, "scenario": ["early"] * 4 + ["late"] * 4, "saved": [0.0] * 3 + [0.04] + [0.5] * 4})
    early, late = reference.replay_savings(rows).axes
    assert [text.get_text() for text in early.texts] == ["mean 1%"] and late.texts[0].get_text() == "mean 50%"
    assert max(early.get_lines()[0].get_ydata()) == pytest.approx(4)


def test_confidences_beyond_the_limit_stand_at_its_edge():
    rows = pd.DataFrame(
        [
            (method, "a", f"{method} {number}", value + number / 10)
            for method, value in {"retrained": 0.0, "first epoch": -400.0}.items()
            for number in range(5)
        ],
        columns=["method", "example", "model", "value"],
    )
    figure = reference.confidence_distributions(rows, ["a"], ["first epoch"], limit=25.0)
    low, high = figure.axes[0].get_xlim()
    assert -30 < low < -20 and high < 10
    shares = [patch.get_height() for patch in figure.axes[0].patches]
    assert sum(shares) == pytest.approx(2), "the shares of both kinds of models add up to one each"
