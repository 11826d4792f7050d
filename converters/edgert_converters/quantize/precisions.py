"""The names of `--precision`: each stands for one cell of the matrix and says in which files it exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from edgert.errors import UsageError
from edgert_converters.quantize.matrix import (
    BLOCK_SIZES,
    Activation,
    Cell,
    Quantizer,
    find_quantizer,
)
from edgert_converters.quantize.scheme import Granularity

__all__ = ["AUTO", "FORMATS", "PRECISIONS", "Form", "Precision", "check_forms", "check_precisions"]

FORMATS = ("onnx", "tflite", "c")
_TITLES = {"onnx": "ONNX", "tflite": "TFLite", "c": "C"}


@dataclass(frozen=True, slots=True)
class Form:
    """Whether a kind of file holds a precision, and how, or why not."""

    held: bool
    words: str


@dataclass(frozen=True, slots=True)
class Precision:
    """One name of `--precision`.

    `forms` go by format; `engines` says what runs it in integers. `by_contract`: its integers are those of
    docs/numerics.md. `suffix` takes the name's place in the ids of ONNX variants.
    """

    name: str
    cell: Cell
    forms: Mapping[str, Form]
    engines: str
    by_contract: bool = False
    suffix: str | None = None
    note: str | None = None

    @property
    def quantizer(self) -> Quantizer:
        """What makes it."""
        return find_quantizer(self.cell)

    @property
    def onnx_id(self) -> str:
        """Id of its ONNX variant."""
        return f"onnx-{self.suffix or self.name}"

    def is_held_by(self, kind: str) -> bool:
        """True where files of that format hold it."""
        return kind in self.forms and self.forms[kind].held


_NO_C = Form(False, "no kernels for it")
_INT8_C = Form(True, "int8_t")
_INT16_C = Form(True, "int16_t, weights int8_t")
_QDQ = Form(True, "QuantizeLinear, DequantizeLinear")
_FUSED = "ONNX Runtime (uint8 on x86), LiteRT, TensorFlow Lite Micro"


def _forms(onnx: Form, tflite: Form, c: Form = _NO_C) -> Mapping[str, Form]:
    return MappingProxyType({"onnx": onnx, "tflite": tflite, "c": c})


def _blocks(bits: int, block: int) -> Precision:
    return Precision(
        f"int{bits}-block{block}",
        Cell(bits, Granularity.BLOCK, Activation.FLOAT, block),
        _forms(
            Form(True, f"MatMulNBits ({'1.17' if bits == 4 else '1.23'}), GatherBlockQuantized (1.23) of ONNX Runtime"),
            Form(False, "LiteRT's kernels for blocks are not checked yet"),
        ),
        "none: integers are multiplied out as they are read",
    )


AUTO = "auto"
"""The cell of int8, with what the repair loop changed."""

_TABLE = (
    Precision(
        AUTO,
        Cell(8, Granularity.CHANNEL, Activation.INT8),
        _forms(_QDQ, Form(True, "INT8 tensors, FLOAT32 where a layer stays float"), _INT8_C),
        _FUSED,
        by_contract=True,
        note="repaired until the gate is content; what was done stands in report.json",
    ),
    Precision(
        "int8",
        Cell(8, Granularity.CHANNEL, Activation.INT8),
        _forms(_QDQ, Form(True, "INT8 tensors"), _INT8_C),
        _FUSED,
        by_contract=True,
    ),
    Precision(
        "int8-per-tensor",
        Cell(8, Granularity.TENSOR, Activation.INT8),
        _forms(_QDQ, Form(True, "INT8 tensors"), _INT8_C),
        _FUSED,
        by_contract=True,
    ),
    Precision(
        "int8-symmetric",
        Cell(8, Granularity.CHANNEL, Activation.SYMMETRIC),
        _forms(
            Form(True, "QuantizeLinear, DequantizeLinear with zero points of 0, float biases"),
            Form(False, "it is TensorRT's form, and TensorRT reads ONNX"),
        ),
        "TensorRT (not run here); ONNX Runtime computes it in float",
        suffix="int8-trt",
        note="for TensorRT, which was not run here: symmetric activations, float biases; ONNX Runtime runs it in float",
    ),
    Precision(
        "int8x4",
        Cell(4, Granularity.CHANNEL, Activation.INT8),
        _forms(
            Form(True, "as int8: [-7, 7] in int8, because ONNX Runtime fuses no 4-bit type"),
            Form(True, "INT4 weights, INT8 activations"),
        ),
        "ONNX Runtime (uint8 on x86); LiteRT's own kernels, not XNNPACK; TensorFlow Lite Micro loads no such file",
        by_contract=True,
    ),
    Precision(
        "int16x8",
        Cell(8, Granularity.CHANNEL, Activation.INT16),
        _forms(
            Form(True, "QuantizeLinear, DequantizeLinear of opset 21"), Form(True, "INT16 and INT8 tensors"), _INT16_C
        ),
        "LiteRT's own kernels, not XNNPACK; ONNX Runtime computes it in float",
        by_contract=True,
        note="more accurate than int8, not faster: ONNX Runtime computes it in float",
    ),
    *(_blocks(bits, block) for bits in (8, 4) for block in BLOCK_SIZES),
    Precision(
        "fp16",
        Cell(16, Granularity.TENSOR, Activation.FLOAT16),
        _forms(Form(True, "FLOAT16 tensors"), Form(False, "not written yet")),
        "none: it has no integers",
    ),
    Precision(
        "dynamic",
        Cell(8, Granularity.CHANNEL, Activation.DYNAMIC),
        _forms(
            Form(False, "DynamicQuantizeLinear was 9 to 20 times slower than float for convolutions"),
            Form(True, "INT8 weights, FLOAT activations"),
        ),
        "LiteRT (matrices with one scale, convolutions with one per channel)",
    ),
)

PRECISIONS: Mapping[str, Precision] = MappingProxyType({precision.name: precision for precision in _TABLE})
"""In the order in which variants are made."""


def check_precisions(names: Sequence[str]) -> None:
    """Refuses precisions that edgert does not make.

    Raises:
        UsageError: an unknown precision.
    """
    unknown = [name for name in names if name not in PRECISIONS]
    if unknown:
        raise UsageError(f"unknown precision {unknown[0]!r}; allowed: {', '.join(PRECISIONS)}")


def check_forms(names: Sequence[str], formats: Sequence[str]) -> None:
    """Refuses a precision that none of the formats holds.

    Raises:
        UsageError: names the format that holds it, and why the first one does not.
    """
    for name in names:
        forms = PRECISIONS[name].forms
        if formats and not any(PRECISIONS[name].is_held_by(kind) for kind in formats):
            home = next(kind for kind in FORMATS if PRECISIONS[name].is_held_by(kind))
            raise UsageError(
                f"{name} exists as {_TITLES[home]} only; add --format {home} "
                f"({_TITLES[formats[0]]}: {forms[formats[0]].words})"
            )
