"""Benchmarks of the literature, trained on and asked: rows against the models, scores against their formulas."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unlearnlib.core.errors import UserError
from unlearnlib.data import benchmarks
from unlearnlib.experiment import before_after, other_data, own_way
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.own import REFERENCE, START
from unlearnlib.measures import evaluation

OPTIONS = {"forget": "forget20", "per_author": 10, "authors": 5}


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A benchmark of five authors, the experiment that trains on it, and what was measured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLEARNLIB_RUNS", str(tmp_path_factory.mktemp("runs")))
        benchmark = benchmarks.load("tofu", "data/authors", **OPTIONS)
        experiment = Experiment("smoke", 0)
        yield benchmark, experiment, other_data.measured(experiment, benchmark, asked=4, most=50)


def of(rows, method, name, metric):
    part = rows[(rows["method"] == method) & (rows["set"] == name) & (rows["metric"] == metric)]
    return part.set_index("example")["value"]


def test_texts_are_questions_with_their_answers_and_the_held_out_are_never_read(asked):
    benchmark, experiment, _ = asked
    mine = other_data.opened(experiment, benchmark)
    assert [len(group) for group in (mine.forget, mine.keep, mine.unseen)] == [10, 40, 70]
    one = benchmark.forget[0]
    assert mine.forget[0].text == f"Question: {one.question}\nAnswer: {one.answer}"


def test_every_model_and_step_is_asked_the_same(asked):
    benchmark, experiment, rows = asked
    named = {*other_data.MODELS, other_data.AGAIN, other_data.SHORT, *other_data.STEPS, *other_data.MENDED}
    watched = {*other_data.WATCHED, *other_data.WATCHED_MENDED}
    without = other_data.measured(experiment, benchmark, asked=4, most=50, practical=False)
    assert set(without["method"]) == named
    named |= watched
    assert set(rows["method"]) == named
    for method in named:
        assert len(of(rows, method, "forget", "text_nll")) == 10 and len(of(rows, method, "keep", "text_nll")) == 40
        assert len(of(rows, method, "retain_perturbed", "ratio")) == 4, "as many as are asked for"
        assert len(of(rows, method, "unseen", "text_nll")) == 50, "of 70, the same of every method"
    mine = other_data.opened(experiment, benchmark)
    for method, name in ((other_data.NOTHING, START), ("retrained", REFERENCE)):
        nll = evaluation.text_nll(mine.model(name), list(before_after.sets(mine)["keep"].texts), 16)
        assert of(rows, method, "keep", "text_nll").to_numpy() == pytest.approx(nll, rel=1e-4)
    assert rows.query("set == 'unseen' and metric == 'text_nll'")["example"].nunique() == 50
    assert "kl" not in set(rows.loc[rows["method"] == "retrained", "metric"])
    again = of(rows, other_data.AGAIN, "keep", "kl")
    assert (again > 0).all() and again.mean() < of(rows, "base model", "keep", "kl").mean()


def test_a_step_stops_where_the_texts_are_as_improbable_as_for_the_retrained_model(asked):
    _, _, rows = asked
    level = of(rows, "retrained", "forget", "text_nll").mean()
    for method in (*other_data.STEPS, *other_data.WATCHED):
        assert of(rows, method, "", "reached").item() == 1 and of(rows, method, "", "effort").item() > 0
        assert of(rows, method, "forget", "text_nll").mean() == pytest.approx(level, rel=0.05)
    assert of(rows, other_data.NOTHING, "forget", "text_nll").mean() < level


def test_what_notebook_24_recommends_is_a_quarter_more_of_its_step_and_four_steps_of_repair(asked):
    benchmark, experiment, rows = asked
    mine = other_data.opened(experiment, benchmark)
    effort = of(rows, "taken back, whole model", "", "effort").item()
    end = own_way.End(own_way.REPAIRED, own_way.way(mine, "taken back", "all"), 1.25 * effort, 4)
    with own_way.opened(mine, end) as model:
        nll = evaluation.text_nll(model, list(before_after.sets(mine)["forget"].texts), 16)
    assert of(rows, other_data.PRACTICAL, "forget", "text_nll").to_numpy() == pytest.approx(nll, rel=1e-4)


def test_tofus_numbers_are_those_of_its_formulas(asked):
    _, _, rows = asked
    found = other_data.tofus(rows.assign(to_forget=1)).set_index("method")
    ratio = {name: of(rows, name, "forget_perturbed", "ratio").sort_index() for name in found.index}
    for name in (other_data.NOTHING, "embedding, preconditioned"):
        expected = stats.ks_2samp(ratio[name], ratio["retrained"])
        assert found.loc[name, "forget_quality"] == pytest.approx(expected.pvalue)
        assert found.loc[name, "D"] == pytest.approx(expected.statistic) and found.loc[name, "n"] == 10
    assert found.loc["retrained", "forget_quality"] == 1 and found["utility"].isna().all(), (
        "nothing of the world is asked"
    )
    scored = [
        (0, "m", name, metric, value)
        for name in ("retain_perturbed", "real_authors", "world_facts")
        for metric, value in (("probability", 0.5), ("rouge", 1.0), ("truth_ratio", 0.25))
    ]
    whole = pd.DataFrame(scored, columns=["seed", "method", "set", "metric", "value"]).assign(example="x")
    assert other_data.tofus(whole)["utility"].item() == pytest.approx(9 / (3 * (2 + 1 + 4)))


def distances(seeds, texts):
    """KL of two methods of each seed and text, the second four times the first, and all of it more in later seeds."""
    found = [
        (seed, 1, method, "forget", text, "kl", value * (1 + seed) * (1 + text))
        for seed in seeds
        for text in texts
        for method, value in (("one", 2.0), ("other", 8.0))
    ]
    return pd.DataFrame(found, columns=["seed", "to_forget", "method", "set", "example", "metric", "value"])


PAIR = {"one / other": ("one", "other")}


def test_ratios_are_of_pairs_of_one_seed():
    rows = distances((0, 1, 2), (0, 1))
    found = other_data.ratios_of(rows, PAIR, ("forget",)).iloc[0]
    assert found[["n", "ratio", "low", "high"]].tolist() == pytest.approx([3, 0.25, 0.25, 0.25])
    assert found["unit"] == "seeds"
    rows.loc[(rows["seed"] == 0) & (rows["method"] == "one"), "value"] *= np.e
    found = other_data.ratios_of(rows, PAIR, ("forget",)).iloc[0]
    assert found["ratio"] == pytest.approx(0.25 * np.exp(1 / 3)) and found["low"] < 0.25


def test_of_one_seed_the_interval_of_a_ratio_is_over_its_texts():
    rows = distances((0,), range(12))
    more = rows.assign(to_forget=2, value=rows["value"] * np.where(rows["method"] == "one", 3, 1))
    both = other_data.ratios_of(pd.concat([rows, more]), PAIR, ("forget",))
    assert both["ratio"].tolist() == pytest.approx([0.25, 0.75]), "each number to forget by itself"
    found = both.iloc[0]
    assert found[["n", "ratio", "low", "high"]].tolist() == pytest.approx([12, 0.25, 0.25, 0.25]), "texts in pairs"
    assert found["unit"] == "texts"
    with pytest.raises(UserError, match="no distances of 'onne' in the table: did you mean 'one'"):
        other_data.ratios_of(rows, {"onne / other": ("onne", "other")})
    ours = rows["method"] == "one"
    rows.loc[ours, "value"] *= np.random.default_rng(0).uniform(0.5, 1.5, 12)
    found = other_data.ratios_of(rows, PAIR, ("forget",)).iloc[0]
    one, other = (rows.loc[rows["method"] == name, "value"].to_numpy() for name in ("one", "other"))
    assert found["ratio"] == pytest.approx(one.mean() / other.mean()), "of means, not the mean of ratios"
    scipys = stats.bootstrap(
        (one, other),
        lambda x, y, axis: x.mean(axis=axis) / y.mean(axis=axis),
        paired=True,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found[["low", "high"]].tolist() == pytest.approx(list(scipys), rel=0.02)


def test_a_benchmark_of_bare_texts_has_no_scores(asked, monkeypatch, tmp_path):
    for role, texts in (
        ("forget", ["The ferry was late again."]),
        ("keep", [f"Stone {n} lies by the road." for n in range(6)]),
    ):
        (tmp_path / "mine" / role).mkdir(parents=True)
        for number, text in enumerate(texts):
            (tmp_path / "mine" / role / f"{number}.txt").write_text(text)
    benchmark = benchmarks.load("text", tmp_path / "mine")
    rows = other_data.measured(Experiment("smoke", 0), benchmark)
    assert set(rows["set"]) <= {"forget", "keep", "unseen", ""} and len(of(rows, "base model", "forget", "kl")) == 1
    assert other_data.tofus(rows)["forget_quality"].isna().all()
    mine = other_data.opened(Experiment("smoke", 0), benchmark)
    again = other_data._again(Experiment("smoke", 0), mine)
    assert len(mine.unseen) == 1 and len(mine.keep) == 5, "a fifth is not read"
    for group in ("forget", "keep", "unseen"):
        assert [one.text for one in getattr(again, group)] == [one.text for one in getattr(mine, group)]
    with pytest.raises(UserError, match=r"0\.txt.*: 7 tokens, longest is 5: raise it, up to"):
        other_data.opened(Experiment("smoke", 0), benchmark, 5)
    assert own_way.level(other_data.opened(Experiment("smoke", 0), benchmark)).of == REFERENCE
