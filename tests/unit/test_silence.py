"""The one setting for silent connections."""

from __future__ import annotations

import pytest

from edgert.devices.silence import VARIABLE, Limits, read_limits
from edgert.errors import UsageError


def test_the_laptop_gives_up_before_the_board_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert read_limits() == Limits(20.0)
    monkeypatch.setenv(VARIABLE, "4")
    limits = read_limits()
    assert limits.beat_s < limits.silence_s == 4.0 < limits.board_silence_s < limits.start_s


@pytest.mark.parametrize("text", ["soon", "0", "-3", "nan", "601"])
def test_what_is_no_number_of_seconds_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UsageError, match=f"{VARIABLE}='{text}': write seconds from 1 to 600"):
        read_limits()
