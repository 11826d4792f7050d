"""edgert's own chain in a process of its own, as the peers run.

    python -m tests.bench.quantization.edgert_side MODEL CALIBRATION.npz SETTING OUT.onnx

A setting is words joined by commas, read from left to right: `default`, `none`, an algorithm with + or - before it,
`ranges=METHOD`, `limit=SECONDS` of each step that optimises, and a name of `--precision`. int8 activations are written
as uint8, which is what is fast on x86; the integers are the same, shifted by 128.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edgert
from edgert.dtypes import DType
from edgert.recipe import DEFAULT_ALGORITHMS, Algorithm, RangeMethod
from edgert_converters.exporters.onnx import serialize
from edgert_converters.importers import import_model
from edgert_converters.quantize.chain import plan_draft, prepare
from edgert_converters.quantize.draft import Calibration, Settings
from edgert_converters.quantize.existing import strip_quantization
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.matrix import STATIC
from edgert_converters.quantize.precisions import PRECISIONS, Precision
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.tensorrt_form import apply_for_tensorrt
from tests.bench.quantization.data import ROOT
from tests.bench.quantization.process import report


@dataclass(frozen=True)
class Cell:
    """What a setting means."""

    settings: Settings
    precision: Precision


@dataclass(frozen=True)
class Made:
    """An ONNX file and how many of its operators stayed float."""

    data: bytes
    float_layers: int


def parse_setting(text: str) -> Cell:
    """Returns what the words of a setting mean.

    Raises:
        ValueError: an unknown word.
    """
    algorithms: frozenset[Algorithm] = frozenset()
    ranges, precision, limit_s = RangeRule(), PRECISIONS["int8"], Settings().time_limit_s
    for word in text.split(","):
        if word == "default":
            algorithms = frozenset(DEFAULT_ALGORITHMS)
        elif word == "none":
            algorithms = frozenset()
        elif word.startswith("+"):
            algorithms |= {Algorithm(word[1:])}
        elif word.startswith("-"):
            algorithms -= {Algorithm(word[1:])}
        elif word.startswith("ranges="):
            ranges = RangeRule(RangeMethod(word.removeprefix("ranges=")))
        elif word.startswith("limit="):
            limit_s = float(word.removeprefix("limit="))
        elif word in PRECISIONS and PRECISIONS[word].quantizer is STATIC:
            precision = PRECISIONS[word]
        else:
            raise ValueError(f"unknown word {word!r} in setting {text!r}")
    return Cell(Settings(ranges, algorithms, limit_s), precision)


def quantize(model: Path, samples: Callable[[], Iterator[NDArray[np.float32]]], count: int, cell: Cell) -> Made:
    """Returns the quantized model; `samples` gives `count` arrays without batch axis, anew at each call."""
    imported = import_model(model, {})
    (port,) = imported.inputs

    def stream() -> Iterator[Mapping[str, NDArray[np.float32]]]:
        return ({port.name: sample[None]} for sample in samples())

    calibration = Calibration(stream, count, lambda *_: None)
    prepared = prepare(strip_quantization(imported.model), calibration, cell.settings)
    scheme = cell.precision.cell.scheme
    draft = plan_draft(prepared, scheme, calibration, cell.settings)
    if scheme.symmetric:
        graph = apply_for_tensorrt(draft.model, draft.final)
    else:
        graph = apply_plan(draft.model, draft.final, DType.UINT8 if scheme.activation is DType.INT8 else DType.INT16)
    return Made(serialize(graph), len(draft.final.float_layers))


def main() -> None:
    model, calibration, setting, output = sys.argv[1:]
    samples = np.load(calibration)["x"]
    cell = parse_setting(setting)

    def make() -> str:
        made = quantize(Path(model), lambda: iter(samples), len(samples), cell)
        Path(output).write_bytes(made.data)
        return f"{made.float_layers} operators float" if made.float_layers else ""

    report(_version(), make)


def _version() -> str:
    asked = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, cwd=ROOT, check=False).stdout.strip()
    return f"edgert {edgert.__version__} {commit}".strip()


if __name__ == "__main__":
    main()
