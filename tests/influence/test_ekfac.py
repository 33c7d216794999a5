"""EK-FAC through kronfluence, where it is installed; without it, one line that says how to install it."""

import importlib.util

import numpy as np
import pytest
import torch

from unlearnlib.core.errors import UserError
from unlearnlib.influence import ekfac
from unlearnlib.influence.scores import gradient_products
from unlearnlib.models.layers import resolve

INSTALLED = importlib.util.find_spec("kronfluence") is not None


@pytest.mark.skipif(INSTALLED, reason="kronfluence is installed")
def test_without_kronfluence_one_line_says_what_to_do(make_model, sequences):
    texts = list(sequences.values())
    with pytest.raises(UserError, match="EK-FAC needs kronfluence, which is not installed: pip install --no-deps"):
        ekfac.ekfac_scores(make_model(), texts, texts[:2], texts[2:])


@pytest.mark.skipif(not INSTALLED, reason="needs the optional kronfluence")
def test_scores_agree_in_sign_with_the_gradient_products_of_the_same_layers(make_model, sequences):
    model, texts = make_model(), list(sequences.values())
    found = ekfac.ekfac_scores(model, texts, texts, texts)
    assert found.shape == (len(texts), len(texts)) and torch.isfinite(found).all()
    assert (found.diagonal() > 0).all(), "a text lowers its own loss"
    products = gradient_products(model, texts, texts, resolve(model, "h.0+h.1+h.2"))
    assert np.corrcoef(found.flatten(), products.flatten())[0, 1] > 0.5
    half = ekfac.ekfac_scores(model, texts, texts[:3], texts[:2], spans=[(1, 3), (2, 4)])
    assert half.shape == (3, 2) and not torch.allclose(half, found[:3, :2])
