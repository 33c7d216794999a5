"""The engine runs what is stale and only that, survives kills and failures, and says what happened in one line each."""

import base64
import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image
from project import NOTEBOOKS, Project

from unlearnlib.engine import drawing, plan, progress
from unlearnlib.engine.plan import Job

TRAININGS = ["train finetuned, seed 0", "train finetuned, seed 1"]
SEEDED = ["02_seeds, seed 0", "02_seeds, seed 1", "02_seeds, seeds 0 1"]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A project, in a folder with an awkward name, that was run once; with that run's exit code, output and trace."""
    project = Project(tmp_path_factory.mktemp("first") / "it's my {project}").make()
    code, output = project.run("--jobs", "2")
    return project, code, output, project.trace()


@pytest.fixture
def project(first, tmp_path):
    """A copy of the finished project, elsewhere: what is up to date is so wherever the repository lies."""
    return first[0].copy_to(tmp_path / "project")


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def would_run(project, *words):
    code, output = project.run(*words, "--dry-run")
    assert code == 0, output
    return re.findall(r"^would run +(.*)$", output, flags=re.M)


def row(output, title):
    """Return the counts (ran, up to date, failed, not run) of a title in the closing table."""
    (line,) = re.findall(rf"^{title} +((?:[-\d]+ *){{4}})$", output, flags=re.M)
    return tuple(int(word.replace("-", "0")) for word in line.split())


def test_first_run_does_everything_once(first):
    project, code, output, trace = first
    assert code == 0, output
    assert trace == ["01", "02 [0, 1]", "02 [0]", "02 [1]", "train 0", "train 1"]
    assert row(output, "train finetuned") == (2, 0, 0, 0)
    assert row(output, "02_seeds") == (3, 0, 0, 0)
    assert re.search(r"^\[5 of 6 jobs done after \d+ s, about \d+ s left\] done ", output, flags=re.M)
    assert (
        project.run_folder / "results" / "02_table.csv"
    ).read_text() == "seed,value\n0,weights of 0\n1,weights of 1\n"
    assert (project.run_folder / "notebooks" / "01_plain.ipynb").exists()


def test_nothing_runs_again_for_what_does_not_matter(project):
    path = project.root / "notebooks" / "02_seeds.ipynb"
    content = json.loads(path.read_text())
    content["metadata"]["language_info"] = {"version": "3.99"}
    for cell in content["cells"]:
        cell["metadata"]["collapsed"] = True
        cell["outputs"], cell["execution_count"] = [{"output_type": "stream", "name": "stdout", "text": "x"}], 7
    path.write_text(json.dumps(content))
    (project.root / "unlearnlib" / "recipe.py").write_text("# how long\nSTEPS = (1)\n")
    (project.root / "data" / "README.md").write_text("About the data.")
    profile = project.root / "profiles" / "smoke.yaml"
    profile.write_text("# the smallest\n" + profile.read_text())
    for file in project.root.rglob("*.py"):
        os.utime(file)
    assert would_run(project) == []
    code, output = project.run()
    assert (code, project.trace()) == (0, [])
    assert output.startswith("all 6 jobs are up to date")


def edit(*path, old, new):
    def change(project):
        file = project.root.joinpath(*path)
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return change


def delete(*path):
    return lambda project: project.root.joinpath(*path).unlink()


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        (edit("notebooks", "01_plain.ipynb", old="print('one')", new="print('1')"), ["01_plain"]),
        (edit("unlearnlib", "recipe.py", old="1", new="2"), TRAININGS + SEEDED),
        (edit("unlearnlib", "experiment", "jobs.py", old="weights of", new="parameters of"), SEEDED),
        (
            edit("unlearnlib", "experiment", "jobs.py", old='"a") as file', new='"a+") as file'),
            ["01_plain", *SEEDED],
        ),
        (edit("unlearnlib", "core", "tables.py", old="%.6g", new="%.5g"), []),
        (edit("profiles", "smoke.yaml", old="epochs: 3", new="epochs: 4"), ["01_plain", *SEEDED]),
        (edit("data", "facts.jsonl", old="{}", new="[]"), ["01_plain", *SEEDED]),
        (delete("runs", "smoke", "seeds-1", "results", "02_table.csv"), ["02_seeds, seed 1"]),
        (edit("runs", "smoke", "seeds-1", "results", "02_table.csv", old="seed", new="sown"), ["02_seeds, seed 1"]),
        (delete("runs", "smoke", "seeds-0-1", "notebooks", "02_seeds.ipynb"), ["02_seeds, seeds 0 1"]),
    ],
    ids=[
        "notebook",
        "training code",
        "a function",
        "a function of both",
        "a function of none",
        "profile",
        "data",
        "lost result",
        "foreign result",
        "lost notebook",
    ],
)
def test_what_a_change_touches_is_stale(project, change, stale):
    change(project)
    assert sorted(would_run(project)) == sorted(stale)


def test_prose_and_figures_are_renewed_without_running_a_notebook(project):
    figure = project.run_folder / "figures" / "02_figure.png"
    executed = project.run_folder / "notebooks" / "02_seeds.ipynb"
    before, table = figure.read_bytes(), (project.run_folder / "results" / "02_table.csv").stat().st_mtime_ns
    edit("notebooks", "02_seeds.ipynb", old="What the figure shows.", new="What is to be seen.")(project)
    edit("unlearnlib", "figures", "drawings.py", old="WIDTH = 2.0", new="WIDTH = 3.0")(project)
    assert would_run(project) == []
    code, output = project.run("--dry-run")
    drawn = re.findall(r"^would draw +(.*)$", output, flags=re.M)
    assert sorted(drawn) == [f"{name}: 02_figure" for name in sorted(SEEDED)], output
    code, output = project.run("--why", "02")
    for name in SEEDED:
        expected = f"{name}: up to date\n  its figure would be drawn anew: 02_figure\n  its text would be renewed\n"
        assert expected in output, output
    code, output = project.run()
    assert (code, project.trace()) == (0, []), output
    assert "3 notebooks have their figures and text anew" in output
    assert figure.read_bytes() != before and Image.open(figure).width > Image.open(io.BytesIO(before)).width
    content = json.loads(executed.read_text())
    shown = [
        o["data"]["image/png"]
        for c in content["cells"]
        for o in c.get("outputs", ())
        if "image/png" in o.get("data", {})
    ]
    picture = (project.run_folder / "drawn" / "02_figure.png").read_bytes()
    assert [base64.b64decode("".join(one)) for one in shown] == [picture]
    assert Image.open(io.BytesIO(picture)).width < Image.open(figure).width, "of fewer dots"
    assert "What is to be seen." in ["".join(cell["source"]) for cell in content["cells"]]
    assert (project.run_folder / "results" / "02_table.csv").stat().st_mtime_ns == table
    assert would_run(project) == [] and project.run()[1].startswith("all 6 jobs are up to date")


def test_prose_comes_in_around_what_was_injected():
    def cells(*words):
        return [{"cell_type": "code" if word.islower() else "markdown", "source": word} for word in words]

    executed = cells("OLD", "parameters", "injected", "a", "OLD", "b", "b")
    found = drawing.with_prose_of(cells("parameters", "NEW", "a", "b", "NEWER", "b"), executed)
    assert [cell["source"] for cell in found] == ["parameters", "NEW", "injected", "a", "b", "NEWER", "b"]


def test_a_file_beside_a_notebook_counts_with_what_it_uses(project):
    (project.root / "notebooks" / "mine.py").write_text("import other\n\ndef number():\n    return other.steps()\n")
    (project.root / "notebooks" / "other.py").write_text(
        "from unlearnlib import recipe\n\n\ndef steps():\n    return recipe.STEPS\n"
    )
    edit("notebooks", "01_plain.ipynb", old="print('one')", new="import mine; print(mine.number())")(project)
    assert project.run()[0] == 0 and project.trace() == ["01"]
    assert would_run(project) == []
    edit("notebooks", "other.py", old="recipe.STEPS", new="recipe.STEPS + 0")(project)
    assert would_run(project) == ["01_plain"]
    assert "files beside it, other.py: changed" in project.run("--why", "01")[1]
    assert project.run()[0] == 0 and project.trace() == ["01"]
    edit("unlearnlib", "recipe.py", old="1", new="2")(project)
    assert "01_plain" in would_run(project)


def test_a_file_that_a_parameter_names_counts_for_that_notebook_alone(project):
    (project.root / "data" / "own").mkdir()
    (project.root / "data" / "own" / "mine.txt").write_text("one\n")
    declared = 'profile: str = "smoke"'
    edit(
        "notebooks",
        "01_plain.ipynb",
        old=json.dumps(declared)[1:-1],
        new=json.dumps(f'{declared}\nfile: str = "data/own/mine.txt"')[1:-1],
    )(project)
    assert project.run()[0] == 0 and would_run(project) == []
    (project.root / "data" / "own" / "mine.txt").write_text("two\n")
    assert would_run(project) == ["01_plain"]
    assert "files it names, data/own/mine.txt: changed" in project.run("--why", "01")[1]


def test_a_figure_drawn_anew_without_a_change_is_the_same_byte_by_byte(project):
    figure = project.run_folder / "figures" / "02_figure.png"
    before = figure.read_bytes()
    record = project.run_folder / "drawn" / "02_figure.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "code": "of another day"}))
    code, output = project.run()
    assert code == 0 and "1 notebooks have" in output, output
    assert figure.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (lambda project: None, []),
        (
            edit("notebooks", "02_seeds.ipynb", old="no such luck", new="bad luck"),
            ["a cell is new: if os.environ", "a cell is gone: if os.environ"],
        ),
        (
            edit("unlearnlib", "experiment", "jobs.py", old="weights of", new="parameters of"),
            ["code, unlearnlib.experiment.jobs:load: changed"],
        ),
        (edit("profiles", "smoke.yaml", old="epochs: 3", new="epochs: 4"), ["profile, epochs: 3 became 4"]),
        (edit("data", "facts.jsonl", old="{}", new="[]"), ["data, facts.jsonl: changed"]),
        (edit("unlearnlib", "recipe.py", old="1", new="2"), ["code, unlearnlib.recipe:STEPS: changed"]),
        (delete("runs", "smoke", "seeds-1", "results", "02_table.csv"), ["smoke/seeds-1/results/02_table.csv: gone"]),
    ],
    ids=["nothing", "cell", "code", "profile", "data", "training", "result"],
)
def test_why_says_what_changed_since_the_last_run(project, change, reasons):
    change(project)
    code, output = project.run("--why", "02")
    assert code == 0 and project.trace() == [], output
    assert ("would run again" in output) == bool(reasons), output
    assert all(f"\n  {reason}" in output for reason in reasons), output


def test_clean_says_how_much_and_deletes_by_kind(project):
    cached = project.root / "runs" / "smoke" / "cache"
    kept = sorted(path.name for path in cached.glob("finetuned-*"))
    tables = sorted(path for path in (cached / "tables").iterdir() if path.is_file())
    assert (len(kept), len(tables)) == (2, 4), "each seed's model, and its table with its key"
    (cached / "tables" / "seen-of-another-day.parquet").write_bytes(b"")
    for name in ("finetuned-of-another-day", "finetuned-of-another-day.partial"):
        (cached / name).mkdir()
        (cached / name / "weights.txt").write_text("x" * 300_000)
    code, output = project.run("--clean")
    assert code == 0 and "stale 0.6 MB" in output and "--clean stale" in output, output
    code, output = project.run("--clean", "stale")
    assert (code, output.splitlines()[-1]) == (2, "run_all.sh: delete 3 entries, 0.6 MB? say so with --yes")
    code, output = project.run("--clean", "stale", "--yes")
    assert code == 0 and output.endswith("deleted 0.6 MB\n"), output
    assert sorted(path.name for path in cached.glob("finetuned-*")) == kept
    assert sorted(path for path in (cached / "tables").iterdir() if path.is_file()) == tables
    assert would_run(project) == [], "nothing that is up to date was touched"
    recipe = project.root / "unlearnlib" / "experiment" / "jobs.py"
    whole = recipe.read_text()
    recipe.write_text(whole + "\ndef half(:\n")
    assert project.run("--clean", "stale", "--yes")[0] != 0, (
        "a file that cannot be read is no reason to delete anything"
    )
    recipe.write_text(whole)
    assert sorted(path.name for path in cached.glob("finetuned-*")) == kept and would_run(project) == []
    code, output = project.run("--clean", "models", "--yes")
    assert code == 0 and not list(cached.glob("finetuned-*")), output
    assert sorted(would_run(project)) == sorted(TRAININGS)
    code, output = project.run("--clean", "all", "--yes")
    assert code == 0 and not (project.root / "runs" / "smoke").exists()
    code, output = project.run("--clean", "stail")
    assert (code, output) == (2, "run_all.sh: --clean 'stail': did you mean 'stale'?\n")


def test_a_sweep_runs_a_profile_with_other_values_and_shares_the_cache(project):
    words = ("--set", "epochs=4,3", "--only", "02")
    code, output = project.run(*words, "--dry-run")
    assert code == 0 and "smoke@epochs=4:\n" in output and "smoke:\n" in output, output
    assert "5 of 5 jobs would run" in output and "0 of 5 jobs would run" in output
    code, output = project.run(*words)
    assert code == 0 and "smoke@epochs=4 (1 of 2)" in output, output
    shared = [one for one in project.trace() if one.startswith("02")]
    assert shared == ["02 [0, 1]", "02 [0]", "02 [1]"]
    assert (project.root / "runs" / "smoke@epochs=4" / "seeds-0-1" / "results" / "02_table.csv").is_file()
    assert not (project.root / "runs" / "smoke@epochs=4" / "cache").exists()
    assert would_run(project) == [] and would_run(project, "--set", "epochs=4", "--only", "02") == []
    code, output = project.run("--collect", "02_table")
    assert (code, output) == (0, "written: runs/smoke/collected/02_table.csv\n")
    assert (
        (project.root / "runs" / "smoke" / "collected" / "02_table.csv").read_text().startswith("profile,epochs,seed")
    )
    cached = project.root / "runs" / "smoke" / "cache"
    kept = sorted(cached.glob("finetuned-*"))
    for words in ((), ("--profile", "smoke@epochs=4")):
        assert project.run(*words, "--clean", "stale", "--yes")[0] == 0
    assert sorted(cached.glob("finetuned-*")) == kept and would_run(project, "--set", "epochs=4", "--only", "02") == []
    code, output = project.run("--set", "epoch=4")
    assert (code, output) == (2, "run_all.sh: a profile has no key 'epoch': did you mean 'epochs'?\n")
    code, output = project.run("--set", "epochs=4", "--publish")
    assert (code, output) == (
        2, "run_all.sh: --publish copies the run of a profile as it stands in its file: leave out --set\n"
    )  # fmt: skip
    assert project.run("--clean", "all", "--yes")[0] == 0
    assert [path.name for path in (project.root / "runs").iterdir() if path.is_dir()] == []


def test_a_stale_notebook_is_run_alone_and_leaves_no_old_results(project):
    (project.run_folder / "results" / "01_old.csv").write_text("a\n1\n")
    edit("notebooks", "01_plain.ipynb", old="print('one')", new="print('1')")(project)
    code, output = project.run()
    assert (code, project.trace()) == (0, ["01"]), output
    assert row(output, "02_seeds") == (0, 3, 0, 0)
    assert not (project.run_folder / "results" / "01_old.csv").exists()
    assert would_run(project) == []


def test_what_fails_is_named_and_kept_and_the_rest_goes_on(project):
    failed = project.root / "runs" / "smoke" / "seeds-1" / "notebooks" / "02_seeds.ipynb"
    breaks = {"TEST_FAIL": "[1]", "TEST_DIE": "[2]", "TEST_FAIL_TRAINING": "3"}
    code, output = project.run("--force", "--seeds", "0-3", "--only", "02", **breaks)
    assert code == 1
    assert row(output, "02_seeds") == (1, 0, 2, 2)
    assert row(output, "train finetuned") == (3, 0, 1, 0)
    assert "FAILED 02_seeds, seed 1: cell 3 of 7: ValueError: no such luck\n" in output
    assert "look in runs/smoke/seeds-1/notebooks/02_seeds.ipynb" in output
    assert "FAILED 02_seeds, seed 2: the kernel died in cell 4 of 7: probably out of memory" in output
    assert "FAILED train finetuned, seed 3: ArithmeticError: it does not add up\n" in output
    assert "look in runs/smoke/logs/train-finetuned-seeds-3.log" in output
    assert "no such luck" in failed.read_text()
    assert project.trace() == ["02 [0]", "02 [1]", "02 [2]", "train 2"]
    code, output = project.run("--seeds", "0,1,2", "--only", "02")
    assert (code, project.trace()) == (0, ["02 [0, 1, 2]", "02 [1]", "02 [2]"]), output


def test_a_place_that_cannot_be_written_to_is_one_line(project):
    (project.root / "plain").write_text("a file where a folder is wanted")
    code, output = project.run(UNLEARNLIB_RUNS=str(project.root / "plain"))
    assert (code, len(output.splitlines())) == (2, 1), output
    assert output.startswith("run_all.sh: cannot write to plain (") and "UNLEARNLIB_RUNS" in output


def test_killed_engine_leaves_no_writer_and_nothing_to_unlock(project):
    beat = project.root / "beat.txt"
    edit("notebooks", "02_seeds.ipynb", old="no such luck", new="bad luck")(project)
    engine = project.start("--profile", "smoke", "--jobs", "2", TEST_HANG="[1]")
    wait_for(lambda: beat.exists() and any(project.root.glob("runs/smoke/done/02_seeds-seeds-0@*")))
    kernel = psutil.Process(int(beat.read_text()))
    code, output = project.run()
    assert (code, output) == (2, "run_all.sh: another run is writing to runs: wait for it, or stop it first\n")
    # one of those that a kill leaves behind may not notice it: this one never does
    deaf = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env=project.environment(UNLEARNLIB_ENGINE=str((project.root / "runs").resolve())),
    )
    project.trace()
    engine.kill()
    engine.communicate()
    code, output = project.run()
    assert (code, project.trace()) == (0, ["02 [0, 1]", "02 [1]"]), output
    assert deaf.wait(timeout=10) == -signal.SIGKILL
    assert not kernel.is_running()
    assert row(output, "02_seeds") == (2, 1, 0, 0)


def test_jobs_end_with_a_killed_engine_by_themselves(project):
    beat = project.root / "beat.txt"
    engine = project.start("--profile", "smoke", "--only", "02", "--force", TEST_HANG="[1]")
    wait_for(beat.exists)
    writers = [process for process in psutil.Process(engine.pid).children(recursive=True)]
    assert len(writers) >= 3, "snakemake, the job and its kernel"
    engine.kill()
    engine.communicate()
    assert not psutil.wait_procs(writers, timeout=20)[1]


def test_ctrl_c_ends_everything_promptly_and_says_how_to_go_on(project):
    beat = project.root / "beat.txt"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as it is inherited by what a shell runs in the background
    engine = project.start("--profile", "smoke", "--only", "02", "--force", TEST_HANG="[1]")
    signal.signal(signal.SIGINT, before)
    wait_for(beat.exists)
    writers = psutil.Process(engine.pid).children(recursive=True)
    started = time.monotonic()
    engine.send_signal(signal.SIGINT)
    output = engine.communicate(timeout=30)[0]
    assert engine.returncode == 130
    assert time.monotonic() - started < 10
    assert output.endswith("stopped; what is finished is kept: start the same command again to go on from there\n")
    assert not [process for process in writers if process.is_running()]


def test_the_same_graph_is_there_for_plain_snakemake(project):
    edit("notebooks", "01_plain.ipynb", old="print('one')", new="print('1')")(project)
    words = ["--dry-run", "--rerun-triggers", "mtime", "--config", "profile=smoke", "seeds=0-1"]
    process = project.start(*words, module="snakemake")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert re.findall(r"^(?:local)?rule (\w+):|^    output: (\S+)@", output, flags=re.M)[:2] == [
        ("notebook", ""),
        ("", "runs/smoke/done/01_plain"),
    ]
    assert re.search(r"^total +2$", output, flags=re.M), "the stale notebook, and the rule that asks for everything"


def test_parameters_are_checked_before_any_kernel_starts(project):
    cells = [("parameters", 'profile: str = "smoke"\nseeds: str = "all"'), *NOTEBOOKS["02_seeds"][1:]]
    project.write("02_seeds", cells)
    code, output = project.run()
    assert (code, output) == (2, "run_all.sh: 02_seeds.ipynb: seeds must be str, such as 'all', not [0]\n")
    assert project.trace() == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-p", "sedes", "[0]"], "02_seeds.ipynb has no parameter 'sedes': did you mean 'seeds'?\n"),
        (["-p", "seeds", "abc"], "02_seeds.ipynb: seeds must be list[int], such as [0, 1], not 'abc'\n"),
        (["-p", "seeds", "2e-4"], "02_seeds.ipynb: seeds must be list[int], such as [0, 1], not 0.0002\n"),
        (["-y", "seeds: [a]"], "02_seeds.ipynb: seeds must be list[int], such as [0, 1], not ['a']\n"),
    ],
)
def test_a_notebook_run_alone_checks_its_parameters(first, tmp_path, words, line):
    target = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "unlearnlib.engine.execute", "notebooks/02_seeds.ipynb", str(target), *words]
    root = first[0].root
    result = subprocess.run(command, cwd=root, env=first[0].environment(), capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (2, line)
    assert not target.exists()


def test_a_long_name_of_the_temporary_folder_hinders_no_kernel(first, tmp_path):
    """Neither through /tmp nor, where that cannot be written to, through ports."""
    temporary = tmp_path / ("x" * 90)
    temporary.mkdir()
    target = tmp_path / "out.ipynb"
    for without in ("", "execute._short_folder = lambda: None; "):
        code = f"from unlearnlib.engine import execute; import sys; {without}sys.exit(execute.main(sys.argv[1:]))"
        command = [sys.executable, "-c", code, "notebooks/01_plain.ipynb", str(target)]
        environment = first[0].environment(TMPDIR=str(temporary))
        result = subprocess.run(command, cwd=first[0].root, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        # On a busy machine a kernel may be told to end while it is ending already, and says that.
        remarks = [line for line in result.stderr.splitlines() if "KeyboardInterrupt caught in kernel" not in line]
        assert without or not remarks, "ipykernel remarks on the ports"
        assert target.exists() and not list(temporary.iterdir())
        target.unlink()
    first[0].trace()


def test_publishing_is_normalised_and_repeats_without_a_difference(project):
    code, output = project.run("--publish")
    assert code == 0, output
    path = project.root / "notebooks" / "01_plain.ipynb"
    published = path.read_text()
    content = json.loads(published)
    assert [cell.get("execution_count") for cell in content["cells"]] == [None, 1, 2, 3, 4]
    assert [cell["metadata"] for cell in content["cells"]] == [{}, {"tags": ["parameters"]}, {}, {}, {}]
    assert content["cells"][3]["outputs"] == [{"name": "stdout", "output_type": "stream", "text": ["one\n", "two\n"]}]
    assert content["cells"][4]["outputs"][0]["data"]["text/plain"] == ["<object at 0x0>"]
    assert (project.root / "results" / "02_table.csv").exists()
    (project.root / "results" / "02_gone.csv").write_text("of an earlier version\n")
    project.trace()
    code, output = project.run("--publish", "--force")
    assert code == 0, output
    assert project.trace() == ["01", "02 [0, 1]", "02 [0]", "02 [1]"], "published notebooks are not stale sources"
    assert path.read_text() == published
    assert not (project.root / "results" / "02_gone.csv").exists()


def test_another_profile_is_published_beside_and_leaves_the_notebooks_alone(project):
    text = (project.root / "profiles" / "smoke.yaml").read_text()
    larger = text.replace("name: smoke", "name: larger").replace("seeds: [0, 1]\n", "seeds: [2]\n", 1)
    larger = re.sub(r"notebooks: \[\]", 'notebooks: ["02"]', larger)
    (project.root / "profiles" / "larger.yaml").write_text(larger)
    before = {path.name: path.read_bytes() for path in (project.root / "notebooks").glob("*.ipynb")}
    code, output = project.run("--profile", "larger", "--publish")
    assert code == 0, output
    assert output.splitlines()[-1] == "published 2 files to results/larger and figures/larger"
    assert (project.root / "results" / "larger" / "02_table.csv").read_text().startswith("seed,value\n2,")
    assert [path.name for path in (project.root / "figures").rglob("*.png")] == ["02_figure.png"]
    assert {path.name: path.read_bytes() for path in (project.root / "notebooks").glob("*.ipynb")} == before
    assert not list((project.root / "results").glob("*.csv"))
    assert project.trace() == ["02 [2]", "train 2"], "the notebooks that the profile names, and what they read"
    (project.root / "profiles" / "larger.yaml").write_text(larger.replace('["02"]', '["07"]'))
    assert project.run("--profile", "larger") == (
        2, "run_all.sh: profile larger names a notebook '07': did you mean '02'?\n"
    )  # fmt: skip
    (project.root / "profiles" / "larger.yaml").write_text(larger)
    code, output = project.run("--profile", "larger", "--seeds", "0", "--publish")
    assert (code, output) == (
        2, "run_all.sh: --publish takes the run of all seeds of profile larger, [2]: leave out --seeds\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--seeds", "0"],
            "run_all.sh: --publish takes the run of the notebooks' own defaults, but 02_seeds has seeds = [0, 1]",
        ),
        (["--only", "02"], "run_all.sh: --publish copies a whole run: leave out --only"),
    ],
)
def test_only_the_canonical_run_is_published(project, words, line):
    code, output = project.run("--publish", *words)
    assert code == 2
    assert output.startswith(line)
    assert not (project.root / "results").exists()


def test_an_incomplete_run_or_a_path_of_this_machine_is_not_published(project):
    before = (project.root / "notebooks" / "02_seeds.ipynb").read_text()
    project.write("01_plain", [*NOTEBOOKS["01_plain"][:2], ("code", "raise SystemError('no')")])
    code, output = project.run("--publish")
    assert code == 1
    assert output.endswith("not published: the run is not complete\n")
    project.write("01_plain", [*NOTEBOOKS["01_plain"][:2], ("code", "import os\nos.getcwd()")])
    code, output = project.run("--publish")
    assert code == 1
    assert output.endswith(
        f"not published: an output in 01_plain.ipynb names {project.root}, a folder of this machine\n"
    )
    assert (project.root / "notebooks" / "02_seeds.ipynb").read_text() == before


def test_a_job_is_known_again_by_the_name_of_its_stamp():
    known = {
        "ask halves part 2, seed 0": Job("small", (0,), kind="halves", share=2),
        "ask left-out, seed 1": Job("small", (1,), kind="left-out"),
        "train late-and-retrained, seed 10": Job("small", (10,), kind="late-and-retrained"),
        "10_attacks, seeds 0 1": Job("small", (0, 1), notebook="10_attacks"),
        "00_overview": Job("small", (), notebook="00_overview"),
    }
    assert [str(job) for job in known.values()] == list(known)
    for job in known.values():
        found = plan.from_stamp("small", Path(f"{job.name}@0123abcd.json"))
        assert found == dataclasses.replace(job, known="0123abcd")


def test_time_left_counts_cores_and_the_longest_job():
    short, long = Job("smoke", (0,), notebook="02_seeds"), Job("smoke", (0,), kind="finetuned")
    more = [Job("smoke", (seed,), notebook="02_seeds") for seed in range(1, 5)]
    assert progress.seconds_left([short], {}, {}, cores=2) is None
    assert progress.seconds_left(more, {}, {short: 10.0}, cores=2) == 20.0
    assert progress.seconds_left(more[:2], {long: 5.0}, {short: 10.0, long: 60.0}, cores=8) == 55.0
    found_at_once, slow = {long: 1.0}, {short: 299.0}
    others = [Job("smoke", (seed,), notebook="03_more") for seed in range(3)]
    assert progress.seconds_left(others, slow, found_at_once, cores=1) == 1.0 + 3 * 150.0, "what runs says more"


def test_a_terminal_shows_the_state_on_top_and_renews_it():
    class Terminal:
        text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    terminal = Terminal()
    display = progress.Display(terminal)
    display.renew("1 of 3 jobs done", ["02_seeds, seed 1: cell 2 of 6"])
    display.event("2 of 3 jobs done", "done    02_seeds, seed 1")
    assert terminal.text == (
        "1 of 3 jobs done\n  02_seeds, seed 1: cell 2 of 6\n\033[2F\033[Jdone    02_seeds, seed 1\n"
    )
