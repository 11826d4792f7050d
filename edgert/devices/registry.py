"""Device URL -> transport, one line each."""

from __future__ import annotations

import importlib

from edgert.errors import UsageError
from edgert.plugins import Transport

__all__ = ["TRANSPORTS", "connect"]

TRANSPORTS = {
    "local": "edgert.devices.local:LocalTransport",
}
"""Scheme of the URL -> `module:class`."""


def connect(device: str | None = None) -> Transport:
    """Returns the transport to a device; None, ``local`` and ``local:`` are this computer.

    Raises:
        UsageError: the scheme is unknown, or `local:` is followed by something.
    """
    scheme, _, rest = (device or "local:").partition(":")
    if scheme not in TRANSPORTS or rest:
        known = ", ".join(f"{name}:" for name in TRANSPORTS)
        raise UsageError(f"no device {device!r}; devices reachable from here: {known}")
    module, _, attribute = TRANSPORTS[scheme].partition(":")
    transport: Transport = getattr(importlib.import_module(module), attribute)()
    return transport
