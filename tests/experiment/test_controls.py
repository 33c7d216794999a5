"""The controls of a recorded step, and forget sets of several sizes, on the tiny experiment."""

from dataclasses import replace

import numpy as np
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.experiment import setting, sizes, study, towards, watched
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant, distinct
from unlearnlib.methods.named import METHODS
from unlearnlib.methods.path import change_between
from unlearnlib.models.layers import resolve


def test_the_others_are_whole_people_and_as_many_texts_as_there_are_to_forget(experiment):
    split = experiment.split
    chosen = watched.others(split, 0)
    people = {record.subject for record in split.retain if record.id in chosen}
    assert set(chosen) == {record.id for record in split.retain if record.subject in people}
    assert 0 <= len(chosen) - len(split.forget) < 5
    assert watched.others(split, 0) == chosen != watched.others(split, 1)


def test_what_is_taken_back_is_part_of_what_training_did(experiment):
    """The forget set's share of the whole change points the way back to the base model, and is not all of it."""
    found = watched.of(experiment)
    assert watched.of(experiment).folder == found.folder, "watched once"
    whole = change_between(experiment.finetuned, experiment.base)
    own = found.taken_back(resolve(experiment.finetuned, "all"))
    product = sum(float((own[name] * whole[name]).sum()) for name in whole)
    squares = [sum(float((one[name] ** 2).sum()) for name in whole) for one in (own, whole)]
    assert 0.3 < product / np.sqrt(squares[0] * squares[1]) < 0.99
    assert found.others.everyone() == set(watched.others(experiment.split, 0))


def test_every_control_has_a_name_a_method_and_a_place_of_its_own(experiment):
    ways = distinct([*study.controls(experiment), *study.as_given()])
    places = [name.rsplit(", ", 2)[1:] for name in (way.name for way in ways)]
    assert {tuple(place) for place in places} == {(p, k) for p in study.CONTROLLED for k in study.KINDS}
    identities = [(way.method, way.layers, sorted(way.options.items())) for way in ways]
    assert all(identities.count(one) == 1 for one in identities)
    assert set(study.SMALLER) <= {way.name for way in ways}
    for way in ways:
        assert set(way.options) <= set(METHODS[way.method].options)
    shared = {way.name: way for way in study.factorial()}
    assert all(shared[way.name] == way for way in ways if way.name in shared), "one name, one way"


def test_a_few_points_are_forgotten_against_the_model_that_never_read_these(experiment):
    ways = [way for way in study.factorial() if way.name == "first epoch, embedding, preconditioned"]
    table = sizes.measured(experiment, ways)
    whole = len(experiment.split.forget)
    assert sorted(table["points"].unique()) == [*experiment.profile.forget_sizes, whole]
    asked = table.groupby("points")["measure"].apply(set)
    assert all((sizes.REST in asked[size]) == (size < whole) for size in asked.index)
    small = experiment.beside(setting.smaller(experiment.profile, 0, 4))
    kl = towards.divergences(small, "finetuned", sets=["forget"])["value"].mean()
    row = table.query("points == 4 and method == 'finetuned' and measure == 'forget set: KL'")
    assert row["value"].item() == pytest.approx(np.log(kl)) and row["step_size"].isna().all()
    rest = table[(table["measure"] == sizes.REST) & (table["points"] == 4)].set_index("method")["value"]
    known = small.metric("answer_probability", "finetuned", sets=["remaining"])["value"].mean()
    assert rest["finetuned"] == pytest.approx(known)
    wrong = Experiment(replace(experiment.profile, forget_sizes=(4, 1)), 0)
    with pytest.raises(UserError, match=r"forget_sizes \[4, 1\]: give numbers that rise, below 8"):
        sizes.measured(wrong, ways)


def test_a_way_with_its_step_given_is_looked_at_where_it_ends(experiment):
    way = study.as_given()[0]
    assert isinstance(way, Variant) and experiment.path(way).stops == (0.0, 1.0)
    rows = experiment.at_step(way, 1.0, ["forget"])
    start = experiment.at_step("finetuned", None, ["forget"])
    known = [table[table["metric"] == "answer_probability"]["value"].mean() for table in (rows, start)]
    assert known[0] < known[1], "something is forgotten"
