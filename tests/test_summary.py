"""The README's results table comes from the committed tables, and from nothing else."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from unlearnlib import paths, summary
from unlearnlib.errors import UserError
from unlearnlib.figures import looks, unlearning


def test_the_readme_equals_the_committed_tables():
    if not (paths.ROOT / "results" / "05_layers.csv").is_file():
        pytest.fail("results/ holds no tables: run ./run_all.sh --publish")
    text = (paths.ROOT / "README.md").read_text()
    assert summary.readme_with_tables(text, paths.ROOT / "results") == text


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


def test_the_influence_table_has_a_column_for_every_truth(tmp_path):
    table = pd.DataFrame(
        [("small", score, truth, 0.5, 0.25, 0.75, 3.0) for score in ("TracIn", "same point") for truth in ("a", "b")],
        columns=["profile", "score", "truth", "estimate", "low", "high", "seconds"],
    )
    table.iloc[:3].to_csv(tmp_path / "03_agreement.csv", index=False)
    lines = summary.influence_table(tmp_path).splitlines()
    assert lines[0] == "| score | a | b | seconds |"
    assert lines[2] == "| TracIn | 0.50 (0.25 to 0.75) | 0.50 (0.25 to 0.75) | 3.0 |"
    assert lines[3] == "| same point | 0.50 (0.25 to 0.75) |  | 3.0 |", "not every score has every truth"


def test_missing_marks_and_tables_are_one_line(tmp_path):
    with pytest.raises(UserError, match="marks <!-- results: begin --> and"):
        summary.readme_with_tables("no marks here", tmp_path)
    with pytest.raises(UserError, match="publish"):
        summary.results_table(tmp_path)


def test_the_readme_figure_is_drawn_from_the_committed_tables(tmp_path):
    results = paths.ROOT / "results"
    if not (results / "05_frontier.csv").is_file():
        pytest.fail("results/ holds no tables: run ./run_all.sh --publish")
    assert "figures/05_frontier.png" in (paths.ROOT / "README.md").read_text()
    models = pd.read_csv(results / "05_layers.csv").query("method in ['finetuned', 'retrained']")
    figure = unlearning.frontier(pd.concat([pd.read_csv(results / "05_frontier.csv"), models]), by="layers")
    drawn = Image.open(looks.save(figure, tmp_path, "again")).convert("L")
    committed = Image.open(paths.ROOT / "figures" / "05_frontier.png").convert("L")
    assert drawn.size == committed.size
    # The tables are rounded to six digits, so that a line may differ by a shade at its edge.
    difference = np.abs(np.asarray(drawn, float) - np.asarray(committed, float)).mean()
    assert difference < 0.2, "figures/05_frontier.png is out of date: run ./run_all.sh --publish"


def test_the_model_card_says_what_the_notebook_measured():
    card = (paths.DATA / "base_model" / "README.md").read_text()
    table = pd.read_csv(paths.ROOT / "results" / "01_base_model.csv").set_index("set")
    for name, row in table.iterrows():
        assert f"| {row['perplexity']:.2f} |" in card, f"perplexity of {name}"
        if np.isfinite(row["answer_probability"]):
            assert f"| {row['answer_probability']:.3f} |" in card, f"answer probability of {name}"
