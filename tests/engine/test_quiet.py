"""A notebook shows what it was written to show: no library complains in it."""

import json
import os
import subprocess
import sys

import pytest
from project import notebook

from unlearnlib.core.paths import ROOT

IMPORTS = """
from unlearnlib.core import paths
from unlearnlib.data import records
from unlearnlib.measures import generation
from unlearnlib.models import loading
"""


@pytest.mark.slow
def test_a_notebook_that_loads_data_and_model_prints_nothing_else(tmp_path):
    source, target = tmp_path / "source.ipynb", tmp_path / "target.ipynb"
    use = (
        "model, tokenizer = loading.load('data/base_model')\nfound = records.load_records(paths.DATA / 'dave.jsonl')\n"
    )
    write = "print(len(generation.continuations(model, [[0, 5], [0]], [3, 4])), len(found))"
    cells = [IMPORTS, use + write]
    source.write_text(json.dumps(notebook([("code", cell) for cell in cells])))
    command = [sys.executable, "-m", "unlearnlib.engine.execute", str(source), str(target)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed = [o for cell in json.loads(target.read_text())["cells"] for o in cell.get("outputs", [])]
    assert ["".join(output["text"]) for output in printed] == ["2 60\n"]
