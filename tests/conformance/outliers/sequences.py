"""Blocks over tokens: attention of two kinds, an encoder, a state-space scan, recurrent cells."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx

from tests.conformance.outliers.activations import tokens
from tests.conformance.outliers.block import Block, Fixture

WIDTH, COUNT, HEADS = 64, 32, 4
_SEQUENCE = (1, COUNT, WIDTH)


def _heads(b: Block, x: str, count: int, width: int, order: tuple[int, ...]) -> str:
    split = b.op("Reshape", x, np.array([1, count, HEADS, width // HEADS], np.int64))
    return b.op("Transpose", split, perm=list(order))


def _attention(b: Block, x: str, count: int, width: int, name: str = "") -> str:
    """Multi-head attention of the normalised `x`."""
    q, k, v = (b.linear(x, width, width) for _ in range(3))
    scaled = b.op("Mul", _heads(b, q, count, width, (0, 2, 1, 3)), np.float32((width // HEADS) ** -0.5))
    scores = b.op("Softmax", b.op("MatMul", scaled, _heads(b, k, count, width, (0, 2, 3, 1))), axis=-1)
    mixed = b.op("MatMul", scores, _heads(b, v, count, width, (0, 2, 1, 3)))
    joined = b.op("Reshape", b.op("Transpose", mixed, perm=[0, 2, 1, 3]), np.array([1, count, width], np.int64))
    return b.linear(joined, width, width, name=name)


def _transformer_layer(b: Block, x: str, count: int, width: int, index: int = 0) -> str:
    """LayerNorm before each branch; GELU out of Erf. The branches are called attention and mlp."""
    names = ("attention", "mlp") if index == 0 else ("", "")
    attended = _attention(b, b.layer_norm(x, width), count, width, name=names[0])
    x = b.op("Add", x, attended)
    inner = b.gelu_erf(b.linear(b.layer_norm(x, width), width, 4 * width))
    return b.op("Add", x, b.linear(inner, 4 * width, width, name=names[1]))


def vit_block() -> onnx.ModelProto:
    """A block of a vision transformer: multi-head self-attention and an MLP, LayerNorm before each."""
    b = Block("vit_block", 11, {"x": _SEQUENCE})
    b.op("Identity", _transformer_layer(b, "x", COUNT, WIDTH), name="y")
    return b.finish({"attention": _SEQUENCE, "mlp": _SEQUENCE, "y": _SEQUENCE})


def linear_attention() -> onnx.ModelProto:
    """EfficientViT's ReLU linear attention: relu(q) (relu(k)^T [v, 1]), divided by its last column."""
    b = Block("linear_attention", 12, {"x": _SEQUENCE})
    q, k, v = (_heads(b, b.linear("x", WIDTH, WIDTH), COUNT, WIDTH, (0, 2, 1, 3)) for _ in range(3))
    ones = np.ones((1, HEADS, COUNT, 1), np.float32)
    keys = b.op("Transpose", b.op("Relu", k), perm=[0, 1, 3, 2])
    context = b.op("MatMul", keys, b.op("Concat", v, ones, axis=3))
    mixed = b.op("MatMul", b.op("Relu", q), context)
    sizes = np.array([WIDTH // HEADS, 1], np.int64)
    top, bottom = b.many("Split", mixed, sizes, outputs=2, axis=3)
    ratio = b.op("Div", top, b.op("Add", bottom, np.float32(1e-3)))
    joined = b.op("Reshape", b.op("Transpose", ratio, perm=[0, 2, 1, 3]), np.array(_SEQUENCE, np.int64))
    b.linear(joined, WIDTH, WIDTH, name="branch")
    b.op("Add", "x", "branch", name="y")
    return b.finish({"branch": _SEQUENCE, "y": _SEQUENCE})


def state_space() -> onnx.ModelProto:
    """Mamba's block, its selective scan unrolled over 16 steps: 128 inner channels with 8 states each."""
    steps, inner, states, rank = 16, 128, 8, 4
    b = Block("state_space", 13, {"x": (1, steps, WIDTH)})
    both = b.op(
        "MatMul", b.op("LayerNormalization", "x", b.vector(WIDTH, 1.0), axis=-1), b.he(WIDTH, 2 * inner, fan_in=WIDTH)
    )
    u, z = b.many("Split", both, np.array([inner, inner], np.int64), outputs=2, axis=2)
    u = b.op("Transpose", u, perm=[0, 2, 1])
    weight = b.he(inner, 1, 4, fan_in=4)
    u = b.op("Conv", u, weight, b.vector(inner), group=inner, pads=[3, 0], kernel_shape=[4])
    u = b.silu(b.op("Transpose", u, perm=[0, 2, 1]))
    sizes = np.array([rank, states, states], np.int64)
    projected = b.op("MatMul", u, b.he(inner, rank + 2 * states, fan_in=inner))
    low, write, read = b.many("Split", projected, sizes, outputs=3, axis=2)
    step_bias = np.log(np.expm1(np.exp(b.rng.uniform(np.log(1e-3), np.log(0.1), inner)))).astype(np.float32)
    dt = b.op("Softplus", b.op("Add", b.op("MatMul", low, _uniform(b, (rank, inner), rank)), step_bias))
    scanned = _scan(b, u, dt, write, read, steps, inner, states)
    y = b.op("Add", scanned, b.op("Mul", u, b.vector(inner, 1.0)))
    b.op("MatMul", b.op("Mul", y, b.silu(z)), b.he(inner, WIDTH, fan_in=inner), name="branch")
    b.op("Add", "x", "branch", name="y")
    return b.finish({"branch": (1, steps, WIDTH), "y": (1, steps, WIDTH)})


def _scan(b: Block, u: str, dt: str, write: str, read: str, steps: int, inner: int, states: int) -> str:
    """h = exp(dt A) h + dt u B, y = h C, step by step; A is -1..-states as S4D initialises it."""
    a = np.tile(-np.arange(1, states + 1, dtype=np.float32), (inner, 1))[None]
    last, middle = np.array([-1], np.int64), np.array([1], np.int64)
    h, outputs = "", []
    for t in range(steps):
        at = np.array(t, np.int64)
        dt_t = b.op("Unsqueeze", b.op("Gather", dt, at, axis=1), last)
        u_t = b.op("Unsqueeze", b.op("Gather", u, at, axis=1), last)
        write_t = b.op("Unsqueeze", b.op("Gather", write, at, axis=1), middle)
        added = b.op("Mul", b.op("Mul", dt_t, u_t), write_t)
        h = b.op("Add", b.op("Mul", b.op("Exp", b.op("Mul", dt_t, a)), h), added) if h else added
        y = b.op("MatMul", h, b.op("Unsqueeze", b.op("Gather", read, at, axis=1), last))
        outputs.append(b.op("Transpose", y, perm=[0, 2, 1]))
    return b.op("Concat", *outputs, axis=1)


def gru() -> onnx.ModelProto:
    """A GRU node over 32 steps between two linear layers."""
    return _recurrent("gru", 14, 3)


def lstm() -> onnx.ModelProto:
    """An LSTM node over 32 steps between two linear layers."""
    return _recurrent("lstm", 15, 4)


def _recurrent(name: str, seed: int, gates: int) -> onnx.ModelProto:
    b = Block(name, seed, {"x": _SEQUENCE})
    x = b.op("Transpose", b.linear("x", WIDTH, WIDTH), perm=[1, 0, 2])
    w, r = (_uniform(b, (1, gates * WIDTH, WIDTH)) for _ in range(2))
    bias = b.vector(2 * gates * WIDTH)[None]
    y = b.op(name.upper(), x, w, r, bias, hidden_size=WIDTH)
    y = b.op("Transpose", b.op("Squeeze", y, np.array([1], np.int64)), perm=[1, 0, 2])
    b.linear(y, WIDTH, WIDTH, name="branch")
    return b.finish({"branch": _SEQUENCE})


def _uniform(b: Block, shape: tuple[int, ...], size: int = WIDTH) -> np.ndarray:
    """Uniform in +-1 / sqrt(size): what frameworks start recurrent weights from, and Mamba the steps' projection."""
    return b.rng.uniform(-(size**-0.5), size**-0.5, shape).astype(np.float32)


def gru_unrolled() -> onnx.ModelProto:
    """The GRU of 8 steps written out in MatMul, Add, Sigmoid, Tanh and Mul."""
    steps = 8
    b = Block("gru_unrolled", 16, {"x": (1, steps, WIDTH)})
    w, r = _uniform(b, (WIDTH, 3 * WIDTH)), _uniform(b, (WIDTH, 3 * WIDTH))
    bias_w, bias_r = b.vector(3 * WIDTH), b.vector(3 * WIDTH)
    sizes = np.array([WIDTH] * 3, np.int64)
    h, outputs = b.constant(np.zeros((1, WIDTH), np.float32)), []
    for t in range(steps):
        x_t = b.op("Gather", "x", np.array(t, np.int64), axis=1)
        given = b.many("Split", b.op("Add", b.op("MatMul", x_t, w), bias_w), sizes, outputs=3, axis=1)
        kept = b.many("Split", b.op("Add", b.op("MatMul", h, r), bias_r), sizes, outputs=3, axis=1)
        (z_x, r_x, n_x), (z_h, r_h, n_h) = given, kept
        update, reset = (b.op("Sigmoid", b.op("Add", p, q)) for p, q in ((z_x, z_h), (r_x, r_h)))
        new = b.op("Tanh", b.op("Add", n_x, b.op("Mul", reset, n_h)))
        h = b.op("Add", new, b.op("Mul", update, b.op("Sub", h, new)))
        outputs.append(b.op("Unsqueeze", h, np.array([1], np.int64)))
    b.op("Concat", *outputs, axis=1, name="branch")
    return b.finish({"branch": (1, steps, WIDTH)})


def message_passing() -> onnx.ModelProto:
    """Two rounds on a graph of 48 nodes and 192 edges: Gather, MatMul, ReLU, ScatterND add, update."""
    nodes, edges = 48, 192
    b = Block("message_passing", 17, {"x": (nodes, WIDTH)})
    source = b.rng.integers(0, nodes, edges).astype(np.int64)
    target = np.sort(b.rng.integers(0, nodes, edges)).astype(np.int64)
    degree = np.maximum(np.bincount(target, minlength=nodes), 1)[:, None]
    state = "x"
    for index in range(2):
        message = b.op("Relu", b.linear(b.op("Gather", state, source, axis=0), WIDTH, WIDTH))
        empty = np.zeros((nodes, WIDTH), np.float32)
        summed = b.op("ScatterND", empty, target[:, None], message, reduction="add")
        mean = b.op("Mul", summed, (1.0 / degree).astype(np.float32))
        joined = b.op("Concat", state, mean, axis=1)
        state = b.op("Relu", b.linear(joined, 2 * WIDTH, WIDTH), name="branch" if index else "")
    return b.finish({"branch": (nodes, WIDTH)})


def fourier_mixing() -> onnx.ModelProto:
    """A DFT along tokens as two MatMuls, a linear layer on (re, im), and the inverse as two more (spectral mixing)."""
    b = Block("fourier_mixing", 18, {"x": _SEQUENCE})
    angle = 2 * np.pi * np.outer(np.arange(COUNT), np.arange(COUNT)) / COUNT
    cosine, sine = (f(angle).astype(np.float32) / np.float32(np.sqrt(COUNT)) for f in (np.cos, np.sin))
    columns = b.op("Transpose", "x", perm=[0, 2, 1])
    real, imaginary = (b.op("Transpose", b.op("MatMul", columns, m), perm=[0, 2, 1]) for m in (cosine, -sine))
    mixed = b.op("Relu", b.linear(b.op("Concat", real, imaginary, axis=2), 2 * WIDTH, 2 * WIDTH))
    halves = b.many("Split", mixed, np.array([WIDTH, WIDTH], np.int64), outputs=2, axis=2)
    back = [
        b.op("MatMul", b.op("Transpose", v, perm=[0, 2, 1]), m) for v, m in zip(halves, (cosine, sine), strict=True)
    ]
    b.op("Transpose", b.op("Sub", *back), perm=[0, 2, 1], name="branch")
    b.op("Add", "x", "branch", name="y")
    return b.finish({"branch": _SEQUENCE, "y": _SEQUENCE})


def haar_wavelet() -> onnx.ModelProto:
    """Two levels of a Haar transform along tokens as MatMul, a linear layer, and the inverse."""
    b = Block("haar_wavelet", 19, {"x": _SEQUENCE})
    transform = _haar(COUNT)
    y = b.op("MatMul", b.op("Transpose", "x", perm=[0, 2, 1]), transform.T.copy())
    y = b.op("Relu", b.linear(b.op("Transpose", y, perm=[0, 2, 1]), WIDTH, WIDTH))
    y = b.op("MatMul", b.op("Transpose", y, perm=[0, 2, 1]), transform)
    b.op("Transpose", y, perm=[0, 2, 1], name="branch")
    b.op("Add", "x", "branch", name="y")
    return b.finish({"branch": _SEQUENCE, "y": _SEQUENCE})


def _haar(size: int) -> np.ndarray:
    """Orthonormal, float32[size, size]: half of the rows are details, the rest is split once more."""
    pairs = np.kron(np.eye(size // 2), [1.0, 1.0]) / np.sqrt(2.0)
    details = np.kron(np.eye(size // 2), [1.0, -1.0]) / np.sqrt(2.0)
    half = size // 2
    second = np.concatenate(
        [np.kron(np.eye(half // 2), [1.0, 1.0]), np.kron(np.eye(half // 2), [1.0, -1.0])]
    ) / np.sqrt(2.0)
    return np.concatenate([second @ pairs, details]).astype(np.float32)


def encoder() -> onnx.ModelProto:
    """A transformer encoder of 4 layers, 256 wide, over 128 tokens."""
    b = Block("encoder", 20, {"x": (1, 128, 256)})
    x = "x"
    for index in range(4):
        x = _transformer_layer(b, x, 128, 256, index + 1)
    b.op("Identity", b.layer_norm(x, 256), name="branch")
    return b.finish({"branch": (1, 128, 256)})


def _sample(seed: int, count: int = COUNT, width: int = WIDTH) -> dict[str, np.ndarray]:
    return {"x": tokens(seed, count, width)}


_fixture = partial(Fixture, sample=_sample, channel_axis=2)
FIXTURES = (
    _fixture("vit_block", vit_block, branches=("attention", "mlp")),
    _fixture("linear_attention", linear_attention),
    _fixture("state_space", state_space, sample=partial(_sample, count=16)),
    _fixture("gru", gru),
    _fixture("lstm", lstm),
    _fixture("gru_unrolled", gru_unrolled, sample=partial(_sample, count=8)),
    Fixture("message_passing", message_passing, lambda seed: {"x": tokens(seed, 48, WIDTH)[0]}),
    _fixture("fourier_mixing", fourier_mixing),
    _fixture("haar_wavelet", haar_wavelet),
)
ENCODER = _fixture("encoder", encoder, sample=partial(_sample, count=128, width=256))
