"""Another height and width than the file fixes: taken where the model runs with it, else refused with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgert.errors import ModelError, UsageError
from edgert_converters.importers import import_model

RNG = np.random.default_rng(0)


def _classifier(path: Path, head: str) -> Path:
    """A convolution (stride 2) and one of three heads, for images of 3x16x16; its output is declared [1, 5]."""
    features = {"global": 4, "reshape": 4 * 64, "rows": 4 * 64}[head]
    weights = {
        "w": RNG.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "m": RNG.standard_normal((features, 5)).astype(np.float32),
        "target": np.asarray({"global": [1, 4], "reshape": [1, 256], "rows": [-1, 256]}[head], np.int64),
    }
    pool = [helper.make_node("GlobalAveragePool", ["c"], ["p"])] if head == "global" else []
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="stem", pads=[1, 1, 1, 1], strides=[2, 2]),
        *pool,
        helper.make_node("Reshape", ["p" if pool else "c", "target"], ["r"], name="flat"),
        helper.make_node("MatMul", ["r", "m"], ["y"], name="head"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize("size", [8, 24, 32])
def test_what_ends_in_global_pooling_takes_any_size(tmp_path: Path, size: int) -> None:
    imported = import_model(_classifier(tmp_path / "m.onnx", "global"), {"x": (1, 3, size, size)})
    assert imported.inputs[0].shape == (1, 3, size, size)
    assert imported.outputs[0].shape == (1, 5)
    note = f"the file fixes another size: input 'x' {size}x{size} instead of 16x16"
    assert note in imported.notes


def test_the_size_of_the_file_is_no_change(tmp_path: Path) -> None:
    imported = import_model(_classifier(tmp_path / "m.onnx", "reshape"), {"x": (1, 3, 16, 16)})
    assert not any("another size" in note for note in imported.notes)


def test_what_stores_the_size_refuses_another(tmp_path: Path) -> None:
    said = r"cannot take the input 'x' 24x24 instead of 16x16: something in it is made for that size \(.*flat"
    with pytest.raises(ModelError, match=said):
        import_model(_classifier(tmp_path / "m.onnx", "reshape"), {"x": (1, 3, 24, 24)})


def test_a_larger_image_does_not_become_more_samples(tmp_path: Path) -> None:
    """32x32 has four times the features, which the Reshape to [-1, 256] would take for four samples."""
    with pytest.raises(ModelError, match="one sample gives 4 rows of outputs"):
        import_model(_classifier(tmp_path / "m.onnx", "rows"), {"x": (1, 3, 32, 32)})


def test_channels_are_fixed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="axis 1 of 1x3x16x16 is fixed to 3 in the model, 4 was given"):
        import_model(_classifier(tmp_path / "m.onnx", "global"), {"x": (1, 4, 16, 16)})


def test_a_tflite_file_keeps_its_size(zoo: Path) -> None:
    with pytest.raises(UsageError, match="axis 2 of batchx32x32x3 is fixed to 32 in the model, 24 was given"):
        path = zoo / "models" / "mlperf_tiny_ic_resnet8_float.tflite"
        import_model(path, {"input_1": (1, 32, 24, 3)})
