"""What a user of microcontrollers may ask that cannot be: each answer says what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import edgert
from edgert import cli
from edgert.devices import connect
from edgert.devices.stream import open_stream
from edgert.errors import UsageError
from edgert.profiler.energy.meters import open_meter
from edgert.target import load_module
from tests import bundle_example

WORDS: dict[str, tuple[Callable[[], object], str]] = {
    "a worker": (lambda: connect("qemu:mps2-an386"), "microcontroller: edgert run, verify and profile take it"),
    "a record": (lambda: edgert.profile("net.edge", device="qemu:mps2-an386"), "comes from edgert.profiler.board"),
    "a line": (lambda: open_stream("tcp://127.0.0.1:4000"), "no line 'tcp://127.0.0.1:4000'; write serial:///dev"),
    "flashing": (lambda: load_module("raspberry-pi-5", "flash"), "only microcontrollers are built for and flashed"),
    "a port": (lambda: open_meter("joulescope:/dev/ttyUSB0"), "joulescope takes no port; connect exactly one"),
    "a rate": (lambda: open_meter("serial-meter:serial:///dev/ttyUSB0"), r"write --energy 'serial-meter:.*rate_hz"),
}


@pytest.mark.parametrize(("ask", "answer"), WORDS.values(), ids=WORDS)
def test_what_cannot_be_is_answered_with_what_can(ask: Callable[[], object], answer: str) -> None:
    with pytest.raises(UsageError, match=answer):
        ask()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["devices", "remove"], "write: edgert devices remove NAME"),
        (
            ["convert", "net.onnx", "--format", "c", "-o", "out/"],
            "--format c is for microcontrollers; name one",
        ),
    ],
)
def test_the_command_line_says_it_too(
    words: list[str], answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").write_bytes(bundle_example.float_model())
    assert cli.main(words) == 2
    assert answer in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
