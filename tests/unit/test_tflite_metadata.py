"""Metadata of .tflite files: labels, normalization, the oldest runtime."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgert.bundle import TensorSpec
from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert_converters.tflite.description import (
    describe_file,
    normalization,
    read_described,
    with_label_file,
)
from edgert_converters.tflite.metadata import METADATA_KEY, build_metadata, parse_metadata, read_files
from edgert_converters.tflite.model import TfOperator
from edgert_converters.tflite.read import parse_tflite
from edgert_converters.tflite.runtime_versions import minimum_runtime, minimum_runtime_blob
from tests.tflite_graphs import add_graph, run_litert, write

IMAGE = TensorSpec("image", (1, 32, 32, 3), DType.FLOAT)
SCORES = TensorSpec("scores", (1, 3), DType.FLOAT)
LABELS = ("cat", "dog", "two\nlines")
STEPS = (
    {"op": "resize", "height": 32, "width": 32},
    {"op": "scale", "factor": 1 / 255},
    {"op": "normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
)


def test_a_published_file_is_read(zoo: Path) -> None:
    data = (zoo / "models" / "mobilenet_v1_0.25_128_quant.tflite").read_bytes()
    found = read_described(data)
    assert len(found.labels) == 1001
    assert found.labels[:2] == ("background", "tench, Tinca tinca")
    assert found.preprocess == ({"op": "normalize", "mean": [127.5], "std": [127.5]},)
    metadata = parse_metadata(parse_tflite(data).metadata[METADATA_KEY])
    assert metadata.name == "ImageClassifier"
    assert [(port.name, port.is_image, port.low, port.high) for port in metadata.inputs] == [
        ("image", True, (0.0,), (255.0,))
    ]
    assert parse_metadata(build_metadata(metadata)) == metadata


def test_what_is_written_is_read() -> None:
    blobs = describe_file("net", (IMAGE,), (SCORES,), STEPS, LABELS)
    data = with_label_file(write(add_graph(), metadata=blobs), LABELS)
    found = read_described(data)
    assert found.labels == ("cat", "dog", "two lines")
    (step,) = found.preprocess
    pixels = np.asarray([0, 100, 255], np.float64)
    mean, std = np.asarray(step["mean"]), np.asarray(step["std"])
    expected = (pixels / 255 - np.asarray([0.485, 0.456, 0.406])) / np.asarray([0.229, 0.224, 0.225])
    np.testing.assert_allclose((pixels - mean) / std, expected, rtol=1e-5)
    metadata = parse_metadata(blobs[METADATA_KEY])
    assert metadata.inputs[0].is_image
    assert metadata.outputs[0].files == ("labels.txt",)


def test_the_file_still_runs_and_opens_as_an_archive() -> None:
    data = with_label_file(write(add_graph()), LABELS)
    assert zipfile.ZipFile(io.BytesIO(data)).read("labels.txt") == b"cat\ndog\ntwo lines\n"
    assert with_label_file(write(add_graph()), LABELS) == data
    x = np.ones((1, 4), np.float32)
    np.testing.assert_array_equal(run_litert(data, x)[0], 2 * x)


def test_a_file_without_metadata_or_labels() -> None:
    plain = write(add_graph())
    assert with_label_file(plain, ()) == plain
    assert read_files(plain) == {}
    assert read_described(plain).labels == ()
    assert parse_metadata(describe_file("net", (SCORES,), (SCORES,))[METADATA_KEY]).outputs[0].files == ()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), None),
        (({"op": "flatten"},), None),
        (({"op": "scale", "factor": 0.0},), None),
        (({"op": "scale", "factor": 2.0, "offset": -1.0},), ((0.5,), (0.5,))),
        (({"op": "normalize", "mean": [1.0, 2.0], "std": [4.0, 8.0]},), ((1.0, 2.0), (4.0, 8.0))),
    ],
)
def test_scaling_steps_become_one_mean_and_std(steps: tuple[dict[str, object], ...], expected: object) -> None:
    assert normalization(steps) == expected


def test_damaged_metadata() -> None:
    good = describe_file("net", (IMAGE,), (SCORES,), STEPS, LABELS)[METADATA_KEY]
    with pytest.raises(ModelError, match="does not carry the mark M001"):
        parse_metadata(b"")
    with pytest.raises(ModelError, match="metadata is damaged"):
        parse_metadata(good[:40])
    data = bytearray(with_label_file(write(add_graph()), LABELS))
    data[data.rindex(b"cat\n")] ^= 1
    with pytest.raises(ModelError, match="the files packed behind the model are damaged .*BadZipFile"):
        read_files(bytes(data))
    stream = io.BytesIO(write(add_graph()))
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", bytes(1 << 25))
    with pytest.raises(ModelError, match="larger than 16 MB"):
        read_files(stream.getvalue())


def test_the_oldest_runtime() -> None:
    conv, pool = TfOperator("CONV_2D", (), (), version=3), TfOperator("AVERAGE_POOL_2D", (), (), version=3)
    assert minimum_runtime([conv]) == "1.14.0"
    assert minimum_runtime([conv, pool]) == "2.3.0"
    assert minimum_runtime([TfOperator("Mine", (), (), is_custom=True)]) == ""
    assert minimum_runtime([TfOperator("CONV_2D", (), (), version=99)]) == "2.9.0"
    assert minimum_runtime_blob([conv]) == b"1.14.0" + bytes(10)
