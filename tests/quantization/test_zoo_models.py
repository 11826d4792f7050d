"""The models of the zoo through `edgert convert`: what float, float16 and int8 keep, on real data."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import onnxruntime
import pytest

import edgert
from edgert.bundle import Bundle
from tests.quantization.conftest import ZOO_MODELS, Converted

Arrays = dict[str, np.ndarray]

FLOAT_TOLERANCE = 1e-4
"""Of the largest magnitude of an output; what folding and fusing may move in float32."""
HALF_TOLERANCE = 1e-2

# smallest share of same answers that int8 has to give; basic-pitch has neither classes nor boxes
AGREEMENT = {
    "resnet20": 0.97,
    "proxyless_w025": 0.88,
    "efficientnet_lite0": 0.9,
    "nanodet_m": 0.95,
    "ultraface": 0.95,
}


LARGE = {"efficientnet_lite0", "nanodet_m"}
"""These two take a third of the tier's time to convert; `make test-full` does."""


def by_name(names: Iterable[str]) -> list[object]:
    return [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in names]


@pytest.fixture(params=by_name(ZOO_MODELS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def converted(name: str, convert_zoo: Callable[[str], Converted]) -> Converted:
    return convert_zoo(name)


def real_inputs(converted: Converted) -> list[Arrays]:
    """The evaluation samples that the bundle carries, after pre-processing, batch 1."""
    with Bundle.open(converted.bundle) as bundle:
        golden = bundle.golden()
    inputs = {key.removeprefix("input/"): values for key, values in golden.items() if key.startswith("input/")}
    count = len(next(iter(inputs.values())))
    assert count == 4
    return [{key: values[i] for key, values in inputs.items()} for i in range(count)]


def source_outputs(converted: Converted, inputs: list[Arrays]) -> list[Arrays]:
    """What ONNX Runtime makes of the file as it was given to us."""
    session = onnxruntime.InferenceSession(str(converted.source), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return [dict(zip(names, session.run(names, feed), strict=True)) for feed in inputs]


def largest_error(converted: Converted, variant: str) -> float:
    """The largest difference from the source file, as a share of the largest magnitude of the output."""
    inputs = real_inputs(converted)
    expected = source_outputs(converted, inputs)
    with edgert.load(converted.bundle, variant=variant) as session:
        found = [session.run(feed) for feed in inputs]
    pairs = [(want[key], got[key]) for want, got in zip(expected, found, strict=True) for key in want]
    assert all(want.shape == got.shape for want, got in pairs)
    return max(float(np.max(np.abs(want - got)) / np.max(np.abs(want))) for want, got in pairs)


def test_float_equals_the_source_file(name: str, converted: Converted) -> None:
    error = largest_error(converted, "onnx-fp32")
    print(f"{name}: float differs from the source by {error:.2e} of the largest magnitude")
    assert error <= FLOAT_TOLERANCE


def test_float16_is_within_one_percent_or_names_the_layer(name: str, converted: Converted) -> None:
    error = largest_error(converted, "onnx-fp16")
    notes = [note for note in converted.variant("onnx-fp16")["notes"] if "the first layer that does is" in note]
    print(f"{name}: float16 differs by {error:.2e} of the largest magnitude; {notes}")
    assert error <= HALF_TOLERANCE or len(notes) == 1
    if name == "basic_pitch":
        assert "NaN or infinite" in notes[0], "powers below the smallest float16, then their logarithm"


def test_figures_carry_n_and_an_interval(name: str, converted: Converted) -> None:
    reference, int8 = converted.summary["reference"], converted.variant("onnx-int8")
    low, high = int8["ci95"]
    print(
        f"{name}: {reference['metric']} {reference['value']} -> {int8['value']}, drop {int8['drop']:.2f} points "
        f"({low:.2f} to {high:.2f}), n={int8['n']}, agree {int8['agree']} {int8['agree_ci95']} of {int8['agree_n']}, "
        f"{int8['gate']}, worst group {min(o['worst_group']['sqnr_db'] for o in int8['outputs']):.1f} dB"
    )
    assert low <= int8["drop"] <= high
    assert 0 < int8["n"] <= reference["n"]
    assert int8["gate"] == converted.summary["gate"]
    if name in AGREEMENT:
        low, high = int8["agree_ci95"]
        assert low <= int8["agree"] <= high
        assert int8["agree_n"] > 0


@pytest.mark.parametrize("model", by_name(AGREEMENT))
def test_int8_gives_the_float_models_answers(model: str, convert_zoo: Callable[[str], Converted]) -> None:
    assert convert_zoo(model).variant("onnx-int8")["agree"] >= AGREEMENT[model]


def test_resnet20_loses_at_most_one_point(resnet20: Converted) -> None:
    int8 = resnet20.variant("onnx-int8")
    assert resnet20.summary["reference"]["value"] > 80
    assert int8["drop"] <= 1.0
    assert int8["n"] == 400, "a fifth of the 500 images chose the ranges"


@pytest.mark.slow
def test_nanodet_keeps_its_average_precision(convert_zoo: Callable[[str], Converted]) -> None:
    nanodet = convert_zoo("nanodet_m")
    assert (nanodet.summary["reference"]["metric"], nanodet.summary["reference"]["n"]) == ("map50", 64)
    assert nanodet.summary["reference"]["value"] > 40
    assert nanodet.variant("onnx-int8")["drop"] < 3.0


def test_without_labels_and_classes_the_signal_decides(convert_zoo: Callable[[str], Converted]) -> None:
    """int8 basic-pitch loses most of the signal; what counts is that nobody calls it passed."""
    pitch = convert_zoo("basic_pitch")
    int8 = pitch.variant("onnx-int8")
    assert int8["value"] is None
    assert int8["agree"] is None
    assert pitch.summary["gate"] in {"undecided", "failed"}
    assert "dB" in int8["sentence"]
    assert all(np.isfinite(output["worst_group"]["sqnr_db"]) for output in int8["outputs"])
