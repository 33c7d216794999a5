"""Products with the inverse of a damped curvature matrix: conjugate gradients, LiSSA, and a closed form.

Every answer comes with its residual; a warning says so where it is too large to be trusted.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, cg

from unlearnlib.core.errors import UserError
from unlearnlib.gradients.algebra import Gradient

Product = Callable[[Gradient], Gradient]


@dataclass(frozen=True)
class Solution:
    """An approximate solution x of (G + damping I) x = b.

    residual: |b - (G + damping I) x| / |b| (0 is exact, 1 is no better than x = 0); products: how often G was
    multiplied with a vector, the final check included.
    """

    value: Gradient
    residual: float
    products: int


def conjugate_gradients(
    product: Product, target: Gradient, damping: float, tolerance: float = 0.05, iterations: int = 30
) -> Solution:
    """Return (G + damping I)^-1 target for a positive semidefinite G, by conjugate gradients (scipy's).

    Stops at the relative residual `tolerance`, or after `iterations`, with a warning. Raises UserError for a damping
    that is not above zero: a model has parameters that no text uses, so G alone is singular.
    """
    _check_damping(damping)
    counted = _Counted(product)
    matrix = operator(counted, target)
    damped = LinearOperator(matrix.shape, matvec=lambda x: matrix @ x + damping * x, dtype=np.float64)
    wanted = flat(target)
    found, _ = cg(damped, wanted, rtol=tolerance, maxiter=iterations)
    return _solution(found, damped, wanted, target, counted, tolerance, "raise iterations or damping")


def lissa(
    batch_product: Callable[[int, Gradient], Gradient],
    product: Product,
    target: Gradient,
    damping: float,
    scale: float,
    depth: int = 100,
    tolerance: float = 0.05,
) -> Solution:
    """Return (G + damping I)^-1 target by a Neumann series over mini-batches (LiSSA; Agarwal et al. 2017, Koh & Liang).

    `batch_product(step, vector)` multiplies with the curvature of that step's mini-batch. `scale` must be above the
    largest eigenvalue of every mini-batch's damped matrix, or the series diverges (see largest_eigenvalue). The
    residual is that of `product`, the whole matrix. Raises UserError for a damping that is not above zero, and for
    divergence.
    """
    _check_damping(damping)
    value = {name: entry / scale for name, entry in target.items()}
    limit = 1e6 * max(_length(target) / damping, 1e-30)
    for step in range(depth):
        moved = batch_product(step, value)
        value = {name: value[name] + (target[name] - moved[name] - damping * value[name]) / scale for name in target}
        if not _length(value) < limit:
            raise UserError(f"LiSSA diverged at step {step}: raise scale above the largest eigenvalue ({scale=:.3g})")
    counted = _Counted(product)
    counted.count = depth
    matrix = operator(counted, target)
    damped = LinearOperator(matrix.shape, matvec=lambda x: matrix @ x + damping * x, dtype=np.float64)
    return _solution(flat(value), damped, flat(target), target, counted, tolerance, "raise depth or damping")


def inverse_fisher_scores(
    train: torch.Tensor, points: torch.Tensor, queries: torch.Tensor, cross: torch.Tensor, damping: float
) -> torch.Tensor:
    """Return float64 [points, queries]: products through the inverse of the damped empirical Fisher matrix.

    The matrix is the mean of g g^T over the n training texts, plus damping I; by Woodbury's identity only dot products
    are needed: `train` [n, n] among training texts, `points` [n, points] and `queries` [n, queries] of these with them,
    and `cross` [points, queries]. Exact. The empirical Fisher is not the Gauss-Newton matrix: its gradients are those
    of the true labels (Kunstner et al. 2019). Raises UserError for a damping that is not above zero.
    """
    _check_damping(damping)
    n = len(train)
    inner = torch.linalg.solve(train.double() + n * damping * torch.eye(n, dtype=torch.float64), queries.double())
    return (cross.double() - points.double().T @ inner) / damping


def operator(product: Product, like: Gradient) -> LinearOperator:
    """Return scipy's view of a matrix that multiplies dicts shaped `like`."""
    size = sum(value.numel() for value in like.values())
    return LinearOperator((size, size), matvec=lambda x: flat(product(unflat(x, like))), dtype=np.float64)


def flat(vector: Gradient) -> np.ndarray:
    """Return the entries of a dict of tensors as one float64 array."""
    return torch.cat([value.detach().flatten().double().cpu() for value in vector.values()]).numpy()


def unflat(entries: np.ndarray, like: Gradient) -> Gradient:
    """Return one array as a dict of tensors shaped, typed and placed `like` another."""
    pieces = torch.from_numpy(np.asarray(entries)).split([value.numel() for value in like.values()])
    return {name: piece.view(value.shape).to(value) for piece, (name, value) in zip(pieces, like.items(), strict=True)}


class _Counted:
    """A product that counts how often it is used."""

    def __init__(self, product: Product):
        self.product, self.count = product, 0

    def __call__(self, vector: Gradient) -> Gradient:
        self.count += 1
        return self.product(vector)


def _check_damping(damping: float) -> None:
    if not damping > 0:
        raise UserError(
            f"damping is {damping}: give one above zero; the curvature alone is singular, since no text uses every "
            "parameter (a hundredth of the largest eigenvalue is a start)"
        )


def _solution(found, damped, wanted, like, counted, tolerance: float, advice: str) -> Solution:
    length = np.linalg.norm(wanted)
    if not length > 0:
        raise UserError("the target of the inverse product is zero in these layers: name other layers")
    residual = float(np.linalg.norm(wanted - damped @ found) / length)
    if not residual <= 1.5 * tolerance:
        warnings.warn(
            f"relative residual {residual:.2g} after {counted.count} products: {advice}", RuntimeWarning, stacklevel=3
        )
    return Solution(unflat(found, like), residual, counted.count)


def _length(vector: Gradient) -> float:
    return float(torch.sqrt(sum(value.double().pow(2).sum() for value in vector.values())))
