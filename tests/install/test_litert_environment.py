"""The wheel beside LiteRT only: the newest release, the oldest that targets name, and tflite-runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conformance.tflite_single import write_single_operator_files
from tests.install.conftest import Converted, find_python
from tests.install.environments import Environment, make_environment
from tests.install.test_empty_environment import LOADED

OLDEST_LITERT = "ai-edge-litert==2.0.2"
OLD_BOARD = ("tflite-runtime==2.14.0", "numpy==1.26.4")
"""The last release for 32-bit boards; it needs numpy below 2 and Python 3.11 at most."""
KWS = "models/mlperf_tiny_kws_dscnn_int8.tflite"


@pytest.fixture(scope="module")
def newest(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What `pip install 'edgert[litert]'` gives."""
    return make_environment(tmp_path_factory.mktemp("litert") / "venv", f"{wheel}[litert]")


@pytest.fixture(scope="module")
def oldest(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("litert-oldest") / "venv"
    return make_environment(folder, wheel, OLDEST_LITERT, python=find_python("3.11"))


@pytest.fixture(scope="module")
def old_board(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("tflite-runtime") / "venv"
    return make_environment(folder, wheel, *OLD_BOARD, python=find_python("3.11"))


@pytest.fixture(params=["newest", "oldest", "old_board"])
def environment(request: pytest.FixtureRequest) -> Environment:
    found: Environment = request.getfixturevalue(request.param)
    return found


def test_the_extra_brings_numpy_and_litert_only(newest: Environment) -> None:
    wanted = {"edgert"} | newest.requirements_of("ai-edge-litert", "numpy")
    assert {name.replace("_", "-") for name in newest.distributions()} == {name.replace("_", "-") for name in wanted}
    assert set(newest.script(LOADED).split()) == {"edgert", "numpy"}


def test_a_published_int8_file_gives_its_bytes(environment: Environment, zoo: Path, tmp_path: Path) -> None:
    words = ["--input", zoo / "mcu/kws.inputs.npy", "--quantized", "--output", tmp_path / "y.npz", "--json"]
    done = environment.run("edgert", "run", zoo / KWS, *words)
    assert done.status == 0, done.stderr
    facts = json.loads(done.stdout)["facts"]
    assert facts["engine"] == "litert"
    assert environment.distributions()[facts["package"]] == facts["version"]
    with np.load(tmp_path / "y.npz") as found:
        np.testing.assert_array_equal(found["Identity"], np.load(zoo / "mcu/kws.outputs_tflm.npy"))


def test_a_streaming_network_runs(environment: Environment, zoo: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((5, 3, 40), np.float32))
    model = zoo / "models/microwakeword_okay_nabu.tflite"
    done = environment.run("edgert", "run", model, "--input", tmp_path / "x.npy", "--json")
    assert done.status == 0, done.stderr
    assert json.loads(done.stdout)["outputs"][0]["shape"] == [5, 1]


def test_a_network_is_profiled(environment: Environment, zoo: Path) -> None:
    done = environment.run("edgert", "profile", zoo / KWS, "--duration", "300ms", "--json")
    assert done.status == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["latency"]["p50_ms"] > 0
    assert record["layers_reason"]


def test_doctor_finds_nothing_in_the_way(environment: Environment) -> None:
    done = environment.run("edgert", "doctor", "--json")
    assert (done.status, done.stderr) == (0, "")
    values = {check["name"]: check["value"] for check in json.loads(done.stdout)["checks"]}
    assert values["engine onnxruntime"] == "not installed"
    assert values["engine litert"][0].isdigit()
    assert values["engine openvino"] == "not installed (optional)"


def test_a_package_that_numpy_2_breaks_says_so(wheel: Path, zoo: Path, tmp_path: Path) -> None:
    environment = make_environment(tmp_path / "venv", wheel, OLD_BOARD[0], "numpy>=2", python=find_python("3.11"))
    done = environment.run("edgert", "run", zoo / KWS, "--input", zoo / "mcu/kws.inputs.npy", "--quantized")
    assert done.status == 3
    (line,) = done.stderr.splitlines()
    assert "'tflite-runtime' 2.14.0 needs numpy below 2, found 2." in line
    assert line.endswith("run: pip install 'numpy<2'")


RUN_FILES = """
import pathlib, sys
import numpy as np
from tflite_runtime.interpreter import Interpreter
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.tflite")):
    runtime = Interpreter(str(path), num_threads=1)
    runtime.allocate_tensors()
    for detail in runtime.get_input_details():
        runtime.set_tensor(detail["index"], np.ones(detail["shape"], detail["dtype"]))
    runtime.invoke()
    print(path.stem)
"""


def test_every_written_operator_runs_in_the_old_runtime(old_board: Environment, tmp_path: Path) -> None:
    names = write_single_operator_files(tmp_path)
    assert len(names) > 400
    assert set(old_board.script(RUN_FILES, tmp_path).split()) == names


def test_onnx_files_name_the_extra_that_reads_them(newest: Environment, demo: Converted) -> None:
    done = newest.run("edgert", "run", demo.bundle, "--input", demo.inputs)
    assert done.status == 3
    (line,) = done.stderr.splitlines()
    assert line.endswith("install it with: pip install 'edgert[ort]'")


def test_tflite_files_name_the_extra_that_reads_them(with_engine: Environment, zoo: Path) -> None:
    done = with_engine.run("edgert", "run", zoo / KWS, "--input", zoo / "mcu/kws.inputs.npy")
    assert done.status == 3
    (line,) = done.stderr.splitlines()
    assert line.endswith("install it with: pip install 'edgert[litert]'")


def test_an_engine_that_is_named_but_missing_names_its_extra(with_engine: Environment, demo: Converted) -> None:
    done = with_engine.run("edgert", "run", demo.bundle, "--input", demo.inputs, "--engine", "openvino")
    assert done.status == 3
    (line,) = done.stderr.splitlines()
    assert line.endswith("install it with: pip install 'edgert[openvino]'")
