"""Rollouts: when they stop, what they say, and what they find again."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edgert.codec import to_plain
from edgert.commands.console import format_table
from edgert.deploy.journal import begin_journal, resume_journal
from edgert.deploy.outcome import Outcome, Result
from edgert.deploy.rollout import Rollout, run_waves
from edgert.deploy.table import ROLLOUT_HEADER, exit_code_of, plain_rollout, rollout_rows, rollout_summary
from edgert.deploy.waves import Wave, parse_amount, plan_waves
from edgert.devices.names import Device
from edgert.errors import DeviceError, EdgertError, EngineError, InputFileError, OutputError, UsageError

RELEASE = "4f0c"
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGERT_SETTINGS", str(tmp_path))
    return tmp_path


def fleet(count: int) -> tuple[Device, ...]:
    return tuple(Device(f"d{index}", f"ssh://d{index}") for index in range(count))


def outcome(device: Device, result: Result = Result.DEPLOYED, reason: str | None = None) -> Outcome:
    runs = RELEASE if result.has_release else "old"
    return Outcome(device.name, result, reason, RELEASE, runs, 2.0, {"fps": 30.0} if result.has_release else None)


def deploying(**failing: Result) -> Callable[[Device], Outcome]:
    def deploy_one(device: Device) -> Outcome:
        if device.name in failing:
            return outcome(device, failing[device.name], "slower than allowed")
        return outcome(device)

    return deploy_one


def results(rollout: Rollout) -> list[str]:
    return [outcome.outcome.value for outcome in rollout.outcomes]


def run(waves: Sequence[Wave], deploy_one: Callable[[Device], Outcome], max_failures: str | int = "10%") -> Rollout:
    return run_waves(waves, deploy_one, release=RELEASE, max_failures=max_failures)


def sizes(waves: Sequence[Wave]) -> list[int]:
    return [len(wave.devices) for wave in waves]


def test_the_plan_of_the_defaults() -> None:
    waves = plan_waves(fleet(8))
    assert sizes(waves) == [1, 2, 2, 2, 1]
    assert [wave.is_canary for wave in waves] == [True, False, False, False, False]
    assert sizes(plan_waves(fleet(8), 0, 3)) == [3, 3, 2]
    assert sizes(plan_waves(fleet(3), 5)) == [3]
    assert sizes(plan_waves(fleet(1))) == [1]
    assert plan_waves((), 0) == ()


@pytest.mark.parametrize("amount", ["a", "25 %", "-1", "101%", "1.5", "", "%"])
def test_amounts_that_are_none(amount: str) -> None:
    with pytest.raises(UsageError, match=r"is no number of devices; write a number like 3 or a share like 25%"):
        parse_amount(amount, 8)


def test_amounts() -> None:
    assert parse_amount("25%", 9) == (3, 2.25)
    assert parse_amount("12.5%", 8) == (1, 1.0)
    assert parse_amount(3, 2) == parse_amount("3", 2) == (3, 3.0)


def test_plans_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="--canary -1: write 0 or more"):
        plan_waves(fleet(2), -1)
    for nothing in (0, "0%"):
        with pytest.raises(UsageError, match=f"--wave {nothing}: a wave has at least 1 device"):
            plan_waves(fleet(2), 1, nothing)
    with pytest.raises(UsageError, match="--parallel 0: write 1 to 64 devices at once"):
        run_waves(plan_waves(fleet(2)), deploying(), release=RELEASE, parallel=0)
    with pytest.raises(UsageError, match="'half' is no number of devices"):
        run(plan_waves(fleet(2)), deploying(), "half")


def test_a_failing_canary_stops_whatever_the_limit() -> None:
    rollout = run(plan_waves(fleet(4)), deploying(d0=Result.ROLLED_BACK), "100%")
    assert results(rollout) == ["rolled-back", "not-started", "not-started", "not-started"]
    assert rollout.stopped == "canary d0: rolled-back (slower than allowed)"
    assert exit_code_of(rollout) == 1


def test_the_limit_is_a_share_of_all_devices() -> None:
    waves = plan_waves(fleet(20), 1, 5)
    through = run(waves, deploying(d3=Result.FAILED, d9=Result.REFUSED))
    assert through.stopped is None
    assert results(through).count("deployed") == 18
    assert exit_code_of(through) == 1
    stopped = run(waves, deploying(d3=Result.FAILED, d9=Result.REFUSED, d10=Result.FAILED))
    assert stopped.stopped == "3 of 20 devices failed, d3, d9, d10; at most 2 may (10%)"
    assert set(results(stopped)[11:]) == {"not-started"}


def test_those_under_way_end_when_another_one_fails() -> None:
    """d1 fails while d2 is being deployed to; d2 ends as it would have, d3 of the same wave is not begun."""
    has_failed, is_under_way = threading.Event(), threading.Event()

    def deploy_one(device: Device) -> Outcome:
        if device.name == "d1":
            assert is_under_way.wait(PATIENCE_S)
            return outcome(device, Result.FAILED, "no room")
        is_under_way.set()
        assert has_failed.wait(PATIENCE_S)
        return outcome(device)

    def report(wave: int, device: Device, ended: Outcome | None) -> None:
        if ended is not None and ended.outcome.has_failed:
            has_failed.set()

    waves = (Wave(fleet(4)[1:]),)
    rollout = run_waves(waves, deploy_one, release=RELEASE, parallel=2, report=report)
    assert results(rollout) == ["failed", "deployed", "not-started"]


def test_a_wave_is_deployed_to_in_parallel_and_no_more_than_allowed() -> None:
    at_once = threading.Barrier(3)

    def deploy_one(device: Device) -> Outcome:
        at_once.wait(PATIENCE_S)  # breaks unless three are there
        return outcome(device)

    rollout = run_waves((Wave(fleet(6)),), deploy_one, release=RELEASE, parallel=3)
    assert results(rollout) == ["deployed"] * 6


def test_unreachable_devices_are_told_apart() -> None:
    def deploy_one(device: Device) -> Outcome:
        if device.name in {"d1", "d2"}:
            raise DeviceError(f"{device.name}: no answer")
        return outcome(device)

    rollout = run(plan_waves(fleet(4), 1, 3), deploy_one, 2)
    assert results(rollout) == ["deployed", "unreachable", "unreachable", "deployed"]
    assert rollout.failures[0].reason == "d1: no answer"
    assert exit_code_of(rollout) == 3
    mixed = run(plan_waves(fleet(4), 0, 4), deploying(d1=Result.UNREACHABLE, d2=Result.FAILED), 4)
    assert exit_code_of(mixed) == 1
    assert exit_code_of(run(plan_waves(fleet(4)), deploying())) == 0


@pytest.mark.parametrize("error", [OutputError("no room"), EngineError("no room")])
def test_other_errors_of_a_device_are_its_failure(error: EdgertError) -> None:
    def deploy_one(device: Device) -> Outcome:
        raise error

    assert run(plan_waves(fleet(2)), deploy_one).stopped == "canary d0: failed (no room)"


def test_an_error_in_edgert_itself_ends_the_rollout(settings: Path) -> None:
    waves = plan_waves(fleet(3), 1, 1)

    def deploy_one(device: Device) -> Outcome:
        if device.name == "d1":
            raise ZeroDivisionError("a mistake")
        return outcome(device)

    with pytest.raises(ZeroDivisionError, match="a mistake"):
        run_waves(waves, deploy_one, release=RELEASE, journal=begin_journal(RELEASE, waves))
    assert list(resume_journal(RELEASE, fleet(3)).having()) == ["d0"]


def test_ctrl_c_lets_what_runs_end_and_begins_nothing() -> None:
    def deploy_one(device: Device) -> Outcome:
        if device.name == "d1":
            os.kill(os.getpid(), signal.SIGINT)
        return outcome(device)

    waves = plan_waves(fleet(4), 1, 1)
    rollout = run_waves(waves, deploy_one, release=RELEASE, journal=begin_journal(RELEASE, waves))
    assert results(rollout) == ["deployed", "deployed", "not-started", "not-started"]
    assert (rollout.stopped, rollout.was_interrupted) == ("interrupted", True)
    assert exit_code_of(rollout) == 130
    assert set(resume_journal(RELEASE, fleet(4)).having()) == {"d0", "d1"}


def begun(count: int = 3, **failing: Result) -> Path:
    waves = plan_waves(fleet(count), 1, 1)
    journal = begin_journal(RELEASE, waves)
    run_waves(waves, deploying(**failing), release=RELEASE, journal=journal)
    return journal.path


def test_a_journal_is_found_by_release_and_devices() -> None:
    path = begun(d1=Result.FAILED)
    assert path.parent.name == "rollouts"
    stored = json.loads(path.read_text())
    assert stored["stopped"] == "1 of 3 devices failed, d1; at most 0 may (10%)"
    assert stored["outcomes"]["d0"] == to_plain(outcome(fleet(1)[0]))
    assert set(resume_journal(RELEASE, fleet(3)[::-1]).having()) == {"d0"}
    with pytest.raises(UsageError, match="no rollout of release 4f0c to these 2 devices .*leave --resume out"):
        resume_journal(RELEASE, fleet(2))
    with pytest.raises(UsageError, match="no rollout of release other"):
        resume_journal("other", fleet(3))
    assert begin_journal(RELEASE, plan_waves(fleet(3))).having() == {}


def test_a_resumed_rollout_believes_the_board_unless_it_is_out_of_reach() -> None:
    begun(d2=Result.FAILED)
    journal = resume_journal(RELEASE, fleet(3))
    asked: list[str] = []

    def deploy_one(device: Device) -> Outcome:
        asked.append(device.name)
        return outcome(device, Result.UNREACHABLE if device.name == "d0" else Result.DEPLOYED, "switched off")

    rollout = run_waves(journal.waves, deploy_one, release=RELEASE, journal=journal)
    assert asked == ["d0", "d1", "d2"]  # d1 had gone back meanwhile
    assert results(rollout) == ["deployed", "deployed", "deployed"]
    assert rollout.outcomes[0].reason == "not reached now; it got the release before (switched off)"
    assert exit_code_of(rollout) == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", r"rollouts/.*\.json: the journal of this rollout is damaged .*leave --resume out to begin anew"),
        ('{"schema": 1}', r"the journal of this rollout is damaged \(at release: missing\)"),
        ('{"schema": "x"}', r"damaged \(schema 'x'\)"),
        ("[]", r"damaged \(schema None\)"),
        ('{"schema": 1, "release": "4f0c", "waves": [], "outcomes": {}}', "its waves hold other devices"),
        ('{"schema": 2}', "schema 2, by a newer edgert; this one reads schema 1: update edgert, or"),
    ],
)
def test_journals_that_cannot_be_read(text: str, found: str) -> None:
    begun().write_text(text)
    with pytest.raises(InputFileError, match=found):
        resume_journal(RELEASE, fleet(3))


def test_the_report() -> None:
    rollout = run(plan_waves(fleet(3), 1, 1), deploying(d1=Result.ROLLED_BACK))
    assert format_table(ROLLOUT_HEADER, rollout_rows(rollout)).splitlines()[2:] == [
        "d0      deployed     4f0c  2.0",
        "d1      rolled-back  old   2.0      slower than allowed",
        "d2      not-started",
    ]
    assert rollout_summary(rollout) == (
        "1 deployed, 1 rolled-back, 1 not-started; stopped: 1 of 3 devices failed, d1; at most 0 may (10%)"
    )
    plain = plain_rollout(rollout)
    assert list(plain) == ["release", "waves", "stopped", "devices"]
    assert plain["waves"][0] == {"is_canary": True, "devices": ["d0"]}
    assert plain["devices"][1] == {
        "device": "d1",
        "outcome": "rolled-back",
        "reason": "slower than allowed",
        "release": "4f0c",
        "runs": "old",
        "seconds": 2.0,
        "health": None,
    }
    assert rollout_summary(run(plan_waves(fleet(1)), deploying())) == "1 deployed"


def test_one_device_has_the_shape_of_many() -> None:
    plain = plain_rollout(run(plan_waves(fleet(1)), deploying()))
    assert (len(plain["waves"]), plain["stopped"], len(plain["devices"])) == (1, None, 1)
