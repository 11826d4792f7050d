"""Brings a parsed ONNX model to edgert's working form: fixed shapes, working opset, cleaned up, every step checked.

Runs in the importer's child process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgert.bundle import TensorSpec
from edgert.dtypes import DType
from edgert.errors import DynamicShapeError, ModelError, UsageError
from edgert_converters.importers.change_opset import change_opset, read_opset
from edgert_converters.importers.layouts import name_layouts
from edgert_converters.importers.resized import FIRST_SPATIAL_AXIS, Resized, forget_output_shapes
from edgert_converters.importers.source_run import run_source
from edgert_converters.passes.output_check import Array, Feed, OutputCheck, random_feed
from edgert_converters.passes.pipeline import run_pipeline
from edgert_converters.passes.record import PassRecord

if TYPE_CHECKING:
    import onnx

__all__ = ["NormalisedModel", "normalise"]

Dim = int | str | None


@dataclass(frozen=True, slots=True)
class NormalisedModel:
    """A model in working form, serialized, and what is known about it."""

    serialized: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    notes: tuple[str, ...]
    passes: tuple[PassRecord, ...]


def normalise(
    proto: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], shown: Path, *, resizes: bool = True
) -> NormalisedModel:
    """Returns the model in working form; `proto` is changed.

    Args:
        proto: the parsed model.
        shapes: full shapes by input name; a fixed height or width may be changed where `resizes`.
        shown: what messages call the file.
        resizes: False where the source's operators were written for one size.

    Raises:
        ModelError: it does not run, cannot take another size, or changing its opset changes what it computes.
        DynamicShapeError: an axis needs a size.
        UsageError: `shapes` does not fit the model.
    """
    import onnx_ir

    notes: list[str] = []
    _drop_initializer_inputs(proto)
    resized = _resized(proto, shapes, shown)
    inputs = _fix_shapes(proto, shapes, shown, resizes=resizes)
    del proto.graph.value_info[:]
    leading = forget_output_shapes(proto) if resized.note else ()
    source_bytes = proto.SerializeToString()
    try:
        check, inputs = _reference(source_bytes, read_opset(proto), inputs, notes)
    except ModelError as error:
        raise (resized.refuse(error) if resized.note else ModelError(str(error), path=shown)) from error
    if resized.note:
        resized.check(leading, check.expected[0])
        notes.append(resized.note)
    _write_input_shapes(proto, inputs)
    outputs = _output_specs(proto, check, shown)
    _write_output_shapes(proto, outputs)
    model = change_opset(proto, check, notes, shown)
    model, passes = run_pipeline(model, check)
    inputs, outputs = name_layouts(model, inputs, outputs)
    notes.extend(f"clean-up pass {p.name!r} was taken back: {p.undone}" for p in passes if p.undone)
    return NormalisedModel(onnx_ir.to_proto(model).SerializeToString(), inputs, outputs, tuple(notes), passes)


def _drop_initializer_inputs(proto: onnx.ModelProto) -> None:
    """Models before IR version 4 list their weights among the inputs; nobody may override them here."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    for value in [value for value in proto.graph.input if value.name in weights]:
        proto.graph.input.remove(value)
    # from IR version 4 on, initializers need not be inputs
    proto.ir_version = max(proto.ir_version, 4)


def _dims(value: onnx.ValueInfoProto) -> tuple[Dim, ...] | None:
    """Returns the declared dimensions: a number, the name of a dynamic one, or None; None for an unknown rank."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    known = (
        d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else d.dim_param or None for d in tensor.shape.dim
    )
    return tuple(known)


def _dtype(value: onnx.ValueInfoProto, shown: Path) -> DType:
    import onnx_ir

    if not value.type.HasField("tensor_type"):
        raise ModelError(f"{value.name!r} is not a tensor; sequences, maps and optionals are not supported", path=shown)
    try:
        return DType(onnx_ir.DataType(value.type.tensor_type.elem_type).name.lower())
    except ValueError as error:
        number = value.type.tensor_type.elem_type
        raise ModelError(f"{value.name!r} has the element type {number}, which is not supported", path=shown) from error


def _resized(proto: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], shown: Path) -> Resized:
    sizes = {}
    for value in proto.graph.input:
        declared, wanted = _dims(value), shapes.get(value.name)
        if declared is None or wanted is None or len(declared) != len(wanted):
            continue
        pairs = list(zip(declared, wanted, strict=True))[FIRST_SPATIAL_AXIS:]
        if any(isinstance(old, int) and old != new for old, new in pairs):
            words = ["x".join(str(size) for size in column) for column in zip(*pairs, strict=True)]
            sizes[value.name] = (words[0], words[1])
    return Resized(sizes, shown)


def _fix_shapes(
    proto: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], shown: Path, *, resizes: bool
) -> tuple[TensorSpec, ...]:
    """Returns the inputs with None for a dynamic batch axis and every other axis fixed; writes that into `proto`."""
    known = {value.name: value for value in proto.graph.input}
    for name in shapes:
        if name not in known:
            raise UsageError(f"--shape names {name!r}; the model's inputs are: {', '.join(map(repr, known)) or 'none'}")
    specs = []
    for name, value in known.items():
        dtype, declared = _dtype(value, shown), _dims(value)
        if name in shapes:
            fixed: tuple[int | None, ...] = _apply_shape(name, declared, shapes[name], resizes=resizes)
        elif declared is None:
            raise ModelError(f"input {name!r} declares no shape; give one with --shape {name}=...", path=shown)
        else:
            fixed = _leading_batch(name, declared)
        specs.append(TensorSpec(name, fixed, dtype))
    _write_input_shapes(proto, tuple(specs))
    return tuple(specs)


def _apply_shape(
    name: str, declared: tuple[Dim, ...] | None, wanted: tuple[int, ...], *, resizes: bool
) -> tuple[int, ...]:
    shown = "unknown" if declared is None else "x".join(str(d or "?") for d in declared)
    if any(dim < 1 for dim in wanted):
        raise UsageError(f"--shape {name}: every size must be at least 1, got {wanted}")
    if declared is None:
        return tuple(wanted)
    if len(declared) != len(wanted):
        raise UsageError(f"--shape {name}: the input has {len(declared)} axes ({shown}), {len(wanted)} were given")
    for axis, (old, new) in enumerate(zip(declared, wanted, strict=True)):
        if isinstance(old, int) and old != new and not (resizes and axis >= FIRST_SPATIAL_AXIS):
            raise UsageError(f"--shape {name}: axis {axis} of {shown} is fixed to {old} in the model, {new} was given")
    return tuple(wanted)


def _leading_batch(name: str, declared: tuple[Dim, ...]) -> tuple[int | None, ...]:
    """A dynamic leading axis is the batch and may stay; any other dynamic axis needs a size."""
    if any(not isinstance(dim, int) for dim in declared[1:]):
        suggestion = tuple(
            dim if isinstance(dim, int) else (1 if axis == 0 else 224) for axis, dim in enumerate(declared)
        )
        raise DynamicShapeError(name, declared, suggestion)
    return tuple(dim if isinstance(dim, int) else None for dim in declared)


def _write_input_shapes(proto: onnx.ModelProto, specs: tuple[TensorSpec, ...]) -> None:
    by_name = {spec.name: spec for spec in specs}
    for value in proto.graph.input:
        _write_shape(value, by_name[value.name].shape)


def _write_output_shapes(proto: onnx.ModelProto, specs: tuple[TensorSpec, ...]) -> None:
    for value, spec in zip(proto.graph.output, specs, strict=True):
        _write_shape(value, spec.shape)


def _write_shape(value: onnx.ValueInfoProto, dims: tuple[int | None, ...]) -> None:
    value.type.tensor_type.ClearField("shape")
    shape = value.type.tensor_type.shape
    shape.SetInParent()
    for axis, dim in enumerate(dims):
        entry = shape.dim.add()
        if dim is None:
            entry.dim_param = f"batch_{axis}" if axis else "batch"
        else:
            entry.dim_value = dim


def _feed(inputs: tuple[TensorSpec, ...], batch: int) -> Feed:
    shapes = [tuple(batch if dim is None else dim for dim in spec.shape) for spec in inputs]
    return random_feed([spec.name for spec in inputs], shapes, [spec.dtype for spec in inputs])


def _reference(
    source: bytes, opset: int, inputs: tuple[TensorSpec, ...], notes: list[str]
) -> tuple[OutputCheck, tuple[TensorSpec, ...]]:
    """Runs the source model for one sample and, where its batch is dynamic, for two.

    A model that declares a dynamic batch but cannot run two samples gets its batch fixed to 1.
    """
    feeds = [_feed(inputs, 1)]
    expected: list[list[Array]] = [run_source(source, opset, feeds[0], notes)]
    if any(None in spec.shape for spec in inputs):
        try:
            pair = _feed(inputs, 2)
            expected.append(run_source(source, opset, pair, notes))
            feeds.append(pair)
        except ModelError as error:
            notes.append(f"the model declares a dynamic batch but runs with 1 only ({error}); the batch is fixed to 1")
            inputs = tuple(
                TensorSpec(s.name, tuple(1 if d is None else d for d in s.shape), s.dtype, s.layout) for s in inputs
            )
    return OutputCheck(tuple(feeds), tuple(tuple(arrays) for arrays in expected)), inputs


def _output_specs(proto: onnx.ModelProto, check: OutputCheck, shown: Path) -> tuple[TensorSpec, ...]:
    """Returns the outputs as they came out: an axis that grew with the batch is None."""
    specs = []
    for index, value in enumerate(proto.graph.output):
        found = [outputs[index] for outputs in check.expected]
        shape: tuple[int | None, ...] = tuple(
            size if all(array.shape[axis] == size for array in found if array.ndim > axis) else None
            for axis, size in enumerate(found[0].shape)
        )
        try:
            dtype = DType.from_numpy(found[0].dtype)
        except ValueError as error:
            kind = found[0].dtype
            text = f"output {value.name!r} has the element type {kind}, which is not supported"
            raise ModelError(text, path=shown) from error
        specs.append(TensorSpec(value.name, shape, dtype))
    return tuple(specs)
