"""What is searched: a space and what evaluates its choices, made by kind from JSON, here or on a worker elsewhere."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgert.errors import RecipeError
from edgert.search.evaluator import Evaluator
from edgert.search.goals import Quantity
from edgert.search.space import Space

__all__ = ["KINDS", "Problem", "ProblemRequest", "make_problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Where candidates come from, and what finds out what they are worth on one device."""

    space: Space
    evaluator: Evaluator


@dataclass(frozen=True, slots=True)
class ProblemRequest:
    """All that makes a problem but the device.

    Attributes:
        kind: a key of KINDS.
        recipe: absolute path of edgert.toml.
        quantities: what must be measured.
        rate_hz: inferences per second at which gross energy is counted; None: back to back.
        duration_s: measuring time of one candidate.
        function: `module:function` of kind `python`.
        table: absolute path of the measurements of kind `table`.
        dataset: whose accuracy counts, for kind `table`; None: that which the kind takes.
        space: values of dimensions that replace those of the kind.
        seed: of the search, for what is drawn once for all candidates.
    """

    kind: str
    recipe: str
    quantities: tuple[Quantity, ...]
    rate_hz: float | None = None
    duration_s: float = 1.0
    function: str | None = None
    table: str | None = None
    dataset: str | None = None
    space: dict[str, tuple[str | int | float, ...]] = field(default_factory=dict)
    seed: int = 0


def make_problem(request: ProblemRequest, device: str) -> Problem:
    """Returns the problem of a request on a device.

    Raises:
        RecipeError: the recipe does not say what the kind needs.
        EdgertError: what the kind itself raises: a model, data or a device cannot be used.
    """
    return KINDS[request.kind](request, device)


def _compression(request: ProblemRequest, device: str) -> Problem:
    from edgert.search.compression import make_compression

    return make_compression(request, device)


def _table(request: ProblemRequest, device: str) -> Problem:
    from edgert.search.tables import make_table

    return make_table(request, device)


def _python(request: ProblemRequest, device: str) -> Problem:
    """Calls the user's own function with the request and the device; modules beside the recipe come first."""
    module, separator, name = (request.function or "").partition(":")
    if not separator or not name:
        raise RecipeError(f'{request.recipe}: [search]: kind "python" needs python = "module:function"')
    folder = str(Path(request.recipe).parent)
    sys.path.insert(0, folder)
    try:
        make = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"{request.recipe}: [search]: python = {request.function!r}: {error}") from error
    finally:
        sys.path.remove(folder)
    problem = make(request, device)
    if not isinstance(problem, Problem):
        kind = type(problem).__name__
        raise RecipeError(f"{request.function} returned {kind}, expected an edgert.search.problem.Problem")
    return problem


KINDS: dict[str, Callable[[ProblemRequest, str], Problem]] = {
    "compression": _compression,
    "table": _table,
    "python": _python,
}
"""Kind of problem -> what makes it."""
