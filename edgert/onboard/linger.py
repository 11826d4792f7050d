"""Whether a user's services run while the user is logged out: systemd calls it lingering."""

from __future__ import annotations

from edgert.onboard.service import run_tool, user_name

__all__ = ["ensure_linger", "is_lingering"]

_NO_SUCH_PROGRAM = 127


def is_lingering() -> bool | None:
    """Returns whether the user lingers; None where no systemd can be asked."""
    status, out, _ = run_tool("loginctl", "show-user", user_name(), "--property=Linger", "--value")
    if status == _NO_SUCH_PROGRAM:
        return None
    return out.strip() == "yes"


def ensure_linger() -> str | None:
    """Switches lingering on where it is not, and looks whether it is.

    Returns:
        None where it is on; else the one command that switches it on, by somebody who may. Where there is no
        systemd there is nothing to switch on, and None too.
    """
    if is_lingering() in {True, None}:
        return None
    run_tool("loginctl", "--no-ask-password", "enable-linger", user_name())
    return None if is_lingering() else f"sudo loginctl enable-linger {user_name()}"
