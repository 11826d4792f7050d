"""Whatever fails: each device at most once, waves in order, nothing begun after the stop; resuming repeats nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgert.deploy.journal import begin_journal, resume_journal
from edgert.deploy.outcome import Outcome, Result
from edgert.deploy.rollout import Rollout, run_waves
from edgert.deploy.waves import plan_waves
from edgert.devices.names import Device

FAILURES = (Result.ROLLED_BACK, Result.REFUSED, Result.UNREACHABLE, Result.FAILED)
RELEASE = "4f0c"


@pytest.fixture(autouse=True, scope="module")
def _settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("settings")
        patch.setenv("EDGERT_SETTINGS", str(folder))
        yield folder


@dataclass
class Fleet:
    """Boards that remember what they run; those in `failing` fail in their way."""

    failing: dict[str, Result]
    runs: dict[str, str] = field(default_factory=dict)
    installed: list[str] = field(default_factory=list)
    events: list[tuple[int, str, Outcome | None]] = field(default_factory=list)

    def deploy_one(self, device: Device) -> Outcome:
        if device.name in self.failing:
            return Outcome(device.name, self.failing[device.name], "a fault", RELEASE, None, 1.0)
        has_it = self.runs.get(device.name) == RELEASE
        if not has_it:
            self.installed.append(device.name)
        self.runs[device.name] = RELEASE
        return Outcome(device.name, Result.UNCHANGED if has_it else Result.DEPLOYED, None, RELEASE, RELEASE, 1.0)

    def report(self, wave: int, device: Device, outcome: Outcome | None) -> None:
        self.events.append((wave, device.name, outcome))


@st.composite
def _plans(draw: st.DrawFn) -> tuple[list[Device], int, str | int]:
    count = draw(st.integers(1, 12))
    wave = draw(st.one_of(st.integers(1, 14), st.integers(1, 100).map(lambda share: f"{share}%")))
    return [Device(f"d{index}", f"ssh://d{index}") for index in range(count)], draw(st.integers(0, 13)), wave


_FAULTS = st.dictionaries(st.integers(0, 11).map(lambda index: f"d{index}"), st.sampled_from(FAILURES), max_size=4)
_LIMITS = st.one_of(st.integers(0, 4), st.integers(0, 100).map(lambda share: f"{share}%"))


@given(_plans())
def test_a_plan_holds_every_device_once_and_in_order(plan: tuple[list[Device], int, str | int]) -> None:
    devices, canary, wave = plan
    waves = plan_waves(devices, canary, wave)
    assert [device for planned in waves for device in planned.devices] == devices
    size = wave if isinstance(wave, int) else -(-int(wave[:-1]) * len(devices) // 100)
    later = [planned for planned in waves if not planned.is_canary]
    assert [planned.is_canary for planned in waves] == [True] * (canary > 0) + [False] * len(later)
    if canary:
        assert len(waves[0].devices) == min(canary, len(devices))
    assert all(len(planned.devices) == size for planned in later[:-1])
    assert all(1 <= len(planned.devices) <= size for planned in later)


@settings(max_examples=60, deadline=None)
@given(_plans(), _FAULTS, _LIMITS, st.integers(1, 4))
def test_a_rollout_keeps_its_order_and_its_limit(
    plan: tuple[list[Device], int, str | int], failing: dict[str, Result], limit: str | int, parallel: int
) -> None:
    devices, canary, wave = plan
    fleet = Fleet(failing)
    waves = plan_waves(devices, canary, wave)
    rollout = run_waves(
        waves, fleet.deploy_one, release=RELEASE, max_failures=limit, parallel=parallel, report=fleet.report
    )
    assert [outcome.device for outcome in rollout.outcomes] == [device.name for device in devices]
    started = [name for _, name, outcome in fleet.events if outcome is None]
    untouched = {outcome.device for outcome in rollout.outcomes if outcome.outcome is Result.NOT_STARTED}
    assert len(started) == len(set(started))
    assert set(started) == {device.name for device in devices} - untouched
    assert (rollout.stopped is not None) or not untouched
    allowed = limit if isinstance(limit, int) else int(limit[:-1]) * len(devices) // 100
    assert _is_stopped(fleet, rollout, allowed) == (rollout.stopped is not None)


def _is_stopped(fleet: Fleet, rollout: Rollout, allowed: int) -> bool:
    """Goes through what happened; every start must have been allowed at its time."""
    open_devices: set[str] = set()
    wave, failures, has_stopped = 0, 0, False
    for number, name, outcome in fleet.events:
        if outcome is None:
            assert not has_stopped, f"{name} was started after the stop"
            assert number == wave or (number == wave + 1 and not open_devices)
            wave = number
            open_devices.add(name)
            assert len(open_devices) <= 4
            continue
        open_devices.remove(name)
        failures += outcome.outcome.has_failed
        has_stopped |= outcome.outcome.has_failed and (rollout.waves[number].is_canary or failures > allowed)
    assert not open_devices
    return has_stopped


@settings(max_examples=30, deadline=None)
@given(_plans(), _FAULTS, _LIMITS)
def test_resuming_installs_only_where_it_is_missing_and_twice_changes_nothing(
    plan: tuple[list[Device], int, str | int], failing: dict[str, Result], limit: str | int
) -> None:
    devices, canary, wave = plan
    fleet = Fleet(failing)
    waves = plan_waves(devices, canary, wave)
    first = run_waves(
        waves, fleet.deploy_one, release=RELEASE, max_failures=limit, journal=begin_journal(RELEASE, waves)
    )
    had = {outcome.device for outcome in first.outcomes if outcome.outcome.has_release}
    fleet.failing = {}
    journal = resume_journal(RELEASE, devices[::-1])
    assert journal.waves == waves
    assert set(journal.having()) == had
    second = run_waves(journal.waves, fleet.deploy_one, release=RELEASE, max_failures=limit, journal=journal)
    assert {o.device for o in second.outcomes if o.outcome is Result.UNCHANGED} == had
    assert sorted(fleet.installed) == sorted(device.name for device in devices)
    again = resume_journal(RELEASE, devices)
    third = run_waves(again.waves, fleet.deploy_one, release=RELEASE, max_failures=limit, journal=again)
    assert {outcome.outcome for outcome in third.outcomes} == {Result.UNCHANGED}
    assert len(fleet.installed) == len(devices)
