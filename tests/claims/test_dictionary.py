"""results/README.md explains what the tables have in common, and its warning about logarithms is true."""

import functools
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from unlearnlib.core import paths
from unlearnlib.measures.collateral import LOGARITHMIC, MEASURES

RESULTS = paths.ROOT / "results"
TEXT = (RESULTS / "README.md").read_text(encoding="utf-8")


@functools.cache
def tables() -> dict[str, pd.DataFrame]:
    return {str(path.relative_to(RESULTS)): pd.read_csv(path) for path in sorted(RESULTS.rglob("*.csv"))}


def found_in(column: str) -> Counter:
    """In how many tables each value of a column stands."""
    having = [table[column] for table in tables().values() if column in table.columns]
    return Counter(name for values in having for name in values.dropna().unique())


def columns() -> Counter:
    """In how many tables each column is."""
    return Counter(column for table in tables().values() for column in table.columns)


def explained(heading: str) -> set[str]:
    """The names in the first column of the table below a heading."""
    section = re.search(rf"^## {heading}.*?\n(.*?)(?=^## |\Z)", TEXT, flags=re.M | re.S)[1]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


@pytest.mark.parametrize("column, heading", [("set", "Sets"), ("metric", "Metrics")])
def test_every_set_and_metric_of_two_tables_is_explained(column, heading):
    found = found_in(column)
    families = {name for name in explained(heading) if name.endswith("*")}
    known = {name for name in found if any(name.startswith(family[:-1]) for family in families)}
    several = {name for name, count in found.items() if count > 1}
    assert len(several) >= 8 and several - explained(heading) - known == set()


def test_every_column_of_eight_tables_is_explained():
    shared = {name for name, count in columns().items() if count >= 8}
    known = explained("Columns") | {"set", "method"}  # these have a section
    assert len(shared) > 40 and shared - known == set()


def test_nothing_is_explained_that_no_table_has():
    assert explained("Columns") - set(columns()) == set()
    assert explained("Sets") - set(found_in("set")) == set()


def test_the_stops_are_explained():
    row = next(line for line in TEXT.splitlines() if line.startswith("| `stop` |"))
    assert {stop for stop in found_in("stop") if f"`{stop}`" not in row} == set()


def test_perplexities_and_divergences_are_logarithms_in_a_column_of_measures():
    """The same model's perplexity in notebook 04's table of metrics and in notebook 12's of measures."""
    metrics = tables()["04_equal_forgetting.csv"]
    measures = tables()["12_measures.csv"]
    plain = metrics.query("method == 'finetuned' and set == 'retain' and metric == 'perplexity'")
    logged = measures.query("method == 'finetuned' and measure == 'neighbours: perplexity'")
    both = plain.merge(logged, on="seed", suffixes=("", "_log"))
    assert len(both) == 5 and np.allclose(np.log(both["value"]), both["value_log"], atol=1e-4)
    assert {name for name, (_, metric) in MEASURES.items() if metric in LOGARITHMIC} == {
        name for name in MEASURES if name.endswith(("KL", "perplexity"))
    }, "which is how the text tells them"
