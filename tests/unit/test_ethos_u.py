"""What Vela writes, read; what it cannot do, said. The real compiler runs in tests/microcontrollers/test_ethos_u.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgert.dtypes import DType
from edgert.errors import EngineError, MissingExtraError, UsageError
from edgert.recipe import Recipe
from edgert.target import get_target
from edgert_converters import ethos_u
from edgert_converters.command import CONVERTER
from edgert_converters.ethos_u import Estimates, Placement, compile_for_npu, parse_estimates, place
from edgert_converters.ethos_u_variants import has_npu, with_ethos_u
from edgert_converters.tflite.model import TfOperator, TfSubgraph, TfTensor

SUMMARY = {
    "experiment": "default",
    "system_config": "Ethos_U55_High_End_Embedded",
    "memory_mode": "Shared_Sram",
    "core_clock": "500000000.0",
    "inference_time": "0.0001798",
    "sram_memory_used": "21.671875",
    "on_chip_flash_memory_used": "0.0",
    "off_chip_flash_memory_used": "30.375",
    "cycles_total": "89900",
}
ESTIMATES = Estimates("Ethos_U55_High_End_Embedded", "Shared_Sram", 500_000_000, 22_192, 31_104, 89_900, 0.1798)


def _summary(values: dict[str, str]) -> str:
    return f"{','.join(values)}\n{','.join(values.values())}\n"


def _tensor(name: str, *shape: int) -> TfTensor:
    return TfTensor(name, shape, DType.INT8)


MODEL = TfSubgraph(
    tensors=(
        _tensor("x", 1, 8, 8, 3),
        _tensor("w", 4, 3, 3, 3),
        _tensor("conv", 1, 8, 8, 4),
        _tensor("v", 1, 3, 3, 4),
        _tensor("depthwise", 1, 4, 4, 4),
        _tensor("m", 10, 64),
        _tensor("fc", 1, 10),
        _tensor("y", 1, 10),
    ),
    operators=(
        TfOperator("CONV_2D", (0, 1, -1), (2,)),
        TfOperator("DEPTHWISE_CONV_2D", (2, 3), (4,)),
        TfOperator("FULLY_CONNECTED", (4, 5), (6,)),
        TfOperator("SOFTMAX", (6,), (7,)),
    ),
    inputs=(0,),
    outputs=(7,),
)


def _placement(compiled: TfSubgraph) -> Placement:
    npu, cpu = place(MODEL, compiled)
    return Placement("ethos-u55-128", "ethos-u55-128", "5.2.0", npu, cpu, ESTIMATES)


def test_figures_are_read_in_bytes_and_milliseconds() -> None:
    found = parse_estimates(_summary(SUMMARY))
    assert replace(found, inference_ms=round(found.inference_ms, 9)) == ESTIMATES


def test_a_summary_of_another_kind_is_refused() -> None:
    without = {name: value for name, value in SUMMARY.items() if name != "cycles_total"}
    with pytest.raises(EngineError, match="no column 'cycles_total'; edgert knows that of ethos-u-vela 5.2.0"):
        parse_estimates(_summary(without))
    with pytest.raises(EngineError, match="no column 'system_config'"):
        parse_estimates("")
    with pytest.raises(EngineError, match="has 'much' in column 'sram_memory_used', which is no number"):
        parse_estimates(_summary(SUMMARY | {"sram_memory_used": "much"}))


def test_what_is_not_left_over_runs_on_the_npu() -> None:
    names = {tensor.name: index for index, tensor in enumerate(MODEL.tensors)}
    npu = TfOperator("ethos-u", (names["x"],), (names["depthwise"],), is_custom=True)
    found = _placement(replace(MODEL, operators=(npu, *MODEL.operators[2:])))
    assert [layer.output for layer in found.npu] == ["conv", "depthwise"]
    assert [(layer.op, layer.macs) for layer in found.cpu] == [("FULLY_CONNECTED", 640), ("SOFTMAX", 0)]
    macs = 8 * 8 * 4 * 27 + 4 * 4 * 4 * 9
    assert found.mac_share == macs / (macs + 640)
    assert found.sentence == (
        "ethos-u55-128: 2 of 4 operators on the NPU, 92.1% of the MACs; on the CPU: 1 FULLY_CONNECTED, 1 SOFTMAX; "
        "SRAM 22,192 and flash 31,104 bytes; Vela 5.2.0 estimates 89,900 cycles, 0.180 ms at 500 MHz "
        "(Ethos_U55_High_End_Embedded, Shared_Sram); an estimate, not measured"
    )


def test_a_model_may_stay_on_the_cpu_wholly() -> None:
    found = _placement(MODEL)
    assert not found.npu
    assert found.mac_share == 0.0
    assert found.to_json()["estimates_are"] == "Vela's, not measured"


def test_matrices_and_transposed_convolutions_are_counted() -> None:
    tensors = (_tensor("a", 2, 5, 7), _tensor("b", 2, 7, 3), _tensor("c", 2, 5, 3))
    product = TfSubgraph(tensors, (TfOperator("BATCH_MATMUL", (0, 1), (2,)),), (0, 1), (2,))
    assert place(product, product)[1][0].macs == 2 * 5 * 3 * 7
    tensors = (_tensor("shape", 4), _tensor("w", 6, 2, 2, 3), _tensor("x", 1, 4, 4, 3), _tensor("y", 1, 8, 8, 6))
    wider = TfSubgraph(tensors, (TfOperator("TRANSPOSE_CONV", (0, 1, 2), (3,)),), (2,), (3,))
    assert place(wider, wider)[1][0].macs == 4 * 4 * 3 * 6 * 2 * 2


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ethos_u.shutil, "which", lambda *_, **__: None)
    words = r"ethos-u55-128.*'ethos-u-vela'.*pip install 'edgert\[ethos-u\]'"
    with pytest.raises(MissingExtraError, match=words):
        compile_for_npu(b"", "ethos-u55-128", "ethos-u55-128")
    with pytest.raises(MissingExtraError, match=words):  # before any other work
        CONVERTER.convert(Recipe(Path("missing.onnx"), targets=("ethos-u55-128",)), lambda *_: None)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo fine; echo 'Error: no such operator' >&2; exit 3", "exit code 3.*: Error: no such operator"),
        ("exit 1", "exit code 1.*: without a word"),
        ("echo 9.9", "Vela 9.9 wrote no model_vela.tflite with its summary"),
    ],
)
def test_a_compiler_that_fails_is_quoted(
    script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "vela"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(ethos_u, "find_vela", lambda target: str(program))
    with pytest.raises(EngineError, match=words):
        compile_for_npu(b"TFL3", "ethos-u55-128", "ethos-u55-128")


def test_a_compiler_that_cannot_start_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ethos_u, "find_vela", lambda target: str(tmp_path / "gone"))
    with pytest.raises(EngineError, match="cannot start .*gone: No such file or directory; reinstall ethos-u-vela"):
        compile_for_npu(b"TFL3", "ethos-u55-128", "ethos-u55-128")


def test_an_npu_needs_int8() -> None:
    with pytest.raises(UsageError, match="ethos-u55-128 computes with int8 only; add --precision int8"):
        with_ethos_u([], ("fp16",), [get_target("ethos-u55-128")])
    assert with_ethos_u([], ("fp16",), [get_target("raspberry-pi-4")]) == []


def test_a_form_that_vela_reads_is_a_must_for_npus_only() -> None:
    assert has_npu([get_target("raspberry-pi-4"), get_target("ethos-u55-128")])
    assert not has_npu([get_target("raspberry-pi-4")])
