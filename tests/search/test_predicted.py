"""Exact points win over predictions, and no estimate ever stands on the front of a study."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from edgert.commands.search import search
from edgert.cost.architecture import ArchitectureSample, WholeQuantity, fit_architecture
from edgert.cost.device_cost import Platform
from edgert.cost.prediction import Prediction
from edgert.errors import UsageError
from edgert.search.algorithm import Trial
from edgert.search.algorithms import ALGORITHMS
from edgert.search.cells import OPERATIONS
from edgert.search.evaluator import Evaluation, Evaluator
from edgert.search.goals import Goals, Quantity, parse_limit
from edgert.search.predicted import ESTIMATED, PredictedEvaluator, is_estimated, measured_points
from edgert.search.problem import Problem, ProblemRequest
from edgert.search.space import Choice, ProductSpace, choice_key
from edgert.search.storage import open_storage
from edgert.search.tables import TableEvaluator, load_table, space_of
from tests.bench.cell_networks import layers_of_cells
from tests.search import problems
from tests.search.problems import evaluated

WriteRecipe = Callable[..., Path]
GOALS = Goals((Quantity.ACCURACY, Quantity.LATENCY_MS), (parse_limit("latency_ms <= 25"),))


def too_good(choices: Sequence[Choice]) -> Prediction:
    """Says that every candidate is better than any is."""
    ones = np.ones(len(choices))
    return Prediction(0.99 * ones, 0.9 * ones, ones, 0.9)


OPTIMIST = {Quantity.ACCURACY: too_good, Quantity.LATENCY_MS: too_good, Quantity.SIZE_BYTES: too_good}


def make_predicted(request: ProblemRequest, device: str) -> Problem:
    """What somebody might try: predictions in the place of the device."""
    return Problem(ProductSpace({**problems.SPACE, **request.space}), PredictedEvaluator(OPTIMIST))


def all_choices() -> list[Choice]:
    return [dict(zip(problems.SPACE, values, strict=True)) for values in itertools.product(*problems.SPACE.values())]


def points_of(recipe: Path) -> dict[str, Evaluation]:
    with contextlib.closing(open_storage(str(recipe.with_suffix(".search.db")))) as storage:
        return measured_points(storage, problems.Known("local:").identity, GOALS)


def test_exact_points_win_and_the_rest_is_estimated(recipe: WriteRecipe, log: Path) -> None:
    path = recipe()
    standing = search(path).standing
    points = points_of(path)
    assert len(points) == len(standing.finished) == 9
    evaluator: Evaluator = PredictedEvaluator(OPTIMIST, points)
    begun = len(evaluated(log))
    known = {choice_key(entry.choice): entry.evaluation for entry in standing.entries}
    for choice in all_choices():
        found = evaluator.evaluate(choice, seed=1)
        exact = known.get(choice_key(choice))
        assert is_estimated(found) == (exact is None)
        if exact is not None:
            assert found == exact
        else:
            assert found.measured[Quantity.LATENCY_MS] == pytest.approx(0.99)
            assert found.facts["source"] == ESTIMATED
            interval = found.facts["interval"]
            assert interval["latency_ms"] == {"low": pytest.approx(0.9), "high": pytest.approx(1.0), "level": 0.9}
            json.dumps(found.facts, allow_nan=False)
    assert len(evaluated(log)) == begun  # nothing is measured


def test_a_candidate_that_is_known_to_fail_fails(recipe: WriteRecipe) -> None:
    path = recipe("space = { ratio = [0.5], size = [192] }")
    search(path)
    found = PredictedEvaluator(OPTIMIST, points_of(path)).evaluate(
        {"precision": "fp16", "size": 192, "ratio": 0.5}, seed=0
    )
    assert found.failure == "does not convert: no such kernel"


def test_points_of_another_device_are_none(recipe: WriteRecipe) -> None:
    path = recipe("evaluations = 2")
    search(path, devices=("other",))
    assert points_of(path) == {}


def test_an_interval_without_a_bound_is_null() -> None:
    def unbounded(choices: Sequence[Choice]) -> Prediction:
        return Prediction(np.array([2.0]), np.array([0.0]), np.array([np.inf]), 0.9)

    found = PredictedEvaluator({Quantity.LATENCY_MS: unbounded}).evaluate(all_choices()[0], seed=0)
    assert found.facts["interval"] == {"latency_ms": {"low": 0.0, "high": None, "level": 0.9}}


def test_a_study_over_predictions_is_refused_before_its_first_trial(recipe: WriteRecipe) -> None:
    path = recipe('python = "tests.search.test_predicted:make_predicted"')
    with pytest.raises(UsageError, match="predictions are no measurements, and a study measures: give it the exact"):
        search(path)
    assert not path.with_suffix(".search.db").exists()


def test_every_point_of_a_front_was_measured_however_good_the_predictions_look(recipe: WriteRecipe, log: Path) -> None:
    """After a search over predictions, the study measures each point of its own front twice on the device."""
    predicted = PredictedEvaluator(OPTIMIST)
    algorithm = ALGORITHMS["random"](ProductSpace({**problems.SPACE, "size": (96,)}), GOALS, seed=0, evaluations=9)
    finished: list[Trial] = []
    while (choice := algorithm.ask(len(finished), finished, ())) is not None and len(finished) < 9:
        measured = predicted.evaluate(choice, seed=0).measured
        finished.append(Trial(len(finished), choice, GOALS.minimized(measured), GOALS.excesses(measured)))
    assert all(trial.is_feasible for trial in finished)
    assert evaluated(log) == []

    result = search(recipe("space = { size = [96] }"))
    assert result.standing.front
    times = [key for key, _ in evaluated(log)]
    for point in result.standing.front:
        assert times.count(json.dumps(dict(point.choice), sort_keys=True)) == 2
        assert point.again is not None
        assert point.facts.get("source") != ESTIMATED
        assert point.measured[Quantity.LATENCY_MS] > 1.5  # the optimist said 0.99
    assert not any(is_estimated(entry.evaluation) for entry in result.standing.entries if entry.evaluation)


def test_whole_networks_predict_what_nobody_measured(zoo: Path) -> None:
    """Latency of NAS-Bench-201's cells from 30 measured ones; those are returned as they were measured."""
    table = load_table(zoo / "hwbench" / "nasbench201_latency.parquet")
    exact, space = TableEvaluator(table, "silver_4210r"), space_of(table)
    random = np.random.default_rng(3)
    drawn = {choice_key(choice): choice for choice in (space.sample(random) for _ in range(40))}
    known, asked = list(drawn.values())[:30], list(drawn.values())[30:]

    def layers_of(choice: Choice) -> tuple:
        return layers_of_cells([OPERATIONS.index(str(value)) for value in choice.values()], cells=1)

    points = {choice_key(choice): exact.evaluate(choice, seed=0) for choice in known}
    cost = fit_architecture(
        [
            ArchitectureSample(
                choice_key(choice), layers_of(choice), points[choice_key(choice)].measured[Quantity.LATENCY_MS]
            )
            for choice in known
        ],
        WholeQuantity.LATENCY_MS,
        Platform(None, None, "x86_64", None, "", "", 1),
        created="now",
    )
    evaluator = PredictedEvaluator({Quantity.LATENCY_MS: lambda choices: cost.predict(layers_of(choices[0]))}, points)
    for choice in known:
        assert evaluator.evaluate(choice, seed=0) == exact.evaluate(choice, seed=0)
    estimates = [evaluator.evaluate(choice, seed=0) for choice in asked]
    truth = [exact.evaluate(choice, seed=0).measured[Quantity.LATENCY_MS] for choice in asked]
    errors = [abs(item.measured[Quantity.LATENCY_MS] / value - 1) for item, value in zip(estimates, truth, strict=True)]
    assert all(is_estimated(item) for item in estimates)
    assert np.median(errors) < 0.1
