"""Where transforms of channels may go, what they are made of, and that the float graph stays what it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from edgert_converters.engine import load_runner
from edgert_converters.quantize.chain import plan_draft, prepare
from edgert_converters.quantize.draft import Draft
from edgert_converters.quantize.plan import integer_nodes
from edgert_converters.quantize.refusals import KEEP_FLOAT
from edgert_converters.quantize.scheme import INT8
from edgert_converters.quantize.transforms.change import Diagonal, change_model
from edgert_converters.quantize.transforms.error import float_outputs
from edgert_converters.quantize.transforms.growth import find_region
from edgert_converters.quantize.transforms.hadamard import factors, hadamard_matrix, random_rotation, rotation
from edgert_converters.quantize.transforms.klt import klt_rotation
from edgert_converters.quantize.transforms.kronecker import learn_kronecker
from edgert_converters.quantize.transforms.kronecker_product import Kronecker
from edgert_converters.quantize.transforms.probe import probe
from edgert_converters.quantize.transforms.reader import find_readers
from edgert_converters.quantize.transforms.region import Region
from edgert_converters.quantize.transforms.step import hadamard, klt, kronecker
from tests.outlier_example import SETTINGS, assert_same_function, calibration_of, model_of

pytest.importorskip("onnxruntime")


def region_of(model: ir.Model, reader: str, *, linear: bool = False, insert: bool = False, axis: int = 1) -> Region:
    region = find_region(find_readers(model)[reader], axis, integer_nodes(model), linear=linear, insert=insert)
    assert isinstance(region, Region), region
    return region


def refusal_of(model: ir.Model, reader: str, *, linear: bool = False, axis: int = 1) -> str:
    region = find_region(find_readers(model)[reader], axis, integer_nodes(model), linear=linear, insert=False)
    assert isinstance(region, str)
    return region


_CONVOLUTIONS = """
net (float[1,8,6,6] x, float[16,8,3,3] w1, float[16] b1, float[16,1,3,3] wd, float[16] bd, float[8,16,1,1] w2)
    => (float[1,8,4,4] y)
{
    [first] a = Conv(x, w1, b1)
    [relu] r = Relu(a)
    [pool] p = MaxPool<kernel_shape=[3,3], strides=[1,1], pads=[1,1,1,1]>(r)
    [depthwise] d = Conv<group=16, pads=[1,1,1,1]>(p, wd, bd)
    [leaky] l = LeakyRelu(d)
    [last] y = Conv(l, w2)
}
"""
_RESIDUAL = """
net (float[1,8,6,6] x, float[16,8,1,1] w1, float[16] b1, float[16,16,1,1] w2, float[4,16,1,1] w3, float[16,1,1] c)
    => (float[1,4,6,6] y)
{
    [first] a = Conv(x, w1, b1)
    [shift] s = Add(a, c)
    [inner] i = Conv(s, w2)
    [join] j = Add(s, i)
    [relu] r = Relu(j)
    [last] y = Conv(r, w3)
}
"""
_CONCAT = """
net (float[1,8,6,6] x, float[16,8,1,1] w1, float[8,8,1,1] w2, float[4,24,1,1] w3) => (float[1,4,6,6] y)
{
    [one] a = Conv(x, w1)
    [two] b = Conv(x, w2)
    [join] j = Concat<axis=1>(b, a)
    [last] y = Conv(j, w3)
}
"""
_TOKENS = """
net (float[1,6,16] x, float[16] g, float[16] b, float[16,16] w1, float[16,8] w2) => (float[1,6,8] y, float[1,16,6] z)
{
    [norm] n = LayerNormalization<axis=-1>(x, g, b)
    [hidden] h = MatMul(n, w1)
    [turn] t = Transpose<perm=[0,2,1]>(n)
    [gate] s = Sigmoid(h)
    [product] p = Mul(n, s)
    [out] y = MatMul(p, w2)
    [other] z = Relu(t)
}
"""


@pytest.mark.parametrize(
    ("text", "reader", "makers", "readers"),
    [
        (_CONVOLUTIONS, "depthwise", {"first"}, {"depthwise"}),
        (_CONVOLUTIONS, "last", {"depthwise"}, {"last"}),
        (_RESIDUAL, "last", {"first", "inner"}, {"inner", "last"}),
        (_CONCAT, "last", {"one", "two"}, {"last"}),
    ],
)
def test_a_scaling_is_taken_up_by_constants_alone(text: str, reader: str, makers: set[str], readers: set[str]) -> None:
    model = model_of(text)
    changed = model.clone()
    region = region_of(changed, reader)
    assert {str(node.name) for node in region.makers} == makers
    assert {seen.reader.name for seen in region.columns} == readers
    assert not region.sources
    factor = np.exp(np.random.default_rng(2).standard_normal(region.size))
    change_model(changed, region, Diagonal(factor), "scaled")
    assert len(list(changed.graph)) == len(list(model.graph))
    assert_same_function(model, changed, calibration_of(model))


def test_a_dense_transform_passes_what_is_linear_and_nothing_else() -> None:
    model = model_of(_RESIDUAL)
    assert "Relu" in refusal_of(model, "last", linear=True), "only linear operators may stand between"
    linear = model_of(_RESIDUAL.replace("Relu(j)", "Identity(j)"))
    changed = linear.clone()
    region = region_of(changed, "last", linear=True)
    assert {str(node.name) for node in region.makers} == {"first", "inner"}
    transform = random_rotation(16, np.random.default_rng(0))
    assert transform is not None
    change_model(changed, region, transform, "turned")
    assert_same_function(linear, changed, calibration_of(linear))


def test_what_a_scaling_cannot_pass_is_refused_with_the_reason() -> None:
    clipped = _CONVOLUTIONS.replace("Relu(a)", "Sigmoid(a)")
    assert refusal_of(model_of(clipped), "depthwise") == "'relu' (Sigmoid) does not let it pass"
    also_output = _CONVOLUTIONS.replace("=> (float[1,8,4,4] y)", "=> (float[1,8,4,4] y, float[1,16,4,4] r)")
    assert refusal_of(model_of(also_output), "depthwise") == "'r' is an output of the model"
    depthwise = _CONVOLUTIONS.replace("LeakyRelu(d)", "Identity(d)")
    assert "depthwise" in refusal_of(model_of(depthwise), "last", linear=True), "its channels do not mix"
    # the norm's output is also read by a Relu whose result is an output
    assert "output of the model" in refusal_of(model_of(_TOKENS), "hidden", axis=2)


def test_every_reader_of_an_inserted_transform_that_can_take_it_does() -> None:
    model = model_of(_TOKENS)
    changed = model.clone()
    region = region_of(changed, "hidden", insert=True, axis=2)
    (value,) = region.sources
    assert value.name == "n"
    assert {str(node.name) for node, _ in region.sources[value]} == {"hidden", "product"}, "not the one that refuses"
    assert {seen.reader.name for seen in region.columns} == {"hidden", "out"}
    change_model(changed, region, Diagonal(np.linspace(0.1, 3.0, 16)), "scaled")
    (added,) = [node for node in changed.graph if node.op_type == "Mul" and KEEP_FLOAT in node.metadata_props]
    assert added.inputs[0] is not None and added.inputs[0].name == "n"
    assert_same_function(model, changed, calibration_of(model))


@pytest.mark.parametrize("size", [12, 16, 30])
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_an_inserted_transform_and_its_inverse_cancel(size: int, layout: str) -> None:
    last = f"net (float[1,5,{size}] x, float[{size},8] w) => (float[1,5,8] y) {{ [read] y = MatMul(x, w) }}"
    first = f"net (float[1,{size},4,3] x, float[8,{size},2,2] w) => (float[1,8,3,2] y) {{ [read] y = Conv(x, w) }}"
    model = model_of(last if layout == "channels_last" else first)
    axis = 2 if layout == "channels_last" else 1
    rng = np.random.default_rng(3)
    a = 3 if size % 3 == 0 else 4
    for change in (
        Kronecker(np.ones((1, 1)), np.linalg.qr(rng.standard_normal((size, size)))[0]),
        Kronecker(rng.standard_normal((a, a)) + 3 * np.eye(a), np.eye(size // a) + 0.1),
        Kronecker(np.eye(a), np.linalg.qr(rng.standard_normal((size // a, size // a)))[0]),
    ):
        changed = model.clone()
        change_model(changed, region_of(changed, "read", linear=True, insert=True, axis=axis), change, "turned")
        assert all(KEEP_FLOAT in node.metadata_props for node in changed.graph if node.name != "read")
        assert_same_function(model, changed, calibration_of(model, axis=axis))


@pytest.mark.parametrize("order", [1, 2, 4, 8, 12, 20, 24, 28, 36, 60, 64, 76, 144])
def test_hadamard_matrices_have_orthogonal_rows_of_signs(order: int) -> None:
    matrix = hadamard_matrix(order)
    assert matrix is not None
    assert np.array_equal(np.abs(matrix), np.ones((order, order)))
    assert np.array_equal(matrix @ matrix.T, order * np.eye(order))


def test_widths_without_a_hadamard_matrix_fall_into_blocks_or_have_none() -> None:
    assert hadamard_matrix(92) is None
    assert [factors(width) for width in (64, 96, 384, 40, 100)] == [(1, 64), (8, 12), (16, 24), (1, 40), (0, 20)]
    assert rotation(50) is None, "no block of four or more divides it"
    blocks = rotation(100)
    assert blocks is not None and (len(blocks.left), len(blocks.right)) == (5, 20)
    assert blocks.macs == 100 * 20


def test_after_the_klt_rotation_every_channel_has_the_mean_variance() -> None:
    rng = np.random.default_rng(0)
    for size in (16, 96, 52):
        x = rng.standard_normal((4096, size)) @ rng.standard_normal((size, size)) * np.logspace(-2, 2, size)
        moments = x.T @ x / len(x)
        transform = klt_rotation(moments, rng)
        assert transform is not None
        turned = transform.along(x, 1, np.arange(size), inverse=False)
        spread = np.square(turned).mean(axis=0) / (np.trace(moments) / size)
        if size == 52:  # blocks of 4: each has nearly its share, the first more where one eigenvalue stands out
            assert np.ptp(spread.reshape(-1, 4), axis=1).max() < 1e-6
        else:
            assert np.abs(spread - 1.0).max() < 1e-6


def test_the_learned_transform_lowers_what_it_minimises() -> None:
    rng = np.random.default_rng(0)
    size = 24
    mixing = rng.standard_normal((size, size)) * np.logspace(-1, 1, size)
    moments, gram = mixing.T @ mixing, np.diag(np.logspace(1, -1, size))

    def cost(change: Kronecker) -> float:
        index = np.arange(size)
        t = change.along(np.eye(size), 0, index, inverse=False)
        back = np.linalg.inv(t)
        return float(np.trace(t @ moments @ t.T) * np.trace(back.T @ gram @ back))

    plain = cost(Kronecker(np.ones((1, 1)), np.eye(size)))
    learned = learn_kronecker(moments, gram, rng)
    assert cost(learned) < 0.5 * plain
    for _ in range(20):  # a stationary point: no small step of a factor is better
        nudged = learned.right @ (np.eye(len(learned.right)) + 0.05 * rng.standard_normal(learned.right.shape))
        assert cost(Kronecker(learned.left, nudged)) > cost(learned) * (1 - 1e-3)


@pytest.mark.parametrize("attributes", ["pads=[1,2,0,1]", "pads=[2,2,2,2], strides=[2,3], dilations=[2,1]"])
def test_rows_are_what_the_convolution_reads_at_some_position_padding_too(attributes: str) -> None:
    text = "net (float[1,8,7,9] x, float[4,4,3,2] w) => (float[1,4,H,W] y) { [read] y = Conv<group=2, ATTR>(x, w) }"
    model = model_of(text.replace("ATTR", attributes))
    calibration = calibration_of(model, count=100)
    reader = find_readers(model)["read"]
    rows = probe(model, [reader], calibration, 0, moments=False).rows["read"]
    found = float_outputs(reader, rows)
    outputs = [load_runner(model)(sample)["y"] for sample in list(calibration.samples())[::2]]
    expected = np.concatenate([np.moveaxis(y, 1, -1).reshape(-1, 4) for y in outputs])
    nearest = np.abs(found[:, None] - expected[None]).max(axis=2).min(axis=1)
    assert nearest.max() < 1e-5
    assert len(np.unique(found.round(4), axis=0)) > 0.5 * min(len(found), len(expected))


_WIDE = """
net (float[1,24,64] x, float[64,192] w, float[192] b, float[192,64] v) => (float[1,24,64] y)
{
    [first] h = MatMul(x, w)
    [bias] s = Add(h, b)
    [relu] r = Relu(s)
    [second] y = MatMul(r, v)
}
"""


@pytest.mark.parametrize("step", [hadamard, klt, kronecker])
def test_a_step_transforms_what_an_outlier_spoils_and_keeps_the_function(step: Callable[..., Draft]) -> None:
    model = model_of(_WIDE)
    calibration = calibration_of(model, outlier=20.0, axis=2)
    draft = step(Draft(model), calibration, SETTINGS)
    assert [change.where for change in draft.changes] == ["first"]
    assert "of the MACs" in draft.changes[0].what and "gain 1" in draft.changes[0].why, draft.changes
    assert_same_function(model, draft.model, calibration)
    prepared = replace(draft, statistics=prepare(draft.model, calibration, SETTINGS).statistics)
    plan = plan_draft(prepared, INT8, calibration, SETTINGS).final
    added = {str(node.name) for node in draft.model.graph if KEEP_FLOAT in node.metadata_props}
    assert added and not added & plan.integer_nodes
    reasons = {layer.reason for layer in plan.float_layers if layer.name in added}
    assert reasons == {f"put in by {draft.changes[0].step}, before its output is quantized"}
    again = step(draft, calibration, SETTINGS)
    assert again.model is draft.model, "a place gets one transform"


@pytest.mark.parametrize("step", [hadamard, klt, kronecker])
def test_a_step_leaves_even_channels_and_graphs_without_readers_alone(step: Callable[..., Draft]) -> None:
    model = model_of(_WIDE)
    even = Draft(model)
    assert step(even, calibration_of(model), SETTINGS) is even
    nothing = Draft(model_of("net (float[1,4] x) => (float[1,4] y) { [relu] y = Relu(x) }"))
    assert step(nothing, calibration_of(nothing.model), SETTINGS) is nothing
