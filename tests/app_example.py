"""A small bundle that takes a colour picture: the network of `edgert demo` behind steps that make it grey and 32x32."""

from __future__ import annotations

from pathlib import Path

from edgert.bundle import SCHEMA, Manifest, Source, TensorSpec, Variant, write_bundle
from edgert.dtypes import DType

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "edgert/demo/digits.onnx"
STEPS = (
    {"op": "resize", "height": 32, "width": 32},
    {"op": "color", "to": "gray"},
    {"op": "scale", "factor": 1 / 255},
    {"op": "layout", "to": "NCHW"},
)
FIRST, SECOND = "onnx-fp32", "onnx-fp32-b"
"""Two variants with the same bytes: switching is about sessions, not about numbers."""


def write(folder: Path) -> Path:
    image, logits = (
        TensorSpec("image", (None, 1, 32, 32), DType.FLOAT),
        TensorSpec("logits", (None, 10), DType.FLOAT),
    )
    data = MODEL.read_bytes()
    variants = tuple(
        Variant(name, "onnx", "fp32", f"variants/{name}/model.onnx", (image,), (logits,), (), len(data))
        for name in (FIRST, SECOND)
    )
    source = Source("digits.onnx", "onnx", "0" * 64)
    manifest = Manifest(
        SCHEMA,
        "digits",
        "0.1.0",
        source,
        (image,),
        (logits,),
        variants,
        FIRST,
        preprocess=STEPS,
        postprocess=({"op": "softmax"},),
        labels=tuple("0123456789"),
    )
    return write_bundle(folder / "digits.edge", manifest, {variant.path: data for variant in variants})
