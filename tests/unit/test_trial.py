"""A release on trial: what it may do wrong, and that the one before runs again each time."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgert.onboard.folder import BoardFolder
from edgert.onboard.health import Health, Latencies, health_text
from edgert.onboard.releases import ReleaseError, Releases
from edgert.onboard.service import ServiceStatus
from edgert.onboard.trial import Limits, Trial, settle

OLD, NEW = "1" * 16, "2" * 16
FAST = Limits(ready_s=0.3, alive_s=0.05)
GOOD = Health(
    pid=1, release=None, phase="running", problem=None, known_answers=None, frames=50, is_healthy=True, fps=15.0,
    inference_ms=Latencies(50, 9.0, 10.0, 11.0), energy_mj=100.0, power_source=None, page=None, monotonic_s=0.0,
)  # fmt: skip

Says = Callable[[Health], Health | None]


class StandInService:
    """Runs nothing: writes what a release's app would say of itself. `kind` and the rest as edgert.onboard.service."""

    kind = "supervisor"

    def __init__(self, releases: Releases, place: Path, says: dict[str, Says]) -> None:
        self._releases, self._place, self._says = releases, place, says
        self.runs: list[str | None] = []
        self.restarts, self.is_removed = 0, False

    def install(self) -> None:
        """Nothing to do."""

    def restart(self) -> None:
        current = self._releases.state().current
        self.runs.append(current)
        self._place.unlink(missing_ok=True)
        said = None if current is None else self._says[current](dataclasses.replace(GOOD, release=current))
        if said is not None:
            self._place.write_text(health_text(dataclasses.replace(said, monotonic_s=time.monotonic())))

    def stop(self) -> None:
        """Nothing to do."""

    def remove(self) -> None:
        self.is_removed = True

    def status(self) -> ServiceStatus:
        restarts = self.restarts if self.runs[-1] == NEW else 0
        return ServiceStatus(self.kind, True, 1, self.runs[-1], True, restarts, -9 if restarts else None, False, None)

    def log(self, lines: int) -> str:
        return "one\ntwo\n"


@dataclasses.dataclass
class Scene:
    """A board with a trusted release, if `with_old`, and a new one."""

    releases: Releases
    service: StandInService
    is_ending: threading.Event

    def run(self, limits: Limits = FAST) -> str | None:
        """Tries the new release; returns the reason against it."""
        verdict = Trial(self.releases, self.service, limits, self.is_ending).run(NEW)
        assert verdict.trusted == (verdict.reason is None)
        assert verdict.runs == self.releases.state().current
        assert self.releases.state().trial is None
        return verdict.reason


def good(health: Health) -> Health:
    return health


def saying(**changes: object) -> Says:
    return lambda health: dataclasses.replace(health, **changes)  # type: ignore[arg-type]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scene]:
    def make(says: Says, *, old: Says | None = good, restarts: int = 0) -> Scene:
        monkeypatch.setattr("edgert.onboard.trial.health_path", lambda place: tmp_path / "health.json")
        monkeypatch.setattr("edgert.onboard.trial._POLL_S", 0.01)
        folder = BoardFolder(tmp_path / "edgert")
        releases = Releases(folder, "demo")
        service = StandInService(releases, tmp_path / "health.json", {OLD: old or good, NEW: says})
        for release in (OLD, NEW) if old is not None else (NEW,):
            with folder.staging("release") as place:
                (place / "made").mkdir()
                releases.add(release, place / "made")
        if old is not None:
            with releases.watching():
                releases.begin_trial(OLD)
                releases.confirm()
            with folder.staging("release") as place:
                (place / "made").mkdir()
                releases.add(NEW, place / "made")
            service.restart()
        service.restarts = restarts
        return Scene(releases, service, threading.Event())

    return make


def test_a_healthy_release_is_trusted(scene: Callable[..., Scene]) -> None:
    made = scene(good)
    assert made.run() is None
    assert (made.releases.state().trusted, made.releases.state().previous) == (NEW, OLD)
    assert made.service.runs == [OLD, NEW]


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (lambda health: None, "it said nothing within 0.3 s; its last words: one / two"),
        (saying(phase="failed", problem="the model's answers are wrong"), "the model's answers are wrong"),
        (saying(phase="failed", problem=None), "it failed without a word"),
        (saying(phase="checking"), "not ready within 0.3 s, still checking"),
        (saying(is_healthy=False, problem="no camera"), "not ready within 0.3 s, still running: no camera"),
        (saying(inference_ms=Latencies(3, 9.0, 10.0, 11.0)), "fewer than 10 inferences within 0.35 s"),
        (
            saying(inference_ms=Latencies(50, 9.0, 16.0, 20.0)),
            "too slow: 95 % of inferences within 16 ms, allowed are 15 ms (1.5 times the release before)",
        ),
        (
            saying(energy_mj=151.0),
            "too much energy: 151 mJ a frame, allowed are 150 mJ (1.5 times the release before)",
        ),
    ],
)
def test_what_is_not_healthy_is_not_trusted(scene: Callable[..., Scene], says: Says, reason: str) -> None:
    made = scene(says)
    assert made.run() == reason
    assert made.releases.state().trusted == OLD
    assert made.service.runs == [OLD, NEW, OLD]


def test_what_ends_by_itself_is_not_trusted(scene: Callable[..., Scene]) -> None:
    assert scene(saying(phase="loading"), restarts=2).run() == "it ended with status -9; its last words: one / two"


def test_limits_that_are_named_win(scene: Callable[..., Scene]) -> None:
    slow = saying(inference_ms=Latencies(50, 9.0, 16.0, 20.0), energy_mj=400.0)
    named = dataclasses.replace(FAST, p95_ms=20.0, p95_from="max_p95_ms", energy_mj=500.0, energy_from="max_energy_mj")
    assert scene(slow).run(named) is None
    tight = dataclasses.replace(FAST, p95_ms=9.0, p95_from="the profile")
    assert scene(good).run(tight) == "too slow: 95 % of inferences within 10 ms, allowed are 9 ms (the profile)"


def test_going_back_is_not_held_against_speed(scene: Callable[..., Scene]) -> None:
    assert (
        scene(saying(inference_ms=Latencies(50, 9.0, 99.0, 99.0))).run(dataclasses.replace(FAST, slower=None)) is None
    )


def test_a_first_release_that_fails_leaves_no_service(scene: Callable[..., Scene]) -> None:
    made = scene(saying(phase="failed", problem="no camera"), old=None)
    assert made.run() == "no camera"
    assert made.service.is_removed
    assert made.releases.current() is None


def test_what_was_before_may_be_broken_too(scene: Callable[..., Scene]) -> None:
    made = scene(saying(phase="failed", problem="no camera"), old=saying(phase="failed", problem="no disk"))
    assert made.run() == "no camera; and the release before does not come up: no disk"


def test_the_connection_ends(scene: Callable[..., Scene]) -> None:
    made = scene(saying(phase="loading"))
    made.is_ending.set()
    assert made.run() == "the connection ended before the trial did"
    assert made.service.runs == [OLD, NEW, OLD]


def test_a_trial_whose_watcher_is_gone_is_settled(scene: Callable[..., Scene]) -> None:
    made = scene(good)
    assert not settle(made.releases, made.service)
    with made.releases.watching():
        made.releases.begin_trial(NEW)
    assert settle(made.releases, made.service)
    assert made.service.runs == [OLD, OLD]
    state = made.releases.place / "state.json"
    assert json.loads(state.read_text())["trial"] is None


def test_a_release_that_is_not_there(scene: Callable[..., Scene]) -> None:
    made = scene(good)
    with pytest.raises(ReleaseError, match="release 3333333333333333 is not on this board"):
        Trial(made.releases, made.service, FAST, made.is_ending).run("3" * 16)
