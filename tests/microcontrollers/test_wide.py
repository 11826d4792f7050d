"""Layers with int16 activations and int8 weights in C, in both requantization modes, against the interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams
from edgert_converters.exporters.c import Core, export_c
from edgert_converters.requantize import Requantize
from tests.conformance.q31_models import Operand, Rng, Single, bias, real_output, scale, weights
from tests.microcontrollers.c_program import read_kernel
from tests.microcontrollers.single_operators import check_singles

ANY = QuantParams((1.0,), (0,), DType.INT16)


def _activation(rng: Rng, shape: Sequence[int], centre: float = 0.001) -> Operand:
    values = rng.integers(-32768, 32768, tuple(shape)).astype(np.int16)
    values.reshape(-1)[:2] = (-32768, 32767)
    return Operand(values, QuantParams((scale(rng, centre),), (0,), DType.INT16), is_activation=True)


def _fitted(rng: Rng, single: Single) -> Single:
    largest = max(float(np.abs(real_output(single)).max()), 1e-3)
    step = float(np.float32(largest * rng.uniform(0.3, 1.2) / 32767))
    return replace(single, output=QuantParams((step,), (0,), DType.INT16))


def _conv(rng: Rng, x: Operand, w: Operand, attributes: dict[str, object], shape: tuple[int, ...]) -> Single:
    clamp = (0.0, float("inf")) if rng.integers(2) else None
    return _fitted(rng, Single("Conv", (x, w, bias(rng, x, w, shape[1])), ANY, shape, attributes, clamp))


def _layers(rng: Rng) -> dict[str, Single]:
    x, plain = _activation(rng, (1, 3, 7, 5)), _activation(rng, (1, 6, 7, 5))
    rows, deep = _activation(rng, (3, 20)), _activation(rng, (1, 1100))
    gemm = weights(rng, (7, 20), None), weights(rng, (5, 1100), 0)
    return {
        "conv_3x3": _conv(rng, x, weights(rng, (4, 3, 3, 3), 0), {"pads": (1, 1, 1, 1)}, (1, 4, 7, 5)),
        "conv_stride": _conv(rng, x, weights(rng, (5, 3, 3, 2), 0), {"strides": (2, 1)}, (1, 5, 3, 4)),
        "conv_1x1": _conv(rng, plain, weights(rng, (9, 6, 1, 1), 0), {}, (1, 9, 7, 5)),
        "depthwise": _conv(rng, plain, weights(rng, (6, 1, 3, 3), 0), {"group": 6, "pads": (1, 1, 1, 1)}, (1, 6, 7, 5)),
        "one_scale": _fitted(rng, Single("Gemm", (rows, gemm[0], bias(rng, rows, gemm[0], 7)), ANY, (3, 7), _TURNED)),
        "deep": _fitted(rng, Single("Gemm", (deep, gemm[1], bias(rng, deep, gemm[1], 5)), ANY, (1, 5), _TURNED)),
    }


_TURNED = {"transB": 1}


def _sums(rng: Rng) -> dict[str, Single]:
    found = {}
    for name, ratio in {"equal": 1.0, "smaller": 0.37, "larger": 40.0}.items():
        a = _activation(rng, (1, 4, 6, 5))
        assert a.params is not None
        params = QuantParams((float(np.float32(a.params.scale[0] * ratio)),), (0,), DType.INT16)
        b = replace(_activation(rng, (1, 4, 6, 5)), params=params)
        found[f"add_{name}"] = _fitted(rng, Single("Add", (a, b), ANY, (1, 4, 6, 5)))
    a, b = _activation(rng, (1, 4, 6, 5)), _activation(rng, (1, 4, 1, 1))
    found["add_spread"] = _fitted(rng, Single("Add", (a, b), ANY, (1, 4, 6, 5)))
    return found


def _means(rng: Rng) -> dict[str, Single]:
    pooled = Single("GlobalAveragePool", (_activation(rng, (1, 4, 6, 5)),), ANY, (1, 4, 1, 1))
    axes = Operand(np.asarray([2], np.int64))
    last = Single("ReduceMean", (_activation(rng, (1, 9, 17)), axes), ANY, (1, 9, 1))
    return {"mean_spatial": _fitted(rng, pooled), "mean_last": _fitted(rng, last)}


def _softmaxes(rng: Rng) -> dict[str, Single]:
    unit = QuantParams((1 / 32768,), (0,), DType.INT16)
    scales = {"flat": 1e-5, "soft": 1e-4, "steep": 1e-3, "step": 0.2}
    return {
        f"softmax_{name}": Single("Softmax", (_activation(rng, (30, 12), step),), unit, (30, 12), {"axis": -1})
        for name, step in scales.items()
    }


def test_softmax_equals_the_interpreter(tmp_path: Path) -> None:
    check_singles(_softmaxes(np.random.default_rng(33)), Requantize.FP32, Core("host"), tmp_path)


def test_softmax_by_fixed_point_is_refused() -> None:
    single = _softmaxes(np.random.default_rng(34))["softmax_flat"]
    with pytest.raises(ModelError, match="of int16 it takes an output of scale 1/32768, beta 1 and fp32"):
        export_c(single.model(Requantize.Q31), Core("host"), read_kernel, name="flat")


@pytest.mark.parametrize("mode", Requantize)
def test_equals_the_interpreter(mode: Requantize, tmp_path: Path) -> None:
    rng = np.random.default_rng(31)
    folders = check_singles({**_layers(rng), **_sums(rng), **_means(rng)}, mode, Core("host"), tmp_path)
    kernels = [layer.call.kernel for folder in folders for layer in folder.network.layers]
    assert {"conv_wide", "fully_connected_wide"} <= set(kernels)
    assert sum(kernel.endswith("_s16") for kernel in kernels) == 4


def test_a_zero_point_is_refused() -> None:
    rng = np.random.default_rng(32)
    single = _layers(rng)["conv_1x1"]
    moved = replace(single, output=QuantParams(single.output.scale, (5,), DType.INT16))
    with pytest.raises(ModelError, match="activations of 16 bits have the zero point 0 in C"):
        export_c(moved.model(Requantize.FP32), Core("host"), read_kernel, name="moved")
