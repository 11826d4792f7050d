from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import edgert
from edgert.bundle import write_bundle
from edgert.dtypes import DType
from edgert.errors import BundleError, DataError, EngineError, ModelError, UsageError
from edgert.quant import dequantize, quantize
from tests import bundle_example as example


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return example.write(tmp_path)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (5, 4)).astype(np.float32)


def plain(folder: Path, data: bytes) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(data)
    return path


def test_a_bundle_runs_its_default_variant(bundle: Path, x: np.ndarray) -> None:
    with edgert.load(bundle, threads=1) as session:
        assert session.variant.id == "onnx-fp32"
        assert_allclose(session.run(x)["y"], example.reference(x), atol=1e-6)


def test_the_second_run_with_the_same_shape_is_the_same(bundle: Path, x: np.ndarray) -> None:
    session = edgert.load(bundle, threads=1)
    first, second = session.run(x), session.run(x)
    assert_array_equal(first["y"], second["y"])
    assert_allclose(session.run(x[:2])["y"], example.reference(x[:2]), atol=1e-6)


def test_a_sample_without_batch_axis_comes_back_with_one(bundle: Path, x: np.ndarray) -> None:
    result = edgert.load(bundle).run(x[0])["y"]
    assert result.shape == (1, 3)
    assert_allclose(result, example.reference(x[:1]), atol=1e-6)


def test_inputs_by_name_and_lists_are_taken(bundle: Path, x: np.ndarray) -> None:
    session = edgert.load(bundle)
    assert_array_equal(session.run({"x": x})["y"], session.run(x.tolist())["y"])


def test_views_and_foreign_byte_order_are_taken(bundle: Path, x: np.ndarray) -> None:
    session = edgert.load(bundle)
    expected = session.run(x)["y"]
    assert_array_equal(session.run(np.asfortranarray(x))["y"], expected)
    assert_array_equal(session.run(x.astype(">f4"))["y"], expected)


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.zeros((1, 5), np.float32), r"input 'x': expected float \[\?, 4\], got float \[1, 5\]"),
        (np.zeros((1, 1, 4), np.float32), r"got float \[1, 1, 4\]"),
        (np.zeros((1, 4), np.float64), r"expected float \[\?, 4\], got double \[1, 4\]"),
        (np.zeros((1, 4), np.int32), r"got int32 \[1, 4\]"),
        (np.zeros((1, 4), np.complex64), r"got complex64"),
        ([["a", "b", "c", "d"]], "input 'x': list is not an array"),
        ({"X": np.zeros((1, 4), np.float32)}, "no input 'X'; allowed: x"),
        ({}, "no value for input 'x'"),
    ],
)
def test_a_wrong_input_says_name_expected_and_got(bundle: Path, value: object, expected: str, warm: bool) -> None:
    session = edgert.load(bundle)
    if warm:
        session.run(np.zeros((1, 4), np.float32))
    with pytest.raises(DataError, match=expected):
        session.run(value)


def test_one_array_for_two_inputs_is_refused(tmp_path: Path) -> None:
    session = edgert.load(plain(tmp_path, example.two_input_model()))
    with pytest.raises(DataError, match="2 inputs.*left, right"):
        session.run(np.zeros((1, 2), np.float32))


def test_two_inputs_by_name_in_any_order(tmp_path: Path) -> None:
    session = edgert.load(plain(tmp_path, example.two_input_model()))
    left, right = np.float32([[1, 2]]), np.float32([[10, 20]])
    result = session.run({"right": right, "left": left[0]})
    assert_array_equal(result["sum"], [[11, 22]])
    assert_array_equal(result["difference"], [[-9, -18]])


def test_run_batched_equals_one_run(bundle: Path, x: np.ndarray) -> None:
    session = edgert.load(bundle)
    assert_allclose(session.run_batched(x, 2)["y"], session.run(x)["y"], atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
def test_run_batched_on_a_fixed_batch(tmp_path: Path, x: np.ndarray, batch: int) -> None:
    session = edgert.load(plain(tmp_path, example.float_model(batch)))
    assert_allclose(session.run_batched({"x": x}, 32)["y"], example.reference(x), atol=1e-6)


def test_run_batched_refuses_nothing_and_disagreement(tmp_path: Path, bundle: Path) -> None:
    session = edgert.load(bundle)
    with pytest.raises(DataError, match="no samples"):
        session.run_batched(np.zeros((0, 4), np.float32))
    with pytest.raises(UsageError, match="batch_size is 0"):
        session.run_batched(np.zeros((1, 4), np.float32), 0)
    pair = edgert.load(plain(tmp_path, example.two_input_model()))
    with pytest.raises(DataError, match="different numbers of samples"):
        pair.run_batched({"left": np.zeros((2, 2), np.float32), "right": np.zeros((3, 2), np.float32)})


def test_stream_reads_nothing_ahead(bundle: Path, x: np.ndarray) -> None:
    taken = []

    def samples() -> object:
        for row in x:
            taken.append(row)
            yield row

    stream = edgert.load(bundle).stream(samples())  # type: ignore[arg-type]
    assert taken == []
    assert_allclose(next(stream)["y"], example.reference(x[:1]), atol=1e-6)
    assert len(taken) == 1


def test_quantized_feeds_integers_through_a_float_border(bundle: Path, x: np.ndarray) -> None:
    integers = quantize(x, example.X_QUANT)
    session = edgert.load(bundle, variant="onnx-int8")
    result = session.run(integers, quantized=True)["y"]
    assert result.dtype == np.uint8
    assert_array_equal(dequantize(result, example.Y_QUANT), session.run(x)["y"])


def test_an_integer_border_takes_reals_or_integers(bundle: Path, x: np.ndarray) -> None:
    session = edgert.load(bundle, variant="onnx-io8")
    other = edgert.load(bundle, variant="onnx-int8")
    integers = quantize(x, example.X_QUANT)
    assert session.inputs[0].dtype is DType.FLOAT
    assert_array_equal(session.run(x)["y"], other.run(x)["y"])
    assert_array_equal(session.run(integers, quantized=True)["y"], other.run(integers, quantized=True)["y"])
    assert session.quant_of("x") == example.X_QUANT


def test_quantized_wants_the_variants_own_integer_type(bundle: Path) -> None:
    session = edgert.load(bundle, variant="onnx-int8")
    with pytest.raises(DataError, match=r"expected uint8 \[\?, 4\], got int8"):
        session.run(np.zeros((1, 4), np.int8), quantized=True)


def test_quantized_on_a_float_variant_names_the_others(bundle: Path) -> None:
    with pytest.raises(UsageError, match="'onnx-fp32' has no quantized.*onnx-int8"):
        edgert.load(bundle).run(np.zeros((1, 4), np.uint8), quantized=True)


def test_unknown_names_are_refused(bundle: Path) -> None:
    with pytest.raises(BundleError, match="no variant 'onnx-int9'.*'onnx-int8'"):
        edgert.load(bundle, variant="onnx-int9")
    with pytest.raises(UsageError, match="no engine 'onnxruntim'.*'onnxruntime'"):
        edgert.load(bundle, engine="onnxruntim")
    with pytest.raises(UsageError, match="threads is 0"):
        edgert.load(bundle, threads=0)
    with pytest.raises(UsageError, match="no input or output 'z'"):
        edgert.load(bundle).quant_of("z")


def test_a_manifest_that_contradicts_its_model_is_refused(tmp_path: Path) -> None:
    files = dict.fromkeys(example.files(), example.integer_model())
    path = write_bundle(tmp_path / "lie.edge", example.manifest(), files)
    with pytest.raises(DataError, match="'x' is uint8 in the model but float in the manifest"):
        edgert.load(path)


def test_a_plain_model_has_one_variant(tmp_path: Path, x: np.ndarray) -> None:
    session = edgert.load(plain(tmp_path, example.float_model()))
    assert [variant.id for variant in session.manifest.variants] == ["onnx"]
    assert session.inputs == (example.X,)
    with pytest.raises(BundleError, match="no variants"):
        edgert.load(tmp_path / "net.onnx", variant="onnx-int8")


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("net.onnx", b"", "cannot load"),
        ("net.onnx", b"\x00" * 64, "cannot load"),
        ("net.txt", b"hello", "neither a .edge bundle nor a model file"),
        ("net.tflite", b"hello", "litert cannot load"),
        ("net.tflite", b"", "litert cannot load.*the file is empty"),
    ],
)
def test_a_file_that_is_no_model(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises((ModelError, EngineError), match=expected):
        edgert.load(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        edgert.load(tmp_path / "no.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ModelError, match="is a folder"):
        edgert.load(tmp_path / "folder.onnx")


def test_a_closed_session_does_not_run(bundle: Path, x: np.ndarray) -> None:
    session = edgert.load(bundle)
    session.run(x)
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run(x)


def test_preprocess_and_postprocess_come_from_the_manifest(tmp_path: Path, x: np.ndarray) -> None:
    path = example.write(
        tmp_path, preprocess=({"op": "scale", "factor": 0.5, "offset": 0.0},), postprocess=({"op": "argmax"},)
    )
    session = edgert.load(path)
    array, geometry = session.preprocess(x[0])
    assert_allclose(array, x[:1] * 0.5)
    result = session.postprocess(session.run(array), geometry)
    assert result.top[0] == np.argmax(example.reference(x[:1] * 0.5))


def test_a_real_network_runs_in_batches_and_singly(zoo: Path) -> None:
    session = edgert.load(zoo / "models/resnet20_cifar10.onnx", threads=1)
    with np.load(zoo / "data/cifar10_test_jpegdegraded_500.npz") as data:
        images, labels = data["images"][::12], data["labels"][::12]
    x = images.astype(np.float32).transpose(0, 3, 1, 2) / 255
    x = (x - np.float32([0.485, 0.456, 0.406])[:, None, None]) / np.float32([0.229, 0.224, 0.225])[:, None, None]
    together = session.run_batched(x, 16)["logits"]
    alone = np.concatenate([result["logits"] for result in session.stream(x)])
    assert_allclose(together, alone, atol=1e-4)
    assert (together.argmax(1) == labels).mean() > 0.7
