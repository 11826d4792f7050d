"""Sums, pooling, means and softmax in C, in both requantization modes, compiled for this computer, sanitized."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams
from edgert_converters.exporters.c import Core, Instructions, export_c
from edgert_converters.requantize import Requantize
from tests.conformance.q31_models import Operand, Rng, Single, activation, fitted
from tests.microcontrollers.c_program import AS_ANYBODY, STRICT, read_kernel
from tests.microcontrollers.single_operators import check_singles, same_pads

PORTABLE, DSP = Core("host"), Core("cortex-m4", Instructions.DSP)
ANY = QuantParams((1.0,), (0,), DType.INT8)
SOFTMAX = QuantParams((1 / 256,), (-128,), DType.INT8)
CLAMPS = (None, (0.0, 6.0), (0.0, float("inf")))


def _add(rng: Rng, ratio: float) -> Single:
    a = activation(rng, (1, 7, 5, 4))
    assert a.params is not None
    scale = float(np.float32(a.params.scale[0] * ratio))
    b = activation(rng, (1, 7, 5, 4), QuantParams((scale,), (int(rng.integers(-128, 128)),), DType.INT8))
    clamp = CLAMPS[int(rng.integers(len(CLAMPS)))]
    return fitted(rng, Single("Add", (a, b), ANY, (1, 7, 5, 4), {}, clamp))


def _adds(rng: Rng) -> dict[str, Single]:
    ratios = {"equal": 1.0, "smaller": 0.6, "larger": 1.7, "half": 0.5, "eighth": 0.13, "tiny": 0.002, "huge": 300.0}
    return {f"add_{name}": _add(rng, ratio) for name, ratio in ratios.items()}


def _window(
    rng: Rng, op_type: str, shape: tuple[int, ...], kernel: tuple[int, int], stride: int, *, same: bool
) -> Single:
    x = activation(rng, shape)
    assert x.params is not None
    attributes = {
        "kernel_shape": kernel,
        "strides": (stride, stride),
        "pads": same_pads(shape[2:], kernel, (stride, stride)) if same else [0, 0, 0, 0],
    }
    return Single(op_type, (x,), x.params, (None,) * 4, attributes)  # type: ignore[arg-type]


def _windows(rng: Rng, op_type: str) -> dict[str, Single]:
    return {
        f"{op_type.lower()}_valid": _window(rng, op_type, (1, 5, 9, 8), (2, 3), 2, same=False),
        f"{op_type.lower()}_same": _window(rng, op_type, (1, 8, 7, 6), (3, 3), 2, same=True),
        f"{op_type.lower()}_whole": _window(rng, op_type, (1, 4, 25, 5), (24, 5), 1, same=False),
    }


def _reductions(rng: Rng) -> dict[str, Single]:
    x = activation(rng, (1, 6, 5, 4))
    single = {
        "mean_spatial": Single("GlobalAveragePool", (x,), ANY, (1, 6, 1, 1)),
        "mean_last": Single("ReduceMean", (activation(rng, (1, 9, 17)), _axes(2)), ANY, (1, 9, 1)),
        "sum_last": Single("ReduceSum", (activation(rng, (1, 9, 17)), _axes(2)), ANY, (1, 9, 1)),
    }
    return {name: fitted(rng, one) for name, one in single.items()}


def _axes(*axes: int) -> Operand:
    return Operand(np.asarray(axes, np.int64))


def _softmaxes(rng: Rng) -> dict[str, Single]:
    def made(scale: float, *shape: int) -> Single:
        x = activation(
            rng, shape, QuantParams((float(np.float32(scale)),), (int(rng.integers(-128, 128)),), DType.INT8)
        )
        return Single("Softmax", (x,), SOFTMAX, shape, {"axis": -1})

    scales = {"flat": 0.004, "soft": 0.03, "steep": 0.2, "step": 1.7}
    return {f"softmax_{name}": made(scale, 40, 12) for name, scale in scales.items()} | {
        "softmax_two": made(0.02, 200, 2),
        "softmax_one": made(0.1, 3, 1),
        "softmax_many": made(0.05, 2, 1000),
    }


FAMILIES: dict[str, Callable[[Rng], dict[str, Single]]] = {
    "add": _adds,
    "windows": lambda rng: _windows(rng, "AveragePool") | _windows(rng, "MaxPool"),
    "rows": lambda rng: _reductions(rng) | _softmaxes(rng),
}


@pytest.mark.parametrize("mode", Requantize)
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_the_interpreter(family: str, mode: Requantize, tmp_path: Path) -> None:
    singles = FAMILIES[family](np.random.default_rng(21))
    folders = check_singles(singles, mode, DSP if family != "rows" else PORTABLE, tmp_path)
    if family == "add" and mode is Requantize.Q31:
        kernels = [folder.network.layers[0].call.kernel for folder in folders]
        assert kernels == ["add_fast_q31"] * 5 + ["add_q31"] * 2


def test_average_windows_one_channel_at_a_time(tmp_path: Path) -> None:
    check_singles(_windows(np.random.default_rng(22), "AveragePool"), Requantize.FP32, PORTABLE, tmp_path)


def _output_of_its_own(single: Single) -> Single:
    return fitted(np.random.default_rng(5), single)


def test_average_pool_with_parameters_of_its_own(tmp_path: Path) -> None:
    singles = {
        name: _output_of_its_own(one) for name, one in _windows(np.random.default_rng(23), "AveragePool").items()
    }
    check_singles(singles, Requantize.FP32, DSP, tmp_path / "fp32")
    del singles["averagepool_same"]  # written in float where windows reach into padding
    check_singles(singles, Requantize.Q31, DSP, tmp_path / "q31")


@pytest.mark.parametrize("options", [("-DEDGERT_NO_FPU", *STRICT), ("-mfma", *AS_ANYBODY)], ids=["integers", "fused"])
def test_fp32_sums_on_other_cores(options: tuple[str, ...], tmp_path: Path) -> None:
    if "-mfma" in options and (platform.machine() != "x86_64" or "fma" not in _processor_flags()):
        pytest.skip("needs an x86 processor with fused multiply-add")
    rng = np.random.default_rng(24)
    check_singles(_adds(rng) | _reductions(rng), Requantize.FP32, PORTABLE, tmp_path, options)


def _processor_flags() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().split() if file.exists() else []


def test_sums_of_scales_too_far_apart_are_refused() -> None:
    single = _add(np.random.default_rng(25), 1.0)
    far = replace(single, output=QuantParams((1e-9,), (0,), DType.INT8))
    with pytest.raises(ModelError, match="the scales of its inputs and of its output are too far apart"):
        export_c(far.model(Requantize.FP32), PORTABLE, read_kernel, name="far")


def test_means_over_axes_that_are_no_neighbours_are_refused() -> None:
    x = activation(np.random.default_rng(26), (1, 3, 4, 5, 2))
    single = Single("ReduceMean", (x, _axes(1, 3)), ANY, (1, 1, 4, 1, 2))
    with pytest.raises(ModelError, match="are not neighbours"):
        export_c(single.model(Requantize.FP32), PORTABLE, read_kernel, name="apart")
