"""The search algorithms, one file each; `ALGORITHMS` names them for recipes."""

from __future__ import annotations

from edgert.search.algorithm import MakeAlgorithm

__all__ = ["ALGORITHMS"]

ALGORITHMS: dict[str, MakeAlgorithm] = {}
"""Name in a recipe -> what makes the algorithm."""
