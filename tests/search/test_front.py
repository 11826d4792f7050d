"""Fronts and hypervolumes against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from edgert.search.front import front_ranks, hypervolume, nondominated


def dominated(values: np.ndarray) -> list[bool]:
    return [any((other <= row).all() and (other < row).any() for other in values) for row in values]


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_nondominated_is_what_the_definition_says(objectives: int) -> None:
    random = np.random.default_rng(objectives)
    for values in (random.random((80, objectives)), random.integers(0, 4, (80, objectives)).astype(float)):
        assert nondominated(values).tolist() == [not item for item in dominated(values)]


def test_equal_points_of_a_front_all_stay() -> None:
    assert nondominated(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 2.0]])).tolist() == [
        True,
        True,
        True,
        False,
    ]


def test_nothing_is_a_front_of_nothing() -> None:
    assert nondominated(np.empty((0, 2))).size == 0
    assert hypervolume(np.empty((0, 2)), np.ones(2)) == 0.0


def test_ranks_count_the_fronts_that_are_peeled_off() -> None:
    assert front_ranks(np.array([[1.0, 1.0], [2.0, 2.0], [0.5, 3.0], [3.0, 3.0], [2.5, 1.5]])).tolist() == [
        0,
        1,
        0,
        2,
        1,
    ]


def test_hypervolume_by_hand() -> None:
    points = np.array([[1.0, 3.0], [2.0, 1.0], [2.5, 2.5], [5.0, 0.0], [0.0, 4.0]])
    assert hypervolume(points, np.array([4.0, 4.0])) == pytest.approx(1 * 1 + 2 * 3)
    assert hypervolume(np.array([[0.25]]), np.array([1.0])) == 0.75
    boxes = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    assert hypervolume(boxes, np.full(3, 2.0)) == pytest.approx(3 * 2 - 3 * 1 + 1)


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_hypervolume_is_the_share_of_a_box_that_draws_find_dominated(objectives: int) -> None:
    random = np.random.default_rng(objectives)
    points = random.random((12, objectives))
    draws = random.random((40_000, objectives)) * 1.1
    share = (points[np.newaxis] <= draws[:, np.newaxis]).all(axis=2).any(axis=1).mean()
    error = 4 * np.sqrt(share * (1 - share) / len(draws)) * 1.1**objectives
    assert hypervolume(points, np.full(objectives, 1.1)) == pytest.approx(share * 1.1**objectives, abs=error)
