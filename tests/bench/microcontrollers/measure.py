"""One cell of the benchmark: a model on a core, built as `edgert run` builds it, and run in QEMU."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgert.devices.board import BoardClient
from edgert.devices.protocol import MemoryUse
from edgert.devices.qemu import Emulator
from edgert.errors import EdgertError
from edgert.plugins import Firmware
from edgert.target import Microcontroller
from edgert_converters.exporters.c import CFolder
from tests.bench.microcontrollers.boards import CORES, MODELS, ModelEntry, board_of, build, generate, read_samples
from tests.bench.microcontrollers.boards import target_of as find_target
from tests.bench.microcontrollers.disassembly import code_symbols, disassemble, largest_inner_loop
from tests.bench.microcontrollers.trace import LayerCost, build_plugin, trace_layers

CYCLE_MODEL_CORES = frozenset({"cortex-m4"})


@dataclass(frozen=True)
class LayerFigures:
    name: str
    kernel: str
    macs: int
    cost: LayerCost


@dataclass(frozen=True)
class Figures:
    """What a model needs on a core. `instructions`: the most that a sample took, with the firmware's calls per layer.

    `model_code_bytes` are of model.c alone, `code_bytes` with the firmware; `constant_bytes` are weights and tables.
    """

    instructions: int
    samples: int
    exact_samples: int
    layers: tuple[LayerFigures, ...]
    inner_loop_bytes: int
    inner_loop_function: str
    model_code_bytes: int
    code_bytes: int
    constant_bytes: int
    arena_bytes: int
    data_bss_bytes: int
    stack_bytes: int
    generation_s: float

    @property
    def ram_bytes(self) -> int:
        return self.arena_bytes + self.data_bss_bytes + self.stack_bytes

    @property
    def cycles(self) -> int:
        """0 where cycles are not modelled."""
        return sum(layer.cost.cycles for layer in self.layers)


@dataclass(frozen=True)
class Cell:
    """`refused`: why there are no figures."""

    core: str
    model: str
    figures: Figures | None
    refused: str = ""


def measure(core: str, model: str, samples: int) -> Cell:
    try:
        with tempfile.TemporaryDirectory(prefix="edgert-bench-") as folder:
            return Cell(core, model, _measure(core, MODELS[model], Path(folder), samples))
    except EdgertError as error:
        return Cell(core, model, None, str(error))


def _measure(core: str, entry: ModelEntry, where: Path, samples: int) -> Figures:
    target = find_target(CORES[core])
    folder, generation_s = generate(entry, target)
    firmware = build(target, folder, where / "build")
    board = board_of(target)
    instructions, exact, memory = _run(board, firmware, entry, samples)
    own = code_symbols(where / "build" / "model.o")
    loops = {name: function for name, function in disassemble(firmware.elf).items() if name in own}
    size_bytes, function = largest_inner_loop(loops)
    return Figures(
        instructions=max(instructions),
        samples=len(instructions),
        exact_samples=exact,
        layers=_layers(board, firmware, folder, entry),
        inner_loop_bytes=size_bytes,
        inner_loop_function=function,
        model_code_bytes=sum(one.size_bytes for function in loops.values() for one in function),
        code_bytes=firmware.code_bytes,
        constant_bytes=firmware.weight_bytes,
        arena_bytes=firmware.arena_bytes,
        data_bss_bytes=memory.data_bss_bytes,
        stack_bytes=memory.stack_bytes,
        generation_s=generation_s,
    )


def _run(
    board: Microcontroller, firmware: Firmware, entry: ModelEntry, samples: int
) -> tuple[list[int], int, MemoryUse]:
    inputs, outputs = (array[:samples] for array in read_samples(entry))
    emulator = Emulator(str(board.qemu_machine), firmware.elf)
    try:
        client = BoardClient(emulator.running_stream, "board", silence_s=60.0)
        runs = [client.run(x.tobytes()) for x in inputs]
        exact = sum(run.outputs == y.astype(np.int8).tobytes() for run, y in zip(runs, outputs, strict=True))
        return [client.instructions(run.ticks) for run in runs], exact, client.memory()
    finally:
        emulator.close()


def _layers(board: Microcontroller, firmware: Firmware, folder: CFolder, entry: ModelEntry) -> tuple[LayerFigures, ...]:
    """Empty for cores without a model of their cycles."""
    if board.core not in CYCLE_MODEL_CORES:
        return ()
    sample = read_samples(entry)[0][0].tobytes()
    costs = trace_layers(board, firmware, sample, build_plugin(firmware.elf.parent))
    return tuple(
        LayerFigures(layer.name, layer.call.kernel, layer.macs, cost)
        for layer, cost in zip(folder.network.layers, costs, strict=True)
    )
