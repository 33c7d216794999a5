"""An error that a user can mend is one line in a notebook too."""

import json
import os
import subprocess
import sys

import pytest
from IPython.core.interactiveshell import InteractiveShell
from project import notebook

from unlearnlib.core.errors import UserError
from unlearnlib.core.paths import ROOT

RAISE = "from unlearnlib.core.errors import UserError\ndef deep(n):\n    {}\ndeep(30)"
ONE = RAISE.format("if n: deep(n - 1)\n    raise UserError('no set: choose')")


def test_ipython_shows_the_line_and_nothing_else(capsys):
    shell = InteractiveShell.instance()
    try:
        result = shell.run_cell(ONE)
        shown = capsys.readouterr()
        assert isinstance(result.error_in_exec, UserError)
        assert (shown.out + shown.err).strip() == "UserError: no set: choose"
        shell.run_cell("1 / 0")
        assert "Traceback" in capsys.readouterr().out, "any other error keeps its traceback"
    finally:
        InteractiveShell.clear_instance()


@pytest.mark.slow
def test_papermill_keeps_the_line_in_the_notebook(tmp_path):
    source, target = tmp_path / "source.ipynb", tmp_path / "target.ipynb"
    content = notebook([("code", "from unlearnlib.core import profiles"), ("code", "profiles.load('smal')")])
    content["metadata"]["kernelspec"]["name"] = "python3"
    source.write_text(json.dumps(content))
    command = [sys.executable, "-m", "papermill", str(source), str(target)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    failed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert failed.returncode == 1
    assert "UserError: no profile 'smal': did you mean 'small'?" in failed.stderr
    cells = json.loads(target.read_text())["cells"]
    errors = [o for cell in cells for o in cell.get("outputs", []) if o["output_type"] == "error"]
    assert [error["traceback"] for error in errors] == [["UserError: no profile 'smal': did you mean 'small'?"]]
