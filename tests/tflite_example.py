"""Hand-made .tflite files of no operator: what goes in comes out, whatever the tensors say of themselves."""

from __future__ import annotations

import numpy as np


def passing_model(
    tensor_type: str = "FLOAT32",
    *,
    names: tuple[str, ...] = ("x",),
    scale: float | None = None,
    zero_point: int = 0,
    shape: tuple[int, ...] = (1, 4),
) -> bytes:
    """One tensor per name, all of them inputs and outputs; `tensor_type` is TensorFlow Lite's word for it."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors = []
    for name in names:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name.encode(), list(shape), 0
        tensor.type = getattr(schema.TensorType, tensor_type)
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.array([scale], np.float32)
            tensor.quantization.zeroPoint = np.array([zero_point], np.int64)
        graph.tensors.append(tensor)
    graph.inputs = graph.outputs = list(range(len(names)))
    graph.operators = []
    model.subgraphs, model.operatorCodes = [graph], []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
