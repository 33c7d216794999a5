"""What fine-tuning leaves behind, on a real small experiment: its log, the recorded gradients and their sizes."""

import pandas as pd
import pytest
import torch
from safetensors import safe_open

from unlearnlib.core.errors import UserError
from unlearnlib.experiment import fine_tuning
from unlearnlib.gradients.algebra import parts_of
from unlearnlib.gradients.capture import leaf_modules
from unlearnlib.gradients.record import Record
from unlearnlib.models.anatomy import anatomy
from unlearnlib.models.layers import resolve


def test_the_log_has_a_row_for_every_step_of_the_training_that_is_asked_for(experiment):
    profile, split = experiment.profile, experiment.split
    dave, neighbours = len(split.forget), len(split.retain)
    for kind, texts in (("finetuned", dave + neighbours), ("retrained", neighbours)):
        log = fine_tuning.training_log(experiment, kind)
        assert set(log["seed"]) == {0} and set(log["method"]) == {kind}
        assert log["epoch"].unique().tolist() == list(range(profile.epochs)) and log["step"].is_unique
        assert log.groupby("epoch")["texts"].sum().tolist() == [texts] * profile.epochs
        losses = log.groupby("epoch")["loss"].mean().tolist()
        assert losses == sorted(losses, reverse=True), "what is trained is learned"


def test_recorded_norms_are_those_of_the_sums_on_disk(experiment):
    norms = fine_tuning.recorded_norms(experiment)
    assert list(norms.columns) == ["profile", "seed", "epoch", "layer", "norm"]
    layers = ["embedding", "position_embedding", *(f"h.{block}" for block in range(3)), "ln_f"]
    assert list(norms[["epoch", "layer"]].itertuples(index=False, name=None)) == [
        (epoch, layer) for epoch in range(experiment.profile.epochs) for layer in layers
    ]
    found = norms.set_index(["epoch", "layer"])["norm"]
    with safe_open(experiment.folder("finetuned") / "sums.safetensors", "pt") as file:
        for epoch in range(experiment.profile.epochs):
            slope = (
                file.get_tensor(f"{epoch}|transformer.ln_f.weight"),
                file.get_tensor(f"{epoch}|transformer.ln_f.bias"),
            )
            length = torch.cat(slope).double().norm()
            assert found[epoch, "ln_f"] == pytest.approx(float(length), rel=1e-5)
    assert found[0, "ln_f"] != pytest.approx(found[1, "ln_f"], rel=1e-3)


def test_numbers_stored_for_one_point(experiment):
    found = fine_tuning.stored_numbers(experiment)
    parameters = {name: value.numel() for name, value in experiment.base.named_parameters()}
    whole = sum(parameters.values())
    tables = parameters["transformer.wte.weight"] + parameters["transformer.wpe.weight"]
    first = min(experiment.sets["forget"].names)
    with safe_open(experiment.folder("finetuned") / "points.safetensors", "pt") as file:
        factors = sum(file.get_tensor(key).numel() for key in file.keys() if key.startswith(f"0|{first}|"))  # noqa: SIM118
    assert found.iloc[:, 0].tolist() == [whole, tables, factors] and 0 < factors < whole
    assert found.iloc[:, 1].tolist() == pytest.approx([1, tables / whole, factors / whole])


def test_shares_of_a_model_and_of_gpt2_without_its_values(make_model):
    model = make_model(blocks=3, width=32, vocabulary=97)
    whole = sum(value.numel() for value in model.parameters())
    found = fine_tuning.shares("mine", model, ["all", "embedding", "embedding", "last_blocks"])
    dense = found[found["kept"] == fine_tuning.DENSE]
    block = sum(value.numel() for value in model.transformer.h[0].parameters())
    expected = [("all", whole, 1.0), ("embedding", 97 * 32, 97 * 32 / whole)]
    expected.append(("last_blocks", 2 * block, 2 * block / whole))
    pd.testing.assert_frame_equal(
        dense[["layers", "numbers", "share"]], pd.DataFrame(expected, columns=["layers", "numbers", "share"])
    )
    assert set(found["model"]) == {"mine"}
    assert found["kept"].tolist() == [fine_tuning.DENSE] * 3 + [fine_tuning.FACTORS] * 3
    with pytest.raises(UserError, match="no layer 'embeding'"):
        fine_tuning.shares("mine", model, ["embeding"])
    paper = fine_tuning.gpt2_shapes()
    assert {value.device.type for value in paper.parameters()} == {"meta"} and anatomy(paper).tied
    sizes = fine_tuning.shares("GPT-2", paper, ["all", "last_blocks"])["numbers"].tolist()
    assert sizes[:2] == [124_439_808, 2 * 7_087_872], "as published, of each block as many"
    # Of a text of 20 tokens: 19 places, in each block four linear layers and two norms; the head; the tables' ids.
    block = 19 * (768 + 2304 + 768 + 768 + 768 + 3072 + 3072 + 768) + 4 * 768
    assert sizes[2:] == [12 * block + 2 * 768 + 19 * (768 + 50257) + 19 * (1 + 768) + 19, 2 * block]


@pytest.mark.parametrize("layers", ["all", "embedding", "embedding+position_embedding", "last_blocks", "h.1+ln_f"])
def test_as_many_numbers_are_counted_as_are_stored(experiment, layers):
    model, record = experiment.base, Record(experiment.folder("finetuned"))
    lengths = dict(zip(experiment.sets["forget"].names, map(len, experiment.sets["forget"].texts), strict=True))
    wanted = set(leaf_modules(model, parts_of(resolve(model, layers))))
    for name in record.points()[:3]:
        stored = record.factors(name)
        numbers = sum(value.numel() for key, value in stored.items() if key.partition("/")[0] in wanted)
        assert fine_tuning.factor_count(model, lengths[name], layers) == numbers > 0
