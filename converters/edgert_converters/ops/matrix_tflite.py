"""Gemm and MatMul to and from TFLite's FULLY_CONNECTED and BATCH_MATMUL.

FULLY_CONNECTED has its weights as [O, I] and flattens its input to [n, I] unless `keep_num_dims`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgert.dtypes import DType
from edgert_converters.ops.attributes import get_float, get_int
from edgert_converters.ops.conv_tflite import zero_bias
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.layout import identity
from edgert_converters.tflite.schema import ACTIVATIONS

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_batch_matmul", "read_fully_connected", "write_gemm", "write_matmul"]

_TRANSPOSED = (1, 0)


def read_fully_connected(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Gemm, between reshapes where the tensors are no matrices."""
    x, w = operator.inputs[0], operator.inputs[1]
    if operator.options.get("weights_format", 0):
        raise graph.error(operator, "shuffled weights are not supported; convert the model again without them")
    weight = graph.plain(w)
    depth = graph.shape(w)[1]
    matrix = graph.plain(x)
    if len(graph.shape(x)) != 2 or graph.shape(x)[1] != depth:
        matrix = graph.kept(graph.add("Reshape", [matrix, graph.ints((-1, depth))]), x)
    inputs = [matrix, weight]
    if len(operator.inputs) > 2 and operator.inputs[2] != -1:
        inputs.append(graph.plain(operator.inputs[2]))
    y = graph.add("Gemm", inputs, {"transB": 1})
    out = operator.outputs[0]
    shape = graph.shape(out)
    if len(shape) == 2:
        graph.finish(operator, y)
        return
    number = operator.options.get("fused_activation_function", 0)
    y = graph.kept(graph.activated(y, ACTIVATIONS[int(number)]), out)  # type: ignore[arg-type]  # integers by schema
    leading = -1 if graph.dynamic_batch and shape else shape[0] if shape else 1
    target = (leading, *shape[1:]) if shape else ()
    graph.finish(operator, graph.add("Reshape", [y, graph.ints(target)]), activation="NONE")


def read_batch_matmul(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a MatMul, behind transposes where `adj_x` or `adj_y` ask for them."""
    factors = []
    for index, name in zip(operator.inputs, ("adj_x", "adj_y"), strict=False):
        order = identity(len(graph.shape(index)))
        factors.append(graph.ordered(index, _last_swapped(order) if operator.options.get(name) else order))
    graph.finish(operator, graph.add("MatMul", factors))


def write_gemm(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a FULLY_CONNECTED, or a BATCH_MATMUL and an ADD where the second factor is computed."""
    spec = graph.describe(node)
    alpha, beta = get_float(spec, "alpha", 1.0), get_float(spec, "beta", 1.0)
    is_scaled = alpha != 1.0 or beta != 1.0
    if is_scaled or _term_is_no_bias(node, graph) or graph.constant(node.inputs[1]) is None:
        graph.compute_in_float(node)
    x = graph.ordered(node, 0, _TRANSPOSED if get_int(spec, "transA", 0) else (0, 1))
    w = graph.ordered(node, 1, (0, 1) if get_int(spec, "transB", 0) else _TRANSPOSED)
    if alpha != 1.0:
        w = _times(node, graph, w, alpha)
    bias = _bias(node, graph, beta)
    if bias is not None or len(node.inputs) < 3 or node.inputs[2] is None:
        number, value = graph.activation(node)
        bias = zero_bias(node, graph, graph.shape(node.outputs[0])[-1]) if bias is None else bias
        y = graph.tensor(value)
        graph.emit("FULLY_CONNECTED", [x, w, bias], [y], fused_activation_function=number, keep_num_dims=False)
        return
    product = graph.scratch(f"{node.name}_product", graph.shape(node.outputs[0]), DType.FLOAT)
    graph.emit("FULLY_CONNECTED", [x, w, -1], [product], fused_activation_function=0, keep_num_dims=False)
    term = graph.plain(node, 2)
    term = _times(node, graph, term, beta) if beta != 1.0 else term
    number, value = graph.activation(node)
    graph.emit("ADD", [product, term], [graph.tensor(value)], fused_activation_function=number)


def write_matmul(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a FULLY_CONNECTED where the second factor is a constant matrix, else a BATCH_MATMUL."""
    shapes = [graph.shape(value) for value in node.inputs[:2]]
    w_params = graph.input_params(node, 1)
    has_matrix = len(shapes[1]) == 2 and len(shapes[0]) > 1 and graph.constant(node.inputs[1]) is not None
    if not has_matrix and w_params is not None and w_params.axis is not None:
        graph.compute_in_float(node)  # BATCH_MATMUL takes one scale
    if has_matrix and w_params is not None and any(w_params.zero_point):
        has_matrix = False  # FULLY_CONNECTED wants symmetric weights
    if 1 in map(len, shapes):
        _write_vectors(node, graph, shapes)
        return
    number, value = (0, graph.result(node)) if not has_matrix else graph.activation(node)
    x = graph.plain(node, 0)
    if has_matrix:
        w = graph.ordered(node, 1, _TRANSPOSED)
        options = {"fused_activation_function": number, "keep_num_dims": len(shapes[0]) != 2}
        graph.emit(
            "FULLY_CONNECTED",
            [x, w, zero_bias(node, graph, graph.shape(node.outputs[0])[-1])],
            [graph.tensor(value)],
            **options,
        )
        return
    graph.emit("BATCH_MATMUL", [x, graph.plain(node, 1)], [graph.tensor(value)], adj_x=False, adj_y=False)


def _write_vectors(node: ir.Node, graph: ExportGraph, shapes: list[tuple[int, ...]]) -> None:
    """A factor with one axis becomes a matrix of one row or one column."""
    left, right = shapes
    x, w = graph.plain(node, 0), graph.plain(node, 1)
    x = graph.reshaped(x, (1, left[0])) if len(left) == 1 else x
    w = graph.reshaped(w, (right[0], 1)) if len(right) == 1 else w
    rows = (1,) if len(left) == 1 else left[-2:-1]
    columns = (1,) if len(right) == 1 else right[-1:]
    batch = np.broadcast_shapes(left[:-2], right[:-2])
    value = graph.result(node)
    y = graph.tensor(value)
    product = graph.scratch(
        f"{node.name}_product", (*batch, *rows, *columns), graph.made(y).dtype or DType.FLOAT, graph.made(y).quant
    )
    graph.emit("BATCH_MATMUL", [x, w], [product], adj_x=False, adj_y=False)
    graph.reshape(product, y)


def _last_swapped(order: tuple[int, ...]) -> tuple[int, ...]:
    return (*order[:-2], order[-1], order[-2])


def _term_is_no_bias(node: ir.Node, graph: ExportGraph) -> bool:
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return False
    return graph.constant(node.inputs[2]) is None or _vector(graph.constant(node.inputs[2]), node, graph) is None


def _vector(term: Array | None, node: ir.Node, graph: ExportGraph) -> Array | None:
    """Returns a term that is the same for every row as a vector with one element per column, else None."""
    columns = graph.shape(node.outputs[0])[1]
    if term is None or term.size not in {1, columns} or term.shape not in {(), (1,), (columns,), (1, columns), (1, 1)}:
        return None
    return np.broadcast_to(term.reshape(-1), (columns,))


def _bias(node: ir.Node, graph: ExportGraph, beta: float) -> int | None:
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is None:
        return None
    integers = graph.quantized_constant(value) if graph.is_integer(node) else None
    if integers is not None:
        return graph.constant_tensor(str(value.name), integers[0].reshape(-1), params=integers[1])
    vector = _vector(graph.constant(value), node, graph)
    if vector is None:
        return None
    return graph.constant_tensor(str(value.name), vector.astype(np.float32) * np.float32(beta))


def _times(node: ir.Node, graph: ExportGraph, index: int, number: float) -> int:
    """Adds a product with a constant number."""
    tensor = graph.made(index)
    if tensor.data is not None:
        return graph.constant_tensor(f"{tensor.name}_scaled", tensor.data.astype(np.float32) * np.float32(number))
    target = graph.scratch(f"{node.name}_scaled", tensor.shape, DType.FLOAT)
    factor = graph.constant_tensor(f"{node.name}_factor", np.asarray(number, np.float32))
    graph.emit("MUL", [index, factor], [target], fused_activation_function=0)
    return target
