"""Verdicts and rows of the README once more, from the published tables by other lines: pandas and scipy alone."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unlearnlib.claims import judging
from unlearnlib.core.paths import ROOT

RESULTS = ROOT / "results"
FIRST, ALL = "first epoch", "all epochs"


def read(name):
    return pd.read_csv(ROOT / "results" / f"{name}.csv", dtype={"notebook": str})


@pytest.fixture(scope="module")
def criteria():
    return read("15_criteria").set_index("criterion")


@pytest.fixture(scope="module")
def verdicts():
    return read("15_verdicts").set_index("claim")


@pytest.fixture(scope="module")
def measures():
    table = read("12_measures")
    return table[table["stop"].isin(["equal forgetting", "models"])]


def holm_by_hand(p):
    """Step down: the smallest p times n, the next times n - 1, and none below one before it."""
    order, n, adjusted, least = np.argsort(p), len(p), np.empty(len(p)), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (n - rank) * p[place]))
        adjusted[place] = least
    return adjusted


def better_and_worse(measures, after, before):
    """How many of the nine measures are significantly better with `after`, and how many worse, in the seeds in which
    both came to the stop."""
    short = measures[measures["method"].isin([after, before]) & measures["reached"].eq(False)]["seed"]
    measures = measures[~measures["seed"].isin(short)]
    wide = measures.pivot_table(index="seed", columns=["measure", "method"], values="value")
    better = measures.groupby("measure")["better"].first()
    p, signs = [], []
    for name in better.index:
        test = stats.ttest_rel(wide[name, after], wide[name, before])
        p.append(test.pvalue)
        signs.append(np.sign(test.statistic) * (1 if better[name] == "higher" else -1))
    sure = holm_by_hand(np.array(p)) < 0.05
    return int((sure & (np.array(signs) > 0)).sum()), int((sure & (np.array(signs) < 0)).sum())


@pytest.mark.parametrize("place", ["whole model", "embedding"])
@pytest.mark.parametrize("kind", ["plain", "preconditioned"])
def test_c1_at_equal_forgetting(measures, criteria, place, kind):
    better, worse = better_and_worse(measures, f"{FIRST}, {place}, {kind}", f"{ALL}, {place}, {kind}")
    row = criteria.loc[f"equal forgetting: first epoch better, {place}, {kind}"]
    assert (row["high"], -row["low"]) == (better, worse)
    expected = {(True, False): "holds", (False, True): "contradicted", (True, True): "mixed"}
    assert row["state"] == expected.get((better > 0, worse > 0), "not settled")


def test_c1_and_c2_in_every_configuration():
    found = judging.judge_configurations(RESULTS / "robustness").set_index(["configuration", "criterion"])
    table, count = pd.read_csv(RESULTS / "robustness" / "16_measures.csv"), 0
    for name, part in table.groupby("configuration"):
        for place in ("whole model", "embedding"):
            for kind in ("plain", "preconditioned"):
                asked = {
                    f"first epoch better, {place}, {kind}": (f"{FIRST}, {place}, {kind}", f"{ALL}, {place}, {kind}")
                }
                for epochs in (FIRST, ALL):
                    pair = (f"{epochs}, embedding, {kind}", f"{epochs}, whole model, {kind}")
                    asked[f"beats whole model, {epochs}, {kind}"] = pair
                for criterion, (after, before) in asked.items():
                    row = found.loc[(name, f"equal forgetting: {criterion}")]
                    assert (row["high"], -row["low"]) == better_and_worse(part, after, before), (name, criterion)
                    count += 1
    assert count == 12 * table["configuration"].nunique() == 132


def test_c1_at_equal_step_length(criteria, verdicts):
    table = read("04_equal_step")
    table = table[(table["metric"] == "answer_probability") & table["method"].isin([FIRST, ALL])]
    wide = table.pivot_table(index="seed", columns=["set", "method"], values="value")
    states = []
    for of, asked in (("forget", "first epoch forgets more"), ("retain", "keeps the neighbours within 0.05")):
        found = wide[of, FIRST] - wide[of, ALL]
        low, high = stats.t.interval(0.95, len(found) - 1, found.mean(), stats.sem(found))
        row = criteria.loc[f"at equal step length, {asked}"]
        assert (row["low"], row["high"]) == pytest.approx((low, high), rel=1e-3)
        states.append((row["state"], high < 0 if of == "forget" else low > -0.05))
    assert all((state == "holds") == holds for state, holds in states)
    assert verdicts.loc["C1", "verdict"] == "depends"


def test_c2_beats_the_whole_model_wherever_it_is_asked(measures, criteria):
    for epochs in (FIRST, ALL):
        for kind in ("plain", "preconditioned"):
            better, worse = better_and_worse(measures, f"{epochs}, embedding, {kind}", f"{epochs}, whole model, {kind}")
            row = criteria.loc[f"equal forgetting: beats whole model, {epochs}, {kind}"]
            assert (row["high"], -row["low"], row["state"]) == (better, worse, "holds") and better and not worse


def test_c3_leaving_the_last_blocks_out(measures, criteria, verdicts):
    wide = measures.pivot_table(index="seed", columns=["measure", "method"], values="value")
    whole, without = f"{FIRST}, whole model, plain", f"{FIRST}, all but the last blocks, plain"
    within = []
    for name in measures["measure"].unique():
        effect = wide[name, whole] - wide[name, "finetuned"]
        if stats.ttest_1samp(effect, 0).pvalue < 0.05:
            share = (wide[name, without] - wide[name, whole]) / effect.mean()
            above = stats.ttest_1samp(share, -0.1, alternative="greater").pvalue
            below = stats.ttest_1samp(share, 0.1, alternative="less").pvalue
            within.append(max(above, below) < 0.05)
    row = criteria.loc["leaving them out changes every measure by a tenth at most"]
    assert (row["state"] == "holds") == all(within) and f"of {len(within)} measures" in row["note"]
    reached = read("12_stops").query("method == 'first epoch, last blocks, plain' and stop == 'equal forgetting'")
    alone = criteria.loc["alone, equal forgetting is reached in no seed"]
    assert alone["effect"] == reached["reached"].mean() and (alone["state"] == "holds") == (
        not reached["reached"].any()
    )
    assert verdicts.loc["C3", "verdict"] == "depends"


def test_c4_is_arithmetic(criteria, verdicts):
    vocabulary, positions, width, blocks = 50257, 1024, 768, 12
    block = 12 * width**2 + 13 * width  # four matrices of attention and eight of the perceptron, biases, two norms
    share = (vocabulary + positions) * width / ((vocabulary + positions) * width + blocks * block + 2 * width)
    asked = "half of all numbers at most, GPT-2,"
    assert criteria.loc[f"{asked} dense", "effect"] == pytest.approx(share, rel=1e-3)
    # Of a text of 20 tokens, as factors: at 19 places what goes in and out of each matrix, and the norms as they are.
    places, norms = 19, (4 * blocks + 2) * width
    matrices = blocks * (width + 3 * width + 2 * width + 2 * (width + 4 * width)) * places
    tables = places * (width + vocabulary) + places * (1 + width) + places
    as_factors = tables / (tables + matrices + norms)
    assert criteria.loc[f"{asked} exact factors", "effect"] == pytest.approx(as_factors, rel=1e-3)
    assert max(share, as_factors) < 0.5 and verdicts.loc["C4", "verdict"] == "holds"


def test_c7_is_neither_at_rest_nor_elsewhere(criteria, verdicts):
    norm = read("07_stationary").pivot_table(index="seed", columns="method", values="gradient_norm")
    found = np.log(norm["fuzzy"] / norm["retrained"])
    low, high = stats.t.interval(0.95, len(found) - 1, found.mean(), stats.sem(found))
    row = criteria.loc["new optimum: the fuzzy end is at rest"]
    assert (row["low"], row["high"]) == pytest.approx((low, high), rel=1e-3) and low > np.log(2)
    assert verdicts.loc["C7", "verdict"] == "contradicted"


def test_c11_is_far_from_five_percent(measures, criteria, verdicts):
    wide = measures.pivot_table(index="seed", columns=["measure", "method"], values="value")
    for way, method in (
        ("first epoch", "first epoch, whole model, plain"),
        ("embedding", "first epoch, embedding, plain"),
    ):
        for name in ("general text", "neighbours"):
            found = wide[f"{name}: perplexity", method] - wide[f"{name}: perplexity", "finetuned"]
            low, high = stats.t.interval(0.90, len(found) - 1, found.mean(), stats.sem(found))
            row = criteria.loc[f"{way}: perplexity of {name} within 5%"]
            assert (row["low"], row["high"]) == pytest.approx((low, high), rel=1e-3)
            assert low > np.log(1.05) and row["state"] == "contradicted"
    assert verdicts.loc["C11", "verdict"] == "contradicted"


ROWS = {  # the README's words, and where the numbers stand: table, method, layers
    "fine-tuned, nothing forgotten": ("04_equal_forgetting", "finetuned", "all"),
    "**retrained without Dave (the reference)**": ("04_equal_forgetting", "retrained", "all"),
    "first-epoch gradients, whole model": ("04_equal_forgetting", FIRST, "all"),
    "all-epochs gradients, whole model": ("04_equal_forgetting", ALL, "all"),
    "first-epoch gradients, embedding alone": ("05_layers", FIRST, "embedding"),
    "first-epoch gradients, preconditioned": ("04_equal_forgetting", "preconditioned", "all"),
}
CELLS = [("forget", "answer_probability"), ("forget", "cloze_hit"), ("paraphrase", "answer_probability"),
         ("heldout", "answer_probability"), ("retain", "answer_probability"), ("retain", "cloze_hit")]  # fmt: skip


@pytest.mark.parametrize("title", ROWS)
def test_a_row_of_the_results(title):
    name, method, layers = ROWS[title]
    table = read(name).fillna({"layers": "all"})
    table = table[(table["method"] == method) & (table["layers"] == layers)]
    line = next(row for row in (ROOT / "README.md").read_text().splitlines() if row.startswith(f"| {title} |"))
    shown = [cell.strip() for cell in line.strip("|").split("|")][2:]
    for cell, (of, metric) in zip(shown, CELLS, strict=False):
        values = table[(table["set"] == of) & (table["metric"] == metric)].groupby("seed")["value"].mean()
        if cell:
            half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
            assert cell == f"{values.mean():.2f} ± {half:.2f}", (title, of, metric)
    for cell, of in zip(shown[len(CELLS) :], ("retain", "general"), strict=True):
        logs = np.log(table[(table["set"] == of) & (table["metric"] == "perplexity")].groupby("seed")["value"].mean())
        assert float(cell.split(" ")[0]) == pytest.approx(np.exp(logs.mean()), rel=0.02, abs=0.051)
