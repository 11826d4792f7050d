"""A bundle's C on a microcontroller, used like a worker: `load`, `run`, and what only boards tell."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgert
from edgert.bundle import TensorSpec
from edgert.codec import JsonValue, to_plain
from edgert.devices.board import BoardClient
from edgert.devices.c_variant import CVariant, load_c_variant, size_bytes
from edgert.devices.names import Device
from edgert.devices.protocol import VERSION, model_hash
from edgert.devices.qemu import Emulator, emulated_target
from edgert.devices.stream import open_stream
from edgert.errors import ModelError, UsageError
from edgert.plugins import LayerTime
from edgert.runtime.session import Session
from edgert.target import Target, get_target, load_module

__all__ = ["BoardExecutor", "BoardLayers", "BoardSession", "BoardWorker"]

Array = NDArray[Any]  # Any: element types are data


class BoardExecutor:
    """The C of one variant on a board, as an `edgert.plugins.Executor`."""

    def __init__(self, client: BoardClient, found: CVariant, target: str) -> None:
        """Checks that the board's model is the variant's.

        Raises:
            DeviceError: the board runs another model.
            ModelError: the variant disagrees with its own plan.
        """
        client.require_model(model_hash(found.files))
        self.inputs = found.variant.inputs
        self.outputs = found.variant.outputs
        self.timeout_s = 600.0
        self._client = client
        self._observer: Callable[[bytes], None] | None = None
        self._target = target
        told, real = (size_bytes(self.inputs), size_bytes(self.outputs)), client.description
        if told != (real.input_bytes, real.output_bytes):
            raise ModelError(
                f"variant {found.variant.id!r} has inputs and outputs of {told[0]} and {told[1]} bytes, its C of "
                f"{real.input_bytes} and {real.output_bytes}; convert the model again"
            )

    def run(self, inputs: Sequence[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """Runs every sample; only a model with a free batch axis is given more than one."""
        count = 1 if _is_fixed(self.inputs) else len(inputs[0])
        samples = [inputs] if _is_fixed(self.inputs) else [[x[i : i + 1] for x in inputs] for i in range(count)]
        results = [self._run_one(sample) for sample in samples]
        return [np.concatenate(column) if count > 1 else column[0] for column in zip(*results, strict=True)]

    def observe(self, observer: Callable[[bytes], None] | None) -> None:
        """Tells `observer` the inputs of every run as they go to the board; None: nobody."""
        self._observer = observer

    def reset(self) -> None:
        """Empties the state of a model that keeps one."""
        self._client.forget()

    def layer_times(self) -> tuple[LayerTime, ...]:
        """None: boards count instructions or cycles (edgert.profiler.board)."""
        return ()

    def facts(self) -> dict[str, JsonValue]:
        """What ran it."""
        return {"engine": "firmware", "version": str(VERSION), "target": self._target, "edgert": edgert.__version__}

    def close(self) -> None:
        """The line belongs to the session."""

    def _run_one(self, inputs: Sequence[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        sent = b"".join(np.ascontiguousarray(array).tobytes() for array in inputs)
        if self._observer is not None:
            self._observer(sent)
        data = self._client.run(sent, timeout_s=self.timeout_s).outputs
        results, start = [], 0
        for spec in self.outputs:
            end = start + size_bytes((spec,))
            shape = tuple(size or 1 for size in spec.shape)
            results.append(np.frombuffer(data[start:end], spec.dtype.numpy).reshape(shape))
            start = end
        return results


@dataclass(frozen=True, slots=True)
class _Reached:
    client: BoardClient
    target: Target
    found: CVariant


class BoardSession:
    """A board that runs a bundle's C. Use as a context manager: leaving it frees the line and ends an emulator.

    An emulated board is built for and started here; a real one must hold the firmware already (`edgert devices flash`).
    """

    def __init__(self, device: Device, path: Path, variant: str | None = None) -> None:
        """Reaches the board and checks that it runs the bundle's model.

        Raises:
            UsageError: the file is no bundle.
            ModelError: the bundle has no C for this board.
            DeviceError: the board does not answer, or runs something else.
        """
        self._stack = ExitStack()
        try:
            reached = (
                self._emulate(device, path, variant)
                if device.url.startswith("qemu:")
                else self._open(device, path, variant)
            )
            self.client, self.target, self.found = reached.client, reached.target, reached.found
            self.executor = BoardExecutor(self.client, self.found, self.target.name)
        except BaseException:
            self.close()
            raise
        self.session = Session(self.found.manifest, self.found.variant, self.executor)

    def close(self) -> None:
        """Frees the line; safe to call twice."""
        self._stack.close()

    def __enter__(self) -> BoardSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _emulate(self, device: Device, path: Path, variant: str | None) -> _Reached:
        target = emulated_target(device.url.partition(":")[2].strip("/"))
        board = target.microcontroller
        if board is None or board.qemu_machine is None:
            raise AssertionError(f"{target.name} is no emulated board")
        found = load_c_variant(path, target.name, variant)
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="edgert-firmware-"))
        firmware = load_module(target.name, "build").build_firmware(target, found.files, Path(folder))
        emulator = Emulator(board.qemu_machine, firmware.elf)
        self._stack.callback(emulator.close)
        return _Reached(BoardClient(emulator.running_stream, device.name), target, found)

    def _open(self, device: Device, path: Path, variant: str | None) -> _Reached:
        stream = open_stream(device.url)
        self._stack.callback(stream.close)
        client = BoardClient(stream, device.name)
        target = get_target(client.description.board)
        return _Reached(client, target, load_c_variant(path, target.name, variant))


class BoardLayers:
    """A session's board, stopped behind layers, as an `edgert.verification.LayerBoard`."""

    def __init__(self, session: BoardSession) -> None:
        self.name = session.target.name
        self.version = edgert.__version__
        self._plan = session.found.plan
        self._client = session.client

    @property
    def plan(self) -> Mapping[str, Any]:  # Any: JSON
        """The parsed plan.json of the C."""
        return self._plan

    def run_to(self, inputs: bytes, layer: int) -> None:
        """Runs from an empty state to the end of a layer."""
        self._client.forget()
        self._client.run(inputs, stop_after=layer)

    def read(self, offset: int, count: int) -> bytes:
        """Returns bytes of the arena."""
        return self._client.read(offset, count)


class BoardWorker:
    """A board behind the calls of edgert.devices.WorkerClient that `edgert run` makes."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._board: BoardSession | None = None

    def load(
        self,
        path: Path,
        *,
        variant: str | None = None,
        threads: int | None = None,
        engine: str | None = None,
        options: Mapping[str, str] | None = None,
        tuned: bool = True,
        timeout_s: float = 600.0,
    ) -> dict[str, JsonValue]:
        """Reaches the board; returns inputs, outputs, facts and variant. `tuned` has no meaning there.

        Raises:
            UsageError: an engine, its options or threads were named: a board has none.
        """
        del tuned
        if threads is not None or engine is not None or options:
            raise UsageError(
                f"{self._device.name} is a microcontroller; it has no --engine, --engine-option or --threads"
            )
        self.close()
        self._board = BoardSession(self._device, path, variant)
        self._board.executor.timeout_s = timeout_s
        session = self._board.session
        return {
            "variant": session.variant.id,
            "inputs": [_plain_port(session, spec) for spec in session.inputs],
            "outputs": [_plain_port(session, spec) for spec in session.outputs],
            "facts": session.facts(),
        }

    def run(
        self,
        inputs: Mapping[str, Array],
        *,
        quantized: bool = False,
        batch_size: int | None = None,
        timeout_s: float = 600.0,
    ) -> dict[str, Array]:
        """Runs once, or with `batch_size` over all samples; returns the outputs by name."""
        if self._board is None:
            raise UsageError("worker: run before load")
        self._board.executor.timeout_s = timeout_s
        session = self._board.session
        if batch_size is None:
            return session.run(inputs, quantized=quantized)
        return session.run_batched(inputs, batch_size, quantized=quantized)

    def close(self) -> None:
        """Frees the board."""
        if self._board is not None:
            self._board.close()
            self._board = None

    def __enter__(self) -> BoardWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_fixed(specs: Sequence[TensorSpec]) -> bool:
    return any(not spec.shape or spec.shape[0] is not None for spec in specs)


def _plain_port(session: Session, spec: TensorSpec) -> dict[str, JsonValue]:
    quant = session.quant_of(spec.name)
    return {**to_plain(spec), "quant": None if quant is None else to_plain(quant)}
