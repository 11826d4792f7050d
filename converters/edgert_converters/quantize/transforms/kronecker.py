"""Learned Kronecker affine transforms: T = left (x) right that makes the least error of activations and weights.

Source: Sun, Liu, Bai, Bao, Zhao, Li, Hu, Yu, Hou, Yuan, Jiang, Liu and Yao, FlatQuant: flatness matters for LLM
quantization, 2024, arXiv:2410.09426, equations 3 and 4 (the Kronecker product and the layer's output error as the aim).
We deviate in how it is learned. After a rotation that spreads energy evenly, a step of the activations is proportional
to the root of tr(T X T'), X = E[x x'], and its noise in the outputs to tr(T'^-1 W T^-1), W the weights' Gram matrix; a
step of the weights meets the same two traces the other way round. So both errors are proportional to
tr(M X) tr(M^-1 W), M = T' T, and for one factor of a Kronecker product, the other one held, the least value is at the
geometric mean of matrices X^-1 # W. A few alternations take the place of gradient descent.
"""

from __future__ import annotations

import numpy as np

from edgert_converters.quantize.transforms.change import Floats
from edgert_converters.quantize.transforms.hadamard import hadamard_matrix
from edgert_converters.quantize.transforms.kronecker_product import Kronecker

__all__ = ["learn_kronecker"]

_ALTERNATIONS = 6
_RIDGE = 1e-4
_WIDEST = 1e3
"""Largest ratio of eigenvalues of one factor's M: T stays well conditioned, so that float outputs stay as they were."""


def learn_kronecker(moments: Floats, gram: Floats, rng: np.random.Generator) -> Kronecker:
    """Returns the transform.

    Args:
        moments: E[x x^T] of the activations, float64[C, C].
        gram: sum of w w^T over everything that reads them, float64[C, C].
        rng: draws signs.
    """
    a, b = _balanced(len(moments))
    x = _ridged(moments).reshape(a, b, a, b)
    w = _ridged(gram).reshape(a, b, a, b)
    left, right = np.eye(a), np.eye(b)
    for _ in range(_ALTERNATIONS):
        right_inverse, left_x = np.linalg.inv(right), np.einsum("ikjl,kl->ij", x, right)
        left = _least_trace(left_x, np.einsum("ikjl,kl->ij", w, right_inverse))
        left_inverse, right_x = np.linalg.inv(left), np.einsum("ikjl,ij->kl", x, left)
        right = _least_trace(right_x, np.einsum("ikjl,ij->kl", w, left_inverse))
    return Kronecker(
        _spread(left, np.einsum("ikjl,kl->ij", x, right), rng), _spread(right, np.einsum("ikjl,ij->kl", x, left), rng)
    )


def _balanced(size: int) -> tuple[int, int]:
    """The pair of factors with the least sum; Hadamard orders are preferred among near ones."""
    pairs = [(a, size // a) for a in range(1, size + 1) if size % a == 0]
    known = [pair for pair in pairs if all(hadamard_matrix(order) is not None for order in pair)]
    best = min(pairs, key=lambda pair: (sum(pair), pair))
    spread = min(known, key=lambda pair: (sum(pair), pair), default=best)
    return spread if sum(spread) <= 2 * sum(best) else best


def _least_trace(x: Floats, w: Floats) -> Floats:
    """Returns M = X^-1 # W, the symmetric matrix with the least tr(M X) tr(M^-1 W), its eigenvalues within bounds."""
    root, inverse = _power(x, 0.5), _power(x, -0.5)
    values, vectors = np.linalg.eigh(inverse @ _power(root @ w @ root, 0.5) @ inverse)
    values = np.maximum(values, values.max() / _WIDEST)
    found: Floats = (vectors * (values / np.exp(np.log(values).mean()))) @ vectors.T
    return found


def _spread(m: Floats, x: Floats, rng: np.random.Generator) -> Floats:
    """Returns T with T' T = M after which all entries have the same second moment (where there is such a rotation)."""
    root = _power(m, 0.5)
    hadamard = hadamard_matrix(len(m))
    if hadamard is None:
        return root
    vectors = np.linalg.eigh(root @ x @ root)[1]
    signs = rng.choice([-1.0, 1.0], len(m))
    spread: Floats = (hadamard / np.sqrt(len(m))) @ (signs[:, None] * vectors.T) @ root
    return spread


def _power(matrix: Floats, exponent: float) -> Floats:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    values = np.maximum(values, values.max() * 1e-12)
    power: Floats = (vectors * values**exponent) @ vectors.T
    return power


def _ridged(matrix: Floats) -> Floats:
    ridged: Floats = matrix + np.eye(len(matrix)) * (
        _RIDGE * np.trace(matrix) / len(matrix) + np.finfo(np.float64).tiny
    )
    return ridged
