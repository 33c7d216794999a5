"""The figures of calibration from synthetic tables: what is drawn is what the table says, with one seed too."""

import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from unlearnlib.core.errors import UserError
from unlearnlib.figures import calibration, looks

matplotlib.use("Agg")

PANELS = {"answered": "points still answered", "perplexity": "general text"}
STEPS = (0.25, 1.0, 2.0)


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def along(seeds=5) -> pd.DataFrame:
    generator, rows = np.random.default_rng(0), []
    for seed in range(seeds):
        for name, answered, perplexity in (("base", 0.1, 9.0), ("finetuned", 0.9, 2.0), ("retrained", 0.2, 2.1)):
            rows += [(seed, name, None, "answered", answered + generator.normal(0, 0.02))]
            rows += [(seed, name, None, "perplexity", perplexity * np.exp(generator.normal(0, 0.02)))]
        for method in ("first epoch", "live"):
            for step in STEPS:
                rows += [(seed, method, step, "answered", np.clip(0.9 - 0.4 * step + generator.normal(0, 0.02), 0, 1))]
                rows += [(seed, method, step, "perplexity", np.exp(3 * step + generator.normal(0, 0.2)))]
    return pd.DataFrame(rows, columns=["seed", "method", "step", "metric", "value"])


def regimes(seeds=5) -> pd.DataFrame:
    rows = [(seed, "live", step, "known" if seed < 2 else "forgotten") for seed in range(seeds) for step in STEPS]
    return pd.DataFrame(rows, columns=["seed", "method", "step", "regime"])


def distances(seeds=5) -> pd.DataFrame:
    generator, rows = np.random.default_rng(1), []
    for seed in range(seeds):
        for points in (1, 5, 40):
            for name in ("forget", "remaining") if points < 40 else ("forget",):
                for method in ("finetuned", "embedding", *(("first epoch",) if points == 40 else ())):
                    difference = generator.normal(0.1, 0.05)
                    rows.append((seed, points, method, name, difference, abs(difference)))
    return pd.DataFrame(rows, columns=["seed", "points", "method", "set", "difference", "distance"])


ROWS = {"difference": "mean difference", "distance": "mean distance"}
DRAWN = {
    "stops": lambda seeds: calibration.stops(along(seeds), PANELS, columns=2, logarithmic=["perplexity"]),
    "regime_map": lambda seeds: calibration.regime_map(regimes(seeds)),
    "distance_by_size": lambda seeds: calibration.distance_by_size(distances(seeds), ["forget", "remaining"], ROWS),
}


def line(axes, name):
    """The line of one look that has markers."""
    shown = looks.look(name)
    (found,) = [
        line for line in axes.get_lines() if line.get_color() == shown.color and line.get_linestyle() != "None"
        and line.get_marker() == shown.marker
    ]  # fmt: skip
    return found


def bands(axes) -> list[PolyCollection]:
    return [part for part in axes.collections if isinstance(part, PolyCollection)]


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


@pytest.mark.parametrize("name", DRAWN)
def test_figures_draw_and_save_the_same_bytes(name, tmp_path):
    figure = DRAWN[name](5)
    assert isinstance(figure, Figure) and figure.number not in matplotlib.pyplot.get_fignums()
    content = looks.save(figure, tmp_path / "new", name).read_bytes()
    assert len(content) < 80_000
    assert content == looks.save(DRAWN[name](5), tmp_path, name).read_bytes()


@pytest.mark.parametrize("name", ["stops", "distance_by_size"])
def test_one_seed_has_no_band(name):
    figure = DRAWN[name](1)
    assert not any(bands(axes) for axes in figure.axes)
    assert any("one seed" in text for text in texts(figure))


def test_stops_start_at_the_finetuned_model_and_stand_at_equal_distances():
    table = along()
    left, right = calibration.stops(table, PANELS, columns=2, logarithmic=["perplexity"]).axes
    means = (
        table.assign(step=table["step"].fillna(0)).query("metric == 'answered'").groupby(["method", "step"])["value"]
    )
    drawn = line(left, "live")
    assert drawn.get_xdata().tolist() == [0, 1, 2, 3]
    expected = [means.mean()["finetuned", 0.0], *(means.mean()["live", step] for step in STEPS)]
    np.testing.assert_allclose(drawn.get_ydata(), expected)
    assert [text.get_text() for text in left.get_xticklabels()] == ["0", "1/4", "1", "2"]
    flat = [line.get_ydata()[0] for line in left.get_lines() if len(set(line.get_ydata())) == 1]
    assert flat == pytest.approx([means.mean()["base", 0.0], means.mean()["retrained", 0.0]])
    (band,) = (b for b in bands(left) if matplotlib.colors.same_color(b.get_facecolor()[0, :3], drawn.get_color()))
    assert band.get_paths()[0].vertices[:, 1].max() <= 1 and right.get_yscale() == "log"
    logs = np.log(table.query("metric == 'perplexity' and method == 'live' and step == 2")["value"])
    assert line(right, "live").get_ydata()[-1] == pytest.approx(np.exp(logs.mean()))
    with pytest.raises(UserError, match="no metric 'leaks'"):
        calibration.stops(table, {"leaks": "leaks"})
    with pytest.raises(UserError, match="no column 'step'"):
        calibration.stops(table.drop(columns="step"), PANELS)


def test_the_regime_map_counts_seeds():
    figure = calibration.regime_map(regimes())
    (axes,) = figure.axes
    assert len(axes.patches) == 2 * len(STEPS)
    widths = [patch.get_width() for patch in axes.patches[:2]]
    assert widths[1] / widths[0] == pytest.approx(3 / 2)
    assert [text.get_text() for text in axes.texts] == ["2", "3"] * len(STEPS)
    assert "forgotten" in texts(figure) and "collapsed" not in texts(figure)
    with pytest.raises(UserError, match="did you mean 'known'"):
        calibration.regime_map(regimes().replace({"known": "knwon"}))
    with pytest.raises(UserError, match="two rows"):
        calibration.regime_map(pd.concat([regimes(), regimes()]))


def test_distances_stand_by_size_and_end_where_nothing_remains():
    table = distances()
    axes = calibration.distance_by_size(table, ["forget", "remaining"], ROWS).axes
    assert len(axes) == 4 and [one.get_title(loc="left") for one in axes[:2]] == ["forget set", "points that stay"]
    assert line(axes[0], "embedding").get_xdata().tolist() == [0, 1, 2]
    assert line(axes[1], "embedding").get_xdata().tolist() == [0, 1]
    mean = table.query("method == 'embedding' and set == 'forget'").groupby("points")["distance"].mean()
    np.testing.assert_allclose(line(axes[2], "embedding").get_ydata(), mean)
    assert line(axes[0], "first epoch").get_xdata().tolist() == [2]
    assert [text.get_text() for text in axes[2].get_xticklabels()] == ["1", "5", "40"]
    with pytest.raises(UserError, match="no set 'retain'"):
        calibration.distance_by_size(table, ["retain"], ROWS)
