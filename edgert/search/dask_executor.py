"""Evaluations on the workers of a Dask cluster, each of which owns a board (docs/search.md, extra `dask`).

Whoever can reach a Dask scheduler can run any code on its workers. So it is spoken to over the loopback interface or
TLS, and refused otherwise. What is submitted is a function of edgert.search.remote with texts for arguments.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import queue
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from edgert.errors import DeviceError, MissingExtraError, UsageError
from edgert.search.evaluator import Evaluation
from edgert.search.executor import Job
from edgert.search.problem import ProblemRequest
from edgert.search.remote import evaluate_there, evaluation_of, identify_there, identity_of, request_text

__all__ = ["DaskExecutor", "check_address", "resource_of"]

_WAIT_S = 1.0
_CONNECT_S = 10.0
_WORKERS_S = 30.0


def check_address(address: str) -> None:
    """Lets only addresses pass that nobody else can speak at: TLS, or the loopback interface.

    Raises:
        UsageError: it is another address.
    """
    parts = urlsplit(address)
    if parts.scheme == "tls" and parts.hostname:
        return
    if parts.scheme != "tcp" or not _is_loopback(parts.hostname):
        raise UsageError(
            f"--scheduler {address}: anybody who can reach a Dask scheduler can run code on its workers; use "
            "tcp://127.0.0.1:PORT (through an SSH tunnel for another computer) or tls://HOST:PORT"
        )


def resource_of(device: str) -> str:
    """Returns the name of the resource by which a worker says that it owns a device."""
    return f"device:{device}"


class DaskExecutor:
    """Evaluates on the workers that own the devices, as many at a time as there are."""

    def __init__(self, address: str, request: ProblemRequest, devices: Sequence[str]) -> None:
        """Connects, and asks a worker of every device for its evaluator's identity.

        Raises:
            MissingExtraError: Dask is not installed.
            UsageError: the address is not allowed, or the scheduler or a worker can be reached by others.
            DeviceError: there is no scheduler, or no worker owns a device.
        """
        check_address(address)
        self._request, self._devices, self._address = request_text(request), tuple(devices), address
        self._client = _connect(address)
        self._jobs: dict[Any, Job] = {}  # Any: Dask's future
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()  # Any: Dask's future
        try:
            self._wait_for_workers()
            self.identities: Mapping[str, str] = {device: self._identify(device) for device in self._devices}
        except BaseException:
            self.close()
            raise

    def free_device(self, busy: Sequence[str]) -> str | None:
        """See Executor; what other processes use counts, too, since Dask lends a board to one task at a time."""
        del busy
        used = Counter(job.device for job in self._jobs.values())
        owned = self._owned()
        free = [device for device in self._devices if used[device] < owned[device]]
        if not free and not self._jobs:  # every worker is away: the job waits at the scheduler for one to come
            return self._devices[0]
        return min(free, key=lambda device: used[device], default=None)

    def submit(self, job: Job) -> None:
        """See Executor."""
        arguments = (self._request, job.device, json.dumps(dict(job.choice)), job.seed)
        future = self._send(evaluate_there, job.device, *arguments)
        self._jobs[future] = job
        future.add_done_callback(self._done.put)

    def wait(self) -> list[tuple[Job, Evaluation]]:
        """See Executor."""
        try:
            future = self._done.get(timeout=_WAIT_S)
        except queue.Empty:
            self._check_connection()
            return []
        job = self._jobs.pop(future, None)  # None: given up meanwhile
        return [] if job is None else [(job, self._result(future))]

    def close(self) -> None:
        """See Executor."""
        for future in list(self._jobs):
            future.cancel()
        self._jobs.clear()
        self._client.close(timeout=5)

    def _send(self, function: Any, device: str, *arguments: str | int) -> Any:  # Any: one of remote's; a future
        return self._client.submit(function, *arguments, resources={resource_of(device): 1}, pure=False)

    def _result(self, future: Any) -> Evaluation:  # Any: Dask's future
        import distributed

        try:
            return evaluation_of(future.result())
        except distributed.KilledWorker as error:
            attempts = "" if error.last_worker is None else f", the last on {error.last_worker.address}"
            return Evaluation({}, f"the workers that evaluated it ended, one after the other{attempts}", {})
        except (distributed.CancelledError, OSError) as error:
            raise DeviceError(f"the Dask scheduler {self._address} is gone ({error})") from error

    def _identify(self, device: str) -> str:
        return identity_of(self._send(identify_there, device, self._request, device).result())

    def _wait_for_workers(self) -> None:
        end_s = time.monotonic() + _WORKERS_S
        while True:
            _refuse_open_ports(self._address, _info(self._client))
            owned = self._owned()
            missing = [device for device in self._devices if not owned[device]]
            if not missing:
                return
            if time.monotonic() > end_s:
                command = f"dask worker {self._address} --nthreads 1 --resources '{resource_of(missing[0])}=1'"
                raise DeviceError(f"no Dask worker owns the device {missing[0]!r}; start one with: {command}")
            time.sleep(0.1)

    def _owned(self) -> Counter[str]:
        workers = _info(self._client)["workers"].values()
        found: Counter[str] = Counter()
        for worker in workers:
            for device in self._devices:
                found[device] += int(worker.get("resources", {}).get(resource_of(device), 0))
        return found

    def _check_connection(self) -> None:
        if self._client.status not in {"running", "connecting"}:
            raise DeviceError(f"the Dask scheduler {self._address} is gone")


def _connect(address: str) -> Any:  # Any: Dask's client
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError("distributed", "dask", "--scheduler") from error
    security = distributed.Security(require_encryption=True) if address.startswith("tls://") else None
    try:
        return distributed.Client(address, timeout=_CONNECT_S, set_as_default=False, security=security)
    except (OSError, TimeoutError, RuntimeError, TypeError, ValueError) as error:
        raise DeviceError(f"no Dask scheduler answers at {address} ({' '.join(str(error).split())[:200]})") from error


def _info(client: Any) -> Any:  # Any: Dask's client; its JSON
    ask = functools.partial(client.scheduler_info)
    try:
        return ask(n_workers=-1)  # newer ones name five workers otherwise
    except TypeError:
        return ask()


def _refuse_open_ports(address: str, info: Any) -> None:  # Any: Dask's JSON
    """Refuses a cluster without TLS of which some part listens on more than the loopback interface."""
    if address.startswith("tls://"):
        return
    for name, found in (("scheduler", info["address"]), *(("worker", worker) for worker in info["workers"])):
        if not found.startswith("inproc://") and not _is_loopback(urlsplit(found).hostname):
            raise UsageError(
                f"the Dask {name} {found} can be reached from other computers, who could run code here; start it with "
                "--host 127.0.0.1, or use TLS"
            )


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
