"""Does the model still answer as it did when it was converted? Compared at every start, on this device, as it runs.

A bundle holds a few inputs and what each variant answered (golden.npz). Hashes and signatures say where a bundle is
from; this says whether what runs here is what was converted: changed weights, a wrong kernel or a broken engine differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Bundle
from edgert.errors import WrongAnswersError
from edgert.onboard.health import KnownAnswers
from edgert.runtime.plain_model import is_bundle
from edgert.runtime.session import Session

__all__ = [
    "OTHER_ENGINE_SHARE",
    "OTHER_ENGINE_STEPS",
    "SAME_ENGINE_SHARE",
    "SAME_ENGINE_STEPS",
    "check_known_answers",
]

Array = NDArray[Any]  # Any: element types are data

SAME_ENGINE_STEPS = 4.0
"""Quantization steps by which the engine of the conversion may differ on another processor. Measured on emulated
Cortex-A72 and A76 against x86: 0 for ProxylessNAS, ResNet20, DS-CNN and UltraFace, 3 for NanoDet-m (225 layers)."""
OTHER_ENGINE_STEPS = 24.0
"""The same for another engine or other kernels: single steps grow on the way. Measured: up to 18 (docs/verify.md)."""
SAME_ENGINE_SHARE = 1e-4
"""Of the largest magnitude of a float32 output. Measured as above: at most 1e-6."""
OTHER_ENGINE_SHARE = 2e-2
"""The same where anything computes in less than float32. Measured with OpenVINO: bf16 differs by 3e-3 to 1e-2."""
_STEPS, _SHARE = "steps", "share of the largest value"
_CONVERTED_WITH = {"onnx": ("onnxruntime", "CPUExecutionProvider"), "tflite": ("litert", "XNNPACK")}
"""Format of a variant -> engine and first provider that gave its golden outputs."""


@dataclass(frozen=True, slots=True)
class _Difference:
    """The largest of one output of one sample; `ratio` above 1 is too much."""

    output: str
    sample: int
    found: float
    allowed: float
    unit: str

    @property
    def ratio(self) -> float:
        return self.found / self.allowed

    def words(self) -> str:
        where = f"output {self.output!r} of sample {self.sample}"
        if math.isinf(self.found):
            return f"{where} is not finite where it was when it was converted, or the other way round"
        if self.unit == _STEPS:
            return f"{where} is {self.found:g} steps from what was converted (allowed: {self.allowed:g})"
        return f"{where} is {self.found:.2g} of its largest value from what was converted (allowed: {self.allowed:g})"


def check_known_answers(path: Path, session: Session) -> KnownAnswers | None:
    """Runs the golden inputs of a bundle; None where it holds none for this variant.

    Args:
        path: the bundle, or a plain model file, which holds none.
        session: of one of its variants.

    Raises:
        WrongAnswersError: an output differs by more than allowed; says which.
        BundleError: the golden outputs are damaged.
    """
    if not is_bundle(path):
        return None
    with Bundle.open(path) as bundle:
        golden = bundle.golden()
    prefix = f"{session.variant.id}/"
    expected = {name.removeprefix(prefix): array for name, array in golden.items() if name.startswith(prefix)}
    inputs = {spec.name: golden[f"input/{spec.name}"] for spec in session.inputs if f"input/{spec.name}" in golden}
    count = min((len(array) for array in (*expected.values(), *inputs.values())), default=0)
    if not count or not expected or len(inputs) < len(session.inputs):
        return None
    worst = max(_differences(session, inputs, expected, count), key=lambda difference: difference.ratio)
    if not worst.ratio <= 1:
        raise WrongAnswersError(f"the model's answers are wrong: {worst.words()}")
    return KnownAnswers(count, round(worst.found, 9), worst.allowed, worst.unit)


def _differences(
    session: Session, inputs: Mapping[str, Array], expected: Mapping[str, Array], count: int
) -> Iterator[_Difference]:
    for index in range(count):
        session.reset()  # a streaming model answers to the samples before it as well
        outputs = session.run({name: array[index] for name, array in inputs.items()})
        for name, wanted in expected.items():
            got = outputs.get(name)
            if got is None or got.shape != wanted[index].shape:
                found = "is missing" if got is None else f"has shape {list(got.shape)}"
                shape = list(wanted[index].shape)
                raise WrongAnswersError(f"the model's answers are wrong: output {name!r} {found}, not shape {shape}")
            yield _difference(session, name, index, got, wanted[index])
    session.reset()


def _difference(session: Session, name: str, index: int, got: Array, wanted: Array) -> _Difference:
    real, ideal = got.astype(np.float64), wanted.astype(np.float64)
    is_same, quant = _is_same_engine(session), session.quant_of(name)
    finite = np.isfinite(ideal)
    if not np.array_equal(real[~finite], ideal[~finite], equal_nan=True) or not np.isfinite(real[finite]).all():
        return _Difference(name, index, math.inf, 1.0, _SHARE)
    error = np.zeros(ideal.shape)
    error[finite] = np.abs(real[finite] - ideal[finite])
    if quant is not None:
        steps = round(float((error / quant.scale_array(error.ndim)).max(initial=0.0)), 3)
        return _Difference(name, index, steps, SAME_ENGINE_STEPS if is_same else OTHER_ENGINE_STEPS, _STEPS)
    scale = float(np.abs(ideal[finite]).max(initial=0.0)) or 1.0
    is_float32 = is_same and session.variant.precision == "fp32"
    share = float(error.max(initial=0.0)) / scale
    return _Difference(name, index, share, SAME_ENGINE_SHARE if is_float32 else OTHER_ENGINE_SHARE, _SHARE)


def _is_same_engine(session: Session) -> bool:
    facts = session.facts()
    providers = facts.get("providers")
    first = providers[0] if isinstance(providers, list | tuple) and providers else None
    return _CONVERTED_WITH.get(session.variant.format) == (facts.get("engine"), first)
