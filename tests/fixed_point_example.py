"""What the tests of both integer families share: the operators' cases that they compute, and a measure of error."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from edgert_converters.fixed_point.rules import RULES
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import Array, Case

__all__ = ["CASES", "case_feed", "signal_to_noise_db"]

# indices of numbers, statistics beside the result, exponents and constants that are no single number or not zero
_REFUSED = {"statistics", "indices", "column_major", "elementwise", "whole_exponent"}


def case_feed(case: Case) -> dict[str, Array]:
    """Returns the inputs of a case that are no constants, as its model calls them."""
    given = enumerate(case.inputs)
    return {f"x{i}": a for i, a in given if a is not None and i not in case.constant_inputs}


def _computes(op: str, case: Case) -> bool:
    first = case.inputs[0]
    is_number = first is not None and first.dtype == np.float32 and 0 not in case.constant_inputs
    return is_number and case.name not in _REFUSED and (op, case.name) != ("Pad", "constant")


CASES: Final = [(op, case) for op in sorted(RULES) for case in OPERATORS[op].cases if _computes(op, case)]


def signal_to_noise_db(expected: Array, found: Array) -> float:
    """Returns 10 log10 of the expected over the error's energy; infinity where they are equal."""
    signal = float((np.asarray(expected, np.float64) ** 2).sum())
    error: Any = np.asarray(expected, np.float64) - np.asarray(found, np.float64)
    return float(10 * np.log10(signal / max(float((error**2).sum()), 1e-300)))
