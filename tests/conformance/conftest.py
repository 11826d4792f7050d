"""The last lines of a conformance run: how much of ONNX's node suite passed."""

from __future__ import annotations

import pytest

from tests.conformance.node_suite import summary


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in summary():
        terminalreporter.write_line(line)
