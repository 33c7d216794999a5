"""What tests of methods that train share: a small request in float64, another model of the same shape, and a batch."""

import pytest
from unlearning import request_of


@pytest.fixture(scope="module")
def asked(make_model, sequences):
    """A request whose model to start from, and base model, are in float64; where nothing is kept."""
    return request_of(make_model().double(), sequences, base=make_model(seed=3).double())


@pytest.fixture(scope="module")
def other(make_model):
    """Another model of the same shape."""
    return make_model(seed=4).double()


@pytest.fixture(scope="module")
def batch(asked):
    """All texts to forget, and three of the retained ones."""
    return list(asked.forget.values()), list(asked.retain.values())[:3]
