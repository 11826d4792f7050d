"""Numbers with units, as people read them."""

from __future__ import annotations

import re

from edgert.errors import UsageError

__all__ = ["format_bytes", "format_count", "format_ms", "parse_duration_s"]

_DURATION = re.compile(r"(?P<value>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h)")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def format_bytes(size_bytes: int) -> str:
    """Returns e.g. ``1.09 MB`` (powers of 1000, as storage is sold and flash is listed)."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def format_count(count: int) -> str:
    """Returns e.g. ``40.6 M``."""
    value = float(count)
    for unit in ("", " k", " M"):
        if value < 1000:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.3g} G"


def format_ms(latency_ms: float) -> str:
    """Returns a latency with three significant digits, in microseconds below 0.1 ms and in seconds from 1 s on."""
    if latency_ms < 0.1:
        return f"{latency_ms * 1000:.3g} us"
    if latency_ms >= 999.5:
        return f"{latency_ms / 1000:.3g} s"
    return f"{latency_ms:.3g} ms"


def parse_duration_s(text: str) -> float:
    """Returns seconds for ``500ms``, ``30s``, ``10m`` or ``1h``.

    Raises:
        UsageError: the text has another form.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"cannot read the duration {text!r}; write e.g. 500ms, 30s, 10m or 1h")
    return float(match["value"]) * _SECONDS[match["unit"]]
