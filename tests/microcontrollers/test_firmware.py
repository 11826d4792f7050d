"""Firmware in QEMU: the zoo's models through the serial line, bit for bit, on every emulated board."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgert.devices.board import BoardClient
from edgert.devices.names import Device
from edgert.devices.protocol import Ticks
from edgert.devices.qemu import Emulator
from edgert.errors import DeviceError, MissingToolError, ModelError, UsageError
from edgert.plugins import Firmware
from edgert.target import get_target
from edgert_converters.exporters.c import CFolder
from tests.microcontrollers.boards import BOARDS, ZOO_NAMES, build, export_for, need_tools, read_samples, running

CLIPS = 5
RAM_BESIDES_ARENA = 1400
CODE_BYTES = 16_384


@pytest.fixture(autouse=True)
def tools() -> None:
    need_tools()


@pytest.fixture(scope="module")
def kws(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CFolder, Firmware]]:
    need_tools()
    folder = export_for("qemu-mps2-an386", zoo / "models" / f"{ZOO_NAMES['kws']}.tflite", "kws")
    yield folder, build("qemu-mps2-an386", folder.files, tmp_path_factory.mktemp("kws"))


@pytest.mark.parametrize("target", BOARDS)
def test_models_through_the_serial_line(target: str, zoo: Path, tmp_path: Path) -> None:
    name = BOARDS[target]
    folder = export_for(target, zoo / "models" / f"{ZOO_NAMES[name]}.tflite", name)
    firmware = build(target, folder.files, tmp_path / "build")
    inputs, outputs = read_samples(zoo, name, CLIPS)
    with running(firmware, folder.files) as board:
        said = board.description
        assert (said.board, said.ticks, said.layers) == (target, Ticks.VIRTUAL, len(folder.network.layers))
        for x, y in zip(inputs, outputs, strict=True):
            assert board.run(x.tobytes()).outputs == y.tobytes()
        memory = board.memory()
    assert memory.data_bss_bytes + memory.stack_bytes <= RAM_BESIDES_ARENA
    assert memory.stack_bytes < memory.stack_reserved_bytes
    assert memory.code_bytes == firmware.code_bytes < CODE_BYTES
    assert memory.weight_bytes == firmware.weight_bytes
    assert firmware.arena_bytes == said.arena_bytes == folder.plan.arena_bytes


def test_layers_are_counted(kws: tuple[CFolder, Firmware], zoo: Path) -> None:
    folder, firmware = kws
    inputs, _ = read_samples(zoo, "kws", 1)
    with running(firmware, folder.files) as board:
        whole = board.instructions(board.run(inputs[0].tobytes()).ticks)
        again = board.instructions(board.run(inputs[0].tobytes()).ticks)
        layers = [board.instructions(ticks) for ticks in board.profile(inputs[0].tobytes())]
    assert abs(whole - again) <= 200  # a tick is 40 instructions
    assert abs(sum(layers) - whole) < 0.01 * whole
    by_macs = max(range(len(layers)), key=lambda index: folder.network.layers[index].macs)
    assert layers[by_macs] > folder.network.layers[by_macs].macs / 4


def test_a_run_that_ends_early_leaves_its_layer_in_the_arena(kws: tuple[CFolder, Firmware], zoo: Path) -> None:
    folder, firmware = kws
    inputs, outputs = read_samples(zoo, "kws", 1)
    last = len(folder.network.layers) - 1
    view = folder.network.outputs[0]
    with running(firmware, folder.files) as board:
        assert board.run(inputs[0].tobytes(), stop_after=0).outputs == b""
        board.run(inputs[0].tobytes(), stop_after=last)
        found = board.read(folder.plan.offsets[view], folder.network.buffers[view].size_bytes)
        assert found == outputs[0].tobytes()
        with pytest.raises(DeviceError, match="the firmware refused: out of range"):
            board.read(board.description.arena_bytes - 1, 2)
        assert board.read(board.description.arena_bytes, 0) == b""


def test_a_reset_board_answers_again(kws: tuple[CFolder, Firmware], zoo: Path) -> None:
    folder, firmware = kws
    inputs, outputs = read_samples(zoo, "kws", 1)
    board = get_target(firmware.target).microcontroller
    assert board is not None
    emulator = Emulator(str(board.qemu_machine), firmware.elf)
    try:
        first = BoardClient(emulator.running_stream, "board")
        first.run(inputs[0].tobytes())
        used = first.memory().stack_bytes
        first.reset()
        second = BoardClient(emulator.running_stream, "board")
        assert second.memory().stack_bytes < used  # painted anew
        assert second.run(inputs[0].tobytes()).outputs == outputs[0].tobytes()
    finally:
        emulator.close()


def test_the_emulator_ends_with_its_owner(kws: tuple[CFolder, Firmware]) -> None:
    emulator = Emulator("mps2-an386", kws[1].elf)
    emulator.close()
    emulator.close()
    with pytest.raises(ProcessLookupError):
        os.kill(emulator.pid, 0)
    with pytest.raises(ValueError, match="was closed"):
        _ = emulator.running_stream


def test_firmware_compiles_without_a_warning(kws: tuple[CFolder, Firmware]) -> None:
    sources = kws[1].elf.parent
    warnings = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror"]
    for flags in (["-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"], ["-mcpu=cortex-m0"]):
        command = [
            "arm-none-eabi-gcc",
            "-mthumb",
            *flags,
            "-O2",
            "-std=gnu11",
            *warnings,
            "-c",
            "firmware.c",
            "-o",
            "w.o",
        ]
        done = subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:2000]


def test_the_same_model_gives_the_same_firmware(kws: tuple[CFolder, Firmware], tmp_path: Path) -> None:
    folder, firmware = kws
    assert build(firmware.target, folder.files, tmp_path).binary.read_bytes() == firmware.binary.read_bytes()


def test_what_does_not_fit_is_refused_with_the_figure(kws: tuple[CFolder, Firmware], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not fit qemu-microbit: \d+ bytes of RAM are missing"):
        build("qemu-microbit", kws[0].files, tmp_path)


def test_damaged_folders(kws: tuple[CFolder, Firmware], tmp_path: Path) -> None:
    files = dict(kws[0].files)
    with pytest.raises(ModelError, match="plan.json or model.h is missing or damaged"):
        build("qemu-mps2-an386", {"model.c": files["model.c"]}, tmp_path)
    with pytest.raises(ModelError, match="of another version of edgert"):
        build("qemu-mps2-an386", files | {"model.h": b"/* empty */"}, tmp_path)
    with pytest.raises(ModelError, match="firmware for qemu-mps2-an386 does not build: .*error"):
        build("qemu-mps2-an386", files | {"model.c": b"nonsense"}, tmp_path)


def test_only_microcontrollers_get_firmware(kws: tuple[CFolder, Firmware], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="target 'host' has no 'build'"):
        build("host", kws[0].files, tmp_path)


def test_missing_programs_are_named(
    kws: tuple[CFolder, Firmware], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(MissingToolError, match="apt install gcc-arm-none-eabi libnewlib-arm-none-eabi"):
        build("qemu-mps2-an386", kws[0].files, tmp_path)
    with pytest.raises(MissingToolError, match="apt install qemu-system-arm"):
        Emulator("mps2-an386", kws[1].elf)


def test_a_machine_that_does_not_start(kws: tuple[CFolder, Firmware]) -> None:
    with pytest.raises(DeviceError, match="qemu:no-such-machine does not start .*unsupported machine type"):
        Emulator("no-such-machine", kws[1].elf)


def test_devices_are_told_apart_by_their_url() -> None:
    assert Device("a", "qemu:mps2-an386").is_board
    assert not Device("local", "local:").is_board
