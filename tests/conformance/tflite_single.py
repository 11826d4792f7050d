"""Runs single-operator graphs as .tflite files: LiteRT, our importer, the integer interpreter; counts what passed."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgert.bundle import TensorSpec
from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams, dequantize, quantize
from edgert_converters.exporters.tflite import TfliteFile, export_tflite
from edgert_converters.importers.tflite_file import build_onnx
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.case_models import build_float_model, build_qdq_model
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.layout import channels_last, invert
from edgert_converters.tflite.model import TfModel, TfOperator, TfSignature, TfSubgraph, TfTensor
from edgert_converters.tflite.read import parse_tflite
from edgert_converters.tflite.versions import with_versions
from edgert_converters.tflite.write import serialize_tflite

__all__ = [
    "Steps",
    "check_file",
    "check_float",
    "check_int8",
    "record",
    "run_litert",
    "single_file",
    "steps_between",
    "summary",
]

FLOAT_TOLERANCE = 1e-5
"""Largest difference as a share of the largest magnitude: kernels sum and approximate in float32."""

_COUNTS: collections.Counter[str] = collections.Counter()
_STEPS: dict[str, Steps] = {}


@dataclass(frozen=True, slots=True)
class Steps:
    """How two integer tensors differ: the largest difference and the share of values that differ at all."""

    most: int
    share: float

    def within(self, most: int, share: float) -> bool:
        """True where both are inside the bound."""
        return self.most <= most and self.share <= share


def record(kind: str, operator: str = "", steps: Steps | None = None) -> None:
    """Counts a check that passed; remembers the largest difference of an operator against LiteRT's default kernels."""
    _COUNTS[kind] += 1
    if steps is not None and steps.most:
        known = _STEPS.get(operator, Steps(0, 0.0))
        _STEPS[operator] = Steps(max(known.most, steps.most), max(known.share, steps.share))


def summary() -> list[str]:
    """Returns the lines for the end of a run; nothing when no check ran."""
    if not _COUNTS:
        return []
    counts = ", ".join(f"{kind} {count}" for kind, count in sorted(_COUNTS.items()))
    largest = ", ".join(f"{name} {found.most} ({found.share:.1%})" for name, found in sorted(_STEPS.items()))
    return [
        f"TFLite single operators passed: {counts}",
        f"  int8 steps of LiteRT's default kernels from the interpreter: {largest or 'none'}",
    ]


def run_litert(data: bytes, feed: Mapping[str, Array], *, reference: bool = False) -> dict[str, Array]:
    """Returns LiteRT's outputs by the signature's names; `reference`: TFLite's reference kernels, without XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter as Runtime
    from ai_edge_litert.interpreter import OpResolverType

    kind = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    runtime = Runtime(model_content=data, num_threads=1, experimental_op_resolver_type=kind)
    runner = runtime.get_signature_runner()
    types = {name: detail["dtype"] for name, detail in runner.get_input_details().items()}
    found = runner(**{name: np.ascontiguousarray(feed[name].astype(kind)) for name, kind in types.items()})
    return {name: np.array(array).reshape(_declared(data, name, array)) for name, array in found.items()}


def _declared(data: bytes, name: str, found: Array) -> tuple[int, ...]:
    """The shape of an output: of a single number the file's, as XNNPACK gives 1 / [[2]] the shape [1]."""
    if found.size != 1:
        return found.shape
    file = parse_tflite(data)
    return file.subgraphs[0].tensors[file.signatures[0].outputs[name]].shape


def check_float(model: ir.Model, feed: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    """Exports a model; LiteRT and the file imported again give what is expected."""
    file = export_tflite(model, float_io=True)
    _check_operators(file.data)
    stored = _stored(file, feed)
    found = run_litert(file.data, stored)
    _compare(_plain(file, found), expected)
    back = Interpreter(build_onnx(parse_tflite(file.data))).run(stored).outputs
    _compare(back, found)


def check_int8(model: ir.Model, feed: Mapping[str, Array], *, reference: bool = True) -> tuple[Steps, Steps]:
    """Exports a quantized model with integers as inputs and outputs.

    Returns:
        How LiteRT's default kernels differ from the interpreter in the model's own mode, and how the interpreter of the
        file imported again (mode q31) differs from LiteRT's reference kernels, or its default ones where those lack the
        operator or `reference` is false.
    """
    file = export_tflite(model)
    _check_operators(file.data)
    stored = _stored(file, feed)
    expected = Interpreter(model).run(dict(feed)).outputs
    found = run_litert(file.data, stored)
    ours = steps_between(_plain(file, found), expected)
    back = Interpreter(build_onnx(parse_tflite(file.data))).run(_real(file.inputs, stored)).outputs
    integers = {s.name: quantize(back[s.name], s.quant) if s.quant else back[s.name] for s in file.outputs}
    return ours, steps_between(integers, _reference(file.data, stored, found) if reference else found)


def check_file(data: bytes, feed: Mapping[str, Array]) -> Steps:
    """Compares a file in LiteRT with what our importer makes of it; returns the steps between integer outputs.

    Integer inputs of the imported model are fed the real numbers that they stand for. Floats and booleans are compared
    here; whole numbers without a scale must be equal.
    """
    graph = parse_tflite(data).subgraphs[0]
    tensors = {graph.tensors[index].name: graph.tensors[index] for index in (*graph.inputs, *graph.outputs)}
    found = run_litert(data, feed)
    quants = {name: tensor.quant for name, tensor in tensors.items()}
    real = {name: dequantize(x, q) if (q := quants[name]) is not None else x for name, x in feed.items()}
    back = Interpreter(build_onnx(parse_tflite(data))).run(real).outputs
    plain = {name: y for name, y in found.items() if quants[name] is None}
    _compare({name: back[name] for name in plain}, plain)
    integers = {name: quantize(back[name], q) for name in found if (q := quants[name]) is not None}
    return steps_between(integers, {name: found[name] for name in integers}) if integers else Steps(0, 0.0)


def steps_between(found: Mapping[str, Array], expected: Mapping[str, Array]) -> Steps:
    """Returns how the integers differ, over all outputs together."""
    assert found.keys() == expected.keys()
    parts = []
    for name, wanted in expected.items():
        assert found[name].shape == wanted.shape, name
        parts.append(np.abs(found[name].astype(np.int64) - wanted.astype(np.int64)).reshape(-1))
    differences = np.concatenate(parts)
    return Steps(int(differences.max(initial=0)), float(np.mean(differences > 0)) if differences.size else 0.0)


def single_file(
    operator: str,
    inputs: Sequence[TfTensor | None],
    outputs: Sequence[TfTensor],
    options: Mapping[str, bool | int | float | str] | None = None,
) -> bytes:
    """Returns a file of one operator; inputs without data that are no state are the graph's, None is an absent one."""
    present = [tensor for tensor in inputs if tensor is not None]
    tensors = (*present, *outputs)
    results = tuple(range(len(present), len(tensors)))
    numbers = iter(range(len(present)))
    item = TfOperator(operator, tuple(-1 if x is None else next(numbers) for x in inputs), results, dict(options or {}))
    fed = tuple(index for index, tensor in enumerate(present) if tensor.data is None and not tensor.is_variable)
    graph = with_versions(TfSubgraph(tensors, (item,), fed, results, "main"))
    names = {tensors[index].name: index for index in fed}
    signature = TfSignature("serving_default", names, {tensors[index].name: index for index in results})
    return serialize_tflite(TfModel((graph,), (signature,)))


def write_single_operator_files(folder: Path) -> set[str]:
    """Writes every case of every operator that TFLite can express, float and int8; returns the names without suffix."""
    names = set()
    for spec in OPERATORS.values():
        for case in spec.cases if spec.to_tflite is not None else ():
            quantized = build_qdq_model(spec, case, DType.INT8)
            models = {"float": build_float_model(spec, case), "int8": quantized and quantized[0]}
            for kind, model in models.items():
                try:
                    data = b"" if model is None else export_tflite(model).data
                except ModelError:
                    continue
                if data:
                    name = f"{spec.op_type}-{case.name}-{kind}"
                    (folder / f"{name}.tflite").write_bytes(data)
                    names.add(name)
    return names


def _check_operators(data: bytes) -> None:
    operators = parse_tflite(data).subgraphs[0].operators
    assert not any(item.is_custom or item.name.startswith("Flex") for item in operators)


def _reference(data: bytes, feed: Mapping[str, Array], found: Mapping[str, Array]) -> Mapping[str, Array]:
    try:
        return run_litert(data, feed, reference=True)
    except ValueError as error:
        assert "Didn't find op" in str(error), error
        return found


def _stored(file: TfliteFile, feed: Mapping[str, Array]) -> dict[str, Array]:
    """The feed in the axis order of the file; whole numbers of 64 bits become 32 bits wide there."""
    found = {}
    for spec in file.inputs:
        array = feed[spec.name]
        moved = np.transpose(array, channels_last(array.ndim)) if spec.layout else array
        found[spec.name] = moved.astype(np.int32) if spec.dtype is DType.INT32 else moved
    return found


def _plain(file: TfliteFile, found: Mapping[str, Array]) -> dict[str, Array]:
    moved = {spec.name for spec in file.outputs if spec.layout}
    return {name: np.transpose(y, invert(channels_last(y.ndim))) if name in moved else y for name, y in found.items()}


def _real(specs: tuple[TensorSpec, ...], feed: Mapping[str, Array]) -> dict[str, Array]:
    params: dict[str, QuantParams | None] = {spec.name: spec.quant for spec in specs}
    return {name: dequantize(x, q) if (q := params[name]) is not None else x for name, x in feed.items()}


def _compare(found: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    assert found.keys() == expected.keys()
    for name, wanted in expected.items():
        got = np.asarray(found[name])
        assert got.shape == wanted.shape, name
        assert got.dtype == wanted.dtype, name
        finite = np.abs(wanted[np.isfinite(wanted)].astype(np.float64))
        limit = FLOAT_TOLERANCE * max(float(finite.max(initial=0.0)), 1.0)
        np.testing.assert_allclose(got.astype(np.float64), wanted.astype(np.float64), rtol=0, atol=limit)
