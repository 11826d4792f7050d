"""`edgert predict` as a user runs it: this computer is learned from a few random networks, then asked."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from edgert.cli import main

QUICK = ("--networks", "10", "--minutes", "10", "--rounds", "1", "--threads", "1", "--json", "--quiet")


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


def test_a_model_file_is_predicted_before_it_is_converted(
    zoo: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["predict", str(zoo / "models/mlperf_tiny_kws_dscnn_float.tflite"), "--threads", "1"]
    assert main([*words, "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [item["id"] for item in found["variants"]] == ["onnx-fp32", "onnx-int8"]
    for item in found["variants"]:
        latency = item["latency_ms"]
        assert latency["source"] == "estimated"
        assert 0 < latency["low"] < latency["value"] < 20.0
        assert item["layers"][0]["ms"] >= item["layers"][-1]["ms"]
        assert sum(layer["share"] for layer in item["layers"]) == pytest.approx(1.0, abs=0.5)
    layers = {layer["name"] for layer in found["int8"]["layers"]}
    assert len(layers) >= 9  # its convolutions
    assert found["int8"]["ratio"] > 0
    assert main([*words, "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "predicted, not measured" in text
    assert "will int8 pay?" in text


def test_learning_again_measures_nothing_again(costs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (costs / "local-1").iterdir()}
    assert len(before) == 20
    assert main(["predict", "--learn", *QUICK]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["networks"] == 20
    assert plain["memory"]
    assert not plain["energy"]
    assert {path: path.stat().st_mtime_ns for path in (costs / "local-1").iterdir()} == before


@pytest.mark.slow
def test_a_new_device_is_learned_from_ten_networks_like_one_before(
    zoo: Path, costs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(costs, tmp_path, dirs_exist_ok=True)
    (tmp_path / "local-1.json").rename(tmp_path / "earlier-1.json")
    monkeypatch.setenv("EDGERT_COSTS", str(tmp_path))
    assert main(["predict", "--learn", "--like", "earlier", *QUICK[2:]]) == 0
    assert json.loads(capsys.readouterr().out)["networks"] == 10
    assert main(["predict", str(zoo / "models/resnet20_cifar10.onnx"), "--threads", "1"]) == 0
    assert "local: onnxruntime" in capsys.readouterr().out
    assert main(["predict", "--learn", "--like", "nobody", *QUICK[2:]]) == 2
    assert_matches("nothing was learned of nobody", capsys.readouterr().err)


def test_what_cannot_be_predicted_says_so(zoo: Path, capsys: pytest.CaptureFixture[str], costs: Path) -> None:
    model = str(zoo / "models/resnet20_cifar10.onnx")
    for words, status, text in (
        ([model, "--device", "pi"], 2, "nothing was learned of pi.*edgert predict --learn --device pi.*local-1"),
        ([model, "--threads", "7"], 2, "nothing was learned of local with 7 threads"),
        ([model, "--threads", "1", "--level", "1.5"], 2, "--level 1.5: a share above 0 and below 1"),
        ([model, "--learn"], 2, "say what to predict"),
        ([], 2, "say what to predict"),
        (["--learn", "--networks", "3"], 2, "3 networks in 15 minutes.*at least 10"),
    ):
        assert main(["predict", *words]) == status, words
        assert_matches(text, capsys.readouterr().err)
    (costs / "local-3.json").write_text("{}")
    assert main(["predict", model, "--threads", "3"]) == 4


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text.replace("\n", " ")), text
