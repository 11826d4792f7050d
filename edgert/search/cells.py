"""What is known of a cell of NAS-Bench-201 without running or training it.

A network is a stem, three stages of five equal cells at 16, 32 and 64 channels on images of 32x32, and a residual block
between stages. A cell has four nodes; each operation leads from one to a later one, and a node adds up what arrives.

Source: Dong, Yang, NAS-Bench-201: extending the scope of reproducible neural architecture search, ICLR 2020,
arXiv 2001.00326, section 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["EDGES", "OPERATIONS", "cell_macs", "describe_cells", "live", "read"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""From which node to which each operation leads; 0 is the input, 3 the output."""

_NONE, _SKIP, _CONV1, _CONV3, _POOL = range(5)
_KERNEL = np.array([0, 0, 1, 9, 0])
_PATHS = ((3,), (0, 4), (1, 5), (0, 2, 5))
_CELLS = 5
_STAGES = ((16, 1024), (32, 256), (64, 64))  # channels, positions
_FIXED_MACS = 3 * 9 * 16 * 1024 + sum((9 * c * 2 * c + 9 * 4 * c * c + c * 2 * c) * p // 4 for c, p in _STAGES[:2])


def read(codes: Codes) -> Codes:
    """Returns codes with `none` for operations whose output nobody reads: an engine may remove them.

    What is read but has no input stays: it computes on zeros. Codes int64[cells, 6] are indices of OPERATIONS.
    """
    kept = codes.copy()
    is_read = np.zeros((len(codes), 4), bool)
    is_read[:, 3] = True
    for edge in reversed(range(len(EDGES))):
        start, end = EDGES[edge]
        kept[~is_read[:, end], edge] = _NONE
        is_read[:, start] |= kept[:, edge] != _NONE
    return kept


def live(codes: Codes) -> Codes:
    """Returns codes with `none` for operations that lie on no path from the input to the output."""
    kept = read(codes)
    has_input = np.zeros((len(codes), 4), bool)
    has_input[:, 0] = True
    for edge, (start, end) in enumerate(EDGES):
        kept[~has_input[:, start], edge] = _NONE
        has_input[:, end] |= kept[:, edge] != _NONE
    return kept


def cell_macs(codes: Codes) -> Floats:
    """Returns multiply-accumulates of the networks, without the classifier's, float64[cells]."""
    units = _KERNEL[codes].sum(axis=1)
    macs: Floats = np.asarray(_FIXED_MACS + _CELLS * units * sum(c * c * p for c, p in _STAGES), np.float64)
    return macs


def describe_cells(codes: Codes) -> Floats:
    """Returns features of cells, float64[cells, 44].

    How often each operation occurs and the logarithm of the MACs, of all operations, of those that are read and of
    those that are live; then, of what is live: each path from input to output, its operations, and how deep it is.
    """
    alive = live(codes)
    views = (codes, read(codes), alive)
    counts = [(view == code).sum(axis=1) for view in views for code in (_SKIP, _CONV1, _CONV3, _POOL)]
    sizes = [np.log(cell_macs(view)) for view in views]
    return np.stack([*counts, *sizes, *_paths(alive), *_depths(alive)], axis=1).astype(np.float64)


def _paths(alive: Codes) -> list[NDArray[np.int64]]:
    found: list[NDArray[np.int64]] = []
    for path in _PATHS:
        codes = alive[:, path]
        whole = (codes != _NONE).all(axis=1).astype(np.int64)
        found += [whole, *(whole * (codes == code).sum(axis=1) for code in (_CONV3, _CONV1, _POOL))]
        found.append(whole * (codes == _SKIP).all(axis=1))
    return found


def _depths(alive: Codes) -> list[NDArray[np.int64]]:
    whole = np.stack([(alive[:, path] != _NONE).all(axis=1) for path in _PATHS], axis=1)
    convs = np.stack([np.isin(alive[:, path], (_CONV1, _CONV3)).sum(axis=1) for path in _PATHS], axis=1)
    convs3 = np.stack([(alive[:, path] == _CONV3).sum(axis=1) for path in _PATHS], axis=1)
    depth = np.where(whole, convs + 1, 0)
    found = (
        depth.max(axis=1),
        np.where(whole, depth, 9).min(axis=1) * whole.any(axis=1),
        np.where(whole, convs3 + 1, 0).max(axis=1),
        whole.sum(axis=1),
        whole.any(axis=1),
        (depth == 1).sum(axis=1),
        np.where(whole, convs, 0).sum(axis=1),
        np.isin(alive, (_CONV1, _CONV3)).any(axis=1),
        (alive == _CONV3).any(axis=1),
    )
    return [np.asarray(values, np.int64) for values in found]
