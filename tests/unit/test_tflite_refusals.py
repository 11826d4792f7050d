"""What TFLite cannot say, or edgert does not read, is refused by the name of the node and with the reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.importers.tflite_file import build_onnx
from edgert_converters.tflite.model import TfModel, TfOperator, TfSubgraph, TfTensor

HEAD = '<ir_version: 8, opset_import: ["": 18]> g '
REFUSED = {
    "MaxPool": (
        "(float[1,2,4,4,4] x) => (float[1,2,3,3,3] y) {y = MaxPool<kernel_shape = [2,2,2]>(x)}",
        "TFLite pools over one or two axes, not over 3",
    ),
    "ConvTranspose": (
        "(float[1,2,4,4,4] x, float[2,1,1,1,1] w) => (float[1,1,4,4,4] y) {y = ConvTranspose(x, w)}",
        "a transposed convolution over 3 axes",
    ),
    "BatchNormalization": (
        "(float[1,2,4,4] x, float[2] s, float[2] b, float[2] m, float[2] v) => (float[1,2,4,4] y)"
        " {y = BatchNormalization(x, s, b, m, v)}",
        "its parameters are computed; a file needs constant ones",
    ),
}


@pytest.mark.parametrize("op_type", REFUSED)
def test_a_node_without_tflite_form_is_named_with_the_reason(op_type: str) -> None:
    text, reason = REFUSED[op_type]
    proto = onnx.parser.parse_model(HEAD + text)
    proto.graph.node[0].name = "culprit"
    with pytest.raises(ModelError, match=rf"node 'culprit': {op_type}.*{reason}") as caught:
        export_tflite(ir.from_proto(proto))
    assert caught.value.node == "culprit"


def fully_connected(**options: int) -> TfModel:
    def tensor(name: str, *shape: int, data: np.ndarray | None = None) -> TfTensor:
        return TfTensor(name, shape, DType.FLOAT, data)

    weights = tensor("w", 3, 4, data=np.ones((3, 4), np.float32))
    operator = TfOperator("FULLY_CONNECTED", (0, 1, -1), (2,), options)
    return TfModel((TfSubgraph((tensor("x", 1, 4), weights, tensor("y", 1, 3)), (operator,), (0,), (2,)),))


def test_shuffled_weights_are_refused() -> None:
    build_onnx(fully_connected(weights_format=0))
    with pytest.raises(ModelError, match="FULLY_CONNECTED: shuffled weights are not supported"):
        build_onnx(fully_connected(weights_format=1))


def test_an_input_that_is_a_resource_handle_is_refused() -> None:
    whole = fully_connected(weights_format=0)
    (graph,) = whole.subgraphs
    handle = replace(graph.tensors[0], dtype=None)
    with pytest.raises(ModelError, match="input 'x' is a resource handle"):
        build_onnx(replace(whole, subgraphs=(replace(graph, tensors=(handle, *graph.tensors[1:])),)))
