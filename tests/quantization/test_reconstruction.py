"""AdaRound and block reconstruction on real networks: nearer to float in the engine, at 4 bits by a lot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.recipe import Algorithm
from edgert_converters.engine import load_runner
from edgert_converters.importers import import_model
from edgert_converters.quantize.chain import plan_draft, prepare
from edgert_converters.quantize.draft import Calibration, Draft, Settings
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.reconstruct import adaround, reconstruct
from edgert_converters.quantize.scheme import Scheme

pytest.importorskip("torch", reason="reconstruction needs edgert[torch]")

_CALIBRATION, _EVALUATION = 64, 200
_MEAN, _STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


@pytest.fixture(scope="module")
def images(zoo: Path) -> list[dict[str, np.ndarray]]:
    with np.load(zoo / "data" / "cifar10_test_jpegdegraded_500.npz") as data:
        (key,) = [name for name in data.files if data[name].ndim == 4]
        pixels = data[key][: _CALIBRATION + _EVALUATION]
    scaled = ((pixels - _MEAN) / _STD).astype(np.float32).transpose(0, 3, 1, 2)
    return [{"input": image[None]} for image in scaled]


def _logits(model: ir.Model, images: list[dict[str, np.ndarray]]) -> np.ndarray:
    run = load_runner(model)
    return np.concatenate([next(iter(run(image).values())) for image in images])


def _silent(stage: str, done: int, total: int) -> None:
    """Progress nobody reads."""


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    p, q = (x - x.max(1, keepdims=True) for x in (p, q))
    p, q = (x - np.log(np.exp(x).sum(1, keepdims=True)) for x in (p, q))
    return float(np.mean(np.sum(np.exp(p) * (p - q), axis=1)))


def _measure(draft: Draft, unseen: list[dict[str, np.ndarray]], reference: np.ndarray) -> tuple[float, float]:
    made = _logits(apply_plan(draft.model, draft.final, DType.UINT8), unseen)
    return _divergence(reference, made), float(np.mean(reference.argmax(1) == made.argmax(1)))


def test_resnet20_with_4_bit_weights_comes_nearer_to_float(zoo: Path, images: list[dict[str, np.ndarray]]) -> None:
    model = import_model(zoo / "models" / "resnet20_cifar10.onnx", {}).model
    name = str(model.graph.inputs[0].name)
    images = [{name: image["input"]} for image in images]
    seen, unseen = images[:_CALIBRATION], images[_CALIBRATION:]
    calibration = Calibration(lambda: seen, len(seen), _silent)
    settings = Settings(algorithms=frozenset([Algorithm.BIAS_CORRECTION]))
    before = plan_draft(prepare(model, calibration, settings), Scheme(weight_bits=4), calibration, settings)
    after = adaround(before, calibration, settings)
    reference = _logits(model, unseen)

    (divergence, agree), (divergence_after, agree_after) = (
        _measure(draft, unseen, reference) for draft in (before, after)
    )
    assert divergence_after < 0.6 * divergence
    assert agree_after >= max(agree, 0.92)
    assert all("torch" not in change.why for change in after.changes), "torch runs every operator of it"


@pytest.mark.slow
def test_reconstruction_improves_on_adaround_at_4_bits(zoo: Path, images: list[dict[str, np.ndarray]]) -> None:
    model = import_model(zoo / "models" / "resnet20_cifar10.onnx", {}).model
    name = str(model.graph.inputs[0].name)
    images = [{name: image["input"]} for image in images]
    seen, unseen = images[:_CALIBRATION], images[_CALIBRATION:]
    calibration = Calibration(lambda: seen, len(seen), _silent)
    settings = Settings(algorithms=frozenset([Algorithm.BIAS_CORRECTION]), time_limit_s=3600.0)
    start = plan_draft(prepare(model, calibration, settings), Scheme(weight_bits=4), calibration, settings)
    before = adaround(start, calibration, settings)
    after = reconstruct(before, calibration, settings)
    reference = _logits(model, unseen)
    (divergence, _), (divergence_after, agree_after) = (_measure(draft, unseen, reference) for draft in (before, after))
    assert divergence_after < divergence
    assert agree_after >= 0.93
    assert sum("mean squared error" in change.what for change in after.changes[len(before.changes) :]) >= 4
