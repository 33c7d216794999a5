"""What forgetting costs, against what lies on disk and what was added to the parameters."""

import pytest
import torch

from unlearnlib.experiment import cost
from unlearnlib.experiment.variants import Variant
from unlearnlib.gradients.record import Record


def length(experiment, variant, effort):
    before = torch.cat([value.detach().double().ravel() for value in experiment.load("finetuned").parameters()])
    with experiment.at(variant, effort) as model:
        after = torch.cat([value.detach().double().ravel() for value in model.parameters()])
    return float((after - before).norm())


def test_a_straight_method_is_as_far_as_its_effort_and_pays_for_what_was_recorded(experiment):
    row = cost.cost(experiment, Variant("first epoch"), 1.5).iloc[0]
    assert (row["effort"], row["unit"], row["uses"]) == (1.5, "L2 norm", "forget, record")
    assert row["norm"] == pytest.approx(1.5, rel=1e-4)
    folder = experiment.folder("finetuned")
    assert row["stored_bytes"] == sum((folder / f"{name}.safetensors").stat().st_size for name in ("points", "sums"))
    assert Record(folder).everyone() and 0 < row["prepared_seconds"] < cost.spent(experiment, "finetuned")["seconds"]
    assert 0 < row["seconds"] < 60
    more = cost.cost(experiment, Variant("preconditioned", "preconditioned"), 1.5).iloc[0]
    moments = (folder / "second_moments.safetensors").stat().st_size
    assert more["stored_bytes"] == row["stored_bytes"] + moments


def test_what_walks_or_trains_takes_longer_the_further_it_goes_and_stores_nothing(experiment):
    live = Variant("live", "live", options={"step_length": 0.1})
    trained = Variant("mine", "gradient difference", options={"steps": 6, "every": 2, "learning_rate": 1e-3})
    for variant, near, far in ((live, 0.1, 1.0), (trained, 2.0, 6.0)):
        one, other = (cost.cost(experiment, variant, effort).iloc[0] for effort in (near, far))
        assert 0 < one["seconds"] < other["seconds"]
        assert one["stored_bytes"] == other["stored_bytes"] == one["prepared_seconds"] == 0
        for row in (one, other):
            assert row["norm"] == pytest.approx(length(experiment, variant, row["effort"]), rel=1e-3)
    assert other["unit"] == "optimizer steps" and other["uses"] == "forget, retain"


def test_retraining_is_what_it_is_compared_with(experiment):
    row = cost.of_retraining(experiment).iloc[0]
    assert row["method"] == "retrained" and row["seconds"] == cost.spent(experiment, "retrained")["seconds"] > 0
    assert cost.spent(experiment, "retrained")["recording"] == 0 == row["stored_bytes"]
    one, other = (
        torch.cat([value.detach().double().ravel() for value in experiment.load(name).parameters()])
        for name in ("finetuned", "retrained")
    )
    assert row["norm"] == pytest.approx(float((one - other).norm()), rel=1e-4)
