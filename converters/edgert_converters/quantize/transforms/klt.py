"""KLT-enhanced rotation: into the eigenvectors of the channels' moments, then by a Hadamard matrix.

Source: Xu, Yue, Xu, Hu, Yu, Chen, Chen, Yuan and Liu, MambaQuant: quantizing the Mamba family with variance aligned
rotation methods, 2025, arXiv:2501.13484, equations 7-9: after the eigenvectors every output of the Hadamard matrix has
the same variance, the mean eigenvalue. We deviate in the moments, taken about zero because integers' ranges hold zero,
and in widths that fall into blocks (hadamard.py), over which the eigenvectors are dealt out so that each has its share.
"""

from __future__ import annotations

import numpy as np

from edgert_converters.quantize.transforms.change import Floats
from edgert_converters.quantize.transforms.hadamard import random_rotation
from edgert_converters.quantize.transforms.kronecker_product import Kronecker

__all__ = ["klt_rotation"]


def klt_rotation(moments: Floats, rng: np.random.Generator) -> Kronecker | None:
    """Returns an orthogonal transform after which all channels have the same second moment.

    Args:
        moments: E[x x^T], float64[C, C].
        rng: draws signs.

    Returns:
        The transform, its right factor the whole matrix; None where the width has no Hadamard matrix at all.
    """
    size = len(moments)
    spread = random_rotation(size, rng)
    if spread is None:
        return None
    values, vectors = np.linalg.eigh(moments)
    order = np.argsort(-values, kind="stable")
    basis = vectors.T[order]
    if len(spread.left) > 1 and np.array_equal(spread.left, np.eye(len(spread.left))):
        basis = basis[_dealt(len(spread.left), len(spread.right))]
    return Kronecker(np.ones((1, 1)), spread.along(basis, 0, np.arange(size), inverse=False))


def _dealt(blocks: int, block: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Ranks block by block, dealt forth and back, so that the sums of falling values are alike."""
    rounds = np.arange(blocks * block).reshape(block, blocks)
    rounds[1::2] = rounds[1::2, ::-1]
    return rounds.T.reshape(-1)
