"""The search algorithms, one file each; `ALGORITHMS` names them for recipes."""

from __future__ import annotations

from edgert.search.algorithm import MakeAlgorithm
from edgert.search.algorithms.greedy import Greedy
from edgert.search.algorithms.nsga2 import Nsga2
from edgert.search.algorithms.predictor import PredictorGuided
from edgert.search.algorithms.random_search import RandomSearch

__all__ = ["ALGORITHMS"]

ALGORITHMS: dict[str, MakeAlgorithm] = {
    "predictor": PredictorGuided,
    "nsga2": Nsga2,
    "greedy": Greedy,
    "random": RandomSearch,
}
"""Name in a recipe -> what makes the algorithm."""
