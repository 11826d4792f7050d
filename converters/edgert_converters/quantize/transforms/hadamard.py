"""Hadamard rotations: every output is a sum of all channels with signs, so that no channel stands out.

Sources: Ashkboos, Mohtashami, Croci, Li, Cameron, Jaggi, Alistarh, Hoefler and Hensman, QuaRot: outlier-free 4-bit
inference in rotated LLMs, 2024, arXiv:2404.00456, section 3 (random signs before the Hadamard matrix); Paley, On
orthogonal matrices, 1933, J. Math. Phys. 12, lemmas 2 and 3 (orders that are no powers of two). We deviate in widths
that no Hadamard matrix has: they fall into equal blocks of the largest order that divides them.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from edgert_converters.quantize.transforms.change import Floats
from edgert_converters.quantize.transforms.kronecker_product import Kronecker

__all__ = ["factors", "hadamard_matrix", "random_rotation", "rotation"]

_DENSE = 64
"""Widths up to this are rotated in one product: splitting them saves less than the nodes it adds."""
_LEAST_BLOCK = 4


@cache
def hadamard_matrix(order: int) -> Floats | None:
    """Returns a Hadamard matrix of 1 and -1, float64[order, order], rows orthogonal; None: none is known here.

    Known are powers of two (Sylvester), q + 1 and 2 (q + 1) for a prime q (Paley), and their products with powers of
    two.
    """
    if order in {1, 2}:
        return np.array([[1.0, 1.0], [1.0, -1.0]])[:order, :order]
    if order % 4:
        return None
    half = hadamard_matrix(order // 2)
    if half is not None:
        return np.block([[half, half], [half, -half]])
    if _is_prime(order - 1):
        return _paley_one(order - 1)
    return _paley_two(order // 2 - 1) if _is_prime(order // 2 - 1) and order // 2 % 4 == 2 else None


def factors(width: int) -> tuple[int, int]:
    """Returns (a, b), a * b = width, both orders of Hadamard matrices, at the least cost a + b; blocks: see `rotation`.

    (0, b) stands for blocks of b; (0, 1): the width has no block.
    """
    if width <= _DENSE and hadamard_matrix(width) is not None:
        return 1, width
    pairs = [(a, width // a) for a in range(1, width + 1) if width % a == 0]
    whole = [(a, b) for a, b in pairs if hadamard_matrix(a) is not None and hadamard_matrix(b) is not None]
    if whole:
        return min(whole, key=lambda pair: (sum(pair), pair))
    blocks = [b for _, b in pairs if b >= _LEAST_BLOCK and hadamard_matrix(b) is not None]
    return 0, max(blocks, default=1)


def rotation(width: int) -> Kronecker | None:
    """Returns the orthogonal transform of a width, all entries of a block alike in size; None: there is none."""
    a, b = factors(width)
    if b == 1:
        return None
    return Kronecker(_orthogonal(a) if a else np.eye(width // b), _orthogonal(b))


def random_rotation(width: int, rng: np.random.Generator) -> Kronecker | None:
    """As `rotation`, with random signs in front: without them the mean of all channels becomes an outlier itself."""
    plain = rotation(width)
    if plain is None:
        return None
    left = plain.left if factors(width)[0] in {0, 1} else plain.left * rng.choice([-1.0, 1.0], len(plain.left))
    return Kronecker(left, plain.right * rng.choice([-1.0, 1.0], len(plain.right)))


def _orthogonal(order: int) -> Floats:
    matrix = hadamard_matrix(order)
    if matrix is None:
        raise AssertionError(f"no Hadamard matrix of order {order}")
    return matrix / math.sqrt(order)


def _jacobsthal(q: int) -> Floats:
    """Q[i, j] is 1 where i - j is a square modulo q, -1 where it is none, 0 on the diagonal."""
    character = -np.ones(q)
    character[[i * i % q for i in range(1, q)]] = 1.0
    character[0] = 0.0
    index = np.arange(q)
    matrix: Floats = character[(index[:, None] - index[None, :]) % q]
    return matrix


def _paley_one(q: int) -> Floats:
    """Order q + 1, q = 3 modulo 4."""
    skew = np.zeros((q + 1, q + 1))
    skew[0, 1:], skew[1:, 0] = 1.0, -1.0
    skew[1:, 1:] = _jacobsthal(q)
    return skew + np.eye(q + 1)


def _paley_two(q: int) -> Floats:
    """Order 2 (q + 1), q = 1 modulo 4."""
    symmetric = np.zeros((q + 1, q + 1))
    symmetric[0, 1:], symmetric[1:, 0] = 1.0, 1.0
    symmetric[1:, 1:] = _jacobsthal(q)
    plus, diagonal = np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([[1.0, -1.0], [-1.0, -1.0]])
    return np.kron(symmetric, plus) + np.kron(np.eye(q + 1), diagonal)


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
