"""What comes back of what was forgotten, on the smallest profile, against models that are made here by themselves."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from unlearnlib.core.errors import UserError
from unlearnlib.experiment import stability
from unlearnlib.experiment.variants import Variant
from unlearnlib.methods.request import Request

BEST = Variant("embedding, preconditioned", "preconditioned", "embedding")


@pytest.fixture(scope="module")
def probed(experiment):
    frames = [stability.probed(experiment, of) for of in ("finetuned", "retrained", BEST)]
    return pd.concat(frames, ignore_index=True)


def test_a_probe_begins_where_the_model_stands(experiment, probed):
    """Level 0, and weights of 32 bits, are the model itself, as it is measured everywhere."""
    for method in ("finetuned", "retrained"):
        rows = probed[probed["method"] == method].set_index(["probe", "level", "measure"])["value"]
        known = experiment.evaluate(experiment.model(method), ["forget"])
        known = known.query("metric == 'answer_probability'")["value"].mean()
        asked = ("learning on", 0, "forget"), ("rounding", 32, "forget"), ("prompts", 0, "answer probability")
        for place in asked:
            assert rows[place] == pytest.approx(known, abs=1e-6), place
    step = experiment.calibrated(BEST)
    start = probed[(probed["method"] == BEST.name) & (probed["probe"] == "rounding") & (probed["level"] == 32)]
    assert start.set_index("measure").loc["forget", "value"] == pytest.approx(step.value, abs=1e-6)


def test_what_is_trained_on_again_is_not_what_is_asked(experiment, probed):
    own = probed[(probed["probe"] == "its own texts") & (probed["method"] == "retrained")].set_index("level")["value"]
    assert list(own.index) == [0, *stability.RELEARN]
    asked = {record.id for record in experiment.split.forget}
    from unlearnlib.data.subsets import drawn

    shown = set(drawn(sorted(asked), experiment.seed, "relearn")[: stability.SHOWN])
    rest = sorted(asked - shown)
    by_hand = experiment.answer_probabilities(experiment.retrained, rest).mean()
    assert own[0] == pytest.approx(by_hand, abs=1e-6) and rest


def test_what_came_back_is_counted_from_the_retrained_model(probed):
    back = stability.came_back(probed)
    assert (back[back["method"] == "retrained"]["value"] == 0).all() and len(back) == len(probed)
    row = back[(back["method"] == "finetuned") & (back["probe"] == "rounding") & (back["level"] == 4)].iloc[0]
    same = probed[(probed["probe"] == "rounding") & (probed["level"] == 4) & (probed["measure"] == row["measure"])]
    values = same.set_index("method")["value"]
    assert row["value"] == pytest.approx(values["finetuned"] - values["retrained"])


def test_rounding_is_to_the_nearest_of_so_many_numbers_in_each_row(make_model):
    model = make_model()
    before = copy.deepcopy(model.state_dict())
    result = stability.rounded(model, 4)
    for (name, was), now in zip(model.named_parameters(), result.parameters(), strict=True):
        if was.dim() < 2:
            assert torch.equal(was, now), name
            continue
        unit = was.abs().amax(1, keepdim=True) / 7
        assert ((now - was).abs() <= unit / 2 + 1e-7).all(), name
        assert all(len(row.unique()) <= 15 for row in now), name
        assert torch.allclose(now.abs().amax(1), was.abs().amax(1)), "the largest of a row stays"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    fine = stability.rounded(model, 16)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(model.parameters(), fine.parameters(), strict=True))
    for bits in (1, 17):
        with pytest.raises(UserError, match=f"weights of {bits} bits: give 2 to 16"):
            stability.rounded(model, bits)


def test_requests_come_one_by_one_and_their_distances_are_to_the_right_models(experiment):
    table = stability.one_by_one(experiment, BEST)
    whole = len(experiment.split.forget)
    assert sorted(set(table["requests"])) == sorted({*experiment.profile.forget_sizes, whole})
    wide = table.pivot_table(index="requests", columns="measure", values="value")
    assert wide["steps"].is_monotonic_increasing
    assert np.isnan(wide.loc[whole].get("remaining", np.nan)) and wide["KL"].notna().all()
    untouched = stability.untouched(experiment).set_index(["requests", "measure"])["value"]
    near = experiment.at_step  # the distance of doing nothing, as the rest of the study has it
    assert near and (untouched > 0).all()
    other = stability.one_by_one(experiment, BEST, order=1)
    assert "KL" not in set(other["measure"]) and set(other["order"]) == {1}


def test_a_request_is_met_where_it_can_be_and_not_taken_twice(experiment):
    model, name = copy.deepcopy(experiment.finetuned), experiment.split.forget[0].id
    fields = {one: getattr(experiment.request, one) for one in ("record", "second_moments", "name_tokens")}
    request = Request(model, 0, forget={name: experiment.request.forget[name]}, **fields)
    target = experiment.target()
    before = experiment.answer_probabilities(model, [name])[0]
    length = stability._take(experiment, BEST, model, request, target)
    after = experiment.answer_probabilities(model, [name])[0]
    assert (before <= target and length == 0) or (length > 0 and after <= target)
    assert stability._take(experiment, BEST, model, request, max(after, target)) == 0.0
