"""The figure of distances in several configurations; that of the tiles is tested with the claims."""

import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.figures import configurations


def test_each_configuration_has_a_row_and_each_method_a_mark_with_its_interval_in_it():
    rows = [
        (name, method, 5, ratio, ratio / 1.2, ratio * 1.2)
        for name in ("as it is", "half the epochs", "Anita for Dave")
        for method, ratio in (("first epoch, embedding, preconditioned", 0.8), ("first epoch, whole model, plain", 7.0))
    ]
    table = pd.DataFrame(rows, columns=["configuration", "method", "n", "ratio", "low", "high"])
    axes = configurations.nearer(table).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(dict.fromkeys(table["configuration"]))
    marks = [line for line in axes.lines if len(line.get_xdata()) == 1]
    spans = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] != line.get_xdata()[1]]
    assert sorted(line.get_xdata()[0] for line in marks) == [0.8] * 3 + [7.0] * 3
    assert sorted(round(line.get_ydata()[0]) for line in marks) == [0, 0, 1, 1, 2, 2]
    assert sorted(tuple(line.get_xdata()) for line in spans) == sorted(zip(table["low"], table["high"], strict=True))
    assert axes.get_xscale() == "log" and len({line.get_marker() for line in marks}) == 2
    with pytest.raises(UserError, match="no configuration"):
        configurations.nearer(table.iloc[:0])
