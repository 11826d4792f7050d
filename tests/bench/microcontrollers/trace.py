"""What one run of a model executes, instruction by instruction and layer by layer: an emulator plugin counts."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgert.devices.board import BoardClient
from edgert.devices.qemu import Emulator
from edgert.plugins import Firmware
from edgert.target import Microcontroller
from tests.bench.microcontrollers.cycles import Executed, modelled_cycles
from tests.bench.microcontrollers.disassembly import Instruction, code_symbols, disassemble

_LAYER = "edgert_layer"  # the firmware's own function, entered after every layer


@dataclass(frozen=True)
class LayerCost:
    instructions: int
    cycles: int
    code_bytes_read: int
    data_bytes_read: int
    """From flash: weights and other constants."""


def trace_layers(board: Microcontroller, firmware: Firmware, inputs: bytes, plugin: Path) -> list[LayerCost]:
    """Runs once and returns what every layer cost, without what the firmware does between layers."""
    functions = disassemble(firmware.elf)
    out = firmware.elf.parent / "counts.txt"
    start, stops = run_addresses(functions)
    places = {"start": start, "layer": functions[_LAYER][0].address, "flash": board.flash_origin + board.flash_bytes}
    given = [*(f"{key}={value}" for key, value in places.items()), *(f"stop={stop}" for stop in stops)]
    words = ",".join([str(plugin), *given, f"out={out}"])
    emulator = Emulator(str(board.qemu_machine), firmware.elf, ("-plugin", words))
    try:
        client = BoardClient(emulator.running_stream, "board", silence_s=60.0)
        client.run(inputs)
        layers = client.description.layers
    finally:
        emulator.close()
    executed, data = parse_counts(out.read_text())
    own = code_symbols(firmware.elf.parent / "firmware.o")
    kept = {name: function for name, function in functions.items() if name not in own}
    return [_cost(kept, executed.get(layer, {}), data.get(layer, 0)) for layer in range(layers)]


def build_plugin(folder: Path) -> Path:
    """Compiles the plugin."""
    plugin = folder / "counter.so"
    source = Path(__file__).with_name("counter.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(source), "-o", str(plugin)], check=True)
    return plugin


def run_addresses(functions: Mapping[str, list[Instruction]]) -> tuple[int, list[int]]:
    """Returns where the run function begins, and where the firmware goes on after it."""
    (name,) = (name for name in functions if name.startswith("edgert_") and name.endswith("_run"))
    calls = [
        one.address + one.size_bytes
        for function in functions.values()
        for one in function
        if one.mnemonic == "bl" and f"<{name}>" in one.operands
    ]
    if not calls:
        raise ValueError(f"{name} is called nowhere in the firmware")
    return functions[name][0].address, calls


def parse_counts(text: str) -> tuple[dict[int, dict[int, Executed]], dict[int, int]]:
    """Returns executed instructions by layer and address, and bytes read from flash by layer."""
    executed: dict[int, dict[int, Executed]] = {}
    data: dict[int, int] = {}
    for line in text.splitlines():
        kind, *words = line.split()
        if kind == "f":
            data[int(words[0])] = int(words[1])
            continue
        layer, address, count, taken = map(int, words)
        of_layer = executed.setdefault(layer, {})
        before = of_layer.get(address, Executed(0, 0))
        of_layer[address] = Executed(before.count + count, before.taken + taken)
    return executed, data


def _cost(
    functions: Mapping[str, list[Instruction]], executed: Mapping[int, Executed], data_bytes_read: int
) -> LayerCost:
    sizes = {one.address: one.size_bytes for function in functions.values() for one in function}
    counts = {address: runs.count for address, runs in executed.items() if address in sizes}
    return LayerCost(
        instructions=sum(counts.values()),
        cycles=modelled_cycles(functions, executed),
        code_bytes_read=sum(count * sizes[address] for address, count in counts.items()),
        data_bytes_read=data_bytes_read,
    )
