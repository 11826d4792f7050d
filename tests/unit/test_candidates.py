from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgert.bundle import Gate, Variant
from edgert.profiler import candidates
from edgert.profiler.candidates import LATENCY_OPTIONS, Entry, list_entries, physical_cores, refuse_cpu, without_effect
from edgert.profiler.race_table import why_not_raced
from edgert.runtime.engines import ENGINES, TIMES_ONLY, get_engine, litert, onnxruntime, openvino, tensorrt
from edgert.runtime.engines.options import checked_options
from edgert.runtime.settings import Choice

TABLES = {
    "onnxruntime": onnxruntime.OPTIONS,
    "litert": litert.OPTIONS,
    "openvino": openvino.OPTIONS,
    "tensorrt": tensorrt.OPTIONS,
}


def variant(variant_id: str = "onnx-fp32", gate: Gate = Gate.NONE) -> Variant:
    kind, _, precision = variant_id.partition("-")
    return Variant(variant_id, kind, precision, "x", (), (), (), 0, gate)


def names(*variants: Variant, threads: int | None = None, cores: int = 4) -> list[str]:
    return [entry.name for entry in list_entries(variants, "onnx-fp32", threads, cores) if entry.refusal is None]


def test_every_engine_is_raced_and_every_option_exists() -> None:
    assert set(LATENCY_OPTIONS) == set(ENGINES) - TIMES_ONLY == set(TABLES)
    for engine, sets in LATENCY_OPTIONS.items():
        assert sets[0] == {}
        for options in sets:
            checked_options(engine, TABLES[engine], options)


def test_one_thread_and_all_cores_unless_a_number_is_given() -> None:
    pytest.importorskip("openvino")
    assert names(variant()) == [
        "onnx-fp32 on onnxruntime, 1 thread",
        "onnx-fp32 on onnxruntime, 4 threads",
        "onnx-fp32 on onnxruntime, 4 threads, allow_spinning=0",
        "onnx-fp32 on openvino, 1 thread",
        "onnx-fp32 on openvino, 4 threads",
    ]
    assert names(variant(), threads=1) == ["onnx-fp32 on onnxruntime, 1 thread", "onnx-fp32 on openvino, 1 thread"]
    assert names(variant(), cores=1) == names(variant(), threads=1)


def test_variants_meet_only_engines_that_read_them() -> None:
    pytest.importorskip("ai_edge_litert")
    assert {name.split(" on ")[1].split(",")[0] for name in names(variant("tflite-int8"))} == {"litert"}


def test_an_engine_that_is_not_installed_is_listed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(get_engine("openvino")), "version", lambda self: None)
    found = list_entries((variant(), variant("onnx-int8")), "onnx-fp32", 1, 4)
    assert [entry.name for entry in found if entry.refusal] == ["any variant on openvino"]
    assert found[-1].refusal == "not installed (pip install 'edgert[openvino]')"


@pytest.mark.parametrize(
    ("given", "with_data", "without_data"),
    [
        (variant(), None, None),
        (variant("onnx-int8", Gate.PASSED), None, None),
        (variant("onnx-int8", Gate.UNDECIDED), None, None),
        (variant("onnx-int8", Gate.FAILED), "gate failed", "gate failed"),
        (variant("onnx-int8"), None, "unverified"),
        (variant("onnx-fp16"), None, "unverified"),
        (variant("tflite-fp32"), None, None),
    ],
    ids=["reference", "passed", "undecided", "failed", "unverified int8", "unverified fp16", "unverified fp32"],
)
def test_which_variants_may_win(given: Variant, with_data: str | None, without_data: str | None) -> None:
    (entry, *_) = list_entries((given,), "onnx-fp32", 1, 1)
    for has_data, reason in ((True, with_data), (False, without_data)):
        found = why_not_raced(entry, has_data)
        assert found is None if reason is None else reason in (found or "")


def test_an_option_that_changed_nothing_is_not_measured_twice() -> None:
    base = Entry(Choice("tflite-int8", "litert", 1), "int8", Gate.PASSED, False, False)
    other = dataclasses.replace(base, choice=Choice("tflite-int8", "litert", 1, {"latest_features": "1"}))
    facts = {"nodes": 10, "xnnpack_nodes": 10, "xnnpack_pieces": 1, "options": {}}
    assert without_effect(other, facts, [(base, facts)]) == "the same as tflite-int8 on litert, 1 thread"
    assert without_effect(other, facts | {"xnnpack_nodes": 9}, [(base, facts)]) is None
    assert without_effect(other, {}, [(base, {})]) is None
    threads = dataclasses.replace(base, choice=Choice("tflite-int8", "litert", 2))
    assert without_effect(threads, facts, [(base, facts)]) is None
    spinning = [
        Entry(Choice("x", "onnxruntime", 2, options), "", Gate.NONE, False, False) for options in ({}, {"a": "b"})
    ]
    assert without_effect(spinning[1], {}, [(spinning[0], {})]) is None


def test_cores_that_share_an_arithmetic_unit_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates.os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    assert physical_cores(tmp_path) == 2
    assert physical_cores(tmp_path / "elsewhere") == 4


def test_the_cpu_of_a_device_that_is_expected_to_use_more_is_refused() -> None:
    def entry(engine: str, refusal: str | None = None) -> Entry:
        return Entry(Choice("v", engine, 1), "fp16", Gate.PASSED, False, False, refusal=refusal)

    entries = [entry("onnxruntime"), entry("litert"), entry("openvino", "not installed")]
    assert refuse_cpu(entries, None) == tuple(entries)
    assert [found.refusal for found in refuse_cpu(entries, "cuda")] == [
        None,
        "runs on the CPU of a device that is expected to use cuda",
        "not installed",
    ]
