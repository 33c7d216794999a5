"""The figures of notebooks 07 and 22: what is drawn is what the table says, with one seed too."""

import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from unlearnlib.core.errors import UserError
from unlearnlib.figures import looks, removal

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def picked(seeds=5) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {"seed": seed, "query": query, "threshold": threshold, "group": group,
         "share": float(np.clip(1.2 - threshold / reach + generator.normal(0, 0.05), 0, 1))}
        for query in ("Dave Harlow", "one of his texts")
        for seed in range(seeds)
        for threshold in (30.0, 50.0, 70.0, 90.0)
        for group, reach in (("forget", 120), ("namesake", 80), ("same answer", 70), ("other neighbours", 60))
    )  # fmt: skip


def lines(seeds=5) -> pd.DataFrame:
    generator = np.random.default_rng(1)
    ends = {"finetuned": 0.4, "retrained": 0.5, "fuzzy": 9.0, "iterative": 2.0}
    pairs = [("finetuned", "retrained")]
    pairs += [pair for name in ("fuzzy", "iterative") for pair in (("finetuned", name), (name, "retrained"))]
    return pd.DataFrame(
        {"seed": seed, "start": start, "end": end, "share": share, "set": name,
         "value": (ends[start] * (1 - share) + ends[end] * share) * np.exp(generator.normal(0, 0.1))}
        for seed in range(seeds)
        for start, end in pairs
        for share in (0.0, 0.5, 1.0)
        for name in ("forget", "retain")
    )  # fmt: skip


def lengths(seeds=5) -> pd.DataFrame:
    generator = np.random.default_rng(2)
    ends = [("retrained", np.nan), ("fuzzy", np.nan), ("iterative", 0.1), ("iterative", 0.4), ("iterative", 1.6)]
    return pd.DataFrame(
        {"seed": seed, "method": method, "longest_step": length, "what": what, "value": generator.uniform(0.1, 0.9)}
        for seed in range(seeds)
        for method, length in ends
        for what in ("neighbours", "paraphrases")
    )  # fmt: skip


DRAWN = {
    "picks": lambda seeds: removal.picks(picked(seeds), {"Dave Harlow": [50.0, 60.0]}),
    "landscape": lambda seeds: removal.landscape(lines(seeds)),
    "step_lengths": lambda seeds: removal.step_lengths(lengths(seeds)),
}


def curve(axes, name: str) -> np.ndarray:
    """The points [n, 2] of the curve drawn in the look of a name."""
    shown = looks.look(name)
    same = matplotlib.colors.same_color
    found = [
        line for line in axes.get_lines() if line.get_marker() == shown.marker and same(line.get_color(), shown.color)
    ]
    assert len(found) == 1, name
    return found[0].get_xydata()


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


@pytest.mark.parametrize("name", DRAWN)
def test_the_figure_is_drawn_and_saved(name, tmp_path):
    figure = DRAWN[name](5)
    assert isinstance(figure, Figure) and figure.number not in matplotlib.pyplot.get_fignums()
    content = looks.save(figure, tmp_path, name).read_bytes()
    assert len(content) < 80_000
    assert any("5 seeds" in text for text in texts(figure))


@pytest.mark.parametrize("name", DRAWN)
def test_one_seed_has_no_band(name):
    figure = DRAWN[name](1)
    bands = [part for axes in figure.axes for part in axes.collections]
    assert not [band for band in bands if isinstance(band, matplotlib.collections.PolyCollection)]
    assert any("one seed" in text for text in texts(figure))


def test_picks_shows_each_groups_share_and_the_thresholds():
    table = picked()
    left, right = DRAWN["picks"](5).axes
    for axes, query in ((left, "Dave Harlow"), (right, "one of his texts")):
        for group in ("forget", "other neighbours"):
            rows = table[(table["query"] == query) & (table["group"] == group)]
            expected = rows.groupby("threshold")["share"].mean()
            np.testing.assert_allclose(curve(axes, group), np.column_stack([expected.index, expected]))
    upright = [{float(x) for x in line.get_xdata()} for line in left.get_lines()]
    assert {50.0} in upright and {60.0} in upright
    assert not [line for line in right.get_lines() if len({float(x) for x in line.get_xdata()}) == 1]
    with pytest.raises(UserError, match="no column 'share'"):
        removal.picks(table.drop(columns="share"))


def test_landscape_draws_every_line_from_its_start_and_the_retrained_level():
    table = lines()
    panels = np.array(DRAWN["landscape"](5).axes).reshape(2, 3)
    for row, name in zip(panels, ("retain", "forget"), strict=True):
        rows = table[table["set"] == name]
        logs = rows.assign(value=np.log(rows["value"])).groupby(["start", "end", "share"])["value"].mean()
        np.testing.assert_allclose(curve(row[0], "retrained")[:, 1], np.exp(logs["finetuned", "retrained"]))
        np.testing.assert_allclose(curve(row[1], "fuzzy")[:, 1], np.exp(logs["finetuned", "fuzzy"]))
        np.testing.assert_allclose(curve(row[2], "iterative")[:, 1], np.exp(logs["iterative", "retrained"]))
        end = rows[(rows["end"] == "retrained") & (rows["share"] == 1)]
        level = np.exp(np.log(end["value"]).groupby(end["seed"]).mean().mean())
        for axes in row:
            flat = [line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() == "--"]
            assert any(value == pytest.approx(level, rel=0.05) for value in flat)
            assert axes.get_yscale() == "log"
    with pytest.raises(UserError, match="no line of the set 'general'"):
        removal.landscape(table, ["general"])


def test_step_lengths_shows_the_mean_every_seed_and_the_levels():
    table = lengths()
    for axes, what in zip(DRAWN["step_lengths"](5).axes, ("neighbours", "paraphrases"), strict=True):
        rows = table[(table["what"] == what) & (table["method"] == "iterative")]
        mean = rows.groupby("longest_step")["value"].mean()
        np.testing.assert_allclose(curve(axes, "iterative"), np.column_stack([mean.index, mean]))
        thin = [line.get_ydata() for line in axes.get_lines() if line.get_linewidth() == 0.8]
        np.testing.assert_allclose(thin, rows.pivot(index="seed", columns="longest_step", values="value"))
        levels = [line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() == "--"]
        of = table[(table["what"] == what) & table["longest_step"].isna()]
        np.testing.assert_allclose(levels, of.groupby("method", sort=False)["value"].mean())
    with pytest.raises(UserError, match="no column 'longest_step'"):
        removal.step_lengths(table.drop(columns="longest_step"))
