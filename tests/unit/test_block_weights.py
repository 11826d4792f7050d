from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.verification import Mode, VerifyRequest
from edgert_converters.comparison.block_layers import compare_block_layers
from edgert_converters.comparison.verify import verify
from edgert_converters.engine import load_runner
from edgert_converters.interpreter import Interpreter
from edgert_converters.layers import build_layers
from edgert_converters.ops.packed_blocks import pack_bits, unpack_bits
from edgert_converters.quantize.block_graph import quantize_matrices
from edgert_converters.quantize.block_weights import quantize_blocks
from edgert_converters.quantize.scheme import Granularity, Scheme
from edgert_converters.quantize.weight_ranges import search_scales

# one product of 64 float32 terms near 100, summed in another order
FLOAT_TOLERANCE = 1e-3
NETWORK = """<ir_version: 8, opset_import: ["": 18]> g (int64[1, 5] ids) => (float[1, 5, 48] y) {
    e = Gather(table, ids)
    h = MatMul(e, first)
    r = Relu(h)
    flat = Constant<value = int64[2] {5, 96}>()
    f = Reshape(r, flat)
    z = Gemm<transB = 1, alpha = 2.0, beta = 0.5>(f, second, bias)
    back = Constant<value = int64[3] {1, 5, 48}>()
    y = Reshape(z, back)
}"""
IDS = {"ids": np.array([[1, 29, 3, -1, 0]])}


def block_scheme(bits: int, block: int = 32) -> Scheme:
    return Scheme(bits, Granularity.BLOCK, block, None)


def parse(text: str, **weights: NDArray[np.float32]) -> ir.Model:
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    for index, node in enumerate(proto.graph.node):
        node.name = f"{node.op_type}{index}"
    return ir.from_proto(proto)


@pytest.fixture
def network() -> ir.Model:
    rng = np.random.default_rng(0)
    shapes = {"table": (30, 64), "first": (64, 96), "second": (48, 96), "bias": (48,)}
    return parse(NETWORK, **{name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()})


def q4_0(block: NDArray[np.float32]) -> NDArray[np.float64]:
    """The real values of one block as llama.cpp's reference rounds it, with a float32 scale."""
    largest = block[np.abs(block).argmax()]
    scale = largest / -8
    return np.clip(np.floor(block / scale + 8.5), 0, 15) * scale - 8 * scale


@pytest.mark.parametrize("block", [32, 64, 128])
def test_4_bit_blocks_are_no_worse_than_q4_0(block: int) -> None:
    matrix = np.random.default_rng(1).standard_normal((5, 2 * block)).astype(np.float32)
    found = quantize_blocks(matrix, 4, block)
    theirs = np.apply_along_axis(q4_0, 1, matrix.reshape(-1, block)).reshape(matrix.shape)
    ours = np.square(found.real() - matrix).reshape(-1, block).sum(axis=1)
    assert (ours <= np.square(theirs - matrix).reshape(-1, block).sum(axis=1) * (1 + 1e-6)).all()
    assert ours.sum() < 0.95 * np.square(theirs - matrix).sum()
    assert (found.codes.min(), found.codes.max()) == (0, 15)
    assert found.packed.shape == (5, 2, block // 2)


@pytest.mark.parametrize("length", [32, 40, 100])
def test_8_bit_blocks_err_by_half_a_step(length: int) -> None:
    matrix = np.random.default_rng(2).standard_normal((3, length)).astype(np.float32)
    found = quantize_blocks(matrix, 8, 32)
    steps = np.repeat(found.scales, 32, axis=1)[:, :length]
    assert found.real().shape == matrix.shape
    assert (np.abs(found.real() - matrix) <= 0.5001 * steps).all()
    assert found.codes.min() >= 1  # -128 is not used


@pytest.mark.parametrize("bits", [4, 8])
def test_zeros_stay_zero(bits: int) -> None:
    assert not quantize_blocks(np.zeros((2, 64), np.float32), bits, 32).real().any()


def test_nibbles_are_packed_low_first() -> None:
    codes = np.array([[1, 2, 15, 0]], np.uint8)
    assert pack_bits(codes, 4).tolist() == [[0x21, 0x0F]]
    assert unpack_bits(pack_bits(codes, 4), 4).tolist() == codes.tolist()
    with pytest.raises(ValueError, match="3 codes of 4 bits do not fill bytes"):
        pack_bits(codes[:, :3], 4)


def test_searched_scales_make_the_error_smaller() -> None:
    weight = np.random.default_rng(3).standard_normal((8, 3, 3, 3)).astype(np.float32)
    weight[0] = 0
    scales = search_scales(weight, 0, 7, power=2.0)
    plain = np.abs(weight).reshape(8, -1).max(axis=1) / 7

    def error(scale: NDArray[np.float64]) -> NDArray[np.float64]:
        spread = scale.reshape(-1, 1, 1, 1)
        rounded = np.clip(np.rint(weight[1:] / spread), -7, 7) * spread
        return np.square(rounded - weight[1:]).reshape(7, -1).sum(axis=1)

    assert np.isnan(scales[0])
    assert (error(scales[1:]) <= error(plain[1:])).all()
    assert error(scales[1:]).sum() < 0.95 * error(plain[1:]).sum()
    assert search_scales(weight, None, 7).shape == (1,)


@pytest.mark.parametrize(("bits", "least_db"), [(4, 16.0), (8, 38.0)])
def test_the_interpreter_equals_onnxruntime_and_stays_near_float(network: ir.Model, bits: int, least_db: float) -> None:
    made = quantize_matrices(network, block_scheme(bits))
    assert [node.op_type for node in made.model.graph if node.domain] == [
        "GatherBlockQuantized",
        "MatMulNBits",
        "MatMulNBits",
    ]
    found, expected = load_runner(made.model)(IDS)["y"], load_runner(network)(IDS)["y"]
    np.testing.assert_allclose(Interpreter(made.model).run(IDS).outputs["y"], found, rtol=0, atol=FLOAT_TOLERANCE)
    assert 10 * np.log10(np.square(expected).sum() / np.square(found - expected).sum()) > least_db
    assert made.note == "weights in blocks: 1 Gather, 1 Gemm, 1 MatMul"
    assert made.onnxruntime == "1.23.0"


def test_layers_count_half_a_byte(network: ir.Model) -> None:
    rows = {row.op + str(index): row for index, row in enumerate(build_layers(_blocked(network, 4)))}
    assert rows["MatMulNBits1"].weight_bytes == 64 * 96 // 2 + 4 * 96 * 2
    assert rows["MatMulNBits1"].macs == 5 * 64 * 96
    assert rows["GatherBlockQuantized0"].weight_bytes == 30 * 64 // 2 + 4 * 30 * 2
    wide = {row.op: row for row in build_layers(_blocked(network, 8))}
    assert wide["GatherBlockQuantized"].weight_bytes == 30 * 64 + 4 * 30 * 2
    assert DType.INT4.stored_bytes(5) == 3


def _blocked(network: ir.Model, bits: int) -> ir.Model:
    return quantize_matrices(network, block_scheme(bits)).model


def test_a_written_file_is_read_again_and_verified(network: ir.Model, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    ir.save(_blocked(network, 4), path)
    report = verify(VerifyRequest(path, samples=2), lambda *_: None)
    (pair,) = report.pairs
    assert (pair.peer, pair.mode, pair.max_steps) == ("onnxruntime", Mode.END_TO_END, 0)
    assert [row.op for row in pair.layers] == ["GatherBlockQuantized", "MatMulNBits", "MatMulNBits", "output"]
    assert report.layer_count == 3


def test_other_engines_have_no_such_layers(network: ir.Model) -> None:
    request = VerifyRequest(Path("net.onnx"), peers=("litert-xnnpack",), modes=(Mode.END_TO_END,))
    pairs, missing = compare_block_layers(_blocked(network, 4), [IDS], request)
    assert not pairs
    assert [row.reason for row in missing] == ["weights in blocks are ONNX Runtime's own operators"]


def test_what_has_no_blocks_stays_float() -> None:
    rng = np.random.default_rng(0)
    text = """<ir_version: 8, opset_import: ["": 18]> g (float[1, 4, 8, 8] x, float[64, 1] t) => (float[1, 64] y) {
        c = Conv<kernel_shape = [1, 1]>(x, conv)
        f = Flatten(c)
        a = MatMul(f, first)
        b = MatMul(a, small)
        d = Gemm<transA = 1>(t, small)
        y = Add(b, d)
    }"""
    shapes = {"conv": (16, 4, 1, 1), "first": (1024, 64), "small": (64, 64)}
    model = parse(text, **{name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()})
    made = quantize_matrices(model, block_scheme(4, 128))
    assert made.counts == {"MatMul": 1}
    assert made.onnxruntime == "1.17.0"
    assert made.refused == {
        "Conv0": "Conv has no form with weights in blocks",
        "MatMul3": "their rows are shorter than 128",
        "Gemm4": "their first factor is transposed",
    }
    assert "1 operator stays float: Conv has no form with weights in blocks" in made.note


def test_a_model_without_matrices_is_refused() -> None:
    model = parse(
        '<ir_version: 8, opset_import: ["": 18]> g (float[1, 4] x) => (float[1, 4] y) { y = MatMul(x, w) }',
        w=np.ones((4, 4), np.float32),
    )
    with pytest.raises(ModelError, match="no operator can have weights in blocks of 32: they have fewer than 1024"):
        quantize_matrices(model, block_scheme(4))
    empty = parse('<ir_version: 8, opset_import: ["": 18]> g (float[1, 4] x) => (float[1, 4] y) { y = Relu(x) }')
    with pytest.raises(ModelError, match="neither matrix products nor embeddings with constant weights; take --precis"):
        quantize_matrices(empty, block_scheme(8))


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes", "text"),
    [
        ("MatMulNBits", 4, {"K": 32, "N": 1}, "MatMulNBits with zero points, g_idx or bias is not supported"),
        ("GatherBlockQuantized", 4, {}, "GatherBlockQuantized with zero points is not supported"),
        ("GatherBlockQuantized", 3, {"block_size": 16}, "GatherBlockQuantized reads rows of whole blocks only"),
    ],
)
def test_forms_that_edgert_does_not_write_are_refused(
    op_type: str, inputs: int, attributes: dict[str, int], text: str
) -> None:
    values = [
        ir.Value(name=f"v{i}", const_value=ir.tensor(np.ones((1, 16), np.uint8), name=f"v{i}")) for i in range(inputs)
    ]
    if op_type == "GatherBlockQuantized":
        values[2] = ir.Value(name="s", const_value=ir.tensor(np.ones((1, 1), np.float32), name="s"))
        values[1] = ir.Value(name="i", const_value=ir.tensor(np.zeros(1, np.int64), name="i"))
    node = ir.Node("com.microsoft", op_type, values, [ir.AttrInt64(k, v) for k, v in attributes.items()], name="n")
    node.outputs[0].name = "y"
    graph = ir.Graph([], node.outputs, nodes=[node], initializers=values, opset_imports={"": 18}, name="g")
    with pytest.raises(ModelError, match=text):
        Interpreter(ir.Model(graph, ir_version=8)).run({})
