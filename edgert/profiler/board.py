"""Measures a bundle's C on a microcontroller: what edgert.profiler.worker does on devices that run Python."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgert
from edgert.devices.board import BoardClient
from edgert.devices.board_session import BoardSession
from edgert.devices.names import Device
from edgert.devices.protocol import VERSION, Ticks
from edgert.errors import UsageError
from edgert.profiler.board_record import BOARD_SCHEMA, BoardLayer, BoardRecord, FlashBytes, RamBytes, Spread
from edgert.profiler.model_input import choose_input
from edgert.profiler.record import DeviceFacts, EnergyRecord, EngineRecord, ModelFacts

__all__ = ["MeterEnergy", "profile_board"]

Array = NDArray[Any]  # Any: element types are data
MeterEnergy = Callable[[BoardClient, bytes], EnergyRecord]
"""Measures the energy of inferences on these inputs."""

_LEAST_RUNS = 3
_MOST_RUNS = 200
_NO_METER = "no power meter was named (--energy ppk2, joulescope or serial-meter; docs/devices.md says how to wire it)"


def profile_board(  # noqa: PLR0913  # one keyword per flag of the verb
    device: Device,
    path: Path,
    inputs: Mapping[str, Array],
    *,
    created: str,
    variant: str | None = None,
    duration_s: float = 3.0,
    seed: int = 0,
    layers: bool = True,
    energy: MeterEnergy | None = None,
) -> BoardRecord:
    """Measures one variant and returns the record.

    Args:
        device: a board.
        path: a bundle with C for it.
        inputs: arrays by name; empty: a golden sample of the bundle, else random numbers.
        created: UTC time.
        variant: its id; None: the one for the board.
        duration_s: at least three runs, and more until this time is over; at most 200.
        seed: of random numbers.
        layers: also count the layers, in a run of its own.
        energy: a power meter; None: none.

    Raises:
        DeviceError: the board does not answer.
        ModelError: the bundle has no C for it.
        DataError: the inputs do not fit.
    """
    with BoardSession(device, path, variant) as session:
        data, origin = _integers(session, inputs, seed)
        client = session.client
        ticks = _run_for(client, data, duration_s)
        counted = client.profile(data) if layers else ()
        memory = client.memory()
        is_virtual = client.description.ticks is Ticks.VIRTUAL
        numbers = sorted(_count(client, tick) for tick in ticks)
        median = numbers[len(numbers) // 2]
        return BoardRecord(
            schema=BOARD_SCHEMA,
            created=created,
            source="emulated" if is_virtual else "measured",
            model=_model_facts(session),
            variant=session.found.variant.id,
            device=_device_facts(session, device),
            engine=_engine_record(session),
            clock_hz=client.description.ticks_hz,
            input=origin,
            seed=seed,
            instructions=median if is_virtual else None,
            cycles=None if is_virtual else median,
            spread=Spread(numbers[0], numbers[-1], len(numbers), _count(client, 1_000_000) / 1_000_000),
            ram_bytes=RamBytes(client.description.arena_bytes, memory.data_bss_bytes, memory.stack_bytes),
            flash_bytes=FlashBytes(memory.code_bytes, memory.weight_bytes),
            layers=tuple(_layer(client, row, count) for row, count in zip(_rows(session), counted, strict=False)),
            energy=None if energy is None else energy(client, data),
            energy_reason=_NO_METER if energy is None else None,
        )


def _integers(session: BoardSession, given: Mapping[str, Array], seed: int) -> tuple[bytes, str]:
    """The bytes of all inputs as the C takes them, and where they are from."""
    golden = {name: np.asarray(array) for name, array in session.found.golden.items()}
    names = [spec.name for spec in session.session.inputs]
    if len(names) == 1 and len(given) == 1:
        given = {names[0]: next(iter(given.values()))}
    arrays, origin = choose_input(session.session, given, golden, {}, seed)
    sent: list[bytes] = []
    session.executor.observe(sent.append)
    session.session.run(arrays)
    if len(sent) != 1:
        raise UsageError("profile takes one sample; give arrays whose leading axis is 1")
    session.executor.observe(None)
    return sent[0], origin


def _run_for(client: BoardClient, data: bytes, duration_s: float) -> list[int]:
    end, ticks = time.monotonic() + duration_s, [client.run(data).ticks for _ in range(_LEAST_RUNS)]
    while time.monotonic() < end and len(ticks) < _MOST_RUNS:
        ticks.append(client.run(data).ticks)
    return ticks


def _count(client: BoardClient, ticks: int) -> int:
    return client.instructions(ticks) if client.description.ticks is Ticks.VIRTUAL else ticks


def _rows(session: BoardSession) -> list[dict[str, Any]]:  # Any: JSON
    plan: dict[str, Any] = session.found.plan
    rows: list[dict[str, Any]] = plan["layers"]
    return rows


def _layer(client: BoardClient, row: Mapping[str, Any], ticks: int) -> BoardLayer:
    count, is_virtual = _count(client, ticks), client.description.ticks is Ticks.VIRTUAL
    cycles = None if is_virtual else count
    return BoardLayer(row["name"], row["op"], row["kernel"], row["macs"], count if is_virtual else None, cycles)


def _model_facts(session: BoardSession) -> ModelFacts:
    manifest, variant = session.found.manifest, session.found.variant
    return ModelFacts(
        name=manifest.name,
        source_sha256=manifest.source.sha256,
        variant_sha256=hashlib.sha256(session.found.files["model.c"]).hexdigest(),
        format=variant.format,
        precision=variant.precision,
        bytes=sum(row["weight_bytes"] for row in _rows(session)),
    )


def _device_facts(session: BoardSession, device: Device) -> DeviceFacts:
    target, board = session.target, session.target.microcontroller
    assert board is not None
    return DeviceFacts(
        name=device.name,
        board=target.title,
        soc=board.core,
        architecture=target.architecture,
        cores=1,
        ram_bytes=board.ram_bytes,
        system="firmware",
        kernel=f"protocol {VERSION}",
    )


def _engine_record(session: BoardSession) -> EngineRecord:
    board = session.target.microcontroller
    assert board is not None
    python = platform.python_version()
    return EngineRecord("firmware", str(VERSION), 1, board.instructions, edgert.__version__, python, np.__version__)
