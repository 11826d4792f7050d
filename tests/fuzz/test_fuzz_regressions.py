"""What the fuzzer found, each as a small case of its own."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgert
from edgert import cli
from edgert.bundle import Bundle, load_npz
from edgert.codec import parse_json
from edgert.errors import BundleError, DataError, InputFileError, ModelError
from edgert.profiler.record import parse_record
from edgert.runtime.geometry import Geometry
from edgert.runtime.postprocess import build_postprocess
from edgert.runtime.preprocess import build_preprocess
from tests import bundle_example as example
from tests.fuzz import mutate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1e999}', "a number is too large"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": 1' + "0" * 400 + "}", "more than 64 bits"),
        ('{"a": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ('{"a": "\\ud800"}', "surrogates not allowed"),
        ('{"\\ud800": 1}', "surrogates not allowed"),
        (b'{"a": "\xed\xa0\x80"}', "can't decode"),
        ("[" * 900 + "]" * 900, "nested deeper than 64 levels"),
        ("[" * 100_000 + "]" * 100_000, "nested deeper than 64 levels"),
        ('{"a": 1}'.encode("utf-16"), "can't decode"),
    ],
)
def test_json_that_the_standard_library_lets_through(text: str | bytes, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        parse_json(text)


def test_json_within_the_limits_stays_as_it_is() -> None:
    value = {"a": [2**64, -(2**64), 1e308, "é\N{GRINNING FACE}", None, True], "b": {"c": [[[]]]}}
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


def bundle_with(folder: Path, edit: Any) -> Path:
    files = mutate.unpack(example.write(folder).read_bytes())
    document = json.loads(files["manifest.json"])
    edit(document)
    path = folder / "edited.edge"
    path.write_bytes(mutate.pack({**files, "manifest.json": json.dumps(document).encode()}))
    return path


@pytest.mark.parametrize("value", [10**400, 2**70, float("inf")])
def test_a_manifest_with_a_number_beyond_every_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float
) -> None:
    """These ended in `inspect` as OverflowError or ValueError."""
    path = bundle_with(tmp_path, lambda document: document["variants"][0].update(peak_activation_bytes=value))
    assert cli.main(["inspect", str(path)]) == 4
    assert "edited.edge: manifest.json is not valid JSON" in capsys.readouterr().err


def test_a_name_that_cannot_be_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = bundle_with(tmp_path, lambda document: document.update(name="\ud800"))
    assert cli.main(["inspect", str(path)]) == 4
    assert "surrogates not allowed" in capsys.readouterr().err


def test_a_record_with_a_number_that_is_none() -> None:
    with pytest.raises(InputFileError, match="NaN is not a JSON number"):
        parse_record('{"schema": 1, "latency": {"p50_ms": NaN}}')


def test_a_member_of_an_npz_that_is_no_array(tmp_path: Path) -> None:
    """numpy gives the bytes of a member whose first bytes are not an array's."""
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"not an array")
    with pytest.raises(DataError, match="member 'x' holds no array"):
        load_npz(path.read_bytes(), "x.npz", DataError)
    files = mutate.unpack(example.write(tmp_path).read_bytes())
    changed = tmp_path / "changed.edge"
    changed.write_bytes(mutate.pack(mutate.relist({**files, "golden.npz": path.read_bytes()})))
    with Bundle.open(changed) as bundle, pytest.raises(BundleError, match="golden.npz: .*holds no array"):
        bundle.golden()


@pytest.mark.parametrize(
    "step",
    [
        {"op": "resize", "height": 10**9, "width": 10**9},
        {"op": "resize", "height": 1, "width": 2**40},
        {"op": "resize_shorter", "size": 2**40},
        {"op": "letterbox", "height": 10**7, "width": 10**7},
    ],
    ids=lambda step: step["op"],
)
def test_a_picture_that_would_fill_the_memory(step: dict[str, object]) -> None:
    with pytest.raises(DataError, match="more than 67108864 pixels"):
        build_preprocess((step,))(np.zeros((32, 32, 3), np.uint8))


def test_a_model_whose_input_has_a_name_that_is_not_text(tmp_path: Path) -> None:
    """ONNX Runtime loads it; the error came when the name was asked for."""
    path = tmp_path / "name.onnx"
    path.write_bytes(example.two_input_model().replace(b"left", b"lef\xce"))
    with pytest.raises(ModelError, match="the name of an input, output or axis is not text"):
        edgert.load(path)


def test_a_detector_head_without_axes() -> None:
    postprocess = build_postprocess(({"op": "nanodet", "strides": [8]}, {"op": "nms"}))
    with pytest.raises(ModelError, match="nanodet: stride 8"):
        postprocess({"boxes": np.float32(0)[()] * np.ones((), np.float32)}, Geometry((32, 32), (32, 32)))
