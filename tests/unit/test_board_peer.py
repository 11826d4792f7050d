from __future__ import annotations

from typing import Any

import pytest

from edgert_converters.comparison.board_peer import _places
from edgert_converters.comparison.parts import Port


def plan_of(writes: list[int], reads: list[list[int]], *, stored_bytes: int = 4) -> dict[str, Any]:
    buffers = [{"name": name, "shape": [4], "dtype": "int8", "offset": 0, "bytes": 4} for name in ("x", "a", "y")]
    buffers[1]["bytes"] = stored_bytes
    layers = [{"reads": read, "writes": [write]} for write, read in zip(writes, reads, strict=True)]
    return {"buffers": buffers, "layers": layers, "inputs": [0], "outputs": [2]}


@pytest.mark.parametrize(
    ("plan", "stops"),
    [
        pytest.param(plan_of([1, 2], [[0], [1]]), {0: ["a"], 1: ["y"]}, id="layer by layer"),
        pytest.param(plan_of([1, 1, 2], [[0], [0], [1]]), {1: ["a"], 2: ["y"]}, id="in strips, read when whole"),
        pytest.param(plan_of([1, 2, 1, 2], [[0], [1], [0], [1]]), {3: ["y"]}, id="read between its strips"),
        pytest.param(plan_of([1, 2], [[0], [1]], stored_bytes=2), {1: ["y"]}, id="never there as a whole"),
    ],
)
def test_only_buffers_that_are_whole_are_read(plan: dict[str, Any], stops: dict[int, list[str]]) -> None:
    found = _places(plan, ["renamed", "a"], [Port("y", (0,)), Port("a", (0,))])
    assert {layer: [port.value for port, _ in places] for layer, places in found.items()} == stops


def test_values_that_have_no_buffer_are_left_out() -> None:
    found = _places(plan_of([1, 2], [[0], [1]]), ["y", "reshaped"], [Port("", (0,)), Port("b", (0,))])
    assert found == {}
