"""Models of known dimensions: they have as many parameters as they are called, and count without memory."""

import pytest
import torch

from unlearnlib.core.errors import UserError
from unlearnlib.models import shapes
from unlearnlib.models.anatomy import anatomy
from unlearnlib.models.layers import parameter_count

KNOWN = {"124M": 124_439_808, "135M": 134_515_008, "1.5B": 1_557_611_200, "7B": 6_738_415_616}


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_a_shape_has_about_as_many_parameters_as_it_is_called(name):
    model = shapes.build(name, "meta")
    count = parameter_count(model)
    assert next(model.parameters()).device.type == "meta"
    assert count == pytest.approx(float(name[:-1]) * {"M": 1e6, "B": 1e9}[name[-1]], rel=0.25)
    assert count == KNOWN.get(name, count)
    assert anatomy(model).tied == (name != "7B")


def test_the_weights_are_those_of_the_seed_and_the_layers_linear():
    one, same, other = (shapes.build("0.1M", seed=seed) for seed in (0, 0, 1))
    weights = [next(model.parameters()) for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    kinds = {type(module).__name__ for module in one.modules()}
    assert "Linear" in kinds and "Conv1D" not in kinds and not one.training


def test_an_unknown_shape_names_the_nearest():
    with pytest.raises(UserError, match="'30M'"):
        shapes.family_of("30 M")
    with pytest.raises(UserError, match="'7B'"):
        shapes.build("7b")
