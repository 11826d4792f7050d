"""Rounds of measuring random networks: the first alone, the next in turns, none of them twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgert.cost.teach import Lesson, measure_networks

FORMS = [(0, "onnx-fp32"), (0, "onnx-int8")]


def teach(folder: Path, minutes: float = 10.0, rounds: int = 2) -> list[Lesson]:
    return measure_networks(
        folder, device=None, threads=1, engine="onnxruntime", forms=FORMS, minutes=minutes, rounds=rounds
    )


def test_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGERT_COSTS", str(tmp_path / "costs"))
    folder = tmp_path / "lessons"
    assert teach(folder, minutes=1e-9) == []

    lessons = teach(folder)
    assert [sorted(path.name for path in lesson.records) for lesson in lessons] == [
        [f"random-{seed}-{variant}-{turn}.json" for turn in (0, 1)] for seed, variant in FORMS
    ]
    for lesson in lessons:
        alone, in_turns = lesson.records.values()
        assert alone.memory.peak_rss_bytes
        assert in_turns.memory.peak_rss_bytes is None
        assert [row.op for row in in_turns.layers] == [row.op for row in alone.layers]

    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = teach(folder, minutes=1e-9)
    assert [lesson.records for lesson in again] == [lesson.records for lesson in lessons]
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
