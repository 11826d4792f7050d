"""TFLite's own glue, read from hand-made files: float, and int8 where integers only move; LiteRT says what is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite")

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams, dequantize, quantize
from edgert_converters.importers.tflite_file import build_onnx
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.model import OptionValue, TfModel, TfOperator, TfSignature, TfSubgraph, TfTensor
from edgert_converters.tflite.read import parse_tflite
from edgert_converters.tflite.versions import with_versions
from edgert_converters.tflite.write import serialize_tflite
from tests.conformance.q31_models import run_tflm
from tests.conformance.tflite_chain import largest_difference, run_litert, run_onnx

TOLERANCE = 1e-6
PARAMS = QuantParams((0.05,), (3,), DType.INT8, None)
MASKS = {"begin_mask": 0, "end_mask": 0, "ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": 0}

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Glue:
    """One operator: x of `shape` at input `data`, the other inputs constant; `outputs` are shapes."""

    operator: str
    shape: Shape
    constants: tuple[Array, ...]
    outputs: tuple[Shape, ...]
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    data: int = 0
    repeats: int = 1


def _ints(*values: object) -> Array:
    return np.asarray(values[0] if len(values) == 1 else values, np.int32)


def _strided(shape: Shape, begin: list[int], end: list[int], strides: list[int], output: Shape, **masks: int) -> Glue:
    return Glue("STRIDED_SLICE", shape, (_ints(begin), _ints(end), _ints(strides)), (output,), {**MASKS, **masks})


_X = (2, 3, 4, 5)
_MIRRORED, _REPEATED = _ints([[0, 0], [1, 2], [2, 1], [0, 0]]), _ints([[0, 0], [3, 2], [1, 0], [0, 0]])
GLUE = {
    "strided_plain": _strided(_X, [0, 1, 0, 1], [2, 3, 4, 5], [1, 1, 2, 2], (2, 2, 2, 2)),
    "strided_masks": _strided(_X, [1, 9, 1, 9], [2, 9, 9, -1], [1, 1, 1, 1], (1, 3, 3, 4), begin_mask=10, end_mask=6),
    "strided_shrinks": _strided(_X, [1, 0, -1, 0], [2, 3, 0, 5], [1, 1, 1, 1], (3, 5), shrink_axis_mask=5),
    "strided_ellipsis": _strided(_X, [0, 0, 1], [2, 0, 3], [1, 1, 1], (2, 3, 4, 2), ellipsis_mask=2),
    "strided_new_axis": _strided((3, 4), [0, 1, 0], [1, 3, 4], [1, 1, 1], (1, 2, 4), new_axis_mask=1),
    "strided_backwards": _strided(_X, [1, 0, 3, 4], [0, 3, 0, 0], [-1, 1, -2, -1], (1, 3, 2, 4)),
    "strided_backwards_open": _strided((4, 5), [0, 0], [0, 0], [-1, -2], (4, 3), begin_mask=3, end_mask=3),
    "slice": Glue("SLICE", _X, (_ints([0, 1, 2, 0]), _ints([2, -1, 2, 3])), ((2, 2, 2, 3),)),
    "reverse": Glue("REVERSE_V2", (3, 4, 5), (_ints([1]),), ((3, 4, 5),)),
    "pack": Glue("PACK", (3, 4), (), ((3, 2, 4),), {"values_count": 2, "axis": 1}, repeats=2),
    "pack_last": Glue("PACK", _X, (), ((*_X, 2),), {"values_count": 2, "axis": -1}, repeats=2),
    "unpack": Glue("UNPACK", (3, 2, 4), (), ((3, 4), (3, 4)), {"num": 2, "axis": 1}),
    "unpack_one": Glue("UNPACK", (3, 1, 4), (), ((3, 4),), {"num": 1, "axis": 1}),
    "split": Glue("SPLIT", _X, (_ints(2),), ((2, 3, 2, 5),) * 2, {"num_splits": 2}, data=1),
    "split_v": Glue("SPLIT_V", _X, (_ints([1, -1]), _ints(3)), ((2, 3, 4, 1), (2, 3, 4, 4)), {"num_splits": 2}),
    "squeeze": Glue("SQUEEZE", (1, 3, 1, 4), (), ((1, 3, 4),), {"squeeze_dims": (-2,)}),
    "squeeze_all": Glue("SQUEEZE", (1, 3, 1, 4), (), ((3, 4),), {"squeeze_dims": ()}),
    "expand_dims": Glue("EXPAND_DIMS", (3, 4), (_ints(-1),), ((3, 4, 1),)),
    "gather": Glue("GATHER", _X, (_ints([[2, 0], [1, 1]]),), ((2, 2, 2, 4, 5),), {"axis": 1, "batch_dims": 0}),
    "gather_scalar": Glue("GATHER", _X, (_ints(2),), ((2, 3, 5),), {"axis": 2, "batch_dims": 0}),
    "gather_batch": Glue("GATHER", (2, 3, 4), (_ints([[2, 0], [1, 1]]),), ((2, 2, 4),), {"axis": 1, "batch_dims": 1}),
    "gather_nd": Glue("GATHER_ND", (3, 4, 2), (_ints([[0, 1], [2, 3]]),), ((2, 2),)),
    "mirror": Glue("MIRROR_PAD", (1, 3, 4, 2), (_MIRRORED,), ((1, 6, 7, 2),), {"mode": 0}),
    "symmetric": Glue("MIRROR_PAD", (1, 3, 4, 2), (_REPEATED,), ((1, 8, 5, 2),), {"mode": 1}),
    "tile": Glue("TILE", (2, 3), (_ints([2, 3]),), ((4, 9),)),
    "broadcast_to": Glue("BROADCAST_TO", (3, 1), (_ints([2, 3, 4]),), ((2, 3, 4),)),
    "transpose": Glue("TRANSPOSE", _X, (_ints([3, 1, 0, 2]),), ((5, 3, 2, 4),)),
    "depth_to_space": Glue("DEPTH_TO_SPACE", (1, 2, 3, 8), (), ((1, 4, 6, 2),), {"block_size": 2}),
    "space_to_depth": Glue("SPACE_TO_DEPTH", (1, 4, 6, 2), (), ((1, 2, 3, 8),), {"block_size": 2}),
    "space_to_batch": Glue(
        "SPACE_TO_BATCH_ND", (2, 5, 4, 3), (_ints([2, 3]), _ints([[1, 0], [0, 2]])), ((12, 3, 2, 3),)
    ),
    "space_to_batch_1d": Glue("SPACE_TO_BATCH_ND", (2, 6, 3), (_ints([2]), _ints([[1, 1]])), ((4, 4, 3),)),
    "batch_to_space": Glue(
        "BATCH_TO_SPACE_ND", (12, 3, 2, 3), (_ints([2, 3]), _ints([[1, 0], [0, 2]])), ((2, 5, 4, 3),)
    ),
    "nearest": Glue("RESIZE_NEAREST_NEIGHBOR", (1, 3, 4, 2), (_ints([6, 8]),), ((1, 6, 8, 2),)),
    "nearest_corners": Glue(
        "RESIZE_NEAREST_NEIGHBOR", (1, 3, 4, 2), (_ints([5, 9]),), ((1, 5, 9, 2),), {"align_corners": True}
    ),
    "nearest_half": Glue(
        "RESIZE_NEAREST_NEIGHBOR", (1, 3, 4, 2), (_ints([6, 8]),), ((1, 6, 8, 2),), {"half_pixel_centers": True}
    ),
}
_BILINEAR = {
    name: Glue("RESIZE_BILINEAR", (1, 3, 4, 2), (_ints([5, 7]),), ((1, 5, 7, 2),), options)
    for name, options in {
        "bilinear": {},
        "bilinear_corners": {"align_corners": True},
        "bilinear_half": {"half_pixel_centers": True},
    }.items()
}
_FLOAT = GLUE | _BILINEAR
_RESIZED = [(9, 11), (2, 3), (3, 4), (1, 1), (6, 8), (1, 9)]


def _file(glue: Glue, dtype: DType = DType.FLOAT, quant: QuantParams | None = None) -> bytes:
    """The operator alone in a file with a signature."""
    sources = [TfTensor(f"x{k}", glue.shape, dtype, None, quant) for k in range(glue.repeats)]
    constants = [TfTensor(f"c{k}", c.shape, DType.from_numpy(c.dtype), c) for k, c in enumerate(glue.constants)]
    results = [TfTensor(f"y{k}", shape, dtype, None, quant) for k, shape in enumerate(glue.outputs)]
    tensors = (*sources, *constants, *results)
    places = list(range(len(sources), len(sources) + len(constants)))
    order = [*places[: glue.data], *range(len(sources)), *places[glue.data :]]
    outputs = tuple(range(len(tensors) - len(results), len(tensors)))
    operator = TfOperator(glue.operator, tuple(order), outputs, glue.options)
    graph = with_versions(TfSubgraph(tensors, (operator,), tuple(range(len(sources))), outputs))
    names = {f"y{k}": index for k, index in enumerate(outputs)}
    signature = TfSignature("serving_default", {f"x{k}": k for k in range(len(sources))}, names)
    return serialize_tflite(TfModel((graph,), (signature,)))


def _feed(glue: Glue) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {f"x{k}": rng.normal(size=glue.shape).astype(np.float32) for k in range(glue.repeats)}


@pytest.mark.parametrize("name", _FLOAT)
def test_float(name: str) -> None:
    data, feed = _file(_FLOAT[name]), _feed(_FLOAT[name])
    found = run_onnx(build_onnx(parse_tflite(data)), feed)
    assert largest_difference(run_litert(data, feed), found) < TOLERANCE


@pytest.mark.parametrize("name", GLUE)
def test_int8_moves_integers(name: str) -> None:
    data, feed = _file(GLUE[name], DType.INT8, PARAMS), _feed(GLUE[name])
    model = build_onnx(parse_tflite(data))
    expected = run_litert(data, {key: quantize(x, PARAMS) for key, x in feed.items()})
    found = {key: quantize(y.astype(np.float32), PARAMS) for key, y in run_onnx(model, feed).items()}
    assert all(np.array_equal(expected[key], found[key]) for key in expected)


def _behind_convolution(glue: Glue) -> bytes:
    """The operator behind a 1x1 convolution, so that what it reads lies channels-first in ONNX."""
    file = parse_tflite(_file(glue))
    graph = file.subgraphs[0]
    channels = glue.shape[3]
    weights = np.random.default_rng(1).normal(size=(channels, 1, 1, channels)).astype(np.float32)
    count = len(graph.tensors)
    extra = (
        TfTensor("w", weights.shape, DType.FLOAT, weights),
        TfTensor("b", (channels,), DType.FLOAT, np.zeros(channels, np.float32)),
        *(TfTensor(f"z{k}", glue.shape, DType.FLOAT) for k in range(glue.repeats)),
    )
    steps = {"padding": 1, "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
    before = tuple(TfOperator("CONV_2D", (k, count, count + 1), (count + 2 + k,), steps) for k in range(glue.repeats))
    moved = tuple(count + 2 + index if index < glue.repeats else index for index in graph.operators[0].inputs)
    operators = (*before, replace(graph.operators[0], inputs=moved))
    changed = replace(graph, tensors=(*graph.tensors, *extra), operators=operators)
    return serialize_tflite(replace(file, subgraphs=(changed,)))


@pytest.mark.parametrize("name", [name for name, glue in _FLOAT.items() if len(glue.shape) == 4])
def test_behind_a_convolution(name: str) -> None:
    data, feed = _behind_convolution(_FLOAT[name]), _feed(_FLOAT[name])
    found = run_onnx(build_onnx(parse_tflite(data)), feed)
    assert largest_difference(run_litert(data, feed), found) < 1e-5


def _shape_chain(dims: tuple[int, ...]) -> bytes:
    """RESHAPE of x to [SHAPE(x)[0], *dims], as Keras writes it, with a batch that may vary."""
    tensors = [
        TfTensor("x", (1, 4, 6), DType.FLOAT, signature=(-1, 4, 6)),
        TfTensor("sizes", (3,), DType.INT32),
        *(TfTensor(f"at{k}", (1,), DType.INT32, _ints([k])) for k in range(2)),
        TfTensor("batch", (), DType.INT32),
        *(TfTensor(f"d{k}", (), DType.INT32, _ints(size)) for k, size in enumerate(dims)),
        TfTensor("target", (1 + len(dims),), DType.INT32),
        TfTensor("y", (1,) * (1 + len(dims)), DType.FLOAT, signature=(-1,) * (1 + len(dims))),
    ]
    packed = tuple(range(4, 5 + len(dims)))
    target = 5 + len(dims)
    operators = (
        TfOperator("SHAPE", (0,), (1,), {"out_type": 2}),
        TfOperator("STRIDED_SLICE", (1, 2, 3, 3), (4,), {**MASKS, "shrink_axis_mask": 1}),
        TfOperator("PACK", packed, (target,), {"values_count": len(packed), "axis": 0}),
        TfOperator("RESHAPE", (0, target), (target + 1,), {}),
    )
    graph = TfSubgraph(tuple(tensors), operators, (0,), (target + 1,))
    signature = TfSignature("serving_default", {"x": 0}, {"y": target + 1})
    return serialize_tflite(TfModel((graph,), (signature,)))


@pytest.mark.parametrize(("dims", "target"), [((-1, 2), [-1, 12, 2]), ((24,), [-1, 24]), ((3, -1, 4), [-1, 3, 2, 4])])
def test_shape_arithmetic_is_a_constant(dims: tuple[int, ...], target: list[int]) -> None:
    data = _shape_chain(dims)
    model = build_onnx(parse_tflite(data))
    (reshape,) = (node for node in model.graph if node.op_type == "Reshape")
    wanted = reshape.inputs[1]
    assert wanted is not None
    assert wanted.const_value is not None
    assert wanted.const_value.numpy().tolist() == target
    feed = _feed(Glue("RESHAPE", (1, 4, 6), (), ()))
    found = run_onnx(model, {"x": feed["x0"]})
    assert largest_difference(run_litert(data, {"x": feed["x0"]}), found) == 0
    two = np.concatenate([feed["x0"], np.negative(np.asarray(feed["x0"], np.float32))])
    assert run_onnx(model, {"x": two})["y"].shape[0] == 2


_REFUSED = {
    "gather_between": (
        Glue("GATHER", (2, 3, 4), (_ints([[2, 0], [1, 1]]),), ((2, 3, 2),), {"axis": 2, "batch_dims": 1}),
        "GATHER: gathers axis 2 with 1 batch axes",
    ),
    "nearest_both": (
        replace(GLUE["nearest"], options={"align_corners": True, "half_pixel_centers": True}),
        "align_corners and half_pixel_centers exclude each other",
    ),
    "reshape": (Glue("RESHAPE", (2, 3), (_ints([4, 2]),), ((4, 2),)), r"cannot make the shape \[4, 2\] of \[2, 3\]"),
}


@pytest.mark.parametrize("name", _REFUSED)
def test_what_cannot_be_read_names_the_operator(name: str) -> None:
    glue, message = _REFUSED[name]
    with pytest.raises(ModelError, match=f"'y0'.*{message}"):
        build_onnx(parse_tflite(_file(glue)))


def test_a_cast_of_scaled_integers_is_refused() -> None:
    glue = Glue("CAST", (2, 3), (), ((2, 3),))
    with pytest.raises(ModelError, match="CAST: of a tensor with a scale"):
        build_onnx(parse_tflite(_file(glue, DType.INT8, PARAMS)))


@pytest.mark.parametrize("size", _RESIZED)
@pytest.mark.parametrize("name", _BILINEAR)
def test_bilinear_integers_are_those_of_tensorflow_lite_micro(name: str, size: Shape) -> None:
    pytest.importorskip("tflite_micro")
    glue = replace(_BILINEAR[name], constants=(_ints(list(size)),), outputs=((1, *size, 2),))
    data = _file(glue, DType.INT8, PARAMS)
    x = np.random.default_rng(3).integers(-128, 128, glue.shape).astype(np.int8)
    found = Interpreter(build_onnx(parse_tflite(data))).run({"x0": dequantize(x, PARAMS)})
    assert np.array_equal(run_tflm(data, [x]), quantize(found.outputs["y0"].astype(np.float32), PARAMS))
