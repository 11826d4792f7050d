"""NNCF's post-training quantization of ONNX models, in an environment of its own (tests/bench/peers/nncf.txt).

python peer_nncf.py MODEL.onnx CALIBRATION.npz SETTING OUT.onnx
"""

from __future__ import annotations

import sys

import nncf
import numpy as np
import onnx
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix
from process import report

PERFORMANCE, MIXED = nncf.QuantizationPreset.PERFORMANCE, nncf.QuantizationPreset.MIXED
SETTINGS = {
    "default": (PERFORMANCE, True, None),
    "full-bias-correction": (PERFORMANCE, False, None),
    "default-vnni": (PERFORMANCE, True, OverflowFix.DISABLE),
    "full-bias-correction-vnni": (PERFORMANCE, False, OverflowFix.DISABLE),
    "mixed-full-bias-correction-vnni": (MIXED, False, OverflowFix.DISABLE),
}
"""Setting -> symmetric or (MIXED) asymmetric activations, fast bias correction, overflow fix.

The fix (NNCF's default) gives weights 7 bits in fear of 16-bit accumulators; `vnni` is for processors without those.
"""


def main() -> None:
    path, calibration, setting, output = sys.argv[1:]
    preset, fast, overflow = SETTINGS[setting]
    samples = np.load(calibration)["x"]
    model = onnx.load(path)
    name = model.graph.input[0].name

    def quantize() -> None:
        dataset = nncf.Dataset(list(samples), lambda sample: {name: sample[None]})
        quantized = nncf.quantize(
            model,
            dataset,
            preset=preset,
            subset_size=len(samples),
            fast_bias_correction=fast,
            advanced_parameters=AdvancedQuantizationParameters(overflow_fix=overflow),
        )
        onnx.save(quantized, output)

    report(f"nncf {nncf.__version__}", quantize)


if __name__ == "__main__":
    main()
