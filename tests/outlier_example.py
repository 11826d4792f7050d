"""Small graphs from ONNX text with seeded weights, and inputs one channel of which may stand out."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgert.recipe import RangeMethod
from edgert_converters.engine import load_runner
from edgert_converters.passes.pipeline import infer_shapes
from edgert_converters.quantize.draft import Calibration, Settings
from edgert_converters.quantize.ranges import RangeRule

SETTINGS = Settings(RangeRule(RangeMethod.MIN_MAX))
EXACT = 1e-4
"""Largest difference of a float output as a share of its largest magnitude."""


def model_of(body: str, seed: int = 0) -> ir.Model:
    """A model from ONNX text; all inputs but x become constants with seeded normal values, fan-in scaled."""
    rng = np.random.default_rng(seed)
    model = ir.from_onnx_text(f'<ir_version: 8, opset_import: ["" : 18]>\n{body}')
    for value in list(model.graph.inputs)[1:]:
        shape = value.shape.numpy() if value.shape is not None else ()
        scale = 1.0 / np.sqrt(max(1, int(np.prod(shape[1:])))) if len(shape) > 1 else 0.3
        value.const_value = ir.tensor((rng.standard_normal(shape) * scale).astype(np.float32), name=value.name)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(value)
    infer_shapes(model)
    return model


def calibration_of(model: ir.Model, outlier: float = 1.0, axis: int = 1, count: int = 8) -> Calibration:
    """Standard normal samples of input x, index 3 of one axis scaled."""
    shape = tuple(int(str(d)) for d in model.graph.inputs[0].shape or ())
    rng = np.random.default_rng(1)
    factor = np.ones(shape[axis], np.float32)
    factor[3] = outlier
    factor = factor.reshape(-1, *[1] * (len(shape) - 1 - axis))
    samples = [{"x": rng.standard_normal(shape).astype(np.float32) * factor} for _ in range(count)]
    return Calibration(lambda: samples, count, silent)


def silent(stage: str, done: int, total: int) -> None:
    """Progress nobody reads."""


def assert_same_function(model: ir.Model, changed: ir.Model, calibration: Calibration) -> None:
    before, after = load_runner(model), load_runner(changed)
    for sample in calibration.samples():
        expected, found = before(sample), after(sample)
        for name, values in expected.items():
            assert np.abs(np.subtract(found[name], values)).max() <= EXACT * np.abs(values).max(), name
