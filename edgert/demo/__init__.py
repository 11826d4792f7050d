"""Model and data of `edgert demo`: digits.onnx, digits_calib.npz, digits_eval.npz; apps/digits/train.py makes them."""

from __future__ import annotations

from edgert.bundle import Step

__all__ = ["PREPROCESS"]

PREPROCESS: tuple[Step, ...] = ({"op": "scale", "factor": 1 / 255}, {"op": "layout", "to": "NCHW"})
"""From a grey image uint8[32, 32] to the network's input float32[1, 32, 32] in 0..1."""
