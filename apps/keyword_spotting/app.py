"""Keyword spotting on live sound: words with time stamps, as lines on stdout and on the page.

python apps/keyword_spotting/app.py --bundle kws.edge --input alsa:default --port 8080
"""

from __future__ import annotations

import sys

import numpy as np

from edgert.app import (
    SOUND,
    App,
    AppModel,
    Controls,
    Event,
    Explain,
    Frame,
    KeywordDetector,
    Options,
    Scene,
    Trace,
    run_app,
    top_findings,
)
from edgert.errors import ModelError
from edgert.runtime.results import Classification, Result

LEAST_SHOWN = 0.01


def explain(options: Options, model: AppModel) -> Explain:
    """Returns the function that smooths the posteriors of overlapping windows and detects words."""
    labels = labels_of(model)
    detector = KeywordDetector(labels, options.smooth / 1e3, options.pause / 1e3)
    trace = Trace("smoothed posteriors", labels, high=1.0)

    def listen(frame: Frame, result: Result, controls: Controls) -> Scene:
        if not isinstance(result, Classification) or len(result.scores) != len(labels):
            raise ModelError("the bundle's post-processing gives no class scores; keyword_spotting needs a classifier")
        at_s = frame.sequence * options.hop / 1e3
        posteriors, word = detector.update(at_s, result.scores, controls.threshold)
        trace.add(at_s, posteriors.tolist(), controls.threshold)
        events = () if word is None else (Event.of(frame, labels[word], float(posteriors[word]), at_s),)
        order = [i for i in np.argsort(-posteriors).tolist() if posteriors[i] >= LEAST_SHOWN][: options.top]
        found = top_findings(posteriors.tolist(), order, labels)
        return Scene(None, frame.sequence, found, (f"{at_s:.1f} s heard",), events=events, trace=trace)

    return listen


def labels_of(model: AppModel) -> tuple[str, ...]:
    """Returns the names of the classes, or numbers where the bundle has none."""
    shape = model.manifest.outputs[0].shape
    return model.labels or tuple(f"class {i}" for i in range(shape[-1] or 0))


DEFAULTS = {"threshold": 0.7, "hop": 100.0, "smooth": 300.0, "pause": 1000.0, "top": 4}
APP = App("keyword spotting", "Finds words in live sound.", explain, DEFAULTS, SOUND)

if __name__ == "__main__":
    sys.exit(run_app(APP))
