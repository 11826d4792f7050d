"""edgert's own chain in a process of its own, as the peers run.

    python -m tests.bench.quantization.edgert_side MODEL CALIBRATION.npz SETTING OUT.onnx

A setting is words joined by commas, read from left to right: `default`, `none`, an algorithm with + or - before it,
`ranges=METHOD`, and a scheme (`symmetric`, `int4`, `per-tensor`). Activations are written as uint8, which is what is
fast on x86; the integers are those of int8, shifted by 128.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
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
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.scheme import INT8, Granularity, Scheme
from tests.bench.quantization.data import ROOT
from tests.bench.quantization.process import report

SCHEMES = {
    "symmetric": {"symmetric": True},
    "int4": {"weight_bits": 4},
    "per-tensor": {"granularity": Granularity.TENSOR},
}


@dataclass(frozen=True)
class Cell:
    """What a setting means."""

    settings: Settings
    scheme: Scheme


def parse_setting(text: str) -> Cell:
    """Returns what the words of a setting mean.

    Raises:
        ValueError: an unknown word.
    """
    algorithms: frozenset[Algorithm] = frozenset()
    ranges, scheme = RangeRule(), INT8
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
        elif word in SCHEMES:
            scheme = replace(scheme, **SCHEMES[word])
        else:
            raise ValueError(f"unknown word {word!r} in setting {text!r}")
    return Cell(Settings(ranges, algorithms), scheme)


def quantize(model: Path, samples: Callable[[], Iterator[NDArray[np.float32]]], count: int, cell: Cell) -> bytes:
    """Returns the quantized ONNX file; `samples` gives `count` arrays without batch axis, anew at each call."""
    imported = import_model(model, {})
    (port,) = imported.inputs

    def stream() -> Iterator[Mapping[str, NDArray[np.float32]]]:
        return ({port.name: sample[None]} for sample in samples())

    calibration = Calibration(stream, count, lambda *_: None)
    prepared = prepare(strip_quantization(imported.model), calibration, cell.settings)
    draft = plan_draft(prepared, cell.scheme, calibration, cell.settings)
    return serialize(apply_plan(draft.model, draft.final, DType.UINT8))


def main() -> None:
    model, calibration, setting, output = sys.argv[1:]
    samples = np.load(calibration)["x"]
    cell = parse_setting(setting)

    def make() -> None:
        Path(output).write_bytes(quantize(Path(model), lambda: iter(samples), len(samples), cell))

    report(_version(), make)


def _version() -> str:
    asked = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, cwd=ROOT, check=False).stdout.strip()
    return f"edgert {edgert.__version__} {commit}".strip()


if __name__ == "__main__":
    main()
