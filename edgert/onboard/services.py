"""What keeps apps running on this board: systemd where the user has a manager of it, else edgert's own supervisor."""

from __future__ import annotations

from pathlib import Path

from edgert.onboard.folder import BoardFolder
from edgert.onboard.linger import ensure_linger
from edgert.onboard.plain_service import PlainService
from edgert.onboard.service import Limits, Service, ServiceError, ServiceStatus
from edgert.onboard.systemd import SystemdService, manager_version

__all__ = ["Limits", "Service", "ServiceError", "ServiceStatus", "choose_service", "ensure_linger"]


def choose_service(folder: BoardFolder, name: str, python: Path, limits: Limits | None = None) -> Service:
    """Returns the service of an app: that which it has already, else the best that this board offers.

    Args:
        folder: of edgert on the board.
        name: of the app.
        python: the board's interpreter, which stays when an environment goes.
        limits: what the app may take; only systemd keeps them.
    """
    systemd = SystemdService(folder, name, python, limits or Limits())
    plain = PlainService(folder, name, python)
    if systemd.is_installed:
        return systemd
    return plain if plain.is_running or manager_version() is None else systemd
