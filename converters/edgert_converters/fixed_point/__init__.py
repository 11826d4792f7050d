"""Whole networks in integers, without one float operation: `dfp16` and `bct`, for the integer interpreter and C.

Every tensor is integers with power-of-two scales; docs/numerics.md has the formulas. No engine runs these families.
"""
