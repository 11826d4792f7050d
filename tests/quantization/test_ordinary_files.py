"""What edgert writes runs without edgert: `-o net.onnx`, `-o folder/` and `edgert unpack`, in the bare engine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edgert
from edgert.bundle import Bundle
from tests.quantization.command_line import RECIPES
from tests.quantization.command_line import edgert as run_edgert
from tests.quantization.conftest import Converted

BARE = """
import sys
import numpy as np
import onnxruntime
model, inputs, outputs = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
feed = {value.name: np.load(inputs)[value.name] for value in session.get_inputs()}
names = [value.name for value in session.get_outputs()]
np.savez(outputs, **dict(zip(names, session.run(names, feed))))
assert not [name for name in sys.modules if name.startswith("edgert")], "this is the bare engine"
"""


@pytest.fixture(scope="module")
def bundle(zoo: Path, some_images: Callable[[int, int], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same conversion as `plain_words`, as a bundle."""
    path = tmp_path_factory.mktemp("bundle") / "net.edge"
    assert run_edgert(*_words(zoo, some_images), "-o", path).status == 0
    return path


def _words(zoo: Path, some_images: Callable[[int, int], Path]) -> list[object]:
    recipe = RECIPES / "resnet20.toml"
    return ["convert", zoo / "models" / "resnet20_cifar10.onnx", "--recipe", recipe, "--calib", some_images(0, 24)]


def run_bare(model: Path, feed: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    """Runs a file in ONNX Runtime, in an interpreter that never sees edgert."""
    inputs, outputs = folder / "inputs.npz", folder / "outputs.npz"
    np.savez(inputs, **feed)
    command = [sys.executable, "-I", "-c", BARE, str(model), str(inputs), str(outputs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    with np.load(outputs) as data:
        return dict(data)


def check_same_answers(bundle: Path, variant: str, model: Path, folder: Path) -> None:
    with Bundle.open(bundle) as opened:
        golden = opened.golden()
    feed = {key.removeprefix("input/"): values[0] for key, values in golden.items() if key.startswith("input/")}
    with edgert.load(bundle, variant=variant) as session:
        expected = session.run(feed)
    found = run_bare(model, feed, folder)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5 * float(np.abs(values).max()))


def test_one_file(zoo: Path, bundle: Path, some_images: Callable[[int, int], Path], tmp_path: Path) -> None:
    result = run_edgert(*_words(zoo, some_images), "-o", tmp_path / "net.onnx", "--json")
    assert result.status == 0, result.stderr
    assert [Path(path).name for path in result.json["written"]] == ["net.onnx", "net.report.json"]
    check_same_answers(bundle, "onnx-int8", tmp_path / "net.onnx", tmp_path)


def test_a_folder(zoo: Path, bundle: Path, some_images: Callable[[int, int], Path], tmp_path: Path) -> None:
    folder = tmp_path / "net"
    result = run_edgert(*_words(zoo, some_images), "-o", f"{folder}/")
    assert result.status == 0, result.stderr
    names = ["onnx-fp32.onnx", "onnx-int8.onnx", "report.json", "tflite-fp32.tflite", "tflite-int8.tflite"]
    assert sorted(path.name for path in folder.iterdir()) == names
    for variant in ("onnx-fp32", "onnx-int8"):
        check_same_answers(bundle, variant, folder / f"{variant}.onnx", tmp_path)


@pytest.mark.parametrize("variant", ["onnx-fp32", "onnx-int8", "onnx-fp16"])
def test_an_unpacked_bundle(resnet20: Converted, variant: str, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    assert run_edgert("unpack", resnet20.bundle, "-o", folder).status == 0
    check_same_answers(resnet20.bundle, variant, folder / "variants" / variant / "model.onnx", tmp_path)
