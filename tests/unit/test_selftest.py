"""The self-test on this computer; boards: tests/emulation/test_selftest.py."""

from __future__ import annotations

import dataclasses
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgert.bundle import write_bundle
from edgert.cli import main
from edgert.commands import selftest as verb
from edgert.commands import selftest_steps
from edgert.commands.selftest import selftest
from edgert.commands.selftest_bench import Bench, Finding, open_card_worker
from edgert.commands.selftest_card import make_card, write_both
from edgert.commands.selftest_clock import StepTooLongError, TimeBudget, limited
from edgert.commands.selftest_faults import (
    check_clean,
    check_damaged_bundle,
    check_unloadable_model,
    check_worker_killed,
)
from edgert.commands.selftest_steps import check_energy, check_latency, check_parity, set_up
from edgert.devices.names import find_device
from edgert.errors import DeviceError, EngineError, InternalError, OutputError, UsageError
from edgert.profiler.card import Outcome, load_card
from edgert.profiler.record import Reason, Record, Verdict
from edgert.target import get_target
from tests import bundle_example, record_example


def silent(stage: str, done: int, total: int) -> None:
    pass


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """This computer with ONNX Runtime alone and a bundle of one layer."""
    golden: dict[str, Any] = {"input/x": np.ones((2, 1, 4), np.float32)}  # Any: names are no keyword of savez
    np.savez(tmp_path / "golden.npz", **golden)
    files = bundle_example.files() | {"golden.npz": (tmp_path / "golden.npz").read_bytes()}
    bundle = write_bundle(tmp_path / "selftest.edge", bundle_example.manifest(), files)
    made = Bench(find_device("local:"), "local:", get_target("host"), tmp_path, silent, bundle)
    made.engines = {"onnxruntime": "1.0"}
    return made


def step(function: Callable[[Bench], Finding], least_s: float = 0.0, most_s: float = 60.0) -> verb._Step:
    return verb._Step("a step", function, least_s, most_s)


def test_microcontrollers_and_odd_times_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"qemu:mps2-an386 is a microcontroller; edgert selftest takes Linux boards"):
        selftest("qemu:mps2-an386", tmp_path)
    with pytest.raises(UsageError, match=r"--minutes is 0; it must be between 1 and 60"):
        selftest("local:", tmp_path, minutes=0)
    with pytest.raises(UsageError, match=r"no device 'nobody'"):
        selftest("nobody", tmp_path)


def test_a_folder_that_cannot_be_written_is_named_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file: no card can be written here"):
        selftest("local:", tmp_path / "file")


def test_a_step_is_cut_short_after_its_time() -> None:
    with pytest.raises(StepTooLongError, match=r"cut short after 0 s"), limited(0.05):
        time.sleep(60)
    with limited(60.0):
        pass
    with pytest.raises(KeyboardInterrupt), limited(60.0):
        raise KeyboardInterrupt


def test_what_a_step_raises_is_its_outcome(bench: Bench) -> None:
    def broken(_: Bench) -> Finding:
        raise EngineError("the engine is gone")

    def endless(_: Bench) -> Finding:
        time.sleep(60)
        raise AssertionError

    def bug(_: Bench) -> Finding:
        raise InternalError("a bug")

    clock = TimeBudget(600.0)
    failed = verb._taken(step(broken), bench, clock)
    assert (failed.outcome, failed.text) == (Outcome.FAILED, "EngineError: the engine is gone")
    cut = verb._taken(step(endless, most_s=1.0), bench, clock)
    assert cut.outcome is Outcome.SKIPPED
    assert cut.text == "did not end in its time: cut short after 1 s"
    with pytest.raises(InternalError, match="a bug"):
        verb._taken(step(bug), bench, clock)


def test_a_step_that_no_longer_fits_is_skipped_and_says_so(bench: Bench) -> None:
    seconds = iter((0.0, 560.0))
    clock = TimeBudget(600.0, lambda: next(seconds))
    skipped = verb._taken(step(lambda _: pytest.fail("begun"), least_s=20.0), bench, clock)
    assert skipped.outcome is Outcome.SKIPPED
    assert skipped.text == "10 s were left of 10 min, it needs 20"


def test_nothing_else_is_tried_where_set_up_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(_: Bench) -> Finding:
        raise DeviceError("the board cannot be reached")

    monkeypatch.setattr(verb, "_SET_UP", dataclasses.replace(verb._SET_UP, function=refuses))
    steps = verb._all_steps(bench, TimeBudget(600.0), lambda _: None)
    assert steps[0].outcome is Outcome.FAILED
    assert {step.outcome for step in steps[1:]} == {Outcome.SKIPPED}
    assert {step.text for step in steps[1:-1]} == {"set-up did not pass"}
    assert (steps[-1].name, steps[-1].text) == ("deploy", "not in this version of edgert")
    with pytest.raises(DeviceError, match=r"no card, since the device could not be looked at: .*cannot be reached"):
        make_card(bench, steps, "2026-01-01T00:00:00+00:00")


def test_set_up_names_the_engines_of_this_computer(bench: Bench) -> None:
    found = set_up(bench)
    assert found.outcome is Outcome.PASSED
    assert "onnxruntime 1." in found.text
    assert bench.facts is not None
    assert bench.private >= {platform.node()}


def test_a_killed_worker_is_named_and_the_next_one_runs(bench: Bench) -> None:
    found = check_worker_killed(bench)
    assert found.outcome is Outcome.PASSED, found.text
    assert "killed, most likely because memory ran out" in found.text
    clean = check_clean(bench)
    assert clean.outcome is Outcome.PASSED, clean.text
    assert clean.text == "temporary files of 3 workers are gone"


def test_a_worker_that_nobody_kills_fails_the_step(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgert.commands.selftest_faults._LINGER_S", 0.1)
    monkeypatch.setattr("edgert.commands.selftest_faults._KILL_AFTER_S", 1.0)
    found = check_worker_killed(bench)
    assert found.outcome is Outcome.FAILED
    assert found.text == "a worker that was killed answered its call"


def test_damaged_files_are_refused(bench: Bench) -> None:
    damaged = check_damaged_bundle(bench)
    assert damaged.outcome is Outcome.PASSED, damaged.text
    assert damaged.figures == {"error": "BundleError"}
    half = check_unloadable_model(bench)
    assert half.outcome is Outcome.PASSED, half.text
    assert half.figures == {"error": "ModelError"}


def test_a_damaged_bundle_that_loads_fails_the_step(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgert.commands.selftest_faults._with_wrong_bit", lambda path, variant: path.read_bytes())
    found = check_damaged_bundle(bench)
    assert (found.outcome, found.text) == (Outcome.FAILED, "a bundle with one wrong bit was loaded")


def test_temporary_folders_that_stay_fail_the_step(bench: Bench, tmp_path: Path) -> None:
    bench.temporary.add(str(tmp_path))
    found = check_clean(bench)
    assert found.outcome is Outcome.FAILED
    assert found.text == "temporary folders of 1 workers are still there"


def test_only_own_files_and_workers_are_touched(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with open_card_worker(bench) as worker:
        with pytest.raises(UsageError, match=r"mine\.txt' is no file that edgert brought to this board"):
            worker.call("remove", {"paths": [str(tmp_path / "mine.txt")]})
        with pytest.raises(UsageError, match=r"process 1 is no worker of this self-test"):
            worker.call("kill", {"pid": 1})
        brought = tmp_path / "edgert/files" / ("a" * 64) / "net.edge"
        brought.parent.mkdir(parents=True)
        brought.write_text("")
        worker.call("remove", {"paths": [str(brought), str(tmp_path / "edgert/incoming" / ("b" * 64))]})
    assert (tmp_path / "mine.txt").exists()
    assert not brought.parent.exists()


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"interpreter_steps": 2, "int8_steps": 0}, "2 steps off the integer interpreter, 1 may be"),
        ({"interpreter_steps": None, "not_compared": "no engine"}, "no engine"),
        ({"interpreter_steps": 0, "int8_steps": 3}, "int8 outputs are 3 steps off those of this computer, 1 may be"),
        ({"interpreter_steps": 0, "float_difference": 0.01}, "float outputs differ by 0.01 of the largest"),
    ],
)
def test_outputs_that_differ_fail_parity(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, row: dict[str, object], fault: str
) -> None:
    monkeypatch.setattr(selftest_steps, "_parity_of", lambda bench, engine: row)
    found = check_parity(bench)
    assert found.outcome is Outcome.FAILED
    assert fault in found.text


def profiled(bench: Bench, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Finding:  # Any: fields of Record
    record: Record = record_example.record(**changes)
    monkeypatch.setattr(selftest_steps, "profile", lambda *_, **__: record)
    return check_latency(bench)


def test_an_invalid_measurement_fails_and_a_degraded_one_says_why(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = (Reason("competing-load", "others ran"),)
    degraded = profiled(bench, monkeypatch, verdict=Verdict.DEGRADED, reasons=reasons)
    assert degraded.outcome is Outcome.PASSED
    assert degraded.text.endswith("degraded (competing-load)")
    assert degraded.figures["onnxruntime onnx-int8"]["would_pass_require_valid"] is False
    assert profiled(bench, monkeypatch, verdict=Verdict.INVALID).outcome is Outcome.FAILED


def test_energy_without_a_sensor_is_skipped_with_its_reason(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_energy(bench).text == "nothing was profiled"
    profiled(bench, monkeypatch, energy=None, energy_reason="no sensor: none")
    found = check_energy(bench)
    assert (found.outcome, found.text) == (Outcome.SKIPPED, "not measured: no sensor: none")


def test_a_second_card_of_a_day_replaces_none(tmp_path: Path) -> None:
    from tests.card_example import card

    first, second = write_both(tmp_path, card()), write_both(tmp_path, card())
    assert first.path.name == "card-raspberry-pi-4-2026-03-01.json"
    assert second.path.name == "card-raspberry-pi-4-2026-03-01-2.json"
    assert second.page.name == "card-raspberry-pi-4-2026-03-01-2.html"
    assert "adds it to profiles/raspberry-pi-4/ makes the target verified" in verb._text(first)


@pytest.mark.slow
def test_the_whole_of_it_on_this_computer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest_steps, "_SUSTAINED_S", 0.5)
    assert main(["selftest", "--device", "local:", "-o", str(tmp_path), "--json"]) == 0
    said = capsys.readouterr()
    plain = json.loads(said.out)
    card = load_card(Path(plain["path"]))
    outcomes = {step.name: step.outcome for step in card.steps}
    assert {name for name, outcome in outcomes.items() if outcome is not Outcome.PASSED} <= {"energy", "deploy"}
    assert "upload cut off" not in outcomes
    assert card.is_passed
    assert card.steps[1].figures["onnxruntime"]["interpreter_steps"] == 0
    assert "parity: passed" in said.err
    assert platform.node() not in Path(plain["path"]).read_text()
    assert Path(plain["page"]).read_text().startswith("<!DOCTYPE html>")
