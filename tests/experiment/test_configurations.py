"""Other configurations, on the tiny experiment: models of their own, let go again, and the same numbers as by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unlearnlib.core import paths, profiles
from unlearnlib.core.errors import UserError
from unlearnlib.experiment import configurations, towards
from unlearnlib.experiment.measured import Experiment

NAMES = ("first epoch, embedding, preconditioned", "all epochs, embedding, preconditioned")
VARIANTS = [one for one in configurations.compared() if one.name in NAMES]


def kept(folder) -> set[str]:
    """The models in the cache that are not to be kept and know Anita: other tests leave others there meanwhile."""
    passing = (path for family in ("original", "without") for path in folder.glob(f"{family}-*/key.json"))
    return {path.parent.name for path in passing if "Anita Fowler" in path.read_text()}


@pytest.fixture(scope="module")
def anita(experiment):
    """The two tables of a configuration, and what was left in the cache by making them."""
    folder = paths.cache_folder(experiment.profile.name)
    experiment.folder("retrained")
    before = kept(folder)
    found = configurations.measured("Anita for Dave", experiment.profile, 0, VARIANTS)
    return *found, kept(folder) - before


def test_a_configuration_says_what_there_was_to_forget(experiment, anita):
    (row,) = anita[1].to_dict("records")
    assert row["subject"] == "Anita Fowler" and row["configuration"] == "Anita for Dave" and row["seed"] == 0
    split = experiment.split
    assert row["texts"] == len(split.forget) + len(split.retain) and row["share"] == len(split.forget) / row["texts"]
    assert row["finetuned"] > row["target"] > 1 / 6 and row["finetuned"] > row["retrained"]


def test_it_measures_what_an_experiment_of_these_values_measures(experiment, anita):
    rows = anita[0]
    assert set(rows["method"]) == {"finetuned", "base", *NAMES} and set(rows["configuration"]) == {"Anita for Dave"}
    assert rows[rows["method"] == "finetuned"]["reached"].isna().all() and rows["reached"].eq(True).any()
    own = Experiment(profiles.configurations(experiment.profile)["Anita for Dave"], 0)
    assert own.split.subject == "Anita Fowler"
    for variant in VARIANTS:
        end = own.calibrated(variant)
        kl = towards.divergences(own, variant, end.step_size, ["forget", "retain"]).groupby("set")["value"].mean()
        mine = rows[rows["method"] == variant.name].set_index("measure")["value"]
        assert mine["forget set: KL"] == pytest.approx(np.log(kl["forget"]), abs=0.02)
        assert mine["neighbours: KL"] == pytest.approx(np.log(kl["retain"]), abs=0.02)


def test_as_it_is_the_usual_models_are_asked_and_others_are_let_go(experiment, anita):
    assert not anita[2], "no model is left behind"
    rows, known = configurations.measured(profiles.AS_IT_IS, experiment.profile, 0, VARIANTS[:1])
    (row,) = known.to_dict("records")
    assert row["target"] == experiment.target() and row["subject"] == experiment.split.subject
    start = towards.divergences(experiment, "finetuned", sets=["general"])["value"].mean()
    mine = rows[(rows["method"] == "finetuned") & (rows["measure"] == "general text: KL")]["value"].item()
    assert mine == pytest.approx(np.log(start))


def test_of_many_neighbours_the_first_are_asked_and_read(experiment, monkeypatch):
    whole, names = towards.seen(experiment, "finetuned"), experiment.sets["retain"].names
    assert set(whole[whole["set"] == "retain"]["example"]) == set(names)
    monkeypatch.setattr(towards, "NEIGHBOURS", 4)
    found = towards.seen(experiment, "finetuned")
    mine = found[found["set"] == "retain"].set_index(["metric", "example"])["value"]
    assert set(mine.index.get_level_values("example")) == set(names[:4]) and len(names) > 4
    expected = whole[whole["set"] == "retain"].set_index(["metric", "example"])["value"]
    assert mine.to_numpy() == pytest.approx(expected[mine.index].to_numpy(), rel=1e-4, abs=1e-4)
    assert len(found[found["set"] == "general"]) == len(whole[whole["set"] == "general"])


def test_an_unknown_configuration_is_one_line(experiment):
    with pytest.raises(UserError, match="no configuration 'Anita': did you mean 'Anita for Dave'"):
        configurations.measured("Anita", experiment.profile, 0, VARIANTS)


def test_what_differs_is_told_once_every_configuration_has_its_data(experiment):
    table = configurations.differences(experiment.profile, [0, 1])
    assert table["what differs"].to_dict() == {profiles.AS_IT_IS: "", "Anita for Dave": "subject: anita"}
    for values, expected in (
        ({"subject": "bob"}, "data/bob.jsonl is not a file"),
        ({"neighbours": 200}, "neighbours is 200"),
    ):
        wrong = replace(experiment.profile, configurations={"mine": values})
        with pytest.raises(UserError, match=f"configuration 'mine': {expected}"):
            configurations.differences(wrong, [0])


def test_a_distance_is_held_against_doing_nothing():
    rows = [
        (name, seed, method, reached, "forget set: KL", np.log(value))
        for name, factor in (("a", 1.0), ("b", 4.0))
        for seed in range(3)
        for method, reached, value in (
            ("finetuned", np.nan, 2.0 + seed),
            ("mine", seed < 2 or name == "a", factor * (1.0 + seed / 2)),
        )
    ]
    table = pd.DataFrame(rows, columns=["configuration", "seed", "method", "reached", "measure", "value"])
    found = configurations.against_nothing(table, ["mine"])
    assert found["configuration"].tolist() == ["a", "b"] and found["n"].tolist() == [3, 2]
    assert found["ratio"].tolist() == pytest.approx([0.5, 2.0])
    assert found.loc[0, ["low", "high"]].tolist() == pytest.approx([0.5, 0.5]) and found.loc[0, "p"] < 1e-6
    assert found.loc[0, "nothing"] == pytest.approx((2 * 3 * 4) ** (1 / 3))
    spread = table.assign(
        value=table["value"] + 0.1 * table["seed"].map({0: -1, 1: 2, 2: 0}) * (table["method"] == "mine")
    )
    row = configurations.against_nothing(spread, ["mine"]).iloc[0]
    values = np.log(0.5) + 0.1 * np.array([-1, 2, 0])
    low, high = np.exp(stats.t.interval(0.95, 2, values.mean(), stats.sem(values)))
    assert (row["ratio"], row["low"], row["high"]) == pytest.approx((np.exp(values.mean()), low, high))


def test_the_ways_compared_are_those_that_the_claims_ask_for():
    from unlearnlib.claims import claims

    asked = set()
    for criterion in (one for claim in claims.CLAIMS for one in claim.criteria if one.everywhere):
        given = criterion.estimate.keywords
        asked |= {given[name] for name in ("after", "before", "method", "without", "whole") if name in given}
        asked |= set(given.get("methods", ()))
    assert asked == {variant.name for variant in configurations.compared()}
