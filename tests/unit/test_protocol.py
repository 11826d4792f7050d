from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgert.devices.protocol import (
    REPLY,
    Command,
    Description,
    Fault,
    Frame,
    FrameError,
    MemoryUse,
    Ticks,
    cobs_decode,
    cobs_encode,
    model_hash,
)

_CONTENTS = st.one_of(
    st.binary(max_size=40),
    st.binary(min_size=250, max_size=520),
    st.lists(st.sampled_from([b"\0", b"\1" * 253, b"\1" * 254, b"\1" * 255]), max_size=6).map(b"".join),
)
FRAME = Frame(Command.RUN, 7, 0xFFFF, bytes(range(256)) * 3)


@given(_CONTENTS)
def test_cobs_gives_back_what_went_in_and_holds_no_zero(data: bytes) -> None:
    encoded = cobs_encode(data)
    assert 0 not in encoded
    assert len(encoded) <= len(data) + 1 + len(data) // 254
    assert cobs_decode(encoded) == data


def test_cobs_of_known_examples() -> None:
    """Examples of the paper, and the full block, which no zero follows."""
    assert cobs_encode(b"") == b"\1"
    assert cobs_encode(b"\0") == b"\1\1"
    assert cobs_encode(b"\x11\x22\0\x33") == b"\3\x11\x22\2\x33"
    full = bytes(range(1, 255))
    assert cobs_encode(full) == b"\xff" + full
    assert cobs_encode(full + b"\0") == b"\xff" + full + b"\1\1"


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 0xFFFF), st.binary(max_size=600))
def test_a_frame_survives(kind: int, sequence: int, argument: int, body: bytes) -> None:
    frame = Frame(kind, sequence, argument, body)
    data = frame.encode()
    assert data.endswith(b"\0")
    assert data.count(b"\0") == 1
    assert Frame.decode(data[:-1]) == frame


@given(st.data())
def test_damage_is_noticed(data: st.DataObject) -> None:
    sound = FRAME.encode()[:-1]
    place = data.draw(st.integers(0, len(sound) - 1))
    kind = data.draw(st.sampled_from(["flip", "lose", "double", "cut"]))
    if kind == "flip":
        bit = data.draw(st.integers(0, 7))
        damaged = sound[:place] + bytes([sound[place] ^ 1 << bit]) + sound[place + 1 :]
    elif kind == "lose":
        damaged = sound[:place] + sound[place + 1 :]
    elif kind == "double":
        damaged = sound[: place + 1] + sound[place:]
    else:
        damaged = sound[:place]
    with pytest.raises(FrameError, match="cut off or holds a zero|checksum is wrong|too few"):
        Frame.decode(damaged)


def test_descriptions() -> None:
    body = struct.pack("<6I8s", 3, 25_000_000, 490, 12, 16000, 13, b"12345678") + b"a-board"
    expected = Description(1, Ticks.VIRTUAL, 25_000_000, 490, 12, 16000, 13, b"12345678", "a-board")
    assert Description.parse(Frame(REPLY | Command.DESCRIBE, 1, 1, body)) == expected
    with pytest.raises(FrameError, match="description cannot be read"):
        Description.parse(Frame(REPLY | Command.DESCRIBE, 1, 1, b"short"))
    with pytest.raises(FrameError, match="description cannot be read"):
        Description.parse(Frame(REPLY | Command.DESCRIBE, 1, 1, b"\7" + body[1:]))


def test_memory_and_faults() -> None:
    assert MemoryUse.parse(Frame(0x84, 1, 0, struct.pack("<5I", 28, 300, 2048, 9, 7))) == MemoryUse(28, 300, 2048, 9, 7)
    with pytest.raises(FrameError, match="memory reply cannot be read"):
        MemoryUse.parse(Frame(0x84, 1, 0, b""))
    assert Fault.parse(Frame(0xFE, 1, 0, struct.pack("<2I", 0x1234, 0x100))) == Fault(0x1234, 0x100)
    assert Fault.parse(Frame(0xFE, 1)) == Fault(0, 0)


def test_the_hash_of_a_model_names_its_files() -> None:
    files = {"model.c": b"int x;", "plan.json": b"{}"}
    assert model_hash(files) == model_hash(dict(reversed(files.items())))
    assert (
        len({model_hash(files), model_hash({**files, "model.c": b"int y;"}), model_hash({"model.c": b"int x;{}"})}) == 3
    )
