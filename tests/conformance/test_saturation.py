"""U8S8 kernels on x86 without VNNI: they saturate at 16 bits unless ONNX Runtime is told to be exact."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.runtime.cpu import is_x86
from edgert_converters.comparison.cut import steps_between
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.case_models import build_qdq_model
from edgert_converters.ops.spec import Array, Case

pytest.importorskip("onnxruntime")

_EMULATOR = shutil.which("qemu-x86_64")
_ROOT = Path(__file__).resolve().parents[2]
_CHILD = """
import sys
import numpy as np
from edgert.bundle import Variant
from edgert.plugins import EngineOptions
from edgert.runtime.cpu import dot_product
from edgert.runtime.engines.onnxruntime import OnnxRuntimeEngine

folder = sys.argv[1]
results = {"dot_product": np.asarray(dot_product().value)}
for name in sys.argv[2:]:
    model = open(f"{folder}/{name}.onnx", "rb").read()
    x = np.load(f"{folder}/{name}.npy")
    for choice in ("0", "1", "auto"):
        options = EngineOptions(threads=1, options={"x64quantprecision": choice})
        executor = OnnxRuntimeEngine().load(model, Variant(name, "onnx", "int8", "", (), (), (), 0), options)
        results[f"{name}_{choice}"] = executor.run([x])[0]
np.savez(f"{folder}/results.npz", **results)
"""

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(_EMULATOR is None, reason="qemu-x86_64 is not installed (Debian package qemu-user)"),
    pytest.mark.skipif(not is_x86(), reason="the x86 wheels of onnxruntime run here only on x86"),
]


def _positive(*shape: int) -> Array:
    """Returns samples near the top of their range: neighbouring products add up beyond 16 bits."""
    return np.random.default_rng(7).uniform(0.8, 1.0, shape).astype(np.float32)


_CASES = {
    "Conv": Case("saturating", (_positive(1, 16, 6, 6), _positive(8, 16, 3, 3)), {"pads": (1, 1, 1, 1)}, (1,)),
    "MatMul": Case("saturating", (_positive(4, 64), _positive(64, 16)), {}, (1,)),
    "Gemm": Case("saturating", (_positive(4, 64), _positive(16, 64)), {"transB": 1}, (1,)),
}


def _write(folder: Path, name: str) -> Array:
    """Writes one model and its input; returns the interpreter's integers."""
    built = build_qdq_model(OPERATORS[name], _CASES[name], DType.UINT8)
    assert built is not None
    model, feeds = built
    ir.save(model, folder / f"{name}.onnx")
    np.save(folder / f"{name}.npy", feeds["x0_q"])
    return Interpreter(model).run(feeds).outputs["y0"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Array], dict[str, Array]]:
    """The interpreter's integers, and ONNX Runtime's in a fresh Python on an emulated Haswell."""
    folder = tmp_path_factory.mktemp("saturation")
    expected = {name: _write(folder, name) for name in _CASES}
    assert _EMULATOR is not None
    command = [_EMULATOR, "-cpu", "Haswell", sys.executable, "-c", _CHILD, str(folder), *_CASES]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(folder / "results.npz") as archive:
        return expected, dict(archive)


def test_haswell_has_no_dot_product(results: tuple[dict[str, Array], dict[str, Array]]) -> None:
    assert str(results[1]["dot_product"]) == "none"


@pytest.mark.parametrize("name", _CASES)
@pytest.mark.parametrize("choice", ["1", "auto"])
def test_exact_with_the_option(results: tuple[dict[str, Array], dict[str, Array]], name: str, choice: str) -> None:
    expected, found = results
    assert steps_between(found[f"{name}_{choice}"], expected[name]) == (0, 0)


@pytest.mark.parametrize("name", _CASES)
def test_saturates_without_the_option(results: tuple[dict[str, Array], dict[str, Array]], name: str) -> None:
    """If this fails, ONNX Runtime no longer saturates: then the option may go."""
    expected, found = results
    steps, differing = steps_between(found[f"{name}_0"], expected[name])
    assert steps > 0
    assert differing > 0
