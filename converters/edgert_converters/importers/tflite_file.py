"""Reads a .tflite file as an ONNX model: subgraph 0, operator by operator through the operator table's hooks.

Convolutions become channels-first without transposes between them; integers stay what they are, and a model with
quantized activations is marked for `q31` requantization.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgert.errors import ModelError, did_you_mean
from edgert_converters.importers.onnx_file import WORKING_OPSET
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import TfliteReader
from edgert_converters.requantize import Requantize, set_requantize
from edgert_converters.tflite.import_graph import ImportGraph
from edgert_converters.tflite.layout import Order
from edgert_converters.tflite.model import TfModel, TfSubgraph
from edgert_converters.tflite.read import parse_tflite

if TYPE_CHECKING:
    import onnx

__all__ = ["build_onnx", "build_with_homes", "load_tflite", "tflite_readers"]

_IR_VERSION = 8


def load_tflite(path: Path, shown: Path) -> onnx.ModelProto:
    """Returns the model of a .tflite file in ONNX form.

    Args:
        path: the file.
        shown: what messages call it.

    Raises:
        ModelError: damaged, or it holds something that edgert cannot convert; names the operator.
        MissingExtraError: a package is missing.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror or error})", path=shown) from error
    try:
        proto: onnx.ModelProto = ir.to_proto(build_onnx(parse_tflite(data, shown)))
    except ModelError as error:
        raise (error if error.path else ModelError(str(error), path=shown)) from error
    return proto


def build_onnx(file: TfModel) -> ir.Model:
    """Returns an ONNX model that computes what subgraph 0 of the file computes.

    Inputs and outputs carry the signature's names (the tensors' own where there is no signature), the file's axis
    order, and real numbers: integer inputs are fed real values and quantized first.

    Raises:
        ModelError: an operator, an option or a type has no counterpart; names it.
    """
    return build_with_homes(file)[0]


def build_with_homes(file: TfModel) -> tuple[ir.Model, dict[str, tuple[int, Order]]]:
    """Returns what `build_onnx` returns, and `ImportGraph.homes`: which value holds which tensor.

    Raises:
        ModelError: an operator, an option or a type has no counterpart; names it.
    """
    source = file.subgraphs[0]
    graph = ImportGraph(source, WORKING_OPSET, dynamic_batch=_has_dynamic_batch(source))
    for index in source.inputs:
        graph.add_input(index)
    readers = tflite_readers()
    for operator in source.operators:
        reader = readers.get(operator.name)
        if reader is None:
            raise graph.error(operator, f"this operator is not supported{did_you_mean(operator.name, readers)}")
        reader(operator, graph)
    names = {index: name for entry in file.signatures[:1] for name, index in entry.outputs.items()}
    for index in source.outputs:
        graph.add_output(index, names.get(index, graph.name(index)))
    model = ir.Model(graph.graph, ir_version=_IR_VERSION)
    if any(tensor.quant is not None and tensor.data is None for tensor in source.tensors):
        set_requantize(model, Requantize.Q31)
    return model, graph.homes()


def tflite_readers() -> Mapping[str, TfliteReader]:
    """Returns the hook of every TFLite operator that the operator table reads."""
    return {name: reader for spec in OPERATORS.values() for name, reader in spec.from_tflite.items()}


def _has_dynamic_batch(source: TfSubgraph) -> bool:
    signatures = [source.tensors[index].signature for index in source.inputs]
    return bool(signatures) and all(signature is not None and signature[:1] == (-1,) for signature in signatures)
