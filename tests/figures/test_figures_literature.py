"""The figures of the literature's ways: each has its place, its colour is its class, and no label hides another."""

import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Annotation

from unlearnlib.core.errors import UserError
from unlearnlib.figures import literature, looks

matplotlib.use("Agg")

GROUPS = {f"way {number}": group for number, group in enumerate(["forget set", "+ retained texts"] * 8)}
LINE = ["retraining, 1 epoch", "retraining, 2 epochs"]
SETS = {"forget": 0.7, "retain": 0.1}


def value(number, of):
    return SETS[of] * (1.4 + 0.05 * number)  # close to each other, so that labels have to make room


def tables():
    rows, models, work = [], [], []
    for seed, of in itertools.product((0, 1, 2), SETS):
        shift = np.exp(0.1 * (seed - 1))
        rows += [
            (seed, name, not (number == 1 and seed == 2), of, value(number, of) * shift)
            for number, name in enumerate(GROUPS)
        ]
        rows += [(seed, name, True, of, SETS[of] / (2 + number)) for number, name in enumerate(LINE)]
        models += [(seed, "finetuned", True, of, SETS[of]), (seed, "retrained again", True, of, SETS[of] / 8)]
        work += [(seed, name, 0.0 if number == 3 else 0.1 + number / 20) for number, name in enumerate(GROUPS)]
        work += [(seed, name, (1 + number) / 6) for number, name in enumerate(LINE)]
    columns = ["seed", "method", "reached", "set", "value"]
    work = pd.DataFrame(work, columns=["seed", "method", "work"])
    return pd.DataFrame(rows, columns=columns), pd.DataFrame(models, columns=columns), work


def labels(axes):
    return {one.get_text(): one for one in axes.texts if isinstance(one, Annotation)}


def boxes(figure, axes):
    figure.draw_without_rendering()
    return {name: matplotlib.text.Text.get_window_extent(one) for name, one in labels(axes).items()}


def apart(found):
    for (one, first), (other, second) in itertools.combinations(found.items(), 2):
        assert not (first.x0 < second.x1 and second.x0 < first.x1 and first.y0 < second.y1 and second.y0 < first.y1), (
            one,
            other,
        )


def marks(axes):
    single = [line for line in axes.get_lines() if len(line.get_xdata()) == 1 and line.get_linestyle() == "None"]
    return {(round(float(one.get_xdata()[0]), 6), round(float(one.get_ydata()[0]), 6)): one for one in single}


def test_every_way_is_at_its_mean_in_the_colour_of_its_class_and_named_beside_it():
    rows, models, _ = tables()
    figure = literature.plane(rows, GROUPS, LINE, models)
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    found = marks(axes)
    for number, (name, group) in enumerate(GROUPS.items()):
        mark = found[round(value(number, "forget"), 6), round(value(number, "retain"), 6)]
        assert mark.get_color() == looks.look(group).color
        assert (mark.get_markerfacecolor() == "white") == (name == "way 1"), "open where it was not reached"
    assert set(labels(axes)) == {*GROUPS, *LINE, "nothing forgotten", "two retrained models"}
    apart(boxes(figure, axes))
    with pytest.raises(UserError, match="a distance that is missing or zero"):
        literature.plane(rows.assign(value=0.0), GROUPS, LINE, models)
    with pytest.raises(UserError, match="no column 'reached'"):
        literature.plane(rows.drop(columns="reached"), GROUPS, LINE, models)


def test_work_is_a_multiple_of_retraining_and_none_stands_at_the_edge():
    rows, models, work = tables()
    figure = literature.against_work(rows, work, GROUPS, LINE, models)
    for axes, of in zip(figure.axes, SETS, strict=True):
        found = marks(axes)
        for number in range(len(GROUPS)):
            x = 0.1 / 4 if number == 3 else 0.1 + number / 20
            assert (round(x, 6), round(value(number, of), 6)) in found
        levels = sorted(float(line.get_ydata()[0]) for line in axes.get_lines() if list(line.get_xdata()) == [0, 1])
        assert levels == pytest.approx([SETS[of] / 8, SETS[of]])
        assert set(labels(axes)) == {*GROUPS, *LINE}
        apart(boxes(figure, axes))
    with pytest.raises(UserError, match="no way reads any text"):
        literature.against_work(rows, work.assign(work=0.0), GROUPS, LINE, models)


def test_ranks_stand_below_their_class_from_the_best_on():
    names = {"NPO": "forget set", "noise": "forget set", "never": "forget set", "SCRUB": "+ retained texts"}
    known = {"NPO": (2, 2), "noise": (1, np.nan), "never": (np.nan, np.nan), "SCRUB": (1, 1)}
    rows = [
        (seed, of, group, name, known[name][seed]) for seed in (0, 1) for of in SETS for name, group in names.items()
    ]
    table = pd.DataFrame(rows, columns=["seed", "set", "group", "method", "rank"])
    figure = literature.ranks(table)
    left = figure.axes[0]
    titles = [text.get_text() for text in left.get_yticklabels()]
    assert titles == ["forget set", "noise", "NPO", "never (not reached)", "+ retained texts", "SCRUB"]
    for axes in figure.axes:
        found = {y: mark for (_, y), mark in marks(axes).items()}
        at = dict(zip(titles, np.round(left.get_yticks(), 6), strict=True))
        assert at["never (not reached)"] not in found
        assert found[at["noise"]].get_markerfacecolor() == "white", "not ranked in every seed"
        assert float(found[at["NPO"]].get_xdata()[0]) == 2
    with pytest.raises(UserError, match="there is no way to rank"):
        literature.ranks(table.iloc[:0])
