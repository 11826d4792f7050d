"""Convolutions and fully connected layers, with the DSP extension and portable, on this computer and a Cortex-M4."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert.quant import QuantParams, multiply_q31
from edgert_converters.exporters.c import CFolder, Core, Instructions, export_c
from edgert_converters.exporters.c.kernels.channels import Channels, settle_constant_outputs
from edgert_converters.exporters.c.kernels.packing import bytes_order, can_pack, pack_weights, widened_order
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
from tests.microcontrollers.boards import build, need_tools, running
from tests.microcontrollers.c_program import STRICT, compile_program, export_file, read_kernel, run_program
from tests.microcontrollers.single_operators import check_singles, same_pads, with_output_scale
from tests.microcontrollers.test_exact import MODELS

CORE = Core("cortex-m4", Instructions.DSP)
KERNELS = {
    CORE: {"conv", "conv_dsp", "conv_1x1_dsp", "fully_connected_dsp"},
    Core("cortex-m3", has_fpu=False): {"conv", "conv_window", "conv_1x1", "fully_connected"},
}
ANY = QuantParams((1.0,), (0,), DType.INT8)

# input channels, output channels, rows, columns, kernel rows, kernel columns, stride, dilation, is SAME
CONVOLUTIONS = {
    "1x1": (16, 8, 3, 4, 1, 1, 1, 1, True),
    "1x1_odd": (7, 5, 3, 3, 1, 1, 1, 1, True),
    "1x1_one": (3, 1, 1, 1, 1, 1, 1, 1, True),
    "1x1_stride": (6, 3, 5, 5, 1, 1, 2, 1, False),
    "first_layer": (3, 8, 9, 7, 3, 3, 2, 1, True),
    "first_layer_mono": (1, 6, 11, 6, 10, 4, 2, 1, True),
    "two_channels": (2, 7, 6, 5, 2, 3, 1, 1, True),
    "3x3": (8, 9, 5, 6, 3, 3, 1, 1, True),
    "3x3_dilated": (4, 10, 7, 7, 3, 3, 1, 2, True),
    "5x3_odd_dilated": (5, 4, 9, 8, 5, 3, 1, 2, True),
    "3x3_stride": (12, 11, 7, 8, 3, 3, 2, 1, True),
    "4x2_valid": (4, 4, 6, 6, 4, 2, 1, 1, False),
}
# input terms, outputs, rows, whether there is one scale for all outputs
MATRICES = {
    "fc": (40, 12, 1, True),
    "fc_odd": (13, 7, 1, False),
    "fc_two_left": (6, 5, 1, True),
    "fc_three_left": (11, 3, 1, False),
    "fc_one": (1, 1, 1, True),
    "fc_rows": (9, 6, 3, False),
}
CLAMPS = (None, (0.0, 6.0), (0.0, float("inf")))


def _conv(rng: Rng, case: Sequence[int], group: int = 1, turn: int = 0) -> Single:
    """With `turn` rows have a larger stride than columns, and columns a larger dilation than rows."""
    c, o, rows, columns, kh, kw, stride, dilation, same = case
    x, w = activation(rng, (1, c, rows, columns)), weights(rng, (o, c // group, kh, kw), 0)
    strides, dilations = (stride + turn, stride), (dilation, dilation + turn)
    pads = same_pads((rows, columns), (kh, kw), strides, dilations) if same else [0, 0, 0, 0]
    attributes = {"pads": pads, "strides": strides, "dilations": dilations, "group": group}
    operands = (x, w, bias(rng, x, w, o))
    clamp = CLAMPS[int(rng.integers(len(CLAMPS)))]
    return fitted(rng, Single("Conv", operands, ANY, (None,) * 4, attributes, clamp))  # type: ignore[arg-type]


def _matrix(rng: Rng, case: tuple[int, int, int, bool]) -> Single:
    depth, outputs, rows, one_scale = case
    x, w = activation(rng, (rows, depth)), weights(rng, (outputs, depth), None if one_scale else 0)
    operands = (x, w, bias(rng, x, w, outputs))
    return fitted(rng, Single("Gemm", operands, ANY, (rows, outputs), {"transB": 1}))


def _singles(rng: Rng) -> dict[str, Single]:
    made = {f"c{name}": _conv(rng, case) for name, case in CONVOLUTIONS.items()}
    made["uneven"] = _conv(rng, (5, 6, 9, 8, 3, 2, 1, 1, True), turn=1)
    made["grouped"] = _conv(rng, (6, 9, 5, 4, 3, 2, 1, 1, True), group=3)
    made["grouped_uneven"] = _conv(rng, (8, 6, 9, 8, 2, 3, 1, 1, False), group=2, turn=1)
    return made | {name: _matrix(rng, case) for name, case in MATRICES.items()}


def _folder(single: Single, mode: Requantize, name: str) -> CFolder:
    return export_c(single.model(mode), CORE, read_kernel, name=name)


@pytest.mark.parametrize("mode", Requantize)
@pytest.mark.parametrize(("core", "names"), KERNELS.items(), ids=["dsp", "portable"])
def test_every_shape_equals_the_interpreter(core: Core, names: set[str], mode: Requantize, tmp_path: Path) -> None:
    folders = check_singles(_singles(np.random.default_rng(8)), mode, core, tmp_path)
    assert {layer.call.kernel for folder in folders for layer in folder.network.layers} == names


@pytest.mark.parametrize("mode", Requantize)
@pytest.mark.parametrize("name", ["c1x1_odd", "cfirst_layer", "c3x3_stride", "fc_odd"])
def test_a_cortex_m4_equals_the_interpreter(mode: Requantize, name: str, tmp_path: Path) -> None:
    need_tools()
    single = _singles(np.random.default_rng(8))[name]
    files = _folder(single, mode, name).files
    inputs, wanted = stored_inputs(single)[0], interpreted(single, mode)
    shape = np.moveaxis(wanted, 1, -1).shape if wanted.ndim == 4 else wanted.shape
    with running(build("qemu-mps2-an386", files, tmp_path), files) as client:
        found = np.frombuffer(client.run(inputs.tobytes()).outputs, np.int8)
    assert np.array_equal(plain_output(single, found.reshape(shape)), wanted)


def test_assembly_finds_its_registers_under_every_option(zoo: Path, tmp_path: Path) -> None:
    need_tools()
    for file, content in export_file(zoo / "models" / f"{MODELS['kws']}.tflite", CORE, "kws").files.items():
        (tmp_path / file).write_bytes(content)
    core = ("-mthumb", "-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-Wall", "-Wextra", "-Werror")
    for options in (("-O0", "-fPIC"), ("-Og",), ("-O1",), ("-O3", "-fno-omit-frame-pointer")):
        command = ["arm-none-eabi-gcc", *core, *options, "-c", "model.c"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (options, done.stderr)


@pytest.mark.parametrize("name", MODELS)
def test_published_models_are_exact(name: str, zoo: Path, tmp_path: Path) -> None:
    folder = export_file(zoo / "models" / f"{MODELS[name]}.tflite", CORE, name)
    outputs = np.load(zoo / "mcu" / f"{name}.outputs_tflm.npy")
    found = run_program(compile_program(folder, tmp_path, STRICT), np.load(zoo / "mcu" / f"{name}.inputs.npy"))
    assert np.array_equal(found, outputs.reshape(-1))
    slow = [layer.name for layer in folder.network.layers if layer.call.literals.get("is_fast", 1) == 0]
    assert not slow


def test_fine_outputs_take_the_general_form(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = Operand(rng.integers(-9, 9, (1, 4, 3, 3)).astype(np.int8), QuantParams((0.5,), (1,), DType.INT8), True)
    w = Operand(rng.integers(-2, 3, (4, 4, 1, 1)).astype(np.int8), QuantParams((0.25,) * 4, (0,) * 4, DType.INT8, 0))
    single = with_output_scale(Single("Conv", (x, w), ANY, (1, 4, 3, 3)), 0.15)
    folder = check_singles({"fine": single}, Requantize.Q31, CORE, tmp_path)[0]
    assert folder.network.layers[0].call.literals["is_fast"] == 0


def test_weights_of_minus_128_and_wide_sums_take_the_portable_kernel() -> None:
    rng = np.random.default_rng(3)
    single = _conv(rng, CONVOLUTIONS["1x1"])
    values = single.operands[1].values.copy()
    values[3, 2] = -128
    lowest = replace(single, operands=(single.operands[0], Operand(values, single.operands[1].params)))
    assert _folder(lowest, Requantize.Q31, "lowest").network.layers[0].call.kernel == "conv_1x1"
    x = activation(rng, (1, 1024))
    w = Operand(np.full((2, 1024), 127, np.int8), QuantParams((0.01,), (0,), DType.INT8))
    assert x.params is not None
    wide = with_output_scale(Single("Gemm", (x, w), ANY, (1, 2), {"transB": 1}), x.params.scale[0] * 0.01 * (1 << 17))
    assert _folder(wide, Requantize.Q31, "wide").network.layers[0].call.kernel == "fully_connected"


@pytest.mark.parametrize("mode", Requantize)
def test_channels_that_never_change_get_harmless_constants(mode: Requantize, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    x, w = activation(rng, (1, 16, 3, 4)), weights(rng, (8, 16, 1, 1), 0)
    w = replace(w, params=QuantParams((0.02,) * 8, (0,) * 8, DType.INT8, 0))
    b = bias(rng, x, w, 8)
    single = fitted(rng, Single("Conv", (x, w, b), ANY, (1, 8, 3, 4)))
    assert w.params is not None
    assert b.params is not None
    values, scales, wide = b.values.copy(), list(b.params.scale), list(w.params.scale)
    for channel, value in ((1, (1 << 30) - 5), (2, -(1 << 30) + 5), (5, 1 << 29)):
        values[channel] = value
        scales[channel], wide[channel] = (s * 2.0**-22 for s in (scales[channel], wide[channel]))
    operands = (
        x,
        replace(w, params=replace(w.params, scale=tuple(wide))),
        Operand(values, replace(b.params, scale=tuple(scales))),
    )
    folder = check_singles({"constant": replace(single, operands=operands)}, mode, CORE, tmp_path)[0]
    assert folder.network.layers[0].call.kernel == "conv_1x1_dsp"
    assert folder.network.layers[0].call.literals["is_fast"] == 1


def test_settled_channels_give_the_same_outputs() -> None:
    weights_ = np.asarray([[3, -4], [3, -4]], np.int8)
    multiplier, shift = np.asarray([1 << 30, 3 << 29]), np.asarray([-4, -28])
    channels = Channels(weights_, np.asarray([40, 1 << 30]), multiplier, shift, (-128, 127), 5)
    settled = settle_constant_outputs(channels)
    assert settled.weights.tolist() == [[3, -4], [0, 0]]
    for sums in channels.range:
        changed = np.where([True, False], sums, settled.bias)
        assert np.array_equal(channels.outputs(sums), settled.outputs(changed))


def test_words_hold_two_channels_and_two_terms() -> None:
    assert widened_order(2, 3).tolist() == [0, 2, 1, -1, 3, 5, 4, -1]
    assert widened_order(1, 5).tolist() == [0, 2, 1, 3, 4, -1, -1, -1]
    assert bytes_order(6).tolist() == [0, 2, 1, 3, 4, -1, 5, -1]
    weights_ = np.asarray([[1, -2, 3, 4], [5, 6, -7, 8]], np.int8)
    channels = Channels(weights_, np.asarray([9, -10]), np.ones(2, np.float32), None, (-128, 127), 0)
    assert can_pack(channels)
    stream = pack_weights(channels, widened_order(1, 4)).values
    halves = stream[4::2].astype("<i4").view("<i2").tolist()
    assert halves == [5 * 256 + 1, -7 * 256 + 3, 6 * 256 - 2, 8 * 256 + 4]
    assert stream[:4].tolist() == [9, 9 - 2560, 0, 0]


_OUTPUTS = """
#define EDGERT_REQUANTIZE_Q31
#include <stdio.h>
#include "edgert_dot_dsp.h"
int main(void)
{
    int32_t row[3];
    while (fread(row, sizeof row, 1, stdin) == 1) {
        const edgert_multiplier_t scale = {row[1], row[2] - 1};
        const int is_near = row[0] > -(1 << 30) && row[0] < 1 << 30;
        const int32_t y[2] = {
            is_near ? edgert_output_of(row[0], 0, scale, -7, -128, 127, 1) : 0,
            edgert_smmlar_by_halves(row[0], row[1], row[2]),
        };
        fwrite(y, sizeof y, 1, stdout);
    }
    return 0;
}
"""


def _outputs(rows: NDArray[np.int32], where: Path) -> NDArray[np.int32]:
    """Per row (sum, multiplier, right shift or addend) of int32[rows, 3]: its output, and its product by halves."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (Debian package gcc)")
    for name in ("kernel", "dsp", "requantize", "dot_dsp"):
        (where / f"edgert_{name}.h").write_bytes(read_kernel(f"edgert_{name}.h"))
    (where / "outputs.c").write_text(_OUTPUTS)
    subprocess.run([compiler, *STRICT, "outputs.c", "-o", "outputs"], cwd=where, check=True)
    done = subprocess.run([where / "outputs"], input=rows.tobytes(), capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.int32).reshape(-1, 2)


def test_the_fast_form_rounds_as_tensorflow_lite_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    right = rng.integers(1, 23, 40_000)
    multiplier = np.where(rng.integers(2, size=right.size), rng.integers(1 << 30, (1 << 31) - 1, right.size), 1 << 30)
    # around every output step and half step, where roundings differ
    sums = rng.integers(-300, 300, right.size) * (np.int64(1) << right) + rng.integers(-3, 4, right.size)
    sums = np.clip(sums, -(1 << 30) + 1, (1 << 30) - 1)
    rows = np.stack([sums, multiplier, right], axis=1).astype(np.int32)
    wanted = np.clip(multiply_q31(sums, multiplier, -right) - 7, -128, 127)
    found = _outputs(rows, tmp_path)
    assert np.array_equal(found[:, 0], wanted)
    assert np.array_equal(found[:, 1], ((sums * multiplier + (1 << 31)) >> 32) + right)


def test_products_of_halves_are_exact_at_the_ends(tmp_path: Path) -> None:
    ends = [-(1 << 31) + 1, -(1 << 16) - 1, -(1 << 16), -(1 << 15), -1, 0, 1, (1 << 16) - 1, 1 << 16, (1 << 31) - 1]
    a = np.asarray([[a, b, 1] for a in ends for b in (*ends, 0x7FFFFFFF, 0x7FFF0000, 1 << 30)], np.int64)
    assert np.array_equal(_outputs(a.astype(np.int32), tmp_path)[:, 1], ((a[:, 0] * a[:, 1] + (1 << 31)) >> 32) + 1)
