"""Object or face detection on a live picture: boxes, how many are in sight, and how many crossed a line.

python apps/detect/app.py --bundle faces.edge --input synthetic --port 8080
"""

from __future__ import annotations

import sys

from edgert.app import App, AppModel, Controls, Explain, Finding, Frame, LineCounter, Options, Scene, run_app
from edgert.errors import ModelError
from edgert.runtime.results import Detections, Result


def explain(options: Options, model: AppModel) -> Explain:
    """Returns the function that turns boxes above the threshold into findings and counts at half the height."""
    counter = LineCounter()

    def boxes(frame: Frame, result: Result, controls: Controls) -> Scene:
        if not isinstance(result, Detections):
            raise ModelError("the bundle's post-processing gives no boxes; detect needs a decoder and nms in it")
        height, width = frame.values.shape[:2]
        findings = tuple(named(model, result.above(controls.threshold)))
        counter.update(findings, height / 2)
        notes = (f"{len(findings)} in sight", f"{counter.down} down, {counter.up} up")
        line = (0.0, height / 2, width - 1.0, height / 2)
        return Scene(frame.values, frame.sequence, findings, notes, (line,))

    return boxes


def named(model: AppModel, found: Detections) -> list[Finding]:
    """Returns detections with the names of their classes, best first."""
    rows = zip(found.class_ids.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    labels = model.labels
    return [Finding(labels[i] if i < len(labels) else f"class {i}", score, tuple(box)) for i, score, box in rows]


APP = App("detection", "Finds objects or faces on a live picture.", explain, {"threshold": 0.5})

if __name__ == "__main__":
    sys.exit(run_app(APP))
