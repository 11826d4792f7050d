"""Data sources: what they read, and the message for everything that can be wrong with them."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from edgert.bundle import TensorSpec
from edgert.dtypes import DType
from edgert.errors import DataError, RecipeError
from edgert_converters.data import BoxLabels, load_dataset, split
from edgert_converters.data.yaml_subset import YamlSubsetError, parse_yaml_subset

INPUTS = (TensorSpec("input", (None, 3, 4, 4), DType.FLOAT),)
IMAGE_INPUTS = (TensorSpec("input", (1, 3, 8, 8), DType.FLOAT),)
STEPS = [{"op": "resize", "height": 8, "width": 8}, {"op": "scale", "factor": 1 / 255}, {"op": "layout", "to": "NCHW"}]
RNG = np.random.default_rng(0)


def _npz(path: Path, *, compressed: bool = False, **arrays: object) -> str:
    (np.savez_compressed if compressed else np.savez)(path, **arrays)  # type: ignore[arg-type]
    return str(path)


def _image(path: Path, color: tuple[int, int, int] = (10, 200, 30), size: tuple[int, int] = (20, 30)) -> bytes:
    """Writes a PNG of one RGB colour; returns its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((*size, 3), color[::-1], np.uint8)
    data = cv2.imencode(".png", pixels)[1].tobytes()
    path.write_bytes(data)
    return data


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npz_samples_come_back_as_stored(tmp_path: Path, compressed: bool, order: str) -> None:
    x = np.asarray(RNG.normal(size=(5, 3, 4, 4)).astype(np.float32), order=order)  # type: ignore[call-overload]
    data = load_dataset(_npz(tmp_path / "d.npz", compressed=compressed, x=x, y=np.arange(5, dtype=np.uint8)), INPUTS)
    assert len(data) == 5
    assert data.has_labels
    for i in (4, 0, 2):
        sample = data.sample(i)
        np.testing.assert_array_equal(sample.inputs["input"], x[i : i + 1])
        assert sample.label == i
        assert sample.digest == data.digest(i)
    assert len({data.digest(i) for i in range(5)}) == 5


def test_npz_by_input_names_and_images_with_steps(tmp_path: Path) -> None:
    inputs = (TensorSpec("a", (1, 2), DType.FLOAT), TensorSpec("b", (1, 3), DType.INT64))
    spec = _npz(tmp_path / "n.npz", a=np.ones((4, 2)), b=np.ones((4, 3), np.int32))
    sample = load_dataset(spec, inputs).sample(1)
    assert {name: (v.shape, v.dtype.name) for name, v in sample.inputs.items()} == {
        "a": ((1, 2), "float32"),
        "b": ((1, 3), "int64"),
    }
    assert sample.label is None
    spec = _npz(
        tmp_path / "i.npz", images=RNG.integers(0, 256, (2, 20, 30, 3), dtype=np.uint8), labels=np.array([3, 4])
    )
    image = load_dataset(spec, IMAGE_INPUTS, STEPS).sample(1)
    assert image.inputs["input"].shape == (1, 3, 8, 8)
    assert image.label == 4
    assert image.preview is not None
    assert image.preview.shape == (20, 30, 3)
    assert image.geometry.original_size == (20, 30)


def test_memory_does_not_grow_with_the_number_of_samples(tmp_path: Path) -> None:
    def peak_bytes(count: int) -> int:
        spec = _npz(tmp_path / f"{count}.npz", compressed=True, x=np.zeros((count, 3, 64, 64), np.float32))
        tracemalloc.start()
        data = load_dataset(spec, (TensorSpec("x", (1, 3, 64, 64), DType.FLOAT),))
        for i in range(len(data)):
            data.sample(i)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_bytes(72) > 48 * 1024
    assert peak_bytes(720) < 1.1 * peak_bytes(72)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x": np.zeros((2, 4, 4, 3), np.float32)},
            r"sample 0 .*input 'input' expects \[1, 3, 4, 4\] float, got \[1, 4, 4, 3\]",
        ),
        ({"x": np.full((2, 3, 4, 4), np.nan, np.float32)}, r"d.npz: sample 0 .*'input' holds NaN or infinity"),
        ({"z": np.zeros((2, 3))}, "needs x or images, or the model's inputs 'input' as members, found z"),
        ({"x": np.zeros((0, 3, 4, 4), np.float32)}, "holds no samples"),
        ({"x": np.zeros((2, 3, 4, 4)), "y": np.zeros(3)}, "'labels' has 3 samples, the first input 2"),
        ({"x": np.array([["a"] * 4] * 2)}, "expects"),
        ({"x": np.zeros(())}, "header says shape"),
        ({"images": np.zeros((1, 9, 9, 3), np.uint8)}, "images need preprocess steps in the recipe"),
    ],
)
def test_wrong_npz_is_named(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(_npz(tmp_path / "d.npz", **arrays), INPUTS).sample(0)


def test_the_sample_with_nan_is_named(tmp_path: Path) -> None:
    x = np.zeros((4, 3, 4, 4), np.float32)
    x[2, 1, 0, 0] = np.inf
    data = load_dataset(_npz(tmp_path / "d.npz", x=x), INPUTS)
    data.sample(1)
    with pytest.raises(DataError, match="sample 2"):
        data.sample(2)


def test_types_are_converted_only_without_loss(tmp_path: Path) -> None:
    integer = (TensorSpec("x", (1, 2), DType.INT8),)
    ok = load_dataset(_npz(tmp_path / "a.npz", x=np.array([[1, -128]], np.int64)), integer).sample(0)
    assert ok.inputs["x"].dtype == np.int8
    with pytest.raises(DataError, match="holds values outside int8"):
        load_dataset(_npz(tmp_path / "b.npz", x=np.array([[1, 128]], np.int64)), integer).sample(0)
    with pytest.raises(DataError, match="expects int8, got float64; add a cast step"):
        load_dataset(_npz(tmp_path / "c.npz", x=np.zeros((1, 2))), integer).sample(0)


def test_damaged_and_pickled_npz_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(DataError, match=r"not a readable .npz file"):
        load_dataset(str(path), INPUTS)
    np.savez(path, x=np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="never unpickled"):
        load_dataset(str(path), INPUTS)
    whole = Path(_npz(tmp_path / "whole.npz", x=np.zeros((9, 3, 4, 4)))).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError):
        load_dataset(str(path), INPUTS)


def test_paths_that_are_nothing_known(tmp_path: Path) -> None:
    (tmp_path / "text.csv").write_text("1,2")
    (tmp_path / "folder.npz").mkdir()
    for spec, message in (
        (tmp_path / "absent.npz", "no such file or folder"),
        (tmp_path / "text.csv", r"unknown kind of data; allowed: .npz, .parquet"),
        (tmp_path / "folder.npz", "is a folder, a .npz file is expected"),
        (tmp_path, "no images in it or in its sub-folders"),
    ):
        with pytest.raises(DataError, match=message):
            load_dataset(str(spec), INPUTS)


def test_folder_of_classes(tmp_path: Path) -> None:
    for name in ("cat", "ant"):
        _image(tmp_path / name / "1.png")
    data = load_dataset(str(tmp_path), IMAGE_INPUTS, STEPS)
    assert [(data.sample(i).id, data.sample(i).label) for i in range(2)] == [("ant/1.png", 0), ("cat/1.png", 1)]
    np.testing.assert_allclose(data.sample(0).inputs["input"][0, :, 3, 3], np.array([10, 200, 30]) / 255, rtol=1e-5)
    named = load_dataset(str(tmp_path), IMAGE_INPUTS, STEPS, ["cat", "dog", "ant"])
    assert [named.sample(i).label for i in range(2)] == [2, 0]
    with pytest.raises(DataError, match="class folder 'ant' is not among the labels; did you mean 'antt'"):
        load_dataset(str(tmp_path), IMAGE_INPUTS, STEPS, ["cat", "antt"])
    flat = load_dataset(str(tmp_path / "cat"), IMAGE_INPUTS, STEPS)
    assert not flat.has_labels


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    _image(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "2.jpg").write_bytes(b"no image")
    data = load_dataset(str(tmp_path), IMAGE_INPUTS, STEPS)
    with pytest.raises(DataError, match=r"2.jpg: not an image that can be decoded"):
        data.sample(1)


def test_parquet_with_labels_and_boxes(tmp_path: Path) -> None:
    jpeg = [_image(tmp_path / "i.png"), b"broken"]
    parquet.write_table(pa.table({"name": ["a", "b"], "jpeg": jpeg, "label": [7, 8]}), tmp_path / "c.parquet")
    data = load_dataset(str(tmp_path / "c.parquet"), IMAGE_INPUTS, STEPS)
    assert (data.sample(0).id, data.sample(0).label) == ("a", 7)
    with pytest.raises(DataError, match=r"row 1 \(b\): not an image"):
        data.sample(1)
    boxes = pa.table({"jpeg": jpeg[:1], "class_ids": [[2]], "boxes_cxcywh_norm": [[0.5, 0.5, 0.2, 0.4]]})
    parquet.write_table(boxes, tmp_path / "b.parquet")
    label = load_dataset(str(tmp_path / "b.parquet"), IMAGE_INPUTS, STEPS).sample(0).label
    assert isinstance(label, BoxLabels)
    np.testing.assert_allclose(label.boxes, [[12, 6, 18, 14]], rtol=1e-5)
    parquet.write_table(pa.table({"text": ["x"]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="no image column .*found text"):
        load_dataset(str(tmp_path / "t.parquet"), IMAGE_INPUTS, STEPS)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1xxxx")
    with pytest.raises(DataError, match="not a readable parquet file"):
        load_dataset(str(tmp_path / "bad.parquet"), IMAGE_INPUTS, STEPS)


def _coco(tmp_path: Path, **changes: object) -> str:
    _image(tmp_path / "val2017" / "1.png")
    document: dict[str, object] = {
        "images": [{"id": 5, "file_name": "1.png"}],
        "categories": [{"id": 90, "name": "dog"}, {"id": 1, "name": "person"}],
        "annotations": [{"id": 1, "image_id": 5, "category_id": 90, "bbox": [2, 3, 10, 5], "iscrowd": 1}],
    }
    path = tmp_path / "annotations" / "instances_val2017.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document | changes))
    return str(path)


def test_coco(tmp_path: Path) -> None:
    label = load_dataset(_coco(tmp_path), IMAGE_INPUTS, STEPS).sample(0).label
    assert isinstance(label, BoxLabels)
    np.testing.assert_array_equal(label.boxes, [[2, 3, 12, 8]])
    np.testing.assert_array_equal(label.class_ids, [1])
    np.testing.assert_array_equal(label.is_crowd, [True])
    named = load_dataset(_coco(tmp_path), IMAGE_INPUTS, STEPS, ["dog", "person"]).sample(0).label
    assert isinstance(named, BoxLabels)
    np.testing.assert_array_equal(named.class_ids, [0])


@pytest.mark.parametrize(
    ("changes", "labels", "message"),
    [
        ({"images": None}, (), "the list 'images' is missing"),
        ({"images": []}, (), "lists no images"),
        (
            {"images": [{"id": 5, "file_name": "2.png"}]},
            (),
            "'2.png' found neither beside it nor in images/ or val2017/",
        ),
        (
            {"annotations": [{"id": 9, "image_id": 5, "bbox": [1, 2]}]},
            (),
            "annotation 9 has no usable bbox or category",
        ),
        ({}, ("dogs", "person"), "category 'dog' is not among the labels; did you mean 'dogs'"),
    ],
)
def test_wrong_coco_is_named(tmp_path: Path, changes: dict[str, object], labels: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(_coco(tmp_path, **changes), IMAGE_INPUTS, STEPS, labels).sample(0)


def test_yolo(tmp_path: Path) -> None:
    for part in ("train", "val"):
        _image(tmp_path / "images" / part / "1.png")
        (tmp_path / "labels" / part).mkdir(parents=True)
    (tmp_path / "labels" / "val" / "1.txt").write_text("1 0.5 0.5 0.2 0.4\n\n")
    (tmp_path / "data.yaml").write_text(
        "path: .\ntrain: images/train  # here\nval: images/val\nnames:\n  0: cat\n  1: dog\n"
    )
    for spec in (tmp_path / "data.yaml", tmp_path):
        label = load_dataset(str(spec), IMAGE_INPUTS, STEPS).sample(0).label
        assert isinstance(label, BoxLabels)
        np.testing.assert_allclose(label.boxes, [[12, 6, 18, 14]], rtol=1e-5)
        np.testing.assert_array_equal(label.class_ids, [1])
    empty = load_dataset(f"{tmp_path / 'data.yaml'}#train", IMAGE_INPUTS, STEPS).sample(0).label
    assert isinstance(empty, BoxLabels)
    assert empty.boxes.shape == (0, 4)
    with pytest.raises(DataError, match="no split 'tets'"):
        load_dataset(f"{tmp_path / 'data.yaml'}#tets", IMAGE_INPUTS, STEPS)
    for line in ("7 0.5 0.5 0.2 0.4", "1 0.5 0.5", "dog 1 1 1 1"):
        (tmp_path / "labels" / "val" / "1.txt").write_text(line)
        with pytest.raises(DataError, match=r"1.txt: line 1"):
            load_dataset(str(tmp_path), IMAGE_INPUTS, STEPS).sample(0)


def test_yaml_subset() -> None:
    text = "a: 'x: y'\nb: [1, \"two\",\n  3]\nc:\n- p\n- q\nd: {0: cat, 1: dog}\n# end\nurl: http://h/p\n"
    assert parse_yaml_subset(text) == {
        "a": "x: y",
        "b": ["1", "two", "3"],
        "c": ["p", "q"],
        "d": {"0": "cat", "1": "dog"},
        "url": "http://h/p",
    }
    for wrong in ("just text", "  a: 1", "a: &anchor x", "a: |\n  text"):
        with pytest.raises(YamlSubsetError, match="line 1"):
            parse_yaml_subset(wrong)


def test_a_function_gives_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_samples_for_test.py").write_text(
        "import numpy as np\n"
        "def pairs():\n    for i in range(3):\n        yield np.full((3, 4, 4), i, np.float32), i\n"
        "def named():\n    return [{'input': np.zeros((3, 4, 4), np.float32)}]\n"
        "def broken():\n    yield np.zeros((3, 4, 4))\n    raise RuntimeError('disk gone')\n"
        "def number():\n    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    data = load_dataset("my_samples_for_test:pairs", INPUTS)
    assert [data.sample(i).label for i in range(3)] == [0, 1, 2]
    np.testing.assert_array_equal(data.sample(2).inputs["input"], np.full((1, 3, 4, 4), 2))
    assert len(load_dataset("my_samples_for_test:named", INPUTS)) == 1
    for spec, message in (
        ("my_samples_for_test:broken", "raised RuntimeError: disk gone"),
        ("my_samples_for_test:number", "returned int, expected an iterable"),
        ("my_samples_for_test:absent", "cannot be imported"),
        ("no_such_module_here:f", "cannot be imported"),
    ):
        with pytest.raises(DataError, match=message):
            load_dataset(spec, INPUTS)


def test_steps_need_one_input() -> None:
    with pytest.raises(RecipeError, match="need a model with one input, this one has 2"):
        load_dataset("x.npz", INPUTS * 2, STEPS)


def test_one_set_is_divided_and_never_overlaps(tmp_path: Path) -> None:
    x = RNG.normal(size=(50, 3, 4, 4)).astype(np.float32)
    x[49] = x[48] = x[0]
    data = load_dataset(_npz(tmp_path / "d.npz", x=x), INPUTS)
    parts = split(data, None)
    assert parts.calib is not None
    assert parts.evaluation is not None
    assert len(parts.calib) == 10
    used = {parts.calib.digest(i) for i in range(10)}
    assert not used & {parts.evaluation.digest(i) for i in range(len(parts.evaluation))}
    assert "10 of 50 samples choose the ranges, the other" in parts.notes[0]
    again = split(None, data)
    assert again.calib is not None
    assert [again.calib.digest(i) for i in range(10)] == [parts.calib.digest(i) for i in range(10)]
    same_twice = split(data, load_dataset(str(tmp_path / "d.npz"), INPUTS))
    assert same_twice.calib is not None
    assert len(same_twice.calib) == 10


def test_calibration_samples_do_not_decide(tmp_path: Path) -> None:
    x = RNG.normal(size=(20, 3, 4, 4)).astype(np.float32)
    calib = load_dataset(_npz(tmp_path / "c.npz", x=x[:8]), INPUTS)
    evaluation = load_dataset(_npz(tmp_path / "e.npz", compressed=True, x=x[5:], y=np.arange(15)), INPUTS)
    parts = split(calib, evaluation)
    assert parts.evaluation is not None
    assert len(parts.evaluation) == 12
    assert parts.evaluation.sample(0).label == 3
    assert any("3 samples also occur in" in note for note in parts.notes)
    fewer = split(calib, evaluation, calib_samples=2)
    assert fewer.calib is not None
    assert len(fewer.calib) == 2
    inside = load_dataset(_npz(tmp_path / "i.npz", x=x[2:4]), INPUTS)
    with pytest.raises(DataError, match="every sample also occurs in the calibration data"):
        split(calib, inside)
    assert split(None, None).calib is None


def test_copies_of_calibration_samples_never_decide(tmp_path: Path) -> None:
    """One file with every sample four times: a copy of a sample that chose ranges must not judge them."""
    distinct = np.random.default_rng(0).standard_normal((10, 6)).astype(np.float32)
    np.savez(tmp_path / "copies.npz", x=np.tile(distinct, (4, 1)))
    data = load_dataset(str(tmp_path / "copies.npz"), (TensorSpec("x", (None, 6), DType.FLOAT),))
    divided = split(data, None)
    assert divided.calib is not None
    assert divided.evaluation is not None
    chose = {divided.calib.digest(i) for i in range(len(divided.calib))}
    decide = {divided.evaluation.digest(i) for i in range(len(divided.evaluation))}
    assert chose
    assert decide
    assert not chose & decide
    assert any("copies of calibration samples and do not decide" in note for note in divided.notes)
