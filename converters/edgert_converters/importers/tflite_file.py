"""Reads a .tflite file as an ONNX model: one subgraph, operator by operator through the operator table's hooks.

Convolutions become channels-first without transposes between them; integers stay what they are, and a model with
quantized activations is marked for `q31` requantization. Hidden state becomes inputs and outputs (tflite/state.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgert.errors import ModelError, did_you_mean
from edgert_converters.importers.onnx_file import WORKING_OPSET
from edgert_converters.importers.tflite_notes import file_notes, has_wide_integers
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.detection_tflite import DETECTION, with_detection_shapes
from edgert_converters.ops.spec import TfliteReader
from edgert_converters.passes.output_check import first_line
from edgert_converters.requantize import Requantize, set_requantize
from edgert_converters.tflite.constants import plain_constants
from edgert_converters.tflite.dilated import merge_dilated
from edgert_converters.tflite.images import image_inputs
from edgert_converters.tflite.import_graph import ImportGraph
from edgert_converters.tflite.layout import Order, channels_first
from edgert_converters.tflite.model import TfModel, TfOperator, TfSignature, TfSubgraph
from edgert_converters.tflite.read import parse_tflite
from edgert_converters.tflite.state import explicit_state, set_state_bindings
from edgert_converters.tflite.wide_windows import ungroup_windows

if TYPE_CHECKING:
    import onnx

__all__ = ["build_onnx", "build_with_homes", "load_tflite", "tflite_readers"]

_IR_VERSION = 8
_WIDE_OPSET, _WIDE_IR_VERSION = 21, 10
"""What 16-bit QuantizeLinear needs."""
_DAMAGED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def load_tflite(path: Path, shown: Path, notes: list[str] | None = None, *, layout: str = "keep") -> onnx.ModelProto:
    """Returns the model of a .tflite file in ONNX form.

    Args:
        path: the file.
        shown: what messages call it.
        notes: gets a line for each thing that the user should know about the file.
        layout: `nchw` puts images of rank 4 channels-first at inputs and outputs; else they stay as in the file.

    Raises:
        ModelError: damaged, or it holds something that edgert cannot convert; names the operator.
        MissingExtraError: a package is missing.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror or error})", path=shown) from error
    try:
        proto: onnx.ModelProto = ir.to_proto(build_onnx(parse_tflite(data, shown), notes, layout=layout))
        _check_nodes(proto)
    except ModelError as error:
        raise (error if error.path else ModelError(str(error), path=shown)) from error
    return proto


def _check_nodes(proto: onnx.ModelProto) -> None:
    """An operator of a damaged file may have too many inputs, or attributes that its ONNX form does not take."""
    import onnx

    context = onnx.checker.C.CheckerContext()
    context.ir_version = proto.ir_version
    context.opset_imports = {entry.domain: entry.version for entry in proto.opset_import}
    try:
        for node in proto.graph.node:
            onnx.checker.check_node(node, context)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"the file is damaged: {first_line(error)}") from error


def build_onnx(file: TfModel, notes: list[str] | None = None, *, layout: str = "keep") -> ir.Model:
    """Returns an ONNX model that computes what the file's first signature (subgraph 0 where it has none) computes.

    Inputs and outputs carry the signature's names (the tensors' own where there is no signature), the file's axis
    order, and real numbers: integer inputs are fed real values and quantized first. States follow as inputs NAME_in and
    outputs NAME_out.

    Args:
        file: the parsed file.
        notes: gets a line for each thing that the user should know about the file.
        layout: as for `load_tflite`.

    Raises:
        ModelError: an operator, an option or a type has no counterpart; names it.
    """
    return build_with_homes(file, notes, layout=layout)[0]


def build_with_homes(
    file: TfModel, notes: list[str] | None = None, *, layout: str = "keep"
) -> tuple[ir.Model, dict[str, tuple[int, Order]]]:
    """Returns what `build_onnx` returns, and `ImportGraph.homes`: which value holds which tensor of the file.

    Raises:
        ModelError: an operator, an option or a type has no counterpart; names it.
    """
    entry = file.signatures[0] if file.signatures else TfSignature("", {}, {})
    file, states = explicit_state(file, entry.subgraph)
    if file.signatures:
        entry = file.signatures[0]
    original = file.subgraphs[entry.subgraph]
    if notes is not None:
        notes.extend(file_notes(file, original, states))
    plain = plain_constants(_with_input_names(original, entry))
    source = with_detection_shapes(merge_dilated(ungroup_windows(plain)))
    wide = has_wide_integers(source)
    opset = _WIDE_OPSET if wide else WORKING_OPSET
    graph = ImportGraph(source, opset, dynamic_batch=_has_dynamic_batch(source))
    _read_operators(source, graph, image_inputs(source) if layout == "nchw" else frozenset())
    names = {index: name for name, index in entry.outputs.items()}
    if not file.signatures:
        names = dict(zip(source.outputs[len(source.outputs) - len(states) :], (s.output for s in states), strict=True))
    try:
        for index in source.outputs:
            graph.add_output(index, names.get(index) or graph.name(index), as_it_lies=layout == "nchw")
    except _DAMAGED as error:
        raise ModelError(f"an output does not fit what computes it ({error}); the file is damaged") from error
    model = ir.Model(graph.graph, ir_version=_WIDE_IR_VERSION if wide else _IR_VERSION)
    if any(tensor.quant is not None and tensor.data is None for tensor in source.tensors):
        set_requantize(model, Requantize.Q31)
    set_state_bindings(model, states)
    return model, graph.homes()


def tflite_readers() -> Mapping[str, TfliteReader]:
    """Returns the hook of every TFLite operator that the operator table reads."""
    return {name: reader for spec in OPERATORS.values() for name, reader in spec.from_tflite.items()}


def _read_operators(source: TfSubgraph, graph: ImportGraph, channels_first_inputs: frozenset[int]) -> None:
    readers = tflite_readers()
    for index in source.inputs:
        graph.add_input(index, channels_first(4) if index in channels_first_inputs else None)
    for operator in source.operators:
        reader = readers.get(operator.name)
        if reader is None or operator.is_custom != (operator.name == DETECTION):
            raise graph.error(operator, _refusal(operator, readers))
        try:
            reader(operator, graph)
        except _DAMAGED as error:
            text = f"cannot be read ({type(error).__name__}: {error}); the file is damaged"
            raise graph.error(operator, text) from error


def _refusal(operator: TfOperator, readers: Mapping[str, TfliteReader]) -> str:
    if operator.is_custom and operator.name.startswith("Flex"):
        return "this is TensorFlow's own operator in a TFLite file; convert the model with builtin operators only"
    if operator.is_custom:
        return "this custom operator is code outside the file; cut the model before it and run what follows yourself"
    return f"this operator is not supported{did_you_mean(operator.name, readers)}"


def _with_input_names(source: TfSubgraph, entry: TfSignature) -> TfSubgraph:
    """Returns the graph with the signature's names on its inputs; whatever else has such a name gives way."""
    names = {index: name for name, index in entry.inputs.items() if index in source.inputs and name}
    taken = set(names.values())
    tensors = [
        replace(tensor, name=names.get(index) or (f"{tensor.name}_" if tensor.name in taken else tensor.name))
        for index, tensor in enumerate(source.tensors)
    ]
    return replace(source, tensors=tuple(tensors))


def _has_dynamic_batch(source: TfSubgraph) -> bool:
    signatures = [source.tensors[index].signature for index in source.inputs]
    return bool(signatures) and all(signature is not None and signature[:1] == (-1,) for signature in signatures)
