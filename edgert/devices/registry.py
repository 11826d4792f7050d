"""Device URL -> transport, one line each."""

from __future__ import annotations

import importlib

from edgert.devices.names import find_device
from edgert.errors import UsageError
from edgert.plugins import Transport

__all__ = ["TRANSPORTS", "connect"]

TRANSPORTS = {
    "local": "edgert.devices.local:open_local",
    "ssh": "edgert.devices.ssh:open_ssh",
}
"""Scheme of the URL -> `module:function(device)`, for devices that run Python."""


def connect(device: str | None = None) -> Transport:
    """Returns the transport to a device that runs Python; None, ``local`` and ``local:`` are this computer.

    Raises:
        UsageError: there is no such device, or it is a microcontroller.
    """
    found = find_device(device)
    scheme = found.url.partition(":")[0]
    if scheme not in TRANSPORTS:
        raise UsageError(f"{found.name} is a microcontroller: edgert run, verify and profile take it, this does not")
    module, _, attribute = TRANSPORTS[scheme].partition(":")
    transport: Transport = getattr(importlib.import_module(module), attribute)(found)
    return transport
