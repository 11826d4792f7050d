from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgert.errors import DataError, UsageError
from edgert_converters.engine import load_runner
from edgert_converters.fixed_point.arithmetic import align_over
from edgert_converters.fixed_point.bct import quantize_bct
from edgert_converters.fixed_point.exponents import best_formats
from edgert_converters.fixed_point.formats import FixedTensor, Format, dequantize_tensor, quantize_tensor
from edgert_converters.fixed_point.magnitudes import block_format, channel_axis
from edgert_converters.fixed_point.plan import Family, build_network
from edgert_converters.fixed_point.storage import load_network, save_network
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.case_models import build_float_model
from edgert_converters.ops.spec import Array, Case
from tests.encoder_example import build_encoder
from tests.fixed_point_example import CASES, case_feed, signal_to_noise_db

_CASE_DB = 29.0
"""Eight bits with a power-of-two scale, in and out; 1 / x of numbers near 0 is given less."""

_STEEP_DB = 20.0


def _samples(count: int, outlier: float = 1.0) -> list[dict[str, Array]]:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((count, 1, 24, 64)).astype(np.float32)
    x[..., 3] *= outlier
    return [{"x": row} for row in x]


def _error_db(family: Family | None, samples: list[dict[str, Array]], block: int = 32) -> float:
    """Of a seeded encoder, in bct or in another family."""
    model, calibration, evaluation = build_encoder(layers=1), samples[:8], samples[8:]
    run, output = load_runner(model), model.graph.outputs[0].name or ""
    network = (
        quantize_bct(model, lambda: calibration, block)
        if family is None
        else build_network(model, family, lambda: calibration)
    )
    expected = np.concatenate([run(s)[output] for s in evaluation])
    return signal_to_noise_db(expected, np.concatenate([network.run(s)[output] for s in evaluation]))


# formats


def test_each_block_has_the_exponent_that_its_own_values_need() -> None:
    x = np.concatenate([np.full(32, 100.0), np.full(32, 0.01), np.full(6, 5.0)])[None].astype(np.float32)
    form = block_format(np.abs(x).astype(np.float64), 32, 8)
    assert form.exponents.tolist() == [[0, -13, -4]]
    back = dequantize_tensor(quantize_tensor(x, form))
    assert np.abs(back / x - 1).max() < 2**-6


def test_a_silent_block_takes_the_largest_exponent_of_its_tensor() -> None:
    form = block_format(np.asarray([[1.0] * 16 + [0.0] * 16 + [8.0] * 16]), 16, 8)
    assert form.exponents.tolist() == [[-6, -3, -3]]


def test_exponents_spread_over_the_values_they_belong_to() -> None:
    form = Format(8, (0, 16, 0), np.asarray([1, 2], np.int16).reshape(1, 2, 1))
    assert form.expand((3, 20, 5)).shape == (1, 20, 1)
    assert form.expand((3, 20, 5)).reshape(-1).tolist() == [1] * 16 + [2] * 4
    assert not form.is_uniform


def test_alignment_keeps_the_values_and_loses_only_what_is_far_smaller() -> None:
    form = Format(8, (0, 2), np.asarray([[0, -3]], np.int16))
    tensor = FixedTensor(np.asarray([[100, -7, 50, 3]], np.int8), form)
    values, exponents = align_over(tensor, (1,), 16)
    assert exponents.tolist() == [[-8]]
    assert (values * 2.0**-8).tolist() == [[100, -7, 6.25, 0.375]]


def test_blocks_lie_on_the_channels_beside_spatial_operators_and_on_the_last_axis_elsewhere() -> None:
    conv = build_float_model(OPERATORS["Conv"], OPERATORS["Conv"].cases[0]).graph
    assert channel_axis(conv.inputs[0], 4) == channel_axis(conv.outputs[0], 4) == 1
    encoder = build_encoder(layers=1).graph
    assert channel_axis(encoder.inputs[0], 3) == 2


# whole operators and networks


@pytest.mark.parametrize(("op", "case"), CASES, ids=[f"{op}-{case.name}" for op, case in CASES])
def test_every_operator_follows_its_float_rule(op: str, case: Case) -> None:
    model, feed = build_float_model(OPERATORS[op], case), case_feed(case)
    expected = load_runner(model)(feed)
    found = quantize_bct(model, lambda: [feed], 16).run(feed)
    for name, y in expected.items():
        assert found[name].shape == y.shape
        assert signal_to_noise_db(y, found[name]) > (_STEEP_DB if op == "Reciprocal" else _CASE_DB)


def test_a_transformer_encoder() -> None:
    assert _error_db(None, _samples(12)) > 26


def test_blocks_keep_what_one_exponent_per_tensor_loses_beside_an_outlier() -> None:
    samples = _samples(12, outlier=10.0)
    whole = _error_db(Family("bct", 8, searches_exponents=True), samples)
    assert _error_db(None, samples, 16) > whole + 2


def test_a_value_just_above_a_power_of_two_saturates_for_the_sake_of_its_block() -> None:
    rng = np.random.default_rng(0)
    model = build_float_model(OPERATORS["Relu"], Case("wide", (np.zeros((1, 4, 32), np.float32),)))
    samples = [{"x0": rng.standard_normal((1, 4, 32)).astype(np.float32)} for _ in range(20)]
    samples[7]["x0"][0, 2, 5] = 33.0
    x = np.concatenate([s["x0"] for s in samples])
    form = block_format(np.abs(x).max(axis=(0, 1), keepdims=True).astype(np.float64), 16, 8)
    found = best_formats(model, {"x0": form}, samples)["x0"]
    errors = [float(((dequantize_tensor(quantize_tensor(x, f)) - x) ** 2).sum()) for f in (form, found)]
    assert errors[1] < errors[0] / 2
    assert (form.exponents - found.exponents).reshape(-1).tolist() == [1, 0]


def test_everything_is_stored_in_eight_bits_but_parameters() -> None:
    network = quantize_bct(build_encoder(layers=1), lambda: _samples(2))
    assert {f.bits for f in (network.formats[name] for step in network.steps for name in step.outputs)} == {8}
    weights = {n: c for n, c in network.constants.items() if n.endswith("/weights") and isinstance(c, FixedTensor)}
    assert len(weights) == 6
    assert all(c.values.dtype == np.int8 and c.format.blocks == (1, 32) for c in weights.values())


def test_a_convolutional_network_of_real_weights(zoo: Path) -> None:
    model = ir.load(zoo / "models" / "resnet20_cifar10.onnx")
    with np.load(zoo / "data" / "cifar10_test_jpegdegraded_500.npz") as data:
        images = next(data[name] for name in data.files if data[name].ndim == 4)[:24]
    mean, spread = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    x = ((images.astype(np.float32) / 255 - mean) / spread).transpose(0, 3, 1, 2)[:, None]
    name, output = model.graph.inputs[0].name or "", model.graph.outputs[0].name or ""
    network = quantize_bct(model, lambda: [{name: row} for row in x[:12]])
    run = load_runner(model)
    expected = np.concatenate([run({name: row})[output] for row in x[12:]])
    found = np.concatenate([network.run({name: row})[output] for row in x[12:]])
    assert signal_to_noise_db(expected, found) > 18


def test_a_stored_network_gives_the_same_bits(tmp_path: Path) -> None:
    samples = _samples(2)
    network = quantize_bct(build_encoder(layers=1), lambda: samples, 16)
    save_network(network, tmp_path / "net.npz")
    again = load_network(tmp_path / "net.npz")
    assert again.family == "bct"
    for name, y in network.run(samples[0]).items():
        assert np.array_equal(again.run(samples[0])[name], y)


# refusals


def test_another_block_length_is_refused() -> None:
    with pytest.raises(UsageError, match="block length 24 is not supported; allowed: 16, 32, 64"):
        quantize_bct(build_encoder(layers=1), lambda: _samples(1), 24)


def test_calibration_data_is_needed() -> None:
    with pytest.raises(DataError, match="the calibration set is empty"):
        quantize_bct(build_encoder(layers=1), list)
