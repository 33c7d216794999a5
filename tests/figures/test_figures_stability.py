"""The figures of stability show the numbers that they are given."""

import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.figures import stability


def probes():
    rows = [
        (seed, method, probe, level, measure, value + 0.01 * place)
        for seed in (0, 1)
        for method, value in (("finetuned", 0.9), ("retrained", 0.2))
        for probe, measure, levels in (("its own texts", "the rest", (0, 1, 2)), ("rounding", "forget", (32, 8, 4)))
        for place, level in enumerate(levels)
    ]
    return pd.DataFrame(rows, columns=["seed", "method", "probe", "level", "measure", "value"])


def requests():
    rows = [
        (seed, method, order, count, measure, value)
        for seed in (0, 1)
        for method, value in (("first epoch", 0.4), ("finetuned", 0.7))
        for order in (0, 1)
        for count in (1, 4)
        for measure in ("removed", "others", "KL", "KL others")
        if order == 0 or measure in ("removed", "others")
    ]
    return pd.DataFrame(rows, columns=["seed", "method", "order", "requests", "measure", "value"])


def test_a_panel_for_each_probe_and_fewer_bits_to_the_right():
    figure = stability.probes(probes())
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["5 forgotten texts", "rounded weights"]
    ticks = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert ticks == ["32", "8", "4"]
    drawn = [list(line.get_ydata()) for line in figure.axes[0].get_lines()]
    assert pytest.approx([0.9, 0.91, 0.92]) in drawn and pytest.approx([0.2, 0.21, 0.22]) in drawn


def test_requests_have_their_distances_on_a_logarithmic_axis():
    figure = stability.requests(requests())
    titles = {panel.get_title(loc="left"): panel for panel in figure.axes if panel.axison}
    assert "removed so far" in titles and titles["distance on what was removed"].get_yscale() == "log"
    lines = titles["removed so far"].get_lines()
    assert [line.get_marker() for line in lines].count("None") == 3, (
        "two methods in other orders, without marks; chance"
    )


def test_what_cannot_be_drawn_is_one_line():
    with pytest.raises(UserError, match="the table has none of the probes"):
        stability.probes(probes().assign(probe="x"))
    with pytest.raises(UserError, match="no column 'order'"):
        stability.requests(requests().drop(columns="order"))
