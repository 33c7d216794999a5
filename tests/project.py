"""A small project with this repository's engine and notebooks of its own, for tests to run, break and mend."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from unlearnlib.core.paths import ROOT

# Stands for the training jobs: writes what a notebook reads, and leaves a trace.
JOBS = """
import os
import pandas
from unlearnlib.core import cache, definitions, paths
from unlearnlib.core import fingerprint as of

USUAL = ("finetuned",)
KINDS = USUAL
ASKED = ()

def seeds_of(profile, kind, seeds):
    return seeds

def key(profile, kind, seed):
    return {"profile": profile, "kind": kind, "seed": seed, "code": definitions.code("unlearnlib.recipe")}

def shares(profile, kind):
    return (0,)

def parts(profile, kind, seed, share=0):
    return {"settings": key(profile, kind, seed), "code": definitions.of("unlearnlib.recipe")}

def load(profile, kind, seed):
    def compute(folder):
        trace(f"train {seed}")
        (folder / "weights.txt").write_text(f"weights of {seed}")
    root = paths.cache_folder(profile)
    cache.table(root, "seen", {"seed": seed}, lambda: pandas.DataFrame({"seed": [seed]}))
    return (cache.folder(root, kind, key(profile, kind, seed), compute) / "weights.txt").read_text()

def trace(text):
    with open(paths.ROOT / "trace.txt", "a") as file:
        file.write(text + "\\n")

def main(words):
    named = dict(zip(words[::2], words[1::2]))
    if os.environ.get("TEST_FAIL_TRAINING") == named["--seed"]:
        raise ArithmeticError("it does not add up")
    load(named["--profile"], named["--kind"], int(named["--seed"]))
"""

# Stands for the figures.
DRAWINGS = """
from matplotlib.figure import Figure

WIDTH = 2.0

def bars(heights, color):
    figure = Figure(figsize=(WIDTH, 2.0))
    figure.add_subplot().bar(range(len(heights)), [1 + height for height in heights], color=color)
    return figure
"""

NOTEBOOKS = {
    "01_plain": [
        ("markdown", "# A notebook without seeds"),
        ("parameters", 'profile: str = "smoke"'),
        ("code", "from unlearnlib.experiment import jobs\njobs.trace('01')"),
        ("code", "import sys\nprint('bar', file=sys.stderr)\nprint('one')\nprint('two')"),
        ("code", "object()"),
    ],
    "02_seeds": [
        ("parameters", 'profile: str = "smoke"\nseeds: list = [0, 1]'),
        (
            "code",
            "import os, time\nfrom unlearnlib.core import paths\n"
            "from unlearnlib.experiment import jobs\njobs.trace(f'02 {seeds}')",
        ),
        ("code", "if os.environ.get('TEST_FAIL') == str(seeds):\n    raise ValueError('no such luck')"),
        ("code", "if os.environ.get('TEST_DIE') == str(seeds):\n    os.kill(os.getpid(), 9)"),
        (
            "code",
            "while os.environ.get('TEST_HANG') == str(seeds):\n"
            "    (paths.ROOT / 'beat.partial').write_text(str(os.getpid()))\n"
            "    (paths.ROOT / 'beat.partial').replace(paths.ROOT / 'beat.txt')\n"
            "    time.sleep(0.05)",
        ),
        (
            "code",
            "rows = [f'{seed},{jobs.load(profile, \"finetuned\", seed)}\\n' for seed in seeds]\n"
            "folder = paths.run_folder(profile, seeds) / 'results'\n"
            "folder.mkdir(parents=True, exist_ok=True)\n"
            "(folder / '02_table.csv').write_text(''.join(['seed,value\\n', *rows]));",
        ),
        ("markdown", "What the figure shows."),
        (
            "code",
            "from unlearnlib.figures import saving\n"
            "from unlearnlib.figures import drawings\n"
            "saving.save_figure('02_figure', profile, seeds, drawings.bars, list(seeds), color='red')",
        ),
    ],
}


def notebook(cells: list[tuple[str, str]]) -> dict:
    """Return a notebook of (cell type, source); a cell of type "parameters" is code with that tag."""
    return {
        "cells": [
            {
                "cell_type": "markdown" if kind == "markdown" else "code",
                "id": f"cell-{index}",
                "metadata": {"tags": ["parameters"]} if kind == "parameters" else {},
                "source": source,
                **({} if kind == "markdown" else {"outputs": [], "execution_count": None}),
            }
            for index, (kind, source) in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"name": "elsewhere", "display_name": "Elsewhere", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


class Project:
    """A folder with the engine, two notebooks and one profile of two seeds."""

    def __init__(self, root: Path):
        self.root = root

    def make(self) -> "Project":
        skipped = shutil.ignore_patterns("__pycache__", "jobs.py")
        shutil.copytree(ROOT / "unlearnlib", self.root / "unlearnlib", ignore=skipped)
        shutil.copy(ROOT / "Snakefile", self.root)
        (self.root / "profiles").mkdir()
        shutil.copy(ROOT / "profiles" / "smoke.yaml", self.root / "profiles")
        (self.root / "data").mkdir()
        (self.root / "data" / "facts.jsonl").write_text("{}\n")
        (self.root / "unlearnlib" / "experiment" / "jobs.py").write_text(JOBS)
        needed = "NEEDS = {}\nWITHOUT = ()\nSUMMARIES = ()\nTOGETHER = 1\n"
        (self.root / "unlearnlib" / "engine" / "needs.py").write_text(needed)
        (self.root / "unlearnlib" / "recipe.py").write_text("STEPS = 1\n")
        (self.root / "unlearnlib" / "figures" / "drawings.py").write_text(DRAWINGS)
        (self.root / "notebooks").mkdir()
        for name, cells in NOTEBOOKS.items():
            self.write(name, cells)
        return self

    def write(self, name: str, cells: list[tuple[str, str]]) -> None:
        (self.root / "notebooks" / f"{name}.ipynb").write_text(json.dumps(notebook(cells)))

    def copy_to(self, root: Path) -> "Project":
        shutil.copytree(self.root, root)
        return Project(root)

    @property
    def run_folder(self) -> Path:
        return self.root / "runs" / "smoke" / "seeds-0-1"

    def environment(self, **more: str) -> dict[str, str]:
        left_out = {"UNLEARNLIB_RUNS", "UNLEARNLIB_ENGINE", "UNLEARNLIB_RUN"}
        kept = {name: value for name, value in os.environ.items() if name not in left_out}
        return {**kept, "PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **more}

    def start(self, *words: str, module: str = "unlearnlib.engine", **environment: str) -> subprocess.Popen:
        """Start the engine and return its process, with its output to read."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *words],
            cwd=self.root,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, module: str = "unlearnlib.engine", **environment: str) -> tuple[int, str]:
        """Run the engine to its end and return its exit code and all it printed."""
        process = self.start("--profile", "smoke", *words, module=module, **environment)
        output = process.communicate(timeout=240)[0]
        return process.returncode, output

    def trace(self) -> list[str]:
        """Return what has run since the last call, sorted."""
        path = self.root / "trace.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return sorted(lines)
