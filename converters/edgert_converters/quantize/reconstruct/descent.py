"""Rounds rows of weights so that the error of what they compute is small, by coordinate descent.

Source: Nagel, Amjad, van Baalen, Louizos and Blankevoort, Up or down? Adaptive rounding for post-training quantization,
2020, arXiv:2004.10568: the objective is their equation 13, min over the rounding of dw^T E[x x^T] dw for each output
channel. We deviate in how it is solved: not by gradients on a relaxed rounding (equations 21-25) but exactly one weight
after another with all others held, in sweeps until nothing moves, which needs E[x x^T] only and no second pass over
data; and an integer may move further than to its two neighbours. The order is that of the largest diagonal first
(Frantar, Ashkboos, Hoefler and Alistarh, GPTQ, 2022, arXiv:2210.17323, order rows likewise in its later code).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["SWEEPS", "round_rows"]

SWEEPS = 4
"""More change less than 1 % of what the first changes."""
DAMPING = 1e-3
"""Share of the mean diagonal added to the diagonal: directions that the samples hardly show are not free."""


def round_rows(rows: Tensor, scales: Tensor, second: Tensor, largest: int, sweeps: int = SWEEPS) -> Tensor:
    """Returns integers, as float64 [G, M, K].

    Args:
        rows: float weights, float64 [G, M, K].
        scales: one per row, float64 [G, M, 1].
        second: E[x x^T], float64 [G, K, K].
        largest: largest magnitude of an integer.
        sweeps: at most so many; 0 rounds to nearest.
    """
    wanted = rows / scales
    integers = torch.round(wanted).clamp_(-largest, largest)
    diagonal = torch.diagonal(second, dim1=1, dim2=2)
    damped = diagonal + DAMPING * diagonal.mean(1, keepdim=True) + 1e-30
    curvature = second + torch.diag_embed(damped - diagonal)
    slope = (integers - wanted) @ curvature
    order = torch.argsort(damped.mean(0), descending=True).tolist()
    for _ in range(sweeps):
        moved = False
        for k in order:
            others = slope[:, :, k] - (integers[:, :, k] - wanted[:, :, k]) * damped[:, None, k]
            best = torch.round(wanted[:, :, k] - others / damped[:, None, k]).clamp_(-largest, largest)
            step = best - integers[:, :, k]
            if bool(step.any()):
                moved = True
                slope += step[:, :, None] * curvature[:, None, k, :]
                integers[:, :, k] = best
        if not moved:
            break
    return integers
