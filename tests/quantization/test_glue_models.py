"""Real networks with exported glue behind them (TopK, Range, comparisons, OneHot, ...): float and int8, end to end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgert.bundle import Bundle
from edgert_converters.comparison.end_to_end import compare_end_to_end
from edgert_converters.comparison.isolated import compare_isolated
from edgert_converters.engine import load_runner
from tests.quantization.command_line import edgert
from tests.quantization.glue_models import CLASSIFIER_TAIL, DETECTOR_HEAD, add_tail

FLOAT_TOLERANCE = 1e-4  # of the largest magnitude, as the importer allows
SCALED = """schema = 1
[[preprocess]]
op = "normalize"
mean = [123.675, 116.28, 103.53]
std = [58.395, 57.12, 57.375]
[[preprocess]]
op = "layout"
to = "NCHW"
"""
RESIZED = """schema = 1
[[preprocess]]
op = "resize"
height = 240
width = 320
[[preprocess]]
op = "normalize"
mean = [127.0]
std = [128.0]
[[preprocess]]
op = "layout"
to = "NCHW"
"""


@dataclass(frozen=True, slots=True)
class Glued:
    """A joined model, the bundle made of it, and what was said on the way."""

    name: str
    source: Path
    bundle: Path
    messages: str

    def read(self, variant: str) -> tuple[bytes, dict[str, np.ndarray]]:
        """The model of a variant and the inputs of one sample."""
        with Bundle.open(self.bundle) as bundle:
            data = bundle.read(bundle.manifest.variant(variant).path)
            golden = bundle.golden()
        return data, {k.removeprefix("input/"): v[0] for k, v in golden.items() if k.startswith("input/")}


@pytest.fixture(scope="module", params=["classifier", "detector"])
def glued(request: pytest.FixtureRequest, zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Glued:
    folder = tmp_path_factory.mktemp(request.param)
    source, recipe, calib = folder / "net.onnx", folder / "edgert.toml", folder / "images.npz"
    if request.param == "classifier":
        add_tail(zoo / "models" / "resnet20_cifar10.onnx", CLASSIFIER_TAIL, {"logits": "logits"}, source)
        recipe.write_text(SCALED)
        with np.load(zoo / "data" / "cifar10_test_jpegdegraded_500.npz") as data:
            np.savez(calib, images=data["images"][:24])
        asked, output = calib, "probabilities"
    else:
        pytest.importorskip("pyarrow")
        ports = {"scores": "scores", "boxes": "boxes"}
        add_tail(zoo / "models" / "ultraface_RFB_320_nopost.onnx", DETECTOR_HEAD, ports, source)
        recipe.write_text(RESIZED)
        asked, output = zoo / "data" / "coco_train2017_32_416px.parquet", "bounded"
    words = ["--recipe", recipe, "--calib", asked, "--calib-samples", 8, "--metric-output", output]
    done = edgert("convert", source, *words, "-o", folder / "net.edge")
    assert done.status in {0, 1}, done.stderr  # 1: the gate found a drop; the files are written all the same
    return Glued(request.param, source, folder / "net.edge", done.stdout + done.stderr)


def test_the_float_variant_is_the_joined_model(glued: Glued) -> None:
    data, inputs = glued.read("onnx-fp32")
    expected = load_runner(glued.source.read_bytes(), "source")(inputs)
    found = load_runner(data, "fp32")(inputs)
    assert list(found) == list(expected)
    for name, theirs in expected.items():
        assert found[name].dtype == theirs.dtype
        scale = max(float(np.abs(theirs.astype(np.float64)).max()), 1e-6)
        np.testing.assert_allclose(found[name], theirs, rtol=0, atol=FLOAT_TOLERANCE * scale)


def test_int8_gives_the_interpreters_values_at_every_output(glued: Glued) -> None:
    data, inputs = glued.read("onnx-int8")
    model = ir.from_proto(onnx.load_from_string(data))
    assert [row for row in compare_isolated(model, inputs) if row.max_steps] == []
    assert [row for row in compare_end_to_end(model, inputs) if row.differing] == []


def test_the_network_is_quantized_and_the_glue_is_named(glued: Glued) -> None:
    data, _ = glued.read("onnx-int8")
    graph = ir.from_proto(onnx.load_from_string(data)).graph
    integer = {node.op_type for node in graph if _is_dequantized(node)}
    glue = {"classifier": ["ArgMax", "OneHot", "TopK"], "detector": ["Cast", "GreaterOrEqual", "TopK", "Where"]}
    assert {"classifier": "Gemm", "detector": "Conv"}[glued.name] in integer
    said = [line for line in glued.messages.splitlines() if "operator has no integer rule" in line]
    for op in glue[glued.name]:
        assert any(op in line for line in said), f"{op} is not named in:\n{glued.messages}"


def _is_dequantized(node: ir.Node) -> bool:
    first = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    return first is not None and first.op_type == "DequantizeLinear"
