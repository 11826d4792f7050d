"""Random single-operator graphs: cases of the operator table (ONNX to TFLite) and files of one TFLite operator."""

from __future__ import annotations

from typing import Final

import numpy as np
from hypothesis import strategies as st

from edgert_converters.ops.spec import Array, AttributeValue, Case

__all__ = ["SPATIAL", "UNARY_DOMAINS", "broadcast_shapes", "cases", "numbers", "shapes"]

_EVERYWHERE: Final = (
    "Abs", "Asinh", "Atan", "Ceil", "Celu", "Cos", "Cosh", "Elu",
    "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish",
    "Neg", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin",
    "Sinh", "Softplus", "Softsign", "Tanh", "ThresholdedRelu",
)  # fmt: skip
UNARY_DOMAINS: Final = {
    **dict.fromkeys(_EVERYWHERE, (-3.0, 3.0)),
    **dict.fromkeys(("Acos", "Asin", "Atanh", "Tan"), (-0.9, 0.9)),
    **dict.fromkeys(("Log", "Reciprocal", "Sqrt"), (0.3, 4.0)),
    "Acosh": (1.1, 4.0),
}
"""Operators of one input and where they are defined and smooth enough for float32."""

_ATTRIBUTES: Final[dict[str, dict[str, AttributeValue]]] = {
    "Celu": {"alpha": 1.7},
    "Elu": {"alpha": 0.6},
    "Gelu": {"approximate": "tanh"},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
    "LeakyRelu": {"alpha": 0.2},
    "Shrink": {"lambd": 1.1, "bias": 0.4},
    "ThresholdedRelu": {"alpha": 0.7},
}
_PAIRS: Final = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Mean", "Sum", "Pow", "Mod")
_COMPARISONS: Final = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
_REDUCTIONS: Final = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
_ALONG_AXIS: Final = ("ArgMax", "ArgMin", "LogSoftmax", "LpNormalization", "Softmax")
SPATIAL: Final = ("AveragePool", "Conv", "GlobalAveragePool", "GlobalMaxPool", "LRN", "LpPool", "MaxPool")
_MOVES: Final = ("Concat", "Expand", "Gather", "Pad", "Slice", "Tile", "Transpose")


def shapes(lowest: int = 1, highest: int = 5) -> st.SearchStrategy[tuple[int, ...]]:
    """Small shapes of `lowest` to `highest` axes."""
    return st.lists(st.integers(1, 4), min_size=lowest, max_size=highest).map(tuple)


@st.composite
def numbers(draw: st.DrawFn, shape: tuple[int, ...], low: float = -3.0, high: float = 3.0) -> Array:
    """Floats spread evenly over an interval."""
    generator = np.random.default_rng(draw(st.integers(0, 2**20)))
    return generator.uniform(low, high, shape).astype(np.float32)


@st.composite
def broadcast_shapes(draw: st.DrawFn, count: int = 2, highest: int = 5) -> list[tuple[int, ...]]:
    """Shapes that broadcast together; one of them is the whole."""
    whole = draw(shapes(1, highest))
    found = [whole]
    for _ in range(count - 1):
        kept = tuple(size if draw(st.booleans()) else 1 for size in whole)
        found.append(kept[draw(st.integers(0, len(kept))) :])
    return draw(st.permutations(found))


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, Case]:
    """One operator of the table with random shapes, attributes, and computed or constant operands."""
    build = draw(
        st.sampled_from((_unary, _pair, _comparison, _choice, _reduction, _along_axis, _ranked, _spatial, _move))
    )
    name, inputs, attributes, constants, outputs = draw(build())
    return name, Case("random", tuple(inputs), attributes, constants, outputs)


Parts = tuple[str, list[Array | None], dict[str, AttributeValue], tuple[int, ...], int]


@st.composite
def _unary(draw: st.DrawFn) -> Parts:
    name = draw(st.sampled_from(sorted(UNARY_DOMAINS)))
    x = draw(numbers(draw(shapes()), *UNARY_DOMAINS[name]))
    return name, [x], _ATTRIBUTES.get(name, {}) if draw(st.booleans()) else {}, (), 1


@st.composite
def _pair(draw: st.DrawFn) -> Parts:
    name = draw(st.sampled_from(_PAIRS))
    low = 0.5 if name in {"Div", "Mod", "Pow"} else -3.0
    found = [draw(numbers(shape, low, 3.0)) for shape in draw(broadcast_shapes())]
    constants = draw(st.sampled_from(((), (0,), (1,))))
    return name, list(found), {"fmod": 1} if name == "Mod" else {}, constants, 1


@st.composite
def _comparison(draw: st.DrawFn) -> Parts:
    name = draw(st.sampled_from((*_COMPARISONS, "And", "Or", "Xor")))
    found = [np.rint(draw(numbers(shape))) for shape in draw(broadcast_shapes())]
    kind = draw(st.sampled_from((np.float32, np.int32, np.int64))) if name in _COMPARISONS else np.bool_
    return name, [array.astype(kind) for array in found], {}, draw(st.sampled_from(((), (1,)))), 1


@st.composite
def _choice(draw: st.DrawFn) -> Parts:
    condition, x, y = draw(broadcast_shapes(3))
    inputs = [draw(numbers(condition)) > 0, draw(numbers(x)), draw(numbers(y))]
    return "Where", list(inputs), {}, draw(st.sampled_from(((), (2,)))), 1


@st.composite
def _reduction(draw: st.DrawFn) -> Parts:
    name = draw(st.sampled_from(_REDUCTIONS))
    shape = draw(shapes())
    axes = sorted(draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    x = draw(numbers(shape, *((0.5, 2.0) if name in {"ReduceLogSum", "ReduceProd"} else (-3.0, 3.0))))
    return name, [x, np.asarray(axes, np.int64)], {"keepdims": int(draw(st.booleans()))}, (1,), 1


@st.composite
def _along_axis(draw: st.DrawFn) -> Parts:
    name = draw(st.sampled_from((*_ALONG_AXIS, "CumSum", "TopK")))
    shape = draw(shapes())
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    x = draw(numbers(shape))
    if name == "CumSum":
        flags: dict[str, AttributeValue] = {key: int(draw(st.booleans())) for key in ("exclusive", "reverse")}
        return name, [x, np.asarray(axis, np.int64)], flags, (1,), 1
    if name == "TopK":
        count = np.asarray([draw(st.integers(1, shape[axis]))], np.int64)
        return name, [x, count], {"axis": axis, "largest": int(draw(st.booleans()))}, (1,), 2
    attributes: dict[str, AttributeValue] = {"axis": axis}
    if name.startswith("Arg"):
        attributes |= {"keepdims": int(draw(st.booleans())), "select_last_index": int(draw(st.booleans()))}
    return name, [x], attributes, (), 1


@st.composite
def _ranked(draw: st.DrawFn) -> Parts:
    name = draw(st.sampled_from(("BatchNormalization", "InstanceNormalization", "LayerNormalization")))
    shape = (*draw(shapes(2, 2)), *draw(shapes(1, 3)))
    x = draw(numbers(shape))
    if name == "LayerNormalization":
        axis = draw(st.integers(1, len(shape) - 1))
        return (
            name,
            [x, draw(numbers(shape[axis:])), draw(numbers(shape[axis:]))],
            {"axis": axis, "epsilon": 0.1},
            (1, 2),
            1,
        )
    count = 4 if name == "BatchNormalization" else 2
    values = [draw(numbers(shape[1:2], 0.5, 2.0)) for _ in range(count)]
    return name, [x, *values], {"epsilon": 0.1}, tuple(range(1, count + 1)), 1


@st.composite
def _spatial(draw: st.DrawFn) -> Parts:
    name = draw(st.sampled_from(SPATIAL))
    group = draw(st.sampled_from((1, 1, 2, 4))) if name == "Conv" else 1
    shape = (draw(st.integers(1, 2)), 4, draw(st.integers(4, 7)), draw(st.integers(4, 7)))
    x = draw(numbers(shape))
    if name.startswith("Global"):
        return name, [x], {}, (), 1
    if name == "LRN":
        return name, [x], {"size": draw(st.sampled_from((1, 3, 5))), "alpha": 0.2}, (), 1
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    pads = tuple(draw(st.integers(0, size - 1)) for size in (*kernel, *kernel))
    strides = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    attributes: dict[str, AttributeValue] = {"kernel_shape": kernel, "pads": pads, "strides": strides}
    if name != "Conv":
        return name, [x], attributes, (), 1
    weights = draw(numbers((4, 4 // group, *kernel), -1, 1))
    return name, [x, weights, draw(numbers((4,)))], {**attributes, "group": group}, (1, 2), 1


@st.composite
def _move(draw: st.DrawFn) -> Parts:
    name = draw(st.sampled_from(_MOVES))
    shape = draw(shapes(1, 4))
    rank = len(shape)
    x = draw(numbers(shape))
    axis = draw(st.integers(-rank, rank - 1))
    if name == "Concat":
        return name, [x, draw(numbers(shape))], {"axis": axis}, draw(st.sampled_from(((), (1,)))), 1
    if name == "Transpose":
        return name, [x], {"perm": tuple(draw(st.permutations(range(rank))))}, (), 1
    if name == "Gather":
        picks = draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, max_size=3))
        return name, [x, np.asarray(picks, np.int64)], {"axis": axis}, (1,), 1
    if name == "Slice":
        starts = [draw(st.integers(0, size - 1)) for size in shape]
        ends = [draw(st.integers(start + 1, size)) for start, size in zip(starts, shape, strict=True)]
        return name, [x, np.asarray(starts, np.int64), np.asarray(ends, np.int64)], {}, (1, 2), 1
    counts = np.asarray([draw(st.integers(1, 2)) for _ in shape], np.int64)
    if name == "Pad":
        return name, [x, np.asarray([draw(st.integers(0, 2)) for _ in range(2 * rank)], np.int64)], {}, (1,), 1
    if name == "Expand":
        return name, [x, np.asarray([size if size > 1 else 3 for size in shape], np.int64)], {}, (1,), 1
    return name, [x, counts], {}, (1,), 1
