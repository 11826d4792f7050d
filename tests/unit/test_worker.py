from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.testing import assert_array_equal

from edgert.errors import DeviceError
from edgert.runtime.wire import PROTOCOL, Message, read_message, write_message
from edgert.runtime.worker import SessionHandlers, serve
from tests import bundle_example as example


def sent(*messages: Message) -> io.BytesIO:
    stream = io.BytesIO()
    for message in messages:
        write_message(stream, message)
    stream.seek(0)
    return stream


def answers(*requests: Message) -> list[Message]:
    replies = io.BytesIO()
    serve(SessionHandlers().table(), sent(*requests), replies)
    replies.seek(0)
    return list(iter(lambda: read_message(replies), None))


@given(
    st_numpy.arrays(
        st.sampled_from(["<f4", ">f4", "f2", "i1", "u1", "i8", "bool"]), st_numpy.array_shapes(min_dims=0, min_side=0)
    )
)
def test_arrays_survive_the_wire(array: np.ndarray) -> None:
    message = read_message(sent(Message({"a": 1}, {"x": array, "last": np.arange(3)})))
    assert message is not None
    assert message.body == {"a": 1}
    assert message.arrays["x"].dtype == array.dtype.newbyteorder("=")
    assert_array_equal(message.arrays["x"], array)
    assert_array_equal(message.arrays["last"], [0, 1, 2])


def test_views_are_sent_in_c_order() -> None:
    array = np.arange(6).reshape(2, 3).T[::-1]
    message = read_message(sent(Message({}, {"x": array})))
    assert message is not None
    assert_array_equal(message.arrays["x"], array)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"Segmentation fault\n", "expected a JSON line, got b'Segmentation"),
        (b'{"edgert": 99, "body": {}, "arrays": []}\n', "protocol 99, this edgert speaks 1"),
        (b"[]\n", "protocol None"),
        (b'{"edgert": 1}\n', "without body or arrays"),
        (b'{"edgert": 1, "body": {}, "arrays": [{"name": "x"}]}\n', "cannot read the array description"),
        (
            b'{"edgert": 1, "body": {}, "arrays": [{"name": "x", "dtype": "float", "shape": [99999999999]}]}\n',
            "'x' of type float and shape .* refused",
        ),
        (
            b'{"edgert": 1, "body": {}, "arrays": [{"name": "x", "dtype": "string", "shape": [1]}]}\n',
            "'x' of type string .* refused",
        ),
        (
            b'{"edgert": 1, "body": {}, "arrays": [{"name": "x", "dtype": "float", "shape": [2]}]}\n1234',
            "'x' was cut off after 4 of 8 bytes",
        ),
    ],
)
def test_bytes_that_are_no_message(line: bytes, expected: str) -> None:
    with pytest.raises(DeviceError, match=expected):
        read_message(io.BytesIO(line))


def test_strings_are_not_sent() -> None:
    with pytest.raises(DeviceError, match="'x' holds strings"):
        write_message(io.BytesIO(), Message({}, {"x": np.array(["a"], object)}))


def test_a_worker_loads_runs_and_closes(tmp_path: Path) -> None:
    x = np.ones((2, 4), np.float32)
    hello, loaded, ran, batched, closed, late = answers(
        Message({"call": "hello"}),
        Message({"call": "load", "path": str(example.write(tmp_path)), "threads": 1, "variant": "onnx-io8"}),
        Message({"call": "run"}, {"x": x}),
        Message({"call": "run", "batch_size": 1}, {"x": x}),
        Message({"call": "close"}),
        Message({"call": "run"}, {"x": x}),
    )
    assert hello.body["protocol"] == PROTOCOL
    assert loaded.body["variant"] == "onnx-io8"
    assert loaded.body["inputs"][0]["quant"]["zero_point"] == [128]
    assert json.dumps(loaded.body)
    assert_array_equal(ran.arrays["y"], batched.arrays["y"])
    assert closed.body["ok"] is True
    assert (late.body["error"], late.body["text"]) == ("UsageError", "worker: run before load")


def test_an_error_is_a_reply_and_the_worker_goes_on() -> None:
    missing, unknown, broken, hello = answers(
        Message({"call": "load", "path": "/no/such.edge"}),
        Message({"call": "lod"}),
        Message({"call": "load"}),
        Message({"call": "hello"}),
    )
    assert missing.body["error"] == "BundleError"
    assert "did you mean 'load'" in unknown.body["text"]
    assert (broken.body["error"], broken.body["text"]) == ("InternalError", "KeyError: 'path'")
    assert "Traceback" in broken.body["trace"]
    assert hello.body["ok"] is True


def test_another_protocol_ends_the_worker() -> None:
    with pytest.raises(DeviceError, match="install the same version"):
        serve(SessionHandlers().table(), io.BytesIO(b'{"edgert": 2}\n'), io.BytesIO())
