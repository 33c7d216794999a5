"""Parameters of a notebook that plain papermill runs: a slip is one line, and one seed is a list of one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from project import notebook

from unlearnlib.core.errors import UserError
from unlearnlib.core.paths import ROOT
from unlearnlib.engine import commandline, parameters

LINE = "globals().update(parameters.checked(globals()))"
DECLARED = 'profile: str = "small"\nseeds: list = [0, 1]\nlongest: float = 0.4\nfew: list = [0.2]\ntrial: bool = False'


@pytest.mark.parametrize(
    ("value", "seeds"),
    [
        (0, [0]),
        ("0", [0]),
        ("0-2", [0, 1, 2]),
        ("0,2", [0, 2]),
        ("[3, 1]", [1, 3]),
        ([0, 0], [0]),
        ([2, 0], [0, 2]),
        (["1", 0], [0, 1]),
        ((4,), [4]),
        (range(3), [0, 1, 2]),
        (np.arange(2), [0, 1]),
        (np.int64(3), [3]),
    ],
)
def test_seeds_in_every_form(value, seeds):
    found = parameters.seeds_of(value)
    assert found == seeds and all(type(seed) is int for seed in found)


@pytest.mark.parametrize("value", [[], "", None, True, [True], -1, [-1], "-1", 0.0, [1.5], "a", ["a"], "4-0", b"0", {}])
def test_what_names_no_seeds_is_one_line(value):
    with pytest.raises(UserError, match=r"^seeds must be whole numbers from 0 on, such as \[0, 1\] or 0-4, not .*$"):
        parameters.seeds_of(value)


def ran(*cells: str) -> dict:
    """Return the variables of a notebook that has run these cells."""
    variables: dict = {"In": ["", *cells]}
    for cell in cells:
        exec(cell, variables)
    return variables


def test_a_notebook_gets_its_parameters_back():
    given = "# Parameters\nprofile = 'smoke'\nseeds = 1\nlongest = 2\n"
    found = parameters.checked(ran(DECLARED, given, "import math", "margins = {'a': 1}"))
    assert found == {"profile": "smoke", "seeds": [1], "longest": 2, "few": [0.2], "trial": False}
    assert parameters.checked(ran(DECLARED))["seeds"] == [0, 1]
    assert parameters.checked(ran("import math", "seeds = 3 * 1")) == {"seeds": [3]}, "nothing is declared there"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("profile = 7", "this notebook: profile must be str, such as 'small', not 7"),
        ("sedes = 0", "this notebook has no parameter 'sedes': did you mean 'seeds'?"),
        ("seeds = 1.5", "seeds must be whole numbers from 0 on, such as [0, 1] or 0-4, not 1.5"),
        ("longest = 'long'", "this notebook: longest must be float, such as 0.4, not 'long'"),
        ("longest = True", "this notebook: longest must be float, such as 0.4, not True"),
        ("few = 0.2", "this notebook: few must be list[float], such as [0.2], not 0.2"),
        ("trial = 'no'", "this notebook: trial must be bool, such as False, not 'no'"),
    ],
)
def test_a_slip_is_one_line(given, line):
    with pytest.raises(UserError) as error:
        parameters.checked(ran(DECLARED, f"# Parameters\n{given}\n"))
    assert str(error.value) == line


@pytest.mark.parametrize("source", commandline.notebooks(), ids=lambda path: path.stem)
def test_the_cell_of_every_notebook_is_recognised(source):
    content = json.loads(source.read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]
    found = parameters.checked({"In": ["", code[0]], **{p.name: p.default for p in parameters.read(source).values()}})
    assert found.keys() == parameters.read(source).keys() and "profile" in found


@pytest.mark.slow
def test_plain_papermill_checks_in_the_notebook(tmp_path):
    source = tmp_path / "source.ipynb"
    cells = [
        ("parameters", DECLARED),
        ("code", f"from unlearnlib.engine import parameters\n\n{LINE}"),
        ("code", "print(profile, seeds)"),
    ]
    content = notebook(cells)
    content["metadata"]["kernelspec"]["name"] = "python3"
    source.write_text(json.dumps(content))

    def papermill(*words):
        command = [sys.executable, "-m", "papermill", str(source), str(tmp_path / "out.ipynb"), *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done, (tmp_path / "out.ipynb").read_text()

    done, out = papermill("-p", "seeds", "0", "-p", "profile", "smoke")
    assert done.returncode == 0 and '"smoke [0]\\n"' in out, done.stderr
    done, _ = papermill("-p", "sedes", "0")
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("UserError: this notebook has no parameter 'sedes': did you mean 'seeds'?")


def test_the_commands_of_the_readme_and_of_notebooks_name_parameters_that_there_are():
    prose = [ROOT / "README.md", ROOT / "docs" / "adapting.md", *commandline.notebooks()]
    text = "\n".join(path.read_text(encoding="utf-8") for path in prose).replace("\\\n", " ").replace('\\"', '"')
    found = re.findall(r"papermill (notebooks/\S+\.ipynb)([^\n`]*)", text)
    assert {Path(name).stem[:2] for name, _ in found} >= {"05", "20"}
    for name, words in found:
        known = parameters.read(ROOT / name)
        assert {word for word in re.findall(r"-p (\w+)", words)} <= set(known), words
