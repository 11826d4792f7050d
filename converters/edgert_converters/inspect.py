"""Describes a model file: operators, parameters, cost, memory peak, and what each target makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgert.plugins import ModelSummary, ProgressReporter
from edgert.target import Target, get_target
from edgert.units import format_bytes
from edgert_converters.control_flow import CONTROL_FLOW
from edgert_converters.importers import import_model
from edgert_converters.layers import build_layers, operators_without_macs, peak_activation_bytes, weight_values
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import QuantRule
from edgert_converters.payoff.answer import answer_payoff

if TYPE_CHECKING:
    import onnx_ir

__all__ = ["inspect_model"]

# well below a minute, so that a damaged model that keeps a library busy does not look like a hang
_TIME_LIMIT_S = 45.0


def inspect_model(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    targets: Sequence[str],
    *,
    trust_pickle: bool = False,
    measure: bool = False,
    progress: ProgressReporter | None = None,
) -> ModelSummary:
    """Returns what `edgert inspect` prints; facts are for one sample and after clean-up, as it would be deployed.

    `measure` times float against int8 on this computer where earlier measurements do not tell (payoff/answer.py).

    Raises:
        ModelError: the file cannot be read or converted.
        DynamicShapeError: an axis needs a size.
        UsageError: `shapes` does not fit the model, or a target is unknown.
    """
    facts = [get_target(name) for name in targets]
    imported = import_model(path, shapes, trust_pickle=trust_pickle, time_limit_s=_TIME_LIMIT_S)
    model = imported.model
    layers = build_layers(model)
    peak = peak_activation_bytes(model)
    weights = {value.name: value for node in model.graph for value in weight_values(node)}
    tensors = [value.const_value for value in weights.values() if value.const_value is not None]
    weight_bytes = sum(int(tensor.nbytes) for tensor in tensors)
    unknown = operators_without_macs(model)
    notes = list(imported.notes)
    if unknown:
        notes.append(f"not in the operator table, counted with 0 MACs: {', '.join(unknown)}")
    payoff = answer_payoff(imported, layers, facts, measure=measure, progress=progress)
    return ModelSummary(
        name=path.stem,
        format=imported.source.format,
        inputs=imported.inputs,
        outputs=imported.outputs,
        operators=dict(sorted(Counter(node.op_type for node in model.graph).items())),
        parameters=sum(int(tensor.size) for tensor in tensors),
        macs=sum(layer.macs for layer in layers),
        weight_bytes=weight_bytes,
        peak_activation_bytes=peak,
        layers=layers,
        support={target.name: _refusals(model, target, weight_bytes + peak) for target in facts},
        notes=(*notes, *payoff.notes),
        int8_payoff=payoff.rows,
    )


def _refusals(model: onnx_ir.Model, target: Target, needed_bytes: int) -> dict[str, str]:
    """Returns per operator why it does not run in int8 on a target; the key `(model)` holds what concerns the whole."""
    reasons: dict[str, str] = {}
    opset = model.opset_imports.get("", 0)
    readers = [(e.max_opset, e.max_ir_version or 0) for e in target.engines if e.max_opset is not None]
    engines = [reader for reader in readers if reader[0] >= opset and reader[1] >= (model.ir_version or 0)]
    if not engines:
        newest = max((reader[0] for reader in readers), default=0)
        reasons["(model)"] = f"opset {opset} is newer than its engines read (up to {newest})"
    if target.ram_bytes is not None and needed_bytes > target.ram_bytes:
        need, have = format_bytes(needed_bytes), format_bytes(target.ram_bytes)
        reasons["(model)"] = f"weights and activations need {need}, the board has {have}"
    for op_type in sorted({node.op_type for node in model.graph}):
        reason = _int8_refusal(op_type, any(engine.name == "onnxruntime" for engine in target.engines))
        if reason:
            reasons[op_type] = reason
    return reasons


def _int8_refusal(op_type: str, runs_onnxruntime: bool) -> str | None:
    if op_type in {"QuantizeLinear", "DequantizeLinear"}:
        return None
    if op_type in CONTROL_FLOW:
        return "what is inside is never quantized"
    operator = OPERATORS.get(op_type)
    if operator is None:
        return "not in the operator table; stays float"
    note = f" ({operator.note})" if operator.note else ""
    if operator.quantization is QuantRule.FLOAT:
        return f"has no int8 form; stays float{note}"
    if operator.integer is None and operator.quantization is not QuantRule.CLAMP:
        return f"has no integer reference yet; stays float{note}"
    needs_kernel = operator.quantization in {QuantRule.COMPUTE, QuantRule.OWN}
    if runs_onnxruntime and needs_kernel and not operator.onnxruntime_int8:
        return f"ONNX Runtime has no int8 kernel for it and computes it in float{note}"
    return None
