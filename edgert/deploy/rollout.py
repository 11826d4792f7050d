"""A release on its way to many devices: wave after wave, stopped where too much fails, resumable by its journal.

waves = plan_waves(devices, canary=1, wave="25%")
rollout = run_waves(waves, deploy_one, release="4f0c", max_failures="10%")
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from edgert.deploy.journal import Journal
from edgert.deploy.outcome import Outcome, Result
from edgert.deploy.waves import Wave, parse_amount
from edgert.devices.names import Device
from edgert.errors import DeviceError, EdgertError, EngineError, UsageError

__all__ = ["DeployOne", "Rollout", "RolloutReporter", "run_waves"]

MAX_PARALLEL = 64
_POLL_S = 0.5
"""A wait without a limit would not see Ctrl-C on Windows."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What came of a rollout.

    Attributes:
        release: what was rolled out.
        waves: as planned.
        outcomes: one for each device, in the order of the waves.
        stopped: why the rest was not started; None where it went through.
        was_interrupted: True after Ctrl-C.
    """

    release: str
    waves: tuple[Wave, ...]
    outcomes: tuple[Outcome, ...]
    stopped: str | None
    was_interrupted: bool

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The outcomes of devices that were tried and do not run the release."""
        return tuple(outcome for outcome in self.outcomes if outcome.outcome.has_failed)


class DeployOne(Protocol):
    """Deploys to one device."""

    def __call__(self, device: Device, /) -> Outcome:
        """Returns what came of it; called from several threads at once, and never twice for one device."""
        ...


class RolloutReporter(Protocol):
    """Hears what happens, one call at a time."""

    def __call__(self, wave: int, device: Device, outcome: Outcome | None, /) -> None:
        """A device of a wave (counted from 0) was started (`outcome` is None), or has ended."""
        ...


def run_waves(
    waves: Sequence[Wave],
    deploy_one: DeployOne,
    *,
    release: str,
    max_failures: str | int = "10%",
    parallel: int = 4,
    journal: Journal | None = None,
    report: RolloutReporter | None = None,
) -> Rollout:
    """Deploys wave after wave, and stops where too much fails; to be called from the main thread.

    Any failure among canaries stops; later, more failures than `max_failures` (a number, or a share of all devices,
    rounded down). What runs then is let end, and what was not begun is never touched. Ctrl-C does the same; the
    devices being deployed to come to their end, a second Ctrl-C does not wait for them.

    Args:
        waves: of `plan_waves`.
        deploy_one: gives the outcome for one device. An EdgertError that it raises is that device's failure, anything
            else stops the rollout and is raised again once the other devices have ended.
        release: what is rolled out, as the report calls it.
        max_failures: how many devices may fail after the canaries.
        parallel: how many devices at once, at most.
        journal: is told each outcome. A device that has the release according to it is asked all the same; where it
            cannot be reached now, what the journal says counts.
        report: hears what happens.

    Raises:
        UsageError: an amount that cannot be.
        OutputError: the journal cannot be written.
    """
    if not 1 <= parallel <= MAX_PARALLEL:
        raise UsageError(f"--parallel {parallel}: write 1 to {MAX_PARALLEL} devices at once")
    run = _Run(waves, deploy_one, release, max_failures, journal, report)
    try:
        for number in range(len(waves)):
            run.run_wave(number, parallel)
    except KeyboardInterrupt:
        run.interrupt()
    return run.result()


class _Run:
    """The state of one rollout, shared by the threads of a wave; whatever changes it holds the lock."""

    def __init__(
        self,
        waves: Sequence[Wave],
        deploy_one: DeployOne,
        release: str,
        max_failures: str | int,
        journal: Journal | None,
        report: RolloutReporter | None,
    ) -> None:
        self._waves = tuple(waves)
        self._deploy_one, self._release, self._journal, self._report = deploy_one, release, journal, report
        total = sum(len(wave.devices) for wave in waves)
        self._limit, self._limit_text = math.floor(parse_amount(max_failures, total)[1]), str(max_failures)
        self._earlier = {} if journal is None else journal.having()
        self._lock = threading.Lock()
        self._waiting: deque[Device] = deque()
        self._outcomes: dict[str, Outcome] = {}
        self._threads: list[threading.Thread] = []
        self._stopped: str | None = None
        self._was_interrupted = False
        self._error: BaseException | None = None

    def run_wave(self, number: int, parallel: int) -> None:
        """Deploys to the devices of one wave, unless the rollout has stopped; returns when all have ended."""
        devices = self._waves[number].devices
        self._waiting.extend(devices)
        count = min(parallel, len(devices))
        self._threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()
        self._join()

    def interrupt(self) -> None:
        """Starts no further device, and waits for those being deployed to."""
        with self._lock:
            self._was_interrupted = True
            self._stop("interrupted")
        self._join()

    def result(self) -> Rollout:
        """Returns what came of it.

        Raises:
            BaseException: what a deployment raised that is no failure of its device.
        """
        if self._error is not None:
            raise self._error
        if self._journal is not None:
            self._journal.end(self._stopped)
        devices = [device for wave in self._waves for device in wave.devices]
        outcomes = [self._outcomes.get(device.name) or self._not_started(device) for device in devices]
        return Rollout(self._release, self._waves, tuple(outcomes), self._stopped, self._was_interrupted)

    def _join(self) -> None:
        for thread in self._threads:
            while thread.is_alive():
                thread.join(_POLL_S)

    def _work(self, number: int) -> None:
        try:
            while (device := self._take(number)) is not None:
                self._finish(number, device, self._outcome(device))
        except BaseException as error:  # noqa: BLE001  # raised again by the thread that waits for this one
            with self._lock:
                self._error = self._error or error
                self._stop(f"an error in edgert: {error}")

    def _take(self, number: int) -> Device | None:
        with self._lock:
            if self._stopped is not None or not self._waiting:
                return None
            device = self._waiting.popleft()
            if self._report is not None:
                self._report(number, device, None)
            return device

    def _outcome(self, device: Device) -> Outcome:
        start_s = time.monotonic()
        try:
            outcome = self._deploy_one(device)
        except EdgertError as error:
            is_unreachable = isinstance(error, DeviceError) and not isinstance(error, EngineError)
            result = Result.UNREACHABLE if is_unreachable else Result.FAILED
            outcome = Outcome(device.name, result, str(error), self._release, None, time.monotonic() - start_s)
        earlier = self._earlier.get(device.name)
        if outcome.outcome is Result.UNREACHABLE and earlier is not None:
            return replace(earlier, reason=f"not reached now; it got the release before ({outcome.reason})")
        return outcome

    def _finish(self, number: int, device: Device, outcome: Outcome) -> None:
        with self._lock:
            self._outcomes[device.name] = outcome
            if self._journal is not None:
                self._journal.add(outcome)
            if self._report is not None:
                self._report(number, device, outcome)
            if outcome.outcome.has_failed:
                self._judge(self._waves[number], outcome)

    def _judge(self, wave: Wave, outcome: Outcome) -> None:
        names = [device.name for planned in self._waves for device in planned.devices]
        failed = [name for name in names if name in self._outcomes and self._outcomes[name].outcome.has_failed]
        if wave.is_canary:
            self._stop(f"canary {outcome.device}: {outcome.outcome.value} ({outcome.reason})")
        elif len(failed) > self._limit:
            share = f"{len(failed)} of {len(names)} devices failed, {', '.join(failed)}"
            self._stop(f"{share}; at most {self._limit} may ({self._limit_text})")

    def _stop(self, reason: str) -> None:
        self._stopped = self._stopped or reason
        self._waiting.clear()

    def _not_started(self, device: Device) -> Outcome:
        return Outcome(device.name, Result.NOT_STARTED, self._stopped, self._release, None, 0.0)
