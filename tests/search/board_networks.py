"""Small int8 networks as C for an emulated board, made in no time: chains of 1x1 convolutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgert.target import get_target, read_resource
from edgert_converters.exporters.c import Core, Instructions, export_c
from edgert_converters.requantize import Requantize, set_requantize
from tests.microcontrollers.boards import write_c_bundle

__all__ = ["TARGET", "write_chain"]

TARGET = "qemu-mps2-an386"
_LAYERS = 4


def write_chain(path: Path, seed: int, mode: str, *, shifted: bool = False) -> Path:
    """Writes a bundle with the C of a network drawn by the seed, in a mode of requantization.

    A `shifted` one takes its last map from the largest number in it, a scalar.
    """
    board = get_target(TARGET).microcontroller
    assert board is not None
    core = Core(board.core, Instructions(board.instructions), has_fpu=True)
    folder = export_c(
        _chain(seed, Requantize(mode), shifted=shifted),
        core,
        lambda name: read_resource(TARGET, f"c/{name}"),
        name="chain",
    )
    return write_c_bundle(path, folder, TARGET, mode)


def _chain(seed: int, mode: Requantize, *, shifted: bool) -> ir.Model:
    random = np.random.default_rng(seed)
    side = int(random.integers(3, 12))
    channels = [4 * int(size) for size in random.permutation(8)[: _LAYERS + 1] + 1]  # no two share a table
    constants = [
        numpy_helper.from_array(np.array(0.02, np.float32), "scale"),
        numpy_helper.from_array(np.array(0, np.int8), "zero"),
    ]
    nodes = [_quantize("input", "x0")]
    for index in range(_LAYERS):
        nodes.append(_dequantize(f"x{index}", f"f{index}"))
        weights = random.integers(-100, 100, (channels[index + 1], channels[index], 1, 1)).astype(np.int8)
        constants.append(numpy_helper.from_array(weights, f"w{index}"))
        nodes.append(_dequantize(f"w{index}", f"v{index}"))
        nodes.append(helper.make_node("Conv", [f"f{index}", f"v{index}"], [f"made{index}"], name=f"conv{index}"))
        nodes.append(_quantize(f"made{index}", f"x{index + 1}"))
    nodes.append(_dequantize(f"x{_LAYERS}", "map" if shifted else "output"))
    if shifted:
        nodes.append(helper.make_node("ReduceMax", ["map"], ["largest"], name="largest", keepdims=0))
        nodes.append(helper.make_node("Sub", ["largest", "map"], ["output"], name="shifted"))
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, channels[0], side, side))]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, (1, channels[-1], side, side))]
    graph = helper.make_graph(nodes, "chain", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 18)]
    model: ir.Model = ir.from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=8))
    set_requantize(model, mode)
    return model


def _quantize(source: str, target: str) -> NodeProto:
    return helper.make_node("QuantizeLinear", [source, "scale", "zero"], [target])


def _dequantize(source: str, target: str) -> NodeProto:
    return helper.make_node("DequantizeLinear", [source, "scale", "zero"], [target])
