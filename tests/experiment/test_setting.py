"""Which models there are, what sets one apart from another, and that experiments of several settings share them."""

import dataclasses
import itertools

import pytest

from unlearnlib.core import profiles
from unlearnlib.core.errors import UserError
from unlearnlib.data import subsets
from unlearnlib.experiment import jobs, setting, trained
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.setting import ModelId

SMOKE, SMALL = profiles.load("smoke"), profiles.load("small")


def test_the_halves_are_shared_out_among_the_jobs():
    forget = [record.id for record in setting.split_of(SMALL, 0).forget]
    parts = [jobs.models(SMALL, "halves", 0, share) for share in jobs.shares("small", "halves")]
    together = {model.name: model.without for part in parts for model in part}
    assert len(parts) == 2 and len(together) == sum(map(len, parts)) == SMALL.halves
    expected = subsets.random_halves(forget, SMALL.halves, 0)
    assert [together[f"half {number}"] for number in range(SMALL.halves)] == expected
    assert list(jobs.shares("smoke", "halves")) == list(jobs.shares("small", "left-out")) == [0]
    assert len(jobs.models(SMALL, "left-out", 0)) == SMALL.left_out


def test_left_out_points_and_smaller_sets_are_nested():
    points, sets = setting.left_out(SMALL, 1), setting.smaller_sets(SMALL, 1)
    assert len(points) == SMALL.left_out and all(len(model.without) == 1 for model in points)
    assert [len(model.without) for model in sets] == SMALL.forget_sizes
    assert all(set(one.without) < set(other.without) for one, other in itertools.pairwise(sets))
    # The first point that is left out is the smallest of these sets: one model, trained once.
    assert points[0] == sets[0] and trained.training_key(SMALL, points[0]) == trained.training_key(SMALL, sets[0])
    assert points[0].passing and not sets[0].passing, "what some pass by, others keep"


def test_ground_truth_is_for_few_seeds():
    assert jobs.seeds_of("small", *jobs.USUAL, [0, 3]) == (0, 3)
    assert jobs.seeds_of("small", "halves", [0, 1, 3]) == (0,)
    assert jobs.seeds_of("small", "left-out", [1, 3]) == (1,)
    kept = [setting.finetuned(SMALL, seed).keep for seed in (0, 1, 3)]
    assert ["epochs" in keep for keep in kept] == [True, True, False]


def test_a_name_makes_no_other_model_and_everything_else_does():
    model = ModelId(3, ("a",), 4, False, ("log",), "one", True)
    assert model == dataclasses.replace(model, name="other", passing=False)
    changes = {"seed": 1, "without": ("b",), "order": None, "late": True, "keep": ()}
    assert all(model != dataclasses.replace(model, **{name: value}) for name, value in changes.items())
    usual = setting.finetuned(SMOKE, 0)
    keys = [trained.fingerprint(SMOKE, usual)]
    keys += [
        trained.fingerprint(SMOKE, dataclasses.replace(usual, **{name: value}))
        for name, value in {**changes, "without": usual.without or ("x",), "order": 7}.items()
    ]
    assert len(set(keys)) == len(keys)


def test_kinds_of_models_are_called_what_they_are():
    found = {kind: setting.models(SMALL, kind, 0) for kind in setting.KINDS}
    families = {kind: {model.family for model in models} for kind, models in found.items()}
    assert families == {
        **{kind: {kind} for kind in ("finetuned", "retrained", "late", "late-retrained")},
        **{kind: {"without"} for kind in ("halves", "left-out", "smaller-sets")},
        "originals": {"finetuned", "original"},
        "references": {"retrained", "without"},
    }
    passing = {kind for kind, models in found.items() if models[-1].passing}
    assert passing == set(jobs.ASKED)
    assert sorted(kind for kinds in jobs.KINDS.values() for kind in kinds) == sorted(setting.KINDS), "each in one job"


def test_what_settings_refuse():
    with pytest.raises(UserError, match="no kind of job 'finetuned': did you mean 'finetuned-and-retrained'"):
        jobs.models(SMOKE, "finetuned", 0)
    with pytest.raises(UserError, match="no part 3 of halves: give 1 to 2, or 0 for all"):
        jobs.models(SMALL, "halves", 0, 3)
    with pytest.raises(UserError, match="no kind of model 'halfs': did you mean 'halves'"):
        setting.models(SMOKE, "halfs", 0)
    with pytest.raises(UserError, match="no forget set of 3 points: choose from 1, 4"):
        setting.smaller(SMOKE, 0, 3)
    with pytest.raises(UserError, match="forget_sizes of profile smoke asks for 8 points: give fewer than 8"):
        setting.smaller_sets(dataclasses.replace(SMOKE, forget_sizes=[8]), 0)
    with pytest.raises(UserError, match="left_out of profile smoke asks for 9 points: give fewer than 8"):
        setting.left_out(dataclasses.replace(SMOKE, left_out=9), 0)
    with pytest.raises(UserError, match="there are 4 models 'halves': give one of"):
        Experiment("smoke", 0).model_id("halves")


def test_a_smaller_forget_set_shares_the_models_and_asks_nothing_twice(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNLIB_RUNS", str(tmp_path))
    whole = Experiment("smoke", 0)
    smaller = whole.beside(setting.smaller(SMOKE, 0, 4))
    assert smaller.finetuned is whole.finetuned and smaller.retrained is not whole.retrained
    assert len(smaller.split.forget) == 4 and len(smaller.split.remaining) == len(whole.split.forget) - 4
    assert smaller.target() > 0 and whole.target() > 0
    asked = sorted((tmp_path / "smoke" / "cache" / "tables").glob("answers-*.parquet"))
    assert len(asked) == 1, "the never-seen people, of the fine-tuned model, once"
    plain = Experiment("smoke", 0, setting.smaller(SMOKE, 0, 4))
    assert plain.target() == smaller.target() and plain.identity == smaller.identity
    # A second forget set finds no table of the first, nor of the whole.
    one = whole.beside(setting.smaller(SMOKE, 0, 1))
    for experiment, count in ((whole, 8), (smaller, 4), (one, 1)):
        found = experiment.references().query("method != 'base' and set == 'forget' and metric == 'text_nll'")
        assert (found.groupby("method").size() == count).all()
        assert set(found["example"]) == {record.id for record in experiment.split.forget}
        both = found.pivot_table(index="example", columns="method", values="value")
        assert (both["finetuned"] < both["retrained"]).all(), "it knows what the reference has not seen"


def test_what_a_method_leaves_on_disk_is_of_the_model_it_started_from(experiment):
    other = dataclasses.replace(experiment.setting.start, order=5, name="another order")
    both = (experiment, experiment.beside(dataclasses.replace(experiment.setting, start=other)))
    folders = {one._kept({"the same": "variant"}, {}, lambda folder: (folder / "here").touch()) for one in both}
    assert len(folders) == 2
