from __future__ import annotations

import pytest

from edgert.errors import UsageError
from edgert.units import format_bytes, format_count, format_ms, parse_duration_s


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_090_000, "1.09 MB"), (3 * 10**9, "3 GB")]
)
def test_bytes(size: int, text: str) -> None:
    assert format_bytes(size) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0"), (1234, "1.23 k"), (40_600_000, "40.6 M"), (10**10, "10 G")])
def test_counts(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0451, "45.1 us"), (0.1, "0.1 ms"), (12.345, "12.3 ms"), (999.4, "999 ms"), (999.6, "1 s"), (7890.0, "7.89 s")],
)
def test_milliseconds(value: float, text: str) -> None:
    assert format_ms(value) == text


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("10m", 600), ("1.5h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "-1s", "1 day", "s", "1e3s"])
def test_wrong_durations_name_the_form(text: str) -> None:
    with pytest.raises(UsageError, match="cannot read the duration .*500ms, 30s, 10m or 1h"):
        parse_duration_s(text)
