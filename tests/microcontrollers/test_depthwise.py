"""Depthwise convolutions by planes, portable and by pairs, compiled for this computer, sanitized."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.exporters.c import CFolder, Core, Instructions
from edgert_converters.exporters.c.kernels import depthwise
from edgert_converters.requantize import Requantize
from tests.conformance.q31_models import Rng, Single, activation, bias, fitted, weights
from tests.microcontrollers.single_operators import check_singles, same_pads, with_output_scale

CORES = {"portable": Core("host"), "dsp": Core("cortex-m4", Instructions.DSP)}
ANY = QuantParams((1.0,), (0,), DType.INT8)
CLAMPS = (None, (0.0, 6.0), (0.0, float("inf")))

# channels, multiplier, rows, columns, kernel, strides, dilations, is SAME
SHAPES: dict[str, tuple[int, int, int, int, tuple[int, int], tuple[int, int], tuple[int, int], bool]] = {
    "square": (3, 1, 8, 12, (3, 3), (1, 1), (1, 1), True),
    "narrow": (5, 1, 11, 5, (3, 3), (1, 1), (1, 1), True),
    "tiny": (2, 1, 1, 1, (3, 3), (1, 1), (1, 1), True),
    "three": (4, 1, 3, 3, (3, 3), (1, 1), (1, 1), True),
    "valid": (2, 1, 6, 9, (3, 3), (1, 1), (1, 1), False),
    "stride": (3, 1, 12, 13, (3, 3), (2, 2), (1, 1), True),
    "stride_odd": (2, 1, 7, 6, (3, 3), (2, 2), (1, 1), False),
    "multiplier": (2, 3, 6, 7, (3, 3), (1, 1), (1, 1), True),
    "five": (2, 1, 9, 10, (5, 5), (1, 1), (1, 1), True),
    "five_stride": (2, 1, 9, 11, (5, 5), (2, 2), (1, 1), True),
    "even": (2, 1, 8, 9, (2, 4), (1, 1), (1, 1), True),
    "even_stride": (2, 2, 8, 10, (4, 2), (2, 2), (1, 1), False),
    "tall": (3, 1, 21, 1, (17, 1), (1, 1), (1, 1), False),
    "tall_3": (3, 1, 9, 1, (3, 1), (1, 1), (1, 1), True),
    "wide": (2, 1, 1, 20, (1, 5), (1, 1), (1, 1), True),
    "point": (3, 1, 4, 5, (1, 1), (1, 1), (1, 1), True),
    "point_stride": (3, 1, 5, 5, (1, 1), (2, 2), (1, 1), False),
    "dilated": (2, 1, 11, 12, (3, 3), (1, 1), (2, 2), True),
    "dilated_rows": (2, 1, 11, 8, (3, 3), (1, 1), (3, 1), False),
    "stride_3": (2, 1, 10, 11, (3, 3), (3, 3), (1, 1), True),
}


def _single(rng: Rng, name: str) -> Single:
    c, multiplier, rows, columns, kernel, strides, dilations, same = SHAPES[name]
    x, w = activation(rng, (1, c, rows, columns)), weights(rng, (c * multiplier, 1, *kernel), 0)
    attributes = {
        "pads": same_pads((rows, columns), kernel, strides, dilations) if same else [0, 0, 0, 0],
        "strides": strides,
        "dilations": dilations,
        "group": c,
    }
    clamp = CLAMPS[int(rng.integers(len(CLAMPS)))]
    operands = (x, w, bias(rng, x, w, c * multiplier))
    return fitted(rng, Single("Conv", operands, ANY, (None,) * 4, attributes, clamp))  # type: ignore[arg-type]


def _kernels(folders: Sequence[CFolder]) -> list[str]:
    return [layer.call.kernel for folder in folders for layer in folder.network.layers]


@pytest.mark.parametrize(("core", "mode"), [("portable", Requantize.FP32), ("dsp", Requantize.Q31)])
def test_every_shape_equals_the_interpreter(core: str, mode: Requantize, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    folders = check_singles({f"d_{name}": _single(rng, name) for name in SHAPES}, mode, CORES[core], tmp_path)
    found = dict(zip(SHAPES, _kernels(folders), strict=True))
    if core == "portable":
        assert set(found.values()) == {"depthwise"}
        return
    others = {name: kernel for name, kernel in found.items() if kernel != "depthwise_dsp"}
    upright = dict.fromkeys(("tall", "tall_3"), "depthwise_dsp_columns")
    assert others.items() >= upright.items()
    assert others["stride_3"] == others["dilated"] == "depthwise"


@pytest.mark.parametrize(("core", "mode"), [("portable", Requantize.Q31), ("dsp", Requantize.FP32)])
def test_the_other_mode(core: str, mode: Requantize, tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    names = ("narrow", "stride", "five", "tall")
    check_singles({f"d_{name}": _single(rng, name) for name in names}, mode, CORES[core], tmp_path)


@pytest.mark.parametrize("core", CORES)
def test_planes_that_are_too_large_are_made_in_strips(
    core: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depthwise, "_SPARE_BYTES", {"portable": 50, "dsp": 150}[core])
    rng = np.random.default_rng(6)
    names = ("square", "valid", "stride", "multiplier", "five", "point_stride", "dilated_rows")
    folders = check_singles({f"d_{name}": _single(rng, name) for name in names}, Requantize.Q31, CORES[core], tmp_path)
    layers = [folder.network.layers[0] for folder in folders]
    cut = [layer for layer in layers if int(layer.call.literals["strip"]) < layer.call.arguments["out_rows"]]
    assert len([layer for layer in cut if not layer.call.kernel.endswith("columns")]) >= 4


def test_output_takes_the_memory_of_the_input_where_it_fits(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    names = ("square", "stride", "valid", "multiplier")
    folders = check_singles({f"d_{name}": _single(rng, name) for name in names}, Requantize.Q31, CORES["dsp"], tmp_path)
    shared = [
        folder.plan.offsets[folder.network.inputs[0]] == folder.plan.offsets[folder.network.outputs[0]]
        for folder in folders
    ]
    assert shared == [True, True, True, False]


def test_scales_that_the_short_form_does_not_take(tmp_path: Path) -> None:
    single = _single(np.random.default_rng(8), "square")
    x, w = single.operands[0].params, single.operands[1].params
    assert x is not None
    assert w is not None
    fine = with_output_scale(single, x.scale[0] * max(w.scale) * 1.5)
    folders = check_singles({"fine": fine}, Requantize.Q31, CORES["dsp"], tmp_path)
    assert _kernels(folders) == ["depthwise"]
