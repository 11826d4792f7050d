"""The clean-up passes in their order, each with the reason for its place, and the loop that runs and checks them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from edgert.errors import ModelError
from edgert_converters.passes.canonicalise_clip import canonicalise_clip
from edgert_converters.passes.constants_second import constants_second
from edgert_converters.passes.convert_matmul import convert_matmul
from edgert_converters.passes.fold_batch_norm import fold_batch_norm
from edgert_converters.passes.fold_constants import fold_constants
from edgert_converters.passes.fuse_hard_swish import fuse_hard_swish
from edgert_converters.passes.lower_einsum import lower_einsum
from edgert_converters.passes.materialize_reshapes import materialize_reshapes
from edgert_converters.passes.merge_pads import merge_pads
from edgert_converters.passes.merge_reshapes import merge_reshapes
from edgert_converters.passes.merge_transposes import merge_transposes
from edgert_converters.passes.normalise_padding import normalise_padding
from edgert_converters.passes.output_check import OutputCheck
from edgert_converters.passes.record import PassRecord
from edgert_converters.passes.remove_no_ops import remove_no_ops
from edgert_converters.passes.replace_reduce_mean import replace_reduce_mean

__all__ = ["PIPELINE", "TOLERANCE", "Pass", "PassRecord", "infer_shapes", "run_pipeline"]

TOLERANCE = 1e-4
"""Largest allowed difference to the source model, as a share of the largest magnitude of each output."""

_MAX_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Pass:
    """One clean-up pass: changes the model in place and says how many places it changed.

    `quantized`: also run on models that hold QuantizeLinear or DequantizeLinear; only passes that never move a number.
    """

    name: str
    apply: Callable[[ir.Model], int]
    reason: str
    quantized: bool = True


def _inline_functions(model: ir.Model) -> int:
    count = len(model.functions)
    if count:
        common.InlinePass()(model)
        common.RemoveUnusedFunctionsPass()(model)  # type: ignore[no-untyped-call]  # its __init__ has no annotations
        common.RemoveUnusedOpsetsPass()(model)
    return count


PIPELINE: tuple[Pass, ...] = (
    Pass("inline_functions", _inline_functions, "first: everything below sees plain operators only"),
    Pass("fold_constants", fold_constants, "gives the passes below initializers and known shapes to look at"),
    Pass("lower_einsum", lower_einsum, "before remove_no_ops, which takes the Identity it leaves", quantized=False),
    Pass("remove_no_ops", remove_no_ops, "brings partners of the patterns below next to each other"),
    Pass("materialize_reshapes", materialize_reshapes, "needs folded shapes; its dead chains go in the next round"),
    Pass("merge_transposes", merge_transposes, "after no-ops between the partners are gone"),
    Pass("merge_reshapes", merge_reshapes, "after merge_transposes: what is left of a pair may move no number"),
    Pass("normalise_padding", normalise_padding, "explicit pads before merge_pads adds to them"),
    Pass("merge_pads", merge_pads, "before batch norm folding: Pad, Conv, BatchNormalization is one convolution"),
    Pass("convert_matmul", convert_matmul, "before batch norm folding, which knows Gemm", quantized=False),
    Pass(
        "fold_batch_norm", fold_batch_norm, "after everything that brings its convolution next to it", quantized=False
    ),
    Pass("replace_reduce_mean", replace_reduce_mean, "independent of the others", quantized=False),
    Pass("fuse_hard_swish", fuse_hard_swish, "before canonicalise_clip could merge its Clip", quantized=False),
    Pass("constants_second", constants_second, "after the fusions, which take either order: what they left"),
    Pass("canonicalise_clip", canonicalise_clip, "last: only what no larger pattern took", quantized=False),
)


def infer_shapes(model: ir.Model) -> None:
    """Fills in the shapes and types of all values that ONNX shape inference can tell."""
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)


def run_pipeline(model: ir.Model, check: OutputCheck) -> tuple[ir.Model, tuple[PassRecord, ...]]:
    """Runs all passes until nothing changes, taking back each one that changes an output beyond `TOLERANCE`.

    Args:
        model: changed in place; use the returned model.
        check: the source model's outputs.

    Returns:
        The cleaned model and one record per pass that changed something or was taken back.
    """
    quantized = any(node.op_type in {"QuantizeLinear", "DequantizeLinear"} for node in model.graph)
    records: dict[str, PassRecord] = {}
    refused: set[str] = set()
    for _ in range(_MAX_ROUNDS):
        infer_shapes(model)
        changed = 0
        for step in PIPELINE:
            if step.name in refused or (quantized and not step.quantized):
                continue
            model, record = _apply(model, step, check)
            if record.undone:
                refused.add(step.name)
            changed += record.changed
            if record.changed or record.undone:
                records[step.name] = _merge(records.get(step.name), record)
        if not changed:
            break
    _name_nodes(model)
    return model, tuple(records.values())


def _name_nodes(model: ir.Model) -> None:
    """Gives nodes without a name one that says what they are and survives further edits: operator_output."""
    for node in model.graph:
        if not node.name and node.outputs:
            node.name = f"{node.op_type}_{node.outputs[0].name}"
    common.NameFixPass()(model)


def _apply(model: ir.Model, step: Pass, check: OutputCheck) -> tuple[ir.Model, PassRecord]:
    before = model.clone()
    changed = step.apply(model)
    if not changed:
        return model, PassRecord(step.name, 0, 0.0)
    try:
        error = check.error(model)
    except ModelError as failure:
        return before, PassRecord(step.name, 0, 0.0, f"the model no longer ran: {failure}")
    if not error <= TOLERANCE:
        # JSON has no infinity; a figure this large reads the same
        error = float(np.nan_to_num(error, nan=1e30, posinf=1e30))
        return before, PassRecord(step.name, 0, error, f"it changed an output by {error:.2g} of its largest magnitude")
    return model, PassRecord(step.name, changed, error)


def _merge(old: PassRecord | None, new: PassRecord) -> PassRecord:
    if old is None:
        return new
    error = max(old.max_relative_error, new.max_relative_error)
    return PassRecord(new.name, old.changed + new.changed, error, new.undone or old.undone)
