"""Importing real and broken model files."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgert.dtypes import DType
from edgert.errors import DynamicShapeError, EdgertError, ModelError, UsageError
from edgert_converters.importers import ImportedModel, import_model
from edgert_converters.passes.output_check import random_feed, relative_error, run_model
from edgert_converters.passes.pipeline import TOLERANCE

# nodes before clean-up (as stored) and after; a rise means that a pass stopped working
NODE_COUNTS = {
    "resnet20_cifar10": (56, 56),
    "proxyless_w025_r112_imagenet": (118, 118),
    "efficientnet_lite0_f16w": (167, 94),
    "nanodet_m_320": (335, 225),
    "ultraface_RFB_320_nopost": (217, 112),
    "basic_pitch_nmp": (248, 187),
}
SHAPE_GLUE = {
    "Shape",
    "Gather",
    "Constant",
    "Unsqueeze",
    "Squeeze",
    "Cast",
    "Identity",
    "BatchNormalization",
    "ReduceMean",
}


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str] = (1, 3, 8, 8),
    *,
    opset: int = 18,
    ir_version: int = 8,
    constants: dict[str, np.ndarray] | None = None,
    domains: Sequence[str] = (),
) -> Path:
    """Writes a model from x: float[shape] to y."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=ir_version), path)
    return path


def relu(path: Path, shape: Sequence[int | str] = (1, 3, 8, 8)) -> Path:
    return save(path, [helper.make_node("Relu", ["x"], ["y"], name="relu")], shape)


def feed_of(imported: ImportedModel, batch: int = 1) -> dict[str, np.ndarray]:
    shapes = [tuple(dim or batch for dim in spec.shape) for spec in imported.inputs]
    return random_feed([s.name for s in imported.inputs], shapes, [s.dtype for s in imported.inputs])


def run(model: ir.Model, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    return run_model(ir.to_proto(model).SerializeToString(), feed)


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("name", NODE_COUNTS)
def test_real_models_keep_their_outputs_and_lose_exporter_glue(zoo: Path, name: str) -> None:
    path = zoo / "models" / f"{name}.onnx"
    imported = import_model(path, {})
    before, after = NODE_COUNTS[name]
    assert ir.load(path).graph.num_nodes() == before
    assert imported.model.graph.num_nodes() <= after
    assert not SHAPE_GLUE & set(ops(imported.model))
    assert imported.model.opset_imports[""] == 18
    assert imported.model.ir_version == 8
    assert all(record.undone is None for record in imported.passes)
    for batch in (1, 3) if imported.inputs[0].shape[0] is None else (1,):
        feed = feed_of(imported, batch)
        found = run(imported.model, feed)
        assert relative_error(run_model(path.read_bytes(), feed), found) < TOLERANCE
        for spec, array in zip(imported.outputs, found, strict=True):
            assert tuple(dim or batch for dim in spec.shape) == array.shape
    assert [spec.name for spec in imported.outputs] == [value.name for value in imported.model.graph.outputs]


def test_source_is_recorded(zoo: Path) -> None:
    imported = import_model(zoo / "models/resnet20_cifar10.onnx", {})
    assert imported.source.sha256.startswith("4bf6c0aa6d0da5d0")
    assert (imported.source.name, imported.source.format) == ("resnet20_cifar10.onnx", "onnx")


def test_weights_stored_as_float16_become_float32(zoo: Path) -> None:
    imported = import_model(zoo / "models/efficientnet_lite0_f16w.onnx", {})
    kinds = Counter(value.dtype for value in imported.model.graph.initializers.values())
    assert set(kinds) == {ir.DataType.FLOAT, ir.DataType.INT64}


@pytest.mark.parametrize("cut", [0, 1, 1000, 500_000])
def test_truncated_file(zoo: Path, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes((zoo / "models/resnet20_cifar10.onnx").read_bytes()[:cut])
    with pytest.raises(ModelError, match=r"cut\.onnx: .*damaged") as caught:
        import_model(path, {})
    assert caught.value.exit_code == 4
    assert caught.value.path == path


def test_random_bytes(tmp_path: Path) -> None:
    path = tmp_path / "noise.onnx"
    path.write_bytes(random.Random(1).randbytes(4096))
    with pytest.raises(ModelError, match="damaged"):
        import_model(path, {})


def test_mutated_files_give_a_typed_error_or_a_model(zoo: Path, tmp_path: Path) -> None:
    rng, path = random.Random(7), tmp_path / "mutated.onnx"
    original = (zoo / "models/resnet20_cifar10.onnx").read_bytes()
    survived = 0
    for changes in (1, 2, 4, 8, 64):
        data = bytearray(original)
        for _ in range(changes):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            import_model(path, {}, time_limit_s=45)
            survived += 1
        except EdgertError as error:
            assert error.exit_code == 4, str(error)
    assert survived > 0, "mutations of weights alone must still give a model"


def test_unknown_operator_names_node_and_operator(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Conw", ["x"], ["y"], name="first")])
    with pytest.raises(ModelError, match=r"node 'first': unknown operator 'Conw'; did you mean 'Conv'") as caught:
        import_model(path, {})
    assert caught.value.node == "first"


def test_custom_domain_names_node_and_operator(tmp_path: Path) -> None:
    node = helper.make_node("Gelu", ["x"], ["y"], name="act", domain="com.microsoft")
    path = save(tmp_path / "m.onnx", [node], domains=["com.microsoft"])
    with pytest.raises(ModelError, match=r"node 'act': operator 'Gelu' of the domain 'com\.microsoft' is not standard"):
        import_model(path, {})


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Twice", ["x"], ["y"], domain="local")], domains=["local"])
    proto = onnx.load(path)
    body = [helper.make_node("Relu", ["a"], ["t"]), helper.make_node("Add", ["t", "t"], ["b"])]
    proto.functions.append(helper.make_function("local", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 18)]))
    onnx.save(proto, path)
    assert ops(import_model(path, {}).model) == ["Relu", "Add"]


def test_dynamic_axis_prints_the_flag_and_the_flag_works(tmp_path: Path) -> None:
    path = relu(tmp_path / "m.onnx", ("N", 3, "height", 320))
    with pytest.raises(DynamicShapeError, match=r"axis 0 \('N'\), 2 \('height'\).*--shape x=1,3,\d+,320") as caught:
        import_model(path, {})
    assert caught.value.exit_code == 2
    imported = import_model(path, {"x": (1, 3, 320, 320)})
    assert imported.inputs[0].shape == imported.outputs[0].shape == (1, 3, 320, 320)


def test_dynamic_batch_stays_dynamic(tmp_path: Path) -> None:
    imported = import_model(relu(tmp_path / "m.onnx", ("N", 3, 8, 8)), {})
    assert imported.inputs[0].shape == imported.outputs[0].shape == (None, 3, 8, 8)
    assert run(imported.model, feed_of(imported, 5))[0].shape == (5, 3, 8, 8)


def test_batch_that_only_claims_to_be_dynamic_is_fixed(tmp_path: Path) -> None:
    node = helper.make_node("Reshape", ["x", "target"], ["y"])
    path = save(tmp_path / "m.onnx", [node], ("N", 3, 8, 8), constants={"target": np.asarray([1, 192], np.int64)})
    imported = import_model(path, {})
    assert imported.inputs[0].shape == (1, 3, 8, 8)
    assert any("batch is fixed to 1" in note for note in imported.notes)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"image": (1, 3, 8, 8)}, r"--shape names 'image'; the model's inputs are: 'x'"),
        ({"x": (1, 3, 8)}, r"--shape x: the input has 4 axes \(Nx3x8x8\), 3 were given"),
        ({"x": (1, 4, 8, 8)}, r"axis 1 of Nx3x8x8 is fixed to 3 in the model, 4 was given"),
        ({"x": (0, 3, 8, 8)}, "at least 1"),
    ],
)
def test_wrong_shapes(tmp_path: Path, shapes: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        import_model(relu(tmp_path / "m.onnx", ("N", 3, 8, 8)), shapes)


def _external(path: Path, location: str, folder: Path | None = None) -> Path:
    """A model whose weight lies in another file; `location` is what the model says."""
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    save(path, [helper.make_node("Conv", ["x", "w"], ["y"])], constants={"w": weight})
    proto = onnx.load(path)
    tensor = proto.graph.initializer[0]
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(data)))):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())
    if folder is not None:
        (folder / Path(location).name).write_bytes(data)
    return path


def test_external_data_is_loaded(tmp_path: Path) -> None:
    imported = import_model(_external(tmp_path / "m.onnx", "weights.bin", tmp_path), {})
    expected = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    assert np.array_equal(imported.model.graph.initializers["w"].const_value.numpy(), expected)  # type: ignore[union-attr]


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"external data 'weights\.bin' \(tensor 'w'\) is missing; put that file beside"
    ):
        import_model(_external(tmp_path / "m.onnx", "weights.bin"), {})


def test_short_external_data(tmp_path: Path) -> None:
    path = _external(tmp_path / "m.onnx", "weights.bin", tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"1234")
    with pytest.raises(ModelError, match=r"bytes 0 to 432 of 'weights\.bin', which has 4"):
        import_model(path, {})


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "sub/../../secret.bin", "C:\\secret.bin", ""])
def test_external_data_may_not_leave_the_folder(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(432))
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(ModelError, match="leaves the model's folder; that is refused"):
        import_model(_external(folder / "m.onnx", location), {})


def test_external_data_may_not_be_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(432))
    os.symlink(tmp_path / "secret.bin", folder / "weights.bin")
    with pytest.raises(ModelError, match="is a link or leaves the model's folder"):
        import_model(_external(folder / "m.onnx", "weights.bin"), {})


def test_opset_7_is_lifted(tmp_path: Path) -> None:
    ones = np.ones(3, np.float32)
    nodes = [
        helper.make_node("BatchNormalization", ["x", "g", "b", "m", "v"], ["n"]),
        helper.make_node("Upsample", ["n"], ["u"], scales=[1.0, 1.0, 2.0, 2.0], mode="nearest"),
        helper.make_node("Clip", ["u"], ["y"], min=0.0, max=6.0),
    ]
    constants = {"g": ones * 2, "b": ones, "m": ones, "v": ones}
    path = save(tmp_path / "old.onnx", nodes, opset=7, ir_version=4, constants=constants)
    imported = import_model(path, {})
    assert imported.model.opset_imports[""] == 18
    assert "brought from opset 7 to 18" in imported.notes[0]
    feed = feed_of(imported)
    assert relative_error(run_model(path.read_bytes(), feed), run(imported.model, feed)) < TOLERANCE


def test_opset_21_is_lowered_to_what_old_engines_read(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "t"], ["r"]), helper.make_node("Relu", ["r"], ["y"])]
    constants = {"t": np.asarray([1, -1], np.int64)}
    path = save(tmp_path / "new.onnx", nodes, opset=21, ir_version=10, constants=constants)
    imported = import_model(path, {})
    assert (imported.model.opset_imports[""], imported.model.ir_version) == (20, 9)


def test_opset_19_is_kept(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], opset=19, ir_version=9)
    assert import_model(path, {}).model.opset_imports[""] == 19


@pytest.mark.parametrize("opset", [6, 99])
def test_opset_out_of_range(tmp_path: Path, opset: int) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], opset=opset)
    with pytest.raises(ModelError, match=rf"uses ONNX opset {opset}; edgert reads 7 to \d+"):
        import_model(path, {})


def test_operator_newer_than_the_opset_limit(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Swish", ["x"], ["y"])], opset=24, ir_version=11)
    with pytest.raises(ModelError, match="cannot be brought from opset 24 to 20|cannot run the model"):
        import_model(path, {})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("m.tflite", r"not a \.tflite file .* damaged or of another kind"),
        ("m.edge", "is a bundle already"),
        ("m.h5", r"unknown kind of model file '\.h5'; accepted are"),
        ("m.pth", r"torch\.onnx\.export"),
    ],
)
def test_other_kinds_of_files(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"data")
    with pytest.raises(ModelError, match=message):
        import_model(tmp_path / name, {})


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        import_model(tmp_path / "absent.onnx", {})
    with pytest.raises(ModelError, match="is a folder"):
        import_model(tmp_path, {})


def _quantized(path: Path) -> Path:
    """A convolution as quantization tools write it: integers for weight and bias, one scale per output channel."""
    rng = np.random.default_rng(3)
    constants = {
        "sx": np.asarray(0.02, np.float32),
        "zx": np.asarray(128, np.uint8),
        "qw": rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "sw": rng.uniform(0.001, 0.01, 4).astype(np.float32),
        "zw": np.zeros(4, np.int8),
        "qb": rng.integers(-500, 500, 4).astype(np.int32),
        "sy": np.asarray(0.05, np.float32),
        "zy": np.asarray(100, np.uint8),
    }
    constants |= {"sb": constants["sx"] * constants["sw"], "zb": np.zeros(4, np.int32)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["qx"]),
        helper.make_node("DequantizeLinear", ["qx", "sx", "zx"], ["dx"]),
        helper.make_node("DequantizeLinear", ["qw", "sw", "zw"], ["dw"], axis=0),
        helper.make_node("DequantizeLinear", ["qb", "sb", "zb"], ["db"], axis=0),
        helper.make_node("Conv", ["dx", "dw", "db"], ["c"], name="conv"),
        helper.make_node("QuantizeLinear", ["c", "sy", "zy"], ["qy"]),
        helper.make_node("DequantizeLinear", ["qy", "sy", "zy"], ["y"]),
    ]
    return save(path, nodes, ("N", 3, 8, 8), opset=13, constants=constants)


def test_quantized_models_keep_every_scale_and_integer(tmp_path: Path) -> None:
    path = _quantized(tmp_path / "q.onnx")
    imported = import_model(path, {})
    source = ir.load(path)
    assert ops(imported.model) == ops(source)
    for name, value in source.graph.initializers.items():
        kept = imported.model.graph.initializers[name].const_value
        assert kept is not None
        assert value.const_value is not None
        assert np.array_equal(kept.numpy(), value.const_value.numpy())


def test_input_and_output_types_are_reported(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    imported = import_model(path, {})
    assert (imported.inputs[0].dtype, imported.outputs[0].dtype) == (DType.UINT8, DType.FLOAT)
