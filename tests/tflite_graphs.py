"""Small .tflite files for tests, and a writer that puts into them what edgert itself never writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.importers.tflite_file import build_onnx
from edgert_converters.tflite.model import TfModel, TfOperator, TfSubgraph, TfTensor
from edgert_converters.tflite.versions import with_versions
from edgert_converters.tflite.write import _Writer, serialize_tflite

Array = np.ndarray[Any, Any]
Edit = Callable[[Any, str, dict[str, Any]], None]
"""Gets the flatbuffer's builder, the name of a table and its fields, which it may change."""

CONV_OPTIONS = {"padding": 1, "stride_h": 1, "stride_w": 1, "fused_activation_function": 0}


def params(scale: float, zero_point: int = 0, dtype: DType = DType.INT8) -> QuantParams:
    return QuantParams((scale,), (zero_point,), dtype)


def add_graph(dtype: DType = DType.FLOAT, quant: QuantParams | None = None, name: str = "x") -> TfSubgraph:
    """y = x + x of shape [1, 4]."""
    tensors = (TfTensor(name, (1, 4), dtype, quant=quant), TfTensor("y", (1, 4), dtype, quant=quant))
    operator = TfOperator("ADD", (0, 0), (1,), {"fused_activation_function": 0})
    return TfSubgraph(tensors, (operator,), (0,), (1,))


def conv_graph(
    activation: TfTensor, weight: TfTensor, bias: TfTensor | None, output: TfTensor, extra: tuple[TfOperator, ...] = ()
) -> TfSubgraph:
    """y = conv(x, w) + b over [1, H, W, C]; `extra` operators stand in front."""
    tensors = (activation, weight, output, *(() if bias is None else (bias,)))
    inputs = (0, 1) if bias is None else (0, 1, 3)
    return TfSubgraph(tensors, (*extra, TfOperator("CONV_2D", inputs, (2,), CONV_OPTIONS)), (0,), (2,))


def write(graph: TfSubgraph, **more: Any) -> bytes:
    return serialize_tflite(TfModel((with_versions(graph),), **more))


def write_edited(graph: TfSubgraph, edit: Edit) -> bytes:
    """Returns the bytes of a file whose tables `edit` may change while they are written."""

    class Writer(_Writer):
        def _table(self, name: str, fields: Mapping[str, Any]) -> int:
            changed = dict(fields)
            edit(self._builder, name, changed)
            return super()._table(name, changed)

    return Writer().write(TfModel((graph,)))


def run_litert(data: bytes, *inputs: Array, reference: bool = False) -> list[Array]:
    """Returns the outputs of a file in LiteRT, with XNNPACK or with the reference kernels."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=kind, num_threads=1)
    interpreter.allocate_tensors()
    for port, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(port["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(port["index"]) for port in interpreter.get_output_details()]


def run_imported(file: TfModel, *inputs: Array) -> list[Array]:
    """Returns the outputs of the imported model in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    data = ir.to_proto(build_onnx(file)).SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    feed = {port.name: array for port, array in zip(session.get_inputs(), inputs, strict=True)}
    return [np.asarray(array) for array in session.run(None, feed)]
