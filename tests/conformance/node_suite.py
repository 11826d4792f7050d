"""ONNX's own operator tests (the backend node tests of the `onnx` package) through the importer, the interpreter and
ONNX Runtime.

Every case runs in two forms. `inputs`: its tensors are model inputs, except those that exporters write as constants
(shapes, axes, counts). `constants`: all of them are constants, so constant folding computes what it can.
"""

from __future__ import annotations

import collections
import functools
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx_ir as ir
import tomllib
from onnx import numpy_helper

from edgert.errors import EdgertError
from edgert.plugins import EngineOptions
from edgert_converters.engine import load_runner
from edgert_converters.importers.normalise import normalise
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import Array

FORMS: Final = ("inputs", "constants")
STAGES: Final = ("import", "interpreter", "ONNX Runtime")
TOLERANCES: Final = {"float64": 1e-12, "float32": 2e-5, "float16": 1e-3}
"""Largest difference as a share of the largest magnitude: both sides round sums in different orders."""
WRITTEN_WITH_FEW_DIGITS: Final = {
    "test_averagepool_2d_ceil_last_window_starts_on_pad": 2e-4,
    "test_roialign_aligned_false": 1e-4,
    "test_roialign_aligned_true": 1e-4,
}
"""Cases whose expected values stand in the suite as decimals of four digits."""
DEFINED_BY_OTHERS: Final = frozenset({"RMSNormalization", "RotaryEmbedding", "Swish"})
"""Operators newer than the working opset: the importer puts ONNX's definition in their place."""
_EXCLUSIONS: Final = Path(__file__).with_name("node_suite_exclusions.toml")
_STANDARD: Final = {"", "ai.onnx"}
_CONSTANT_OPERANDS: Final[Mapping[str, tuple[int, ...]]] = {
    "AffineGrid": (1,),
    "Col2Im": (1, 2),
    "ConstantOfShape": (0,),
    "CumSum": (1,),
    "Div": (1,),
    "Dropout": (1, 2),
    "Expand": (1,),
    "MaxUnpool": (1, 2),
    "Mod": (1,),
    "NonMaxSuppression": (2, 3, 4),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "RoiAlign": (1, 2),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
} | {name: (1,) for name in OPERATORS if name.startswith("Reduce")}
"""Operands that the importer's random data would not fit and that stand as constants in real models."""


@dataclass(frozen=True, slots=True)
class SuiteCase:
    """One case of the suite; `operator` is the operator it was written for, also where a function body stands for it.

    `tensors` and `expected` hold one entry per model input and output; None for what is not a tensor.
    """

    name: str
    operator: str
    model: onnx.ModelProto
    tensors: Mapping[str, Array | None]
    expected: tuple[Array | None, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far one case came: the stage that failed, or None, and what it said."""

    failed: str | None
    message: str = ""
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Cases that cannot pass, in node_suite_exclusions.toml; that file says what the fields mean."""

    reason: str
    shows: str
    name: str = ".*"
    inputs: str = ""
    outputs: str = ""
    forms: tuple[str, ...] = FORMS
    may_pass: bool = False

    def covers(self, case: SuiteCase, form: str) -> bool:
        """True when this row speaks of the case in this form."""
        return (
            form in self.forms
            and re.fullmatch(self.name, case.name.removeprefix("test_")) is not None
            and _holds(self.inputs, case.model.graph.input)
            and _holds(self.outputs, case.model.graph.output)
        )


def _holds(pattern: str, values: Iterable[onnx.ValueInfoProto]) -> bool:
    """True when the pattern is empty or matches the element type of one of the values."""
    kinds = [onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type) for value in values]
    return not pattern or any(re.fullmatch(pattern, kind) for kind in kinds)


@functools.cache
def exclusions() -> tuple[Exclusion, ...]:
    """Returns the rows of node_suite_exclusions.toml."""
    rows = tomllib.loads(_EXCLUSIONS.read_text(encoding="utf-8"))["exclusion"]
    return tuple(Exclusion(**{key: tuple(v) if key == "forms" else v for key, v in row.items()}) for row in rows)


@functools.cache
def all_cases() -> tuple[SuiteCase, ...]:
    """Returns every case whose operators are all in the operator table, sorted by name."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite's own numpy arithmetic overflows on purpose
        found = {case.name: case for case in collect_testcases(None) if case.model is not None}
    chosen = []
    for name, case in sorted(found.items()):
        if not _operators(case.model.graph) <= OPERATORS.keys() | DEFINED_BY_OTHERS:
            continue
        origin = found.get(re.sub(r"_expanded(_ver\d+)?$", "", name), case)
        inputs, outputs = case.data_sets[0]
        names = [value.name for value in case.model.graph.input]
        tensors = {port: _tensor(value) for port, value in zip(names, inputs, strict=True)}
        operator = origin.model.graph.node[0].op_type
        chosen.append(SuiteCase(name, operator, case.model, tensors, tuple(_tensor(value) for value in outputs)))
    return tuple(chosen)


@functools.cache
def suite_size() -> int:
    """Returns how many cases the suite has, whatever their operators."""
    from onnx.backend.test.case.node import collect_testcases

    return len(collect_testcases(None))


_OUTCOMES: Final[dict[tuple[str, str], tuple[Outcome, str]]] = {}
"""What ran in this process: the outcome, and the reason where an exclusion expected it."""


def judge(case: SuiteCase, form: str) -> str:
    """Runs one case in one form, remembers it for the summary, and returns what is wrong, or nothing."""
    outcome = run_case(case, form)
    rows = [row for row in exclusions() if row.covers(case, form)]
    expected = next((row for row in rows if outcome.failed and re.search(row.shows, outcome.message)), None)
    _OUTCOMES[case.name, form] = (outcome, expected.reason if expected else "")
    if outcome.failed and not expected:
        return f"{case.name}, {form}: {outcome.failed}: {outcome.message}"
    if not outcome.failed and any(not row.may_pass for row in rows):
        return f"{case.name}, {form}: passes, but node_suite_exclusions.toml excludes it"
    return ""


def summary() -> list[str]:
    """Returns the pass rate per form and stage and the exclusions by reason; nothing when no case ran."""
    if not _OUTCOMES:
        return []
    lines = [f"ONNX node suite: {len(all_cases())} of {suite_size()} cases hold only operators of the table"]
    for form in FORMS:
        outcomes = [outcome for (_, ran), (outcome, _) in _OUTCOMES.items() if ran == form]
        counts = []
        for position, stage in enumerate(STAGES):
            failed = sum(outcome.failed in STAGES[: position + 1] for outcome in outcomes)
            counts.append(f"{stage} {len(outcomes) - failed}")
        folded = sum(outcome.folded for outcome in outcomes)
        lines.append(f"  {form}: {', '.join(counts)} of {len(outcomes)}; folded to constants {folded}")
    reasons = collections.Counter(reason for _, reason in _OUTCOMES.values() if reason)
    lines += [f"  excluded {count}: {reason}" for reason, count in reasons.most_common()]
    return lines


def prepare(case: SuiteCase, form: str) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Returns the case's model in one form and what to feed it."""
    proto = onnx.ModelProto()
    proto.CopyFrom(case.model)
    feed = {name: array for name, array in case.tensors.items() if array is not None}
    constants = set(feed) if form == "constants" else set(_constant_operands(proto.graph)) & set(feed)
    for name in sorted(constants):
        proto.graph.initializer.append(numpy_helper.from_array(feed.pop(name), name))
    return proto, feed


def run_case(case: SuiteCase, form: str) -> Outcome:
    """Returns how far one case comes in one form."""
    if any(value is None for value in (*case.tensors.values(), *case.expected)):
        return Outcome("import", "an input or output is not a tensor")
    proto, feed = prepare(case, form)
    try:
        shapes = {name: array.shape for name, array in feed.items() if array.size}
        normalised = normalise(proto, shapes, Path(case.name))
        model = ir.from_proto(onnx.load_model_from_string(normalised.serialized))
    except EdgertError as error:
        return Outcome("import", str(error))
    for stage, run in (("interpreter", _interpret), ("ONNX Runtime", _run_engine)):
        try:
            found = run(model, feed)
        except EdgertError as error:
            return Outcome(stage, str(error))
        names = [str(value.name) for value in model.graph.outputs]
        differing = compare(case, [found[name] for name in names])
        if differing:
            return Outcome(stage, differing)
    return Outcome(None, folded=all(node.op_type == "Identity" for node in model.graph))


def compare(case: SuiteCase, found: list[Array]) -> str:
    """Returns what differs from the suite's outputs, or nothing."""
    for index, (ours, theirs) in enumerate(zip(found, case.expected, strict=True)):
        assert theirs is not None
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            return f"output {index} is {ours.dtype}{ours.shape}, not {theirs.dtype}{theirs.shape}"
        share = _difference(ours, theirs)
        allowed = WRITTEN_WITH_FEW_DIGITS.get(case.name, TOLERANCES.get(ours.dtype.name, 0.0))
        if not share <= allowed:
            return f"output {index} differs by {share:.2g} of its largest magnitude"
    return ""


def _difference(ours: Array, theirs: Array) -> float:
    if ours.dtype.name not in TOLERANCES:
        return 0.0 if np.array_equal(ours, theirs) else float("inf")
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    difference, largest = np.abs(a[finite] - b[finite]).max(), np.abs(b[finite]).max()
    return float(difference / largest) if largest else float(difference)


def _interpret(model: ir.Model, feed: Mapping[str, Array]) -> dict[str, Array]:
    return Interpreter(model).run({v.name: feed[v.name] for v in model.graph.inputs if v.name}).outputs


def _run_engine(model: ir.Model, feed: Mapping[str, Array]) -> dict[str, Array]:
    return load_runner(model, options=EngineOptions(threads=1))(feed)


def _tensor(value: Any) -> Array | None:  # Any: the suite holds arrays, scalars, tensor protos, lists and None
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, (np.ndarray, np.generic, int, float)):
        return np.asarray(value)
    return None


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _operators(graph: onnx.GraphProto) -> set[str]:
    """Returns operators by name; those of other domains with the domain, so that the table does not hold them."""
    return {n.op_type if n.domain in _STANDARD else f"{n.domain}::{n.op_type}" for n in _nodes(graph)}


def _constant_operands(graph: onnx.GraphProto) -> Iterator[str]:
    for node in _nodes(graph):
        for index in _CONSTANT_OPERANDS.get(node.op_type, ()):
            if index < len(node.input):
                yield node.input[index]
