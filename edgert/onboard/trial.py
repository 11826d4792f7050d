"""Health before trust: runs a release, watches it, and trusts it or goes back to the one before, on the board itself.

Whoever called is not needed for that: when the connection ends in the middle, the release before runs again.
"""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

from edgert.onboard.folder import tell_step
from edgert.onboard.health import Health, read_health
from edgert.onboard.launch import health_path
from edgert.onboard.releases import Releases
from edgert.onboard.services import Service

__all__ = ["Limits", "Trial", "Verdict", "settle"]

_POLL_S = 0.25
_LAST_LINES = 6


@dataclass(frozen=True)
class Limits:
    """What a release must keep to be trusted.

    Attributes:
        ready_s: within so many seconds it gave its known answers and processed its first frames.
        alive_s: after that it goes on for so many seconds, without an end and with frames.
        frames: inferences that a judgement on latency needs.
        p95_ms: most that 95 % of inferences may take; None: see `slower`.
        p95_from: where that limit is from, in words.
        slower: where there is no `p95_ms`: so many times what the release before took on this board; None: no limit.
        energy_mj: most energy per frame, where the board has a sensor; None: see `slower`.
        energy_from: where that limit is from, in words.
    """

    ready_s: float = 60.0
    alive_s: float = 10.0
    frames: int = 10
    p95_ms: float | None = None
    p95_from: str = ""
    slower: float | None = 1.5
    energy_mj: float | None = None
    energy_from: str = ""


@dataclass(frozen=True)
class Verdict:
    """`reason` is why a release is not trusted; `runs` is what runs now; `health` is the tried release's last word."""

    release: str
    trusted: bool
    reason: str | None
    runs: str | None
    health: dict[str, Any] | None  # Any: JSON values


class Trial:
    """One trial. `is_ending` is set when the connection ends."""

    def __init__(self, releases: Releases, service: Service, limits: Limits, is_ending: threading.Event) -> None:
        self._releases, self._service, self._limits, self._is_ending = releases, service, limits, is_ending
        self._before: Health | None = None
        self._started_s = 0.0

    def run(self, release: str) -> Verdict:
        """Tries a release that is on this board; afterwards it is trusted, or what ran before runs again.

        Raises:
            ReleaseError: it is not here, or somebody else is at it.
            OSError: the disk takes no writes; what ran before runs.
        """
        with self._releases.watching():
            trusted = self._releases.state().trusted
            self._before = self._health(trusted)
            self._releases.begin_trial(release)
            try:
                self._started_s = time.monotonic()
                self._service.restart()
                tell_step("restarted")
                reason = self._watch(release)
                if reason is None:
                    self._releases.confirm()
                    return Verdict(release, True, None, release, self._plain_health(release))
                health = self._plain_health(release)
            except BaseException:
                self._go_back()
                raise
            return Verdict(release, False, self._go_back(reason), self._releases.state().current, health)

    def _watch(self, release: str) -> str | None:
        """Returns why the release cannot be trusted; None where it can."""
        return self._await_frames(release) or self._await_steady(release) or self._judge(release)

    def _await_frames(self, release: str) -> str | None:
        deadline_s = time.monotonic() + self._limits.ready_s
        while time.monotonic() < deadline_s:
            health = self._health(release)
            if health is not None and health.phase == "running" and health.is_healthy:
                return None
            found = self._trouble(health)
            if found is not None:
                return found
            self._is_ending.wait(_POLL_S)
        health = self._health(release)
        if health is None:
            return f"it said nothing within {self._limits.ready_s:g} s{self._last_words()}"
        why = f": {health.problem}" if health.problem else ""
        return f"not ready within {self._limits.ready_s:g} s, still {health.phase}{why}"

    def _await_steady(self, release: str) -> str | None:
        steady_s = time.monotonic() + self._limits.alive_s
        deadline_s = steady_s + self._limits.ready_s
        while time.monotonic() < deadline_s:
            health = self._health(release)
            found = self._trouble(health)
            if found is not None:
                return found
            if time.monotonic() >= steady_s and _inferences(health) >= self._limits.frames:
                healthy = health is not None and health.is_healthy
                return None if healthy else f"it stopped processing frames: {health.problem if health else 'no word'}"
            self._is_ending.wait(_POLL_S)
        return f"fewer than {self._limits.frames} inferences within {self._limits.alive_s + self._limits.ready_s:g} s"

    def _trouble(self, health: Health | None) -> str | None:
        if self._is_ending.is_set():
            return "the connection ended before the trial did"
        if health is not None and health.phase == "failed":
            return health.problem or "it failed without a word"
        status = self._service.status()
        if status.restarts:
            ended = "" if status.last_status is None else f" with status {status.last_status}"
            return f"it ended{ended}{self._last_words()}"
        return None

    def _judge(self, release: str) -> str | None:
        health, limits = self._health(release), self._limits
        if health is None or health.inference_ms is None:
            return "it does not say how long inferences take"
        took_ms, used_mj = health.inference_ms.p95, health.energy_mj
        most_ms, most_mj = limits.p95_ms, limits.energy_mj
        ms_from, mj_from = limits.p95_from, limits.energy_from
        before = self._before
        if limits.slower is not None and before is not None and _inferences(before) >= limits.frames:
            than_before = f"{limits.slower:g} times the release before"
            if most_ms is None and before.inference_ms is not None:
                most_ms, ms_from = limits.slower * before.inference_ms.p95, than_before
            if most_mj is None and before.energy_mj is not None:
                most_mj, mj_from = limits.slower * before.energy_mj, than_before
        if most_ms is not None and took_ms > most_ms:
            return f"too slow: 95 % of inferences within {took_ms:.4g} ms, allowed are {most_ms:.4g} ms ({ms_from})"
        if most_mj is not None and used_mj is not None and used_mj > most_mj:
            return f"too much energy: {used_mj:.4g} mJ a frame, allowed are {most_mj:.4g} mJ ({mj_from})"
        return None

    def _go_back(self, reason: str = "") -> str:
        """Ends the trial; returns the reason, with what is wrong now as well where the release before does not run."""
        state = self._releases.give_up()
        if state.trusted is None:
            self._service.remove()
            return reason
        self._started_s = time.monotonic()
        self._service.restart()
        tell_step("restarted")
        if self._is_ending.is_set():
            return reason
        found = self._await_frames(state.trusted)
        return reason if found is None else f"{reason}; and the release before does not come up: {found}"

    def _health(self, release: str | None) -> Health | None:
        """What the app last said, where it is this release and was said since the restart."""
        health = read_health(health_path(self._releases.place))
        fits = health is not None and health.release == release and health.monotonic_s >= self._started_s
        return health if fits else None

    def _plain_health(self, release: str) -> dict[str, Any] | None:
        health = self._health(release)
        return None if health is None else asdict(health)

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._service.log(_LAST_LINES).splitlines() if line.strip()]
        return f"; its last words: {' / '.join(lines)}" if lines else ""


def settle(releases: Releases, service: Service) -> bool:
    """Ends a trial whose watcher was killed; returns whether there was one.

    Raises:
        ReleaseError: somebody else is at it.
    """
    if not releases.has_lost_trial():
        return False
    with releases.watching():
        state = releases.give_up()
        if state.trusted is None:
            service.remove()
        else:
            service.restart()
    return True


def _inferences(health: Health | None) -> int:
    return 0 if health is None or health.inference_ms is None else health.inference_ms.count
