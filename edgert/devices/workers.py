"""Opens workers on devices by name or URL: models are executed there, never in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgert.devices.client import WorkerClient
from edgert.devices.names import find_device
from edgert.devices.registry import connect

__all__ = ["expected_accelerator", "open_worker"]


@contextmanager
def open_worker(device: str | None, module: str = "edgert.runtime.worker") -> Iterator[WorkerClient]:
    """Gives a worker on a device and ends it afterwards, also on Ctrl-C."""
    accelerator = expected_accelerator(device)
    transport = connect(device)
    try:
        with WorkerClient(transport, module, accelerator) as worker:
            yield worker
    finally:
        transport.close()


def expected_accelerator(device: str | None) -> str | None:
    """Returns what a device is expected to run models on besides the CPU, by the target that it was found to be."""
    name = find_device(device).target
    if name is None:
        return None
    from edgert.target import get_target

    return get_target(name).accelerator
