"""Where outputs go, whatever the variable holds, and that a notebook notices another clone's package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from project import Project

from unlearnlib.core import paths, profiles
from unlearnlib.core.errors import UserError
from unlearnlib.core.paths import ROOT


@pytest.mark.parametrize(
    ("value", "folder"),
    [
        (None, ROOT / "runs"),
        ("", ROOT / "runs"),
        ("  ", ROOT / "runs"),
        ("~/u", Path.home() / "u"),
        ("~", Path.home()),
        ("/somewhere/else", Path("/somewhere/else")),
        ("other", ROOT / "other"),
    ],
)
def test_where_runs_go(monkeypatch, tmp_path, value, folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNLEARNLIB_RUNS", raising=False)
    if value is not None:
        monkeypatch.setenv("UNLEARNLIB_RUNS", value)
    assert paths.runs() == folder
    assert paths.run_folder("smoke", [0, 1]) == folder / "smoke" / "seeds-0-1"


def test_the_home_folder_of_nobody_is_one_line(monkeypatch):
    monkeypatch.setenv("UNLEARNLIB_RUNS", "~nobody-of-this-name/u")
    with pytest.raises(UserError, match="that home folder is not there: write the whole path"):
        paths.runs()


def test_the_engine_takes_an_empty_variable_for_none_and_a_tilde_for_home(tmp_path):
    project = Project(tmp_path / "project").make()
    for value, place in (("", project.root / "runs"), ("~/u", tmp_path / "home" / "u")):
        code, output = project.run("--only", "01", HOME=str(tmp_path / "home"), UNLEARNLIB_RUNS=value)
        assert code == 0, output
        assert (place / "smoke" / "seeds-0-1" / "notebooks" / "01_plain.ipynb").is_file()
    assert {path.name for path in project.root.iterdir()}.isdisjoint({"smoke", "~", "engine.lock"})


def test_another_clones_package_is_noticed(tmp_path):
    """The package of this repository, imported by what is started in another clone, or in a folder of none."""
    clone = tmp_path / "clone"
    (clone / "unlearnlib").mkdir(parents=True)
    (clone / "unlearnlib" / "__init__.py").touch()
    (clone / "notebooks").mkdir()
    code = "from unlearnlib.core import profiles\nprint(profiles.load('smoke').name)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}

    def started(folder):
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    refused = started(clone / "notebooks")
    line = refused.stderr.splitlines()[-1]
    assert refused.returncode == 1
    assert f"this is the repository {clone}, but the package unlearnlib comes from {ROOT}: run `pip install -e" in line
    assert f"or set PYTHONPATH={clone}" in line
    for folder in (tmp_path, ROOT, ROOT / "notebooks"):
        assert started(folder).stdout == "smoke\n", folder


def test_a_notebook_that_loads_no_profile_notices_it_too(tmp_path, monkeypatch):
    clone = tmp_path / "clone"
    (clone / "unlearnlib").mkdir(parents=True)
    (clone / "unlearnlib" / "__init__.py").touch()
    (clone / "notebooks").mkdir()
    monkeypatch.chdir(clone / "notebooks")
    with pytest.raises(UserError, match=r"this is the repository .*clone, but the package"):
        paths.run_folder("smoke", [0])
    with pytest.raises(UserError, match=r"this is the repository .*clone, but the package"):
        profiles.load("smoke")


def test_a_link_to_the_repository_is_the_repository(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(ROOT)
    monkeypatch.chdir(tmp_path / "link" / "notebooks")
    assert profiles.load("smoke").name == "smoke"
