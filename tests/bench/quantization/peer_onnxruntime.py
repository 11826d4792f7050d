"""onnxruntime's quantize_static, in an environment of its own (tests/bench/peers/onnxruntime.txt).

python peer_onnxruntime.py MODEL.onnx CALIBRATION.npz SETTING OUT.onnx
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from process import report

PERCENTILE = {"CalibPercentile": 99.99}
SYMMETRIC = {"ActivationSymmetric": True, "WeightSymmetric": True}
SETTINGS = {
    "min-max": (CalibrationMethod.MinMax, QuantType.QUInt8, True, {}),
    "percentile": (CalibrationMethod.Percentile, QuantType.QUInt8, True, PERCENTILE),
    "entropy": (CalibrationMethod.Entropy, QuantType.QUInt8, True, {}),
    "per-tensor": (CalibrationMethod.MinMax, QuantType.QUInt8, False, {}),
    "moving-average": (CalibrationMethod.MinMax, QuantType.QUInt8, True, {"CalibMovingAverage": True}),
    "signed": (CalibrationMethod.MinMax, QuantType.QInt8, True, {}),
    "symmetric": (CalibrationMethod.MinMax, QuantType.QInt8, True, SYMMETRIC),
    "symmetric-percentile": (CalibrationMethod.Percentile, QuantType.QInt8, True, {**SYMMETRIC, **PERCENTILE}),
}
"""Setting -> calibration, activations (weights are int8), per channel, further options."""


class Reader(CalibrationDataReader):
    """Gives one sample at a time."""

    def __init__(self, name: str, samples: np.ndarray) -> None:
        self._feeds = iter([{name: sample[None]} for sample in samples])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def main() -> None:
    model, calibration, setting, output = sys.argv[1:]
    method, activations, per_channel, options = SETTINGS[setting]
    samples = np.load(calibration)["x"]

    def quantize() -> None:
        with tempfile.TemporaryDirectory() as folder:
            ready = Path(folder) / "ready.onnx"
            quant_pre_process(model, ready)
            graph = onnx.load(ready).graph
            quantize_static(
                ready,
                output,
                Reader(graph.input[0].name, samples),
                per_channel=per_channel,
                activation_type=activations,
                weight_type=QuantType.QInt8,
                calibrate_method=method,
                extra_options=dict(options),
            )

    report(f"onnxruntime {onnxruntime.__version__}", quantize)


if __name__ == "__main__":
    main()
