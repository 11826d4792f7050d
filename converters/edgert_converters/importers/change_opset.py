"""Brings a model to the working opset: raises old models, lowers new ones, and checks that their outputs stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgert.errors import ModelError
from edgert_converters.importers.onnx_file import MAX_OPSET, WORKING_OPSET
from edgert_converters.passes.output_check import OutputCheck, first_line
from edgert_converters.passes.pipeline import TOLERANCE

if TYPE_CHECKING:
    import onnx
    import onnx_ir

__all__ = ["change_opset", "read_opset"]

# opset 18 needs IR version 8, opsets 19 and 20 IR version 9; onnxruntime 1.17 reads up to 9
_WIDE_OPSET: Final = 21
"""Models with activations of 16 bits keep this: no older QuantizeLinear makes 16 bits. ONNX Runtime 1.18 reads it."""
_WIDE_TYPES: Final = {4, 5}  # UINT16 and INT16 of TensorProto.DataType
_IR_VERSIONS: Final = {18: 8, 19: 9, 20: 9, 21: 10}
_STANDARD: Final = ("", "ai.onnx")
_SAME_IN_OLDER: Final = {"GlobalMaxPool": 22}
"""Operators whose form of this opset only allows more element types, but which onnx's converter cannot lower."""
_OTHER_IN_OLDER: Final = {"GroupNormalization": 21}
"""Operators whose form before this opset cannot say the same: ONNX's definition takes their place."""
_MOST_NESTED: Final = 4
"""Definitions use other new operators; ONNX's own nest two deep."""
_PARKED: Final = "edgert.parked"


def read_opset(proto: onnx.ModelProto) -> int:
    """Returns the version of the standard operators that the model uses."""
    return next(int(entry.version) for entry in proto.opset_import if entry.domain in _STANDARD)


def change_opset(proto: onnx.ModelProto, check: OutputCheck, notes: list[str], shown: Path) -> onnx_ir.Model:
    """Returns the model with an opset from `WORKING_OPSET` to `MAX_OPSET`, checked against the source."""
    import onnx_ir

    current = read_opset(proto)
    wanted = min(max(current, WORKING_OPSET), _WIDE_OPSET if _has_wide_integers(proto) else MAX_OPSET)
    if wanted != current:
        proto = _convert_version(proto, current, wanted, shown)
    model: onnx_ir.Model = onnx_ir.from_proto(proto)
    model.ir_version = _IR_VERSIONS[wanted]
    if wanted == current:
        return model
    try:
        error = check.error(model)
    except ModelError as failure:
        raise ModelError(f"cannot be brought from opset {current} to {wanted}: {failure}", path=shown) from failure
    if not error <= TOLERANCE:
        raise ModelError(
            f"cannot be brought from opset {current} to {wanted}: an output changes by {error:.2g} of its largest "
            f"magnitude; export the model again with opset {WORKING_OPSET}",
            path=shown,
        )
    notes.append(f"brought from opset {current} to {wanted}; largest relative difference {error:.1e}")
    return model


def _has_wide_integers(proto: onnx.ModelProto) -> bool:
    """True where a tensor is quantized to 16 bits."""
    zero_points = {n.input[2] for n in proto.graph.node if n.op_type == "QuantizeLinear" and len(n.input) > 2}
    return any(t.name in zero_points and t.data_type in _WIDE_TYPES for t in proto.graph.initializer)


def _convert_version(proto: onnx.ModelProto, current: int, wanted: int, shown: Path) -> onnx.ModelProto:
    from onnx import version_converter

    try:
        if wanted < current:
            proto = _inline_newer_functions(proto, current, wanted)
        parked = [op for op, since in _SAME_IN_OLDER.items() if wanted < since <= current]
        _move_domain(proto, parked, "", _PARKED)
        converted = version_converter.convert_version(proto, wanted)
    except Exception as error:  # ConvertError and RuntimeError alike
        raise ModelError(
            f"cannot be brought from opset {current} to {wanted} ({first_line(error)}); "
            f"export it again with opset {WORKING_OPSET}",
            path=shown,
        ) from error
    _move_domain(converted, parked, _PARKED, "")
    return converted


def _inline_newer_functions(proto: onnx.ModelProto, current: int, wanted: int) -> onnx.ModelProto:
    """Puts the definitions of operators that the older opset does not have in their place, where ONNX defines them."""
    from onnx import defs, inliner

    for _ in range(_MOST_NESTED):
        used = {node.op_type for node in _nodes(proto.graph) if node.domain in _STANDARD}
        newer = [op for op in sorted(used) if not defs.has(op, wanted)]
        newer += [op for op in sorted(used) if wanted < _OTHER_IN_OLDER.get(op, 0) <= current]
        if not newer:
            break
        proto = inliner.inline_selected_functions(
            _with_types(proto), [("", op) for op in newer], inline_schema_functions=True
        )
        del proto.graph.value_info[:]
    return proto


def _with_types(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model with the type of every value written down, which some definitions depend on."""
    from onnx import helper, shape_inference

    typed = shape_inference.infer_shapes(proto)
    known = {value.name for value in (*typed.graph.input, *typed.graph.value_info)}
    for tensor in typed.graph.initializer:
        if tensor.name not in known:
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            typed.graph.value_info.append(value)
    return typed


def _move_domain(proto: onnx.ModelProto, op_types: list[str], old: str, new: str) -> None:
    """Moves operators to another domain: the converter leaves those alone that are not standard."""
    moved = [node for node in _nodes(proto.graph) if node.domain == old and node.op_type in op_types]
    for node in moved:
        node.domain = new
    if moved and new:
        entry = proto.opset_import.add()
        entry.domain, entry.version = new, 1
    for entry in [entry for entry in proto.opset_import if old and entry.domain == old]:
        proto.opset_import.remove(entry)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)
