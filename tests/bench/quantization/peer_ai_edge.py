"""ai-edge-quantizer on .tflite files, in an environment of its own (tests/bench/peers/ai-edge-quantizer.txt).

python peer_ai_edge.py MODEL.tflite CALIBRATION.npz SETTING OUT.tflite
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import calibrator, quantizer, recipe
from ai_edge_quantizer.utils import qsv_utils
from process import report

SETTINGS: dict[str, tuple[Callable[[], Any], Callable[..., Any] | None]] = {
    "default": (recipe.static_wi8_ai8, None),
    "min-max": (recipe.static_wi8_ai8, qsv_utils.min_max_update),
}
"""Setting -> recipe, how ranges of several samples are joined (None: the package's moving average)."""


def main() -> None:
    path, calibration, setting, output = sys.argv[1:]
    make_recipe, update = SETTINGS[setting]
    samples = np.load(calibration)["x"]
    interpreter = Interpreter(model_path=path)
    if samples.shape[1:] != tuple(interpreter.get_input_details()[0]["shape"][1:]):
        samples = np.ascontiguousarray(samples.transpose(0, 2, 3, 1))  # the file takes NHWC
    signatures = interpreter.get_signature_list()
    (key,) = signatures or {"serving_default": None}
    name = signatures[key]["inputs"][0]
    data = {key: [{name: sample[None]} for sample in samples]}

    def quantize() -> None:
        tool = quantizer.Quantizer(path)
        tool.load_quantization_recipe(make_recipe())
        if update is None:
            ranges = tool.calibrate(data, num_threads=1)
        else:
            own = calibrator.Calibrator(path, num_threads=1, qsv_update_func=update)
            own.calibrate(data, tool._recipe_manager)  # the public call has no such argument
            ranges = own.get_model_qsvs()
        tool.quantize(ranges).export_model(output, overwrite=True)

    report(f"ai-edge-quantizer {importlib.metadata.version('ai-edge-quantizer')}", quantize)


if __name__ == "__main__":
    main()
