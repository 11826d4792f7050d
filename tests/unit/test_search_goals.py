"""Limits are read, and say how far they are broken."""

from __future__ import annotations

import math

import pytest

from edgert.errors import RecipeError
from edgert.search.goals import Goals, Limit, Quantity, parse_limit


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("latency_ms <= 30", Limit(Quantity.LATENCY_MS, 30.0)),
        (" ram_bytes<=65_536 ", Limit(Quantity.RAM_BYTES, 65536.0)),
        ("accuracy >= 0.9", Limit(Quantity.ACCURACY, 0.9)),
    ],
)
def test_limits_are_read(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit
    assert parse_limit(str(limit)) == limit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("latency_ms = 30", "write QUANTITY <= NUMBER, or accuracy >= NUMBER"),
        ("latency <= 30", "no quantity 'latency'; did you mean 'latency_ms'"),
        ("latency_ms >= 30", "latency_ms is limited with <="),
        ("accuracy <= 0.9", "accuracy is limited with >="),
        ("latency_ms <= 1e999", "'1e999' is no finite number"),
        ("latency_ms <= 1.2.3", "'1.2.3' is no finite number"),
    ],
)
def test_what_is_no_limit_is_refused(text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        parse_limit(text)


def test_an_excess_is_a_share_of_the_bound() -> None:
    measured = {Quantity.LATENCY_MS: 45.0, Quantity.ACCURACY: 0.6}
    assert Limit(Quantity.LATENCY_MS, 30.0).excess(measured) == pytest.approx(0.5)
    assert Limit(Quantity.ACCURACY, 0.8).excess(measured) == pytest.approx(0.25)
    assert Limit(Quantity.LATENCY_MS, 45.0).excess(measured) == 0
    assert Limit(Quantity.LATENCY_MS, 30.0).excess({Quantity.LATENCY_MS: math.nan}) == math.inf


def test_goals_name_all_that_is_measured() -> None:
    goals = Goals((Quantity.ACCURACY, Quantity.LATENCY_MS), (parse_limit("ram_bytes <= 10"),))
    assert goals.quantities == (Quantity.ACCURACY, Quantity.LATENCY_MS, Quantity.RAM_BYTES)
    measured = {Quantity.ACCURACY: 0.7, Quantity.LATENCY_MS: 3.0, Quantity.RAM_BYTES: 5.0}
    assert goals.minimized(measured) == (-0.7, 3.0)
    assert goals.excesses(measured) == (-0.5,)


@pytest.mark.parametrize("objectives", [(), (Quantity.ACCURACY, Quantity.ACCURACY)])
def test_goals_need_objectives_once(objectives: tuple[Quantity, ...]) -> None:
    with pytest.raises(RecipeError, match="a search needs one objective or more, each once"):
        Goals(objectives)
