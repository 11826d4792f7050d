"""Each clean-up pass: a graph it must change, one it must leave, and look-alikes it must refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgert.dtypes import DType
from edgert_converters.passes.canonicalise_clip import canonicalise_clip
from edgert_converters.passes.constants_second import constants_second
from edgert_converters.passes.convert_matmul import convert_matmul
from edgert_converters.passes.fold_batch_norm import fold_batch_norm
from edgert_converters.passes.fold_constants import fold_constants
from edgert_converters.passes.fuse_hard_swish import fuse_hard_swish
from edgert_converters.passes.materialize_reshapes import materialize_reshapes
from edgert_converters.passes.merge_pads import merge_pads
from edgert_converters.passes.merge_reshapes import merge_reshapes
from edgert_converters.passes.merge_transposes import merge_transposes
from edgert_converters.passes.normalise_padding import normalise_padding
from edgert_converters.passes.output_check import OutputCheck, random_feed, relative_error, run_model
from edgert_converters.passes.pipeline import PIPELINE, Pass, infer_shapes, run_pipeline
from edgert_converters.passes.remove_no_ops import remove_no_ops
from edgert_converters.passes.replace_reduce_mean import replace_reduce_mean

# folding constants into weights reorders float32 roundings; nothing here is wider than a few hundred products
FLOAT_NOISE = 1e-5

Dims = Sequence[int | str]
Node = onnx.NodeProto


def node(op: str, inputs: str, outputs: str, **attributes: object) -> Node:
    """Inputs and outputs separated by spaces; `-` is an absent input."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op, names, outputs.split(), name=f"{op}/{outputs.split(maxsplit=1)[0]}", **attributes)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 1.5, shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.asarray(values, np.int64)


def scalar(value: float) -> np.ndarray:
    return np.asarray(value, np.float32)


def build(
    nodes: Sequence[Node],
    shape: Dims = (1, 3, 8, 8),
    outputs: str = "y",
    constants: Mapping[str, np.ndarray] | None = None,
) -> ir.Model:
    """A graph from x: float[shape] to float outputs."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs.split()],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model = ir.from_proto(proto)
    infer_shapes(model)
    return model


def ops(model: ir.Model) -> list[str]:
    return [n.op_type for n in model.graph]


def outputs_of(model: ir.Model, batch: int = 1) -> list[np.ndarray]:
    value = model.graph.inputs[0]
    shape = tuple(dim if isinstance(dim, int) else batch for dim in value.shape or ())
    return run_model(ir.to_proto(model).SerializeToString(), random_feed(["x"], [shape], [DType.FLOAT]))


BATCH_NORM = {
    "gamma": numbers(4, seed=1),
    "beta": numbers(4, seed=2),
    "mean": numbers(4, seed=3),
    "var": numbers(4, seed=4),
}
NORM = "gamma beta mean var"


@dataclass(frozen=True)
class Change:
    """A graph that the pass must turn into `expected` operators."""

    name: str
    apply: Callable[[ir.Model], int]
    nodes: Sequence[Node]
    expected: Sequence[str]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    shape: Dims = (1, 3, 8, 8)
    tidy: bool = False


CHANGES = [
    Change(
        "batch norm into convolution",
        fold_batch_norm,
        [node("Conv", "x w b", "c"), node("BatchNormalization", f"c {NORM}", "y", epsilon=1e-3)],
        ["Conv"],
        {"w": numbers(4, 3, 3, 3), "b": numbers(4), **BATCH_NORM},
    ),
    Change(
        "batch norm into grouped transposed convolution",
        fold_batch_norm,
        [node("ConvTranspose", "x w", "c", group=2), node("BatchNormalization", f"c {NORM}", "y")],
        ["ConvTranspose"],
        {"w": numbers(4, 2, 3, 3), **BATCH_NORM},
        (1, 4, 8, 8),
    ),
    Change(
        "batch norm into fully connected with scaled bias",
        fold_batch_norm,
        [node("Gemm", "x w b", "c", transB=1, alpha=0.5, beta=2.0), node("BatchNormalization", f"c {NORM}", "y")],
        ["Gemm"],
        {"w": numbers(4, 6), "b": numbers(4), **BATCH_NORM},
        (2, 6),
    ),
    Change(
        "shared weight is folded for one reader only",
        fold_batch_norm,
        [
            node("Conv", "x w", "c"),
            node("BatchNormalization", f"c {NORM}", "n"),
            node("Conv", "x w", "d"),
            node("Add", "n d", "y"),
        ],
        ["Conv", "Conv", "Add"],
        {"w": numbers(4, 3, 3, 3), **BATCH_NORM},
    ),
    Change(
        "mean over both spatial axes",
        replace_reduce_mean,
        [node("ReduceMean", "x axes", "y", keepdims=0)],
        ["GlobalAveragePool", "Reshape"],
        {"axes": ints(2, 3)},
        ("N", 3, 8, 8),
    ),
    Change(
        "chain of means, axes from the back",
        replace_reduce_mean,
        [node("ReduceMean", "x last", "m", keepdims=0), node("ReduceMean", "m last", "y", keepdims=0)],
        ["GlobalAveragePool", "Reshape"],
        {"last": ints(-1)},
    ),
    Change(
        "identity, dropout, zero pad, same-order transpose, full slice, same-shape reshape",
        remove_no_ops,
        [
            node("Identity", "x", "a"),
            node("Dropout", "a", "b"),
            node("Pad", "b zeros", "c"),
            node("Transpose", "c", "d", perm=[0, 1, 2, 3]),
            node("Slice", "d start end axis", "e"),
            node("Reshape", "e same", "f"),
            node("Concat", "f", "g", axis=1),
            node("Cast", "g", "h", to=TensorProto.FLOAT),
            node("Relu", "h", "y"),
        ],
        ["Relu"],
        {"zeros": ints(*[0] * 8), "start": ints(0), "end": ints(2**62), "axis": ints(2), "same": ints(0, 3, -1, 8)},
        ("N", 3, 8, 8),
    ),
    Change(
        "no-op before a graph output moves the output's name",
        remove_no_ops,
        [node("Relu", "x", "a"), node("Identity", "a", "y")],
        ["Relu"],
    ),
    Change(
        "pad into convolution with pads of its own",
        merge_pads,
        [node("Pad", "x pads", "p"), node("Conv", "p w", "y", pads=[0, 1, 0, 1])],
        ["Conv"],
        {"pads": ints(0, 0, 1, 2, 0, 0, 3, 0), "w": numbers(4, 3, 3, 3)},
    ),
    Change(
        "pad over named axes into average pooling",
        merge_pads,
        [node("Pad", "x pads zero axes", "p"), node("AveragePool", "p", "y", kernel_shape=[2, 2], strides=[2, 2])],
        ["AveragePool"],
        {"pads": ints(1, 1, 1, 1), "zero": scalar(0), "axes": ints(-2, -1)},
    ),
    Change(
        "transposes that cancel",
        merge_transposes,
        [
            node("Transpose", "x", "a", perm=[0, 2, 3, 1]),
            node("Transpose", "a", "b", perm=[0, 3, 1, 2]),
            node("Relu", "b", "y"),
        ],
        ["Relu"],
    ),
    Change(
        "transposes that join",
        merge_transposes,
        [
            node("Transpose", "x", "a", perm=[0, 2, 3, 1]),
            node("Transpose", "a", "b", perm=[0, 2, 1, 3]),
            node("Relu", "b", "y"),
        ],
        ["Transpose", "Relu"],
    ),
    Change(
        "unsqueeze, moving ones, squeeze",
        merge_reshapes,
        [
            node("Unsqueeze", "x one", "a"),
            node("Transpose", "a", "b", perm=[0, 2, 1, 3]),
            node("Flatten", "b", "c"),
            node("Relu", "c", "y"),
        ],
        ["Reshape", "Relu"],
        {"one": ints(1)},
        ("N", 6, 5),
        tidy=True,
    ),
    Change(
        "reshape after reshape",
        merge_reshapes,
        [node("Reshape", "x a_shape", "a"), node("Reshape", "a b_shape", "y")],
        ["Reshape"],
        {"a_shape": ints(0, 3, 64), "b_shape": ints(0, -1)},
        ("N", 3, 8, 8),
    ),
    Change(
        "target from a shape chain",
        materialize_reshapes,
        [
            node("Shape", "x", "s"),
            node("Gather", "s zero", "n"),
            node("Concat", "n rest", "target", axis=0),
            node("Reshape", "x target", "y"),
        ],
        ["Reshape"],
        {"zero": ints(0), "rest": ints(192)},
        ("N", 3, 8, 8),
        tidy=True,
    ),
    Change(
        "matmul and bias",
        convert_matmul,
        [node("MatMul", "x w", "m"), node("Add", "b m", "y")],
        ["Gemm"],
        {"w": numbers(6, 4), "b": numbers(4)},
        (2, 6),
    ),
    Change(
        "hard sigmoid times x",
        fuse_hard_swish,
        [node("HardSigmoid", "x", "g", alpha=1 / 6, beta=0.5), node("Mul", "g x", "y")],
        ["HardSwish"],
        tidy=True,
    ),
    Change(
        "x times clipped sixth",
        fuse_hard_swish,
        [
            node("Add", "x three", "a"),
            node("Clip", "a zero six", "b"),
            node("Div", "b six", "c"),
            node("Mul", "x c", "y"),
        ],
        ["HardSwish"],
        {"three": scalar(3), "zero": scalar(0), "six": scalar(6)},
        tidy=True,
    ),
    Change(
        "product divided by six",
        fuse_hard_swish,
        [
            node("Add", "three x", "a"),
            node("Clip", "a zero six", "b"),
            node("Mul", "b x", "c"),
            node("Mul", "c sixth", "y"),
        ],
        ["HardSwish"],
        {"three": scalar(3), "zero": scalar(0), "six": scalar(6), "sixth": scalar(1 / 6)},
        tidy=True,
    ),
    Change("clip without upper bound", canonicalise_clip, [node("Clip", "x zero", "y")], ["Relu"], {"zero": scalar(0)}),
    Change(
        "relu then minimum",
        canonicalise_clip,
        [node("Relu", "x", "a"), node("Min", "a six", "y")],
        ["Clip"],
        {"six": scalar(6)},
    ),
    Change(
        "nested clips",
        canonicalise_clip,
        [node("Clip", "x low high", "a"), node("Clip", "a zero six", "y")],
        ["Clip"],
        {"low": scalar(-1), "high": scalar(0.5), "zero": scalar(0), "six": scalar(6)},
    ),
    Change(
        "constants before what they are added to and multiplied with",
        constants_second,
        [node("Add", "k x", "a"), node("Mul", "two a", "y")],
        ["Add", "Mul"],
        {"k": numbers(3, 1, 1), "two": scalar(2)},
    ),
    Change(
        "same padding, uneven",
        normalise_padding,
        [
            node("Conv", "x w", "c", auto_pad="SAME_LOWER", strides=[2, 2]),
            node("Conv", "c v", "d", auto_pad="SAME_UPPER"),
            node("MaxPool", "d", "y", auto_pad="SAME_UPPER", kernel_shape=[3, 3], strides=[2, 2]),
        ],
        ["Conv", "Conv", "MaxPool"],
        {"w": numbers(4, 3, 3, 3), "v": numbers(4, 4, 3, 3)},
        (1, 3, 9, 12),
    ),
    Change(
        "constant arithmetic and Constant nodes",
        fold_constants,
        [
            node("Constant", "", "k", value=numpy_helper.from_array(numbers(3, 1, 1))),
            node("Mul", "k two", "k2"),
            node("Add", "x k2", "y"),
        ],
        ["Add"],
        {"two": scalar(2)},
    ),
    Change(
        "float16 weights behind casts become float32 initializers",
        fold_constants,
        [node("Cast", "half", "w", to=TensorProto.FLOAT), node("Conv", "x w", "y")],
        ["Conv"],
        {"half": numbers(64, 3, 7, 7).astype(np.float16)},
    ),
]


@pytest.mark.parametrize("case", CHANGES, ids=lambda case: case.name)
def test_changes_and_keeps_outputs(case: Change) -> None:
    model = build(case.nodes, case.shape, constants=case.constants)
    batches = (1, 2) if any(isinstance(dim, str) for dim in case.shape) else (1,)
    before = [outputs_of(model, batch) for batch in batches]
    assert case.apply(model) > 0
    infer_shapes(model)
    assert case.apply(model) == 0 or case.tidy, "a pass is idempotent"
    if case.tidy:
        while case.apply(model):
            infer_shapes(model)
        fold_constants(model)
    assert ops(model) == list(case.expected)
    assert [value.name for value in model.graph.outputs] == ["y"]
    for batch, expected in zip(batches, before, strict=True):
        assert relative_error(expected, outputs_of(model, batch)) < FLOAT_NOISE


@dataclass(frozen=True)
class Keep:
    """A graph that the pass must not touch."""

    name: str
    apply: Callable[[ir.Model], int]
    nodes: Sequence[Node]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    shape: Dims = (1, 3, 8, 8)
    outputs: str = "y"


CONV_NORM = {"w": numbers(4, 3, 3, 3), **BATCH_NORM}
HARD = {"three": scalar(3), "zero": scalar(0), "six": scalar(6)}
KEEPS = [
    Keep(
        "batch norm: nothing before it",
        fold_batch_norm,
        [node("BatchNormalization", f"x {NORM}", "y")],
        BATCH_NORM,
        (1, 4, 8, 8),
    ),
    Keep(
        "batch norm: convolution has a second reader",
        fold_batch_norm,
        [node("Conv", "x w", "c"), node("BatchNormalization", f"c {NORM}", "n"), node("Add", "c n", "y")],
        CONV_NORM,
    ),
    Keep(
        "batch norm: convolution result is a graph output",
        fold_batch_norm,
        [node("Conv", "x w", "c"), node("BatchNormalization", f"c {NORM}", "y")],
        CONV_NORM,
        outputs="y c",
    ),
    Keep(
        "batch norm: weight behind DequantizeLinear",
        fold_batch_norm,
        [node("DequantizeLinear", "q s", "w"), node("Conv", "x w", "c"), node("BatchNormalization", f"c {NORM}", "y")],
        {"q": np.ones((4, 3, 3, 3), np.int8), "s": scalar(0.1), **BATCH_NORM},
    ),
    Keep("mean over channels", replace_reduce_mean, [node("ReduceMean", "x axes", "y")], {"axes": ints(1, 2, 3)}),
    Keep("mean over one spatial axis", replace_reduce_mean, [node("ReduceMean", "x axes", "y")], {"axes": ints(3)}),
    Keep("sum over spatial axes", replace_reduce_mean, [node("ReduceSum", "x axes", "y")], {"axes": ints(2, 3)}),
    Keep("pad by one", remove_no_ops, [node("Pad", "x pads", "y")], {"pads": ints(0, 0, 0, 1, 0, 0, 0, 0)}),
    Keep(
        "slice that steps",
        remove_no_ops,
        [node("Slice", "x s e a st", "y")],
        {"s": ints(0), "e": ints(2**62), "a": ints(2), "st": ints(2)},
    ),
    Keep(
        "reshape of a dynamic batch into channels",
        remove_no_ops,
        [node("Reshape", "x t", "y")],
        {"t": ints(-1, 6, 4, 8)},
        ("N", 3, 8, 8),
    ),
    Keep(
        "identity that moves integers to another scale",
        remove_no_ops,
        [
            node("QuantizeLinear", "x s z", "q"),
            node("DequantizeLinear", "q s z", "d"),
            node("Identity", "d", "i"),
            node("QuantizeLinear", "i t z", "r"),
            node("DequantizeLinear", "r t z", "y"),
        ],
        {"s": scalar(0.1), "t": scalar(0.2), "z": np.asarray(0, np.int8)},
    ),
    Keep("identity from input to output", remove_no_ops, [node("Identity", "x", "y")]),
    Keep(
        "max pooling borders are not zero",
        merge_pads,
        [node("Pad", "x pads", "p"), node("MaxPool", "p", "y", kernel_shape=[2, 2])],
        {"pads": ints(0, 0, 1, 1, 0, 0, 1, 1)},
    ),
    Keep(
        "pad by another value",
        merge_pads,
        [node("Pad", "x pads one", "p"), node("Conv", "p w", "y")],
        {"pads": ints(0, 0, 1, 1, 0, 0, 1, 1), "one": scalar(1), "w": numbers(4, 3, 3, 3)},
    ),
    Keep(
        "pad of channels",
        merge_pads,
        [node("Pad", "x pads", "p"), node("Conv", "p w", "y")],
        {"pads": ints(0, 1, 0, 0, 0, 0, 0, 0), "w": numbers(4, 4, 3, 3)},
    ),
    Keep(
        "reflecting pad",
        merge_pads,
        [node("Pad", "x pads", "p", mode="reflect"), node("Conv", "p w", "y")],
        {"pads": ints(0, 0, 1, 1, 0, 0, 1, 1), "w": numbers(4, 3, 3, 3)},
    ),
    Keep(
        "average pooling that leaves its border out",
        merge_pads,
        [node("Pad", "x pads", "p"), node("AveragePool", "p", "y", kernel_shape=[2, 2], pads=[1, 1, 0, 0])],
        {"pads": ints(0, 0, 1, 1, 0, 0, 1, 1)},
    ),
    Keep(
        "padded result with two readers",
        merge_pads,
        [node("Pad", "x pads", "p"), node("Conv", "p w", "c"), node("Relu", "p", "z")],
        {"pads": ints(0, 0, 1, 1, 0, 0, 1, 1), "w": numbers(4, 3, 3, 3)},
        outputs="c z",
    ),
    Keep("single transpose", merge_transposes, [node("Transpose", "x", "y", perm=[0, 2, 3, 1])]),
    Keep(
        "transposes around an addition",
        merge_transposes,
        [
            node("Transpose", "x", "a", perm=[0, 2, 3, 1]),
            node("Add", "a k", "b"),
            node("Transpose", "b", "y", perm=[0, 3, 1, 2]),
        ],
        {"k": numbers(3)},
    ),
    Keep("single reshape", merge_reshapes, [node("Reshape", "x t", "y")], {"t": ints(0, -1)}),
    Keep(
        "transpose that moves numbers",
        merge_reshapes,
        [node("Transpose", "x", "a", perm=[0, 2, 3, 1]), node("Reshape", "a t", "y")],
        {"t": ints(0, -1)},
    ),
    Keep("constant target", materialize_reshapes, [node("Reshape", "x t", "y")], {"t": ints(0, -1)}),
    Keep(
        "output of two dynamic dimensions",
        materialize_reshapes,
        [node("Shape", "x", "s"), node("Reshape", "x s", "y")],
        {},
        ("N", "M", 8),
    ),
    Keep(
        "matmul over three axes",
        convert_matmul,
        [node("MatMul", "x w", "m"), node("Add", "m b", "y")],
        {"w": numbers(6, 4), "b": numbers(4)},
        (1, 2, 6),
    ),
    Keep(
        "matmul and a matrix",
        convert_matmul,
        [node("MatMul", "x w", "m"), node("Add", "m b", "y")],
        {"w": numbers(6, 4), "b": numbers(2, 4)},
        (2, 6),
    ),
    Keep(
        "matmul of two activations",
        convert_matmul,
        [node("MatMul", "x x", "m"), node("Add", "m b", "y")],
        {"b": numbers(4)},
        (4, 4),
    ),
    Keep(
        "hard sigmoid with the default slope", fuse_hard_swish, [node("HardSigmoid", "x", "g"), node("Mul", "g x", "y")]
    ),
    Keep(
        "hard sigmoid times something else",
        fuse_hard_swish,
        [node("Relu", "x", "r"), node("HardSigmoid", "x", "g", alpha=1 / 6, beta=0.5), node("Mul", "g r", "y")],
    ),
    Keep(
        "shifted by two",
        fuse_hard_swish,
        [
            node("Add", "x two", "a"),
            node("Clip", "a zero six", "b"),
            node("Div", "b six", "c"),
            node("Mul", "x c", "y"),
        ],
        {**HARD, "two": scalar(2)},
    ),
    Keep("relu6", canonicalise_clip, [node("Clip", "x zero six", "y")], HARD),
    Keep("minimum per channel", canonicalise_clip, [node("Min", "x k", "y")], {"k": numbers(3, 1, 1)}),
    Keep(
        "clip whose input is read twice",
        canonicalise_clip,
        [node("Relu", "x", "a"), node("Clip", "a zero six", "b"), node("Add", "a b", "y")],
        HARD,
    ),
    Keep(
        "constants that stand second already, or beside another",
        constants_second,
        [node("Add", "x k", "a"), node("Mul", "k k", "b"), node("Add", "a b", "y")],
        {"k": scalar(2)},
    ),
    Keep(
        "constants before what does not commute",
        constants_second,
        [node("Sub", "k x", "a"), node("Div", "k a", "y")],
        {"k": scalar(2)},
    ),
    Keep("explicit pads", normalise_padding, [node("Conv", "x w", "y", pads=[1, 1, 1, 1])], {"w": numbers(4, 3, 3, 3)}),
    Keep(
        "same padding of a dynamic size",
        normalise_padding,
        [node("Conv", "x w", "y", auto_pad="SAME_UPPER")],
        {"w": numbers(4, 3, 3, 3)},
        (1, 3, "H", 8),
    ),
    Keep(
        "transposed convolution means something else by it",
        normalise_padding,
        [node("ConvTranspose", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 2])],
        {"w": numbers(3, 4, 3, 3)},
    ),
    Keep(
        "dequantized constant",
        fold_constants,
        [node("DequantizeLinear", "q s", "w"), node("Conv", "x w", "y")],
        {"q": np.ones((4, 3, 3, 3), np.int8), "s": scalar(0.1)},
    ),
    Keep("nothing constant", fold_constants, [node("Relu", "x", "y")]),
    Keep(
        "a small constant that would grow",
        fold_constants,
        [node("Expand", "k big", "w"), node("Add", "x w", "y")],
        {"k": numbers(1), "big": ints(1, 3, 1024, 1024)},
        (1, 3, 1024, 1024),
    ),
]


@pytest.mark.parametrize("case", KEEPS, ids=lambda case: case.name)
def test_leaves_or_refuses(case: Keep) -> None:
    model = build(case.nodes, case.shape, case.outputs, case.constants)
    before = ir.to_proto(model)
    assert case.apply(model) == 0
    assert ops(model) == [n.op_type for n in before.graph.node]
    assert ir.to_proto(model).graph.node == before.graph.node


def test_a_constant_moves_behind_the_activation_it_is_added_to() -> None:
    model = build([node("Add", "k x", "y")], constants={"k": numbers(3, 1, 1)})
    assert constants_second(model) == 1
    assert [value.name for value in model.graph.node(0).inputs if value is not None] == ["x", "k"]
    assert constants_second(model) == 0


def test_a_first_operand_that_a_caller_can_override_stays() -> None:
    model = build([node("Add", "k x", "y")], constants={"k": numbers(3, 1, 1)})
    model.graph.inputs.append(model.graph.initializers["k"])
    assert constants_second(model) == 0


def _reference(model: ir.Model) -> OutputCheck:
    feed = random_feed(["x"], [(1, 3, 8, 8)], [DType.FLOAT])
    return OutputCheck((feed,), (tuple(run_model(ir.to_proto(model).SerializeToString(), feed)),))


def test_pipeline_takes_back_a_pass_that_changes_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    def double_bias(model: ir.Model) -> int:
        value = model.graph.initializers["b"]
        value.const_value = ir.tensor(np.asarray(value.const_value.numpy()) * 2, name="b")  # type: ignore[union-attr]
        return 1

    def drop_output(model: ir.Model) -> int:
        model.graph.outputs.clear()
        return 1

    wrong = (Pass("double_bias", double_bias, "wrong"), Pass("drop_output", drop_output, "wrong"))
    monkeypatch.setattr("edgert_converters.passes.pipeline.PIPELINE", (*wrong, *PIPELINE))
    model = build([node("Conv", "x w b", "c"), node("Relu", "c", "d"), node("Identity", "d", "y")],
                  constants={"w": numbers(4, 3, 3, 3), "b": numbers(4)})  # fmt: skip
    check = _reference(model)
    cleaned, records = run_pipeline(model, check)
    found = {record.name: record for record in records}
    assert found["double_bias"].undone is not None
    assert "changed an output" in found["double_bias"].undone
    assert found["drop_output"].undone is not None
    assert ops(cleaned) == ["Conv", "Relu"]
    assert check.error(cleaned) == 0.0


def test_pipeline_names_nodes_and_is_idempotent() -> None:
    nodes = [node("Conv", "x w", "c"), node("BatchNormalization", f"c {NORM}", "n"), node("Relu", "n", "y")]
    for proto in nodes:
        proto.name = ""
    model = build(nodes, constants=CONV_NORM)
    check = _reference(model)
    cleaned, first = run_pipeline(model, check)
    assert [n.name for n in cleaned.graph] == ["Conv_c", "Relu_y"]
    assert [record.name for record in first] == ["fold_batch_norm"]
    _, second = run_pipeline(cleaned, check)
    assert second == ()


def test_every_pass_states_why_it_stands_where_it_does() -> None:
    assert len({step.name for step in PIPELINE}) == len(PIPELINE)
    assert all(step.reason for step in PIPELINE)


@pytest.mark.parametrize(
    ("expected", "found", "error"),
    [
        ([[0.0, 2.0]], [[0.0, 1.0]], 0.5),
        ([[0.0, 0.0]], [[0.0, 0.0]], 0.0),
        ([[0.0, 0.0]], [[0.0, 1e-9]], np.inf),
        ([[np.inf, 1.0]], [[np.inf, 1.0]], 0.0),
        ([[np.nan, 1.0]], [[0.0, 1.0]], np.inf),
    ],
)
def test_relative_error(expected: list[list[float]], found: list[list[float]], error: float) -> None:
    assert relative_error([np.asarray(expected)], [np.asarray(found)]) == error


def test_relative_error_of_other_shapes_is_infinite() -> None:
    assert relative_error([numbers(2, 3)], [numbers(3, 2)]) == np.inf
    assert relative_error([numbers(2)], []) == np.inf
