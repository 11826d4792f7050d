"""Each app for a while on synthetic input, as systemd runs it: 20 s here, an hour with EDGERT_ENDURANCE_S=3600."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

from tests.apps.bundles import APPS
from tests.apps.conftest import ROW
from tests.apps.endurance import Report, row, watch

pytest.importorskip("cv2")
pytest.importorskip("tornado")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory and systemd are looked at as on Linux")

SECONDS = float(os.environ.get("EDGERT_ENDURANCE_S", "20"))


@pytest.fixture(scope="module")
def reports() -> dict[str, Report]:
    """All of them side by side: each takes a few percent of a core."""
    return {report.app: report for report in watch(APPS, SECONDS)}


@pytest.mark.parametrize("app", APPS)
def test_an_app_runs_for_long(
    reports: dict[str, Report], app: str, record_property: Callable[[str, object], None]
) -> None:
    report = reports[app]
    record_property(ROW, row(report))
    assert report.faults() == []
    last = report.samples[-1].health
    assert last is not None
    assert last.known_answers is not None
    assert last.inference_ms is not None
    assert last.inference_ms.count == last.frames
    assert last.release == "0123456789abcdef"
    assert report.summary["stages"]["camera_to_result"]["p99_ms"] > 0


@pytest.mark.parametrize("app", ["image_classify", "detect"])
def test_its_picture_was_seen_all_the_while(reports: dict[str, Report], app: str) -> None:
    assert reports[app].pictures > SECONDS
