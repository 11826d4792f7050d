"""ONNX networks of NAS-Bench-201's architectures with random weights: what nobody has trained, but can be computed.

Stem, three stages of cells at 16, 32 and 64 channels with a residual block between them, global pooling, classifier
(Dong, Yang 2020, section 2). The published networks have five cells in each stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto, checker, helper, load_model_from_string, numpy_helper

from edgert.bundle import LayerRecord
from edgert.search.cells import EDGES, OPERATIONS, read
from edgert_converters.layers import build_layers

_OPSET, _IR_VERSION = 18, 8
CHANNELS = 16


@dataclass
class _Graph:
    random: np.random.Generator
    normalized: bool
    unread: dict[str, list[int]] = field(default_factory=dict)
    nodes: list = field(default_factory=list)
    constants: list = field(default_factory=list)

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        output = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def weights(self, *shape: int) -> str:
        """He et al. 2015."""
        scale = np.sqrt(2 / np.prod(shape[1:]))
        return self.constant((self.random.standard_normal(shape) * scale).astype(np.float32))

    def conv(self, x: str, channels: tuple[int, int], kernel: int, stride: int = 1, *, norm: bool = True) -> str:
        attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
        inputs = [x, self.weights(channels[1], channels[0], kernel, kernel)]
        if not (norm and self.normalized):
            inputs.append(self.constant(np.zeros(channels[1], np.float32)))
        x = self.add("Conv", *inputs, **attributes)
        return self.add("MeanVarianceNormalization", x, axes=[0, 2, 3]) if norm and self.normalized else x

    def relu_conv(self, x: str, channels: tuple[int, int], kernel: int, stride: int = 1) -> str:
        return self.conv(self.add("Relu", x), channels, kernel, stride)

    def pool(self, x: str, kernel: int, stride: int, pad: int) -> str:
        return self.add("AveragePool", x, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)


def cell_network(
    codes: Sequence[int],
    *,
    cells: int = 1,
    seed: int = 0,
    batch: int | None = None,
    normalized: bool = True,
    unread: bool = False,
    classes: int = 10,
) -> bytes:
    """Returns the ONNX model of an architecture; its input `input` is float[batch, 3, 32, 32].

    `codes` are places in OPERATIONS for each of EDGES. With `normalized` each convolution is followed by what batch
    normalization does at the start of a training: every channel gets mean 0 and variance 1 over the batch. Without,
    convolutions have a bias, as after folding it in. `batch` None: as many samples as are given. What nobody reads is
    left out, as any export to ONNX leaves it out; with `unread` it is computed as frameworks do, and an output, too.
    """
    graph = _Graph(np.random.default_rng(seed), normalized)
    operations = [OPERATIONS[code] for code in (codes if unread else read(np.array([codes]))[0])]
    width = CHANNELS
    x = graph.conv("input", (3, width), 3)
    for stage in range(3):
        if stage:
            x, width = _residual(graph, x, width), 2 * width
        for _ in range(cells):
            x = _cell(graph, x, operations, (width, 32 >> stage))
    x = graph.add("Relu", x)
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    bias = graph.constant(np.zeros(classes, np.float32))
    x = graph.add("Gemm", x, graph.weights(classes, width), bias, transB=1)
    size: int | str = "N" if batch is None else batch
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "cells",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, [size, 3, 32, 32])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, *shape])
                for name, shape in {x: [classes], **graph.unread}.items()
            ],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    checker.check_model(model)
    return model.SerializeToString()


def _residual(graph: _Graph, x: str, width: int) -> str:
    main = graph.relu_conv(graph.relu_conv(x, (width, 2 * width), 3, 2), (2 * width, 2 * width), 3)
    return graph.add("Add", main, graph.conv(graph.pool(x, 2, 2, 0), (width, 2 * width), 1, norm=False))


def _cell(graph: _Graph, x: str, operations: Sequence[str], size: tuple[int, int]) -> str:
    """A node is the sum of what leads to it; one that nothing leads to is 0, and there only if it is read."""
    is_read = {start for operation, (start, _) in zip(operations, EDGES, strict=True) if operation != "none"} | {3}
    nodes, width = [x], size[0]
    for end in range(1, 4):
        parts = []
        for operation, (start, to) in zip(operations, EDGES, strict=True):
            if to != end or operation == "none":
                continue
            source = nodes[start]
            if operation.startswith("nor_conv"):
                source = graph.relu_conv(source, (width, width), int(operation[-1]))
            elif operation == "avg_pool_3x3":
                source = graph.pool(source, 3, 1, 1)
            parts.append(source)
        if not parts and end in is_read:
            parts.append(graph.add("Mul", x, graph.constant(np.zeros(1, np.float32))))
        total = parts[0] if parts else ""
        for part in parts[1:]:
            total = graph.add("Add", total, part)
        if parts and end not in is_read:
            graph.unread[total] = [width, size[1], size[1]]
        nodes.append(total)
    return nodes[3]


def layers_of_cells(codes: Sequence[int], cells: int = 5) -> tuple[LayerRecord, ...]:
    """Returns the table of layers of an architecture as frameworks run it, with what nobody reads."""
    import onnx_ir

    data = cell_network(codes, cells=cells, batch=1, normalized=False, unread=True)
    model = onnx_ir.from_proto(load_model_from_string(data))
    return build_layers(model)
