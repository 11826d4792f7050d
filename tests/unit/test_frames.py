"""Frames between laptop and board: what is written is read, and what is no frame is refused."""

from __future__ import annotations

import io

import pytest

from edgert import cli
from edgert.onboard.frames import Frame, FrameError, Kind, read_frame, write_frame


def test_frames_come_back_as_they_were() -> None:
    sent = [Frame(Kind.BEAT), Frame(Kind.DATA, 7, bytes(range(256))), Frame.of(Kind.REQUEST, 65535, {"call": "facts"})]
    stream = io.BytesIO()
    for frame in sent:
        write_frame(stream, frame)
    stream.seek(0)
    assert [read_frame(stream) for _ in sent] == sent
    assert read_frame(stream) is None
    assert sent[2].body() == {"call": "facts"}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x03\x01", "a frame was cut off after 2 bytes"),
        (b"\x03\x01\x00\x05\x00\x00\x00abc", "a frame was cut off after 3 of 5 bytes"),
        (b"\x63\x01\x00\x00\x00\x00\x00", "not a frame: b'c"),
        (b"\x03\x01\x00\x00\x00\x00\x7f", "not a frame"),
    ],
)
def test_what_is_no_frame(data: bytes, says: str) -> None:
    with pytest.raises(FrameError, match=says):
        read_frame(io.BytesIO(data))


def test_a_body_that_is_no_object() -> None:
    with pytest.raises(FrameError, match="a frame holds no JSON: b'{'"):
        Frame(Kind.REPLY, 1, b"{").body()
    with pytest.raises(FrameError, match="a frame holds no JSON object"):
        Frame(Kind.REPLY, 1, b"[]").body()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["devices", "setup", "local"],
            "local is no Linux board: setup, clean and doctor are for devices with an ssh:// URL",
        ),
        (["devices", "setup"], "write: edgert devices setup NAME"),
        (["profile", "net.onnx", "--battery", "10Wh"], "--battery needs --rate: how often the model runs"),
    ],
)
def test_words_that_cannot_be_used(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert says in capsys.readouterr().err
