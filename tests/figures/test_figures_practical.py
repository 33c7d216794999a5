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


def test_a_cross_is_the_interval_over_seeds_of_its_own_way():
    rows = ways().assign(retain=[0.5, 0.6, 1.0, 1.1])
    models = pd.DataFrame({"method": "retrained again", "seed": [0, 1], "forget": [0.1, 0.2], "retain": [0.3, 0.5]})
    axes = practical.plane(rows, models, intervals=True).axes[0]
    lines = [line for line in axes.get_lines() if line.get_linestyle() == "-"]
    assert len(lines) == 6, "a cross for each way, one for the model"
    expected = [((0.2, 0.8), (0.5, 1.0)), ((0.4, 1.6), (0.6, 1.1)), ((0.1, 0.2), (0.3, 0.5))]
    for (across, up), values in zip(zip(lines[::2], lines[1::2], strict=True), expected, strict=True):
        for line, own, other, at in ((across, *values, 0), (up, *values[::-1], 1)):
            logs = np.log(own)
            ends = np.exp(stats.t.interval(0.95, 1, logs.mean(), logs.std(ddof=1) / np.sqrt(2)))
            assert sorted(line.get_data()[at]) == pytest.approx(ends)
            assert line.get_data()[1 - at] == pytest.approx([np.exp(np.log(other).mean())] * 2), "through its mark"
    assert [line.get_color() for line in lines[::2]] == [practical.FIRSTS["embedding, plain"].color] * 2 + [
        practical.MODELS["retrained again"].color
    ]
    assert "95%" in axes.figure.legends[0].get_title().get_text()
    alone = practical.plane(rows.query("seed == 0"), models.query("seed == 0"), intervals=True).axes[0]
    assert not [line for line in alone.get_lines() if line.get_linestyle() == "-"], "one seed has no interval"


def test_the_legend_says_what_is_open_and_what_is_ringed():
    models = pd.DataFrame({"method": ["retrained again"], "forget": [0.1], "retain": [0.1]})
    figure = practical.plane(ways(), models, ["embedding, plain 4", "embedding, plain 0"])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    widths = {line.get_label(): line.get_markeredgewidth() for line in figure.legends[0].legend_handles}
    assert {"a way that still tells in some run", "nothing done"} <= set(texts)
    assert widths["the choice"] > widths["the nearest, whatever it tells"]
    axes = figure.axes[0]
    still = next(line for line in axes.get_lines() if line.get_markerfacecolor() == "white")
    assert still.get_markeredgecolor() == practical.FIRSTS["embedding, plain"].color
    dashed = [line for line in axes.get_lines() if len(line.get_xdata()) == 2]
    assert [list(line.get_data()[at]) for at, line in enumerate(dashed)] == [[1, 1], [1, 1]], "doing nothing"
