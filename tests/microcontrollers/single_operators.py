"""Random single operators in generated C, compiled for this computer with sanitizers, against the interpreter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgert_converters.exporters.c import CFolder, Core, export_c
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.requantize import Requantize
from tests.conformance.q31_models import Single, interpreted, plain_output, stored_inputs
from tests.microcontrollers.c_program import STRICT, read_kernel
from tests.microcontrollers.many_models import compile_models, run_model

__all__ = ["check_singles", "same_pads", "with_output_scale"]


def check_singles(
    singles: Mapping[str, Single], mode: Requantize, core: Core, where: Path, options: Sequence[str] = STRICT
) -> list[CFolder]:
    """Compiles every operator, runs it, and asserts that its integers are the interpreter's; returns the folders."""
    folders = [export_c(single.model(mode), core, read_kernel, name=name) for name, single in singles.items()]
    program = compile_models(folders, where, options)
    for number, (folder, (name, single)) in enumerate(zip(folders, singles.items(), strict=True)):
        entries = [folder.network.buffers[index].name for index in folder.network.inputs]
        feed = dict(zip(entries, stored_inputs(single), strict=True))
        found = run_model(program, number, folder, [feed])[0][0]
        wanted = interpreted(single, mode)
        shape = np.moveaxis(wanted, 1, -1).shape if _is_channels_last(single) else wanted.shape
        made = plain_output(single, found.reshape(shape))
        assert np.array_equal(made, wanted), (name, mode, core)
    return folders


def _is_channels_last(single: Single) -> bool:
    layout = export_tflite(single.model(Requantize.Q31)).outputs[0].layout
    return layout is not None and layout.endswith("C")


def same_pads(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int] = (1, 1)
) -> list[int]:
    """Returns TensorFlow's SAME padding as ONNX writes it: all starts, then all ends."""
    totals = [
        max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        for n, k, s, d in zip(sizes, kernel, strides, dilations, strict=True)
    ]
    return [total // 2 for total in totals] + [total - total // 2 for total in totals]


def with_output_scale(single: Single, scale: float) -> Single:
    """Returns the operator with another scale of its output."""
    return replace(single, output=replace(single.output, scale=(float(np.float32(scale)),)))
