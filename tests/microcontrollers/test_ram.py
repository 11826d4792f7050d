"""RAM of the firmware that `edgert run` builds: arena, variables and peak of the painted stack, measured in QEMU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgert.target import get_target, read_resource
from edgert_converters.exporters.c import CFolder, Core, Instructions, export_c
from edgert_converters.exporters.c.fit import STACK_DATA_BYTES
from edgert_converters.importers import import_model
from tests.microcontrollers.boards import build, need_tools, running
from tests.microcontrollers.test_exact import MODELS

# model: --max-ram or None, and bytes that all of it may take
LIMITS = {
    "ad": ("ad", None, 1_638),
    "ic": ("ic", None, 51_712),
    "kws": ("kws", None, 17_920),
    "vww": ("vww", None, 57_344),
    "vww in strips": ("vww", 40_960, 40_960),
}
BOARDS = (
    "qemu-mps2-an386",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("qemu-mps2-an385", "qemu-mps2-an500", "qemu-mps2-an505", "qemu-mps3-an547")
    ),
)


def _export(target: str, name: str, max_ram_bytes: int | None, zoo: Path) -> CFolder:
    board = get_target(target).microcontroller
    assert board is not None
    core = Core(board.core, Instructions(board.instructions), board.fpu is not None)
    model = import_model(zoo / "models" / f"{MODELS[name]}.tflite", {}).model
    arena = None if max_ram_bytes is None else max_ram_bytes - STACK_DATA_BYTES
    return export_c(model, core, lambda kernel: read_resource(target, f"c/{kernel}"), name=name, max_arena_bytes=arena)


@pytest.mark.parametrize("target", BOARDS)
@pytest.mark.parametrize("case", LIMITS)
def test_firmware_takes_no_more_ram(case: str, target: str, zoo: Path, tmp_path: Path) -> None:
    need_tools()
    name, max_ram_bytes, limit = LIMITS[case]
    folder = _export(target, name, max_ram_bytes, zoo)
    inputs, outputs = (np.load(zoo / "mcu" / f"{name}.{kind}.npy")[0] for kind in ("inputs", "outputs_tflm"))
    firmware = build(target, folder.files, tmp_path)
    with running(firmware, folder.files) as client:
        found = np.frombuffer(client.run(inputs.tobytes()).outputs, np.int8)
        memory = client.memory()
    assert np.array_equal(found, outputs.reshape(-1))
    assert firmware.arena_bytes == folder.plan.arena_bytes
    assert memory.data_bss_bytes + memory.stack_bytes <= STACK_DATA_BYTES
    assert folder.plan.arena_bytes + memory.data_bss_bytes + memory.stack_bytes <= limit
