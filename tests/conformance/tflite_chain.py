"""Runs one ONNX model through the TFLite exporter, LiteRT, and back through the importer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from edgert_converters.exporters.tflite import TfliteFile, export_tflite
from edgert_converters.importers.tflite_file import build_onnx
from edgert_converters.ops.spec import Array
from edgert_converters.passes.output_check import run_model
from edgert_converters.tflite.layout import channels_last, invert
from edgert_converters.tflite.read import parse_tflite

__all__ = ["build_model", "count_operators", "export", "largest_difference", "run_back", "run_litert", "run_onnx"]


def build_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str],
    constants: Mapping[str, Array] | None = None,
    output_type: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A checked model of opset 18 with float inputs; shapes of the outputs are inferred."""
    graph = helper.make_graph(
        list(nodes),
        "layout",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, output_type, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    onnx.checker.check_model(model)
    return model


def export(model: onnx.ModelProto | ir.Model) -> TfliteFile:
    """The model as a .tflite file with float inputs and outputs."""
    return export_tflite(model if isinstance(model, ir.Model) else ir.from_proto(model), float_io=True)


def run_onnx(model: onnx.ModelProto | ir.Model, feed: Mapping[str, Array]) -> dict[str, Array]:
    """What ONNX Runtime answers."""
    proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
    names = [value.name for value in proto.graph.output]
    return dict(zip(names, run_model(proto.SerializeToString(), dict(feed)), strict=True))


def run_litert(file: TfliteFile | bytes, feed: Mapping[str, Array]) -> dict[str, Array]:
    """What LiteRT answers, by the signature's names and, for a file of ours, in ONNX's own axis order."""
    from ai_edge_litert.interpreter import Interpreter

    data = file if isinstance(file, bytes) else file.data
    interpreter = Interpreter(model_content=data, num_threads=1)
    lying = {} if isinstance(file, bytes) else {spec.name: spec.layout for spec in (*file.inputs, *file.outputs)}
    fed = {
        name: np.ascontiguousarray(np.transpose(array, channels_last(array.ndim))) if lying.get(name) else array
        for name, array in feed.items()
    }
    found = interpreter.get_signature_runner()(**fed) if interpreter.get_signature_list() else _invoke(interpreter, fed)
    return {
        name: np.transpose(array, invert(channels_last(array.ndim))) if lying.get(name) else array
        for name, array in found.items()
    }


def _invoke(interpreter: Any, feed: Mapping[str, Array]) -> dict[str, Array]:  # Any: untyped package
    """Runs a file without a signature; its tensors' names are those of inputs and outputs."""
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], feed[detail["name"]])
    interpreter.invoke()
    return {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()}


def run_back(file: TfliteFile, feed: Mapping[str, Array]) -> dict[str, Array]:
    """What ONNX Runtime answers for the file imported again, in ONNX's own axis order."""
    model = build_onnx(parse_tflite(file.data))
    fed = {
        spec.name: np.transpose(feed[spec.name], channels_last(feed[spec.name].ndim))
        if spec.layout
        else feed[spec.name]
        for spec in file.inputs
    }
    found = run_onnx(model, {name: np.ascontiguousarray(array) for name, array in fed.items()})
    moved = {spec.name for spec in file.outputs if spec.layout}
    return {
        name: np.transpose(array, invert(channels_last(array.ndim))) if name in moved else array
        for name, array in found.items()
    }


def largest_difference(expected: Mapping[str, Array], found: Mapping[str, Array]) -> float:
    """The largest difference of any output as a share of that output's largest magnitude."""
    assert expected.keys() == found.keys()
    worst = 0.0
    for name, array in expected.items():
        assert array.shape == found[name].shape, name
        wanted, got = array.astype(np.float64), found[name].astype(np.float64)
        scale = max(float(np.abs(wanted).max(initial=0.0)), 1e-30)
        worst = max(worst, float(np.abs(wanted - got).max(initial=0.0)) / scale)
    return worst


def count_operators(data: bytes) -> Counter[str]:
    """How many operators of each name a .tflite file holds."""
    return Counter(operator.name for operator in parse_tflite(data).subgraphs[0].operators)
