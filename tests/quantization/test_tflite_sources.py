"""Published .tflite files of unusual kinds give LiteRT's bytes in the integer interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgert.bundle import Bundle
from edgert.dtypes import DType
from edgert.quant import dequantize, quantize
from edgert_converters.importers import import_model
from edgert_converters.interpreter import Interpreter
from edgert_converters.tflite.description import read_described
from edgert_converters.tflite.read import parse_tflite
from tests.quantization.command_line import edgert
from tests.tflite_graphs import run_litert

SAMPLES = 3
FLOAT_TOLERANCE = 1e-5
"""Of the LogSoftmax behind the integers."""
MODELS = ("mobilenet_v1_0.25_128_quant", "mnist_lenet_300_100_ptq")


@pytest.mark.parametrize("name", MODELS)
def test_the_bytes_of_litert_reference_kernels(zoo: Path, name: str) -> None:
    """uint8 with per-tensor asymmetric weights; int8 between float borders."""
    path = zoo / "models" / f"{name}.tflite"
    data, imported = path.read_bytes(), import_model(path, {})
    graph = parse_tflite(data).subgraphs[0]
    source, target = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    interpreter = Interpreter(imported.model)
    rng = np.random.default_rng(0)
    for _ in range(SAMPLES):
        x: np.ndarray[Any, Any] = rng.normal(size=source.shape).astype(np.float32)
        stored = quantize(x, source.quant) if source.quant is not None else x
        real = dequantize(stored, source.quant) if source.quant is not None else x
        outputs = interpreter.run({imported.inputs[0].name: real}).outputs
        found = np.asarray(outputs[imported.outputs[0].name], np.float32)
        (expected,) = run_litert(data, stored, reference=True)
        if target.quant is not None and target.dtype is DType.UINT8:
            np.testing.assert_array_equal(quantize(found, target.quant), expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=FLOAT_TOLERANCE, atol=FLOAT_TOLERANCE)
        assert np.ptp(expected) > 0


def test_new_scales_are_requantized_edgerts_way(zoo: Path, tmp_path: Path) -> None:
    model, bundle = zoo / "models" / "micro_speech.tflite", tmp_path / "speech.edge"
    assert edgert("convert", model, "--requantize", "-o", bundle).status == 0
    with Bundle.open(bundle) as opened:
        modes = {variant.id: variant.requantize for variant in opened.manifest.variants}
    assert modes == {"onnx-fp32": None, "tflite-fp32": None, "onnx-int8": "fp32", "tflite-int8": "fp32"}


def test_labels_of_the_file_become_those_of_the_bundle(zoo: Path, tmp_path: Path) -> None:
    model, bundle = zoo / "models" / "mobilenet_v1_0.25_128_quant.tflite", tmp_path / "mobilenet.edge"
    done = edgert("convert", model, "-o", bundle, "--json")
    with Bundle.open(bundle) as opened:
        manifest = opened.manifest
        again = read_described(opened.read(manifest.variant("tflite-int8").path))
    assert manifest.labels[:2] == ("background", "tench, Tinca tinca")
    assert len(manifest.labels) == 1001
    assert again.labels == manifest.labels
    assert any("mean [127.5] and std [127.5]" in message for message in done.json["messages"])
    assert manifest.variant("tflite-int8").requantize == "q31"
