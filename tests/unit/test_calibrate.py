"""Statistics of a graph that runs in pieces: the same values as one run gives, and far less memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgert.errors import DataError
from edgert_converters.engine import load_runner
from edgert_converters.quantize.calibrate import collect_statistics, expose_values, load_stream
from edgert_converters.quantize.pieces import Piece, cut_model
from edgert_converters.quantize.value_sizes import value_bytes

ROOT = Path(__file__).parents[2]

BRANCHED = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[N,3,H,W] x) => (float[N,K] y)
<float[1] slope = {0.1}, int64[2] flat = {1, -1}, float limit = {0.0}>
{
    a = Conv<pads=[1,1,1,1]>(x, w)
    b = PRelu(a, slope)
    c = Conv(b, p)
    d = Add(c, a)
    total = ReduceSum<keepdims=0>(d)
    positive = Greater(total, limit)
    e = If (positive) <
        then_branch = yes () => (float[N,4,H,W] t) { t = Mul(b, slope) },
        else_branch = no () => (float[N,4,H,W] f) { f = Neg(b) }
    >
    g = Conv(e, p)
    size = Shape(g)
    same = Reshape(d, size)
    z = Concat<axis=1>(g, same, b)
    y = Reshape(z, flat)
}
"""
WATCHED = ("a", "b", "c", "d", "e", "g", "same", "z")

SEQUENCE = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1,8] x) => (float[1,4] y)
<int64 first = {0}, int64 second = {1}, int64 half = {4}>
{
    a = Relu(x)
    parts = SplitToSequence<axis=1>(a, half)
    b = SequenceAt(parts, first)
    c = SequenceAt(parts, second)
    y = Add(b, c)
}
"""


def _silent(stage: str, done: int, total: int) -> None:
    """Progress nobody reads."""


def _model(text: str) -> ir.Model:
    """A checked model with inferred types; w and p are seeded weights."""
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, shape in {"w": (4, 3, 3, 3), "p": (4, 4, 1, 1)}.items():
        values = rng.standard_normal(shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    onnx.checker.check_model(proto)
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto))


def _images(count: int = 3, side: int = 8) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.standard_normal((1, 3, side, side)).astype(np.float32)} for _ in range(count)]


def _cut(model: ir.Model, sample: dict[str, np.ndarray], wanted: Sequence[str], limit_bytes: int) -> list[Piece]:
    return list(cut_model(model, frozenset(wanted), value_bytes(model, sample), limit_bytes))


@pytest.mark.parametrize("piece_bytes", [1, 3000, 1 << 30])
def test_pieces_give_what_one_run_gives(piece_bytes: int) -> None:
    model, (first, *others) = _model(BRANCHED), _images()
    whole = load_runner(expose_values(model, WATCHED))
    stream = load_stream(model, WATCHED, first, piece_bytes)
    for sample in (first, *others, first):
        expected, found = whole(sample), dict(stream(sample))
        assert sorted(found) == sorted(WATCHED)
        for name in WATCHED:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-6)


def test_a_stream_takes_samples_of_another_size_than_the_first() -> None:
    model = _model(BRANCHED)
    stream = load_stream(model, WATCHED, _images()[0], 1)
    (larger,) = _images(1, side=12)
    assert dict(stream(larger))["z"].shape == (1, 12, 12, 12)


def test_each_value_comes_once_and_pieces_stay_below_their_limit() -> None:
    model, sample = _model(BRANCHED), _images()[0]
    sizes = value_bytes(model, sample)
    limit = 2 * sizes["a"]
    pieces = _cut(model, sample, WATCHED, limit)
    assert len(pieces) > 2
    names = [name for piece in pieces for name in piece.outputs if name in WATCHED]
    assert sorted(names) == sorted(WATCHED)
    for piece in pieces:
        nodes = onnx.load_from_string(piece.model).graph.node
        made = sum(sizes.get(name, 0) for node in nodes for name in node.output)
        assert made <= limit or len(nodes) == 1


def test_a_value_is_held_until_its_last_reader_and_no_longer() -> None:
    pieces = _cut(_model(BRANCHED), _images()[0], ("z",), 1)
    kept = [name for piece in pieces for name in piece.kept]
    released = [name for piece in pieces for name in piece.released]
    assert sorted(set(released) - {"x"}) == sorted(kept)
    ends = {name: index for index, piece in enumerate(pieces) for name in piece.released}
    reads = [{port.name for port in onnx.load_from_string(piece.model).graph.input} for piece in pieces]
    assert ends["b"] == max(index for index, names in enumerate(reads) if "b" in names)


def test_weights_lie_in_the_pieces_that_read_them_only() -> None:
    pieces = _cut(_model(BRANCHED), _images()[0], WATCHED, 1)
    held = [[tensor.name for tensor in onnx.load_from_string(piece.model).graph.initializer] for piece in pieces]
    assert sum("w" in names for names in held) == 1
    assert sum("p" in names for names in held) == 2


def test_what_nothing_needs_does_not_run() -> None:
    pieces = _cut(_model(BRANCHED), _images()[0], ("a",), 1)
    produced = {
        name for piece in pieces for node in onnx.load_from_string(piece.model).graph.node for name in node.output
    }
    assert "a" in produced
    assert "y" not in produced


def test_no_cut_goes_through_a_sequence() -> None:
    model = _model(SEQUENCE)
    x = np.arange(-4, 4, dtype=np.float32).reshape(1, 8)
    pieces = _cut(model, {"x": x}, ("a", "b", "c", "y"), 1)
    operators = [[node.op_type for node in onnx.load_from_string(piece.model).graph.node] for piece in pieces]
    assert operators == [["Relu"], ["SplitToSequence", "SequenceAt", "SequenceAt"], ["Add"]]
    found = dict(load_stream(model, ("b", "c"), {"x": x}, 1)({"x": x}))
    assert found["c"].tolist() == [[0, 1, 2, 3]]


def test_sizes_follow_the_sample_and_open_shapes_are_measured() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 18]>
    net (float[N,C] x) => (int64[R,M] where, float16[N,C] h) { r = Relu(x) where = NonZero(r) h = Cast<to=10>(r) }
    """
    x = np.array([[1.0, -1.0, 2.0, 3.0, -5.0]], np.float32)
    assert value_bytes(_model(text), {"x": x}) == {"r": 20, "where": 2 * 3 * 8, "h": 10}


def test_statistics_of_inputs_and_inner_values_with_progress() -> None:
    samples = _images()
    told: list[tuple[str, int, int]] = []
    model = _model(BRANCHED)
    statistics = collect_statistics(model, ("x", "d"), iter(samples), lambda *what: told.append(what), 3)
    assert told == [("calibrate", 1, 3), ("calibrate", 2, 3), ("calibrate", 3, 3)]
    run = load_runner(expose_values(model, ("d",)))
    for name, values in (("x", [s["x"] for s in samples]), ("d", [run(s)["d"] for s in samples])):
        histogram = statistics[name].histogram
        assert histogram.count == sum(v.size for v in values)
        assert histogram.maximum == max(float(v.max()) for v in values)


def test_no_samples_is_an_error_that_says_how_many_are_usual() -> None:
    with pytest.raises(DataError, match="the calibration set is empty; give at least one sample"):
        collect_statistics(_model(BRANCHED), ("x",), (), _silent)


def test_nan_in_a_sample_names_the_tensor() -> None:
    (sample,) = _images(1)
    sample["x"][0, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="NaN or infinity in tensor 'x'"):
        collect_statistics(_model(BRANCHED), ("x", "a"), [sample], _silent)


def test_a_value_that_no_node_makes_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="no node of the graph makes nothing"):
        load_stream(_model(BRANCHED), ("a", "nothing"), _images()[0])


LAYERS, LAYER_MB = 24, 16
DEEP = """
import re, sys
from pathlib import Path
import numpy as np, onnx_ir as ir
from edgert_converters.quantize.calibrate import collect_statistics
layers = int(sys.argv[1])
steps = "".join(f"v{i + 1} = HardSigmoid(v{i}) " for i in range(layers - 1))
shape = "float[1,4,1024,1024]"
text = '<ir_version: 8, opset_import: ["" : 18]> net (%s x) => (%s y) { v0 = Relu(x) %s y = Neg(v%d) }'
model = ir.from_onnx_text(text % (shape, shape, steps, layers - 1))
for node in model.graph:
    node.outputs[0].type, node.outputs[0].shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([1, 4, 1024, 1024])
x = np.linspace(-1, 1, 4 << 20, dtype=np.float32).reshape(1, 4, 1024, 1024)
def peak_mb():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1)) / 1000
before = peak_mb()
names = [f"v{i}" for i in range(layers)]
statistics = collect_statistics(model, names, [{"x": x}] * 2, lambda *what: None)
assert all(statistics[name].histogram.count == 2 * x.size for name in names)
print(peak_mb() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is in Linux's /proc only")
def test_memory_does_not_grow_with_the_depth_of_a_model() -> None:
    command = [sys.executable, "-c", DEEP, str(LAYERS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    grown_mb = float(done.stdout)
    assert LAYER_MB < grown_mb < 6 * LAYER_MB < LAYERS * LAYER_MB
