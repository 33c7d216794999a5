"""The plane of distances: what is drawn is what the tables say."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.figures import looks, plane

matplotlib.use("Agg")


def tables():
    paths, stops, models = [], [], []
    for seed in (0, 1):
        for of, base in (("forget", 0.7), ("retain", 0.04)):
            models += [(seed, "finetuned", of, base), (seed, "retrained again", of, base / 8)]
            for method, slope in (("first epoch", 1.0), ("embedding", -0.2)):
                paths += [(seed, method, step, of, base * np.exp(slope * step + 0.1 * seed)) for step in range(4)]
                stops += [
                    (seed, method, stop, of, base * np.exp(slope * at)) for stop, at in (("gone", 1), ("equal", 2))
                ]
    return (
        pd.DataFrame(paths, columns=["seed", "method", "step", "set", "value"]),
        pd.DataFrame(stops, columns=["seed", "method", "stop", "set", "value"]),
        pd.DataFrame(models, columns=["seed", "method", "set", "value"]),
    )


def test_a_path_is_the_geometric_mean_of_its_seeds_and_has_two_marks():
    paths, stops, models = tables()
    (axes,) = plane.plane(paths, stops, models).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    thick = [line for line in axes.get_lines() if line.get_linewidth() == 2 and len(line.get_xdata()) == 4]
    expected = 0.7 * np.exp(np.arange(4) * 1.0 + 0.05)
    assert len(thick) == 2 and np.allclose(thick[0].get_xdata(), expected)
    color = looks.look("first epoch").color
    marks = [line for line in axes.get_lines() if line.get_marker() == "o" and line.get_color() == color]
    assert [line.get_markerfacecolor() for line in marks] == ["white", color]
    assert [float(line.get_xdata()[0]) for line in marks] == pytest.approx([0.7 * np.e, 0.7 * np.e**2])


def test_a_single_stop_has_a_full_mark_and_no_open_one():
    paths, stops, models = tables()
    figure = plane.plane(paths, stops[stops["stop"] == "equal"], models)
    color = looks.look("first epoch").color
    marks = [line for line in figure.axes[0].get_lines() if line.get_marker() == "o" and line.get_color() == color]
    assert [line.get_markerfacecolor() for line in marks] == [color]
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "equal"
    assert "gone" not in [text.get_text() for text in figure.legends[0].get_texts()]


def test_doing_nothing_and_two_retrained_models_stand_beside_them():
    (axes,) = plane.plane(*tables()).axes
    square, star = ([one for one in axes.get_lines() if one.get_marker() == marker][-1] for marker in "s*")
    assert (float(square.get_xdata()[0]), float(square.get_ydata()[0])) == pytest.approx((0.7, 0.04))
    assert (float(star.get_xdata()[0]), float(star.get_ydata()[0])) == pytest.approx((0.7 / 8, 0.04 / 8))


def test_a_distance_of_zero_is_named():
    paths, stops, models = tables()
    with pytest.raises(UserError, match="a distance that is missing or zero"):
        plane.plane(paths.assign(value=0.0), stops, models)
    with pytest.raises(UserError, match="no column 'step'"):
        plane.plane(paths.drop(columns="step"), stops, models)


def test_the_distances_stand_against_the_steps_that_were_taken():
    _, _, models = tables()
    rows = [
        (seed, "repaired", steps, of, base * np.exp(-steps / 7 + seed))
        for seed in (0, 1)
        for steps in (0, 7, 14)
        for of, base in (("forget", 0.7), ("retain", 0.04))
    ]
    taken = pd.DataFrame(rows, columns=["seed", "method", "steps", "set", "value"])
    figure = plane.against_steps(taken, models, {"repaired": "mended"})
    for axes, base in zip(figure.axes, (0.7, 0.04), strict=True):
        line = next(one for one in axes.get_lines() if len(one.get_xdata()) == 3)
        assert list(line.get_xdata()) == [0, 7, 14] and axes.get_yscale() == "log"
        assert np.allclose(line.get_ydata(), base * np.exp(-np.arange(3) + 0.5))
        levels = sorted(float(one.get_ydata()[0]) for one in axes.get_lines() if len(one.get_xdata()) == 2)
        assert levels == pytest.approx([base / 8, base])
    assert "mended" in [text.get_text() for text in figure.legends[0].get_texts()]
    with pytest.raises(UserError, match="a distance that is missing or zero"):
        plane.against_steps(taken.assign(value=0.0), models)
