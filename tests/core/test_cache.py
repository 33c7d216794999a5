"""The cache computes once, whole or not at all; fingerprints see what matters and nothing else."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from unlearnlib.core import cache, fingerprint

FOLDER_JOB = """
import sys, time
from pathlib import Path
from unlearnlib.core import cache
root, seconds = Path(sys.argv[1]), float(sys.argv[2])
cache.PATIENCE = 0.2
def compute(folder):
    (folder / "half.txt").write_text("half")
    print("computing", flush=True)
    time.sleep(seconds)
    (folder / "whole.txt").write_text("whole")
print(cache.folder(root, "model", {"seed": 3}, compute))
"""


def start(root, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", FOLDER_JOB, str(root), str(seconds)], stdout=subprocess.PIPE, text=True
    )


def test_folder_is_computed_once_across_processes(tmp_path):
    outputs = [job.communicate(timeout=60)[0] for job in [start(tmp_path, 1) for _ in range(3)]]
    assert sum("computing\n" in output for output in outputs) == 1
    assert sum("waiting for another process that computes model-" in output for output in outputs) == 2
    assert len({output.splitlines()[-1] for output in outputs}) == 1


def test_killed_computation_leaves_nothing_that_counts_and_nothing_to_unlock(tmp_path):
    job = start(tmp_path, 60)
    assert job.stdout.readline() == "computing\n"
    os.kill(job.pid, signal.SIGKILL)
    job.communicate()
    assert list(tmp_path.rglob("half.txt")), "the kill came in the middle"

    def compute(folder):
        assert not any(folder.iterdir()), "the leftovers are gone"
        (folder / "whole.txt").write_text("whole")

    started = time.monotonic()
    done = cache.folder(tmp_path, "model", {"seed": 3}, compute)
    assert time.monotonic() - started < cache.PATIENCE
    assert sorted(path.name for path in done.iterdir()) == ["key.json", "whole.txt"]
    assert json.loads((done / "key.json").read_text()) == {"seed": 3}


def test_failed_computation_is_repeated_and_another_key_is_another_entry(tmp_path):
    def fail(folder):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cache.folder(tmp_path, "model", {"seed": 3}, fail)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["locks"]
    calls = []
    first = cache.folder(tmp_path, "model", {"seed": 3, "kind": "a"}, calls.append)
    assert cache.folder(tmp_path, "model", {"kind": "a", "seed": 3}, calls.append) == first
    assert cache.folder(tmp_path, "model", {"kind": "a", "seed": 4}, calls.append) != first
    assert len(calls) == 2


def test_table_is_the_same_first_and_later_and_heals(tmp_path, capsys):
    calls = []

    def compute():
        calls.append(1)
        return pd.DataFrame({"seed": [0, 1], "metric": ["nll", "nll"], "value": [0.1, float("nan")]})

    first = cache.table(tmp_path, "scores", {"seed": 0}, compute)
    pd.testing.assert_frame_equal(first, cache.table(tmp_path, "scores", {"seed": 0}, compute))
    assert len(calls) == 1
    path = next(tmp_path.glob("tables/scores-*.parquet"))
    path.write_bytes(path.read_bytes()[:-40])
    capsys.readouterr()
    pd.testing.assert_frame_equal(first, cache.table(tmp_path, "scores", {"seed": 0}, compute))
    assert len(calls) == 2
    assert capsys.readouterr().out == f"cache: {path.name} cannot be read and is computed anew\n"


def notebook_of(*cells, count=None, tags=()):
    return json.dumps(
        {
            "cells": [
                {
                    "cell_type": "code",
                    "source": cell,
                    "execution_count": count,
                    "outputs": [],
                    "metadata": {"tags": list(tags)},
                }
                for cell in cells
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )


def test_notebook_fingerprint_is_that_of_the_code(tmp_path):
    path = tmp_path / "n.ipynb"
    path.write_text(notebook_of("%matplotlib inline\nfrom pack import a", "1 + 1"))
    before = fingerprint.notebook(path)
    path.write_text(notebook_of("%matplotlib inline\nfrom pack import a", ["1 ", "+ 1"], count=7, tags=["parameters"]))
    assert fingerprint.notebook(path) == before
    content = json.loads(path.read_text())
    content["cells"].insert(1, {"cell_type": "markdown", "source": "Some prose.", "metadata": {}})
    path.write_text(json.dumps(content))
    assert fingerprint.notebook(path) == before, "prose decides nothing"
    path.write_text(notebook_of("%matplotlib inline\nfrom pack import a", "1 + 2"))
    assert fingerprint.notebook(path) != before


def test_files_fingerprint_is_of_content_not_place(tmp_path):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f.txt").write_text("one")
    assert fingerprint.files(tmp_path / "x") == fingerprint.files(tmp_path / "y")
    (tmp_path / "y" / "f.txt").write_text("two")
    assert fingerprint.files(tmp_path / "x") != fingerprint.files(tmp_path / "y")


@pytest.mark.parametrize("damage", [lambda content: content[:100], lambda content: b"no header at all", lambda _: b""])
def test_a_damaged_model_is_computed_anew(tmp_path, capsys, damage):
    def compute(folder):
        save_file({"weight": np.arange(64.0)}, folder / "weights.safetensors")

    folder = cache.folder(tmp_path, "model", {"seed": 0}, compute)
    weights = folder / "weights.safetensors"
    whole = weights.read_bytes()
    assert cache.folder(tmp_path, "model", {"seed": 0}, pytest.fail) == folder, "a whole one is not computed again"
    weights.write_bytes(damage(whole))
    assert cache.folder(tmp_path, "model", {"seed": 0}, compute) == folder
    assert weights.read_bytes() == whole and "is damaged and is computed anew" in capsys.readouterr().out


def test_what_is_borrowed_is_there_as_long_as_it_is_looked_at(tmp_path):
    calls = []

    def compute(folder):
        calls.append(folder)
        (folder / "whole.txt").write_text("whole")

    for _ in range(2):
        with cache.borrowed(tmp_path, "model", {"seed": 0}, compute) as folder:
            assert (folder / "whole.txt").read_text() == "whole"
        assert not folder.exists()
    kept = cache.folder(tmp_path, "model", {"seed": 0}, compute)
    with cache.borrowed(tmp_path, "model", {"seed": 0}, pytest.fail) as folder:
        assert folder == kept
    assert kept.exists() and len(calls) == 3


def test_two_who_borrow_do_not_write_into_one_folder(tmp_path):
    inside, most = [], []

    def compute(folder):
        inside.append(folder)
        most.append(len(inside))
        time.sleep(0.2)
        (folder / "whole.txt").write_text("whole")
        inside.remove(folder)

    def borrow():
        with cache.borrowed(tmp_path, "model", {"seed": 0}, compute) as folder:
            return (folder / "whole.txt").read_text()

    with ThreadPoolExecutor(2) as pool:
        assert [one.result() for one in [pool.submit(borrow), pool.submit(borrow)]] == ["whole", "whole"]
    assert most == [1, 1]


def test_what_was_asked_for_is_noted_once(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.USED, str(tmp_path / "used"))
    monkeypatch.setattr(cache, "_noted", set())
    for _ in range(2):
        folder = cache.folder(tmp_path / "cache", "model", {"seed": 0}, lambda folder: None)
        cache.table(tmp_path / "cache", "scores", {"seed": 0}, lambda: pd.DataFrame({"a": [1]}))
    (table,) = (tmp_path / "cache" / "tables").glob("*.parquet")
    assert (tmp_path / "used").read_text().split() == [folder.name, table.name]
