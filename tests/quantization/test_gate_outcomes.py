"""What the accuracy gate says on a real model, and the exit code that goes with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from edgert.bundle import Bundle
from tests.quantization.command_line import RECIPES, Done, edgert

Images = Callable[[int, int], Path]


def convert(zoo: Path, output: Path, *words: object) -> Done:
    model = zoo / "models" / "resnet20_cifar10.onnx"
    return edgert("convert", model, "--recipe", RECIPES / "resnet20.toml", "-o", output, "--json", *words)


def test_without_data_int8_is_unverified_and_the_flags_are_named(zoo: Path, tmp_path: Path) -> None:
    result = convert(zoo, tmp_path / "net.edge")
    assert result.status == 0
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("onnx-int8: unverified"))
    assert "--calib" in line
    assert "--eval" in line
    assert result.json["gate"] == "none"
    assert {variant["value"] for variant in result.json["variants"]} == {None}
    with Bundle.open(tmp_path / "net.edge") as bundle:
        assert bundle.manifest.variant("onnx-int8").notes == ("unverified",)
        assert bundle.manifest.default_variant == "onnx-fp32", "nobody gets an unverified variant without asking"


def unbalance(source: Path, target: Path, factor: float = 16.0) -> str:
    """Writes the same float network with one hard layer, and returns the layer's name.

    Channels of one ReLU grow by powers of `factor` and the convolution after it shrinks them again: one scale cannot
    hold them all, as in networks whose training left channels of very different size.
    """
    model = onnx.load(source)
    convs = [node for node in model.graph.node if node.name.startswith("/layer1/layer1.0/conv")]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    weight, bias, after = (constants[name] for name in (convs[0].input[1], convs[0].input[2], convs[1].input[1]))
    channels = numpy_helper.to_array(bias).size
    grow = (factor ** (np.arange(channels) % 4)).astype(np.float32)
    for tensor, scale in ((weight, grow[:, None, None, None]), (bias, grow), (after, 1 / grow[None, :, None, None])):
        changed = numpy_helper.to_array(tensor) * scale
        tensor.CopyFrom(numpy_helper.from_array(changed.astype(np.float32), tensor.name))
    onnx.save(model, target)
    return "/layer1/layer1.0/Relu"


def test_a_failed_gate_names_the_layer_and_still_writes_the_report(
    zoo: Path, some_images: Images, tmp_path: Path
) -> None:
    hard = unbalance(zoo / "models" / "resnet20_cifar10.onnx", tmp_path / "hard.onnx")
    words = ["--recipe", RECIPES / "resnet20.toml", "--calib", some_images(0, 24), "--eval", some_images(24, 124)]
    result = edgert("convert", tmp_path / "hard.onnx", *words, "-o", tmp_path / "net.edge", "--json")
    assert result.status == 1, result.stderr
    assert result.json["gate"] == "failed"
    assert re.search(r"onnx-int8: failed: n=100: the drop is at least [\d.]+ points", result.stderr)
    worst = result.json["worst_layers"]
    assert worst[0]["name"] == hard
    gains = [layer["gain_db"] for layer in worst]
    assert gains[0] > 6 > max(gains[1:]), "putting this one back repairs the network; no other does"
    assert f"keeping {hard!r} float gains {gains[0]:+.1f} dB" in result.stderr
    with Bundle.open(tmp_path / "net.edge") as bundle:
        report = bundle.report()
        assert bundle.manifest.default_variant == "onnx-fp32", "what failed is not what runs"
    assert report["gate"] == "failed"
    assert [layer["name"] for layer in report["worst_layers"]] == [layer["name"] for layer in worst]


def test_undecided_says_so_and_fails_only_under_strict(zoo: Path, some_images: Images, tmp_path: Path) -> None:
    data = ["--calib", some_images(0, 24), "--eval", some_images(24, 104)]
    result = convert(zoo, tmp_path / "net.edge", *data)
    assert (result.status, result.json["gate"]) == (0, "undecided")
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("onnx-int8: undecided"))
    assert re.search(r"n=80 cannot exclude a drop of [\d.]+ points.*; about \d+ samples would", line)
    assert "passed" not in result.stdout + result.stderr
    strict = convert(zoo, tmp_path / "strict.edge", "--strict", *data)
    assert (strict.status, strict.json["gate"]) == (1, "undecided")
    assert strict.json["variants"] == result.json["variants"], "the same input gives the same figures"


def test_samples_that_calibrate_do_not_decide(zoo: Path, some_images: Images, tmp_path: Path) -> None:
    result = convert(zoo, tmp_path / "net.edge", "--calib", some_images(0, 24), "--eval", some_images(16, 56))
    assert re.search(r"8 samples also occur in \S+images\d+\.npz and do not decide; 32 do", result.stderr)
    assert result.json["reference"]["n"] == 32
