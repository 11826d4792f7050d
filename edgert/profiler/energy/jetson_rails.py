"""Which power rails of a Jetson may be added: never a total beside its parts.

Source: rail names as the boards print them; NVIDIA Jetson Linux Developer Guide, Platform Power and Performance.
"""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["choose_rails", "left_out"]

_TOTALS = ("VDD_IN", "POM_5V_IN")
_SETS = (
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),  # AGX Orin: there is no total
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),  # AGX Xavier
)


def choose_rails(found: Collection[str], wanted: str = "") -> tuple[tuple[str, ...], str | None]:
    """Returns the rails to add, or none and why.

    Args:
        found: the names that the board shows.
        wanted: names joined by `+`, where the user says which; empty: choose.
    """
    names = tuple(wanted.split("+")) if wanted else ()
    missing = [name for name in names if name not in found]
    if missing:
        return (), f"no rail {missing[0]!r}; there are {', '.join(sorted(found))}"
    if names:
        return names, None
    for candidate in (*((total,) for total in _TOTALS), *_SETS):
        if all(name in found for name in candidate):
            return candidate, None
    listed = ", ".join(sorted(found)) or "none"
    return (), f"which of the rails ({listed}) may be added is not known; name them: ?rails=FIRST+SECOND"


def left_out(rails: tuple[str, ...]) -> str:
    """What the rails do not see, as a sentence for the record."""
    if len(rails) == 1 and rails[0] in _TOTALS:
        return "the carrier board, what is plugged into it, and the losses of the power supply; the module is in it"
    return "what of module and carrier board these rails do not feed, what is plugged in, losses of the power supply"
