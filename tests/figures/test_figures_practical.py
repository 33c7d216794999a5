"""The figure of ways at little compute shows the numbers that it is given."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unlearnlib.core.errors import UserError
from unlearnlib.figures import practical


def ways():
    rows = [
        (
            seed,
            f"embedding, plain {repair}",
            "embedding, plain",
            repair,
            forget * (1 + 3 * seed),
            0.5,
            bool(repair or seed),
        )
        for seed in (0, 1)
        for repair, forget in ((0, 0.2), (4, 0.4))
    ]
    return pd.DataFrame(rows, columns=["seed", "method", "first", "repair", "forget", "retain", "forgotten"])


def test_a_mark_is_a_geometric_mean_and_a_ring_the_choice():
    models = pd.DataFrame({"method": ["retrained again"], "forget": [0.1], "retain": [0.1]})
    axes = practical.plane(ways(), models, ["embedding, plain 4"]).axes[0]
    marks = [line for line in axes.get_lines() if line.get_linestyle() == "None"]
    places = [tuple(round(float(one[0]), 6) for one in line.get_data()) for line in marks]
    assert places == [(0.4, 0.5), (0.8, 0.5), (0.8, 0.5), (0.1, 0.1)], "two ways, a ring round one, and a model"
    assert marks[1].get_markersize() > marks[0].get_markersize(), "more repair is larger"
    assert [one.get_markerfacecolor() == "white" for one in marks[:2]] == [True, False], "open where it is still told"
    both = practical.plane(ways(), models, ["embedding, plain 4", "embedding, plain 0"]).axes[0]
    rings = [line.get_markeredgewidth() for line in both.get_lines() if line.get_markerfacecolor() == "none"]
    assert len(rings) == 2 and rings[1] > rings[0], "drawn from the smallest repair on: the second is the choice"
    assert axes.get_xscale() == axes.get_yscale() == "log"
    with pytest.raises(UserError, match="no column 'repair'"):
        practical.plane(ways().drop(columns="repair"), models)


def test_a_cross_is_the_interval_over_seeds():
    rows = ways().query("repair == 0").assign(retain=[0.5, 1.0])
    models = pd.DataFrame({"method": "retrained again", "seed": [0, 1], "forget": [0.1, 0.2], "retain": 0.1})
    axes = practical.plane(rows, models, intervals=True).axes[0]
    lines = [line for line in axes.get_lines() if line.get_linestyle() == "-"]
    across, up = (sorted(line.get_data()[place]) for line, place in zip(lines, (0, 1), strict=False))
    for drawn, values in ((across, (0.2, 0.8)), (up, (0.5, 1.0))):
        logs = np.log(values)
        expected = np.exp(stats.t.interval(0.95, 1, logs.mean(), logs.std(ddof=1) / np.sqrt(2)))
        assert drawn == pytest.approx(expected)
    assert len(lines) == 4, "a cross for the way, one for the model"
    assert "95%" in axes.figure.legends[0].get_title().get_text()
    alone = practical.plane(rows.query("seed == 0"), models.query("seed == 0"), intervals=True).axes[0]
    assert not [line for line in alone.get_lines() if line.get_linestyle() == "-"], "one seed has no interval"
