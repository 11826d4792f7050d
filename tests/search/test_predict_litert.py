"""`edgert predict --engine litert`: this computer is learned from whole networks, then asked, as a user does it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgert.cli import main

LITERT = ("--engine", "litert", "--threads", "1")
QUICK = (*LITERT, "--networks", "10", "--minutes", "10", "--rounds", "1", "--quiet")


@pytest.fixture(scope="module")
def costs(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a cost model of this computer."""
    folder = tmp_path_factory.mktemp("costs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGERT_COSTS", str(folder))
        assert main(["predict", "--learn", *QUICK]) == 0
    return folder


@pytest.fixture(autouse=True)
def own_costs(costs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGERT_COSTS", str(costs))


def test_a_model_is_predicted_from_its_layers_alone(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", str(zoo / "models/mlperf_tiny_kws_dscnn_float.tflite"), *LITERT, "--quiet"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["platform"]["engine"] == "litert"
    assert [item["id"] for item in found["variants"]] == ["tflite-fp32", "tflite-int8"]
    for item in found["variants"]:
        for quantity in ("latency_ms", "peak_bytes"):
            assert item[quantity]["source"] == "estimated"
            assert 0 < item[quantity]["low"] <= item[quantity]["value"]
        assert 0.005 < item["latency_ms"]["value"] < 20.0
        assert sum(layer["share"] for layer in item["layers"]) <= 1.0 + 1e-6
        assert item["layers"][0]["kernel"].startswith(("Conv", "QLinearConv"))
    assert found["int8"]["ratio"] > 0
    assert main(words) == 0
    assert "litert" in capsys.readouterr().out.splitlines()[0]


def test_what_was_measured_stays_and_engines_have_costs_of_their_own(
    zoo: Path, costs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (costs / "local-1-litert").iterdir()}
    assert main(["predict", "--learn", *QUICK, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["networks"] == 20
    assert {path: path.stat().st_mtime_ns for path in (costs / "local-1-litert").iterdir()} == before
    assert main(["predict", str(zoo / "models/resnet20_cifar10.onnx"), "--threads", "1"]) == 2
    assert "edgert predict --learn --threads 1 (15 minutes); there are models of local-1-litert" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_device_is_learned_like_another_for_one_engine_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--learn", *LITERT, "--like", "local"]) == 2
    assert "--like is for onnxruntime" in " ".join(capsys.readouterr().err.split())
