"""Writes a quantized model as plain C99 for microcontrollers: model.c, model.h, the kernels it calls, plan.json."""

from __future__ import annotations

from edgert_converters.exporters.c.core import Core, Instructions
from edgert_converters.exporters.c.export import CFolder, export_c

__all__ = ["CFolder", "Core", "Instructions", "export_c"]
