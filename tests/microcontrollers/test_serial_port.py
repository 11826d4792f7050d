"""The whole way over a serial port: pyserial, a pseudo terminal, the firmware in QEMU."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgert import cli
from edgert.devices.board import BoardClient
from edgert.devices.qemu import Emulator
from edgert.devices.stream import SocketStream, open_stream
from edgert.errors import DeviceError
from tests.microcontrollers.boards import ZOO_NAMES, build, export_for, need_tools, write_c_bundle
from tests.microcontrollers.test_real_boards import FILES

TARGET, MACHINE = "qemu-mps2-an386", "mps2-an386"


class Port:
    """A pseudo terminal whose other end is the board."""

    def __init__(self, board: SocketStream) -> None:
        pty = pytest.importorskip("pty", reason="no pseudo terminals here")
        self._ours, self._theirs = pty.openpty()
        self.name = os.ttyname(self._theirs)
        self._board = board
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Takes the port away, as pulling the cable does."""
        self._is_ending.set()
        self._thread.join(10)
        for descriptor in (self._theirs, self._ours):
            os.close(descriptor)

    def _carry(self) -> None:
        while not self._is_ending.is_set():
            if select.select([self._ours], [], [], 0.002)[0]:
                self._board.write(os.read(self._ours, 4096))
            data = self._board.read(0.002)
            while data:
                data = data[os.write(self._ours, data) :]


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Port]:
    need_tools()
    pytest.importorskip("serial")
    emulator = Emulator(MACHINE, build(TARGET, FILES, tmp_path).elf)
    yield Port(emulator.running_stream)
    emulator.close()


def test_a_board_behind_a_serial_port_and_its_cable(port: Port) -> None:
    line = open_stream(f"serial://{port.name}?baud=115200")
    client = BoardClient(line, "board")
    x = np.arange(8, dtype=np.uint8)
    for _ in range(20):
        assert client.run(x.tobytes()).outputs == (x ^ 0x55).tobytes()
    port.unplug()
    with pytest.raises(DeviceError, match="the line is gone .*was the board unplugged"):
        for _ in range(1000):
            client.run(x.tobytes())
    line.close()


def test_flashing_says_what_it_would_execute(zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need_tools()
    target = "nucleo-f446re"
    folder = export_for(target, zoo / "models" / f"{ZOO_NAMES['micro_speech']}.tflite", "micro_speech")
    bundle = write_c_bundle(tmp_path / "net.edge", folder, target)
    assert cli.main(["devices", "flash", str(bundle), "--target", target, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("openocd -f board/st_nucleo_f4.cfg -c 'program ")
    assert "flashing nucleo-f446re was not verified on hardware" in said.err
    assert cli.main(["devices", "flash", str(bundle), "--target", "qemu-mps2-an386", "--dry-run"]) == 4
    assert "no C for qemu-mps2-an386 (it has C for nucleo-f446re)" in capsys.readouterr().err
