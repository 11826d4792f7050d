"""A device whose times follow a law is learned; what was not learned is named and widens the interval."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from edgert.cost.adapt import choose_networks
from edgert.cost.device_cost import DeviceCost, Platform, Sample, Sizes, fit_device, load_cost, write_cost
from edgert.cost.kernel_model import fit_kernels
from edgert.cost.kernels import UNSIGNED, Kernel
from edgert.cost.latency import MeasuredNetwork, fit_latency
from edgert.errors import InputFileError

PLATFORM = Platform("a board", "a chip", "aarch64", 4, "onnxruntime", "1.31.1", 1)
PROFILER_MS, CALL_MS = 0.003, 0.02


def kernel(random: np.random.Generator, index: int) -> tuple[Kernel, float]:
    """A convolution or an addition of random size, and its true ms."""
    pixels, channels, depth = int(random.integers(4, 4000)), int(random.integers(4, 200)), int(random.integers(4, 200))
    if random.random() < 0.5:
        moved = (pixels * depth, pixels * channels, channels * depth)
        sizes = (pixels * channels * depth, *moved, pixels, 0, 1, depth, channels, 1)
        ms = 0.002 + sizes[0] / 5e7 + sizes[3] / 1e7
        family = "Conv float dense"
    else:
        sizes = (0, 2 * pixels * channels, pixels * channels, 0, 0, 0, 1, 0, 0, 2)
        ms, family = 0.001 + sizes[2] / 2e7, "Add float"
    ms *= 1 + 0.3 * np.sin(2 * np.log2(channels))  # what no roofline tells
    logs = tuple(float(np.log2(1 + size)) for size in sizes)
    return Kernel(f"kernel_{index}", family, (f"layer_{index}",), logs), ms


def sample(seed: int, conv_ratio: float = 1.0, add_ratio: float = 1.0) -> Sample:
    """A network that was measured with 3 % of noise, at 2 W, in 10 MB and four times its weights.

    The ratios are those of another device to this one.
    """
    random = np.random.default_rng(seed)
    kernels, ms = zip(*(kernel(random, index) for index in range(random.integers(5, 40))), strict=True)
    ms = tuple(value * (conv_ratio if item.features[0] else add_ratio) for item, value in zip(kernels, ms, strict=True))
    noise = np.exp(0.03 * random.standard_normal(len(ms) + 2))
    latency_ms = (sum(ms) + CALL_MS) * noise[-1]
    timed = tuple(float(value * factor + PROFILER_MS) for value, factor in zip(ms, noise[:-2], strict=True))
    weights = int(random.integers(1000, 1_000_000))
    network = MeasuredNetwork(str(seed), kernels, timed, float(latency_ms))
    return Sample(network, Sizes(weights, 1000), 2.0 * latency_ms * noise[-2], round(1e7 + 4 * weights))


@pytest.fixture(scope="module")
def cost() -> DeviceCost:
    samples = [sample(seed) for seed in range(40)]
    return fit_device(samples, PLATFORM, created="2026-11-22T00:00:00+00:00", records=["a" * 64, "b" * 64])


def test_new_networks_are_predicted_within_intervals_that_hold(cost: DeviceCost) -> None:
    errors, held = [], {"latency": 0, "energy": 0, "memory": 0}
    new = [sample(seed) for seed in range(100, 140)]
    for item in new:
        found = cost.predict(item.network.kernels, item.sizes)
        assert found.energy_mj is not None
        assert found.peak_bytes is not None
        errors.append(abs(found.latency_ms.value[0] / item.network.latency_ms - 1))
        for name, truth, said in (
            ("latency", item.network.latency_ms, found.latency_ms),
            ("energy", item.energy_mj, found.energy_mj),
            ("memory", item.peak_bytes, found.peak_bytes),
        ):
            held[name] += bool(said.low[0] <= truth <= said.high[0])
    assert np.median(errors) < 0.06
    assert all(count >= 0.8 * len(new) for count in held.values()), held
    widths = [cost.predict(item.network.kernels, item.sizes).latency_ms.relative_width[0] for item in new]
    assert np.median(widths) < 0.5


def test_networks_that_grow_faster_than_the_sum_of_their_kernels() -> None:
    def grown(seed: int) -> MeasuredNetwork:
        network = sample(seed).network
        return dataclasses.replace(network, latency_ms=network.latency_ms**1.2)

    model, _ = fit_latency([grown(seed) for seed in range(40)])
    new = [grown(seed) for seed in range(100, 140)]
    errors = [math.log(model.estimate(network.kernels).ms / network.latency_ms) for network in new]
    assert model.power > 0
    slope = np.polyfit([math.log(network.latency_ms) for network in new], errors, 1)[0]
    assert abs(slope) < 0.05


def test_more_of_the_same_never_costs_less(cost: DeviceCost) -> None:
    kernels = sample(200).network.kernels
    once, twice = (cost.predict(kernels * count, Sizes(1, 1)).latency_ms.value[0] for count in (1, 2))
    assert twice > 1.5 * once


def test_what_was_not_learned_is_named_and_widens_the_interval(cost: DeviceCost) -> None:
    known = sample(201).network.kernels
    strange = tuple(dataclasses.replace(item, family="LSTM float") for item in known[:3]) + known[3:]
    plain, guessed = (cost.predict(kernels, Sizes(1, 1)) for kernels in (known, strange))
    assert plain.estimate.guessed == ()
    assert guessed.estimate.guessed == tuple(item.name for item in known[:3])
    assert guessed.latency_ms.relative_width[0] > plain.latency_ms.relative_width[0]


def test_unsigned_weights_are_named_and_taken_for_what_is_nearest(cost: DeviceCost) -> None:
    known = tuple(item for item in sample(201).network.kernels if item.family.startswith("Conv"))
    unsigned = tuple(dataclasses.replace(item, family=item.family + UNSIGNED) for item in known)
    plain, guessed = (cost.predict(kernels, Sizes(1, 1)) for kernels in (known, unsigned))
    assert guessed.estimate.guessed == tuple(item.name for item in known)
    assert guessed.latency_ms.value[0] == pytest.approx(plain.latency_ms.value[0], rel=0.2)
    assert guessed.latency_ms.relative_width[0] > 1.5 * plain.latency_ms.relative_width[0]


def test_long_windows_into_one_channel_cost_what_is_gathered() -> None:
    """Far from all that was learned: 256 products for each position, where maps had 8 channels and more."""

    def windows(pixels: int, window: int, depth: int, channels: int) -> tuple[Kernel, float]:
        moved = (2 * pixels * depth, pixels * channels, channels * depth * window)
        sizes = (pixels * channels * depth * window, *moved, pixels * window, 0, window, depth, channels, 2)
        logs = tuple(float(np.log2(1 + size)) for size in sizes)
        return Kernel("conv", "QLinearConv int8 window", (), logs), 0.002 + sizes[0] / 3e7 + sizes[4] / 3e5

    random = np.random.default_rng(0)
    drawn = [
        windows(int(random.integers(16, 4000)), int(random.choice([9, 25, 81, 117])), *random.integers(8, 64, 2))
        for _ in range(60)
    ]
    model = fit_kernels([item for item, _ in drawn], [ms for _, ms in drawn])
    long, ms = windows(20_000, 256, 1, 1)
    assert model.predict([long]).ms[0] == pytest.approx(ms, rel=0.3)


def test_a_saved_model_predicts_the_same(cost: DeviceCost, tmp_path: Path) -> None:
    item = sample(300)
    read = load_cost(write_cost(tmp_path / "cost.json", cost))
    assert read.platform == PLATFORM
    assert read.records_sha256 == cost.records_sha256
    first, second = (model.predict(item.network.kernels, item.sizes) for model in (cost, read))
    assert second.latency_ms.value[0] == pytest.approx(first.latency_ms.value[0], rel=1e-9)
    assert second.latency_ms.high[0] == pytest.approx(first.latency_ms.high[0], rel=1e-9)
    assert second.estimate.guessed == first.estimate.guessed


def test_the_hash_of_the_records_does_not_depend_on_their_order() -> None:
    samples = [sample(seed) for seed in range(10)]
    one, other = (fit_device(samples, PLATFORM, created="", records=records).records_sha256 for records in ("ab", "ba"))
    assert one == other


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda plain: plain | {"schema": 99}, "cost model of schema 99, this edgert reads 4"),
        (lambda plain: plain | {"schema": 3}, "cost model of schema 3, this edgert reads 4"),
        (lambda plain: {key: value for key, value in plain.items() if key != "latency"}, "latency: missing"),
        (lambda plain: plain | {"networks": "many"}, "networks: expected int"),
        (lambda plain: [], "cost model of schema None"),
    ],
)
def test_a_damaged_file_is_refused(cost: DeviceCost, tmp_path: Path, change: object, words: str) -> None:
    path = write_cost(tmp_path / "cost.json", cost)
    assert callable(change)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(InputFileError, match=words):
        load_cost(path)
    path.write_text("{")
    with pytest.raises(InputFileError, match="damaged cost model.*edgert predict --learn"):
        load_cost(path)
    with pytest.raises(InputFileError, match="cannot be read"):
        load_cost(tmp_path / "none.json")


def test_another_device_is_learned_from_ten_networks_as_a_difference(cost: DeviceCost) -> None:
    ratios = (4.0, 2.5)
    pool = [sample(seed, *ratios) for seed in range(400, 440)]
    few = [pool[place] for place in choose_networks(cost.latency, [item.network.kernels for item in pool], 10)]
    new = [sample(seed, *ratios) for seed in range(500, 540)]
    found = fit_device(few, PLATFORM, created="", records=["b"], earlier=cost)
    assert found.records_sha256 != cost.records_sha256
    error, held = errors_on(found, new)
    assert error < 0.06
    assert held >= 0.75


def test_what_the_ten_networks_lack_is_the_other_devices(cost: DeviceCost) -> None:
    """They hold additions only; the new ones have convolutions, too, and both take three times as long here."""
    ratios = (3.0, 3.0)
    few, new = ([sample(seed, *ratios) for seed in range(start, start + 10)] for start in (400, 500))
    few = [additions_of(item) for item in few]
    error, held = errors_on(fit_device(few, PLATFORM, created="", records=["b"], earlier=cost), new)
    alone, _ = errors_on(fit_device(few, PLATFORM, created="", records=["b"]), new)
    assert error < 0.2 < alone
    assert held >= 0.75


def additions_of(item: Sample) -> Sample:
    """The network without its convolutions."""
    pairs = zip(item.network.kernels, item.network.kernel_ms, strict=True)
    kernels, ms = zip(*((kernel, ms) for kernel, ms in pairs if kernel.family == "Add float"), strict=True)
    latency_ms = sum(ms) - len(ms) * PROFILER_MS + CALL_MS
    return dataclasses.replace(item, network=MeasuredNetwork(item.network.group, kernels, ms, latency_ms))


def errors_on(cost: DeviceCost, new: list[Sample]) -> tuple[float, float]:
    """The median error on networks, and the share of them that the intervals hold."""
    said = [cost.predict(item.network.kernels, item.sizes).latency_ms for item in new]
    truth = np.array([item.network.latency_ms for item in new])
    value, low, high = np.array([[each.value[0], each.low[0], each.high[0]] for each in said]).T
    return float(np.median(np.abs(value / truth - 1))), float(np.mean((low <= truth) & (truth <= high)))


def test_networks_that_tell_all_families_apart_are_chosen(cost: DeviceCost) -> None:
    kernels = [item for seed in range(5) for item in sample(seed).network.kernels]
    additions, convolutions = ([item for item in kernels if item.family.startswith(word)] for word in ("Add", "Conv"))
    candidates = [additions[:10]] * 3 + [convolutions[:10]] * 3
    assert {place // 3 for place in choose_networks(cost.latency, candidates, 2)} == {0, 1}


def test_too_few_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="9 networks are too few"):
        fit_latency([sample(seed).network for seed in range(9)])
