"""Which tensors 8 bits cannot hold: their operators stay float, with the reason.

A tensor whose signal lies in few large values (one channel of a transformer's residual stream, the products of a
state-space scan) leaves its bulk a handful of steps. What an operator computes from it, or into it, is lost before any
rounding of weights matters. The estimate needs no run: the histogram and the chosen parameters give the error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgert.quant import QuantParams
from edgert.recipe import RangeMethod
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import QuantRule
from edgert_converters.quantize.ranges import RangeRule, choose_params
from edgert_converters.quantize.scheme import Scheme
from edgert_converters.quantize.statistics import RunningHistogram, TensorStatistics
from edgert_converters.sqnr import sqnr_db

__all__ = ["MIN_SQNR_DB", "SIGN_BIT_DB", "coarse_nodes", "expected_sqnr_db"]

MIN_SQNR_DB: Mapping[QuantRule, float] = {QuantRule.COMPUTE: 24.0, QuantRule.OWN: 30.0}
"""Limits by the kind of operator; others have that of QuantRule.COMPUTE.

Inner tensors of the zoo's convolutional networks keep 25.5 dB or more, so that none of them is touched. An operator
without weights gains little from integers, and where 8 bits are few such operators stand in chains that add up errors.
"""

SIGN_BIT_DB = 6.0
"""A symmetric range may leave one of its bits to a side without values; that alone is no reason to stay float."""


def expected_sqnr_db(histogram: RunningHistogram, params: QuantParams) -> float:
    """Returns the SQNR in dB of a tensor quantized with per-tensor `params`, as far as its histogram tells."""
    used = np.flatnonzero(histogram.counts)
    values, counts = histogram.centres()[used], histogram.counts[used].astype(np.float64)
    scale, zero_point = params.scale[0], params.zero_point[0]
    smallest, largest = params.dtype.integer_range
    restored = (np.clip(np.rint(values / scale) + zero_point, smallest, largest) - zero_point) * scale
    return sqnr_db(float(np.square(values) @ counts), float(np.square(restored - values) @ counts))


def coarse_nodes(
    model: ir.Model,
    statistics: Mapping[str, TensorStatistics],
    scheme: Scheme,
    refused: Set[str],
    answers: Set[str],
) -> dict[str, str]:
    """Returns the nodes that read or make a tensor of which the best 8 bits keep less than `MIN_SQNR_DB`, and why.

    Args:
        model: the float graph.
        statistics: of every value that may become integers.
        scheme: 8-bit activations.
        refused: names of nodes that stay float anyway.
        answers: names of values whose rare peaks are the model's answer; they are left alone.
    """
    found: dict[str, str] = {}
    allowance_db = SIGN_BIT_DB if scheme.symmetric else 0.0
    kept = _Kept(statistics, scheme, refused, answers)
    for node in model.graph:
        if node.name not in refused and _rule(node) is QuantRule.SHARED and not kept.follow(node, allowance_db):
            found[str(node.name)] = "8 bits hold its parts better when each has its own range"
    for node in model.graph:
        if node.name is None or node.name in refused or node.name in found:
            continue
        limit_db = MIN_SQNR_DB.get(_rule(node), MIN_SQNR_DB[QuantRule.COMPUTE]) - allowance_db
        lowest = min((kept.worst(name) for name in _quantized(node)), default=np.inf)
        if lowest < limit_db:
            found[node.name] = f"8 bits keep {lowest:.1f} dB of a tensor it reads or makes (limit {limit_db:g})"
    return found


@dataclass(frozen=True, slots=True)
class _Kept:
    """What 8 bits keep of each value. A part that is cut out of a tensor (Gather, Split, Slice) has its parameters."""

    statistics: Mapping[str, TensorStatistics]
    scheme: Scheme
    refused: Set[str]
    answers: Set[str]
    roots: dict[str, str] = field(default_factory=dict)
    lowest: dict[str, float] = field(default_factory=dict)

    def follow(self, node: ir.Node, allowance_db: float) -> bool:
        """Takes note of what an operator that moves values makes; False: it cuts up a float tensor better in float."""
        source = node.inputs[0]
        root = self.roots.get(str(source.name), str(source.name)) if source is not None else ""
        maker = source.producer() if source is not None else None
        made_in_float = maker is None or maker.name in self.refused
        names = [str(value.name) for value in node.outputs]
        parts = min((self._decibels(name, root) for name in names), default=np.inf)
        if made_in_float and parts < MIN_SQNR_DB[QuantRule.COMPUTE] - allowance_db:
            own = min((self._decibels(name, name) for name in names), default=np.inf)
            if own > parts:
                return False
        self.roots.update(dict.fromkeys(names, root))
        self.lowest[root] = min(parts, self.worst(root))
        return True

    def worst(self, name: str) -> float:
        """The SQNR in dB of that part of a value's whole tensor that keeps least."""
        root = self.roots.get(name, name)
        if root not in self.lowest:
            self.lowest[root] = self._decibels(root, root)
        return self.lowest[root]

    def _decibels(self, name: str, root: str) -> float:
        known = name in self.statistics and root in self.statistics and name not in self.answers
        if not known or not self.statistics[name].histogram.count:
            return np.inf
        part, whole = self.statistics[name].histogram, self.statistics[root].histogram
        with_everything = expected_sqnr_db(part, choose_params(whole, RangeRule(RangeMethod.MIN_MAX), self.scheme))
        if with_everything >= max(MIN_SQNR_DB.values()):
            return with_everything  # good enough, and a search takes a hundred times as long
        return expected_sqnr_db(part, choose_params(whole, RangeRule(RangeMethod.MSE), self.scheme))


def _rule(node: ir.Node) -> QuantRule:
    operator = OPERATORS.get(node.op_type)
    return QuantRule.FLOAT if operator is None else operator.quantization


def _quantized(node: ir.Node) -> Iterator[str]:
    """Names of what an integer operator reads and makes; behind a clamp that alone reads it, the clamp's output."""
    for value in node.inputs:
        if value is not None and value.const_value is None and _has_own_range(value):
            yield str(value.name)
    for value in node.outputs:
        readers = value.consumers()
        fused = len(readers) == 1 and not value.is_graph_output() and _rule(readers[0]) is QuantRule.CLAMP
        made = readers[0].outputs[0] if fused else value
        if _has_own_range(made):
            yield str(made.name)


def _has_own_range(value: ir.Value) -> bool:
    """False for what Softmax and the like make, whose parameters are fixed."""
    producer = value.producer()
    operator = None if producer is None else OPERATORS.get(producer.op_type)
    return operator is None or operator.fixed_output is None
