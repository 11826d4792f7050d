"""Every operator's own cases, quantized, as C: the integers of the interpreter in both requantization modes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from edgert.bundle import TensorSpec
from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert_converters.exporters.c import CFolder, Core, export_c
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.case_models import build_float_model, build_qdq_model
from edgert_converters.ops.spec import Array, Case, Operator
from edgert_converters.requantize import Requantize, set_requantize
from edgert_converters.tflite.layout import channels_last
from tests.microcontrollers.c_program import SANITIZERS, WARNINGS, read_kernel
from tests.microcontrollers.many_models import compile_models, run_model

OPTIONS: Final = ("-O1", "-std=c99", *WARNINGS, *SANITIZERS)
CASES: Final = [
    (spec, case)
    for spec in OPERATORS.values()
    if spec.to_tflite is not None and spec.integer is not None
    for case in spec.cases
]
# Cases that do not become C, and words of the reason.
REFUSED: Final = {
    "Conv 3d": "CONV_3D cannot become C: there is no kernel for it",
    "ReduceMean drop_axes": "are not neighbours",
    "ReduceSum drop_axes": "are not neighbours",
}
FLOAT_CASES: Final = [(spec, case) for spec in OPERATORS.values() if spec.to_tflite is not None for case in spec.cases]
# Of the largest output, or of 1: functions and sums in another order than the reference's.
FLOAT_TOLERANCE: Final = 1e-5
# Where the TFLite form computes between DEQUANTIZE and QUANTIZE, a rule of whole numbers is met within one step.
STEPS_WITH_FLOATS: Final = 1


@dataclass(frozen=True, slots=True)
class Made:
    """A case as C: what it is fed, and what the interpreter says."""

    name: str
    folder: CFolder
    feed: dict[str, Array]
    expected: list[Array]

    @property
    def has_floats(self) -> bool:
        """True where some layer computes with floats."""
        return any(buffer.dtype is DType.FLOAT for buffer in self.folder.network.buffers)


def _build(spec: Operator, case: Case, mode: Requantize) -> Made | None:
    """Returns None where TFLite, which C is written from, cannot express the case.

    Raises:
        ModelError: there is no kernel.
    """
    built = build_qdq_model(spec, case, DType.INT8)
    if built is None:
        return None
    model, feed = built
    set_requantize(model, mode)
    try:
        file = export_tflite(model)
    except ModelError:
        return None
    name = f"{spec.op_type}_{case.name}_{mode.value}".lower()
    folder = export_c(model, Core("host"), read_kernel, name=name)
    found = {**feed, **Interpreter(model).run(dict(feed)).outputs}
    stored = {item.name: _as_stored(found[item.name], item) for item in (*file.inputs, *file.outputs)}
    names = [folder.network.buffers[index].name for index in folder.network.inputs]
    fed = {name: stored[item.name] for name, item in zip(names, file.inputs, strict=True)}
    return Made(name, folder, fed, [stored[item.name].reshape(-1) for item in file.outputs])


def _largest_step(found: Array, wanted: Array) -> int:
    return int(np.abs(found.astype(np.int64) - wanted.astype(np.int64)).max(initial=0))


def _as_stored(array: Array, spec: TensorSpec) -> Array:
    return np.transpose(array, channels_last(array.ndim)) if spec.layout else array


def _build_all(cases: Sequence[tuple[Operator, Case]]) -> tuple[list[Made], dict[str, str]]:
    """Returns every case that becomes C, and why the others do not."""
    made, refused = [], {}
    for spec, case in cases:
        for mode in Requantize:
            try:
                item = _build(spec, case, mode)
            except ModelError as error:
                refused[f"{spec.op_type} {case.name} {mode.value}"] = str(error)
                continue
            if item is not None:
                made.append(item)
    return made, refused


FIRST: Final = list({spec.op_type: (spec, case) for spec, case in reversed(CASES)}.values())


@pytest.mark.parametrize(("cases", "least"), [(FIRST, 110), pytest.param(CASES, 365, marks=pytest.mark.slow)])
def test_cases_give_the_interpreters_integers(
    cases: Sequence[tuple[Operator, Case]], least: int, tmp_path: Path
) -> None:
    made, refused = _build_all(cases)
    program = compile_models([item.folder for item in made], tmp_path, OPTIONS)
    wrong = []
    for number, item in enumerate(made):
        (found,) = run_model(program, number, item.folder, [item.feed])
        steps = max(_largest_step(got, wanted) for got, wanted in zip(found, item.expected, strict=True))
        if steps > STEPS_WITH_FLOATS * item.has_floats:
            wrong.append(item.name)
    assert not wrong
    assert len(made) >= least
    expected = {f"{case} {mode.value}": words for case, words in REFUSED.items() for mode in Requantize}
    for case, text in refused.items():
        assert expected[case] in text


def _build_float(spec: Operator, case: Case) -> Made | None:
    """Returns a float case as C, or None where it is none: refused by name, or without computed inputs."""
    model = build_float_model(spec, case)
    try:
        file = export_tflite(model)
        folder = export_c(model, Core("host"), read_kernel, name=f"{spec.op_type}_{case.name}".lower())
    except ModelError:
        return None
    feed = {item.name: case.inputs[int(item.name[1:])] for item in file.inputs}
    if not feed:
        return None
    given = {name: np.asarray(array) for name, array in feed.items()}
    found = {**given, **Interpreter(model).run(given).outputs}
    stored = {item.name: _as_stored(found[item.name], item) for item in (*file.inputs, *file.outputs)}
    buffers = [folder.network.buffers[index] for index in folder.network.inputs]
    fed = {
        buffer.name: stored[item.name].astype(buffer.dtype.numpy)
        for buffer, item in zip(buffers, file.inputs, strict=True)
    }
    return Made(folder.network.name, folder, fed, [stored[item.name].reshape(-1) for item in file.outputs])


def _is_close(found: Array, wanted: Array) -> bool:
    given, real = found.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(real)
    largest = max(float(np.abs(real[finite]).max(initial=0)), 1.0)
    is_equal = np.array_equal(given[~finite], real[~finite], equal_nan=True)
    return is_equal and bool(np.abs(given[finite] - real[finite]).max(initial=0) <= FLOAT_TOLERANCE * largest)


FIRST_FLOAT: Final = list({spec.op_type: (spec, case) for spec, case in reversed(FLOAT_CASES)}.values())


@pytest.mark.parametrize(
    ("cases", "least"), [(FIRST_FLOAT, 90), pytest.param(FLOAT_CASES, 240, marks=pytest.mark.slow)]
)
def test_float_cases_give_the_interpreters_numbers(
    cases: Sequence[tuple[Operator, Case]], least: int, tmp_path: Path
) -> None:
    made = [item for spec, case in cases if (item := _build_float(spec, case)) is not None]
    program = compile_models([item.folder for item in made], tmp_path, OPTIONS)
    wrong = []
    for number, item in enumerate(made):
        (found,) = run_model(program, number, item.folder, [item.feed])
        if not all(_is_close(got, wanted) for got, wanted in zip(found, item.expected, strict=True)):
            wrong.append(item.name)
    assert not wrong
    assert len(made) >= least
