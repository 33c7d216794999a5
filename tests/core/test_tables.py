"""Tidy tables: means over examples, and perplexity weighted by tokens."""

import math

import pandas as pd
import pytest

from unlearnlib.core import tables


def test_perplexity_is_over_all_tokens_and_not_a_mean_of_perplexities():
    rows = [(0, "forget", name, metric, value) for name, metric, value in (
        ("a", "text_nll", 1.0), ("a", "text_tokens", 30.0), ("b", "text_nll", 4.0), ("b", "text_tokens", 10.0),
        ("a", "cloze_hit", 1.0), ("b", "cloze_hit", 0.0),
    )]  # fmt: skip
    table = pd.DataFrame(rows, columns=["seed", "set", "example", "metric", "value"])
    means = tables.means(table).set_index("metric")["value"]
    assert means["perplexity"] == pytest.approx(math.exp((30 * 1 + 10 * 4) / 40))
    assert means["text_nll"] == 2.5 and means["cloze_hit"] == 0.5
    assert "text_tokens" not in means


def test_groups_stay_apart_also_where_a_key_is_missing():
    table = pd.DataFrame(
        {
            "method": ["finetuned", "finetuned", "first epoch"],
            "step_size": [None, None, 2.0],
            "set": "retain",
            "example": ["a", "b", "a"],
            "metric": "cloze_hit",
            "value": [1.0, 0.0, 1.0],
        }
    )
    means = tables.means(table)
    assert means.set_index("method")["value"].to_dict() == {"finetuned": 0.5, "first epoch": 1.0}


def test_tidy_puts_the_known_columns_first_and_keeps_the_others():
    table = tables.tidy(pd.DataFrame({"value": [1.0], "reached": [True], "set": ["forget"]}), seed=3, profile="small")
    assert list(table.columns) == ["profile", "seed", "set", "value", "reached"]
