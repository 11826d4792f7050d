"""Where an app's model runs: here, on a microcontroller, and where neither is possible."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgert.app.model import AppModel
from edgert.app.place import Place
from edgert.errors import DeviceError, UsageError
from tests import app_example


def test_here_without_a_device(tmp_path: Path) -> None:
    opened = Place().open(app_example.write(tmp_path), app_example.SECOND)
    assert opened.session.variant.id == app_example.SECOND
    opened.close()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("local:", "--device local: is no microcontroller; bring the app there with edgert deploy"),
        ("ssh://pi@board", "is no microcontroller"),
        ("nobody", "no device 'nobody'"),
    ],
)
def test_what_is_no_microcontroller(device: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AppModel(Path("net.edge"), place=Place(device))


def test_a_microcontroller_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"socket://127\.0\.0\.1:1: cannot be reached"):
        AppModel(app_example.write(tmp_path), place=Place("socket://127.0.0.1:1"))


def test_a_microcontroller_has_no_threads() -> None:
    with pytest.raises(UsageError, match="qemu:microbit is a microcontroller; it has no --threads"):
        Place("qemu:microbit", 2)


def test_boards_carry_no_lines_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "edgert.devices.names", raising=False)
    monkeypatch.delitem(sys.modules, "edgert.devices", raising=False)
    monkeypatch.setattr("sys.meta_path", [Without(), *sys.meta_path])
    with pytest.raises(UsageError, match="--device needs the whole of edgert on this computer"):
        Place("qemu:microbit").open(Path("net.edge"), None)


class Without:
    """An import system in which edgert.devices was never installed, as on a board."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.startswith("edgert.devices"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
