"""The best way at little compute: what is tried, what it reads, how it is scored and chosen; the smallest profile."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from unlearnlib.core import profiles
from unlearnlib.core.errors import UserError
from unlearnlib.experiment import practical
from unlearnlib.experiment.practical import Candidate
from unlearnlib.experiment.variants import Variant
from unlearnlib.measures import distance

EMBEDDING = Variant("embedding, plain", layers="embedding")


def test_no_way_reads_more_than_its_share():
    profile = profiles.load("small")
    made = practical.candidates(profile)
    retraining = profile.epochs * 5 * profile.neighbours
    assert max(practical.texts_read(profile, one) for one in made) <= retraining / 8
    assert len({one.name for one in made}) == len(made) > 40
    read = {one.name: practical.texts_read(profile, one) for one in made}
    assert read["embedding, plain, 1 of the step"] == 0
    assert read["embedding, plain, 0.5 of the step, 4 repair steps"] == 64 == read["short task vector, 1 of the step"]
    assert "short task vector, 1 of the step, 4 repair steps" not in read, "128 texts of 600 are more than an eighth"
    assert practical.by_name(profile, made[5].name) == made[5]
    with pytest.raises(UserError, match="no way 'x'"):
        practical.by_name(profile, "x")


def test_a_way_is_its_share_of_the_step_and_then_repair(experiment):
    """The step alone, against the path itself; repair brings the retained texts back or leaves them as they are."""
    ways = [Candidate(EMBEDDING, 0.5, 0), Candidate(EMBEDDING, 0.5, 4)]
    table = practical.measured(experiment, ways).set_index(["method", "set", "metric"])["value"]
    step = experiment.calibrated(EMBEDDING, smallest=practical.SMALLEST).step_size
    texts, batch = experiment.sets["forget"].texts, experiment.profile.evaluation_batch
    with experiment.path(EMBEDDING).at(0.5 * step) as model:
        known = experiment.forget_probability(model)
        both = (distance.log_distributions(one, texts, batch) for one in (experiment.retrained, model))
        apart = np.mean([distance.divergence(*pair) for pair in zip(*both, strict=True)])
    first, second = (one.name for one in ways)
    assert table[first, "forget", "answer_probability"] == pytest.approx(known, abs=1e-6)
    assert table[first, "forget", "kl"] == pytest.approx(apart, rel=1e-5)
    assert table[first, "retain", "kl"] != table[second, "retain", "kl"]


def test_models_are_what_their_names_say(experiment):
    table = practical.models(experiment)
    wide = table[table["metric"] == "kl"].pivot(index="method", columns="set", values="value")
    assert set(wide.index) == {"finetuned", "retrained again", "base", "retraining, 1 epoch"} and (wide > 0).all(
        axis=None
    )
    level = table[table["method"] == practical.LEVEL]
    assert level["value"].tolist() == [experiment.target()] and level["set"].tolist() == ["forget"]
    share = table.groupby("method")["share"].first()
    assert share["retraining, 1 epoch"] == pytest.approx(1 / experiment.profile.epochs) and share["finetuned"] == 0
    scores = practical.scored(table, table).set_index("method")
    assert scores.loc["finetuned", ["forget", "retain"]].tolist() == [1, 1] and scores.loc["finetuned", "score"] == 0


WAYS = {"finetuned": (2.0, 0.5, 0.9), "near": (1.0, 0.25, 0.8), "far": (0.2, 5.0, 0.1), "further": (1.0, 5.0, 0.05)}


def asked(told=()):
    """Return rows of two people and seeds: distances on both sets, and the answers told; `told`: other answers by
    person, seed and method."""
    rows = []
    for person, seed in itertools.product("ab", (0, 1)):
        for method, (forget, retain, answer) in WAYS.items():
            answer = dict(told).get((person, seed, method), answer)
            rows += [(person, seed, method, "kl", "forget", forget), (person, seed, method, "kl", "retain", retain)]
            rows.append((person, seed, method, "answer_probability", "forget", answer))
        rows.append((person, seed, practical.LEVEL, "answer_probability", "forget", 0.1))
    return pd.DataFrame(rows, columns=["person", "seed", "method", "metric", "set", "value"])


def test_a_score_is_the_mean_of_logarithms_over_people_and_seeds():
    scores = practical.scored(asked(), asked())
    means = scores.groupby("method")["score"].mean()
    assert means["near"] == pytest.approx(np.log(0.5)) and means["far"] == pytest.approx(0.0, abs=1e-12)
    assert practical.nearest_of(scores) == "near" and len(scores) == 16
    assert scores.groupby("method")["told"].first().to_dict() == {name: told for name, (_, _, told) in WAYS.items()}


def test_the_choice_is_the_nearest_that_no_longer_tells():
    assert practical.chosen(practical.scored(asked(), asked())) == "far"
    once = asked([(("a", 1, "far"), 0.2)])
    assert practical.chosen(practical.scored(once, once)) == "further", "it has forgotten in every search"
    twice = asked([(("a", 1, "far"), 0.2), (("b", 0, "further"), 0.2)])
    assert practical.chosen(practical.scored(twice, twice)) == "far", "both forget as often: then the nearer"


def test_a_search_is_about_other_people_and_covers_every_candidate(monkeypatch, tmp_path):
    monkeypatch.setenv("UNLEARNLIB_RUNS", str(tmp_path))
    few = [Candidate(EMBEDDING, 0.5, 0), Candidate(replace(EMBEDDING, name="whole model, plain", layers="all"), 1.0, 0)]
    monkeypatch.setattr(practical, "candidates", lambda profile: few)
    said = []
    found = practical.searched("smoke", [0], ["anita"], said.append)
    assert said == ["anita, seed 0: 2 ways"] and set(found["person"]) == {"anita"}
    assert {one.name for one in few} < set(found["method"])
    with pytest.raises(UserError, match="dave is whom the profile reports: search on somebody else"):
        practical.searched("smoke", [0], ["dave"])
