"""Models newer than the working opset: lowered, with ONNX's definitions of new operators, and checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from edgert.errors import ModelError
from edgert_converters.importers import ImportedModel, import_model
from edgert_converters.importers.source_run import run_source

pytest.importorskip("onnxruntime")

NEWEST = onnx.defs.onnx_opset_version()


def _import(folder: Path, opset: int, body: str, *, out: str = "float[1, 4, 3, 3] y") -> ImportedModel:
    path = folder / "net.onnx"
    header = f'<ir_version: 10, opset_import: ["" : {opset}]> net (float[1, 4, 3, 3] x) => ({out})'
    onnx.save(parser.parse_model(f"{header} {{ {body} }}"), path)
    return import_model(path, {})


def _operators(imported: ImportedModel) -> set[str]:
    return {node.op_type for node in imported.model.graph}


def test_a_new_operator_is_written_in_older_ones(tmp_path: Path) -> None:
    imported = _import(tmp_path, 24, "y = Swish <alpha = 1.5> (x)")
    assert imported.model.opset_imports[""] == 20
    assert _operators(imported) == {"Mul", "Sigmoid"}


def test_a_definition_that_needs_the_types_of_values(tmp_path: Path) -> None:
    body = "r = Relu (x) gain = Constant <value = float[3] {1.0, 2.0, 3.0}> () y = RMSNormalization (r, gain)"
    assert "RMSNormalization" not in _operators(_import(tmp_path, 23, body))


def test_group_normalization_changed_its_meaning(tmp_path: Path) -> None:
    body = """
        s = Constant <value = float[4] {1.0, 2.0, 3.0, 4.0}> () b = Constant <value = float[4] {0.0, 1.0, 2.0, 3.0}> ()
        y = GroupNormalization <num_groups = 2> (x, s, b)
    """
    assert "GroupNormalization" not in _operators(_import(tmp_path, 21, body))


def test_an_operator_that_onnx_cannot_lower_but_never_changed(tmp_path: Path) -> None:
    imported = _import(tmp_path, 22, "y = GlobalMaxPool (x)", out="float[1, 4, 1, 1] y")
    assert _operators(imported) == {"GlobalMaxPool"}
    assert set(imported.model.opset_imports) == {""}


def test_a_model_of_the_newest_opset(tmp_path: Path) -> None:
    """Whether this ONNX Runtime runs it (1.32 does) or ONNX's evaluator has to."""
    assert _import(tmp_path, NEWEST, "z = Exp (x) y = Sqrt (z)").model.opset_imports[""] == 20


def test_newer_than_the_engine_is_compared_with_the_evaluator(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> list[np.ndarray]:
        raise ModelError(f"Opset {NEWEST} is under development")

    monkeypatch.setattr("edgert_converters.importers.source_run.run_model", refuse)
    header = f'<ir_version: 10, opset_import: ["" : {NEWEST}]> net (float[2] x) => (float[2] y)'
    model = parser.parse_model(f"{header} {{ y = Sqrt (x) }}").SerializeToString()
    notes: list[str] = []
    (y,) = run_source(model, NEWEST, {"x": np.array([4, 9], np.float32)}, notes)
    assert y.tolist() == [2, 3]
    assert notes == [f"this ONNX Runtime cannot run opset {NEWEST}; compared with ONNX's reference evaluator instead"]


def test_what_no_definition_can_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"cannot be brought from opset {NEWEST} to 20"):
        _import(tmp_path, NEWEST, "z = Constant <value = float {2.0}> () y = Mod (x, z)")


def test_neither_engine_nor_evaluator_can_run_it() -> None:
    header = f'<ir_version: 10, opset_import: ["" : {NEWEST}]> net (float[2] x, int64[1] s) => (float[n] y)'
    model = parser.parse_model(f"{header} {{ y = Reshape (x, s) }}").SerializeToString()
    feed = {"x": np.zeros(2, np.float32), "s": np.asarray([3], np.int64)}
    with pytest.raises(ModelError, match="nor can the reference evaluator of ONNX"):
        run_source(model, NEWEST, feed, [])


def test_an_output_type_that_is_not_carried(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="output 'y' has the element type bfloat16, which is not supported"):
        _import(tmp_path, NEWEST, "y = Cast <to = 16> (x)", out="bfloat16[1, 4, 3, 3] y")
