"""Influence scores against naive loops, dense matrices and finite differences, all in float64."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch.func import functional_call

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.data.subsets import random_halves
from unlearnlib.influence import curvature, ground_truth, inverse, scores
from unlearnlib.models.layers import resolve

LAYERS = ["all", "embedding", "h.1", "ln_f+position_embedding", "embedding_without_name_rows", "input_embedding"]


@pytest.fixture(scope="module")
def model(make_model):
    model = make_model(blocks=2, width=16, vocabulary=29).double()
    model.set_attn_implementation("eager")
    return model


@pytest.fixture(scope="module")
def texts():
    generator = torch.Generator().manual_seed(3)
    return [[0, *torch.randint(1, 29, (length,), generator=generator).tolist()] for length in (4, 7, 3, 9, 6)]


def loss(model, sequence):
    return batches.text_losses(model, *batches.pad([sequence]))[0]


def naive(model, sequence, selections):
    """The gradient by parameter name, from one backward pass of the untouched model."""
    names = list(selections)
    known = dict(model.named_parameters())
    slopes = torch.autograd.grad(loss(model, sequence), [known[name] for name in names])
    return {name: selections[name].mask(slope) for name, slope in zip(names, slopes, strict=True)}


def dot(one, other):
    return float(sum((one[name] * other[name]).sum() for name in one))


def random_vector(model, selections, seed=0):
    generator = torch.Generator().manual_seed(seed)
    known = dict(model.named_parameters())
    return {
        name: selection.mask(torch.randn(known[name].shape, generator=generator, dtype=torch.float64))
        for name, selection in selections.items()
    }


# Scores


@pytest.mark.parametrize("layers", LAYERS[:-1])
def test_products_are_those_of_a_naive_loop(model, texts, layers, monkeypatch):
    selections = resolve(model, layers, name_rows=(2, 5))
    # A few rows at a time, as with a large model.
    monkeypatch.setattr("unlearnlib.influence.scores.LARGEST", 1000)
    points, queries = texts[:3], texts[3:]
    slopes = [naive(model, text, selections) for text in texts]
    expected = np.array([[dot(slopes[i], slopes[3 + q]) for q in range(2)] for i in range(3)])
    np.testing.assert_allclose(scores.gradient_products(model, points, queries, selections), expected, rtol=1e-9)
    own = scores.self_influence(model, points, selections)
    np.testing.assert_allclose(own, [dot(slope, slope) for slope in slopes[:3]], rtol=1e-9)
    pairs = scores.paired_products(model, points, [texts[3], texts[4], texts[3]], selections)
    np.testing.assert_allclose(pairs, expected[[0, 1, 2], [0, 1, 0]], rtol=1e-9)
    vector = random_vector(model, selections)
    found = scores.products_with(model, points, [vector, slopes[4]], selections)
    np.testing.assert_allclose(found, [[dot(s, vector), dot(s, slopes[4])] for s in slopes[:3]], rtol=1e-9)


def test_the_halves_of_the_tied_embedding_add_up(model, texts):
    def vectors(layers):
        selections = resolve(model, layers)
        basis = random_vector(model, selections)
        return scores.products_with(model, texts, [basis], selections)

    np.testing.assert_allclose(vectors("input_embedding") + vectors("output_embedding"), vectors("embedding"))


def test_a_gradient_step_on_the_point_lowers_the_query_as_the_score_says(model, texts):
    selections = resolve(model, "all")
    score = float(scores.gradient_products(model, texts[:1], texts[1:2], selections)[0, 0])
    step, moved, slopes = 1e-6, copy.deepcopy(model), naive(model, texts[0], selections)
    with torch.no_grad():
        for name, slope in slopes.items():
            moved.get_parameter(name).sub_(step * slope)
        fall = float(loss(model, texts[1]) - loss(moved, texts[1]))
    assert fall / step == pytest.approx(score, rel=1e-3)


def test_preconditioned_products(model, texts):
    selections = resolve(model, "h.0")
    factor = {name: value.abs() + 0.1 for name, value in random_vector(model, selections).items()}
    found = scores.gradient_products(model, texts[:2], texts[2:], selections, factor)
    slopes = [naive(model, text, selections) for text in texts]
    scaled = [{name: value * factor[name] for name, value in slope.items()} for slope in slopes[:2]]
    np.testing.assert_allclose(found, [[dot(s, q) for q in slopes[2:]] for s in scaled], rtol=1e-9)
    with pytest.raises(UserError, match=r"no preconditioner for transformer\.h\.0"):
        scores.gradient_products(model, texts[:2], texts[2:], selections, {})


def test_tracin_weighs_checkpoints_by_their_learning_rate(model, make_model, texts):
    other = make_model(seed=9, blocks=2, width=16, vocabulary=29).double()
    selections = resolve(model, "embedding")
    one, two = (scores.gradient_products(m, texts[:2], texts[2:], selections) for m in (model, other))
    found = scores.tracin([(model, 0.1), (other, 0.3)], texts[:2], texts[2:], selections)
    np.testing.assert_allclose(found, 0.1 * one + 0.3 * two)
    with pytest.raises(UserError, match="at least one checkpoint"):
        scores.tracin([], texts[:2], texts[2:], selections)


def test_cosine_of_a_text_with_itself_is_one(model, texts):
    selections = resolve(model, "all")
    own = scores.self_influence(model, texts, selections)
    cosine = scores.cosine_scores(scores.gradient_products(model, texts, texts, selections), own, own)
    np.testing.assert_allclose(cosine.diagonal(), 1.0, rtol=1e-9)
    assert cosine.abs().max() <= 1 + 1e-9


def test_activations_times_gradients_are_the_slope_of_enlarging_a_layer(model, texts):
    found = scores.activation_gradient_products(model, texts, batch_size=2)
    assert list(found) == ["embedding", "h.0", "h.1", "ln_f"]
    step = 1e-6
    for name, module in (("embedding", model.transformer.drop), ("h.1", model.transformer.h[1])):
        losses = {}
        for sign in (1, -1):
            handle = module.register_forward_hook(lambda _m, _i, out, sign=sign: out * (1 + sign * step))
            with torch.no_grad():
                losses[sign] = np.array([float(loss(model, text)) for text in texts])
            handle.remove()
        np.testing.assert_allclose(found[name], (losses[1] - losses[-1]) / (2 * step), rtol=1e-4, atol=1e-8)


# Curvature


def dense(product, like):
    """The matrix that `product` multiplies with, column by column."""
    size = sum(value.numel() for value in like.values())
    flat, unflat = inverse.flat, inverse.unflat
    return np.stack([flat(product(unflat(column, like))) for column in np.eye(size)], axis=1)


@pytest.mark.parametrize("layers", LAYERS[:-1])
def test_hessian_product_is_the_change_of_the_gradient(model, texts, layers):
    selections = resolve(model, layers, name_rows=(2, 5))
    vector = random_vector(model, selections)
    found = curvature.hessian_product(model, texts, selections, vector, batch_size=2)
    step, slopes = 1e-6, []
    for sign in (1, -1):
        moved = copy.deepcopy(model)
        with torch.no_grad():
            for name, value in vector.items():
                moved.get_parameter(name).add_(sign * step * value)
        total = [naive(moved, text, selections) for text in texts]
        slopes.append({name: sum(slope[name] for slope in total) / len(texts) for name in vector})
    for name in vector:
        expected = (slopes[0][name] - slopes[1][name]) / (2 * step)
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layers", ["embedding", "ln_f", "h.1"])
def test_gauss_newton_product_is_the_explicit_one(model, texts, layers):
    selections, short = resolve(model, layers), texts[:3]
    names = list(selections)
    values = tuple(model.get_parameter(name).detach() for name in names)
    vector = random_vector(model, selections)
    flat = torch.cat([value.flatten() for value in vector.values()])
    expected = torch.zeros_like(flat)
    for text in short:
        tokens, predicted = torch.tensor([text]), len(text) - 1

        def logits(*parameters, tokens=tokens):
            return functional_call(model, dict(zip(names, parameters, strict=True)), (tokens,)).logits[0, :-1]

        jacobian = torch.autograd.functional.jacobian(logits, values)
        jacobian = torch.cat([part.flatten(2) for part in jacobian], dim=2)
        chance = logits(*values).softmax(-1).detach()
        bend = torch.diag_embed(chance) - chance[:, :, None] * chance[:, None, :]
        expected += torch.einsum("tvp,tvw,twq,q->p", jacobian, bend, jacobian, flat) / predicted / len(short)
    found = curvature.gauss_newton_product(model, short, selections, vector, batch_size=2)
    np.testing.assert_allclose(torch.cat([found[name].flatten() for name in names]), expected, rtol=1e-8, atol=1e-12)


def test_the_gauss_newton_matrix_is_symmetric_and_positive_semidefinite(model, texts):
    selections = resolve(model, "ln_f")
    like = random_vector(model, selections)
    matrix = dense(lambda vector: curvature.gauss_newton_product(model, texts, selections, vector), like)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    values = np.linalg.eigvalsh(matrix)
    assert values.min() > -1e-12
    found = curvature.largest_eigenvalue(
        lambda vector: curvature.gauss_newton_product(model, texts, selections, vector), like, iterations=30
    )
    assert found == pytest.approx(values.max(), rel=0.05)


def test_what_curvature_refuses(model, make_model, texts):
    fused = make_model(blocks=1, width=16, vocabulary=29)
    selections = resolve(model, "ln_f")
    vector = random_vector(model, selections)
    for product in (curvature.hessian_product, curvature.gauss_newton_product):
        with pytest.raises(UserError, match="curvature needs eager attention"):
            product(fused, texts, resolve(fused, "ln_f"), vector)
        with pytest.raises(UserError, match="one half of the tied embedding"):
            half = resolve(model, "input_embedding")
            product(model, texts, half, random_vector(model, half))
        with pytest.raises(UserError, match=r"the vector lacks transformer\.ln_f\.bias"):
            product(model, texts, selections, {"transformer.ln_f.weight": vector["transformer.ln_f.weight"]})
        with pytest.raises(UserError, match=r"ln_f.weight holds NaN"):
            product(model, texts, selections, {name: value * float("nan") for name, value in vector.items()})
        with pytest.raises(UserError, match="no texts"):
            product(model, [], selections, vector)


# Inverses


@pytest.fixture(scope="module")
def system():
    """A positive semidefinite matrix, singular, as a product of dicts; the target; the matrix and target as arrays."""
    generator = torch.Generator().manual_seed(5)
    half = torch.randn(12, 7, generator=generator, dtype=torch.float64)
    matrix = half @ half.T / 7
    target = {
        "a": torch.randn(2, 4, generator=generator, dtype=torch.float64),
        "b": torch.randn(4, generator=generator, dtype=torch.float64),
    }

    def product(vector):
        return inverse.unflat(matrix.numpy() @ inverse.flat(vector), target)

    return product, target, matrix.numpy(), inverse.flat(target)


def test_conjugate_gradients_solve_the_damped_system(system):
    product, target, matrix, flat = system
    found = inverse.conjugate_gradients(product, target, damping=0.1, tolerance=1e-10, iterations=50)
    np.testing.assert_allclose(inverse.flat(found.value), np.linalg.solve(matrix + 0.1 * np.eye(12), flat))
    assert found.residual < 1e-9 and 1 < found.products <= 14


def test_lissa_comes_to_the_same(system):
    product, target, matrix, flat = system
    scale = 1.1 * (np.linalg.eigvalsh(matrix).max() + 0.5)
    found = inverse.lissa(lambda _step, v: product(v), product, target, 0.5, scale, depth=300)
    np.testing.assert_allclose(inverse.flat(found.value), np.linalg.solve(matrix + 0.5 * np.eye(12), flat), rtol=1e-6)
    with pytest.raises(UserError, match="LiSSA diverged"):
        inverse.lissa(lambda _step, v: product(v), product, target, 0.5, scale / 4, depth=300)


def test_a_large_residual_is_reported(system):
    product, target, _, _ = system
    with pytest.warns(RuntimeWarning, match=r"relative residual .* after .* products: raise iterations or damping"):
        assert inverse.conjugate_gradients(product, target, 1e-6, 1e-8, iterations=2).residual > 1e-6
    with pytest.warns(RuntimeWarning, match="raise depth or damping"):
        assert inverse.lissa(lambda _s, v: product(v), product, target, 0.01, 10.0, depth=3).residual > 0.5


@pytest.mark.parametrize("damping", [0.0, -1.0, float("nan")])
def test_no_damping_is_one_clear_error(system, damping):
    product, target, _, _ = system
    for solve in (
        lambda: inverse.conjugate_gradients(product, target, damping),
        lambda: inverse.lissa(lambda _s, v: product(v), product, target, damping, 10.0),
        lambda: inverse.inverse_fisher_scores(*[torch.eye(2)] * 4, damping),
    ):
        with pytest.raises(UserError, match="give one above zero; the curvature alone is singular"):
            solve()


def test_inverse_fisher_scores_are_those_of_the_dense_matrix():
    generator = torch.Generator().manual_seed(1)
    train, points, queries = (torch.randn(n, 9, generator=generator, dtype=torch.float64) for n in (6, 3, 4))
    dense_fisher = train.T @ train / 6 + 0.2 * torch.eye(9, dtype=torch.float64)
    expected = points @ torch.linalg.solve(dense_fisher, queries.T)
    found = inverse.inverse_fisher_scores(train @ train.T, train @ points.T, train @ queries.T, points @ queries.T, 0.2)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


# Ground truth


def additive(models=40, points=8, queries=3, noise=0.0):
    """Models whose losses are exactly the sum of what their points contribute."""
    generator = np.random.default_rng(0)
    effects = generator.normal(size=(points, queries))
    ids = [f"p{number}" for number in range(points)]
    kept = np.array([[name not in half for name in ids] for half in random_halves(ids, models, seed=1)])
    losses = -(kept @ effects) + noise * generator.normal(size=(models, queries))
    return effects, kept, losses


def test_the_lds_of_the_true_effects_is_one():
    effects, kept, losses = additive()
    assert ground_truth.linear_datamodeling_score(effects, kept, losses).estimate == pytest.approx(1.0)
    assert ground_truth.linear_datamodeling_score(-effects, kept, losses).estimate == pytest.approx(-1.0)
    assert ground_truth.linear_datamodeling_score(effects * 0, kept, losses).estimate == 0.0


def test_the_lds_is_the_mean_of_spearman_correlations():
    effects, kept, losses = additive(noise=3.0)
    found = ground_truth.linear_datamodeling_score(effects, kept, losses)
    each = [spearmanr(kept @ effects[:, q], -losses[:, q]).statistic for q in range(3)]
    assert found.estimate == pytest.approx(np.mean(each))
    assert found.low < found.estimate < found.high
    unrelated = ground_truth.linear_datamodeling_score(
        np.random.default_rng(8).normal(size=effects.shape), kept, losses
    )
    assert unrelated.low < 0.3


def test_random_halves_leave_every_point_out_of_half_of_the_models():
    ids = [f"p{number}" for number in range(9)]
    halves = random_halves(ids, 12, seed=4)
    assert random_halves(list(reversed(ids)), 20, seed=4)[:12] == halves
    assert all(sum(name in half for half in halves) == 6 for name in ids)
    assert len(set(halves)) == 12
    for count in (3, 0):
        with pytest.raises(UserError, match="give an even count"):
            random_halves(ids, count, seed=4)


def test_left_out_correlation():
    generator = np.random.default_rng(2)
    rises = generator.normal(size=(10, 6))
    assert ground_truth.left_out_correlation(rises**3, rises).estimate == pytest.approx(1.0)
    noisy = ground_truth.left_out_correlation(rises + generator.normal(size=rises.shape), rises)
    assert 0.3 < noisy.estimate < 0.95 and noisy.low < noisy.estimate < noisy.high
    with pytest.raises(UserError, match="shapes do not fit"):
        ground_truth.left_out_correlation(rises[:3], rises)
    with pytest.raises(UserError, match="NaN"):
        ground_truth.left_out_correlation(rises * np.nan, rises)


def test_empty_sets_and_nan_are_one_clear_error(model, texts):
    selections = resolve(model, "h.0")
    with pytest.raises(UserError, match="give at least one point and one query"):
        scores.gradient_products(model, texts, [], selections)
    with pytest.raises(UserError, match="give at least one point and one query"):
        scores.activation_gradient_products(model, [])
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.get_parameter("transformer.h.1.mlp.c_fc.weight").fill_(float("nan"))
    with pytest.raises(UserError, match=r"gradient of transformer\.h\.0\..* holds NaN"):
        scores.gradient_products(broken, texts, texts, selections)
    with pytest.raises(UserError, match=r"no layer .h\.7."):
        resolve(model, "h.7")


def test_the_loss_of_an_answer_is_that_of_its_tokens_alone(model, texts):
    """A span's gradient against autograd of the mean of the same tokens' losses."""
    selections, spans = resolve(model, "all"), [(2, 4), (3, 5)]
    names = list(selections)
    slopes = []
    for text, (first, end) in zip(texts[:2], spans, strict=True):
        tokens = torch.tensor([text])
        nll = -model(tokens).logits[0].log_softmax(-1)[range(first - 1, end - 1), text[first:end]].mean()
        found = torch.autograd.grad(nll, [model.get_parameter(name) for name in names])
        slopes.append(dict(zip(names, found, strict=True)))
    points = [naive(model, text, selections) for text in texts[2:]]
    expected = [[dot(point, slope) for slope in slopes] for point in points]
    found = scores.gradient_products(model, texts[2:], texts[:2], selections, spans=spans)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    own = scores.self_influence(model, texts[:2], selections, spans)
    np.testing.assert_allclose(own, [dot(slope, slope) for slope in slopes], rtol=1e-9)
