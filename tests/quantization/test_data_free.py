"""Real models converted without calibration data: all data decide, and little is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgert_converters.batch_norm_notes import read_moments
from edgert_converters.importers import import_model
from edgert_converters.passes.output_check import relative_error
from edgert_converters.variants import random_samples
from tests.quantization.command_line import RECIPES, edgert

LEAST_AGREE = {"resnet20": 0.96, "proxyless_w025": 0.86}
"""Two points below what calibrated ranges give, and the noise of 300 to 500 images."""


def _int8(zoo: Path, tmp_path: Path, recipe: str, model: str, evaluation: str) -> tuple[dict[str, object], str]:
    result = edgert(
        *("convert", zoo / "models" / model, "--recipe", RECIPES / f"{recipe}.toml", "--data-free", "--json"),
        *("--eval", zoo / "data" / evaluation, "--format", "onnx", "-o", tmp_path / "net.edge"),
    )
    (row,) = (row for row in result.json["variants"] if row["id"] == "onnx-int8")
    return row, result.stderr


@pytest.mark.slow
def test_resnet20_loses_little_and_says_what_was_made_up(zoo: Path, tmp_path: Path) -> None:
    data = "cifar10_test_jpegdegraded_500.npz"
    int8, messages = _int8(zoo, tmp_path, "resnet20", "resnet20_cifar10.onnx", data)
    assert int8["n"] == 500, "all images decide"
    assert float(str(int8["agree"])) >= LEAST_AGREE["resnet20"]
    assert float(str(int8["drop"])) <= 2.0
    assert "data-free: ranges come from 32 synthetic pictures, put through the recipe's pre-processing" in messages
    assert "unverified" not in messages


@pytest.mark.slow
def test_proxylessnas_loses_little(zoo: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    data = "imagenet_val_300_227px.parquet"
    int8, _ = _int8(zoo, tmp_path, "proxyless_w025", "proxyless_w025_r112_imagenet.onnx", data)
    assert float(str(int8["agree"])) >= LEAST_AGREE["proxyless_w025"]


def test_statistics_of_a_real_normalisation_reach_the_quantizer(zoo: Path, tmp_path: Path) -> None:
    """Through the child process that reads files; the graph is that of the exported ResNet20."""
    pytest.importorskip("torch")
    from tests.batch_norm_example import export_resnet20

    export_resnet20(zoo / "models" / "resnet20-12fca82f.th", tmp_path / "net.onnx")
    imported = import_model(tmp_path / "net.onnx", {})
    plain = import_model(zoo / "models" / "resnet20_cifar10.onnx", {})
    noted = [moments for node in imported.model.graph if (moments := read_moments(node)) is not None]
    assert len(noted) == 19
    assert noted[0].mean.shape == (16,)
    from edgert_converters.engine import load_runner

    sample = random_samples(imported.inputs, 1, 0)[0]["input"]
    outputs = [
        load_runner(each.model)({each.inputs[0].name: sample})[each.outputs[0].name] for each in (plain, imported)
    ]
    assert relative_error([outputs[0]], [np.asarray(outputs[1])]) < 1e-5
