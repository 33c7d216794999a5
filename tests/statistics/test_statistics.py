"""Tests, intervals and effect sizes against published data, scipy, statsmodels, hand formulas and simulation."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unlearnlib.core.errors import UserError
from unlearnlib.statistics.mixed import mixed_model
from unlearnlib.statistics.paired import (
    compare_methods,
    equivalence_test,
    hedges_correction,
    holm,
    paired_over_points,
    paired_over_seeds,
    paired_t_test,
    pairs,
    wilcoxon,
)
from unlearnlib.statistics.seeds import (
    Interval,
    as_text,
    as_texts,
    bootstrap_interval,
    geometric_over_seeds,
    over_seeds,
    text_table,
)

# Student (1908), "The probable error of a mean": extra hours of sleep of ten patients under two drugs.
FIRST_DRUG = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SECOND_DRUG = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def tidy(values: dict, metric="answer_probability", set="forget") -> pd.DataFrame:
    """A table from {(method, seed): values of the examples}."""
    rows = [
        (method, seed, f"point {i}", metric, set, float(value))
        for (method, seed), row in values.items()
        for i, value in enumerate(row)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "example", "metric", "set", "value"])


def simulated(generator, seeds=5, points=12, effect=1.0, by_seed=0.4, noise=0.3) -> pd.DataFrame:
    """Fine-tuned and unlearned models: every seed draws how strongly the method works on it."""
    values = {}
    for seed in range(seeds):
        before = generator.normal(0, 1, points)
        values["finetuned", seed] = before
        values["unlearned", seed] = before + effect + generator.normal(0, by_seed) + generator.normal(0, noise, points)
    return tidy(values)


def test_paired_t_test_on_published_data():
    result = paired_t_test(FIRST_DRUG, SECOND_DRUG)
    assert (result.n, result.df) == (10, 9)
    assert result.mean == pytest.approx(1.58)
    assert result.t == pytest.approx(4.0621, abs=1e-4)
    assert result.p == pytest.approx(0.002833, abs=1e-6)
    assert (result.low, result.high) == pytest.approx((0.7001, 2.4599), abs=1e-4)
    assert result.d == pytest.approx(4.0621 / math.sqrt(10), abs=1e-4)


def test_paired_t_test_agrees_with_scipy_and_keeps_its_sign():
    generator = np.random.default_rng(0)
    before, after = generator.normal(size=23), generator.normal(0.5, 1, 23)
    result, expected = paired_t_test(before, after, 0.9), stats.ttest_rel(after, before)
    assert (result.t, result.p) == pytest.approx((expected.statistic, expected.pvalue))
    interval = expected.confidence_interval(0.9)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    back = paired_t_test(after, before, 0.9)
    assert (back.mean, back.d, back.d_low) == pytest.approx((-result.mean, -result.d, -result.d_high))


@pytest.mark.parametrize(("n", "d"), [(3, 0.4), (5, 4.23), (40, 1.94), (200, -6.0), (40, 60.0)])
def test_effect_size_interval_inverts_the_noncentral_t(n, d):
    generator = np.random.default_rng(1)
    values = generator.normal(size=n)
    values = (values - values.mean()) / values.std(ddof=1) + d
    result = paired_t_test(np.zeros(n), values)
    assert result.d == pytest.approx(d)
    observed = d * math.sqrt(n)
    assert stats.nct.cdf(observed, n - 1, result.d_low * math.sqrt(n)) == pytest.approx(0.975, abs=1e-4)
    assert stats.nct.cdf(observed, n - 1, result.d_high * math.sqrt(n)) == pytest.approx(0.025, abs=1e-4)


def test_intervals_cover_the_truth():
    generator, mean, effect = np.random.default_rng(2), 0, 0
    for _ in range(400):
        result = paired_t_test(np.zeros(8), generator.normal(1.2, 2, 8))
        mean += result.low <= 1.2 <= result.high
        effect += result.d_low <= 0.6 <= result.d_high
    assert 0.92 <= mean / 400 <= 0.98 and 0.92 <= effect / 400 <= 0.98


def test_hedges_correction():
    # With whole numbers the Gamma functions are factorials: J(4) = Gamma(2) / (sqrt(2) Gamma(3/2)).
    assert hedges_correction(4) == pytest.approx(1 / (math.sqrt(2) * math.sqrt(math.pi) / 2))
    assert hedges_correction(50) == pytest.approx(1 - 3 / (4 * 50 - 1), abs=5e-5)
    generator = np.random.default_rng(3)
    drawn = [paired_t_test(np.zeros(5), generator.normal(1, 1, 5)) for _ in range(1500)]
    assert np.mean([one.g for one in drawn]) == pytest.approx(1, abs=0.08)
    assert np.mean([one.d for one in drawn]) > 1.15


def test_paired_t_test_without_spread_or_pairs_says_so():
    equal = paired_t_test([0.1, 0.2, 0.7], [0.4, 0.5, 1.0])
    assert (equal.p, equal.d, equal.low) == (0, math.inf, pytest.approx(0.3)) and "infinite" in equal.note
    nearly = paired_t_test([0.0, 0, 0], [1, 1 + 1e-9, 1 - 1e-9])
    assert 1e8 < nearly.d_low < nearly.d < nearly.d_high < 1e10
    still = paired_t_test([1.0, 2.0], [1.0, 2.0])
    assert (still.p, still.d, still.mean) == (1, 0, 0) and "zero" in still.note
    one = paired_t_test([1.0], [3.0])
    assert (one.n, one.mean) == (1, 2) and math.isnan(one.p) and math.isnan(one.low) and "one pair" in one.note
    none = paired_t_test([], [])
    assert none.n == 0 and math.isnan(none.mean)
    infinite = paired_t_test([1.0, np.inf], [np.inf, np.inf])
    assert infinite.n == 2 and math.isnan(infinite.p) and "infinite" in infinite.note
    missing = paired_t_test([1.0, np.nan, 2.0], [2.0, 2.0, 5.0])
    assert missing.n == 2 and missing.mean == 2 and "1 pairs" in missing.note
    with pytest.raises(UserError, match="equally long"):
        paired_t_test([1.0], [1.0, 2.0])


def test_wilcoxon_by_hand_and_on_published_data():
    # Differences 1, -2, 3, 4: rank sums 8 and 2; of the 16 signings, 3 have a sum of at most 2 on one side.
    result = wilcoxon([0.0, 0, 0, 0], [1.0, -2, 3, 4])
    assert (result.W, result.p, result.r, result.median) == (2, pytest.approx(6 / 16), pytest.approx(0.6), 2)
    sleep = wilcoxon(FIRST_DRUG, SECOND_DRUG)
    assert sleep.r == 1 and sleep.n == 10 and sleep.p < 0.01
    assert wilcoxon([1.0, 2.0], [1.0, 2.0]).p == 1
    assert math.isnan(wilcoxon([], []).p)


def test_equivalence_against_two_one_sided_tests():
    generator = np.random.default_rng(4)
    differences = generator.normal(0.1, 0.5, 30)
    result = equivalence_test(differences, 0.4)
    lower = stats.ttest_1samp(differences, -0.4, alternative="greater").pvalue
    upper = stats.ttest_1samp(differences, 0.4, alternative="less").pvalue
    assert result.p == pytest.approx(max(lower, upper))
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.9)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))


def test_equivalence_is_the_interval_inside_the_margin():
    generator, seen = np.random.default_rng(5), set()
    for _ in range(200):
        result = equivalence_test(generator.normal(0.15, 0.4, 12), (-0.3, 0.35))
        assert result.equivalent == (result.low > -0.3 and result.high < 0.35)
        seen.add(result.equivalent)
    assert seen == {True, False}


def test_equivalence_edges():
    assert equivalence_test([0.1, 0.1], 0.2).equivalent
    assert not equivalence_test([0.3, 0.3], 0.2).equivalent
    one = equivalence_test([0.0], 0.2)
    assert not one.equivalent and math.isnan(one.p) and one.mean == 0
    assert not equivalence_test([], 0.2).equivalent
    for margin in (0, -1, (0.2, 0.1)):
        with pytest.raises(UserError, match="margin"):
            equivalence_test([0.0, 1.0], margin)


def test_holm_by_hand():
    # Sorted .01 .02 .03 .04 times 4 3 2 1, then made monotone.
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.01, np.nan, 0.9]), [0.02, np.nan, 0.9])
    assert holm([0.8, 0.9]).max() <= 1 and holm([]).shape == (0,)
    assert np.isnan(holm([np.nan])).all()


def test_bootstrap_interval():
    generator, covered = np.random.default_rng(6), 0
    for _ in range(100):
        interval = bootstrap_interval(generator.exponential(1, 40), np.mean, generator, resamples=300)
        covered += interval.low <= 1 <= interval.high
    assert 0.86 <= covered / 100 <= 1
    once, again = (bootstrap_interval(SECOND_DRUG, np.median) for _ in range(2))
    assert once == again and once.low < once.estimate < once.high
    assert bootstrap_interval([2.0, 2.0]) == Interval(2, 2, 2)
    assert math.isnan(bootstrap_interval([2.0]).low) and bootstrap_interval([2.0]).estimate == 2
    assert math.isnan(bootstrap_interval([]).estimate)
    ties = bootstrap_interval([1.0, 1, 1, 1, 1, 1, 9], np.median, resamples=200)
    assert ties.low == 1 and not math.isnan(ties.high)


def test_pairs_match_by_seed_and_example_whatever_the_order():
    table = tidy({("a", 0): [1, 2, 3], ("b", 0): [11, 12, 13], ("a", 1): [4, 5], ("b", 1): [24, 25]})
    shuffled = table.sample(frac=1, random_state=0)
    matched = pairs(shuffled, "a", "b").sort_values(["seed", "example"])
    assert (matched["after"] - matched["before"]).tolist() == [10, 10, 10, 20, 20]
    seeds = pairs(shuffled, "a", "b", unit="seeds")
    assert seeds["before"].tolist() == [2, 4.5] and seeds["after"].tolist() == [12, 24.5]
    with pytest.raises(UserError, match="did you mean 'points'"):
        pairs(table, "a", "b", unit="point")
    with pytest.raises(UserError, match="no rows of 'c'"):
        pairs(table, "a", "c")
    with pytest.raises(UserError, match="several rows"):
        pairs(pd.concat([table, table]), "a", "b")


def test_points_and_seeds_differ_in_their_unit():
    table = simulated(np.random.default_rng(7))
    points = paired_over_points(table, "finetuned", "unlearned")
    seeds = paired_over_seeds(table, "finetuned", "unlearned")
    assert (points.n, seeds.n) == (60, 5)
    assert points.mean == pytest.approx(seeds.mean)
    means = table.groupby(["method", "seed"])["value"].mean().unstack("method")
    expected = stats.ttest_rel(means["unlearned"], means["finetuned"])
    assert (seeds.t, seeds.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_seeds_hold_their_level_where_points_do_not():
    generator, points, seeds = np.random.default_rng(8), 0, 0
    for _ in range(60):
        table = simulated(generator, effect=0, points=8)
        points += paired_over_points(table, "finetuned", "unlearned").p < 0.05
        seeds += paired_over_seeds(table, "finetuned", "unlearned").p < 0.05
    assert seeds / 60 < 0.12 and points / 60 > 0.3


def test_over_seeds_is_a_t_interval_of_seed_means():
    table = tidy({("a", 0): [1, 3], ("a", 1): [4, 4], ("a", 2): [9], ("b", 0): [1], ("c", 0): [1], ("c", 1): [np.nan]})
    result = over_seeds(table).set_index("method")
    means = np.array([2.0, 4.0, 9.0])
    interval = stats.t.interval(0.95, 2, means.mean(), stats.sem(means))
    assert (result.loc["a", "low"], result.loc["a", "high"]) == pytest.approx(interval)
    assert (result.loc["a", "n"], result.loc["a", "mean"]) == (3, 5)
    assert (result.loc["b", "n"], result.loc["b", "mean"]) == (1, 1) and math.isnan(result.loc["b", "low"])
    assert result.loc["c", "n"] == 1
    several = over_seeds(table, by=["metric", "method"])
    assert list(several.columns[:2]) == ["metric", "method"] and len(several) == 3
    with pytest.raises(UserError, match="did you mean 'method'"):
        over_seeds(table, by="methods")


def test_mixed_model_on_balanced_data_compares_means():
    # With every example under every method and seed, the random effects cancel out of the comparison.
    generator = np.random.default_rng(9)
    seed, example = generator.normal(0, 1, 6), generator.normal(0, 1, 8)
    values = {
        (method, s): seed[s] + example + generator.normal(effect, 0.5, 8)
        for method, effect in (("base", 0), ("new", 1))
        for s in range(6)
    }
    table = tidy(values)
    result = mixed_model(table, "base", seed_by_method=False)
    means = table.groupby("method")["value"].mean()
    row = result.effects.iloc[0]
    assert result.converged and row["method"] == "new"
    assert row["estimate"] == pytest.approx(means["new"] - means["base"], abs=1e-6)
    assert row["se"] == pytest.approx(result.sd["residual"] * math.sqrt(2 / 48), rel=1e-3)
    assert result.sd["residual"] == pytest.approx(0.5, abs=0.12)


def test_means_are_written_with_half_their_interval():
    values = {"mean": [0.91, 0.5, -0.125, 2.0], "high": [0.934, 0.5, math.nan, np.inf]}
    assert as_texts(pd.DataFrame(values)) == ["0.91 ± 0.02", "0.50 ± 0.00", "-0.12", "2.00"]
    assert as_texts(pd.DataFrame(values), digits=3)[0] == "0.910 ± 0.024"
    logs = pd.DataFrame({"mean": np.log([4.0, 2.5]), "high": [np.log(4.0 * 5.5), math.nan]})
    assert as_texts(logs, digits=1, logarithms=True) == ["4.0 ×/÷ 5.5", "2.5"]


def test_a_table_of_texts_is_over_seeds_and_in_the_order_of_its_table():
    rows = [
        (seed, method, value + add, 10 * value)
        for method, value in (("walk", 0.5), ("base", 0.25))
        for seed, add in enumerate((-0.1, 0.0, 0.1))
    ]
    table = pd.DataFrame(rows, columns=["seed", "method", "one", "other"])
    found = as_text(table, ["other", "one"])
    # Half an interval of three seeds: t(0.975, 2) = 4.3027 times 0.1 over the root of 3.
    assert found.index.tolist() == ["walk", "base"] and list(found.columns) == ["other", "one"]
    assert found.to_numpy().tolist() == [["5.00 ± 0.00", "0.50 ± 0.25"], ["2.50 ± 0.00", "0.25 ± 0.25"]]
    alone = as_text(table[table["seed"] == 1].rename(columns={"method": "way"}), ["one"], by="way", digits=1)
    assert alone["one"].tolist() == ["0.5", "0.2"]


def test_a_text_table_has_the_rows_and_columns_that_are_named():
    values = {("walk", "b"): (0.4, 0.5, 0.6), ("walk", "a"): (1.0, 1.0, 1.0), ("base", "b"): (2.0, 2.0, 2.0)}
    rows = [
        (seed, method, name, "hit", value)
        for (method, name), three in values.items()
        for seed, mean in enumerate(three)
        for value in (mean - 0.3, mean + 0.3)  # examples of one seed: averaged before anything else
    ]
    table = pd.DataFrame(rows, columns=["seed", "method", "set", "metric", "share"])
    found = text_table(table, "method", ["metric", "set"], value="share")
    assert found.index.tolist() == ["walk", "base"] and found.columns.tolist() == [("hit", "b"), ("hit", "a")]
    assert found.loc["walk"].tolist() == ["0.50 ± 0.25", "1.00 ± 0.00"], "half of the interval: 4.3027 * 0.1 / 3 ** 0.5"
    assert found.loc["base", ("hit", "b")] == "2.00 ± 0.00" and pd.isna(found.loc["base", ("hit", "a")])
    turned = text_table(table, ["set", "method"], "metric", value="share", digits=1)
    assert turned["hit"].to_dict() == {
        ("b", "walk"): "0.5 ± 0.2", ("a", "walk"): "1.0 ± 0.0", ("b", "base"): "2.0 ± 0.0"
    }  # fmt: skip
    alone = text_table(table[table["seed"] == 0], "method", "set", value="share")
    assert alone.loc["walk"].tolist() == ["0.40", "1.00"]
    with pytest.raises(UserError, match="no column 'methd'"):
        text_table(table, "methd", "set", value="share")


def test_a_text_table_of_perplexities_is_of_their_logarithms():
    table = pd.DataFrame({"seed": [0, 1], "method": "m", "set": "s", "value": [2.0, 8.0]})
    # Geometric mean 4; half the interval of two logarithms: 12.7062 times log 2.
    assert text_table(table, "method", "set", digits=0, logarithms=True).loc["m", "s"] == f"4 ×/÷ {2**12.7062:.0f}"
    assert table["value"].tolist() == [2.0, 8.0], "the table itself stays as it is"


def test_mixed_model_agrees_with_the_formula_interface():
    from statsmodels.formula.api import mixedlm

    table = simulated(np.random.default_rng(10), seeds=4, points=8)
    result = mixed_model(table, "finetuned", seed_by_method=False)
    other = mixedlm(
        "value ~ C(method)",
        table.assign(one=1),
        groups="one",
        re_formula="0",
        vc_formula={"seed": "0 + C(seed)", "example": "0 + C(example)"},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = other.fit(method="powell")
    assert result.effects["estimate"][0] == pytest.approx(other.params.iloc[1], abs=1e-4)
    assert result.effects["se"][0] == pytest.approx(other.bse.iloc[1], rel=1e-3)


def test_mixed_model_lets_each_seed_move_each_method():
    table = simulated(np.random.default_rng(11), by_seed=1.0, noise=0.2, seeds=6, points=8)
    narrow = mixed_model(table, "finetuned", seed_by_method=False).effects["se"][0]
    wide = mixed_model(table, "finetuned")
    seeds = paired_over_seeds(table, "finetuned", "unlearned")
    assert wide.effects["se"][0] == pytest.approx(seeds.sd / math.sqrt(6), rel=0.2)
    assert narrow < 0.7 * wide.effects["se"][0]
    assert set(wide.sd) == {"seed", "example", "seed x method", "residual"}


def test_mixed_model_says_what_it_cannot_do():
    table = simulated(np.random.default_rng(12), seeds=1)
    one = mixed_model(table, "finetuned")
    assert one.seeds == 1 and "one seed" in one.note and set(one.sd) == {"example", "residual"}
    flat = mixed_model(table.assign(value=1.0), "finetuned")
    assert not flat.converged and flat.singular and "spread" in flat.note and flat.effects["p"].isna().all()
    lost = mixed_model(table.assign(value=np.where(table["method"] == "unlearned", np.nan, 1.0)), "finetuned")
    assert not lost.converged and "no finite value" in lost.note
    alone = mixed_model(table[table["method"] == "finetuned"], "finetuned")
    assert not alone.converged and "only one method" in alone.note
    with pytest.raises(UserError, match="did you mean 'finetuned'"):
        mixed_model(table, "fintuned")


def test_compare_methods_puts_both_units_side_by_side():
    generator = np.random.default_rng(13)
    table = simulated(generator)
    other = table[table["method"] == "unlearned"].assign(method="random")
    other["value"] = table[table["method"] == "finetuned"]["value"].to_numpy() + generator.normal(0, 0.05, len(other))
    table = pd.concat([table, other, table.assign(set="retain")])
    result = compare_methods(table, "answer_probability", "forget", "finetuned", margin=0.1)
    assert result[["method", "unit"]].to_numpy().tolist() == [
        ["unlearned", "points"],
        ["random", "points"],
        ["unlearned", "seeds"],
        ["random", "seeds"],
    ]
    row = result.iloc[2]
    expected = paired_over_seeds(table[table["set"] == "forget"], "finetuned", "unlearned")
    assert (row["difference"], row["p"], row["d"]) == pytest.approx((expected.mean, expected.p, expected.d))
    assert row["difference"] == pytest.approx(row["mean"] - row["mean_baseline"])
    for _, family in result.groupby("unit"):
        np.testing.assert_allclose(family["p_holm"], holm(family["p"]))
    assert result["equivalent"].tolist() == [False, True, False, True]
    assert result["n"].tolist() == [60, 60, 5, 5]


def test_compare_methods_by_method_and_layers_with_one_seed():
    table = simulated(np.random.default_rng(14), seeds=1).assign(layers="all")
    table = pd.concat([table, table[table["method"] == "unlearned"].assign(layers="embedding")])
    result = compare_methods(
        table, "answer_probability", "forget", ("finetuned", "all"), by=["method", "layers"], margin=0.1
    )
    seeds = result[result["unit"] == "seeds"]
    assert seeds["layers"].tolist() == ["all", "embedding"] and (seeds["n"] == 1).all()
    assert seeds[["low", "p", "p_holm", "d"]].isna().all(axis=None) and not seeds["equivalent"].any()
    assert seeds["difference"].notna().all()
    with pytest.raises(UserError, match="did you mean 'answer_probability on forget'"):
        compare_methods(table, "answer_probabilty", "forget", ("finetuned", "all"), by=["method", "layers"])


def test_a_geometric_mean_is_that_of_the_seeds_and_its_interval_that_of_the_logarithms():
    table = pd.DataFrame({"seed": [0, 1, 2], "method": "m", "value": [1.0, 2.0, 4.0]})
    found = geometric_over_seeds(table).iloc[0]
    assert (found["n"], found["mean"]) == (3, pytest.approx(stats.gmean([1, 2, 4])))
    ends = stats.t.interval(0.95, 2, np.log([1, 2, 4]).mean(), stats.sem(np.log([1, 2, 4])))
    assert [found["low"], found["high"]] == pytest.approx(np.exp(ends))
    floored = geometric_over_seeds(table.assign(value=[0.0, 2.0, 4.0]), floor=1.0).iloc[0]
    assert floored["mean"] == pytest.approx(found["mean"])
