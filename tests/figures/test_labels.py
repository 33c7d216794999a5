"""Names beside marks: nothing hides anything, and what stands far off is led to its mark."""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Annotation, Text

from unlearnlib.figures import labels
from unlearnlib.figures.parts import new_figure

matplotlib.use("Agg")

CROWD = {f"name {number}": ((0.5 + 0.012 * number, 0.5 + 0.004 * number), "#0072B2") for number in range(12)}
BESIDE = [(0.52, 0.5), (0.56, 0.52), (0.6, 0.51)]


def drawn(asked, beside=()):
    figure, axes = new_figure(height=4.0)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    labels.label(axes, asked, beside)
    figure.draw_without_rendering()
    found = {one.get_text(): one for one in axes.texts if isinstance(one, Annotation)}
    return axes, found, {name: Text.get_window_extent(one) for name, one in found.items()}


def distance(box, spot):
    return float(np.hypot(*(spot - np.clip(spot, box.min, box.max))))


def overlap(one, other):
    return one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1


def test_in_a_crowd_no_two_names_and_no_name_and_mark_lie_on_each_other():
    axes, found, boxes = drawn(CROWD, BESIDE)
    assert set(found) == set(CROWD)
    for (one, first), (other, second) in itertools.combinations(boxes.items(), 2):
        assert not overlap(first, second), (one, other)
    marks = axes.transData.transform([*BESIDE, *(place for place, _ in CROWD.values())])
    for name, box in boxes.items():
        assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for x, y in marks), name
        inside = axes.get_window_extent()
        assert inside.x0 <= box.x0 and box.x1 <= inside.x1, name


def test_a_name_that_is_not_clearly_of_its_mark_has_a_line_there_from_its_nearest_point():
    axes, found, boxes = drawn(CROWD, BESIDE)
    point = axes.figure.dpi / 72
    led = 0
    for name, one in found.items():
        place, color = CROWD[name]
        spot, box = axes.transData.transform(place), boxes[name]
        others = [
            axes.transData.transform(other) for other in (*BESIDE, *(at for at, _ in CROWD.values() if at != place))
        ]
        if one.arrow_patch is None:
            away = distance(box, spot)
            assert away / point < labels.NEAR + 3 and away + 2 * point < min(distance(box, other) for other in others)
        else:
            led += 1
            assert one.arrow_patch.get_edgecolor()[:3] == pytest.approx(matplotlib.colors.to_rgb(color))
            start, end = one.arrow_patch.get_path().vertices[[0, -1]]
            assert distance(box, start) / point < 4 and np.hypot(*(start - np.clip(spot, box.min, box.max))) / point < 4
            assert np.hypot(*(end - spot)) / point < 4, "it ends at the mark that is meant"
    assert led > 0


def test_names_of_marks_that_stand_apart_need_no_line_and_stay_within_the_axes():
    corners = {f"corner {x} {y}": ((x, y), "black") for x in (0.02, 0.5, 0.98) for y in (0.02, 0.5, 0.98)}
    axes, found, boxes = drawn(corners)
    inside = axes.get_window_extent()
    for name, one in found.items():
        assert one.arrow_patch is None, name
        assert one.get_path_effects(), "with a halo, so that no line strikes it out"
        box = boxes[name]
        assert inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1, name
        assert distance(box, axes.transData.transform(corners[name][0])) < labels.NEAR * axes.figure.dpi / 72 + 3, name
