"""The ways of the literature side by side: what each may see, what it took, and a stop that is not reached stays so."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from unlearnlib.core import profiles
from unlearnlib.core.errors import UserError
from unlearnlib.experiment import literature, passes, rates, side_by_side
from unlearnlib.experiment.literature import Way
from unlearnlib.experiment.passes import Memory, Passes
from unlearnlib.experiment.stops import EQUAL, GONE
from unlearnlib.experiment.variants import Variant
from unlearnlib.influence.removal import NEWTON
from unlearnlib.methods.named import METHODS


@pytest.fixture(scope="module")
def ways(experiment):
    return {way.name: way for way in literature.ways(experiment, slow=True)}


def of(way, **options):
    return replace(way, variant=replace(way.variant, options={**way.variant.options, **options}))


def account(experiment, rows):
    return side_by_side.accounts(pd.concat([side_by_side.models(experiment), rows])).query("method != 'retrained'")


def test_every_method_has_a_row_or_a_reason(ways):
    used = {way.variant.method for way in ways.values() if isinstance(way.variant.method, str)}
    used |= {name for name in METHODS for way in ways.values() if METHODS[name].unlearn is way.variant.known.unlearn}
    assert used | set(literature.LEFT_OUT) == set(METHODS) and not used & set(literature.LEFT_OUT)
    assert any(way.variant.method is NEWTON for way in ways.values())
    assert all(way.said and way.source for way in ways.values())


def test_a_profile_may_name_the_ways_that_it_has_room_for(experiment, ways):
    def named(*names):
        return SimpleNamespace(**{name: getattr(experiment, name) for name in ("split", "seed", "tokenizer")},
                               profile=replace(experiment.profile, ways=list(names)))  # fmt: skip

    chosen = [way.name for way in literature.ways(named("SSD", "embedding, preconditioned"))]
    line = [way.name for way in literature.truncated()]
    assert chosen == ["SSD", "embedding, preconditioned", *line], "the line to beat is always there"
    with pytest.raises(UserError, match=r"no way 'SDS'.*'SSD'"):
        literature.ways(named("SDS"))
    assert set(profiles.load("smollm2").ways) < set(ways)


def test_a_class_is_the_last_thing_that_a_way_uses(ways):
    fields = {"retain": "R", "base": "B", "record": "T", "second_moments": "T"}
    for way in ways.values():
        uses, options = way.variant.known.uses, way.variant.options
        letters = {fields[name] for name in uses if name in fields} | ({"F"} if way.ranked else set())
        letters |= {"X"} if {"replacements", "unseen"} & set(options) else set()
        assert set(way.letters.split("+")) == letters, way.name
        assert way.group == literature.ACCESS[max(letters, key="FRBXT".index)][0]
    known = {
        "NPO": "F",
        "SCRUB": "F+R",
        "task vector": "F+B",
        "base teacher": "F+R+B",
        "IDK": "F+R+X",
        "SalUn": "F+R+X",
    }
    known |= {"KGA": "F+R+B+X", "first epoch": "F+T", "retraining, 1 epoch": "R+B", "noise": "F"}
    assert {name: ways[name].letters for name in known} == known
    assert [way.group for way in ways.values() if way.ranked] == sorted(
        (way.group for way in ways.values() if way.ranked), key=literature.CLASSES.index
    )


def test_no_way_is_trained_on_an_answer_that_its_questions_offer(experiment, ways):
    forget, some = experiment.sets["forget"], 0
    for way in ways.values():
        for name, text in way.variant.options.get("replacements", {}).items():
            question = forget.questions[forget.names.index(name)]
            answer = text[len(question.prompt) : len(text) - len(question.tail)]
            assert tuple(answer) not in question.answers, (way.name, name)
            some += 1
    assert some == 6 * len(forget.names)


def test_what_was_read_is_what_one_counts_by_hand(experiment, ways):
    count, half = len(experiment.split.forget), experiment.profile.batch_size // 2
    npo = of(ways["NPO"], steps=4, every=2, learning_rate=1e-6)
    row = account(experiment, side_by_side.measured(experiment, npo, at=(EQUAL,))).iloc[0]
    assert not row["reached"], "a rate as low as this forgets nothing: its whole training counts"
    assert (row["forward"], row["backward"]) == (4 * 2 * half, 4 * half), "the reference is read forwards alone"
    steps = ways["task vector"].variant.options["steps"]
    row = account(experiment, side_by_side.measured(experiment, ways["task vector"], at=(EQUAL,))).iloc[0]
    assert (row["forward"], row["backward"]) == (steps * experiment.profile.batch_size,) * 2
    row = account(experiment, side_by_side.measured(experiment, ways["SSD"], at=(EQUAL,))).iloc[0]
    assert (row["forward"], row["backward"]) == (count + len(experiment.split.retain),) * 2
    row = account(experiment, side_by_side.measured(experiment, ways["first epoch"], at=(EQUAL,))).iloc[0]
    assert row["forward"] == row["work"] == 0 and row["stored_bytes"] > 0 and row["prepared_seconds"] > 0


def test_retraining_cut_short_costs_its_part_of_retraining(experiment, ways):
    rows = side_by_side.measured(experiment, ways["retraining, 1 epoch"])
    row = account(experiment, rows).iloc[0]
    assert row["stop"] == side_by_side.END and row["reached"]
    assert row["work"] == pytest.approx(1 / experiment.profile.epochs)
    assert row["backward"] == len(experiment.split.retain)


def test_what_is_not_reached_is_not_forced(experiment, ways):
    bounded = of(ways["UNDIAL"], beta=0.0, steps=4, every=2)
    rows = side_by_side.measured(experiment, bounded)
    assert set(rows["stop"]) == {EQUAL, GONE} and not rows["reached"].any()
    apart = side_by_side.places(rows)
    groups = pd.Series({bounded.name: bounded.group, "other": bounded.group})
    other = apart.assign(method="other", reached=True)
    ranked = side_by_side.ranked(pd.concat([apart, other]), groups).set_index("method")
    assert ranked.loc[bounded.name, "rank"].isna().all() and (ranked.loc["other", "rank"] == 1).all()
    assert (ranked["of"] == 1).all()


def test_a_walk_is_walked_once_more_to_its_end_alone(experiment, ways):
    walk = ways["PCGU"]
    row = account(experiment, side_by_side.measured(experiment, walk, at=(EQUAL,))).iloc[0]
    steps = int(row["effort"] / walk.variant.options["step_length"]) + 1
    assert row["forward"] == row["backward"] == 2 * steps * len(experiment.split.forget)


def test_the_answers_loss_attacks_and_retraining_is_the_line(experiment, ways):
    rows = pd.concat([side_by_side.models(experiment), side_by_side.measured(experiment, ways["first epoch"])])
    found = side_by_side.attacked(experiment, rows)
    assert set(found["method"]) == {*side_by_side.MODELS, "first epoch"}
    assert set(found[found["method"] == "first epoch"]["stop"]) == {EQUAL}, (
        "no answers are asked where outputs are gone"
    )
    apart = pd.DataFrame(
        [("a", "forget", 0.5), ("b", "forget", 0.5), ("one", "forget", 0.4), ("two", "forget", 0.1)],
        columns=["method", "set", "value"],
    )
    spent = pd.DataFrame({"method": ["a", "b", "one", "two"], "work": [0.1, 0.5, 0.2, 0.4]})
    told = side_by_side.nearer(apart, spent, ["one", "two"]).set_index("method")
    assert math.isnan(told.loc["a", "line"]) and told.loc["b", "times"] == pytest.approx(5.0)


def test_a_rate_is_chosen_among_those_that_reach(experiment, ways):
    table = pd.DataFrame(
        [
            ("one", 0.5, True, 0.2, 0.3), ("one", 1.0, True, 0.2, 0.1), ("one", 0.25, False, 0.5, -1.0),
            ("two", 0.25, False, 0.4, 0.0), ("two", 1.0, False, 0.3, 2.0),
        ],
        columns=["method", "rate", "reached", "known", "apart"],
    )  # fmt: skip
    assert rates.choose(table) == {"one": 1.0, "two": 1.0}
    profile = experiment.profile
    other = literature.at_rate(profile, ways["NPO"], 0.25).variant.options["learning_rate"]
    assert other == 0.25 * profile.learning_rate and literature.chosen("no such way") == literature.DEFAULT_RATE
    assert set(literature.CHOSEN) <= {name for name, way in ways.items() if "every" in way.variant.options}
    with pytest.raises(UserError, match="'noise' has no learning rate"):
        literature.at_rate(profile, ways["noise"], 0.5)
    with pytest.raises(UserError, match="no configuration 'Anitas'"):
        rates.tried(profiles.load("smoke"), other="Anitas")


def test_memory_is_that_of_tensors_at_one_time():
    before = torch.zeros(1000)
    with Memory() as memory:
        one = before + 1
        two = one * 2
        del one
        three = two.view(10, 100)
        three += 1
        assert (memory.peak, memory.held) == (8000, 4000)
        del two, three
        assert memory.held == 0
    assert Passes(3, 2).work == 7 and Passes(3, 2) - Passes(1, 1) == Passes(2, 1)
    assert np.isfinite(memory.peak) and passes.BACKWARD == 2


def test_peak_memory_grows_with_what_is_held(experiment, ways):
    size = sum(value.numel() for value in experiment.finetuned.parameters()) * 4
    recorded, trained = (side_by_side.peak_bytes(experiment, ways[name]) for name in ("first epoch", "NPO"))
    assert recorded >= size and trained >= 4 * size, "weights, gradient and two moments"


def test_a_way_of_ones_own_stands_beside_them(experiment):
    mine = Way(Variant("mine", "random"), "a random direction", "nobody")
    assert (mine.letters, mine.group) == ("F", "forget set")
