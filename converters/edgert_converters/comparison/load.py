"""Opens what is compared: a bundle's int8 variant, a QDQ .onnx file or a quantized .tflite file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgert.bundle import Bundle, Manifest, TensorSpec, Variant
from edgert.dtypes import DType
from edgert.errors import ModelError, UsageError
from edgert.runtime.border import build_borders
from edgert.runtime.plain_model import is_bundle
from edgert.verification import VerifyRequest
from edgert_converters.comparison.block_layers import block_layers
from edgert_converters.comparison.peer import Subject
from edgert_converters.comparison.samples import draw_samples, input_params, split_samples
from edgert_converters.comparison.tflite_form import ExportedForm, OwnForm
from edgert_converters.importers import import_model
from edgert_converters.importers.tflite_file import build_with_homes
from edgert_converters.ops.spec import Array
from edgert_converters.output import GRAPH
from edgert_converters.requantize import Requantize, read_requantize, set_requantize
from edgert_converters.tflite.read import parse_tflite
from edgert_converters.units import find_units

__all__ = ["Loaded", "load"]

_INPUT = "input/"
_FLOAT_PRECISIONS = {"fp32", "fp16", "dynamic"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is compared, on what.

    `float_model` and `tflite_data` (the same graph as a TFLite file) are there where a bundle holds them;
    `takes_integers`: inputs may be the file's own integers. `inputs` are as a caller feeds them; `inward` permutes the
    axes of those that the graph takes in another order.
    """

    name: str
    variant: str
    subject: Subject
    inputs: tuple[TensorSpec, ...]
    samples: tuple[dict[str, Array], ...] = ()
    samples_text: str = ""
    float_model: ir.Model | None = None
    golden: Mapping[str, Array] | None = None
    takes_integers: bool = False
    tflite_data: bytes | None = None
    inward: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def load(request: VerifyRequest) -> Loaded:
    """Opens the model of a request and its inputs.

    Raises:
        UsageError: an option does not fit the model.
        InputFileError: the file is damaged, or holds no integer layers.
        DataError: the inputs do not fit the model.
        DynamicShapeError: an input has no fixed size.
    """
    if request.samples < 1:
        raise UsageError(f"--samples is {request.samples}; it must be at least 1")
    found = _open(request)
    model = found.subject.model
    if request.requantize is not None:
        set_requantize(model, _mode(request.requantize))
    if not find_units(model.graph) and not block_layers(model.graph):
        raise ModelError(
            f"{found.variant or 'the model'} has no integer layers, so there is nothing to compare in steps; "
            "convert the float model with --calib, and verify the bundle that gives",
            path=request.model,
        )
    return _with_samples(found, request)


def _open(request: VerifyRequest) -> Loaded:
    path = request.model
    if is_bundle(path):
        return _from_bundle(path, request.variant)
    if request.variant is not None:
        raise UsageError(f"--variant {request.variant!r}: {path} is no bundle and has no variants")
    if path.suffix.lower() == ".tflite":
        return _from_tflite(_read(path), path)
    imported = import_model(path, request.shapes)
    model = imported.model
    return Loaded(path.stem, "", Subject(model, ExportedForm(model)), imported.inputs)


def _from_bundle(path: Path, variant_id: str | None) -> Loaded:
    with Bundle.open(path) as bundle:
        manifest = bundle.manifest
        variant = manifest.variant(variant_id) if variant_id is not None else _integer_variant(manifest, path)
        data, golden = bundle.read(_graph_of(variant)), bundle.golden()
        reference = _first(manifest, "onnx", "fp32")
        reference_data = None if reference is None else bundle.read(reference.path)
        twin = _first(manifest, "tflite", variant.precision)
        twin_data = None if twin is None else bundle.read(twin.path)
    if variant.format == "tflite":
        borders = build_borders(variant.inputs, variant.inputs, manifest.inputs)
        inward = {border.port.name: border.inward for border in borders if border.inward is not None}
        found = replace(_from_tflite(data, path), inputs=manifest.inputs, takes_integers=False, inward=inward)
        reference_data = None  # its axes lie in another order
    elif variant.format in {"onnx", "c"}:
        model = _parse_onnx(data, path)
        found = Loaded("", "", Subject(model, ExportedForm(model, twin_data)), manifest.inputs, tflite_data=twin_data)
    else:
        raise UsageError(f"variant {variant.id!r} is {variant.format}; onnx, tflite and c variants can be compared")
    if variant.requantize is not None:
        set_requantize(found.subject.model, _mode(variant.requantize))
    float_model = None if reference_data is None else _parse_onnx(reference_data, path)
    inputs = {key.removeprefix(_INPUT): array for key, array in golden.items() if key.startswith(_INPUT)}
    return replace(
        found,
        name=manifest.name,
        variant=variant.id,
        float_model=float_model,
        golden=inputs or None,
    )


def _graph_of(variant: Variant) -> str:
    """The file of a variant that holds its graph: of C the one beside it."""
    return f"{variant.path.rpartition('/')[0]}/{GRAPH}" if variant.format == "c" else variant.path


def _from_tflite(data: bytes, path: Path) -> Loaded:
    file = parse_tflite(data, path)
    try:
        model, homes = build_with_homes(file)
    except ModelError as error:
        raise (error if error.path else ModelError(str(error), path=path)) from error
    inputs = tuple(_spec(value) for value in model.graph.inputs if value.name not in model.graph.initializers)
    return Loaded(path.stem, "", Subject(model, OwnForm(file, data, homes)), inputs, takes_integers=True)


def _with_samples(found: Loaded, request: VerifyRequest) -> Loaded:
    model, count = found.subject.model, request.samples
    if request.inputs is not None:
        integers = input_params(model) if found.takes_integers else {}
        samples = split_samples(request.inputs, found.inputs, count, integers)
        text = f"{_counted(samples)} of the given inputs"
    elif found.golden is not None:
        samples = split_samples(found.golden, found.inputs, count)
        text = f"{_counted(samples)} of the bundle's golden inputs"
    else:
        samples = draw_samples(model, found.inputs, count, request.seed)
        text = f"{_counted(samples)}, random with seed {request.seed}: give real ones with --input"
    moved = tuple(
        {
            name: np.transpose(array, found.inward[name]) if name in found.inward else array
            for name, array in one.items()
        }
        for one in samples
    )
    return replace(found, samples=moved, samples_text=text)


def _counted(samples: list[dict[str, Array]]) -> str:
    return f"{len(samples)} sample{'s' if len(samples) != 1 else ''}"


def _integer_variant(manifest: Manifest, path: Path) -> Variant:
    found = _first(manifest, "onnx", "int8") or _first(manifest, "tflite", "int8")
    found = found or next((v for v in manifest.variants if v.precision not in _FLOAT_PRECISIONS), None)
    if found is None:
        ids = ", ".join(variant.id for variant in manifest.variants)
        raise ModelError(
            f"the bundle has no int8 variant (it has {ids}), so there is nothing to compare in steps; "
            "convert with --calib to get one",
            path=path,
        )
    return found


def _first(manifest: Manifest, kind: str, precision: str) -> Variant | None:
    return next((v for v in manifest.variants if (v.format, v.precision) == (kind, precision)), None)


def _mode(text: str) -> Requantize:
    try:
        return Requantize(text)
    except ValueError as error:
        allowed = ", ".join(mode.value for mode in Requantize)
        raise UsageError(f"unknown requantization mode {text!r}; allowed: {allowed}") from error


def _parse_onnx(data: bytes, path: Path) -> ir.Model:
    import onnx

    try:
        model: ir.Model = ir.from_proto(onnx.load_from_string(data))
    except Exception as error:  # protobuf's and onnx_ir's errors have no base class in common
        raise ModelError(f"a variant of the bundle is no readable ONNX model ({error})", path=path) from error
    read_requantize(model)
    return model


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror or error})", path=path) from error


def _spec(value: ir.Value) -> TensorSpec:
    sizes = value.shape or ()
    shape = tuple(size if isinstance(size, int) else None for size in sizes)
    dtype = DType.FLOAT if value.dtype is None else DType(value.dtype.name.lower())
    return TensorSpec(str(value.name), shape, dtype)
