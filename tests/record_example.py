"""A made-up profile record with known latencies, for tests of what reads records."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from edgert.plugins import LayerTime
from edgert.profiler.board_record import BOARD_SCHEMA, BoardRecord, FlashBytes, RamBytes, Spread
from edgert.profiler.measure import summarize
from edgert.profiler.record import (
    SCHEMA,
    DeviceFacts,
    EngineRecord,
    EnvironmentRecord,
    EnvironmentSample,
    MemoryRecord,
    Method,
    ModelFacts,
    Record,
    Stages,
    Verdict,
)

DEVICE = DeviceFacts("Board X", "Board X", "SoC Y", "aarch64", 4, 2 << 30, "Linux", "6.1")


def sample(second: float = 0.0, **changes: object) -> EnvironmentSample:
    quiet = EnvironmentSample(second, 1000.0 + second, ("performance",), (1800.0,), {"zone": 45.0}, "0x0", 0.1, 0.0)
    return dataclasses.replace(quiet, **changes)  # type: ignore[arg-type]


def environment(*during: EnvironmentSample) -> EnvironmentRecord:
    return EnvironmentRecord(sample(0), during or (sample(1), sample(2)), sample(3))


def windows(median_ms: float, spread_ms: float = 0.1, *, seed: int = 0, count: int = 10) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(median_ms, spread_ms, 60) for _ in range(count)]


def record(median_ms: float = 10.0, *, seed: int = 0, given: Sequence[np.ndarray] = (), **changes: object) -> Record:
    latency = summarize(list(given) or windows(median_ms, seed=seed))
    made = Record(
        schema=SCHEMA,
        created="2026-01-01T00:00:00+00:00",
        source="measured",
        model=ModelFacts("net", "a" * 64, "b" * 64, "onnx", "int8", 1000),
        variant="onnx-int8",
        device=DEVICE,
        engine=EngineRecord("onnxruntime", "1.23.2", 1, "neon_dotprod", "0.1.0", "3.11.2", "1.26.4"),
        environment=environment(),
        method=Method("perf_counter_ns", 30, True, 10, 600, "random", 0),
        latency=latency,
        stages=Stages(None, latency.p50_ms, None, "no steps"),
        memory=MemoryRecord(5.0, 12.0, 1, 2, 3),
        verdict=Verdict.VALID,
        reasons=(),
        layers=(LayerTime("conv", "Conv", 1.0, "CPUExecutionProvider"),),
        energy_reason="no sensor",
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def board_record(count: int = 1000, **changes: object) -> BoardRecord:
    made = BoardRecord(
        schema=BOARD_SCHEMA,
        created="2026-01-01T00:00:00+00:00",
        source="emulated",
        model=ModelFacts("net", "a" * 64, "c" * 64, "c", "int8", 900),
        variant="c-board",
        device=DeviceFacts("board", "Board M", "Cortex-M4", "thumbv7em", 1, 1 << 18, "firmware", "protocol 1"),
        engine=EngineRecord("firmware", "1", 1, "dsp", "0.1.0", "3.11.2", "1.26.4"),
        clock_hz=100_000_000,
        input="random",
        seed=0,
        instructions=count,
        cycles=None,
        spread=Spread(count, count, 3, 1.0),
        ram_bytes=RamBytes(100, 10, 20),
        flash_bytes=FlashBytes(3000, 900),
        energy_reason="no meter",
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]
