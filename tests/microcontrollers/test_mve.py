"""Kernels for Helium: their vector text lane by lane on this computer, sanitized, and on an emulated Cortex-M55."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.exporters.c import Core, Instructions, export_c
from edgert_converters.requantize import Requantize
from tests.conformance.q31_models import (
    Operand,
    Rng,
    Single,
    activation,
    bias,
    fitted,
    interpreted,
    plain_output,
    stored_inputs,
    weights,
)
from tests.microcontrollers.c_program import (
    SANITIZERS,
    WARNINGS,
    compile_program,
    export_file,
    read_kernel,
    run_program,
)
from tests.microcontrollers.helium_program import run_on_helium
from tests.microcontrollers.single_operators import check_singles, same_pads, with_output_scale
from tests.microcontrollers.test_exact import MODELS

CORE = Core("cortex-m55", Instructions.MVE)
QUICKLY = ("-O0", "-std=c99", *WARNINGS, *SANITIZERS)  # at -O2 compiling unrolled lanes takes forty times as long
ANY = QuantParams((1.0,), (0,), DType.INT8)
CLAMPS = (None, (0.0, 6.0), (0.0, float("inf")))

# input channels, output channels, rows, columns, kernel rows, kernel columns, stride, dilation, is SAME
CONVOLUTIONS = {
    "1x1": (32, 8, 3, 4, 1, 1, 1, 1, True),
    "1x1_odd_positions": (16, 7, 3, 3, 1, 1, 1, 1, True),
    "1x1_rest": (7, 5, 3, 5, 1, 1, 1, 1, True),
    "1x1_rest_long": (35, 6, 1, 3, 1, 1, 1, 1, True),
    "1x1_one": (3, 1, 1, 1, 1, 1, 1, 1, True),
    "1x1_stride": (20, 3, 5, 5, 1, 1, 2, 1, False),
    "first_layer": (3, 8, 9, 7, 3, 3, 2, 1, True),
    "first_layer_mono": (1, 6, 11, 6, 10, 4, 2, 1, True),
    "3x3": (16, 9, 5, 5, 3, 3, 1, 1, True),
    "3x3_wide": (24, 4, 3, 3, 3, 3, 1, 1, True),
    "5x3_dilated": (5, 4, 9, 8, 5, 3, 1, 2, True),
    "4x2_valid": (4, 4, 6, 7, 4, 2, 1, 1, False),
}
# channels, rows, columns, kernel rows, kernel columns, stride, dilation, is SAME
DEPTHWISE = {
    "3x3": (16, 5, 6, 3, 3, 1, 1, True),
    "3x3_small": (8, 1, 1, 3, 3, 1, 1, True),
    "3x3_odd": (21, 4, 5, 3, 3, 1, 1, True),
    "3x3_stride": (24, 8, 7, 3, 3, 2, 1, True),
    "3x3_stride_valid": (5, 8, 7, 3, 3, 2, 1, False),
    "3x3_stride_3": (9, 10, 11, 3, 3, 3, 1, True),
    "3x3_dilated": (17, 9, 7, 3, 3, 1, 2, True),
    "5x5": (12, 7, 6, 5, 5, 1, 1, True),
    "tall": (3, 12, 1, 7, 1, 1, 1, False),
    "1x4": (16, 3, 9, 1, 4, 1, 1, True),
    "point_stride": (10, 5, 5, 1, 1, 2, 1, False),
}
# input terms, outputs, rows, whether there is one scale for all outputs
MATRICES = {
    "fc": (48, 12, 1, True),
    "fc_odd": (13, 7, 1, False),
    "fc_one": (1, 1, 1, True),
    "fc_rows": (9, 6, 3, False),
    "fc_whole_rows": (32, 5, 2, True),
}


def _attributes(
    sizes: Sequence[int], kernel: Sequence[int], stride: int, dilation: int, same: bool
) -> dict[str, object]:
    strides, dilations = (stride, stride), (dilation, dilation)
    pads = same_pads(sizes, kernel, strides, dilations) if same else [0, 0, 0, 0]
    return {"pads": pads, "strides": strides, "dilations": dilations}


def _conv(rng: Rng, x: Operand, w: Operand, attributes: dict[str, object]) -> Single:
    operands = (x, w, bias(rng, x, w, len(w.values)))
    clamp = CLAMPS[int(rng.integers(len(CLAMPS)))]
    return _coarse(fitted(rng, Single("Conv", operands, ANY, (None,) * 4, attributes, clamp)))  # type: ignore[arg-type]


def _full(rng: Rng, case: Sequence[int]) -> Single:
    c, o, rows, columns, kh, kw, stride, dilation, same = case
    x, w = activation(rng, (1, c, rows, columns)), weights(rng, (o, c, kh, kw), 0)
    return _conv(rng, x, w, _attributes((rows, columns), (kh, kw), stride, dilation, bool(same)))


def _depthwise(rng: Rng, case: Sequence[int], multiplier: int = 1) -> Single:
    c, rows, columns, kh, kw, stride, dilation, same = case
    x, w = activation(rng, (1, c, rows, columns)), weights(rng, (c * multiplier, 1, kh, kw), 0)
    return _conv(rng, x, w, _attributes((rows, columns), (kh, kw), stride, dilation, bool(same)) | {"group": c})


def _matrix(rng: Rng, case: tuple[int, int, int, bool]) -> Single:
    depth, outputs, rows, one_scale = case
    x, w = activation(rng, (rows, depth)), weights(rng, (outputs, depth), None if one_scale else 0)
    operands = (x, w, bias(rng, x, w, outputs))
    return _coarse(fitted(rng, Single("Gemm", operands, ANY, (rows, outputs), {"transB": 1})))


def _coarse(single: Single) -> Single:
    """Returns the operator with output steps that no product's step reaches: every shift is to the right."""
    product = _product_scale(single)
    return with_output_scale(single, 1.3 * product) if single.output.scale[0] <= product else single


def _product_scale(single: Single) -> float:
    """The largest step of a sum of products."""
    x, w = (operand.params for operand in single.operands[:2])
    assert x is not None
    assert w is not None
    return x.scale[0] * max(w.scale)


def _sum(rng: Rng, count: int) -> Single:
    operands = (activation(rng, (1, count)), activation(rng, (1, count)))
    clamp = CLAMPS[int(rng.integers(len(CLAMPS)))]
    return fitted(rng, Single("Add", operands, ANY, (1, count), {}, clamp))


def _ties(clamp: tuple[float, float] | None) -> Single:
    """Every int8 at scales whose products lie half-way between outputs again and again; shifts are 0 to -9."""
    x = Operand(np.arange(-128, 128).astype(np.int8).reshape(1, 1, 16, 16), QuantParams((1.0,), (3,), DType.INT8), True)
    scales = tuple(2.0**-k for k in range(1, 11)) + (0.75, 0.75 / 64)
    w = Operand(np.full((12, 1, 1, 1), 1, np.int8), QuantParams(scales, (0,) * 12, DType.INT8, 0))
    return Single("Conv", (x, w), QuantParams((1.0,), (-7,), DType.INT8), (1, 12, 16, 16), {}, clamp)


def _steep(value: int) -> Single:
    """A depthwise convolution whose products have the largest sums that 16 bits do and do not hold."""
    x = Operand(np.full((1, 8, 4, 4), -128, np.int8), QuantParams((1.0,), (0,), DType.INT8), True)
    w = Operand(np.full((8, 1, 3, 3), value, np.int8), QuantParams((1.0,) * 8, (0,) * 8, DType.INT8, 0))
    y = QuantParams((2048.0,), (0,), DType.INT8)
    return Single("Conv", (x, w), y, (1, 8, 4, 4), {"group": 8, "pads": [1, 1, 1, 1]})


def _singles(seed: int) -> dict[str, Single]:
    rng = np.random.default_rng(seed)
    return {
        **{f"c{name}": _full(rng, case) for name, case in CONVOLUTIONS.items()},
        **{f"d{name}": _depthwise(rng, case) for name, case in DEPTHWISE.items()},
        **{name: _matrix(rng, case) for name, case in MATRICES.items()},
        **{f"a{count}": _sum(rng, count) for count in (1, 6, 64)},
        "ties": _ties(None),
        "ties_above_zero": _ties((0.0, float("inf"))),
        "steep": _steep(127),
        "steepest": _steep(-128),
    }


@pytest.mark.parametrize("mode", Requantize)
def test_every_shape_equals_the_interpreter(mode: Requantize, tmp_path: Path) -> None:
    folders = check_singles(_singles(3), mode, CORE, tmp_path, QUICKLY)
    kernels = {layer.call.kernel for folder in folders for layer in folder.network.layers}
    add = "add_q31_mve" if mode is Requantize.Q31 else "add_fp32"
    assert kernels == {
        "conv_mve",
        "conv_1x1_mve",
        "conv_1x1_rest_mve",
        "depthwise_mve",
        "fully_connected_mve",
        add,
    }


@pytest.mark.parametrize("mode", Requantize)
def test_a_cortex_m55_equals_the_interpreter(mode: Requantize, tmp_path: Path) -> None:
    singles = _singles(4)
    folders = [export_c(single.model(mode), CORE, read_kernel, name=name) for name, single in singles.items()]
    feeds = []
    for folder, single in zip(folders, singles.values(), strict=True):
        names = [folder.network.buffers[index].name for index in folder.network.inputs]
        feeds.append(dict(zip(names, stored_inputs(single), strict=True)))
    for (name, single), found in zip(singles.items(), run_on_helium(folders, feeds, tmp_path), strict=True):
        wanted = interpreted(single, mode)
        shape = np.moveaxis(wanted, 1, -1).shape if wanted.ndim == 4 else wanted.shape
        assert np.array_equal(plain_output(single, found.reshape(shape)), wanted), name


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in {"vww", "ic"} else []) for name in MODELS]
)
def test_published_models_are_exact_on_this_computer(name: str, zoo: Path, tmp_path: Path) -> None:
    folder = export_file(zoo / "models" / f"{MODELS[name]}.tflite", CORE, name)
    inputs, outputs = (np.load(zoo / "mcu" / f"{name}.{kind}.npy") for kind in ("inputs", "outputs_tflm"))
    found = run_program(compile_program(folder, tmp_path, QUICKLY), inputs[:2])
    assert np.array_equal(found, outputs[:2].reshape(-1))
    portable = [layer.op for layer in folder.network.layers if not layer.call.kernel.endswith("_mve")]
    assert set(portable) <= {"AVERAGE_POOL_2D", "SOFTMAX"}


@pytest.mark.parametrize("options", [pytest.param(("-O2",), marks=pytest.mark.slow), ("-Os",)])
def test_published_models_are_exact_on_a_cortex_m55(options: tuple[str], zoo: Path, tmp_path: Path) -> None:
    folders = [export_file(zoo / "models" / f"{MODELS[name]}.tflite", CORE, name) for name in ("kws", "micro_speech")]
    feeds, wanted = [], []
    for folder in folders:
        name = folder.network.name
        inputs, outputs = (np.load(zoo / "mcu" / f"{name}.{kind}.npy") for kind in ("inputs", "outputs_tflm"))
        feeds.append({folder.network.buffers[folder.network.inputs[0]].name: inputs[0]})
        wanted.append(outputs[0].reshape(-1))
    for folder, found, output in zip(folders, run_on_helium(folders, feeds, tmp_path, options), wanted, strict=True):
        assert np.array_equal(found, output), folder.network.name


def test_products_are_summed_in_16_bits_where_none_can_leave_them(tmp_path: Path) -> None:
    singles = {"two": _steep(127), "one": _steep(-128), "all": _steep(-28), "three": _steep(80)}
    folders = check_singles(singles, Requantize.Q31, CORE, tmp_path, QUICKLY)
    counts = {folder.network.name: folder.network.layers[0].call.literals["together"] for folder in folders}
    assert counts == {"two": 2, "one": 1, "all": 9, "three": 3}


def test_depthwise_outputs_take_the_memory_of_the_input(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    singles = {name: _depthwise(rng, DEPTHWISE[name]) for name in ("3x3", "3x3_odd", "3x3_stride")}
    folders = check_singles(
        {f"d{name}": single for name, single in singles.items()}, Requantize.Q31, CORE, tmp_path, QUICKLY
    )
    for folder in folders:
        offsets = folder.plan.offsets
        assert offsets[folder.network.inputs[0]] == offsets[folder.network.outputs[0]], folder.network.name


def test_other_kernels_take_what_vectors_do_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    grouped = _conv(rng, activation(rng, (1, 8, 4, 4)), weights(rng, (6, 4, 3, 3), 0), {"group": 2})
    total = _sum(rng, 6)
    largest = max(operand.params.scale[0] for operand in total.operands if operand.params)
    fine = {"1x1": _full(rng, CONVOLUTIONS["1x1"]), "3x3": _depthwise(rng, DEPTHWISE["3x3"])}
    fine["fc"] = _matrix(rng, MATRICES["fc"])
    singles = {
        "grouped": grouped,
        "several": _depthwise(rng, DEPTHWISE["3x3_small"], multiplier=2),
        "fine_sum": with_output_scale(replace(total, clamp=None), largest * 2.0**-21),
        **{f"fine{name}": with_output_scale(single, 0.7 * _product_scale(single)) for name, single in fine.items()},
    }
    folders = check_singles(singles, Requantize.Q31, CORE, tmp_path, QUICKLY)
    kernels = [folder.network.layers[0].call.kernel for folder in folders]
    assert not [kernel for kernel in kernels if kernel.endswith("_mve")]
