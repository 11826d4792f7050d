"""Image classification on a live picture: the best classes, on the page and over the picture.

python apps/image_classify/app.py --bundle net.edge --input synthetic --port 8080
"""

from __future__ import annotations

import sys

from edgert.app import App, AppModel, Controls, Explain, Frame, Options, Scene, run_app, top_findings
from edgert.errors import ModelError
from edgert.runtime.results import Classification, Result


def explain(options: Options, model: AppModel) -> Explain:
    """Returns the function that turns class scores into the best classes above the threshold."""

    def best_classes(frame: Frame, result: Result, controls: Controls) -> Scene:
        if not isinstance(result, Classification):
            raise ModelError("the bundle's post-processing gives no class scores; image_classify needs a classifier")
        order = [i for i in result.top.tolist() if result.scores[i] >= controls.threshold][: options.top]
        return Scene(frame.values, frame.sequence, top_findings(result.scores.tolist(), order, model.labels))

    return best_classes


APP = App("image classification", "Classifies a live picture.", explain, {"threshold": 0.05})

if __name__ == "__main__":
    sys.exit(run_app(APP))
