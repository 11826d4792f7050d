"""Whole networks described and predicted from their tables of layers: published latencies, costs that follow a law."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgert
from edgert.bundle import Bundle, LayerRecord
from edgert.cost.architecture import (
    ArchitectureCost,
    ArchitectureSample,
    WholeQuantity,
    fit_architecture,
    load_architecture,
    write_architecture,
)
from edgert.cost.device_cost import Platform
from edgert.cost.graph_encoding import FEATURES, FIGURES, GROUPS, describe_network, encode_network, network_hash
from edgert.cost.layer_kinds import KINDS, kind_of
from edgert.cost.records import variants_by_sha256
from edgert.cost.whole_networks import samples_of
from edgert.dtypes import DType
from edgert.errors import InputFileError
from edgert.search.tables import load_table
from tests.bench.cell_networks import layers_of_cells

PLATFORM = Platform(None, None, "aarch64", 8, "unknown", "1", 1)
Layers = tuple[LayerRecord, ...]


@pytest.fixture(scope="module")
def networks() -> dict[int, Layers]:
    """Architectures of NAS-Bench-201 with one cell in each stage, by their row."""
    rows = np.random.default_rng(5).choice(5**6, 45, replace=False).tolist()
    return {row: layers_of_cells(_codes(row), cells=1) for row in rows}


def _codes(row: int) -> list[int]:
    return [row // 5**place % 5 for place in range(6)]


def law(layers: Layers) -> float:
    """A cost that is no sum of figures: convolutions of few channels are slow, and all wait for memory."""
    total = 0.05
    for layer in layers:
        channels = layer.output_shapes[0][1] if len(layer.output_shapes[0]) > 1 else 1
        total += layer.macs * (1 + 16 / channels) / 4e7 + layer.activation_bytes / 5e7 + 0.002
    return total


@pytest.fixture(scope="module")
def cost(networks: dict[int, Layers]) -> ArchitectureCost:
    learned = list(networks.items())[:30]
    noise = np.exp(0.02 * np.random.default_rng(0).standard_normal(30))
    samples = [
        ArchitectureSample(str(row), layers, law(layers) * factor)
        for (row, layers), factor in zip(learned, noise, strict=True)
    ]
    return fit_architecture(samples, WholeQuantity.LATENCY_MS, PLATFORM, created="now", records=["a" * 64])


def test_new_networks_are_predicted_within_intervals_that_hold(
    cost: ArchitectureCost, networks: dict[int, Layers]
) -> None:
    new = list(networks.values())[30:]
    found = [cost.predict(layers) for layers in new]
    errors = [abs(item.value[0] / law(layers) - 1) for item, layers in zip(found, new, strict=True)]
    held = [bool(item.low[0] <= law(layers) <= item.high[0]) for item, layers in zip(found, new, strict=True)]
    assert np.median(errors) < 0.03
    assert sum(held) >= 0.8 * len(new)
    assert np.median([item.relative_width[0] for item in found]) < 0.3


def test_published_latencies_are_predicted_from_thirty_architectures(zoo: Path, networks: dict[int, Layers]) -> None:
    """Not told that they are cells; half the error of a factor times the work."""
    table = load_table(zoo / "hwbench" / "nasbench201_latency.parquet")
    places = {tuple(codes): place for place, codes in enumerate(table.codes.tolist())}
    latency_ms = {row: float(table.latency_ms["silver_4210r"][places[tuple(_codes(row))]]) for row in networks}
    samples = [ArchitectureSample(str(row), layers, latency_ms[row]) for row, layers in networks.items()]
    cost = fit_architecture(samples[:30], WholeQuantity.LATENCY_MS, PLATFORM, created="now")
    errors = [abs(cost.predict(item.layers).value[0] / item.value - 1) for item in samples[30:]]
    ratios = [item.value / sum(layer.macs for layer in item.layers) for item in samples]
    by_work = [abs(np.median(ratios[:30]) / ratio - 1) for ratio in ratios[30:]]
    assert np.median(errors) < 0.5 * np.median(by_work)


def test_more_of_the_same_costs_more(cost: ArchitectureCost, networks: dict[int, Layers]) -> None:
    for layers in list(networks.values())[:5]:
        wider = tuple(
            dataclasses.replace(
                layer, macs=100 * layer.macs, activation_bytes=100 * layer.activation_bytes,
                weight_bytes=100 * layer.weight_bytes,
            )
            for layer in layers
        )  # fmt: skip
        assert cost.predict(wider).value[0] > 5 * cost.predict(layers).value[0]
    assert all(factor >= 0 for factor in cost.model.prior.factors)


def test_what_was_never_measured_is_named_and_widens_the_interval(
    cost: ArchitectureCost, networks: dict[int, Layers]
) -> None:
    layers = next(iter(networks.values()))
    strange = (dataclasses.replace(layers[0], op="GridSample"), *layers[1:])
    integer = (dataclasses.replace(layers[0], dtype=DType.INT8), *layers[1:])
    assert cost.unfamiliar(layers) == ()
    assert cost.unfamiliar(strange) == cost.unfamiliar(integer) == (layers[0].name,)
    plain, guessed = cost.predict(layers), cost.predict(strange)
    assert guessed.relative_width[0] > 1.5 * plain.relative_width[0]


def test_names_do_not_matter_and_order_of_reading_does(networks: dict[int, Layers]) -> None:
    layers = next(layers for layers in networks.values() if len(layers) > 30)
    renamed = tuple(
        dataclasses.replace(
            layer,
            name=f"other {layer.name}",
            inputs=tuple(f"other {name}" for name in layer.inputs),
            outputs=tuple(f"other {name}" for name in layer.outputs),
        )
        for layer in layers
    )
    assert describe_network(renamed) == describe_network(layers)
    assert encode_network(renamed) == encode_network(layers)
    assert network_hash(renamed) == network_hash(layers)
    assert "other" not in describe_network(renamed)
    elsewhere = tuple(
        dataclasses.replace(layer, inputs=(layers[0].outputs[0],)) if number == len(layers) // 2 else layer
        for number, layer in enumerate(layers)
    )
    assert network_hash(elsewhere) != network_hash(layers)
    changed = [a != b for a, b in zip(encode_network(elsewhere).features, encode_network(layers).features, strict=True)]
    assert any(changed[GROUPS["patterns"]])


def test_encodings_are_of_one_length_finite_and_bounded(networks: dict[int, Layers]) -> None:
    for layers in networks.values():
        encoding = encode_network(layers)
        assert len(encoding.figures) == len(FIGURES)
        assert len(encoding.features) == len(FEATURES)
        assert np.isfinite(encoding.features).all()
        assert np.abs(encoding.features).max() < 64
    assert sum(place.stop - place.start for place in GROUPS.values()) == len(FEATURES)
    assert {kind_of(layer) for layers in networks.values() for layer in layers} <= set(KINDS)
    with pytest.raises(ValueError, match="without layers"):
        encode_network([])


def test_another_process_encodes_the_same() -> None:
    script = (
        "import json; from edgert.cost.graph_encoding import encode_network;"
        "from tests.bench.cell_networks import layers_of_cells;"
        "print(json.dumps(encode_network(layers_of_cells([3, 1, 4, 2, 0, 3], cells=1)).features))"
    )
    there = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        cwd=Path(__file__).parents[2],
    )
    here = encode_network(layers_of_cells([3, 1, 4, 2, 0, 3], cells=1)).features
    assert json.loads(there.stdout) == list(here)


def test_a_saved_model_predicts_the_same(cost: ArchitectureCost, networks: dict[int, Layers], tmp_path: Path) -> None:
    read = load_architecture(write_architecture(tmp_path / "cost.json", cost))
    assert (read.platform, read.quantity, read.networks) == (PLATFORM, WholeQuantity.LATENCY_MS, 30)
    assert read.records_sha256 == cost.records_sha256
    assert len(read.records_sha256) == 64
    for layers in list(networks.values())[30:35]:
        first, second = cost.predict(layers), read.predict(layers)
        assert second.value[0] == pytest.approx(first.value[0], rel=1e-9)
        assert second.high[0] == pytest.approx(first.high[0], rel=1e-9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda plain: plain | {"schema": 99}, "cost model of schema 99, this edgert reads 1; learn it again"),
        (lambda plain: {key: value for key, value in plain.items() if key != "model"}, "model: missing"),
        (lambda plain: plain | {"quantity": "taste"}, "quantity: 'taste' is not one of"),
        (
            lambda plain: plain | {"model": plain["model"] | {"prior": {"constant": 1.0, "factors": [1.0]}}},
            "describes networks in another way",
        ),
    ],
)
def test_a_damaged_file_is_refused(cost: ArchitectureCost, tmp_path: Path, change: object, words: str) -> None:
    path = write_architecture(tmp_path / "cost.json", cost)
    assert callable(change)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(InputFileError, match=words):
        load_architecture(path)
    path.write_text("{")
    with pytest.raises(InputFileError, match="damaged cost model"):
        load_architecture(path)
    with pytest.raises(InputFileError, match="cannot be read"):
        load_architecture(tmp_path / "none.json")


def test_too_few_networks_and_costs_that_are_none_are_refused(networks: dict[int, Layers]) -> None:
    samples = [ArchitectureSample(str(row), layers, 1.0) for row, layers in list(networks.items())[:10]]
    with pytest.raises(ValueError, match="9 networks of 9 groups are too few"):
        fit_architecture(samples[:9], WholeQuantity.ENERGY_MJ, PLATFORM, created="now")
    same = [dataclasses.replace(sample, group="one") for sample in samples]
    with pytest.raises(ValueError, match="10 networks of 1 groups are too few"):
        fit_architecture(same, WholeQuantity.ENERGY_MJ, PLATFORM, created="now")
    broken = [*samples[:9], dataclasses.replace(samples[9], value=0.0)]
    with pytest.raises(ValueError, match="energy_mj: 0 was given"):
        fit_architecture(broken, WholeQuantity.ENERGY_MJ, PLATFORM, created="now")


def test_records_of_litert_become_samples(zoo: Path, tmp_path: Path) -> None:
    path = tmp_path / "kws.edge"
    edgert.convert(zoo / "models/mlperf_tiny_kws_dscnn_int8.tflite", output=path, formats=("tflite",))
    record = edgert.profile(path, engine="litert", duration_s=0.05, threads=1, layers=False, energy="none")
    busy = [tuple(2 * value for value in window) for window in record.latency.windows_ms]
    slower = dataclasses.replace(record.latency, p50_ms=2 * record.latency.p50_ms, windows_ms=tuple(busy))
    records = [dataclasses.replace(record, latency=slower), record]
    with Bundle.open(path) as bundle:
        layers = bundle.manifest.variant(records[0].variant).layers
    known = variants_by_sha256([path])
    (latency,) = samples_of(records, known, WholeQuantity.LATENCY_MS)
    (memory,) = samples_of(records, known, WholeQuantity.PEAK_BYTES)
    assert latency.layers == layers
    assert 0 < latency.value <= record.latency.p50_ms
    assert memory.value == record.memory.peak_rss_bytes
    assert samples_of(records, known, WholeQuantity.ENERGY_MJ) == []
    assert samples_of(records, {}, WholeQuantity.LATENCY_MS) == []
    with pytest.raises(ValueError, match="no instructions"):
        samples_of(records, known, WholeQuantity.INSTRUCTIONS)
