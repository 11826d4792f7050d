"""Which few networks to measure on a new device, given what an earlier device costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.cost.detect import ENGINE, detect_kernels
from edgert.cost.device_cost import DeviceCost
from edgert.cost.kernels import Kernel
from edgert.cost.latency import LatencyModel
from edgert.cost.selection import choose_rows
from edgert.cost.teach import VARIANTS, Form, draft
from edgert.plugins import ProgressReporter

__all__ = ["choose_forms", "choose_networks"]

_COMMON, _OF_FAMILY = 1.0, 0.25
"""Deviations of the logarithm of the ratio of two devices: of all kernels together, and of each family besides."""


def choose_forms(earlier: DeviceCost, count: int, progress: ProgressReporter) -> list[Form]:
    """Returns the forms of random networks whose latencies tell most of a new device, the most telling first.

    Args:
        earlier: costs of another device.
        count: how many.
        progress: told candidates done.
    """
    seeds = 2 * count
    forms, kernels = [], []
    for seed in range(seeds):
        progress("choosing networks", seed, seeds)
        bundle = draft(seed)
        for variant in VARIANTS[ENGINE]:
            forms.append((seed, variant))
            kernels.append(detect_kernels(bundle, variant, earlier.platform)[0])
    return [forms[place] for place in choose_networks(earlier.latency, kernels, count)]


def choose_networks(earlier: LatencyModel, candidates: Sequence[Sequence[Kernel]], count: int) -> list[int]:
    """Returns the places of candidates after whose measurement the latencies of all would be known best.

    A new device differs from the earlier one by a ratio of all kernels and one of each family; what a network tells of
    a family is the share of its latency that the family takes. Greedy V-optimal design (`edgert.cost.selection`).
    """
    families = sorted({kernel.family for kernels in candidates for kernel in kernels})
    shares = np.zeros((len(candidates), len(families)))
    for row, kernels in enumerate(candidates):
        estimate = earlier.estimate(kernels)
        for kernel, ms in zip(kernels, estimate.kernel_ms.tolist(), strict=True):
            shares[row, families.index(kernel.family)] += ms / estimate.ms
    design = np.column_stack([_COMMON * shares.sum(axis=1), _OF_FAMILY * shares])
    return [int(row) for row in choose_rows(design, count)]
