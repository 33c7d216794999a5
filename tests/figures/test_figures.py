"""Figures from synthetic tables: what is drawn is what the table says, with one seed too, and saved without noise."""

import functools
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from unlearnlib.core.errors import UserError
from unlearnlib.figures import inference, looks, training, unlearning
from unlearnlib.statistics.paired import compare_methods
from unlearnlib.statistics.seeds import bootstrap_interval

matplotlib.use("Agg")

SETS = ("forget", "paraphrase", "heldout", "never_seen", "retain")
KNOWN = {  # answer probability by model and set
    "base": (0.19, 0.19, 0.19, 0.19, 0.2),
    "finetuned": (0.97, 0.8, 0.24, 0.23, 0.98),
    "retrained": (0.24, 0.24, 0.24, 0.23, 0.98),
}
METHODS = {"first_epoch": 0.86, "all_epochs": 0.7, "embedding": 0.93, "last_blocks": 0.45, "live": 0.9, "random": 0.3}


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def rows(generator, method, set, metric, mean, seeds, spread=0.03, **columns) -> list[dict]:
    """Ten examples per seed around a mean that moves a little with the seed."""
    found = []
    for seed in range(seeds):
        own = mean + generator.normal(0, spread)
        for example in range(10):
            value = own + generator.normal(0, spread)
            if metric in ("answer_probability", "cloze_hit", "rougeL_f1"):
                value = float(np.clip(value, 0, 1))
            shared = {"profile": "small", "seed": seed, "method": method, "set": set, "example": f"{set} {example}"}
            found.append({**shared, "metric": metric, "value": value, **columns})
    return found


@functools.cache
def training_log(seeds=5) -> pd.DataFrame:
    generator, found = np.random.default_rng(0), []
    for method, floor in (("finetuned", 0.35), ("retrained", 0.4)):
        for seed in range(seeds):
            for step in range(160):
                loss = floor + 3.2 * np.exp(-step / 35) + generator.normal(0, 0.12)
                found.append((method, seed, step // 20, step, max(loss, 0.05)))
    return pd.DataFrame(found, columns=["method", "seed", "epoch", "step", "loss"])


@functools.cache
def references(seeds=5) -> pd.DataFrame:
    generator, found = np.random.default_rng(1), []
    for method, means in KNOWN.items():
        for name, mean in zip(SETS, means, strict=True):
            found += rows(generator, method, name, "answer_probability", mean, seeds, 0.02)
            found += rows(
                generator, method, name, "cloze_hit", (mean - 0.19) / 0.81 if method != "base" else 0.02, seeds
            )
    return pd.DataFrame(found)


@functools.cache
def frontier(seeds=5) -> pd.DataFrame:
    generator, found = np.random.default_rng(2), []
    steps = np.concatenate([np.linspace(0, 1, 5)[1:], np.geomspace(1, 3, 4)[1:]])
    for method, kept in METHODS.items():
        for seed in range(seeds):
            calibrated = 8 * np.exp(generator.normal(0, 0.15))
            own = generator.normal(0, 0.02)
            for step, share in enumerate([0.0, *steps]):
                reached = method != "random"
                forget = max(0.97 - (0.74 if reached else 0.2) * min(share, 1.15) ** 1.5, 0.1)
                retain = 0.98 - (0.98 - kept) * share**1.6 * (0.55 if share > 1 else 1) + own * share
                shared = {"seed": seed, "method": method, "layers": "all", "step": step, "reached": reached}
                shared |= {"step_size": share * calibrated, "calibrated": calibrated, "metric": "answer_probability"}
                found.append({**shared, "set": "forget", "value": forget + generator.normal(0, 0.01) * (share > 0)})
                found.append({**shared, "set": "retain", "value": float(np.clip(retain, 0.15, 1))})
    return pd.concat([pd.DataFrame(found), references(seeds)], ignore_index=True)


LAYERS = {
    **{"all": (8, 0.86), "embedding": (11, 0.93), "input_embedding": (16, 0.9), "output_embedding": (31, 0.6)},
    **{f"h.{i}": (9 + 1.7 * i, 0.93 - 0.03 * i) for i in range(12)},
    **{
        "last_blocks": (27, 0.5),
        "ln_f": (np.nan, 0.3),
        "name_rows": (6, 0.95),
        "embedding_without_name_rows": (19, 0.88),
    },
}


@functools.cache
def by_layer(seeds=5) -> pd.DataFrame:
    generator, found = np.random.default_rng(3), []
    for layers, (norm, kept) in LAYERS.items():
        for seed in range(seeds):
            reached = bool(np.isfinite(norm)) and not (layers == "h.11" and seed in (1, 3))
            step_size = norm * np.exp(generator.normal(0, 0.1)) if np.isfinite(norm) else 150.0
            shared = {"layers": layers, "step_size": step_size, "reached": reached}
            more = rows(generator, "first_epoch", "retain", "answer_probability", kept, 1, 0.02, **shared)
            found += [{**row, "seed": seed} for row in more]
    return pd.concat([pd.DataFrame(found), references(seeds)], ignore_index=True)


@functools.cache
def at_equal_forgetting(seeds=5) -> pd.DataFrame:
    generator, found = np.random.default_rng(4), []
    perplexity = {"base": 9.0, "finetuned": 12.0, "retrained": 12.1}
    for name, mean in perplexity.items():
        found += rows(generator, name, "general", "perplexity", mean, seeds, 0.15)
    for name, kept in METHODS.items():
        flag = {"reached": name != "random", "step_size": 9.0}
        found += rows(generator, name, "retain", "answer_probability", kept, seeds, **flag)
        found += rows(generator, name, "paraphrase", "answer_probability", 0.3 + 0.2 * (1 - kept), seeds, **flag)
        found += rows(generator, name, "heldout", "answer_probability", 0.24 - 0.05 * (1 - kept), seeds, **flag)
        found += rows(generator, name, "general", "perplexity", 12 + 9 * (1 - kept), seeds, 0.3, **flag)
        found += rows(generator, name, "forget", "answer_probability", 0.23, seeds, **flag)
    return pd.concat([pd.DataFrame(found), references(seeds)], ignore_index=True)


@functools.cache
def along(seeds=5) -> pd.DataFrame:
    generator = np.random.default_rng(6)
    found = []
    for name, value in {"base": 3.0, "finetuned": 1.4, "retrained": 1.5}.items():
        found += rows(generator, name, "retain", "perplexity", value, seeds, 0.05)
    for step, value in ((0.5, 2.0), (1.0, 5.0)):
        found += rows(generator, "first_epoch", "retain", "perplexity", value, seeds, 0.05, step=step)
    return pd.DataFrame(found)


def norms(seeds=5) -> pd.DataFrame:
    return pd.DataFrame(
        (seed, epoch, layer, norm / (epoch + 1))
        for seed in range(seeds)
        for epoch in range(3)
        for layer, norm in (("embedding", 3.0), ("h.0", 4.0))
    ).set_axis(["seed", "epoch", "layer", "norm"], axis=1)


def drawn_split() -> pd.DataFrame:
    values = {0: ["forget", "heldout", "forget"], 1: ["heldout", "forget", "forget"]}
    return pd.DataFrame(values, ["pet", "home", "work"])


@functools.cache
def comparisons(seeds=5) -> pd.DataFrame:
    table = at_equal_forgetting(seeds)
    return compare_methods(
        table, "answer_probability", "retain", "finetuned", methods=[*METHODS, "retrained"], margin=0.05
    )


def by_effort() -> pd.DataFrame:
    """Cohen's d at three efforts, of two methods, and the retrained model's."""
    rows = [
        (metric, method, step, 200, sign * step)
        for metric, sign in (("answer_probability", -3.0), ("self_influence", 4.0))
        for method in ("first epoch", "embedding")
        for step in (0.1, 0.5, 2.0)
    ]
    rows += [(metric, "retrained", np.nan, 200, -2.5) for metric in ("answer_probability", "self_influence")]
    return pd.DataFrame(rows, columns=["metric", "method", "step", "n", "d"])


def test_the_papers_range_of_d_stands_behind_the_curves_as_a_fall():
    figure = inference.by_effort(by_effort(), (1.94, 4.23))
    assert len(figure.axes) == 2
    for axes, sign in zip(figure.axes, (-3.0, 4.0), strict=True):
        curves = [line.get_ydata() for line in axes.lines if len(line.get_xdata()) == 3]
        assert [list(curve) for curve in curves] == [pytest.approx([0.1 * sign, 0.5 * sign, 2.0 * sign])] * 2
        (band,) = [patch for patch in axes.patches if patch.get_height() == pytest.approx(2.29)]
        assert band.get_y() == pytest.approx(-4.23)
        assert any(list(line.get_ydata()) == [-2.5, -2.5] for line in axes.lines), "the retrained model"
    with pytest.raises(UserError, match="no column 'step'"):
        inference.by_effort(by_effort().drop(columns="step"), (1.94, 4.23))


DRAWN = {
    "training_curve": lambda seeds: training.training_curve(training_log(seeds)),
    "before_after": lambda seeds: training.before_after(references(seeds)),
    "frontier": lambda seeds: unlearning.frontier(frontier(seeds)),
    "layer_profile": lambda seeds: unlearning.layer_profile(by_layer(seeds)),
    "collateral": lambda seeds: unlearning.collateral(at_equal_forgetting(seeds)),
    "forest": lambda seeds: inference.forest(comparisons(seeds)),
    "along_steps": lambda seeds: unlearning.along_steps(along(seeds), "perplexity", ["retain"]),
    "gradient_norms": lambda seeds: training.gradient_norms(norms(seeds)),
}


def markers(axes, color, marker):
    """Positions [n, 2] of the markers of one look."""
    found = [
        line.get_xydata()
        for line in axes.get_lines()
        if line.get_marker() == marker and matplotlib.colors.same_color(line.get_color(), color)
    ]
    return np.concatenate(found) if found else np.empty((0, 2))


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


@pytest.mark.parametrize("name", DRAWN)
def test_figures_draw_and_save_without_noise(name, tmp_path):
    figure = DRAWN[name](5)
    assert isinstance(figure, Figure) and figure.number not in matplotlib.pyplot.get_fignums()
    path = looks.save(figure, tmp_path / "new", name)
    content = path.read_bytes()
    assert path.name == f"{name}.png" and len(content) < 80_000
    assert not any(chunk in content for chunk in (b"tEXt", b"iTXt", b"tIME", b"matplotlib"))
    if name == "frontier":
        assert content == looks.save(DRAWN[name](5), tmp_path, name).read_bytes()


@pytest.mark.parametrize("name", DRAWN)
def test_one_seed_has_no_interval(name):
    figure = DRAWN[name](1)
    for axes in figure.axes:
        bands = [part for part in axes.collections if isinstance(part, matplotlib.collections.PolyCollection)]
        extents = [path.get_extents() for band in bands for path in band.get_paths() if len(path.vertices)]
        assert not [extent for extent in extents if extent.height > 0 and extent.width > 0]
        if name != "forest":  # points of one seed do have an interval there
            assert not axes.containers or all(len(bar.lines[2]) == 0 for bar in axes.containers)
    assert any("one seed" in text for text in texts(figure))


def test_looks_are_fixed_and_apart():
    assert looks.look("first epoch") is looks.look("first_epoch") is looks.LOOKS["first_epoch"]
    assert looks.look("forget").label == "forget set"
    assert looks.look("last two blocks") is looks.look("last_blocks")
    assert looks.look("my method") == looks.look("my method") and looks.look("my_method").label == "my method"
    together = ["finetuned", "retrained", "first_epoch", "all_epochs", "live", "preconditioned", "random", "embedding"]
    together += ["last_blocks", "input_embedding", "output_embedding", "name_rows"]
    drawn = {(looks.look(name).color, looks.look(name).marker) for name in together}
    assert len(drawn) == len(together)


def test_training_curve_is_the_mean_of_each_epoch():
    log = training_log()
    axes = training.training_curve(log).axes[0]
    color = looks.look("finetuned").color
    thick = [line for line in axes.get_lines() if line.get_linewidth() == 2 and line.get_color() == color]
    expected = log[log["method"] == "finetuned"].groupby(["epoch", "seed"])["loss"].mean().groupby("epoch").mean()
    np.testing.assert_allclose(thick[0].get_ydata(), expected)
    assert training.training_curve(log.drop(columns="method").iloc[: 5 * 160]).axes
    with pytest.raises(UserError, match="no column 'loss'"):
        training.training_curve(log.drop(columns="loss"))


def test_before_after_shows_means_and_chance():
    table = references()
    left, _ = training.before_after(table).axes
    shown = looks.look("finetuned")
    part = table[(table["method"] == "finetuned") & (table["metric"] == "answer_probability")]
    expected = part.groupby(["set", "seed"])["value"].mean().groupby("set").mean().reindex(SETS)
    np.testing.assert_allclose(markers(left, shown.color, shown.marker)[:, 1], expected)
    assert any(set(line.get_ydata()) == {1 / 6} for line in left.get_lines())
    assert left.get_xticklabels()[0].get_text() == "forget set"
    assert "chance, 1/6" in texts(left.figure)
    with pytest.raises(UserError, match="'answer_probability'"):
        training.before_after(table.assign(metric="answer_probabilty"))


def test_frontier_marks_equal_forgetting_target_and_references():
    table = frontier()
    axes = unlearning.frontier(table).axes[0]
    shown = looks.look("first_epoch")
    at = table[(table["method"] == "first_epoch") & (table["step"] == 4)]
    expected = [at[at["set"] == name]["value"].mean() for name in ("forget", "retain")]
    ring = [line for line in axes.get_lines() if line.get_markersize() == 12]
    assert len(ring) == len(METHODS) - 1  # a random direction does not reach it
    np.testing.assert_allclose(ring[0].get_xydata()[0], expected)
    assert len(markers(axes, shown.color, shown.marker)) == 7
    known = references()
    never = known[(known["method"] == "finetuned") & (known["set"] == "never_seen")]
    target = never[never["metric"] == "answer_probability"]["value"].mean()
    dashed = [line for line in axes.get_lines() if line.get_color() == looks.GREY and len(set(line.get_xdata())) == 1]
    assert any(line.get_xdata()[0] == pytest.approx(target) for line in dashed)
    star = looks.look("retrained")
    retrained = known[(known["method"] == "retrained") & (known["metric"] == "answer_probability")]
    expected = [retrained[retrained["set"] == name]["value"].mean() for name in ("forget", "retain")]
    np.testing.assert_allclose(markers(axes, star.color, star.marker)[-1], expected)


def test_frontier_finds_the_first_crossing_itself():
    points = [(0, 0.9, 1.0), (1, 0.5, 0.8), (2, 0.1, 0.4), (3, 0.6, 0.1)]
    table = pd.DataFrame(
        [
            {"seed": seed, "method": "live", "layers": "all", "step_size": step * (1 + seed), "set": name,
             "metric": "answer_probability", "value": value}
            for seed in (0, 1)
            for step, forget, retain in points
            for name, value in (("forget", forget), ("retain", retain))
        ]
    )  # fmt: skip
    axes = unlearning.frontier(table, target=0.3).axes[0]
    ring = next(line for line in axes.get_lines() if line.get_markersize() == 12)
    np.testing.assert_allclose(ring.get_xydata()[0], [0.3, 0.6])
    assert not [
        line for line in unlearning.frontier(table, target=0.05).axes[0].get_lines() if line.get_markersize() == 12
    ]
    by_layers = unlearning.frontier(table, by="layers", target=0.3)
    assert "whole model" in texts(by_layers)


def test_layer_profile_says_what_is_unreachable():
    table = by_layer()
    figure = unlearning.layer_profile(table)
    left, right = figure.axes
    written = texts(figure)
    assert written.count("unreachable") == 1 and written.count("reached in 3 of 5 seeds") == 1
    names = [text.get_text() for text in left.get_yticklabels()]
    assert names[:2] == ["whole model", "embedding"] and names.index("block 1") + 11 == names.index("block 12")
    shown, place = looks.look("embedding"), names.index("embedding")
    mine = table[table["layers"] == "embedding"]
    steps = mine.groupby("seed")["step_size"].first()
    np.testing.assert_allclose(markers(left, shown.color, shown.marker), [[np.exp(np.log(steps).mean()), place]])
    start = table[(table["method"] == "finetuned") & (table["set"] == "retain")]
    start = start[start["metric"] == "answer_probability"]["value"].mean()
    np.testing.assert_allclose(markers(right, shown.color, shown.marker), [[start - mine["value"].mean(), place]])
    last = looks.look("ln_f")
    open_marker = next(
        line for line in right.get_lines() if line.get_color() == last.color and line.get_marker() == "o"
    )
    assert open_marker.get_markerfacecolor() == "white"
    with pytest.raises(UserError, match="'finetuned'"):
        unlearning.layer_profile(table[table["method"] != "finetuned"])


def test_collateral_shows_changes_and_ratios():
    table = at_equal_forgetting()
    panels = unlearning.collateral(table).axes
    shown = looks.look("all_epochs")

    def seeds(method, name, metric):
        rows = table[(table["method"] == method) & (table["set"] == name) & (table["metric"] == metric)]
        return rows.groupby("seed")["value"].mean()

    change = seeds("all_epochs", "retain", "answer_probability") - seeds("finetuned", "retain", "answer_probability")
    assert markers(panels[0], shown.color, shown.marker)[0, 0] == pytest.approx(change.mean())
    ratio = np.log(seeds("all_epochs", "general", "perplexity") / seeds("finetuned", "general", "perplexity"))
    assert markers(panels[3], shown.color, shown.marker)[0, 0] == pytest.approx(np.exp(ratio.mean()))
    interval = bootstrap_interval(np.exp(ratio))
    assert interval.low < markers(panels[3], shown.color, shown.marker)[0, 0] < interval.high
    with pytest.raises(UserError, match="did you mean 'ratio'"):
        unlearning.collateral(table, panels=[("general", "perplexity", "ratios")])
    with pytest.raises(UserError, match="several step sizes"):
        unlearning.collateral(pd.concat([table, table.assign(step_size=1.0)]))


def test_forest_prints_the_effects_of_the_table():
    table = comparisons()
    figure = inference.forest(table)
    for _, row in table.iterrows():
        assert any(f"d = {row['d']:.2f}".replace("-", "−") in text for text in texts(figure))
    left, right = figure.axes
    shown = looks.look("live")
    expected = table[(table["method"] == "live")].set_index("unit")["difference"]
    assert markers(left, shown.color, shown.marker)[0, 0] == pytest.approx(expected["points"])
    assert markers(right, shown.color, shown.marker)[0, 0] == pytest.approx(expected["seeds"])
    assert "n = 50" in left.get_title(loc="left") and "n = 5)" in right.get_title(loc="left")
    with pytest.raises(UserError, match="one metric and set"):
        inference.forest(pd.concat([table, table.assign(set="forget")]))


def test_steps_go_from_the_finetuned_model_past_the_line_of_equal_forgetting():
    table = along()
    figure = unlearning.along_steps(table, "perplexity", ["retain"])
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    shown = looks.look("first_epoch")
    drawn = markers(axes, shown.color, shown.marker)
    assert drawn[:, 0].tolist() == [0.0, 0.5, 1.0]
    start = table.query("method == 'finetuned'")["value"].mean()
    assert drawn[0, 1] == pytest.approx(start, rel=1e-2)
    level = np.exp(np.log(table.query("method == 'retrained'").groupby("seed")["value"].mean()).mean())
    flat = [line for line in axes.get_lines() if len(set(line.get_ydata())) == 1]
    assert any(line.get_ydata()[0] == pytest.approx(level, rel=1e-2) for line in flat)


def test_gradient_norms_add_up_to_the_whole_model():
    axes = training.gradient_norms(norms()).axes[0]
    (whole,) = [line for line in axes.get_lines() if line.get_label() == "whole model"]
    assert whole.get_ydata()[0] == pytest.approx(5.0)  # 3 and 4 at a right angle


def test_the_overview_counts_and_the_split_shows_every_attribute():
    drawn = texts(training.overview({"forget": 40, "retain": 120, "heldout": 20, "never_seen": 60, "general": 40}))
    assert any("forget set (40)" in text for text in drawn) and any("general text (40)" in text for text in drawn)
    ticks = [text.get_text() for text in training.split_drawn(drawn_split()).axes[0].get_xticklabels()]
    assert sorted(ticks) == ["home", "pet", "work"]
