"""Devices by name, and the lines to them."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgert import cli
from edgert.commands.devices import devices
from edgert.devices.names import (
    Device,
    add_device,
    find_device,
    find_devices,
    load_devices,
    load_groups,
    remove_device,
    store_group,
)
from edgert.devices.qemu import emulated_target
from edgert.devices.stream import SerialStream, open_stream
from edgert.errors import DeviceError, InputFileError, MissingExtraError, UsageError


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGERT_SETTINGS", str(tmp_path))
    return tmp_path


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A serial port of this computer: its other end, and its name."""
    pty = pytest.importorskip("pty", reason="no pseudo terminals here")
    ours, theirs = pty.openpty()
    yield ours, os.ttyname(theirs)
    for descriptor in (ours, theirs):
        os.close(descriptor)


def test_devices_are_stored_replaced_and_forgotten() -> None:
    assert devices() == ()
    add_device("board", "serial:///dev/ttyACM0")
    add_device("a", "qemu:mps2-an386")
    add_device("board", "serial:COM3")
    assert devices() == (Device("a", "qemu:mps2-an386"), Device("board", "serial:COM3"))
    assert find_device("board").url == "serial:COM3"
    remove_device("board")
    assert list(load_devices()) == ["a"]
    with pytest.raises(UsageError, match="no device 'board'"):
        remove_device("board")


@pytest.mark.parametrize(
    ("port", "url"), [("COM3", "serial:COM3"), ("/dev/ttyACM0", "serial:///dev/ttyACM0")], ids=["Windows", "Linux"]
)
def test_a_serial_port_may_be_named_as_the_system_does(port: str, url: str) -> None:
    assert add_device("board", port).url == find_device(port).url == url


@pytest.mark.parametrize("name", ["local", "", "-x", "a b", "1"])
def test_names_that_cannot_be_used(name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a device; begin with a letter"):
        add_device(name, "qemu:mps2-an386")


@pytest.mark.parametrize("url", ["ttyACM0", "serial:", "serial://", "http://x", "qemu", "local:"])
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(UsageError, match="no URL of a device: .*serial:///dev/ttyACM0"):
        add_device("board", url)


def test_a_word_that_is_no_device_gets_a_near_name() -> None:
    add_device("nucleo", "serial:///dev/ttyACM0")
    with pytest.raises(UsageError, match="no device 'nuclei'; did you mean 'nucleo'.*qemu:mps2-an386"):
        find_device("nuclei")


@pytest.mark.parametrize("text", ["{", '{"schema": 1, "devices": [{"name": 3}]}', '{"schema": 9}'])
def test_a_damaged_list_says_which_file(text: str, settings: Path) -> None:
    (settings / "devices.json").write_text(text)
    with pytest.raises(InputFileError, match="devices.json: list of devices|devices.json: the list of devices"):
        load_devices()


@pytest.fixture
def fleet() -> None:
    for number in range(4):
        add_device(f"pi{number}", f"ssh://pi@192.0.2.{number}")
    store_group("shelf", "pi1, pi2")


def names(words: str | None) -> list[str]:
    return [device.name for device in find_devices(words)]


@pytest.mark.usefixtures("fleet")
def test_groups_are_stored_replaced_and_forgotten() -> None:
    assert store_group("all", "pi3,shelf,pi1") == ("pi3", "pi1", "pi2")
    assert load_groups() == {"all": ("pi3", "pi1", "pi2"), "shelf": ("pi1", "pi2")}
    store_group("shelf", "pi2")
    remove_device("pi2")
    assert load_groups() == {"all": ("pi3", "pi1")}
    remove_device("all")
    assert load_groups() == {}
    assert list(load_devices()) == ["pi0", "pi1", "pi3"]


@pytest.mark.usefixtures("fleet")
def test_several_devices_are_named_each_once_in_the_order_given() -> None:
    assert names("pi3,shelf,pi1") == ["pi3", "pi1", "pi2"]
    assert names("shelf, ssh://pi@192.0.2.1, ssh://elsewhere") == ["pi1", "pi2", "ssh://elsewhere"]
    assert names(None) == names("local:,local") == ["local"]
    add_device("nucleo", "serial:COM3")
    assert names("nucleo,pi0") == ["nucleo", "pi0"]
    with pytest.raises(UsageError, match="microcontrollers are not possible here: nucleo"):
        find_devices("nucleo,pi0", allows_microcontrollers=False)


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("words", ["", "pi0,,pi1", "pi0,"])
def test_a_place_without_a_device(words: str) -> None:
    with pytest.raises(UsageError, match="names no device in one place; write names or groups with commas"):
        find_devices(words)


@pytest.mark.usefixtures("fleet")
def test_groups_and_devices_are_told_apart() -> None:
    with pytest.raises(UsageError, match="'pi1' is the name of a device; take another for the group"):
        store_group("pi1", "pi2")
    with pytest.raises(
        UsageError, match="'shelf' is the name of a group; take another, or edgert devices remove shelf"
    ):
        add_device("shelf", "ssh://shelf")
    with pytest.raises(UsageError, match=r"'shelf' is a group \(pi1, pi2\); one device is needed here"):
        find_device("shelf")
    with pytest.raises(UsageError, match="no device 'shelves'; did you mean 'shelf'"):
        find_devices("shelves")
    with pytest.raises(
        UsageError, match=r"no device 'pi'; did you mean 'pi.'\?; a group holds devices of edgert devices"
    ):
        store_group("more", "pi0,pi")
    with pytest.raises(UsageError, match="'a b' is no name for a group; begin with a letter"):
        store_group("a b", "pi0")


def test_a_list_of_before_there_were_groups_is_read(settings: Path) -> None:
    text = '{"schema": 1, "devices": [{"name": "pi", "url": "ssh://pi", "target": null, "facts": {}}]}'
    (settings / "devices.json").write_text(text)
    assert find_device("pi") == Device("pi", "ssh://pi")
    assert load_groups() == {}
    store_group("shelf", "pi")
    assert json.loads((settings / "devices.json").read_text())["schema"] == 2
    assert names("shelf") == ["pi"]


@pytest.mark.usefixtures("fleet")
def test_the_verb_for_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["devices", "group", "all", "shelf,pi0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"group": "all", "devices": ["pi1", "pi2", "pi0"]}
    assert cli.main(["devices", "group"]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == ["all    pi1, pi2, pi0", "shelf  pi1, pi2"]
    assert cli.main(["devices", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"] == {"all": ["pi1", "pi2", "pi0"], "shelf": ["pi1", "pi2"]}
    assert cli.main(["devices"]) == 0
    assert "group  devices" in capsys.readouterr().out
    assert cli.main(["devices", "remove", "all"]) == 0
    assert cli.main(["devices", "remove", "shelf"]) == 0
    capsys.readouterr()
    assert cli.main(["devices", "group"]) == 0
    assert "no groups; edgert devices group NAME DEVICE,DEVICE stores one" in capsys.readouterr().out
    assert cli.main(["devices", "group", "all"]) == 2
    assert "write: edgert devices group NAME DEVICE,DEVICE" in capsys.readouterr().err


def test_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["devices"]) == 0
    assert "no devices; edgert devices add NAME URL stores one" in capsys.readouterr().out
    assert cli.main(["devices", "add", "board", "socket://host:4000"]) == 0
    capsys.readouterr()
    assert cli.main(["devices", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["devices"][0]["url"] == "socket://host:4000"
    assert cli.main(["devices", "remove", "board"]) == 0
    assert cli.main(["devices", "add", "board"]) == 2
    assert "write: edgert devices add NAME URL" in capsys.readouterr().err
    assert cli.main(["devices", "flash", "net.edge"]) == 2
    assert "say which board with --target NAME" in capsys.readouterr().err


def test_emulated_boards_are_found_by_machine_or_target() -> None:
    assert emulated_target("mps2-an386") is emulated_target("qemu-mps2-an386")
    with pytest.raises(DeviceError, match="no emulated board 'qemu:no-such'; known: .*qemu:mps2-an386"):
        emulated_target("no-such")


@pytest.mark.parametrize("url", ["socket://", "socket://host", "socket://host:x"])
def test_sockets_need_host_and_port(url: str) -> None:
    with pytest.raises(UsageError, match="names no host and port"):
        open_stream(url)


@pytest.mark.parametrize("url", ["serial:", "serial:///dev/ttyACM0?baud=fast", "serial:COM3?parity=odd"])
def test_serial_ports_need_a_name_and_a_baud_rate(url: str) -> None:
    with pytest.raises(UsageError, match="is no serial port; write serial:///dev/ttyACM0"):
        open_stream(url)


def test_lines_are_serial_ports_or_sockets() -> None:
    with pytest.raises(UsageError, match="no line 'usb:1'; write serial:"):
        open_stream("usb:1")


@pytest.mark.parametrize("url", ["serial:COM77", "serial:///dev/no-such-port?baud=9600"])
def test_a_port_that_is_not_there(url: str) -> None:
    pytest.importorskip("serial")
    with pytest.raises(DeviceError, match=r"cannot be opened .*(COM77|/dev/no-such-port).*is the board plugged in"):
        open_stream(url)


def test_without_pyserial_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(MissingExtraError, match=r"edgert\[serial\]"):
        open_stream("serial:COM3")


def test_a_serial_port_carries_bytes(terminal: tuple[int, str]) -> None:
    pytest.importorskip("serial")
    other_end, name = terminal
    line = open_stream(f"serial://{name}")
    try:
        assert line.read(0.01) == b""
        os.write(other_end, bytes(range(256)))
        came = b""
        while len(came) < 256:
            came += line.read(2)
        assert came == bytes(range(256))
        line.write(b"\0\r\n\x03")
        assert os.read(other_end, 100) == b"\0\r\n\x03"
    finally:
        line.close()
        line.close()


def test_an_unplugged_port_is_a_device_error() -> None:
    class Unplugged:
        """pyserial's port after its device has gone: reads raise TypeError in some versions, OSError in others."""

        timeout: float
        write_timeout: float

        def read(self, count: int) -> bytes:
            raise TypeError(count)

        def write(self, data: bytes) -> int:
            raise OSError(5, "Input/output error")

        def close(self) -> None:
            raise OSError(5, "Input/output error")

    line = SerialStream(Unplugged(), "serial:COM3")
    with pytest.raises(DeviceError, match="serial:COM3: the line is gone .*was the board unplugged"):
        line.read(1)
    with pytest.raises(DeviceError, match="the line is gone .*Input/output error"):
        line.write(b"x")
    line.close()


def test_a_socket_whose_other_end_closes() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    line = open_stream(f"socket://127.0.0.1:{server.getsockname()[1]}")
    accepted = server.accept()[0]
    accepted.sendall(b"ab")
    assert line.read(2) == b"ab"
    closer = threading.Thread(target=accepted.close)
    closer.start()
    with pytest.raises(DeviceError, match="the other end closed it"):
        line.read(5)
    closer.join()
    line.close()
    server.close()
