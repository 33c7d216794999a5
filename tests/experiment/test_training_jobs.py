"""Which models a job trains, and that a model trained without points never depends on how the job is called."""

import dataclasses
import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from unlearnlib.core import definitions, profiles
from unlearnlib.core.errors import UserError
from unlearnlib.data import subsets
from unlearnlib.experiment import training_jobs
from unlearnlib.experiment.measured import Experiment
from unlearnlib.measures import evaluation

SMOKE = profiles.load("smoke")


def test_the_halves_are_shared_out_among_the_jobs():
    small = profiles.load("small")
    forget = [record.id for record in training_jobs.split_of(small, 0).forget]
    parts = [training_jobs.models(small, kind, 0) for kind in training_jobs.HALVES]
    together = {name: removed for part in parts for name, removed in part.items()}
    assert len(together) == sum(map(len, parts)) == small.halves
    expected = subsets.random_halves(forget, small.halves, 0)
    assert [together[f"half {number}"] for number in range(small.halves)] == expected


def test_left_out_points_and_smaller_sets_are_nested():
    small = profiles.load("small")
    points = list(training_jobs.models(small, "left-out", 1).values())
    assert len(points) == small.left_out and all(len(removed) == 1 for removed in points)
    sets = list(training_jobs.models(small, "smaller-sets", 1).values())
    assert [len(removed) for removed in sets] == small.forget_sizes
    assert all(set(one) < set(other) for one, other in itertools.pairwise(sets))
    # The first point that is left out is the smallest of these sets: one model, trained once.
    keys = [
        training_jobs.training_key(small, kind, 1, removed)
        for kind, removed in (("left-out", points[0]), ("smaller-sets", sets[0]))
    ]
    assert keys[0] == keys[1]


def test_ground_truth_is_for_few_seeds():
    assert training_jobs.seeds_of("small", "finetuned", [0, 3]) == (0, 3)
    assert training_jobs.seeds_of("small", "halves-2", [0, 1, 3]) == (0,)
    assert training_jobs.seeds_of("small", "left-out", [1, 3]) == (1,)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A profile that trains in a second, with a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLEARNLIB_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield dataclasses.replace(SMOKE, epochs=2, neighbours=1)


def counted(monkeypatch):
    """Count the trainings from now on: a list of their titles."""
    trained, train = [], training_jobs._train
    monkeypatch.setattr(training_jobs, "_train", lambda *given: trained.append(given[4]) or train(*given))
    return trained


def test_models_that_are_kept_are_trained_once(tiny, monkeypatch):
    trained = counted(monkeypatch)
    assert training_jobs.train(tiny, "smaller-sets", 0) == list(training_jobs.models(tiny, "smaller-sets", 0))
    folders = [
        training_jobs.model_folder(tiny, "smaller-sets", 0, name)
        for name in training_jobs.models(tiny, "smaller-sets", 0)
    ]
    assert len(trained) == len(set(folders)) == len(SMOKE.forget_sizes)
    assert all(sorted(path.name for path in one.iterdir()) == ["key.json", "weights.safetensors"] for one in folders)
    # An interrupted job goes on where it stopped: what is there is not trained again.
    (folders[-1] / "weights.safetensors").unlink()
    folders[-1].rename(folders[-1].with_name(folders[-1].name + ".partial"))
    training_jobs.train(tiny, "smaller-sets", 0)
    assert trained[2:] == ["smaller-sets, seed 0: without 4"]


def test_of_models_that_are_many_the_answers_are_kept(tiny, monkeypatch):
    trained = counted(monkeypatch)
    training_jobs.train(tiny, "halves-1", 0)
    assert trained == ["halves-1, seed 0: half 0"]
    root = Path(os.environ["UNLEARNLIB_RUNS"]) / "smoke" / "cache"
    known = {path.name for path in root.glob("*/weights.safetensors")}
    assert not list(root.glob("*.partial")) and len(known) <= 1
    experiment = Experiment(tiny, 0)
    found = experiment.answers_without("halves-1", "half 0", ["forget", "paraphrase#0", "heldout"])
    training_jobs.train(tiny, "halves-1", 0)
    assert len(trained) == 1, "what was asked is not asked, and nothing trained, again"
    # The same model, kept because somebody wants its weights, says the same.
    model = experiment.load("halves-1", "half 0")
    by_hand = evaluation.answered(model, {"forget": experiment.sets["forget"]}, tiny.evaluation_batch)
    mine = found[found["set"] == "forget"].reset_index(drop=True)
    assert all(np.array_equal(one, other) for one, other in zip(mine["choices"], by_hand["choices"], strict=True))
    assert mine["text_nll"].tolist() == by_hand["text_nll"].tolist()


def test_what_is_kept_of_a_fine_tuned_model(tiny):
    folder = training_jobs.model_folder(tiny, "finetuned", 0)
    names = {path.name for path in folder.iterdir()}
    assert "optimizer.safetensors" not in names and {"second_moments.safetensors", "optimizer.json"} <= names
    last = folder / "weights-after-epoch-1.safetensors"
    assert last.stat().st_ino == (folder / "weights.safetensors").stat().st_ino, "one file under two names"
    other = training_jobs.model_folder(tiny, "finetuned", 1)
    assert not list(other.glob("weights-after-epoch-*")), "no ground truth of influence: no TracIn"
    with pytest.raises(
        UserError, match=r"no weights after epoch 0 in finetuned-.*: they are kept for the seeds in halves_s"
    ):
        Experiment(tiny, 1).load("finetuned", epoch=0)
    retrained = {path.name for path in training_jobs.model_folder(tiny, "retrained", 0).iterdir()}
    assert retrained == {"key.json", "weights.safetensors", "optimizer.json", "log.csv", "schedule.json"}


def test_a_model_depends_on_what_trains_it_and_on_nothing_else():
    key = training_jobs.training_key(SMOKE, "finetuned", 0)
    parts = definitions.of("unlearnlib.experiment.training_jobs:_train", without=training_jobs.KEYED)
    assert {
        "unlearnlib.training.loop:fine_tune",
        "unlearnlib.gradients.record:Recorder.add",
        "unlearnlib.experiment.training_jobs:_states",
    } <= set(parts)
    assert not [
        name for name in parts if "metrics" in name or "resolve" in name or "LAYERS" in name or "unlearning" in name
    ]
    assert key["transformers"] and key["code"] == definitions.combined(parts)


def test_what_jobs_refuse():
    with pytest.raises(UserError, match=r"no kind of model 'halves': did you mean 'halves-"):
        training_jobs.models(SMOKE, "halves", 0)
    with pytest.raises(UserError, match="no model 'without 3' of the kind 'smaller-sets'"):
        training_jobs.model_folder(SMOKE, "smaller-sets", 0, "without 3")
    with pytest.raises(UserError, match="forget_sizes of profile smoke asks for 8 points: give fewer than 8"):
        training_jobs.models(dataclasses.replace(SMOKE, forget_sizes=[8]), "smaller-sets", 0)
