"""What is written, scored against a stand-in for an experiment: which texts are asked for, and which words leak."""

from types import SimpleNamespace

import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.core.tables import tidy
from unlearnlib.experiment import writing
from unlearnlib.experiment.variants import Variant

WALK = Variant("walk", layers="embedding")
TEXTS = {"forget": [("d", "a green boat", "a boat")], "retain": [("n", "a cat", "a cat"), ("m", "a dog", "A cat.")]}


class Writer:
    """In the place of an experiment: its step to equal forgetting is 4, and all its models write the same."""

    profile, seed = SimpleNamespace(name="test"), 7
    split = SimpleNamespace(
        forget=[SimpleNamespace(id="d", answer="a cat")],
        retain=[SimpleNamespace(id="n", answer="a cat"), SimpleNamespace(id="m", answer="a dog")],
    )

    def __init__(self):
        self.asked = []

    def calibrated(self, variant):
        assert variant is WALK
        return SimpleNamespace(step_size=4.0)

    def generations(self, of, sets, step_size):
        self.asked.append((of, list(sets), step_size))
        rows = [(name, *row) for name in sets for row in TEXTS[name]]
        table = pd.DataFrame(rows, columns=["set", "example", "reference", "generation"])
        return self.named(table.assign(prompt="", profile="test", seed=7), of, step_size)

    def named(self, table, of, step_size):
        if isinstance(of, str):
            return tidy(table, method=of)
        return tidy(table, method=of.name, layers=of.layers, step_size=step_size)


def test_rouge_is_of_the_model_at_a_part_of_its_own_step():
    experiment = Writer()
    found = writing.rouge(experiment, WALK, 0.5)
    assert experiment.asked == [(WALK, ["forget", "retain"], 2.0)]
    assert found[
        ["profile", "seed", "method", "layers", "step_size", "step"]
    ].drop_duplicates().to_numpy().tolist() == [["test", 7, "walk", "embedding", 2.0, 0.5]]
    recall = found[found["metric"] == "rouge1_recall"].set_index(["set", "example"])["value"]
    assert recall.to_dict() == pytest.approx({("forget", "d"): 2 / 3, ("retain", "n"): 1.0, ("retain", "m"): 1 / 2})
    plain = writing.rouge(experiment, "base", sets=["forget"])
    assert experiment.asked[-1] == ("base", ["forget"], None)
    assert set(plain["method"]) == {"base"} and "step" not in plain.columns and "step_size" not in plain.columns


def test_a_leak_is_an_answer_of_the_forget_set_that_is_not_the_neighbours_own():
    experiment = Writer()
    found = writing.leaks(experiment, WALK, 2)
    assert experiment.asked == [(WALK, ["retain"], 8.0)]
    assert dict(zip(found["example"], found["value"], strict=True)) == {"n": 0.0, "m": 1.0}
    assert set(found["metric"]) == {"leak"} and set(found["step"]) == {2}
    assert "step" not in writing.leaks(experiment, "base").columns


def test_a_model_has_no_step():
    with pytest.raises(UserError, match="the model 'base' has no step: leave the fraction out"):
        writing.rouge(Writer(), "base", 0.5)
