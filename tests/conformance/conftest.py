"""The last lines of a conformance run: how much of ONNX's node suite and of the TFLite operators passed."""

from __future__ import annotations

import pytest

from tests.conformance import node_suite, tflite_single


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in (*node_suite.summary(), *tflite_single.summary()):
        terminalreporter.write_line(line)
