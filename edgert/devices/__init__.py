"""Devices: how a worker is reached and spoken to."""

from __future__ import annotations

from edgert.devices.client import WorkerClient, remote_error
from edgert.devices.registry import connect

__all__ = ["WorkerClient", "connect", "remote_error"]
