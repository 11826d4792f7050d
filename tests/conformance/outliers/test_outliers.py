"""What the default chain keeps of blocks with and without an outlier channel, in the interpreter and in ONNX Runtime.

Goals that are not met yet are expected failures with the figure, strictly: an improvement shows as a failure here, and
then the entry is to be taken out of `NOT_MET`. All figures side by side: docs/quantize.md, Blocks with outliers.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgert_converters.engine import load_runner
from edgert_converters.quantize.chain import prepare
from edgert_converters.quantize.draft import Calibration, Draft
from edgert_converters.quantize.scheme import INT8, INT16X8, Scheme
from tests.conformance.outliers.block import Fixture
from tests.conformance.outliers.fixtures import ENCODER, FIXTURES
from tests.conformance.outliers.measure import (
    CALIBRATION_SEEDS,
    DEFAULT,
    HELD_OUT_SEEDS,
    Measured,
    cosine_loss,
    kept_scores,
    measure,
    measure_draft,
    one_minus_cosine,
    prepare_fixture,
    quantize_draft,
)
from tests.conformance.outliers.sentences import VARIABLE, find_encoder, load_encoder, sentences
from tests.conformance.outliers.zoo_blocks import NETWORKS, zoo_fixture

GOAL_DB = {INT8: 25.0, INT16X8: 35.0}
NAMES = {INT8: "W8A8", INT16X8: "A16W8"}
COSINE_GOAL = 0.005
KEPT_SCORES_GOAL = 0.99
ENGINE_TOLERANCE_DB = 0.3  # single steps at rounding borders (docs/numerics.md)
BY_NAME = {fixture.name: fixture for fixture in FIXTURES}

NOT_MET = {
    "se_hswish-x20-W8A8": 24.9,
    "state_space-x20-W8A8": 24.8,
    "haar_wavelet-x20-W8A8": 24.2,
}

INTEGER_SHARE = {
    "vit_block": 0.91,
    "linear_attention": 0.87,
    "state_space": 0.67,
    "gru": 0.25,
    "lstm": 0.2,
    "fourier_mixing": 0.25,
}
"""Least share of multiply-accumulates in integers where it is below 97 %."""


@cache
def prepared(fixture: Fixture, *, outlier: bool) -> tuple[Draft, Calibration]:
    return prepare_fixture(fixture, DEFAULT, outlier=outlier)


@cache
def measured(fixture: Fixture, scheme: Scheme, *, outlier: bool) -> Measured:
    draft, calibration = prepared(fixture, outlier=outlier)
    return measure_draft(fixture, draft, calibration, scheme, DEFAULT, outlier=outlier)


def cases() -> list[object]:
    found = []
    for fixture in FIXTURES:
        for outlier in (False, True):
            for scheme, goal in GOAL_DB.items():
                name = f"{fixture.name}-{'x20' if outlier else 'plain'}-{NAMES[scheme]}"
                missed = NOT_MET.get(name)
                reason = f"{missed} dB of {goal:g} with the default chain"
                marks = () if missed is None else (pytest.mark.xfail(strict=True, reason=reason),)
                found.append(pytest.param(fixture, outlier, scheme, id=name, marks=marks))
    return found


@pytest.mark.parametrize(("fixture", "outlier", "scheme"), cases())
def test_a_block_keeps_its_branch(fixture: Fixture, outlier: bool, scheme: Scheme) -> None:
    assert measured(fixture, scheme, outlier=outlier).worst_db >= GOAL_DB[scheme]


@pytest.mark.parametrize("name", BY_NAME)
def test_the_figure_is_not_bought_with_float(name: str) -> None:
    least = INTEGER_SHARE.get(name, 0.97)
    for outlier in (False, True):
        found = measured(BY_NAME[name], INT8, outlier=outlier)
        assert found.integer_macs >= least, f"{found.integer_macs:.0%} of {least:.0%}; float: {found.float_layers}"
        assert all(layer.reason for layer in found.float_layers)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_engine_keeps_what_the_interpreter_keeps(name: str) -> None:
    for outlier in (False, True):
        for scheme in GOAL_DB:
            found = measured(BY_NAME[name], scheme, outlier=outlier)
            assert found.engine_db == pytest.approx(found.interpreter_db, abs=ENGINE_TOLERANCE_DB)


@pytest.mark.parametrize(
    ("scheme", "outlier"),
    [
        (INT8, False),
        pytest.param(INT8, True, marks=pytest.mark.xfail(strict=True, reason="98.7 % of 99 % with the default chain")),
        (INT16X8, False),
        # the outlier is in the weights by then; with more kept there (42 dB), 98.5 %, and other blocks miss 25 dB
        pytest.param(
            INT16X8, True, marks=pytest.mark.xfail(strict=True, reason="98.2 % of 99 % with the default chain")
        ),
    ],
)
def test_a_detector_head_keeps_its_scores(scheme: Scheme, outlier: bool) -> None:
    found = measured(BY_NAME["detector_head"], scheme, outlier=outlier)
    high = sum(int((outputs["branch"][..., 4:] > 0.25).sum()) for outputs in found.reference)
    assert high > 200
    assert kept_scores(found) >= KEPT_SCORES_GOAL


def test_the_head_joins_boxes_and_scores_in_one_tensor() -> None:
    found = measured(BY_NAME["detector_head"], INT8, outlier=False)
    rows = found.reference[0]["branch"]
    assert rows[..., :4].max() > 300
    assert rows[..., 4:].max() <= 1
    assert any("ranges differ" in layer.reason for layer in found.float_layers if layer.op == "Concat")


@pytest.mark.slow
@pytest.mark.parametrize("outlier", [False, True])
def test_a_transformer_encoder_keeps_its_direction(outlier: bool) -> None:
    for scheme in GOAL_DB:
        assert cosine_loss(measure(ENCODER, scheme, outlier=outlier), "branch") <= COSINE_GOAL


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_block_of_a_trained_network_keeps_its_branch(name: str, zoo: Path) -> None:
    pytest.importorskip("pyarrow")
    fixture = zoo_fixture(zoo, name, tuple(CALIBRATION_SEEDS), tuple(HELD_OUT_SEEDS))
    for scheme, goal_db in GOAL_DB.items():
        found = measure(fixture, scheme)
        assert found.worst_db >= goal_db
        assert found.integer_macs >= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("scheme", GOAL_DB, ids=NAMES.get)
def test_a_sentence_encoder_keeps_its_embeddings(scheme: Scheme) -> None:
    folder = find_encoder()
    if folder is None:
        pytest.skip(f"no sentence encoder; {VARIABLE} names a folder with one (see sentences.py)")
    encoder, text = load_encoder(folder), sentences()
    given = [encoder.inputs(sentence) for sentence in text[:96]]
    calibration = Calibration(lambda: given[:32], 32, lambda *_: None)
    draft = prepare(encoder.model, calibration, DEFAULT)
    quantized, _ = quantize_draft(draft, calibration, scheme, DEFAULT)
    run, run_quantized = load_runner(encoder.model), load_runner(quantized)
    losses = [one_minus_cosine(run(x)[encoder.output], run_quantized(x)[encoder.output]) for x in given[32:]]
    assert len(losses) == 64
    assert np.max(losses) <= COSINE_GOAL
