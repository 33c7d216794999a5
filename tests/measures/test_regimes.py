"""Regimes, leaks and distances on hand-made tables: what counts, what does not, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.measures import regimes

MARGINS = {"answer_probability": 0.05, "text_nll": 0.1}
LIMITS = {"answered": 0.5, "likelier": 0.05, "leak": 0.05, "forget": 0.02, "retain": 0.75, "perplexity": 2.0}
START = {"leak": 0.02, "retain": 0.96, "perplexity": 2.0}
GOOD = {"answered": 0.0, "likelier": 0.0, "leak": 0.0, "forget": 0.2, "retain": 0.95, "perplexity": 2.1}


def table(rows, columns=("seed", "method", "step", "set", "example", "metric", "value")) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns))


def state(method, step, forget, paraphrases, seed=0, nll=1.0) -> pd.DataFrame:
    """Two points, two paraphrases, a neighbour and a general text; the same text NLL everywhere but in general."""
    rows = []
    for name, values in (("forget", forget), ("paraphrase", paraphrases), ("retain", [0.9])):
        for number, value in enumerate(values):
            shared = (seed, method, step, name, f"{name} {number}")
            rows += [(*shared, "answer_probability", value), (*shared, "cloze_hit", float(value > 0.5))]
            rows += [(*shared, "text_nll", nll), (*shared, "text_tokens", 10.0)]
    rows += [
        (seed, method, step, "general", "g", "text_nll", 2.0),
        (seed, method, step, "general", "g", "text_tokens", 5),
    ]
    return table(rows)


def test_differences_are_value_minus_reference_example_by_example():
    after = table([(0, "m", 1.0, "forget", "a", "p", 0.2), (1, "m", 1.0, "forget", "a", "p", 0.9)])
    before = table([(1, "f", None, "forget", "a", "p", 0.4), (0, "f", None, "forget", "a", "p", 0.5)])
    found = regimes.against(after, before)
    np.testing.assert_allclose(found["difference"], [-0.3, 0.5])
    np.testing.assert_allclose(found["reference"], [0.5, 0.4])
    assert list(found["method"]) == ["m", "m"] and "_found" not in found
    with pytest.raises(UserError, match="no row for 1 forget a p"):
        regimes.against(after, before.iloc[1:])
    with pytest.raises(UserError, match="several rows"):
        regimes.against(after, pd.concat([before, before]))
    with pytest.raises(UserError, match="reference has no column 'set'"):
        regimes.against(after, before.drop(columns="set"))


def test_likelier_knows_the_direction_of_each_metric_and_its_margin():
    compared = pd.DataFrame(
        {
            "metric": ["answer_probability"] * 3 + ["text_nll"] * 3 + ["cloze_hit"],
            "difference": [0.0625, -0.0625, 0.05, 0.125, -0.125, -0.1, 1.0],
        }
    )
    found = regimes.likelier(compared, MARGINS)
    assert found["likelier"].tolist() == [True, False, False, False, True, False]
    assert found["rarer"].tolist() == [False, True, False, True, False, False]
    with pytest.raises(UserError, match="no metric 'text_nl'"):
        regimes.likelier(compared, {"text_nl": 0.1})
    with pytest.raises(UserError, match="margin of text_nll is -1"):
        regimes.likelier(compared, {"text_nll": -1})


def test_measures_count_shares_of_each_stop():
    start = state("finetuned", None, [0.9, 0.4], [0.5, 0.2])
    later = state("walk", 0.5, [0.2, 0.6], [0.7, 0.21], nll=0.5)
    found = regimes.measures(pd.concat([start, later]), start, MARGINS)
    values = found[found["method"] == "walk"].set_index("metric")["value"]
    assert values["answered"] == 0.5 and values["forget"] == pytest.approx(0.4)
    assert values["retain"] == pytest.approx(0.9) and values["perplexity"] == pytest.approx(np.exp(2.0))
    assert values["forget answer_probability likelier"] == 0.5 == values["forget answer_probability rarer"]
    assert values["paraphrase answer_probability likelier"] == 0.5
    assert values["paraphrase answer_probability rarer"] == 0.0
    assert values["paraphrase text_nll likelier"] == 1.0 and values["paraphrase text_nll rarer"] == 0.0
    untouched = found[(found["method"] == "finetuned") & found["metric"].str.contains("likelier|rarer")]
    assert untouched["value"].eq(0).all() and untouched["step"].isna().all()
    with pytest.raises(UserError, match="'general'"):
        regimes.measures(later[later["set"] != "general"], start, MARGINS)


def test_what_the_base_model_shows_is_chance():
    rows = [
        (0, "base", np.nan, "paraphrase a likelier", 0.25), (0, "base", np.nan, "forget a likelier", 0.0),
        (0, "walk", 1.0, "paraphrase a likelier", 0.5), (0, "walk", 1.0, "forget a likelier", 0.125),
        (0, "walk", 2.0, "paraphrase a likelier", 0.125), (0, "walk", 2.0, "forget a likelier", 0.0),
        (0, "walk", 2.0, "forget a rarer", 1.0),
    ]  # fmt: skip
    shares = table(rows, ("seed", "method", "step", "metric", "value"))
    found = regimes.beyond_chance(shares)
    assert set(found["metric"]) == {"likelier"}
    walked = found[found["method"] == "walk"].set_index("step")["value"]
    assert walked.to_dict() == {1.0: 0.25, 2.0: 0.0}
    with pytest.raises(UserError, match="lacks the model 'base'"):
        regimes.beyond_chance(shares[shares["method"] != "base"])


def test_a_leak_is_a_whole_answer_of_another():
    texts = {
        "other": "took in A Guinea Pig.",
        "own": "plays the harp at dawn",
        "own within": "a red harp, tuned",
        "part of own": "green tea leaves",
        "part of a word": "harpsichord",
        "own and other": "the harp and a guinea pig",
        "nothing": "",
    }
    written = pd.DataFrame({"example": list(texts), "generation": list(texts.values())})
    own = dict.fromkeys(texts, "bread") | {
        "own": "the harp", "own within": "a red harp", "part of own": "green tea", "own and other": "harp",
    }  # fmt: skip
    found = regimes.leaks(written, {"a guinea pig", "harp", "tea"}, own)
    assert found.dtype == bool
    assert dict(zip(texts, found.tolist(), strict=True)) == {
        "other": True,
        "own": False,
        "own within": False,
        "part of own": False,
        "part of a word": False,
        "own and other": True,
        "nothing": False,
    }
    with pytest.raises(UserError, match="whose answer is 'nothing'"):
        regimes.leaks(written, {"harp"}, {name: "x" for name in texts if name != "nothing"})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "forgotten"),
        ({"forget": 0.2199}, "forgotten"),
        ({"forget": 0.23}, "between"),
        ({"forget": 0.23, "answered": 0.51}, "known"),
        ({"answered": 0.51}, "forgotten"),
        ({"likelier": 0.051}, "over-exposed"),
        ({"leak": 0.08}, "over-exposed"),
        ({"leak": 0.06}, "forgotten"),
        ({"retain": 0.71, "likelier": 0.5}, "collapsed"),
        ({"retain": 0.73}, "forgotten"),
        ({"perplexity": 4.1}, "collapsed"),
    ],
)
def test_regimes_in_their_order(change, expected):
    assert regimes.regime(GOOD | change, START, 0.2, LIMITS) == expected
    assert expected in regimes.REGIMES


def test_a_regime_needs_every_number():
    with pytest.raises(UserError, match="state needs a number for 'leak'"):
        regimes.regime(GOOD | {"leak": float("nan")}, START, 0.2, LIMITS)
    with pytest.raises(UserError, match="limits needs a number for 'retain'"):
        regimes.regime(GOOD, START, 0.2, {name: value for name, value in LIMITS.items() if name != "retain"})


def test_first_below_is_the_first_step_even_if_the_value_comes_back():
    values = {"a": (0.9, 0.2, 0.5), "b": (0.9, 0.8, 0.3), "c": (0.9, 0.8, 0.7)}
    rows = [
        (0, "m", name, step, v) for name, row in values.items() for step, v in zip((2.0, 0.5, 1.0), row, strict=True)
    ]
    found = regimes.first_below(table(rows, ("seed", "method", "example", "step", "value")), 0.3)
    assert found.set_index("example")["step"].to_dict() == {"a": 0.5, "b": 1.0, "c": np.inf}
    with pytest.raises(UserError, match="several values"):
        regimes.first_below(table([*rows, rows[0]], ("seed", "method", "example", "step", "value")), 0.3)
    with pytest.raises(UserError, match="no column 'step'"):
        regimes.first_below(pd.DataFrame({"seed": [0], "method": ["m"], "example": ["a"], "value": [0.1]}), 0.3)


def test_what_a_share_says_stands_in_columns_of_its_own():
    rows = [
        (0, "m", 0.5, "answered", 0.9),
        (0, "m", 0.5, "forget text_nll likelier", 0.1),
        (0, "m", 0.5, "paraphrase answer_probability rarer", 0.2),
        (0, "m", 0.5, "likelier", 0.3),
    ]
    found = regimes.moved(table(rows, ("seed", "method", "step", "metric", "value")))
    assert found[["set", "reading", "direction", "value"]].to_numpy().tolist() == [
        ["forget", "text_nll", "likelier", 0.1],
        ["paraphrase", "answer_probability", "rarer", 0.2],
    ]


def test_every_stop_is_held_against_the_fine_tuned_model_and_the_target_of_its_own_seed():
    def stop(seed, method, step, **change):
        return [(seed, method, step, metric, value) for metric, value in {**GOOD, **change}.items()]

    rows = [
        *stop(0, "finetuned", np.nan, answered=1.0, forget=0.9, retain=0.95),
        *stop(1, "finetuned", np.nan, answered=1.0, forget=0.9, retain=0.5),
        *stop(0, "walk", 1.0, retain=0.6),  # below 0.75 of 0.95, and not of 0.5
        *stop(1, "walk", 1.0, retain=0.6),
        *stop(0, "walk", 0.5, forget=0.3),
        *stop(1, "walk", 0.5, forget=0.3),
    ]
    columns, targets = ("seed", "method", "step", "metric", "value"), {0: 0.2, 1: 0.3}
    found = regimes.regimes_of(table(rows, columns), targets, LIMITS)
    assert set(found.columns) == {"seed", "method", "step", *GOOD, "regime"} and len(found) == 6
    names = found.fillna({"step": 0.0}).set_index(["method", "step", "seed"])["regime"].sort_index()
    assert names["finetuned", 0.0].tolist() == ["known", "known"]
    assert names["walk", 1.0].to_dict() == {0: "collapsed", 1: "forgotten"}
    assert names["walk", 0.5].to_dict() == {0: "between", 1: "forgotten"}
    with pytest.raises(UserError, match="the start needs a number for 'leak'"):
        regimes.regimes_of(table(rows[len(GOOD) :], columns), targets, LIMITS)


def test_what_has_fallen_stays_fallen_and_every_seed_has_its_own_target():
    columns = ("seed", "method", "example", "step", "value")
    rows = [
        (0, "base", "a", np.nan, 0.2), (0, "base", "b", np.nan, 0.4),
        (0, "walk", "a", 0.5, 0.3), (0, "walk", "a", 1.0, 0.9),
        (0, "walk", "b", 0.5, 0.9), (0, "walk", "b", 1.0, 0.9),
        (1, "walk", "a", 0.5, 0.3), (1, "walk", "a", 1.0, 0.1),
    ]  # fmt: skip
    targets = {0: 0.3, 1: 0.2}
    first = regimes.first_stops(table(rows, columns), targets)
    expected = {(0, "a"): 0.5, (0, "b"): np.inf, (1, "a"): 1.0}
    assert first.set_index(["seed", "example"])["step"].to_dict() == expected
    found = regimes.fallen(table(rows, columns), targets, {"walk": [0.5, 1.0]})
    assert set(found["metric"]) == {"fallen"}
    by_stop = found[found["method"] == "walk"].set_index(["step", "seed", "example"])["value"].to_dict()
    assert by_stop == {
        (0.5, 0, "a"): 1.0, (0.5, 0, "b"): 0.0, (0.5, 1, "a"): 0.0,
        (1.0, 0, "a"): 1.0, (1.0, 0, "b"): 0.0, (1.0, 1, "a"): 1.0,
    }  # fmt: skip
    assert found[found["method"] == "base"]["value"].tolist() == [1.0, 0.0]


def test_differences_cancel_and_distances_do_not():
    compared = pd.DataFrame({"seed": [0, 0, 1], "difference": [0.5, -0.25, -1.0], "value": [1.0, 0.0, 0.0]})
    found = regimes.distances(compared, ["seed"]).set_index("seed")
    assert found.loc[0].to_dict() == {"difference": 0.125, "distance": 0.375, "n": 2}
    assert found.loc[1].to_dict() == {"difference": -1.0, "distance": 1.0, "n": 1}
