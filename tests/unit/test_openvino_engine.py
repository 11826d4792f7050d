from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import edgert
from edgert.errors import EngineError, ModelError, UsageError
from edgert.plugins import EngineOptions, Executor
from edgert.quant import quantize
from edgert.runtime.engines import choose_engine
from edgert.runtime.engines.openvino import OpenVinoEngine
from edgert.runtime.session import load_profiled
from tests import bundle_example as example

pytest.importorskip("openvino")

VARIANT = example.variant("onnx-fp32")
FLOAT_TOLERANCE = 1e-5
"""Share of the largest output by which two engines in float32 may differ: they sum in another order."""
ROOT = Path(__file__).parents[2]

SILENT = """
import json, os, socket, sys, threading
connected = []
sys.addaudithook(lambda event, args: connected.append(event) if event.startswith("socket.") else None)
{imports}
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join(20)
home = [os.path.join(folder, name) for folder, _, names in os.walk(os.environ["HOME"]) for name in names]
loaded = [name for name in sys.modules if name.split(".")[0] == "openvino_telemetry"]
print(json.dumps({{"connected": connected, "home": home, "loaded": loaded}}))
"""


def load(model: bytes, threads: int | None = 1, **options: str) -> Executor:
    return OpenVinoEngine().load(model, VARIANT, EngineOptions(threads, options))


def fresh(imports: str, home: Path) -> dict[str, list[str]]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SILENT.format(imports=imports)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    result: dict[str, list[str]] = json.loads(done.stdout)
    return result


def test_importing_sends_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    imports = "from edgert.runtime.engines.openvino import import_openvino\nassert import_openvino().Core()"
    assert fresh(imports, tmp_path) == {"connected": [], "home": [], "loaded": []}


def test_the_package_by_itself_loads_its_telemetry(tmp_path: Path) -> None:
    """So that the test above cannot pass because the package changed its ways."""
    assert fresh("os.environ['CI'] = 'true'  # keeps it from sending here\nimport openvino", tmp_path)["loaded"]


def test_others_can_still_import_what_was_hidden(tmp_path: Path) -> None:
    pytest.importorskip("openvino_telemetry")
    imports = (
        "from edgert.runtime.engines.openvino import import_openvino\nimport_openvino()\nimport openvino_telemetry"
    )
    assert fresh(imports, tmp_path)["loaded"]


def test_a_real_network_gives_what_onnxruntime_gives(zoo: Path) -> None:
    path = zoo / "models/resnet20_cifar10.onnx"
    x = np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype(np.float32)
    expected = edgert.load(path, threads=1).run(x)["logits"]
    session = edgert.load(path, threads=1, engine="openvino")
    together = session.run(x)["logits"]
    assert_allclose(together, expected, rtol=0, atol=FLOAT_TOLERANCE * np.abs(expected).max())
    alone = np.concatenate([session.run(sample[None])["logits"] for sample in x])
    assert_allclose(alone, expected, rtol=0, atol=FLOAT_TOLERANCE * np.abs(expected).max())
    assert session.facts()["node_precisions"].keys() == {"f32"}


def test_outputs_keep_names_and_order(zoo: Path) -> None:
    path = zoo / "models/nanodet_m_320.onnx"
    image = np.random.default_rng(0).standard_normal((1, 3, 320, 320)).astype(np.float32)
    expected, found = (edgert.load(path, threads=1, engine=name).run(image) for name in ("onnxruntime", "openvino"))
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert_allclose(found[name], array, rtol=0, atol=1e-4 * np.abs(array).max())


def test_results_stay_when_the_next_run_comes() -> None:
    executor = load(example.float_model())
    x = np.random.default_rng(0).uniform(-1, 1, (2, 1, 4)).astype(np.float32)
    first = executor.run([x[0]])[0]
    kept = first.copy()
    executor.run([x[1]])
    assert_array_equal(first, kept)


def test_arrays_of_any_memory_are_taken() -> None:
    executor = load(example.float_model())
    x = np.random.default_rng(0).uniform(-1, 1, (5, 4)).astype(np.float32)
    expected = executor.run([x])[0]
    frozen = x.copy()
    frozen.flags.writeable = False
    for same in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], frozen):
        assert_array_equal(executor.run([same])[0], expected)
    first, x[:] = executor.run([x])[0], 0
    assert_array_equal(first, expected)


def test_an_int8_variant_runs_in_int8(tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (8, 4)).astype(np.float32)
    bundle = example.write(tmp_path)
    for variant in ("onnx-int8", "onnx-io8"):
        expected = edgert.load(bundle, variant=variant).run(quantize(x, example.X_QUANT), quantized=True)["y"]
        session = edgert.load(bundle, variant=variant, engine="openvino")
        found = session.run(quantize(x, example.X_QUANT), quantized=True)["y"]
        assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.fixture(scope="module")
def int8_resnet(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from edgert.recipe import Recipe
    from edgert_converters.command import CONVERTER

    folder = tmp_path_factory.mktemp("int8")
    with np.load(zoo / "data/cifar10_test_jpegdegraded_500.npz") as data:
        images = data["images"][:16].astype(np.float32).transpose(0, 3, 1, 2) / 255 - 0.5
    np.savez(folder / "c.npz", x=images)
    recipe = Recipe(
        zoo / "models/resnet20_cifar10.onnx",
        output=folder / "net.edge",
        calib=str(folder / "c.npz"),
        precisions=("int8",),
    )
    return CONVERTER.convert(recipe, lambda stage, done, total: None).written[0]


def test_the_facts_count_the_precisions_that_ran(int8_resnet: Path) -> None:
    facts = edgert.load(int8_resnet, variant="onnx-int8", engine="openvino", threads=1).facts()
    counts = facts["node_precisions"]
    assert counts.get("u8", 0) + counts.get("i8", 0) > 15, counts
    assert "bf16" not in counts
    assert (facts["engine"], facts["threads"], facts["streams"]) == ("openvino", 1, 1)
    assert facts["version"] == OpenVinoEngine().version()


def test_another_precision_is_a_choice_and_stands_in_the_facts(zoo: Path) -> None:
    path = zoo / "models/resnet20_cifar10.onnx"
    with edgert.load(path, engine="openvino", options={"precision": "bf16"}) as session:
        import openvino

        if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("this CPU does not compute in bf16")
        assert session.facts()["node_precisions"]["bf16"] > 15


def test_layers_are_timed(zoo: Path) -> None:
    with load_profiled(zoo / "models/resnet20_cifar10.onnx", None, 1, "openvino", {}) as session:
        for _ in range(3):
            session.run(np.zeros((1, 3, 32, 32), np.float32))
        layers = session.layer_times()
    assert sum(layer.op == "Convolution" for layer in layers) == 19
    assert sum(layer.mean_ms for layer in layers) > 0
    with pytest.raises(ValueError, match="profile_layers=True"):
        load(example.float_model()).layer_times()


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="openvino has no option 'stream'; did you mean 'streams'"):
        load(example.float_model(), stream="1")
    with pytest.raises(UsageError, match="openvino option streams is 'two'; write a number"):
        load(example.float_model(), streams="two")
    with pytest.raises(UsageError, match="openvino option precision is 'int8'; allowed: f32, bf16, f16"):
        load(example.float_model(), precision="int8")
    options = {"cpu_pinning": "0", "hyper_threading": "1", "streams": "0", "performance_hint": "throughput"}
    assert load(example.float_model(), None, **options).run([np.zeros((1, 4), np.float32)])[0].shape == (1, 3)


def test_damaged_files_and_unknown_operators_are_model_errors() -> None:
    for model in (b"", b"\x00" * 64):
        with pytest.raises(ModelError, match="openvino cannot load variant 'onnx-fp32': .*read the model"):
            load(model)
    model = onnx.load_from_string(example.float_model())
    model.graph.node[0].op_type = "Gemmm"
    with pytest.raises(ModelError, match="openvino cannot load.*Gemmm"):
        load(model.SerializeToString())


def test_a_failure_while_running_keeps_the_engines_words() -> None:
    with pytest.raises(EngineError, match="openvino failed while running: .*"):
        load(example.float_model(2)).run([np.zeros((3, 4), np.float32)])


def test_it_is_chosen_by_name_only() -> None:
    assert choose_engine(VARIANT).name == "onnxruntime"
    assert choose_engine(VARIANT, "openvino").name == "openvino"
    tflite = example.dataclasses.replace(VARIANT, format="tflite")
    with pytest.raises(EngineError, match="openvino: reads onnx, not tflite"):
        choose_engine(tflite, "openvino")
