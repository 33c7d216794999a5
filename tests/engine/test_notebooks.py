"""Every notebook runs at the smallest profile through the real engine, and what is committed is what a run leaves."""

import ast
import os
import subprocess
import sys

import nbformat
import pytest

from unlearnlib.core.paths import ROOT
from unlearnlib.engine import commandline, publish

NOTEBOOKS = commandline.notebooks()
pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="there are no notebooks yet")


@pytest.fixture(scope="module")
def smoke(runs):
    """The folder of a whole run at the smoke profile, and what the engine printed."""
    result = subprocess.run(
        [sys.executable, "-m", "unlearnlib.engine", "--profile", "smoke"],
        cwd=ROOT,
        env={**os.environ, "UNLEARNLIB_RUNS": str(runs), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return runs, result.stdout


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_at_the_smoke_profile(smoke, source):
    runs, output = smoke
    executed = sorted(runs.glob(f"smoke/seeds-*/notebooks/{source.name}"))
    assert executed, output
    assert f"FAILED {source.stem}" not in output, output
    for path in executed:
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code" and cell.source]
        assert all(cell.execution_count for cell in cells), f"{path} stopped half-way"


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook_is_executed_and_normalised(source):
    text = source.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    assert nbformat.writes(publish.normalise(notebook)).rstrip("\n") + "\n" == text, "run ./run_all.sh --publish"
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run ./run_all.sh --publish"
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    assert len(text) < 400_000, "a notebook stays readable in the browser"


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_text_cell_has_one_heading_at_most(source):
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        headings = [line for line in cell.source.splitlines() if line.startswith("#")]
        assert cell.cell_type == "code" or len(headings) <= 1, cell.source


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_code_cell_has_fifteen_lines_at_most(source):
    cells = [cell for cell in nbformat.read(source, as_version=4).cells if cell.cell_type == "code"]
    long = [cell for cell in cells if len(cell.source.splitlines()) > 15]
    declared = [
        cell for cell in long if "parameters" in cell.metadata.get("tags", [])
    ]  # data: a line each, no mechanics
    for cell in declared:
        lines = ast.parse(cell.source).body
        assert len(lines) <= 25 and all(isinstance(line, ast.AnnAssign) for line in lines), cell.source
    assert [cell.source for cell in long if cell not in declared] == [], "what only computes belongs in the package"
