"""Names beside marks: where each stands so that nothing hides anything."""

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from unlearnlib.figures.looks import DARK

Place = tuple[float, float]
# Where a label may stand, as seen from its mark: directions in turn, ever further away (in points).
AROUND = tuple((np.cos(angle), np.sin(angle)) for angle in np.linspace(0, 2 * np.pi, 16, endpoint=False))
AWAY = (9, 15, 22, 30, 40, 52, 66, 82, 100, 120)
SMALL, GAP = 7.5, 2  # points: the size of a label, and what stays free to its left and right
NEAR, MARGIN = 12, 3  # points: a label further from its mark, or not so much nearer than to another, has a line to it
LEADER = {"arrowstyle": "-", "linewidth": 0.7, "shrinkA": 0, "shrinkB": 3, "patchA": None}
HALO = [withStroke(linewidth=2, foreground="white")]  # so that an interval behind a name does not strike it out


def label(axes, asked: Mapping[str, tuple[Place, str]], beside: Iterable[Place] = ()) -> None:
    """Write beside each mark what it is, so that no two labels, and no label and mark, lie on each other: `asked` has
    the place (in the data of the axes) and the colour of every name; `beside`: the places of marks without a name.

    It has to come last: where everything is, is known only when nothing moves any more.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    point = figure.dpi / 72
    size, gap = 6 * point, GAP * point
    spots = {name: axes.transData.transform(place) for name, (place, _) in asked.items()}
    marks = [*spots.values(), *(axes.transData.transform(place) for place in beside)]
    taken = [Bbox.from_bounds(x - size / 2, y - size / 2, size, size) for x, y in marks]
    inside = axes.get_window_extent()
    for name in sorted(spots, key=lambda one: -spots[one][1]):
        place, color = asked[name]
        text = figure.text(0, 0, name, fontsize=SMALL)
        extent = text.get_window_extent()
        text.remove()
        others = [one for one in marks if one is not spots[name]]
        box = _free(spots[name], (extent.width + 2 * gap, extent.height), taken, others, inside, point)
        start, leader = np.clip(spots[name], box.min, box.max), None
        taken.append(box)
        if not _clear(box, spots[name], others, point):
            leader = {**LEADER, "color": color, "relpos": tuple((start - box.min) / (box.max - box.min))}
            taken += [Bbox([one, one]).padded(point) for one in np.linspace(start, spots[name], 8)]
        axes.annotate(
            name, place, xytext=axes.transAxes.inverted().transform((box.x0 + gap, (box.y0 + box.y1) / 2)),
            textcoords="axes fraction", fontsize=SMALL, color=DARK, va="center", ha="left", zorder=7, path_effects=HALO,
            arrowprops=leader,
        ).set_in_layout(False)  # fmt: skip


def _free(spot: Place, extent: Place, taken: list[Bbox], others: list[Place], inside: Bbox, point: float) -> Bbox:
    """The nearest place for a label of this extent that lies on nothing else and is clearly nearer to its mark than to
    `others`; where there is none, the nearest that lies on nothing else and beside no other mark, or on least."""
    width, height = extent
    best, least = None, np.inf
    for away in AWAY:
        for across, up in AROUND:
            x, y = spot[0] + across * away * point, spot[1] + up * away * point
            left = x - width * (1 - across) / 2  # a label to the left of its mark ends there
            box = Bbox.from_bounds(left, y - height / 2, width, height)
            over = sum(_shared(box, other) for other in taken)
            over += width * height - _shared(box, inside)
            if over <= 1e-9 and _clear(box, spot, others, point):
                return box
            over += _nearest(box, others) < 2 * MARGIN * point  # a pixel, which breaks ties
            if over < least - 1e-9:
                best, least = box, over
    return best


def _clear(box: Bbox, spot: Place, others: list[Place], point: float) -> bool:
    """Whether a label is beside its mark, and that much nearer to it than to any other that nobody takes it for
    theirs."""
    away = _away(box, spot)
    return away <= NEAR * point and away + MARGIN * point < _nearest(box, others)


def _nearest(box: Bbox, spots: Iterable[Place]) -> float:
    return min((_away(box, one) for one in spots), default=np.inf)


def _away(box: Bbox, spot: Place) -> float:
    return float(np.hypot(*(spot - np.clip(spot, box.min, box.max))))


def _shared(one: Bbox, other: Bbox) -> float:
    part = Bbox.intersection(one, other)
    return 0.0 if part is None else part.width * part.height
