"""Random graphs as C: every kernel variant, whole and in strips, gives the interpreter's integers.

`EDGERT_GRAPHS=1000 pytest tests/microcontrollers/test_random_graphs.py` looks at that many graphs, always the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from edgert.errors import ModelError
from edgert_converters.exporters.c import CFolder, Core, Instructions, export_c, ram
from edgert_converters.exporters.c.export import lower
from edgert_converters.exporters.c.kernels import depthwise
from edgert_converters.exporters.c.planner import plan_memory
from tests.microcontrollers.c_program import AS_ANYBODY, SANITIZERS, WARNINGS, read_kernel
from tests.microcontrollers.many_models import compile_models, run_model
from tests.microcontrollers.random_graphs import RandomGraph, random_graphs
from tests.property.arena import run_in_arena

COUNT: Final = int(os.environ.get("EDGERT_GRAPHS", "400"))
BATCH: Final = 8
CORES: Final = {
    "portable": Core("cortex-m3", has_fpu=False),
    "dsp": Core("cortex-m4", Instructions.DSP),
    "mve": Core("cortex-m55", Instructions.MVE),
}
# Sanitized code takes a third of the time to compile where it is not optimized as well.
OPTIONS: Final = (
    ("-O0", "-std=c99", *WARNINGS, *SANITIZERS),
    ("-O0", "-std=c99", "-DEDGERT_NO_FPU", *WARNINGS, *SANITIZERS),
    (*AS_ANYBODY, "-Wall", "-Wextra", "-Werror"),
    ("-O1", "-std=c99", *WARNINGS, *SANITIZERS),
)
_STEPS: Final = 300
"""Placements that a plan may cost here: how small an arena gets is another test's business."""
_FEW_SPARE_BYTES: Final = 100
_REFUSALS: Final = ("are too far apart", "can reach 2^22 steps of the output", "scaled they can leave 32 bits")


@pytest.fixture(autouse=True)
def quick_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ram, "plan_memory", partial(plan_memory, steps=_STEPS))


@cache
def _graphs() -> list[RandomGraph]:
    """The same graphs every time."""
    found: list[RandomGraph] = []

    @settings(
        max_examples=COUNT,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(random_graphs())
    def keep(graph: RandomGraph) -> None:
        found.append(graph)

    keep()
    return found


def _is_refused(graph: RandomGraph) -> bool:
    """True where scales differ so much that no kernel is exact, which is said at conversion."""
    try:
        lower(graph.model, CORES["portable"], "any")
    except ModelError as error:
        if not any(words in str(error) for words in _REFUSALS):
            raise
        return True
    return False


def _folders(number: int, graph: RandomGraph) -> Iterator[CFolder]:
    """Yields the graph as C for every core, and for one of them in the smallest arena that strips give."""
    if _is_refused(graph):
        return
    for turn, (kind, core) in enumerate(CORES.items()):
        name = f"g{number}_{kind}"
        folder = export_c(graph.model, core, read_kernel, name=name)
        yield folder
        if turn == number % len(CORES):
            arena = ram.curve(lower(graph.model, core, name))[-1].plan.arena_bytes
            if arena < folder.plan.arena_bytes:
                yield export_c(graph.model, core, read_kernel, name=f"{name}_strips", max_arena_bytes=arena)


def _check_plan(folder: CFolder, symbols: object) -> object:
    """Asserts that what every output is made of is what it is made of where no two buffers share memory."""
    found = run_in_arena(folder.network, folder.plan)
    if symbols is None:
        apart = replace(
            folder.network, layers=tuple(replace(layer, overwrites=frozenset()) for layer in folder.network.layers)
        )
        symbols = run_in_arena(apart, plan_memory(apart, steps=0))
    assert found == symbols, folder.network.name
    return symbols


def _wrong(program: Path, folders: Sequence[tuple[CFolder, RandomGraph]]) -> Iterator[str]:
    for number, (folder, graph) in enumerate(folders):
        names = [folder.network.buffers[index].name for index in folder.network.inputs]
        feed = dict(zip(names, graph.feed.values(), strict=True))
        (found,) = run_model(program, number, folder, [feed])
        if not all(np.array_equal(got, wanted.reshape(-1)) for got, wanted in zip(found, graph.expected, strict=True)):
            kernels = [layer.call.kernel for layer in folder.network.layers]
            yield f"{folder.network.name} {graph} by {kernels}"


@pytest.mark.parametrize("batch", range(-(-COUNT // BATCH)))
def test_c_gives_the_interpreters_integers(batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if batch % 3 == 1:  # depthwise convolutions have little room and go by strips of their own
        monkeypatch.setattr(depthwise, "_SPARE_BYTES", _FEW_SPARE_BYTES)
    folders: list[tuple[CFolder, RandomGraph]] = []
    for number, graph in list(enumerate(_graphs()))[batch * BATCH : (batch + 1) * BATCH]:
        symbols: object = None
        for folder in _folders(number, graph):
            if not folder.network.name.endswith("strips"):
                symbols = None
            symbols = _check_plan(folder, symbols)
            folders.append((folder, graph))
    program = compile_models([folder for folder, _ in folders], tmp_path, OPTIONS[batch % len(OPTIONS)])
    assert not list(_wrong(program, folders))


def test_the_graphs_are_worth_looking_at() -> None:
    """Both modes, branches, several outputs, and most of what C has kernels for."""
    graphs = _graphs()
    operators = {node.op_type for graph in graphs for node in graph.model.graph}
    assert {graph.mode.value for graph in graphs} == {"q31", "fp32"}
    assert operators >= {"Add", "AveragePool", "Clip", "Concat", "Conv", "Gemm", "MaxPool", "Pad", "Softmax"}
    assert any(len(graph.expected) > 1 for graph in graphs)
    assert sum(_is_refused(graph) for graph in graphs) < len(graphs) / 2


def test_same_graph_same_bytes() -> None:
    for number, graph in enumerate(_graphs()[:BATCH]):
        first, second = (list(_folders(number, graph)) for _ in range(2))
        assert [folder.files for folder in first] == [folder.files for folder in second]
