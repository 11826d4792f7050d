"""Models of the zoo through Arm's compiler for Ethos-U NPUs."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from edgert.bundle import Bundle
from edgert.cli import main
from edgert_converters.ethos_u import compile_for_npu
from edgert_converters.tflite.read import parse_tflite
from tests.microcontrollers.test_exact import MODELS

TARGET = "ethos-u55-128"


@pytest.fixture(autouse=True)
def need_vela() -> None:
    if shutil.which("vela", path=str(Path(sys.executable).parent)) is None and shutil.which("vela") is None:
        pytest.skip("needs Arm's compiler: pip install ethos-u-vela")


def test_a_published_model_runs_on_the_npu_wholly(zoo: Path, tmp_path: Path) -> None:
    out = tmp_path / "kws.edge"
    assert main(["convert", str(zoo / "models" / f"{MODELS['kws']}.tflite"), "-t", TARGET, "-o", str(out)]) == 0
    with Bundle.open(out) as bundle:
        report = json.loads(bundle.read("report.json"))
        compiled = parse_tflite(bundle.read(f"variants/tflite-int8/{TARGET}.tflite"))
    (row,) = [row for row in report["variants"] if row["id"] == "tflite-int8"]
    (placed,) = row["npu"]
    assert placed["mac_share"] == 1.0
    assert not placed["cpu"]
    assert sum(layer["macs"] for layer in placed["npu"]) == 2_656_768
    assert 16_000 <= placed["estimates"]["sram_bytes"] < 40_000
    assert any("13 of 13 operators on the NPU" in note for note in row["notes"])
    assert [operator.name for operator in compiled.subgraphs[0].operators] == ["ethos-u"]


def test_a_folder_holds_what_was_compiled(zoo: Path, tmp_path: Path) -> None:
    model = zoo / "models" / f"{MODELS['ad']}.tflite"
    assert main(["convert", str(model), "-t", TARGET, "-o", str(tmp_path / "out")]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"tflite-int8.tflite", f"tflite-int8.{TARGET}.tflite", "report.json"} <= names


def test_what_an_npu_cannot_hold_stays_on_the_cpu(zoo: Path) -> None:
    data = (zoo / "models" / "microwakeword_okay_nabu.tflite").read_bytes()
    made, again = (compile_for_npu(data, TARGET, TARGET) for _ in range(2))
    assert made == again
    placement = made.placement
    assert {layer.op for layer in placement.cpu} == {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}
    assert len(placement.npu) + len(placement.cpu) == len(parse_tflite(data).subgraphs[0].operators)
    assert placement.mac_share == 1.0


def test_a_float_model_gets_nothing_from_the_npu(zoo: Path) -> None:
    data = (zoo / "models" / "mlperf_tiny_kws_dscnn_float.tflite").read_bytes()
    placement = compile_for_npu(data, TARGET, TARGET).placement
    assert placement.mac_share == 0.0
    assert not placement.npu
