"""The figures of other data show the numbers that they are given."""

import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.figures import other_data


def rows():
    found = [
        (seed, count, method, name, "kl", value * count * (1 + 3 * seed))
        for seed in (0, 1)
        for count in (1, 2)
        for method, value in (("nothing done", 1.0), ("a step", 0.5), ("retrained again", 0.1))
        for name in ("forget", "keep")
    ]
    return pd.DataFrame(found, columns=["seed", "to_forget", "method", "set", "metric", "value"])


def test_distances_are_geometric_means_for_each_number_to_forget():
    figure = other_data.distances(rows())
    forget, keep = figure.axes
    assert (forget.get_title(loc="left"), keep.get_title(loc="left")) == ("texts to forget", "texts to keep")
    assert [label.get_text() for label in forget.get_yticklabels()] == ["retrained again", "a step", "nothing done"]
    marks = [line for line in forget.get_lines() if line.get_linestyle() == "None" and line.get_marker() in ("o", ">")]
    places = [sorted(float(value) for value in line.get_xdata()) for line in marks if len(line.get_xdata()) == 3]
    assert places[0] == pytest.approx([0.2, 1.0, 2.0]) and places[1] == pytest.approx([0.4, 2.0, 4.0])
    dashed = sorted(float(line.get_xdata()[0]) for line in forget.get_lines() if line.get_linestyle() == "--")
    assert dashed == pytest.approx([2.0, 4.0]), "doing nothing"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["1 to forget", "2 to forget", "nothing done"]
    with pytest.raises(UserError, match="4 numbers of authors to forget: draw 3 at most"):
        other_data.distances(pd.concat([rows(), rows().assign(to_forget=lambda part: part["to_forget"] + 2)]))
    with pytest.raises(UserError, match="no distances"):
        other_data.distances(rows().assign(metric="text_nll"))


def test_distances_of_one_seed_have_intervals_over_its_texts():
    texts = [
        (0, 1, method, name, "kl", value)
        for method, values in (("nothing done", (1.0, 2.0, 3.0)), ("a step", (0.5, 0.6, 1.0)))
        for value in values
        for name in ("forget", "keep")
    ]
    figure = other_data.distances(
        pd.DataFrame(texts, columns=["seed", "to_forget", "method", "set", "metric", "value"])
    )
    marks = [line for line in figure.axes[0].get_lines() if line.get_marker() == "o"]
    assert sorted(float(value) for line in marks for value in line.get_xdata()) == pytest.approx([0.7, 2.0]), "means"
    bars = [path.vertices[:, 0] for group in figure.axes[0].collections for path in group.get_paths()]
    assert len(bars) == 2 and all(bar.min() < mean < bar.max() for bar, mean in zip(bars, (0.7, 2.0), strict=True))
    assert "one seed, mean over texts and 95% interval" in figure.legends[0].get_title().get_text()


def test_the_score_stands_against_the_distance():
    scores = pd.DataFrame(
        [(0, "a step", 0.01), (1, "a step", 0.04), (0, "nothing done", 1e-20)],
        columns=["seed", "method", "forget_quality"],
    )
    figure = other_data.quality(scores, rows(), ("a step",))
    axes = figure.axes[0]
    marks = {
        tuple(round(float(v[0]), 6) for v in line.get_data()) for line in axes.get_lines() if len(line.get_xdata()) == 1
    }
    assert marks == {(1.414214, 0.02), (2.828427, 0.0)}, "geometric means of distances and of p, floored"
    assert [text.get_text() for text in axes.texts] == ["a step"]
