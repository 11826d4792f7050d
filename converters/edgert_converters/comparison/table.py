"""Generates docs/engines.md: how far each engine's integers lie from the interpreter's, operator by operator.

python -m edgert_converters.comparison.table            write docs/engines.md; exit code 1 where an engine is missing
python -m edgert_converters.comparison.table Conv Add   print these rows
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgert.dtypes import DType
from edgert.errors import EngineError, ModelError
from edgert.quant import dequantize
from edgert.runtime.cpu import dot_product
from edgert_converters.comparison.isolated import compare_unit, known_values
from edgert_converters.comparison.onnxruntime_peer import OnnxRuntimePeer
from edgert_converters.comparison.peer import Known, Peer, Subject
from edgert_converters.comparison.tflite_form import ExportedForm
from edgert_converters.comparison.tflite_peer import litert_reference, litert_xnnpack, tflm
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.case_models import build_qdq_model, case_node
from edgert_converters.ops.spec import Array, Case, Operator
from edgert_converters.requantize import Requantize, set_requantize
from edgert_converters.units import static_params

__all__ = ["COLUMNS", "PAGE", "Cell", "Column", "main", "measure", "measured_on", "render_page", "render_row"]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "engines.md"
_RANDOM_SETS = 2


@dataclass(frozen=True, slots=True)
class Column:
    """One engine with one set of kernels, judged in one mode and encoding."""

    title: str
    make: Callable[[], Peer]
    encoding: DType
    mode: Requantize


COLUMNS = (
    Column("ONNX Runtime uint8", OnnxRuntimePeer, DType.UINT8, Requantize.FP32),
    Column("ONNX Runtime int8", OnnxRuntimePeer, DType.INT8, Requantize.FP32),
    Column("LiteRT XNNPACK", litert_xnnpack, DType.INT8, Requantize.FP32),
    Column("LiteRT reference", litert_reference, DType.INT8, Requantize.FP32),
    Column("TFLM", tflm, DType.INT8, Requantize.FP32),
    Column("LiteRT reference, q31", litert_reference, DType.INT8, Requantize.Q31),
    Column("TFLM, q31", tflm, DType.INT8, Requantize.Q31),
)


@dataclass(slots=True)
class Cell:
    """What one column found over all cases of one operator; `missing` counts the cases that it cannot run."""

    max_steps: int = 0
    differing: int = 0
    count: int = 0
    missing: int = 0
    in_float: bool = False
    without_xnnpack: bool = False

    def text(self) -> str:
        """Returns the largest difference, the share of differing values, and letters that the page explains."""
        if not self.count:
            return "-"
        percent = 100 * self.differing / self.count
        share = f" ({percent:{'.2g' if percent < 10 else '.0f'}} %)" if self.differing else ""
        letters = "f" * self.in_float + "b" * self.without_xnnpack + "p" * bool(self.missing)
        return f"{self.max_steps}{share}{' ' if letters else ''}{letters}"


def measure(spec: Operator, column: Column) -> Cell:
    """Compares one operator's cases in one column.

    Each case is quantized with the ranges of its own data and run on that and on two sets of uniformly random integers.
    """
    cell, peer = Cell(), column.make()
    for case in spec.cases:
        built = build_qdq_model(spec, case, column.encoding)
        if built is not None:
            _add_case(cell, peer, column, _Quantized(spec, case, *built))
    return cell


def render_row(spec: Operator) -> str:
    """Returns one line of the page."""
    cells = [measure(spec, column).text() for column in COLUMNS]
    return f"| {spec.op_type} | {' | '.join(cells)} | this x86 |\n"


def render_page() -> str:
    """Returns docs/engines.md, measured on this computer.

    Raises:
        EngineError: an engine is not installed.
    """
    rows = "".join(render_row(OPERATORS[name]) for name in sorted(OPERATORS) if OPERATORS[name].integer is not None)
    titles = ("operator", *(column.title for column in COLUMNS), "measured on")
    header = f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|\n"
    return f"{_HEAD.format(measured_on=measured_on())}{header}{rows}"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command described in the module docstring; returns the exit code."""
    parser = argparse.ArgumentParser(prog="edgert_converters.comparison.table", description="engines against the rule")
    parser.add_argument("operators", nargs="*", metavar="OPERATOR", help="print only these rows")
    options = parser.parse_args(arguments)
    if options.operators:
        for name in options.operators:
            sys.stdout.write(render_row(OPERATORS[name]))
        return 0
    try:
        page = render_page()
    except EngineError as error:
        sys.stderr.write(f"{PAGE.name} stays as it is: {error}\n")
        return 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


@dataclass(frozen=True, slots=True)
class _Quantized:
    """A case in QDQ form with its own integers."""

    spec: Operator
    case: Case
    model: ir.Model
    feeds: dict[str, Array]

    def inputs(self) -> Iterator[Known]:
        """Yields the case's own integers and random ones; those without a finite result have no right answer."""
        yield self.feeds
        rng = np.random.default_rng(len(self.case.name))
        for _ in range(_RANDOM_SETS):
            feeds = {name: _random_like(array, rng) for name, array in self.feeds.items()}
            if self._is_finite(feeds):
                yield feeds

    def _is_finite(self, feeds: Known) -> bool:
        inputs = list(self.case.inputs)
        for node in self.model.graph:
            source = str(node.inputs[0].name) if node.inputs[0] is not None else ""
            if node.op_type == "DequantizeLinear" and source in feeds:
                position = int(source.removeprefix("x").removesuffix("_q"))
                inputs[position] = dequantize(feeds[source], static_params(node, feeds[source].ndim))
        with np.errstate(all="ignore"):
            results = self.spec.reference(case_node(self.spec, self.case), inputs)
        return all(np.isfinite(y).all() for y in results)


def _add_case(cell: Cell, peer: Peer, column: Column, quantized: _Quantized) -> None:
    model = quantized.model
    set_requantize(model, column.mode)
    interpreter = Interpreter(model)
    if len(interpreter.units) != 1:
        return
    try:
        samples = [known_values(interpreter, feeds) for feeds in quantized.inputs()]
        row = compare_unit(peer, Subject(model, ExportedForm(model)), interpreter.units[0], samples)
    except (ModelError, EngineError):
        cell.missing += 1
        return
    cell.max_steps = max(cell.max_steps, row.max_steps)
    cell.differing += row.differing
    cell.count += row.count
    cell.in_float |= not row.is_fused or "DEQUANTIZE" in row.kernels
    cell.without_xnnpack |= peer.name == "litert-xnnpack" and any(name.startswith("built-in") for name in row.kernels)


def _random_like(array: Array, rng: np.random.Generator) -> Array:
    if array.dtype not in {np.dtype(np.int8), np.dtype(np.uint8)}:
        return array
    low, high = DType.from_numpy(array.dtype).integer_range
    return rng.integers(low, high, array.shape, endpoint=True).astype(array.dtype)


def measured_on() -> str:
    """Returns what the page says of this computer and its engines.

    Raises:
        EngineError: an engine is not installed.
    """
    engines = []
    for name, make in _ENGINES:
        version = make().version()
        if version is None:
            raise EngineError(f"the page needs every engine: {make().hint()}")
        engines.append(f"{name} {version}")
    return f"{platform.machine()} with dot product `{dot_product().value}`; {', '.join(engines)}; 1 thread"


_ENGINES: Sequence[tuple[str, Callable[[], Peer]]] = (
    ("ONNX Runtime", OnnxRuntimePeer),
    ("LiteRT", litert_xnnpack),
    ("tflite-micro", tflm),
)

_HEAD = """# Engines against the integer rules

Generated by `make docs` (`python -m edgert_converters.comparison.table`); do not edit.
Measured on {measured_on}.

Each operator alone, integers in and out, against the integer interpreter ([numerics.md](numerics.md)): every case of
the operator table that has an integer form, quantized with the ranges of the case's data, on that data and on two sets
of uniformly random integers (where those have a finite result). A cell is the largest difference in quantization steps
and the share of differing values.

- The first five columns judge by `fp32` requantization, which is what edgert makes; the last two by `q31`, what
  imported .tflite files carry and TensorFlow Lite Micro's reference kernels compute.
- Each engine is judged in the encoding that its kernels compute in. *ONNX Runtime int8* is a graph with int8
  activations inside a model: ONNX Runtime on x86 makes uint8 of them where it can.
- `-`: no case has a form for this engine. `p`: some cases have none. `f`: at least one case ran in float between
  integers. `b`: XNNPACK left at least one case to LiteRT's built-in kernels.

"""


if __name__ == "__main__":
    raise SystemExit(main())
