"""One audio step of a recipe as frontend.c and frontend.h, beside the model.c whose input it fills."""

from __future__ import annotations

import math
from collections.abc import Mapping

from edgert.bundle import Step
from edgert.dtypes import DType
from edgert.errors import RecipeError
from edgert.quant import QuantParams
from edgert.runtime.audio.settings import MfccSettings, MicroFrontendSettings
from edgert.runtime.steps import bind_step
from edgert_converters.exporters.c.frontend.parts import mfcc_parts, micro_parts
from edgert_converters.exporters.c.frontend.text import mfcc_text, micro_text
from edgert_converters.exporters.c.headers import ReadKernel, read_headers
from edgert_converters.exporters.c.network import Buffer, Network

__all__ = ["WITH_C", "export_frontend"]

WITH_C = {"mfcc": MfccSettings, "micro_frontend": MicroFrontendSettings}
"""The front ends that have C."""


def export_frontend(step: Step, network: Network, read_kernel: ReadKernel) -> Mapping[str, bytes]:
    """Returns frontend.c, frontend.h and the kernel headers that they include, by file name.

    The features are, byte for byte, what the step gives in Python, quantized as the model's input.

    Args:
        step: `{"op": "mfcc", ...}` or `{"op": "micro_frontend", ...}` (docs/recipe.md).
        network: the model; its only input is what the features fill.
        read_kernel: gives the kernel headers.

    Raises:
        RecipeError: the step has no C, an argument is wrong, or the features do not fit the model's input.
    """
    where = f"audio front end of {network.name}"
    try:
        settings = bind_step(step, WITH_C, where)()
    except ValueError as error:
        raise RecipeError(f"{where} ({step['op']}): {error}") from error
    buffer = _only_input(network, where)
    quant = _quant(buffer, where)
    if isinstance(settings, MfccSettings):
        _check_mfcc(settings, buffer, where)
        front_end = mfcc_parts(settings, quant)
        header, source = mfcc_text(network.name, settings, front_end)
    else:
        _check_micro(settings, buffer, where)
        front_end = micro_parts(settings, quant)
        header, source = micro_text(network.name, settings, front_end)
    return {
        "frontend.h": header.encode(),
        "frontend.c": source.encode(),
        **read_headers([front_end.header], read_kernel),
    }


def _only_input(network: Network, where: str) -> Buffer:
    if len(network.inputs) != 1:
        raise RecipeError(f"{where}: the model has {len(network.inputs)} inputs; a front end fills a single one")
    return network.buffers[network.inputs[0]]


def _quant(buffer: Buffer, where: str) -> QuantParams:
    if buffer.dtype is not DType.INT8 or buffer.quant is None or buffer.quant.axis is not None:
        raise RecipeError(
            f"{where}: the input {buffer.name!r} is {buffer.dtype.value}; features are int8 with one scale: "
            "convert the model with --precision int8"
        )
    return buffer.quant


def _check_mfcc(settings: MfccSettings, buffer: Buffer, where: str) -> None:
    if settings.frames * settings.coefficients != math.prod(buffer.shape):
        raise RecipeError(
            f"{where} (mfcc): {settings.frames} windows of {settings.coefficients} coefficients do not fill the input "
            f"{buffer.name!r} of shape {list(buffer.shape)}; change samples, step or coefficients"
        )


def _check_micro(settings: MicroFrontendSettings, buffer: Buffer, where: str) -> None:
    if math.prod(buffer.shape) % settings.channels:
        raise RecipeError(
            f"{where} (micro_frontend): rows of {settings.channels} channels do not fill the input {buffer.name!r} of "
            f"shape {list(buffer.shape)}; change channels"
        )
