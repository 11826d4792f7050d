"""Layers that a recipe names stay float in the integer variant, and nothing else does because of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgert
from edgert.bundle import Bundle
from edgert.dtypes import DType
from edgert.errors import UsageError

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four convolutions with ReLU, in two stages by their names."""
    folder = tmp_path_factory.mktemp("model")
    nodes, weights, value = [], [], "x"
    for index, name in enumerate(("/stem/conv", "/body/one", "/body/two", "/head")):
        weights.append(numpy_helper.from_array(RNG.standard_normal((8, 8, 3, 3)).astype(np.float32) / 8, f"w{index}"))
        nodes.append(helper.make_node("Conv", [value, f"w{index}"], [f"c{index}"], name=name, pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"], name=f"{name}/relu"))
        value = f"r{index}"
    shape = [1, 8, 8, 8]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", value)]
    graph = helper.make_graph(nodes, "net", ports[:1], ports[1:], weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "model.onnx"
    )
    np.savez(folder / "cal.npz", x=RNG.standard_normal((8, 8, 8, 8)).astype(np.float32))
    return folder / "model.onnx"


def layers(model: Path, output: Path, *names: str) -> dict[str, DType]:
    calib = str(model.parent / "cal.npz")
    edgert.convert(model, output=output, calib=calib, formats=["onnx"], float_layers=names)
    with Bundle.open(output) as bundle:
        (variant,) = (variant for variant in bundle.manifest.variants if variant.precision == "int8")
    return {layer.name: layer.dtype for layer in variant.layers if layer.op == "Conv"}


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        ((), set()),
        (("/body/*",), {"/body/one", "/body/two"}),
        (("/head", "/st?m/conv"), {"/head", "/stem/conv"}),
    ],
)
def test_named_layers_stay_float(model: Path, tmp_path: Path, names: tuple[str, ...], kept: set[str]) -> None:
    found = layers(model, tmp_path / "net.edge", *names)
    assert len(found) == 4
    assert {name for name, dtype in found.items() if dtype is DType.FLOAT} == kept


def test_a_name_that_matches_nothing(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--float-layer '/boby/one' matches no layer of model.onnx; did you mean"):
        layers(model, tmp_path / "net.edge", "/boby/one")
    with pytest.raises(UsageError, match=r"matches no layer of model.onnx; edgert inspect .*model.onnx lists them"):
        layers(model, tmp_path / "net.edge", "zzzzzz*")


def test_a_quantized_model_has_no_float_to_keep(model: Path, tmp_path: Path) -> None:
    calib = str(model.parent / "cal.npz")
    edgert.convert(model, output=tmp_path / "int8.onnx", calib=calib)
    with pytest.raises(UsageError, match="int8.onnx is quantized already and --float-layer /head starts from float"):
        edgert.convert(tmp_path / "int8.onnx", output=tmp_path / "net.edge", calib=calib, float_layers=["/head"])
