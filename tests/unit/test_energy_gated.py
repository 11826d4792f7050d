"""Power meters gated by a pin, on scripted streams: no meter was at hand."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgert.devices.board import BoardRun
from edgert.devices.protocol import Ticks
from edgert.errors import DeviceError, MissingExtraError, UsageError
from edgert.profiler.board_energy import PULSES, measure_energy
from edgert.profiler.energy.gated import GatedSensor, PowerSamples, find_pulses, idle_power_mw
from edgert.profiler.energy.joulescope import JoulescopeStream
from edgert.profiler.energy.meters import open_meter
from edgert.profiler.energy.ppk2 import Ppk2Stream
from edgert.profiler.energy.serial_meter import SerialMeterStream

RATE_HZ = 1000.0
IDLE_MW, BUSY_MW = 10.0, 60.0


def samples(*stretches: tuple[int, bool]) -> PowerSamples:
    """Stretches of (count, gate), at idle or busy power."""
    gate = np.concatenate([np.full(count, high) for count, high in stretches])
    return PowerSamples(np.where(gate, BUSY_MW, IDLE_MW), gate)


class Script:
    """A meter that gives what was pushed, in pieces, then nothing."""

    name, accuracy, leaves_out, rate_hz = "script", "exact", "nothing", RATE_HZ

    def __init__(self) -> None:
        self.waiting: list[PowerSamples] = []
        self.is_open = False

    def push(self, chunk: PowerSamples) -> None:
        self.waiting.append(chunk)

    def unavailable(self) -> str | None:
        return None

    def open(self) -> None:
        self.is_open = True

    def read(self) -> PowerSamples:
        return self.waiting.pop(0) if self.waiting else PowerSamples(np.zeros(0), np.zeros(0, np.bool_))

    def close(self) -> None:
        while self.waiting:  # a real meter's last read has it all
            raise AssertionError("samples were left unread")
        self.is_open = False


class Board:
    """Takes `one_ms` for an inference; its pin shows on the meter."""

    def __init__(self, meter: Script, one_ms: int = 20, ticks: Ticks = Ticks.CYCLES, pulses_lost: int = 0) -> None:
        self.description = SimpleNamespace(ticks=ticks, ticks_hz=1_000_000)
        self.repeated: list[int] = []
        self._meter, self._one_ms, self._lost = meter, one_ms, pulses_lost

    def run(self, inputs: bytes) -> BoardRun:
        return BoardRun(b"", self._one_ms * 1000)

    def repeat(self, inputs: bytes, times: int) -> int:
        self.repeated.append(times)
        is_seen = len(self.repeated) > self._lost
        self._meter.push(samples((30, False), (times * self._one_ms, is_seen), (30, False)))
        return times


def wait_until_read(meter: Script) -> None:
    while meter.waiting:
        pass


def measure(board: Board, meter: Script, sensor: GatedSensor) -> Any:
    return measure_energy(board, b"x", sensor, sleep=lambda _: wait_until_read(meter))  # type: ignore[arg-type]


def test_energy_of_one_inference() -> None:
    meter = Script()
    board, sensor = Board(meter), GatedSensor(meter)
    record = measure(board, meter, sensor)
    assert board.repeated == [50] * PULSES  # about a second each
    assert record.gross_mj == pytest.approx(BUSY_MW * 0.020)
    assert record.net_mj == pytest.approx((BUSY_MW - IDLE_MW) * 0.020)
    assert record.net_ci95_mj == pytest.approx((record.net_mj, record.net_mj))
    assert (record.idle_mw, record.sensor, record.rails) == (IDLE_MW, "script", ("supply of the board",))
    assert not meter.is_open


def test_an_emulated_board_draws_no_power() -> None:
    meter = Script()
    with pytest.raises(UsageError, match="an emulated board draws no power"):
        measure(Board(meter, ticks=Ticks.VIRTUAL), meter, GatedSensor(meter))


def test_a_gate_that_is_not_wired() -> None:
    meter = Script()
    sensor = GatedSensor(meter)
    sensor.start()
    meter.push(samples((100, False)))
    wait_until_read(meter)
    with pytest.raises(DeviceError, match="its gate was never high and low again in 100 samples; wire the board's"):
        sensor.stop_mj()


def test_a_pulse_that_was_lost() -> None:
    meter = Script()
    board = Board(meter, pulses_lost=1)
    with pytest.raises(DeviceError, match="saw 4 pulses where 5 were made"):
        measure(board, meter, GatedSensor(meter))


def test_a_meter_that_goes_away_in_the_middle() -> None:
    meter = Script()

    def gone() -> PowerSamples:
        raise DeviceError("script: the meter is gone")

    meter.read = gone  # type: ignore[method-assign]
    sensor = GatedSensor(meter)
    sensor.start()
    with pytest.raises(DeviceError, match="the meter is gone"):
        sensor.stop_mj()


def test_a_board_that_goes_away_closes_the_meter() -> None:
    meter = Script()
    board = Board(meter)

    def gone(inputs: bytes, times: int) -> int:
        raise DeviceError("board: the line is gone")

    board.repeat = gone  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="the line is gone"):
        measure(board, meter, GatedSensor(meter))
    assert not meter.is_open


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=8))
def test_pulses_hold_all_energy_of_whole_stretches(stretches: list[tuple[int, bool]]) -> None:
    chunk = samples(*stretches)
    merged: list[list[Any]] = []
    for count, high in stretches:
        if merged and merged[-1][1] is high:
            merged[-1][0] += count
        else:
            merged.append([count, high])
    whole = [count for count, high in merged[1:-1] if high]
    found = find_pulses(chunk.power_mw, chunk.gate, RATE_HZ)
    assert [round(pulse.duration_s * RATE_HZ) for pulse in found] == whole
    assert [pulse.energy_mj for pulse in found] == pytest.approx([count * BUSY_MW / RATE_HZ for count in whole])


def test_idle_power_is_that_before_the_first_pulse() -> None:
    chunk = samples((10, False), (10, True), (10, False))
    assert idle_power_mw(chunk.power_mw, chunk.gate) == IDLE_MW
    with pytest.raises(DeviceError, match="high from the first sample on"):
        idle_power_mw(chunk.power_mw[10:], chunk.gate[10:])


class FakePpk2:
    ports: ClassVar[list[str]] = ["/dev/ttyACM7"]
    calls: ClassVar[list[object]] = []

    def __init__(self, port: str, **_: object) -> None:
        self.ser = SimpleNamespace(close=lambda: self.calls.append("close"))
        self.calls.append(port)

    @staticmethod
    def list_devices() -> list[str]:
        return FakePpk2.ports

    def get_data(self) -> bytes:
        return b"1234"

    def get_samples(self, data: bytes) -> tuple[list[float], list[int]]:
        return [1000.0, 2000.0, 3000.0], [0, 1, 0b11111111]

    def __getattr__(self, name: str) -> Any:
        return lambda *words: self.calls.append((name, *words))


@pytest.fixture
def ppk2(monkeypatch: pytest.MonkeyPatch) -> type[FakePpk2]:
    package, module = ModuleType("ppk2_api"), ModuleType("ppk2_api.ppk2_api")
    module.PPK2_API = FakePpk2  # type: ignore[attr-defined]
    package.ppk2_api = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ppk2_api", package)
    monkeypatch.setitem(sys.modules, "ppk2_api.ppk2_api", module)
    FakePpk2.calls.clear()
    return FakePpk2


def test_ppk2(ppk2: type[FakePpk2], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Ppk2Stream(voltage_mv=3000, mode="ampere")
    assert stream.unavailable() is None
    stream.open()
    found = stream.read()
    stream.close()
    assert found.power_mw.tolist() == [3.0, 6.0, 9.0]
    assert found.gate.tolist() == [False, True, True]
    assert ppk2.calls == [
        "/dev/ttyACM7",
        ("get_modifiers",),
        ("set_source_voltage", 3000),
        ("use_ampere_meter",),
        ("toggle_DUT_power", "ON"),
        ("start_measuring",),
        ("stop_measuring",),
        "close",
    ]
    monkeypatch.setattr(FakePpk2, "ports", ["a", "b"])
    assert "several ports (a, b); name one: --energy ppk2:a" in str(stream.unavailable())
    monkeypatch.setattr(FakePpk2, "ports", [])
    with pytest.raises(DeviceError, match="no Power Profiler Kit II is connected"):
        stream.open()


def test_joulescope(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    buffer = SimpleNamespace(sample_id_range=(0, 5))

    def samples_get(start: int, stop: int, fields: list[str]) -> dict[str, Any]:
        assert fields == ["power", "current_lsb"]
        power = np.arange(start, stop) / 1000
        return {"signals": {"power": {"value": power}, "current_lsb": {"value": np.arange(start, stop) % 2}}}

    buffer.samples_get = samples_get
    names = ("open", "parameter_set", "start", "stop", "close")
    device = SimpleNamespace(
        stream_buffer=buffer, **{name: (lambda *words, name=name: calls.append((name, *words))) for name in names}
    )
    package = ModuleType("joulescope")
    package.scan = lambda config: [device]  # type: ignore[attr-defined]
    package.scan_require_one = lambda config: device  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "joulescope", package)
    stream = JoulescopeStream()
    assert stream.unavailable() is None
    stream.open()
    buffer.sample_id_range = (0, 8)
    found = stream.read()
    assert found.power_mw.tolist() == [5.0, 6.0, 7.0]
    assert found.gate.tolist() == [True, False, True]
    buffer.sample_id_range = (20, 30)
    with pytest.raises(DeviceError, match="12 samples were lost; the computer is too busy"):
        stream.read()
    stream.close()
    assert ("parameter_set", "current_lsb", "gpi0") in calls
    assert calls[-2:] == [("stop",), ("close",)]


@pytest.mark.parametrize(("module", "meter"), [("ppk2_api", Ppk2Stream()), ("joulescope", JoulescopeStream())])
def test_packages_that_are_missing_are_named(module: str, meter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert f"edgert[{meter.name}]" in meter.unavailable()
    with pytest.raises(MissingExtraError):
        meter.open()


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, str]]:
    """What a serial meter writes to, and its URL."""
    server = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []
    thread = threading.Thread(target=lambda: accepted.append(server.accept()[0]))
    thread.start()
    other = SimpleNamespace(sendall=lambda data: (thread.join(5), accepted[0].sendall(data)))
    yield other, f"socket://127.0.0.1:{server.getsockname()[1]}"  # type: ignore[misc]
    thread.join(5)
    for connection in accepted:
        connection.close()
    server.close()


def read_all(stream: SerialMeterStream, count: int) -> PowerSamples:
    chunks = []
    while sum(chunk.gate.size for chunk in chunks) < count:
        chunks.append(stream.read())
    return PowerSamples(
        np.concatenate([chunk.power_mw for chunk in chunks]), np.concatenate([chunk.gate for chunk in chunks])
    )


def test_serial_meter(line: tuple[socket.socket, str]) -> None:
    meter, url = line
    stream = SerialMeterStream(url, 100.0)
    stream.open()
    meter.sendall(b".9 0\n12.5 1\r\n7,0\n3.")
    found = read_all(stream, 2)
    meter.sendall(b"25 1\n")
    more = read_all(stream, 1)
    assert (found.power_mw.tolist(), found.gate.tolist()) == ([12.5, 7.0], [True, False])
    assert (more.power_mw.tolist(), more.gate.tolist()) == ([3.25], [True])
    meter.sendall(b"nonsense\n")
    with pytest.raises(DeviceError, match="'nonsense' is not POWER_MW GATE, as in 12.5 1"):
        read_all(stream, 1)
    meter.sendall(b"\xff" * 300)
    with pytest.raises(DeviceError, match="sends no lines; is the baud rate right"):
        read_all(stream, 1)
    stream.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ppk3", "no power meter 'ppk3'; did you mean 'ppk2'"),
        ("ppk2?voltage_mv=9000", "voltage_mv is 9000; it must be 800 to 5000"),
        ("ppk2?voltage_mv=much", "'much' is no number"),
        ("ppk2?mode=x", "mode is 'x'; it must be source or ampere"),
        ("ppk2?volts=3", "ppk2 has no setting 'volts'"),
        ("joulescope:1", "takes no port"),
        ("serial-meter", "write --energy 'serial-meter:serial"),
        ("serial-meter:socket://a:1?rate_hz=0", "rate_hz is 0; it must be above 0"),
    ],
)
def test_words_that_name_no_meter(words: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        open_meter(words)


def test_words_that_name_a_meter(ppk2: type[FakePpk2]) -> None:
    assert open_meter("ppk2:/dev/ttyACM1?voltage_mv=1800").name == "ppk2"
    assert open_meter("serial-meter:serial:///dev/ttyUSB0?rate_hz=50&baud=9600").rate_hz == 50
    assert open_meter("ppk2").unavailable() is None
