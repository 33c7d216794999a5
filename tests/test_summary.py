"""The README's results table comes from the committed tables, and from nothing else."""

import pandas as pd
import pytest

from unlearnlib import paths, summary
from unlearnlib.errors import UserError


def test_the_readme_equals_the_committed_tables():
    if not (paths.ROOT / "results" / "05_layers.csv").is_file():
        pytest.fail("results/ holds no tables: run ./run_all.sh --publish")
    text = (paths.ROOT / "README.md").read_text()
    assert summary.readme_with_table(text, summary.results_table(paths.ROOT / "results")) == text


def test_the_table_says_what_its_rows_say_and_marks_the_unreached(tmp_path):
    rows = [
        ("small", seed, method, layers, step, "retain", "answer_probability", value, reached)
        for seed in (0, 1)
        for method, layers, step, value, reached in (
            ("retrained", None, None, 0.8 + 0.1 * seed, None),
            ("first epoch", "all", 2.0, 0.5, True),
            ("first epoch", "h.10+h.11", 9.0, 0.25, seed == 0),
        )
    ]
    columns = ["profile", "seed", "method", "layers", "step_size", "set", "metric", "value", "reached"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(tmp_path / "05_layers.csv", index=False)
    table[table["method"] == "retrained"].drop(columns=["layers"]).to_csv(
        tmp_path / "04_equal_forgetting.csv", index=False
    )
    lines = summary.results_table(tmp_path).splitlines()
    assert any("retrained without Dave" in line and "0.85 ± 0.64" in line for line in lines)
    assert any("whole model | 2.00" in line and "0.50" in line for line in lines)
    assert any("blocks 11 and 12 (target reached in 50% of seeds)" in line for line in lines)


def test_missing_marks_and_tables_are_one_line(tmp_path):
    with pytest.raises(UserError, match="marks"):
        summary.readme_with_table("no marks here", "table")
    with pytest.raises(UserError, match="publish"):
        summary.results_table(tmp_path)
