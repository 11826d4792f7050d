"""Prints what the endurance runs saw, also where they passed and ran in other processes."""

from __future__ import annotations

import pytest

from tests.apps.endurance import HEADER

ROW = "endurance"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    rows = [str(text) for report in reports for name, text in report.user_properties if name == ROW]
    if rows:
        terminalreporter.write_line("\n".join([*HEADER, *sorted(rows)]))
