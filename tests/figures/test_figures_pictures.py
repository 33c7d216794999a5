"""The figures of the image task show the numbers that they are given."""

import numpy as np
import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.figures import pictures


def networks(methods=("nothing done", "retrained", "all epochs, whole network", "Kookmin")):
    rows = [
        (kind, method, seed, 0, 0.1 * (1 + place) * (1 + 3 * seed), 0.2)
        for kind in ("mislabelled", "random")
        for place, method in enumerate(methods)
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows, columns=["kind", "method", "seed", "number", "kl_forget", "kl_test"])


def marks(axes):
    return [
        line for line in axes.get_lines() if line.get_linestyle() == "None" and line.get_marker() not in ("None", "")
    ]


def test_a_mark_of_the_plane_is_a_geometric_mean_and_entries_are_named():
    figure = pictures.plane(networks(), ["Kookmin"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["wrongly labelled", "drawn at random"]
    axes = figure.axes[0]
    places = sorted(round(float(line.get_xdata()[0]), 6) for line in marks(axes))
    assert places == [0.2, 0.4, 0.6, 0.8], "geometric means of x and 4x"
    assert [text.get_text() for text in axes.texts] == ["Kookmin"]
    near = networks().assign(kl_forget=0.1)
    assert not pictures.plane(near, ["Kookmin"]).axes[0].texts, "what lies where doing nothing does is not named"
    more = pictures.plane(networks(("nothing done", "random direction")), [])
    assert [text.get_text() for text in more.axes[0].texts] == ["random direction"], "a control is named"
    assert len(marks(more.axes[0])) == 2, "no way is left out"
    assert axes.get_xscale() == axes.get_yscale() == "log" and axes.get_xlim()[0] < 0.2 and axes.get_xlim()[1] > 0.8
    with pytest.raises(UserError, match="no column 'kl_test'"):
        pictures.plane(networks().drop(columns="kl_test"), [])


def test_layers_are_drawn_in_order_beside_doing_nothing():
    steps = networks([f"{epochs}, {layer}" for epochs in ("first", "all") for layer in ("conv1", "fc2")])
    steps = steps[steps["kind"] == "random"]
    steps[["epochs", "layers"]] = steps["method"].str.split(", ", expand=True)
    others = networks(("nothing done", "retrained"))
    figure = pictures.layers(pd.concat([others[others["kind"] == "random"], steps]), ["conv1", "fc2"])
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["conv1", "fc2"]
    lines = {line.get_color(): line.get_ydata() for line in axes.get_lines() if len(line.get_xdata()) == 2}
    assert lines[pictures.EPOCHS["first"].color] == pytest.approx([0.2, 0.4])
    assert lines[pictures.EPOCHS["all"].color] == pytest.approx([0.6, 0.8])
    levels = [line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() in ("--", ":")]
    assert sorted(levels) == pytest.approx([0.2, 0.4]), "doing nothing, and another retrained network"


def test_the_score_has_its_ceiling():
    table = pd.DataFrame(
        [("random", "nothing done", 0.1, 8), ("random", "retrained", 0.3, 8), ("random", "Kookmin", 0.2, 8)],
        columns=["kind", "method", "F", "networks"],
    )
    figure = pictures.score(table, ["Kookmin"])
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Kookmin", "retrained", "nothing done"]
    assert {float(line.get_xdata()[0]) for line in marks(axes)} == {0.1, 0.2, 0.3}
    ceiling = [line for line in axes.get_lines() if list(line.get_xdata()) == [0.3, 0.3] and len(line.get_ydata()) == 2]
    assert ceiling and "8 networks" in figure.legends[0].get_title().get_text()


def test_histograms_are_shares_of_every_group():
    rows = pd.DataFrame(
        [
            ("random", method, name, loss, 0, 0)
            for method in ("nothing done", "retrained")
            for name in ("forget", "compared")
            for loss in (0.001, 0.1, 1.0, 200.0)
        ],
        columns=["kind", "method", "set", "loss", "seed", "number"],
    )
    figure = pictures.known(rows)
    for axes in figure.axes:
        assert sum(patch.get_height() for patch in axes.patches) == pytest.approx(2.0), "also what lies beyond the axis"
    with pytest.raises(UserError, match="no answers of 'retraind'"):
        pictures.known(rows, ("nothing done", "retraind"))


def test_cosines_by_epoch_and_by_image():
    paths = pd.DataFrame(
        [("random", seed, epoch, 0.1 * epoch * (1 + seed)) for seed in (0, 1) for epoch in (1, 2)],
        columns=["kind", "seed", "epoch", "cosine"],
    )
    own = pd.DataFrame({"kind": "random", "seed": [0, 0, 1], "same": [0.8, np.nan, 0.6], "other": [-0.5, -0.5, -0.3]})
    left, right = pictures.gradients(paths, own).axes
    line = next(line for line in left.get_lines() if len(line.get_xdata()) == 2 and line.get_marker() == "o")
    assert line.get_ydata() == pytest.approx([0.15, 0.3])
    assert left.get_ylim() == right.get_ylim() == (-1, 1)
