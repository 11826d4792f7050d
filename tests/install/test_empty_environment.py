"""The wheel in an empty environment: with the engine, and with nothing at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.install.conftest import Converted
from tests.install.environments import ROOT, Environment

MODEL = ROOT / "edgert" / "demo" / "digits.onnx"
LOADED = """
import sys, sysconfig, pathlib
before = set(sys.modules)
import edgert.runtime
home = pathlib.Path(sysconfig.get_paths()["purelib"])
files = {name.split(".")[0]: getattr(module, "__file__", None) for name, module in sys.modules.items()
         if name not in before}
print(" ".join(sorted(name for name, file in files.items() if file and home in pathlib.Path(file).parents)))
"""


def check_run(environment: Environment, demo: Converted, variant: str, folder: Path, tolerance: float) -> None:
    """`edgert run` gives this environment's answers, within a share of their largest magnitude."""
    output = folder / f"{variant}.npz"
    words = ["run", demo.bundle, "--variant", variant, "--input", demo.inputs, "--output", output, "--json"]
    done = environment.run("edgert", *words)
    assert done.status == 0, done.stderr
    assert json.loads(done.stdout)["variant"] == variant
    expected = demo.answers[variant]
    with np.load(output) as found:
        np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=tolerance * float(np.abs(expected).max()))


def test_the_engine_brings_numpy_and_its_own_requirements_only(with_engine: Environment) -> None:
    assert set(with_engine.distributions()) == {"edgert"} | with_engine.requirements_of("onnxruntime", "numpy")


def test_a_bundle_runs(with_engine: Environment, demo: Converted, tmp_path: Path) -> None:
    for variant in ("onnx-fp32", "onnx-int8"):
        check_run(with_engine, demo, variant, tmp_path, 1e-5)


def test_the_runtime_loads_numpy_only(with_engine: Environment) -> None:
    assert set(with_engine.script(LOADED).split()) == {"edgert", "numpy"}


def test_the_verbs_that_need_no_converter_work(with_engine: Environment, demo: Converted) -> None:
    for words in (["--help"], ["targets"], ["doctor"], ["inspect", demo.bundle]):
        done = with_engine.run("edgert", *words)
        assert (done.status, done.stderr) == (0, ""), words
    listing = json.loads(with_engine.run("edgert", "doctor", "--json").stdout)
    assert listing["findings"] == 0


def test_what_needs_the_converter_names_its_extra_in_one_line(with_engine: Environment, tmp_path: Path) -> None:
    for words in (["convert", MODEL, "-o", tmp_path / "net.edge"], ["inspect", MODEL], ["demo"]):
        done = with_engine.run("edgert", *words)
        assert done.status == 2
        (line,) = done.stderr.splitlines()
        assert line.endswith("install it with: pip install 'edgert[convert]'")
    assert list(tmp_path.iterdir()) == []


def test_without_extras_there_is_numpy(without_extras: Environment) -> None:
    assert set(without_extras.distributions()) == {"edgert", "numpy"}


def test_without_extras_what_can_work_works(without_extras: Environment, demo: Converted) -> None:
    for words in (["--help"], ["targets"], ["inspect", demo.bundle]):
        done = without_extras.run("edgert", *words)
        assert (done.status, done.stderr) == (0, ""), words
    assert "onnx-int8" in without_extras.run("edgert", "inspect", demo.bundle).stdout


def test_without_extras_run_and_doctor_name_the_engine(without_extras: Environment, demo: Converted) -> None:
    done = without_extras.run("edgert", "run", demo.bundle, "--input", demo.inputs)
    assert done.status == 3, "the device is there, but cannot be used"
    (line,) = done.stderr.splitlines()
    assert line.endswith("install it with: pip install 'edgert[ort]'")
    doctor = without_extras.run("edgert", "doctor")
    assert doctor.status == 1
    assert "-> pip install 'edgert[ort]'" in doctor.stdout
