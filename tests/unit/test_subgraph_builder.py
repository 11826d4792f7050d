"""What the TFLite builder leaves out: reshapes of reshapes, results that nobody reads, tensors that nothing names."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from edgert.dtypes import DType
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.tflite.drop_unused import drop_unused_tensors
from edgert_converters.tflite.read import parse_tflite
from edgert_converters.tflite.subgraph_builder import Stored, SubgraphBuilder


def started(shape: tuple[int, ...]) -> tuple[SubgraphBuilder, int]:
    builder = SubgraphBuilder(dynamic_batch=False)
    index = builder.scratch("x", shape, DType.FLOAT)
    builder.inputs.append(index)
    return builder, index


def test_a_chain_of_reshapes_is_one() -> None:
    builder, x = started((2, 3, 4))
    flat = builder.reshaped(x, (24,))
    y = builder.reshaped(flat, (4, 6))
    builder.outputs.append(y)
    (operator,) = builder.subgraph("g").operators
    assert operator.name == "RESHAPE"
    assert operator.inputs[0] == x
    assert operator.outputs == (y,)


def test_a_reshape_back_is_the_tensor_that_was_there() -> None:
    builder, x = started((1, 49, 10, 1))
    first = builder.moved(Stored(x, (0, 2, 3, 1)), (0, 1, 2, 3))
    assert builder.made(first).shape == (1, 1, 49, 10)
    assert builder.moved(Stored(first, (0, 1, 2, 3)), (0, 2, 3, 1)) == x


def test_what_nobody_reads_is_not_written() -> None:
    builder, x = started((2, 3))
    builder.reshaped(x, (6,))
    y = builder.like(x, "y", (2, 3))
    builder.emit("ABS", [x], [y])
    builder.outputs.append(y)
    whole = builder.subgraph("g")
    assert [operator.name for operator in whole.operators] == ["ABS"]
    graph, numbers = drop_unused_tensors(whole)
    assert [tensor.name for tensor in graph.tensors] == ["x", "y"]
    assert numbers == {x: 0, y: 1}
    assert graph.operators[0].inputs == (0,)
    assert (graph.inputs, graph.outputs) == ((0,), (1,))


def quantize(name: str, source: str, scale: str) -> list[object]:
    """A Q/DQ pair that makes `name` of `source`."""
    return [
        helper.make_node("QuantizeLinear", [source, scale, "zero"], [f"{name}__q"], name=f"{name}.quantize"),
        helper.make_node("DequantizeLinear", [f"{name}__q", scale, "zero"], [name], name=f"{name}.dequantize"),
    ]


def operators_of_a_pool(kernel: tuple[int, int]) -> Counter[str]:
    pool = helper.make_node("AveragePool", ["a"], ["y__float"], name="pool", kernel_shape=kernel)
    shape = [1, 3, 8 - kernel[0] + 1, 8 - kernel[1] + 1]
    graph = helper.make_graph(
        [*quantize("a", "x", "coarse"), pool, *quantize("y", "y__float", "fine")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(np.asarray(0.1, np.float32), "coarse"),
            numpy_helper.from_array(np.asarray(0.02, np.float32), "fine"),
            numpy_helper.from_array(np.asarray(3, np.int8), "zero"),
        ],
    )
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))
    return Counter(operator.name for operator in parse_tflite(export_tflite(model).data).subgraphs[0].operators)


def test_an_integer_pool_over_everything_is_a_mean() -> None:
    assert operators_of_a_pool((8, 8))["MEAN"] == 1
    assert "DEPTHWISE_CONV_2D" not in operators_of_a_pool((8, 8))
    assert operators_of_a_pool((3, 3))["DEPTHWISE_CONV_2D"] == 1
