"""Comparing a candidate's outputs with those of its variant."""

from __future__ import annotations

import numpy as np
import pytest

from edgert.profiler.agreement import FLOAT_SHARE, why_outputs_differ

RNG = np.random.default_rng(0)
FLOAT = {"y": RNG.standard_normal((4, 1, 10)).astype(np.float32)}
SCALE = float(np.abs(FLOAT["y"]).max())
INT8 = {"y": np.round(FLOAT["y"] / 0.02).astype(np.float32) * np.float32(0.02)}


def moved(arrays: dict[str, np.ndarray], by: float) -> dict[str, np.ndarray]:
    changed = arrays["y"].copy()
    changed[0, 0, 0] += np.float32(by)
    return {"y": changed}


def why(got: dict[str, np.ndarray], expected: dict[str, np.ndarray], *, is_float: bool) -> str | None:
    return why_outputs_differ(got, expected, FLOAT, is_float=is_float)


def test_the_same_outputs_agree() -> None:
    assert why(FLOAT, FLOAT, is_float=True) is None
    assert why(INT8, INT8, is_float=False) is None


def test_one_float_value_too_far_is_found() -> None:
    assert why(moved(FLOAT, 0.5 * FLOAT_SHARE * SCALE), FLOAT, is_float=True) is None
    assert "differs by 0.0002 of its largest value" in (
        why(moved(FLOAT, 2 * FLOAT_SHARE * SCALE), FLOAT, is_float=True) or ""
    )


def test_integers_may_differ_by_steps_but_not_add_noise() -> None:
    assert why(moved(INT8, 0.02), INT8, is_float=False) is None
    noisy = {"y": INT8["y"] + np.float32(0.02)}
    assert "off the float model, the variant itself" in (why(noisy, INT8, is_float=False) or "")


def test_integers_nearer_to_the_float_model_agree() -> None:
    assert why(FLOAT, INT8, is_float=False) is None


def test_integers_without_a_float_model_must_be_the_same() -> None:
    assert why_outputs_differ(moved(INT8, 0.02), INT8, {}, is_float=False) is not None


@pytest.mark.parametrize("is_float", [True, False])
@pytest.mark.parametrize(
    ("got", "reason"),
    [
        ({}, "gives no output 'y'"),
        ({"y": FLOAT["y"][:2]}, r"shape [2, 1, 10], expected [4, 1, 10]"),
        (moved(FLOAT, np.nan), "finite"),
        (moved(FLOAT, np.inf), "finite"),
    ],
    ids=["missing", "shape", "nan", "inf"],
)
def test_what_is_never_the_same(got: dict[str, np.ndarray], reason: str, is_float: bool) -> None:
    assert reason in (why(got, FLOAT, is_float=is_float) or "")


def test_infinities_where_they_belong() -> None:
    wanted = {"y": np.array([[1.0, -np.inf]], np.float32)}
    assert why_outputs_differ(wanted, wanted, wanted, is_float=True) is None
    assert why_outputs_differ(wanted, wanted, wanted, is_float=False) is None
    assert why_outputs_differ({"y": -wanted["y"]}, wanted, wanted, is_float=True) is not None


def test_outputs_of_zeros_agree_with_themselves() -> None:
    zeros = {"y": np.zeros((1, 3), np.float32)}
    assert why_outputs_differ(zeros, zeros, zeros, is_float=True) is None
    assert why_outputs_differ(zeros, zeros, zeros, is_float=False) is None
