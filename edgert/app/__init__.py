"""What apps are made of: frame sources, the loop, the live page, systemd's watchdog (docs/apps.md). Runs on boards."""

from __future__ import annotations

from edgert.app.alarms import AlarmDetector, anomaly_score
from edgert.app.counting import LineCounter
from edgert.app.events import Event
from edgert.app.findings import Finding, Scene, top_findings
from edgert.app.frames import Frame
from edgert.app.inputs import SOUND
from edgert.app.keywords import KeywordDetector
from edgert.app.loop import Controls, Explain
from edgert.app.model import AppModel
from edgert.app.options import Options
from edgert.app.run import App, run_app
from edgert.app.trace import Trace

__all__ = [
    "SOUND",
    "AlarmDetector",
    "App",
    "AppModel",
    "Controls",
    "Event",
    "Explain",
    "Finding",
    "Frame",
    "KeywordDetector",
    "LineCounter",
    "Options",
    "Scene",
    "Trace",
    "anomaly_score",
    "run_app",
    "top_findings",
]
