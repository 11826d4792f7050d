"""A small bundle for each app: what its tests run on where no other is named. All have known answers.

`EDGERT_APP_BUNDLES` names a folder with `APP.edge` of real models instead, for long runs.
"""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import edgert
from edgert.bundle import SCHEMA, Bundle, Manifest, Source, TensorSpec, Variant, write_bundle
from edgert.dtypes import DType
from tests import app_example, sound_example

APPS = tuple(sorted(path.parent.name for path in app_example.ROOT.glob("apps/*/app.py")))
_SAMPLES = 2


def bundle_for(app: str, folder: Path) -> Path:
    """Returns a bundle that the app runs, made in the folder or named by the environment."""
    named = os.environ.get("EDGERT_APP_BUNDLES")
    if named and (Path(named) / f"{app}.edge").is_file():
        return Path(named) / f"{app}.edge"
    assert app in _MAKERS, f"say in {Path(__file__).name} which bundle tests the app {app!r}"
    return with_known_answers(_MAKERS[app](folder), folder)


def with_known_answers(plain: Path, folder: Path) -> Path:
    """Returns the bundle with golden inputs and what its default variant answers."""
    with edgert.load(plain, tuned=False) as session:
        random = np.random.default_rng(2)
        shapes = {spec.name: [_SAMPLES, *(size or 1 for size in spec.shape)] for spec in session.inputs}
        inputs = {name: random.random(shape, np.float32) for name, shape in shapes.items()}
        outputs = [session.run({name: values[index] for name, values in inputs.items()}) for index in range(_SAMPLES)]
        variant = session.variant.id
    arrays = {f"input/{name}": values for name, values in inputs.items()}
    arrays |= {f"{variant}/{name}": np.stack([output[name] for output in outputs]) for name in outputs[0]}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    with Bundle.open(plain) as bundle:
        files = {name: bundle.read(name) for name in bundle.manifest.files}
        manifest = dataclasses.replace(bundle.manifest, default_variant=variant)
    return write_bundle(folder / f"answers-{plain.name}", manifest, {**files, "golden.npz": buffer.getvalue()})


def write_detector(folder: Path) -> Path:
    """Means of 8x8 pixels through two small layers: 12 boxes of a picture, with scores that follow its brightness."""
    image = TensorSpec("image", (1, 3, 24, 32), DType.FLOAT)
    outputs = TensorSpec("scores", (1, 12, 2), DType.FLOAT), TensorSpec("boxes", (1, 12, 4), DType.FLOAT)
    data = _detector()
    variant = Variant(
        "onnx-fp32", "onnx", "fp32", "variants/onnx-fp32/model.onnx", (image,), outputs, (), peak_activation_bytes=9216
    )
    decode = {
        "op": "ssd", "scores": "scores", "boxes": "boxes", "background": 0, "strides": [8], "min_boxes": [[10.0]],
        "center_variance": 0.1, "size_variance": 0.2,
    }  # fmt: skip
    manifest = Manifest(
        SCHEMA,
        "bright-spots",
        "0.1.0",
        Source("detector.onnx", "onnx", "0" * 64),
        (image,),
        outputs,
        (variant,),
        "onnx-fp32",
        preprocess=(
            {"op": "resize", "height": 24, "width": 32},
            {"op": "scale", "factor": 1 / 255},
            {"op": "layout", "to": "NCHW"},
        ),
        postprocess=(decode, {"op": "nms", "iou": 0.3, "score": 0.2}),
        labels=("dark", "bright"),
    )
    return write_bundle(folder / "detector.edge", manifest, {variant.path: data})


def _detector() -> bytes:
    score_weight = np.array([[-4, 4]] * 3, np.float32)
    box_weight = np.full((3, 4), 0.1, np.float32)
    constants = {
        "shape": np.array([1, 3, 12], np.int64),
        "score_weight": score_weight,
        "score_bias": np.array([6, -6], np.float32),
        "box_weight": box_weight,
    }
    nodes = [
        helper.make_node("AveragePool", ["image"], ["means"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Reshape", ["means", "shape"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["rows", "score_weight"], ["logits"]),
        helper.make_node("Add", ["logits", "score_bias"], ["raw"]),
        helper.make_node("Softmax", ["raw"], ["scores"], axis=-1),
        helper.make_node("MatMul", ["rows", "box_weight"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 24, 32])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 12, 2]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 12, 4]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def write_scorer(folder: Path) -> Path:
    """The mean of 16 mel bands in 2 frames: a model that gives a score."""
    bands = TensorSpec("bands", (1, 32), DType.FLOAT)
    score = TensorSpec("score", (1, 1), DType.FLOAT)
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["bands"], ["score"], axes=[1], keepdims=1)],
        "scorer",
        [helper.make_tensor_value_info("bands", TensorProto.FLOAT, [1, 32])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    variant = Variant(
        "onnx-fp32", "onnx", "fp32", "variants/onnx-fp32/model.onnx", (bands,), (score,), (), peak_activation_bytes=132
    )
    manifest = Manifest(
        SCHEMA,
        "loudness",
        "0.1.0",
        Source("scorer.onnx", "onnx", "0" * 64),
        (bands,),
        (score,),
        (variant,),
        "onnx-fp32",
        preprocess=({"op": "log_mel", "window": 512, "step": 512, "channels": 16, "frames": 2}, {"op": "flatten"}),
    )
    return write_bundle(folder / "scorer.edge", manifest, {variant.path: bytes(model.SerializeToString())})


_MAKERS: dict[str, Callable[[Path], Path]] = {
    "image_classify": app_example.write,
    "detect": write_detector,
    "anomaly": write_scorer,
    "keyword_spotting": sound_example.write,
}
