"""What forgetting does beside forgetting, against sums by hand."""

import numpy as np
import pandas as pd
import pytest

from unlearnlib.measures.collateral import LOGARITHMIC, MEASURES, collateral, summary
from unlearnlib.statistics.paired import compare_measures, holm, paired_t_test


def rows(methods=("a", "b"), seeds=range(4)) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    found = []
    for seed in seeds:
        for place, method in enumerate(methods):
            for of in ("forget", "heldout", "retain", "general"):
                for number in range(3):
                    shared = (seed, method, "stop", of, f"{of} {number}")
                    worse = place * (0.5 + 0.1 * rng.random())
                    found += [(*shared, "kl", 0.2 + worse), (*shared, "text_nll", 1.0 + worse)]
                    found += [(*shared, "text_tokens", 5.0 + number), (*shared, "exact_memorization", 0.9 - worse / 2)]
                    found += [
                        (*shared, "answer_probability", 0.9 - worse),
                        (*shared, "cloze_hit", float(number > place)),
                    ]
    return pd.DataFrame(found, columns=["seed", "method", "stop", "set", "example", "metric", "value"])


def test_every_measure_is_the_mean_of_its_set_and_metric():
    table, found = rows(), collateral(rows())
    assert found.groupby(["seed", "method", "stop"])["measure"].apply(list).map(tuple).unique().tolist() == [
        tuple(MEASURES)
    ]
    part = table.query("seed == 2 and method == 'b' and set == 'retain'").pivot(
        index="example", columns="metric", values="value"
    )
    mine = found.query("seed == 2 and method == 'b'").set_index("measure")["value"]
    assert mine["neighbours: completions"] == pytest.approx(part["cloze_hit"].mean())
    nll = (part["text_nll"] * part["text_tokens"]).sum() / part["text_tokens"].sum()
    assert mine["neighbours: perplexity"] == pytest.approx(nll), "the logarithm of the token-weighted perplexity"
    assert mine["neighbours: KL"] == pytest.approx(np.log(part["kl"].mean()))


def test_the_summary_is_in_the_measures_own_units():
    found = collateral(rows())
    wide = summary(found)
    assert list(wide.columns) == list(MEASURES) and wide.index.tolist() == [("stop", "a"), ("stop", "b")]
    for name, (_, metric) in MEASURES.items():
        values = found.query("method == 'b'").set_index("measure")["value"][name]
        expected = np.exp(values.mean()) if metric in LOGARITHMIC else values.mean()
        assert wide.loc[("stop", "b"), name] == pytest.approx(expected)


def test_two_methods_are_compared_on_every_measure_with_holms_correction_over_them():
    found = collateral(rows())
    both = compare_measures(found, before="b", after="a").set_index("measure")
    assert list(both.index) == list(MEASURES) and set(both["favours"]) == {"a"} and set(both["n"]) == {4}
    turned = compare_measures(found, before="a", after="b").set_index("measure")
    assert set(turned["favours"]) == {"a"} and np.allclose(turned["difference"], -both["difference"])
    wide = found[found["measure"] == "neighbours: KL"].pivot(index="seed", columns="method", values="value")
    test = paired_t_test(wide["b"], wide["a"])
    row = both.loc["neighbours: KL"]
    assert (row["difference"], row["low"], row["high"], row["p"]) == pytest.approx(
        (test.mean, test.low, test.high, test.p)
    )
    assert np.allclose(both["p_holm"], holm(both["p"]), equal_nan=True)
