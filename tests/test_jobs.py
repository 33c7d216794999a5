"""Which models a job trains, and that a model trained without points never depends on how the job is called."""

import dataclasses
import itertools

import pytest

from unlearnlib import jobs, profiles, subsets
from unlearnlib.errors import UserError

SMOKE = profiles.load("smoke")


def test_the_halves_are_shared_out_among_the_jobs():
    small = profiles.load("small")
    forget = [record.id for record in jobs.split_of(small, 0).forget]
    parts = [jobs.models(small, kind, 0) for kind in jobs.HALVES]
    together = {name: removed for part in parts for name, removed in part.items()}
    assert len(together) == sum(map(len, parts)) == small.halves
    expected = subsets.random_halves(forget, small.halves, 0)
    assert [together[f"half {number}"] for number in range(small.halves)] == expected


def test_left_out_points_and_smaller_sets_are_nested():
    small = profiles.load("small")
    points = list(jobs.models(small, "left-out", 1).values())
    assert len(points) == small.left_out and all(len(removed) == 1 for removed in points)
    sets = list(jobs.models(small, "smaller-sets", 1).values())
    assert [len(removed) for removed in sets] == small.forget_sizes
    assert all(set(one) < set(other) for one, other in itertools.pairwise(sets))
    # The first point that is left out is the smallest of these sets: one model, trained once.
    keys = [
        jobs.training_key(small, kind, 1, removed)
        for kind, removed in (("left-out", points[0]), ("smaller-sets", sets[0]))
    ]
    assert keys[0] == keys[1]


def test_ground_truth_is_for_few_seeds():
    assert jobs.seeds_of("small", "finetuned", [0, 3]) == (0, 3)
    assert jobs.seeds_of("small", "halves-2", [0, 1, 3]) == (0,)
    assert jobs.seeds_of("small", "left-out", [1, 3]) == (1,)


def test_models_are_trained_once_and_without_their_points(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNLIB_RUNS", str(tmp_path))
    tiny = dataclasses.replace(SMOKE, epochs=1, neighbours=1)
    folders = jobs.train(tiny, "left-out", 0)
    assert list(folders) == list(jobs.models(tiny, "left-out", 0)) and len(set(folders.values())) == SMOKE.left_out
    written = {folder: (folder / "weights.safetensors").stat().st_mtime_ns for folder in folders.values()}
    assert not list(tmp_path.rglob("optimizer.safetensors")), "their moments would only fill the disk"
    smaller = jobs.model_folder(tiny, "smaller-sets", 0, "without 1")
    assert smaller == next(iter(folders.values()))
    # An interrupted job goes on where it stopped: what is there is not trained again.
    last = list(folders.values())[-1]
    (last / "weights.safetensors").unlink()
    last.rename(last.with_name(last.name + ".partial"))
    assert jobs.train(tiny, "left-out", 0) == folders
    after = {folder: (folder / "weights.safetensors").stat().st_mtime_ns for folder in folders.values()}
    assert [folder for folder in written if after[folder] != written[folder]] == [last]


def test_what_jobs_refuse():
    with pytest.raises(UserError, match=r"no kind of model 'halves': did you mean 'halves-"):
        jobs.models(SMOKE, "halves", 0)
    with pytest.raises(UserError, match="no model 'without 3' of the kind 'smaller-sets'"):
        jobs.model_folder(SMOKE, "smaller-sets", 0, "without 3")
    with pytest.raises(UserError, match="forget_sizes of profile smoke asks for 8 points: give fewer than 8"):
        jobs.models(dataclasses.replace(SMOKE, forget_sizes=[8]), "smaller-sets", 0)
