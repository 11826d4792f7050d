"""What a Dask worker is asked: JSON texts in, a JSON text out, by functions of this module alone."""

from __future__ import annotations

import functools
import json

from edgert.codec import JsonValue, from_plain, parse_json, to_plain
from edgert.errors import EdgertError
from edgert.search.evaluator import Evaluation
from edgert.search.executor import evaluate_safely
from edgert.search.goals import Quantity
from edgert.search.problem import Problem, ProblemRequest, make_problem

__all__ = ["RemoteError", "evaluate_there", "evaluation_of", "identify_there", "identity_of", "request_text"]


class RemoteError(EdgertError):
    """What a worker raised, with its exit code."""

    def __init__(self, text: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(text)


def identify_there(request: str, device: str) -> str:
    """Returns the identity of the evaluator as JSON; runs on the worker that owns the device."""
    try:
        return json.dumps({"identity": _problem(request, device).evaluator.identity})
    except EdgertError as error:
        return _refusal(error)


def evaluate_there(request: str, device: str, choice: str, seed: int) -> str:
    """Returns the evaluation of a choice as JSON; runs on the worker that owns the device."""
    try:
        evaluation = evaluate_safely(_problem(request, device).evaluator, parse_json(choice), seed)
    except EdgertError as error:
        return _refusal(error)
    measured = {quantity.value: value for quantity, value in evaluation.measured.items()}
    # NaN passes: who asked refuses it with a reason
    return json.dumps({"measured": measured, "failure": evaluation.failure, "facts": evaluation.facts})


def identity_of(reply: str) -> str:
    """Returns what `identify_there` found.

    Raises:
        RemoteError: it failed there.
    """
    return str(_accepted(reply)["identity"])


def evaluation_of(reply: str) -> Evaluation:
    """Returns what `evaluate_there` found.

    Raises:
        RemoteError: it failed there in a way that would stop every other evaluation, too.
    """
    plain = _accepted(reply)
    measured = {Quantity(name): float(value) for name, value in plain["measured"].items()}
    return Evaluation(measured, plain["failure"], plain["facts"])


def request_text(request: ProblemRequest) -> str:
    """Returns a request as JSON."""
    return json.dumps(to_plain(request), sort_keys=True)


@functools.lru_cache(maxsize=4)
def _problem(request: str, device: str) -> Problem:
    """Made once in a worker: a model and its data are not read again for every candidate."""
    return make_problem(from_plain(ProblemRequest, parse_json(request)), device)


def _refusal(error: EdgertError) -> str:
    return json.dumps({"error": str(error), "exit_code": error.exit_code})


def _accepted(reply: str) -> JsonValue:
    plain = json.loads(reply)
    if "error" in plain:
        raise RemoteError(plain["error"], plain["exit_code"])
    return plain
