"""What apps are made of: frame sources, the loop, the live page, systemd's watchdog (docs/apps.md). Runs on boards."""

from __future__ import annotations

from edgert.app.counting import LineCounter
from edgert.app.findings import Finding, Scene, top_findings
from edgert.app.frames import Frame
from edgert.app.loop import Controls, Explain
from edgert.app.model import AppModel
from edgert.app.options import Options
from edgert.app.run import App, run_app

__all__ = [
    "App",
    "AppModel",
    "Controls",
    "Explain",
    "Finding",
    "Frame",
    "LineCounter",
    "Options",
    "Scene",
    "run_app",
    "top_findings",
]
