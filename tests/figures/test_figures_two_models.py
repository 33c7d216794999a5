"""The figure of two models shows the numbers that it is given, and says where an interval goes on."""

import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.figures import two_models


def table(high=0.5):
    rows = [
        (comparison, model, measure, gain, gain - 0.2, high, seeds)
        for comparison in ("a against b", "c against d", "e against f")
        for model, seeds, gain in (("small", 5, 0.1), ("real", 3, -0.3))
        for measure in ("known", "distance")
    ]
    return pd.DataFrame(rows, columns=["comparison", "model", "measure", "gain", "low", "high", "n"])


def test_a_mark_is_a_gain_and_a_line_its_interval():
    figure = two_models.gains(table())
    panels = [one for one in figure.axes if one.axison]
    assert [one.get_title(loc="left") for one in panels] == ["a against b", "c against d", "e against f"]
    lines = panels[0].get_lines()
    marks = [float(line.get_xdata()[0]) for line in lines if line.get_marker() in "oD"]
    spans = [tuple(map(float, line.get_xdata())) for line in lines if len(line.get_xdata()) == 2][:4]
    assert marks == [0.1, 0.1, -0.3, -0.3]
    assert spans == [(pytest.approx(-0.1), 0.5)] * 2 + [(pytest.approx(-0.5), 0.5)] * 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "small, 5 seeds", "real, 3 seeds", "no difference"
    ]  # fmt: skip


def test_an_interval_that_goes_on_has_an_arrow():
    panel = two_models.gains(table(high=40.0)).axes[0]
    assert sum(line.get_marker() == ">" for line in panel.get_lines()) == 4
    assert panel.get_xlim()[1] == two_models.LIMIT
    with pytest.raises(UserError, match="no column 'gain'"):
        two_models.gains(table().drop(columns="gain"))


def ends(low=0.5):
    rows = [
        (of, method, model, ratio, low, ratio * 2, seeds)
        for of in ("to forget", "to keep")
        for model, seeds, ratio in (("small", 5, 0.6), ("real", 3, 3.0))
        for method in ("task vector", "base")
    ]
    return pd.DataFrame(rows, columns=["of", "method", "model", "ratio", "low", "high", "n"])


def test_a_way_has_a_mark_for_each_model_left_of_the_line_where_it_is_nearer():
    figure = two_models.nearer(ends())
    panels = [one for one in figure.axes if one.axison]
    assert [one.get_title(loc="left") for one in panels] == ["to forget", "to keep"]
    marks = [float(line.get_xdata()[0]) for line in panels[0].get_lines() if line.get_marker() in "oD"]
    assert marks == [0.6, 0.6, 3.0, 3.0] and panels[0].get_xscale() == "log"
    least, most = panels[0].get_xlim()
    assert least == pytest.approx(0.6 / two_models.ROOM) and most == pytest.approx(3.0 * two_models.ROOM)
    assert not any(line.get_marker() in "<>" for line in panels[0].get_lines() if line.get_marker() != "None")
    beyond = two_models.nearer(ends(low=1e-3)).axes[0].get_lines()
    assert sum(line.get_marker() == "<" for line in beyond) == 4
    with pytest.raises(UserError, match="no column 'ratio'"):
        two_models.nearer(ends().drop(columns="ratio"))
