"""One wheel, one bundle made beforehand, and the environments of this tier, each made once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import edgert
from edgert.commands.unpack import unpack
from edgert.recipe import Recipe
from edgert_converters.command import CONVERTER
from tests.install.environments import ROOT, Environment, make_environment

OLDEST_ENGINE = ("onnxruntime==1.17.3", "numpy==1.26.4")
"""The oldest that targets list for boards; it needs numpy below 2."""
PYTHON_310 = ("onnxruntime==1.23.2", "numpy==1.26.4")
"""The newest engine with a wheel for Python 3.10, beside the oldest numpy."""
IMAGES = 16
CALIBRATION = 48


@dataclass(frozen=True, slots=True)
class Converted:
    """A model converted here: bundle, ordinary files, real inputs, and the answers of this environment."""

    bundle: Path
    files: dict[str, Path]
    inputs: Path
    answers: dict[str, np.ndarray]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built the way a release is."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("edgert-*-py3-none-any.whl")
    return path


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    data = ROOT / "edgert" / "demo"
    images = {name: _load(data / f"digits_{name}.npz", "x")[:, None] for name in ("calib", "eval")}
    return _convert(data / "digits.onnx", images["calib"], images["eval"], tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def resnet20(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    images = _load(zoo / "data" / "cifar10_test_jpegdegraded_500.npz", "images")
    images = np.ascontiguousarray(((images - mean) / std).transpose(0, 3, 1, 2))
    model = zoo / "models" / "resnet20_cifar10.onnx"
    return _convert(model, images[CALIBRATION:], images, tmp_path_factory.mktemp("resnet20"))


@pytest.fixture(scope="session")
def with_engine(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What `pip install 'edgert[ort]'` gives."""
    return make_environment(tmp_path_factory.mktemp("ort") / "venv", f"{wheel}[ort]")


@pytest.fixture(scope="session")
def without_extras(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What `pip install edgert` gives."""
    return make_environment(tmp_path_factory.mktemp("bare") / "venv", wheel)


@pytest.fixture(scope="session")
def oldest_engine(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("oldest") / "venv"
    return make_environment(folder, wheel, *OLDEST_ENGINE, python=find_python("3.11"))


@pytest.fixture(scope="session")
def python_310(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("python310") / "venv"
    return make_environment(folder, wheel, *PYTHON_310, python=find_python("3.10"))


def find_python(version: str) -> Path:
    """Returns an interpreter of that version, or skips the test and says where it looked."""
    if sys.version.startswith(f"{version}."):
        return Path(sys.executable)
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [*versions.glob(f"{version}.*/bin/python{version}"), *filter(None, [shutil.which(f"python{version}")])]
    for candidate in map(Path, found):
        if _answers_as(candidate, version):
            return candidate
    pytest.skip(f"needs Python {version}, which neither PATH nor {versions} has in working order")


def _answers_as(python: Path, version: str) -> bool:
    """False also for a version manager's placeholder, which stands on PATH and only prints advice."""
    code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode == 0 and done.stdout.strip() == version


def _load(path: Path, key: str) -> np.ndarray:
    with np.load(path) as data:
        return data[key][: CALIBRATION + IMAGES].astype(np.float32) / 255


def _convert(model: Path, calibration: np.ndarray, images: np.ndarray, folder: Path) -> Converted:
    np.savez(folder / "calibration.npz", x=calibration[:CALIBRATION])
    np.savez(folder / "inputs.npz", x=images[:IMAGES])
    recipe = Recipe(model, output=folder / "net.edge", calib=str(folder / "calibration.npz"))
    bundle = CONVERTER.convert(recipe, lambda stage, done, total: None).written[0]
    files = {path.parent.name: path for path in unpack(bundle, folder / "files") if path.suffix == ".onnx"}
    answers = {}
    for variant in files:
        with edgert.load(bundle, variant=variant) as session:
            answers[variant] = np.concatenate([session.run(image)["logits"] for image in images[:IMAGES, None]])
    return Converted(bundle, files, folder / "inputs.npz", answers)
