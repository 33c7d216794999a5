"""Products of a vector with the Hessian and with the Gauss-Newton matrix of the mean loss, without forming either.

The loss is the mean over texts of each text's mean token loss. Vectors are dicts by parameter name. The model must use
eager attention: the fused kernels have neither double backward nor forward mode on the CPU.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch.func import functional_call, jvp

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.models.anatomy import HALVES
from unlearnlib.models.layers import Selection

Sequences = Sequence[Sequence[int]]
Product = Callable[[Gradient], Gradient]


@contextmanager
def eager_attention(model) -> Iterator[torch.nn.Module]:
    """Let the model use eager attention while the context is open."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield model
    finally:
        model.set_attn_implementation(before)


def hessian_product(
    model, sequences: Sequences, selections: Mapping[str, Selection], vector: Gradient, batch_size: int = 32
) -> Gradient:
    """Return the product of the Hessian of the mean loss over `sequences` with `vector`, in these layers.

    Double backward (Pearlmutter 1994): the gradient of the product of gradient and vector. The Hessian may have
    negative eigenvalues; see gauss_newton_product. Raises UserError for layers, vectors and models that do not fit.
    """
    parameters = _parameters(model, selections, vector)

    def one_batch(tokens, lengths) -> list[torch.Tensor]:
        loss = batches.text_losses(model, tokens, lengths).sum()
        slopes = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        along = sum((slope * vector[name]).sum() for name, slope in zip(parameters, slopes, strict=True))
        return torch.autograd.grad(along, list(parameters.values()))

    return _mean(model, sequences, selections, parameters, batch_size, one_batch)


def gauss_newton_product(
    model, sequences: Sequences, selections: Mapping[str, Selection], vector: Gradient, batch_size: int = 32
) -> Gradient:
    """Return the product of the Gauss-Newton matrix of the mean loss over `sequences` with `vector`, in these layers.

    The matrix is J^T H J, with J the derivative of the logits by the parameters and H the Hessian of the loss by the
    logits: positive semidefinite, so conjugate gradients apply. For cross-entropy it is the Fisher matrix (Martens
    2020). Forward mode gives J v, the softmax's Hessian is applied in closed form, an ordinary backward gives J^T.
    Raises UserError for layers, vectors and models that do not fit.
    """
    parameters = _parameters(model, selections, vector)

    def one_batch(tokens, lengths) -> list[torch.Tensor]:
        def logits_of(values):
            return functional_call(model, values, (tokens,)).logits

        fixed = {name: value.detach() for name, value in parameters.items()}
        with torch.no_grad():
            logits, moved = jvp(logits_of, (fixed,), ({name: vector[name] for name in parameters},))
            chance = logits.softmax(-1)
            bent = chance * (moved - (chance * moved).sum(-1, keepdim=True))
            weights = batches.label_weights(lengths, tokens.shape[1], logits.dtype).to(logits.device)
            bent *= torch.nn.functional.pad(weights, (0, 1))[..., None]
            del logits, moved, chance
        return torch.autograd.grad(logits_of(parameters), list(parameters.values()), grad_outputs=bent)

    return _mean(model, sequences, selections, parameters, batch_size, one_batch)


def largest_eigenvalue(product: Product, like: Gradient, iterations: int = 15, seed: int = 0) -> float:
    """Return an estimate from below of the largest eigenvalue of the symmetric matrix that `product` multiplies with.

    Lanczos (scipy's eigsh) from a random vector shaped `like`; positive semidefinite matrices only. It fixes the scale
    of a damping and the step of LiSSA.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, eigsh

    from unlearnlib.influence.inverse import flat, operator

    start = flat({name: torch.randn(value.shape, generator=_generator(seed)) for name, value in like.items()})
    try:
        values = eigsh(operator(product, like), 1, which="LA", v0=start, maxiter=iterations, tol=0.05, ncv=6)[0]
    except ArpackNoConvergence as error:
        values = error.eigenvalues
    if not len(values):
        raise UserError(f"the largest eigenvalue did not converge in {iterations} iterations: allow more")
    return float(values.max())


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _parameters(model, selections: Mapping[str, Selection], vector: Gradient) -> dict[str, torch.nn.Parameter]:
    """Return the parameters to differentiate by, once everything fits together."""
    if model.config._attn_implementation != "eager":
        raise UserError("curvature needs eager attention: use `with influence.eager_attention(model):`")
    for name, selection in selections.items():
        if selection.halves not in (None, HALVES):
            raise UserError(
                f"{name}: the curvature of one half of the tied embedding is not defined here; name `embedding`"
            )
        if name not in vector:
            raise UserError(f"the vector lacks {name}: give one entry for every parameter of these layers")
        if not torch.isfinite(vector[name]).all():
            raise UserError(f"the vector's entry for {name} holds NaN or infinity")
    known = dict(model.named_parameters())
    return {name: known[name] for name in selections}


def _mean(model, sequences, selections, parameters, batch_size, one_batch) -> Gradient:
    """Return the mean over texts of what `one_batch` sums, restricted to the selected rows."""
    if not len(sequences):
        raise UserError("no texts to take the curvature of: give at least one")
    where = next(model.parameters()).device
    total = {name: torch.zeros_like(value) for name, value in parameters.items()}
    # Texts of like length share a batch, which keeps padding small.
    order = sorted(sequences, key=len)
    for start in range(0, len(order), batch_size):
        tokens, lengths = batches.pad(order[start : start + batch_size])
        with torch.enable_grad():
            products = one_batch(tokens.to(where), lengths)
        for name, value in zip(parameters, products, strict=True):
            total[name] += value.detach()
    return {name: selections[name].mask(value / len(sequences)) for name, value in total.items()}
