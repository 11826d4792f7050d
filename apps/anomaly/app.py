"""Anomalies in machine sound or vibration: an autoencoder's error against a threshold that learns what is normal.

python apps/anomaly/app.py --bundle ad.edge --input synthetic --port 8080
"""

from __future__ import annotations

import sys

from edgert.app import (
    SOUND,
    AlarmDetector,
    App,
    AppModel,
    Controls,
    Event,
    Explain,
    Finding,
    Frame,
    Options,
    Scene,
    Trace,
    anomaly_score,
    run_app,
)
from edgert.runtime.results import Result


def explain(options: Options, model: AppModel) -> Explain:
    """Returns the function that scores each window and raises alarms; the threshold counts deviations."""
    del model
    hop_s = options.hop / 1e3
    detector = AlarmDetector(hop_s, options.smooth / 1e3, options.pause / 1e3)
    trace = Trace("anomaly score", ("score",))

    def listen(frame: Frame, result: Result, controls: Controls) -> Scene:
        at_s = frame.sequence * hop_s
        verdict = detector.update(at_s, anomaly_score(frame, result), controls.threshold)
        trace.add(at_s, (verdict.score,), verdict.limit)
        change = "alarm" if verdict.has_begun else "normal again" if verdict.has_ended else None
        events = () if change is None else (Event.of(frame, change, verdict.score, at_s),)
        share = () if verdict.limit is None else (Finding("of the threshold", verdict.score / verdict.limit),)
        state = "alarm" if detector.is_alarmed else "learning what is normal" if verdict.limit is None else "normal"
        return Scene(None, frame.sequence, share, (state, f"{at_s:.1f} s heard"), events=events, trace=trace)

    return listen


DEFAULTS = {"threshold": 6.0, "hop": 100.0, "smooth": 1000.0, "pause": 3000.0}
WORDS = "Finds what is not normal in machine sound or vibration; --threshold counts robust deviations."
APP = App("anomaly", WORDS, explain, DEFAULTS, SOUND, most_threshold=30.0)

if __name__ == "__main__":
    sys.exit(run_app(APP))
