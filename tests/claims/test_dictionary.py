"""results/README.md explains what the tables have in common, and its warning about logarithms is true."""

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from unlearnlib.core import paths
from unlearnlib.measures.collateral import LOGARITHMIC, MEASURES

RESULTS = paths.ROOT / "results"
TABLES = {path.relative_to(RESULTS): pd.read_csv(path) for path in sorted(RESULTS.rglob("*.csv"))}
TEXT = (RESULTS / "README.md").read_text(encoding="utf-8")


def explained(heading: str) -> set[str]:
    """The names in the first column of the table below a heading."""
    section = re.search(rf"^## {heading}.*?\n(.*?)(?=^## |\Z)", TEXT, flags=re.M | re.S)[1]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


@pytest.mark.parametrize("column, heading", [("set", "Sets"), ("metric", "Metrics")])
def test_every_set_and_metric_of_two_tables_is_explained(column, heading):
    tables = [table for table in TABLES.values() if column in table.columns]
    found = Counter(name for table in tables for name in table[column].dropna().unique())
    families = {name for name in explained(heading) if name.endswith("*")}
    known = {name for name in found if any(name.startswith(family[:-1]) for family in families)}
    several = {name for name, count in found.items() if count > 1}
    assert len(several) >= 8 and several - explained(heading) - known == set()


def test_every_column_of_eight_tables_is_explained():
    found = Counter(column for table in TABLES.values() for column in table.columns)
    shared = {name for name, count in found.items() if count >= 8}
    columns = explained("Columns") | {"set", "method"}  # these have a section

    assert len(shared) > 40 and shared - columns == set()


def test_nothing_is_explained_that_no_table_has():
    columns = {column for table in TABLES.values() for column in table.columns}
    assert explained("Columns") - columns == set()
    sets = {name for table in TABLES.values() if "set" in table for name in table["set"].dropna().unique()}
    assert explained("Sets") - sets == set()


def test_the_stops_are_explained():
    stops = {name for table in TABLES.values() if "stop" in table for name in table["stop"].dropna().unique()}
    row = next(line for line in TEXT.splitlines() if line.startswith("| `stop` |"))
    assert {stop for stop in stops if f"`{stop}`" not in row} == set()


def test_perplexities_and_divergences_are_logarithms_in_a_column_of_measures():
    """The same model's perplexity in notebook 04's table of metrics and in notebook 12's of measures."""
    metrics = TABLES[next(path for path in TABLES if str(path) == "04_equal_forgetting.csv")]
    measures = TABLES[next(path for path in TABLES if str(path) == "12_measures.csv")]
    plain = metrics.query("method == 'finetuned' and set == 'retain' and metric == 'perplexity'")
    logged = measures.query("method == 'finetuned' and measure == 'neighbours: perplexity'")
    both = plain.merge(logged, on="seed", suffixes=("", "_log"))
    assert len(both) == 5 and np.allclose(np.log(both["value"]), both["value_log"], atol=1e-4)
    assert {name for name, (_, metric) in MEASURES.items() if metric in LOGARITHMIC} == {
        name for name in MEASURES if name.endswith(("KL", "perplexity"))
    }, "which is how the text tells them"
