"""Arm's compiler for Ethos-U NPUs, Vela: runs it on an int8 TFLite file and reads what it placed where.

SRAM, flash, cycles and time are Vela's figures for a memory system that it assumes; nothing here was run on an NPU.
"""

from __future__ import annotations

import csv
import io
import math
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edgert.codec import JsonValue
from edgert.errors import EngineError, MissingExtraError
from edgert_converters.tflite.model import TfOperator, TfSubgraph
from edgert_converters.tflite.read import parse_tflite

__all__ = ["Compiled", "Estimates", "Placed", "Placement", "compile_for_npu", "find_vela", "parse_estimates", "place"]

PROGRAM = "vela"
_PACKAGE, _EXTRA = "ethos-u-vela", "ethos-u"
_NPU_OPERATOR = "ethos-u"
_TIMEOUT_S = 600
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Placed:
    """One operator of the model: `op` as in TFLite's schema, `output` the name of its first result."""

    op: str
    output: str
    macs: int


@dataclass(frozen=True, slots=True)
class Estimates:
    """Vela's figures for one inference under the memory system that it names; `clock_hz` is assumed, too."""

    system_config: str
    memory_mode: str
    clock_hz: int
    sram_bytes: int
    flash_bytes: int
    cycles: int
    inference_ms: float


@dataclass(frozen=True, slots=True)
class Placement:
    """What of a model runs on the NPU and what stays on the Cortex-M beside it."""

    target: str
    accelerator: str
    vela: str
    npu: tuple[Placed, ...]
    cpu: tuple[Placed, ...]
    estimates: Estimates

    @property
    def mac_share(self) -> float:
        """The NPU's share of the multiply-accumulates, 0 to 1; 0 for a model without any."""
        on_npu, on_cpu = (sum(layer.macs for layer in side) for side in (self.npu, self.cpu))
        return on_npu / (on_npu + on_cpu) if on_npu + on_cpu else 0.0

    @property
    def sentence(self) -> str:
        """One line for people."""
        count, known = len(self.npu) + len(self.cpu), self.estimates
        kinds = Counter(layer.op for layer in self.cpu)
        rest = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items())) or "none"
        return (
            f"{self.target}: {len(self.npu)} of {count} operators on the NPU, {self.mac_share:.1%} of the MACs; "
            f"on the CPU: {rest}; SRAM {known.sram_bytes:,} and flash {known.flash_bytes:,} bytes; Vela {self.vela} "
            f"estimates {known.cycles:,} cycles, {known.inference_ms:.3f} ms at {known.clock_hz / 1e6:.0f} MHz "
            f"({known.system_config}, {known.memory_mode}); an estimate, not measured"
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Returns the row of report.json."""
        return asdict(self) | {"mac_share": round(self.mac_share, 6), "estimates_are": "Vela's, not measured"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A TFLite file whose NPU parts are one custom operator each, and what went where."""

    data: bytes
    placement: Placement


def compile_for_npu(model: bytes, target: str, accelerator: str) -> Compiled:
    """Returns what Vela makes of a TFLite file.

    Args:
        model: the .tflite file.
        target: what the placement is called by.
        accelerator: as Vela's --accelerator-config takes it, such as ethos-u55-128.

    Raises:
        MissingExtraError: Vela is not installed.
        EngineError: Vela fails, or writes what edgert cannot read; the last line of its own words is repeated.
    """
    program = find_vela(target)
    version = _run([program, "--version"]).strip()
    with tempfile.TemporaryDirectory(prefix="edgert-vela-") as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(model)
        options = ["--accelerator-config", accelerator, "--output-dir", name]
        _run([program, *options, str(folder / "model.tflite")])
        compiled = folder / "model_vela.tflite"
        summaries = sorted(folder.glob("model_summary_*.csv"))
        if not compiled.is_file() or not summaries:
            raise EngineError(
                f"Vela {version} wrote no {compiled.name} with its summary; edgert knows {_PACKAGE} 5.2.0"
            )
        data, estimates = compiled.read_bytes(), parse_estimates(summaries[0].read_text())
    npu, cpu = place(parse_tflite(model).subgraphs[0], parse_tflite(data).subgraphs[0])
    return Compiled(data, Placement(target, accelerator, version, npu, cpu, estimates))


def parse_estimates(summary: str) -> Estimates:
    """Returns the figures of Vela's summary, a table of comma-separated values with one row.

    Raises:
        EngineError: a column is missing or holds no number.
    """
    row = next(csv.DictReader(io.StringIO(summary)), {})
    return Estimates(
        system_config=_text(row, "system_config"),
        memory_mode=_text(row, "memory_mode"),
        clock_hz=round(_number(row, "core_clock")),
        sram_bytes=round(_number(row, "sram_memory_used") * _KIB),
        flash_bytes=round(
            (_number(row, "on_chip_flash_memory_used") + _number(row, "off_chip_flash_memory_used")) * _KIB
        ),
        cycles=round(_number(row, "cycles_total")),
        inference_ms=_number(row, "inference_time") * 1e3,
    )


def place(model: TfSubgraph, compiled: TfSubgraph) -> tuple[tuple[Placed, ...], tuple[Placed, ...]]:
    """Returns the operators on the NPU and those on the CPU: Vela leaves the latter as they were, with their names."""
    kept = Counter(
        _key(operator, compiled)
        for operator in compiled.operators
        if not (operator.is_custom and operator.name == _NPU_OPERATOR)
    )
    npu: list[Placed] = []
    cpu: list[Placed] = []
    for operator in model.operators:
        key = _key(operator, model)
        (cpu if kept[key] > 0 else npu).append(
            Placed(operator.name, key[1][0] if key[1] else "", _macs(operator, model))
        )
        kept[key] -= 1
    return tuple(npu), tuple(cpu)


def _key(operator: TfOperator, graph: TfSubgraph) -> tuple[str, tuple[str, ...]]:
    return operator.name, tuple(graph.tensors[index].name for index in operator.outputs)


def _macs(operator: TfOperator, graph: TfSubgraph) -> int:
    """Multiply-accumulates of what has weights or multiplies matrices; 0 of everything else."""
    if operator.name not in {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"}:
        return 0
    shapes = [graph.tensors[index].shape for index in operator.inputs if index >= 0]
    made = math.prod(graph.tensors[operator.outputs[0]].shape)
    if operator.name == "TRANSPOSE_CONV":  # inputs: output shape, weights [outputs, rows, columns, inputs], x
        return math.prod(shapes[2]) * math.prod(shapes[1][:3])
    if operator.name == "BATCH_MATMUL":
        return made * shapes[0][-2 if operator.options.get("adj_x") else -1]
    if operator.name == "DEPTHWISE_CONV_2D":  # weights [1, rows, columns, outputs]
        return made * math.prod(shapes[1][1:3])
    return made * math.prod(shapes[1][1:])


def find_vela(target: str) -> str:
    """Returns the program: beside this Python, else on the PATH.

    Raises:
        MissingExtraError: Vela is not installed; `target` is what needs it.
    """
    places = (str(Path(sys.executable).parent), sysconfig.get_path("scripts"))
    found = next(filter(None, (shutil.which(PROGRAM, path=place) for place in places)), None) or shutil.which(PROGRAM)
    if found is None:
        raise MissingExtraError(_PACKAGE, _EXTRA, f"target {target} (its compiler, {PROGRAM}, is not on the PATH)")
    return found


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"Vela did not end within {_TIMEOUT_S} s; take a smaller model") from error
    except OSError as error:
        raise EngineError(f"cannot start {command[0]}: {error.strerror or error}; reinstall {_PACKAGE}") from error
    if done.returncode != 0:
        words = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise EngineError(f"Vela failed (exit code {done.returncode}): {words[-1] if words else 'without a word'}")
    return done.stdout


def _text(row: Mapping[str, str | None], column: str) -> str:
    value = row.get(column)
    if value is None:
        raise EngineError(f"Vela's summary has no column {column!r}; edgert knows that of {_PACKAGE} 5.2.0")
    return value


def _number(row: Mapping[str, str | None], column: str) -> float:
    value = _text(row, column)
    try:
        return float(value)
    except ValueError as error:
        raise EngineError(f"Vela's summary has {value!r} in column {column!r}, which is no number") from error
