"""Every model is trained once; what is many is asked and let go; a key holds what trains a model and nothing else."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from unlearnlib.core import definitions, profiles
from unlearnlib.core.errors import UserError
from unlearnlib.experiment import jobs, setting, trained
from unlearnlib.experiment.measured import Experiment
from unlearnlib.measures import evaluation

SMOKE = profiles.load("smoke")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A profile that trains in a second, with a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLEARNLIB_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield dataclasses.replace(SMOKE, epochs=2, neighbours=1)


def counted(monkeypatch):
    """Count the trainings from now on: a list of the models' names."""
    names, train = [], trained._train
    monkeypatch.setattr(trained, "_train", lambda *given: names.append(given[1].name) or train(*given))
    return names


def test_models_that_are_kept_are_trained_once(tiny, monkeypatch):
    names = counted(monkeypatch)
    models = setting.smaller_sets(tiny, 0)
    assert jobs.do(tiny, "smaller-sets", 0) == [model.name for model in models]
    folders = [trained.folder(tiny, model) for model in models]
    assert len(names) == len(set(folders)) == len(SMOKE.forget_sizes)
    assert all(sorted(path.name for path in one.iterdir()) == ["key.json", "weights.safetensors"] for one in folders)
    # An interrupted job goes on where it stopped: what is there is not trained again.
    (folders[-1] / "weights.safetensors").unlink()
    folders[-1].rename(folders[-1].with_name(folders[-1].name + ".partial"))
    jobs.do(tiny, "smaller-sets", 0)
    assert names[2:] == ["without 4"]


def test_of_models_that_are_many_the_answers_are_kept(tiny, monkeypatch):
    names = counted(monkeypatch)
    monkeypatch.setattr(jobs, "MOST", 1)
    assert jobs.do(tiny, "halves", 0, share=1) == names == ["half 0"]
    root = Path(os.environ["UNLEARNLIB_RUNS"]) / "smoke" / "cache"
    known = {path.name for path in root.glob("*/weights.safetensors")}
    assert not list(root.glob("*.partial")) and len(known) <= 1
    experiment, half = Experiment(tiny, 0), setting.halves(tiny, 0)[0]
    found = experiment.answers(half, ["forget", "paraphrase#0", "heldout"])
    jobs.do(tiny, "halves", 0, share=1)
    assert len(names) == 1, "what was asked is not asked, and nothing trained, again"
    # The same model, kept because somebody wants its weights, says the same.
    model = experiment.load(half)
    by_hand = evaluation.answered(model, {"forget": experiment.sets["forget"]}, tiny.evaluation_batch)
    mine = found[found["set"] == "forget"].reset_index(drop=True)
    assert all(np.array_equal(one, other) for one, other in zip(mine["choices"], by_hand["choices"], strict=True))
    assert mine["text_nll"].tolist() == by_hand["text_nll"].tolist()


def test_what_is_kept_of_a_fine_tuned_model(tiny):
    folder = trained.folder(tiny, setting.finetuned(tiny, 0))
    names = {path.name for path in folder.iterdir()}
    assert "optimizer.safetensors" not in names and {"second_moments.safetensors", "optimizer.json"} <= names
    last = folder / "weights-after-epoch-1.safetensors"
    assert last.stat().st_ino == (folder / "weights.safetensors").stat().st_ino, "one file under two names"
    other = trained.folder(tiny, setting.finetuned(tiny, 1))
    assert not list(other.glob("weights-after-epoch-*")), "no ground truth of influence: no TracIn"
    with pytest.raises(
        UserError, match=r"no weights after epoch 0 in finetuned-.*: they are kept for the seeds in halves_s"
    ):
        Experiment(tiny, 1).load("finetuned", epoch=0)
    retrained = {path.name for path in trained.folder(tiny, setting.retrained(tiny, 0)).iterdir()}
    assert retrained == {"key.json", "weights.safetensors", "optimizer.json", "log.csv", "schedule.json", "cost.json"}


def test_a_model_depends_on_what_trains_it_and_on_nothing_else():
    key = trained.training_key(SMOKE, setting.finetuned(SMOKE, 0))
    parts = definitions.of("unlearnlib.experiment.trained:_train", without=trained.KEYED)
    assert {
        "unlearnlib.training.loop:fine_tune",
        "unlearnlib.gradients.record:Recorder.add",
        "unlearnlib.experiment.trained:_states",
    } <= set(parts)
    strange = ("metrics", "resolve", "LAYERS", "unlearning", "experiment.many", "measures", "experiment.setting")
    assert not [name for name in parts if any(word in name for word in strange)]
    assert key["transformers"] and key["code"] == definitions.combined(parts)


def test_what_asks_models_is_part_of_a_job_that_asks_and_of_no_other(monkeypatch):
    monkeypatch.setattr(jobs, "MOST", 1)
    asks, trains = (jobs.parts("smoke", kind, 0, share) for kind, share in (("halves", 2), ("smaller-sets", 0)))
    assert list(asks["models"]) == ["half 1"] and "unlearnlib.measures.evaluation:answered" in asks["asked by"]
    assert "unlearnlib.measures.evaluation:METRICS" not in asks["asked by"], "metrics are computed on reading"
    assert "asked by" not in trains and len(trains["models"]) == len(SMOKE.forget_sizes)


def test_a_job_from_the_command_line(tiny, monkeypatch, capsys):
    monkeypatch.setattr(profiles, "load", lambda name: tiny)
    monkeypatch.setattr(jobs, "MOST", 1)
    assert jobs.main(["--seed", "0", "--kind", "halves", "--share", "1"]) == 0
    assert capsys.readouterr().out == "half 0\n"
    assert jobs.main(["--seed", "0", "--kind", "halfs"]) == 2
    assert capsys.readouterr().err.startswith("error: no kind of job 'halfs': did you mean 'halves'")
