"""The figures of the guarantees show the numbers that they are given."""

import numpy as np
import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.figures import guarantees


def removals(seeds=(0, 1)):
    rows = []
    for seed in seeds:
        for removed in range(4):
            for way, each in (("Newton step", 0.01), ("nothing done", 0.5), ("trained again when due", 0.005)):
                bound = each * removed * (1 + 0.1 * seed)
                left = np.nan if way == "trained again when due" else bound / 5
                rows.append((seed, removed, way, bound, left, 20 * bound, 1))
    return pd.DataFrame(rows, columns=["seed", "removed", "way", "bound", "residual", "epsilon", "fits"])


def test_the_promise_stands_beside_what_it_rests_on():
    figure = guarantees.promise(removals(), 1.0, 1e-4)
    left, right = figure.axes
    means = {tuple(line.get_xdata()): line.get_ydata() for line in left.get_lines()[:1]}
    expected = np.sqrt(0.2 * 0.22) * np.arange(1, 4)
    assert means[(1, 2, 3)] == pytest.approx(expected), "geometric mean over seeds of the Newton step's epsilon"
    assert len(right.get_lines()) == 3, "two bounds and the residual itself; that of a new training is not drawn"
    assert [line for line in left.get_lines() if set(line.get_ydata()) == {1.0}], "where training is due"
    assert left.get_yscale() == right.get_yscale() == "log" and "epsilon" in left.get_ylabel()
    assert guarantees.promise(removals((0,)), 1.0, 1e-4).axes, "one seed will do"
    with pytest.raises(UserError, match="none of the ways"):
        guarantees.promise(removals().assign(way="x"), 1.0, 1e-4)
    with pytest.raises(UserError, match="no column 'bound'"):
        guarantees.promise(removals().drop(columns="bound"), 1.0, 1e-4)


def test_every_attack_has_a_row_with_both_bounds():
    rows = [
        (seed, way, promised, shown, 2 * shown, 5.6)
        for seed in (0, 1)
        for way, promised, shown in (("Newton step", 1.0, 0.1), ("wrong sign", np.inf, 5.0))
    ]
    table = pd.DataFrame(rows, columns=["seed", "way", "promised", "shown", "gaussian", "ceiling"])
    axes = guarantees.attacks(table, 1.0).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Newton step", "wrong sign"]
    marks = [line for line in axes.get_lines() if len(line.get_xdata()) == 1]
    assert sorted(round(float(line.get_xdata()[0]), 2) for line in marks) == [0.1, 0.2, 5.0, 10.0]
    lines = {line.get_xdata()[0] for line in axes.get_lines() if line.get_linestyle() != "None"}
    assert lines == {1.0, 5.6}


def test_exact_forgetting_is_drawn_against_its_formula():
    clusters = pd.DataFrame(
        [(0, "rounded", 2, 0.1, 0.01, 1.1), (0, "tree", 2, 5, 0.2, 1.0), (0, "rounded", 4, 0.1, 0.03, 1.5)],
        columns=["seed", "way", "axes", "setting", "work", "loss"],
    )
    shares = pd.DataFrame(
        [(0, s, 1, 40, placed, 0.7 / s, 0.7 / s) for s in (1, 5) for placed in ("text", "person")],
        columns=["seed", "shards", "slices", "texts", "placed", "share", "expected"],
    )
    left, right = guarantees.exact(clusters, shares).axes
    assert sorted(float(line.get_xdata()[0]) for line in left.get_lines() if line.get_linestyle() == "None") == [
        0.01,
        0.03,
        0.2,
    ]
    dashed = [line for line in right.get_lines() if line.get_linestyle() == "--"]
    assert len(dashed) == 2 and all(line.get_ydata() == pytest.approx([0.7, 0.14]) for line in dashed)


def test_what_is_known_is_drawn_at_every_epsilon_and_without_noise_at_the_end():
    rows = [
        (0, training, epsilon, name, metric, value)
        for name in ("forget", "retain")
        for metric in ("answer_probability", "text_nll")
        for training, epsilon, value in (
            ("base", 0.0, 0.2), ("fine-tuned", np.inf, 0.9), ("private", 1.0, 0.25), ("private", 8.0, 0.3),
            ("private", np.inf, 0.8),
        )
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["seed", "training", "epsilon", "set", "metric", "value"])
    left = guarantees.private(table).axes[0]
    assert [label.get_text() for label in left.get_xticklabels()] == ["1", "8", "no noise"]
    lines = [line for line in left.get_lines() if len(line.get_xdata()) == 3]
    assert [tuple(line.get_ydata()) for line in lines] == [(0.25, 0.3, 0.8)] * 2
    with pytest.raises(UserError, match="no private training"):
        guarantees.private(table[table["training"] != "private"])
