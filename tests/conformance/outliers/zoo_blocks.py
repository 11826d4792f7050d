"""Inverted residuals cut out of networks of the zoo, fed what those networks give them for real images."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import onnx
import onnx_ir as ir

from edgert.recipe_file import load_recipe
from edgert_converters.data.load import load_dataset
from edgert_converters.engine import load_runner
from edgert_converters.importers.normalise import normalise
from edgert_converters.quantize.calibrate import expose_values
from tests.conformance.outliers.block import Fixture

RECIPES = Path(__file__).parents[2] / "data" / "recipes"
NETWORKS = {"mbconv_lite0": ("efficientnet_lite0_f16w", "efficientnet_lite0", 112)}
"""File, recipe and the block input's channels of each network whose block is cut out; 64 or more are real widths."""

_CALIBRATION, _HELD_OUT = "imagenet_train_125_224px_calib.parquet", "imagenet_val_300_227px.parquet"


@cache
def zoo_fixture(zoo: Path, name: str, calibration: tuple[int, ...], held_out: tuple[int, ...]) -> Fixture:
    """The first block of that width; seeds of calibration are training images, held-out ones validation images."""
    file, recipe_name, channels = NETWORKS[name]
    path = zoo / "models" / f"{file}.onnx"
    recipe = load_recipe(RECIPES / f"{recipe_name}.toml", {"model": str(path)})
    clean = normalise(onnx.load(path), {}, path)
    model = ir.from_proto(onnx.load_from_string(clean.serialized))
    x, branch, y = _inverted_residual(model, channels)
    block = _cut(model, x, branch, y)
    run = load_runner(expose_values(model, [x]))
    stored = {}
    for seeds, data in ((calibration, _CALIBRATION), (held_out, _HELD_OUT)):
        images = load_dataset(str(zoo / "data" / data), clean.inputs, recipe.preprocess)
        stored |= {seed: run(images.sample(i).inputs)[x] for i, seed in enumerate(seeds)}
    return Fixture(name, lambda: block, lambda seed: {"x": stored[seed]})


def _inverted_residual(model: ir.Model, channels: int) -> tuple[str, str, str]:
    """Names of (input, branch, sum) of the first residual block that is `channels` wide."""
    for node in model.graph:
        names = [str(value.name) for value in node.inputs if value is not None]
        shape = node.outputs[0].shape
        if node.op_type != "Add" or shape is None or shape[1] != channels:
            continue
        branch = max(node.inputs, key=_depth)
        names.remove(str(branch.name))
        return names[0], str(branch.name), str(node.outputs[0].name)
    raise AssertionError(f"no residual block of {channels} channels")


def _depth(value: ir.Value | None) -> int:
    """Place in the graph of what makes a value: the branch is made after the input."""
    producer = value.producer() if value is not None else None
    return -1 if producer is None or producer.graph is None else list(producer.graph).index(producer)


def _cut(model: ir.Model, x: str, branch: str, y: str) -> onnx.ModelProto:
    proto = onnx.shape_inference.infer_shapes(ir.to_proto(model))
    block = onnx.utils.Extractor(proto).extract_model([x], [branch, y])
    names = {x: "x", branch: "branch", y: "y"}
    for node in block.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for port in (*block.graph.input, *block.graph.output, *block.graph.value_info):
        port.name = names.get(port.name, port.name)
        dims = port.type.tensor_type.shape.dim
        if dims:
            dims[0].Clear()
            dims[0].dim_value = 1
    return block
