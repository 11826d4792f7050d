"""Networks beyond plain convolution through `edgert convert`: a decoder, a recurrent net, a detector with suppression
inside, a program with a branch and a loop; on real data where they learn or detect."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, version_converter

from edgert.bundle import Bundle
from edgert.runtime.resize import resize_bilinear
from edgert_converters.data.images import decode_image
from edgert_converters.interpreter import Interpreter
from tests.quantization.command_line import edgert
from tests.quantization.conftest import Converted

if TYPE_CHECKING:
    from torch import Tensor, nn

Arrays = dict[str, np.ndarray]

# float32 sums in another order
FLOAT_NOISE = 1e-5


def model_of(bundle: Path, variant: str) -> onnx.ModelProto:
    with Bundle.open(bundle) as opened:
        return onnx.load_from_string(opened.read(opened.manifest.variant(variant).path))


def in_onnxruntime(model: onnx.ModelProto, feed: Arrays) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, feed)]


def in_interpreter(model: onnx.ModelProto, feed: Arrays) -> tuple[list[np.ndarray], tuple[str, ...]]:
    interpreter = Interpreter(ir.from_proto(model))
    return list(interpreter.run(feed).outputs.values()), tuple(unit.op for unit in interpreter.units)


def convert(source: Path, *words: object) -> Converted:
    bundle = source.with_suffix(".edge")
    result = edgert("convert", source, "--json", "-o", bundle, *words)
    assert bundle.is_file(), result.stderr
    return Converted(source, bundle, result.json)


def export(module: nn.Module, example: Tensor, path: Path) -> Path:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        torch.onnx.export(
            module.eval(), (example,), path, input_names=["x"], output_names=["y"], opset_version=18, verbose=False
        )
    return path


def train(module: nn.Module, loss: Callable[[Tensor], Tensor], count: int, steps: int = 120) -> None:
    """Adam over random minibatches; seeded, one thread."""
    import torch

    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        value = loss(torch.randint(0, count, (32,), generator=generator))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()


def test_a_decoder_with_transposed_convolutions_runs_in_int8(zoo: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(1)
    with np.load(zoo / "data" / "mnist_t10k.npz") as data:
        images = data["images"][:1300, None].astype(np.float32) / 255
    np.savez(tmp_path / "calib.npz", x=images[:64])
    np.savez(tmp_path / "eval.npz", x=images[1000:1200], y=images[1000:1200])
    decoder = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()),
        *(nn.ConvTranspose2d(16, 8, 3, 2, 1, output_padding=1), nn.ReLU()),
        *(nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=2), nn.ReLU()),
        *(nn.Conv2d(8, 1, 3, 1, 1), nn.Sigmoid()),
    )
    x = torch.from_numpy(images)
    train(decoder, lambda rows: ((decoder(x[rows]) - x[rows]) ** 2).mean(), 1000)
    source = export(decoder, x[:1], tmp_path / "decoder.onnx")
    done = convert(source, "--calib", tmp_path / "calib.npz", "--eval", tmp_path / "eval.npz")
    assert done.summary["gate"] == "passed"
    model = model_of(done.bundle, "onnx-int8")
    axes = {
        helper.get_node_attr_value(node, "axis")
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and any(a.name == "axis" for a in node.attribute)
        if any(n.op_type == "ConvTranspose" and n.input[1] == node.output[0] for n in model.graph.node)
    }
    assert axes == {1}
    for image in images[1200:1204]:
        found, units = in_interpreter(model, {"x": image[None]})
        assert units == ("Conv", "Conv", "ConvTranspose", "ConvTranspose", "Conv", "Sigmoid")
        (expected,) = in_onnxruntime(model, {"x": image[None]})
        # a step of the output is 1/256; ONNX Runtime sums ConvTranspose in float32
        assert np.abs(found[0] - expected).max() <= 1.5 / 256
        (real,) = in_onnxruntime(onnx.load(source), {"x": image[None]})
        assert np.sqrt(np.mean((found[0] - real) ** 2)) <= 0.02


def test_a_recurrent_keyword_net_keeps_its_accuracy(zoo: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch import nn

    class Keywords(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(10)
            self.rnn = nn.LSTM(10, 24, batch_first=True, bidirectional=True)
            self.head = nn.Sequential(nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 12))

        def forward(self, x: Tensor) -> Tensor:
            y, _ = self.rnn(self.norm(x))
            result: Tensor = self.head(y.mean(dim=1))
            return result

    torch.manual_seed(0)
    torch.set_num_threads(1)
    with np.load(zoo / "data" / "speech_commands_v2_test_mfcc_4890.npz") as data:
        chosen, labels = data["split_calib"].astype(bool), data["labels"].astype(np.int64)
        features = data["mfcc"].astype(np.float32)
    np.savez(tmp_path / "calib.npz", x=features[chosen][:120])
    np.savez(tmp_path / "eval.npz", x=features[~chosen][:600], y=labels[~chosen][:600])
    net = Keywords()
    x, y = torch.from_numpy(features[chosen]), torch.from_numpy(labels[chosen])
    train(net, lambda rows: nn.functional.cross_entropy(net(x[rows]), y[rows]), len(x), steps=360)
    source = export(net, x[:1], tmp_path / "keywords.onnx")
    done = convert(source, "--calib", tmp_path / "calib.npz", "--eval", tmp_path / "eval.npz", "--max-drop", "3")
    reference, int8 = done.variant("onnx-fp32")["value"], done.variant("onnx-int8")
    assert reference > 35  # of 12 classes, after seconds of training: not chance, whatever this processor rounds
    assert int8["agree"] >= 0.95
    assert int8["drop"] <= 3
    model = model_of(done.bundle, "onnx-int8")
    assert "LSTM" in [node.op_type for node in model.graph.node]
    assert any("LSTM" in message and "stays float" in message for message in done.summary["messages"])
    for clip in features[~chosen][600:604]:
        found, units = in_interpreter(model, {"x": clip[None]})
        assert units.count("Gemm") == 2
        np.testing.assert_allclose(found[0], in_onnxruntime(model, {"x": clip[None]})[0], atol=1e-3)


def _priors() -> np.ndarray:
    """Centre and size of UltraFace's boxes for 320 x 240, relative to the image: float32[1, 4420, 4]."""
    sizes = {8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)}
    rows = [
        ((column + 0.5) * stride / 320, (row + 0.5) * stride / 240, size / 320, size / 240)
        for stride, edges in sizes.items()
        for row in range(-(-240 // stride))
        for column in range(-(-320 // stride))
        for size in edges
    ]
    return np.asarray(rows, np.float32)[None]


def _with_suppression(path: Path, target: Path) -> Path:
    """UltraFace with its decoding and NonMaxSuppression as nodes, as detectors are exported."""
    model = version_converter.convert_version(onnx.load(path), 13)
    graph = model.graph
    centres, spans = np.split(_priors(), 2, axis=-1)
    constants = {
        "d/centre": centres * (1 / 0.1) / spans,
        "d/centre_scale": 0.1 * spans,
        "d/spans": spans,
        "d/variance": np.asarray(0.2, np.float32),
        "d/cut": np.asarray([2, 2], np.int64),
        "d/most": np.asarray([20], np.int64),
        "d/iou": np.asarray([0.3], np.float32),
        "d/score": np.asarray([0.6], np.float32),
        "d/one": np.asarray([1], np.int64),
        "d/two": np.asarray([2], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(np.asarray(v, v.dtype), k) for k, v in constants.items())
    graph.node.extend(
        [
            helper.make_node("Split", ["boxes", "d/cut"], ["d/shift", "d/grow"], axis=2),
            helper.make_node("Add", ["d/shift", "d/centre"], ["d/moved"]),
            helper.make_node("Mul", ["d/moved", "d/centre_scale"], ["d/middle"]),
            helper.make_node("Mul", ["d/grow", "d/variance"], ["d/grown"]),
            helper.make_node("Exp", ["d/grown"], ["d/factor"]),
            helper.make_node("Mul", ["d/factor", "d/spans"], ["d/extent"]),
            helper.make_node("Concat", ["d/middle", "d/extent"], ["faces"], axis=2),
            helper.make_node("Slice", ["scores", "d/one", "d/two", "d/two"], ["d/face"]),
            helper.make_node("Transpose", ["d/face"], ["d/by_class"], perm=[0, 2, 1]),
            helper.make_node(
                "NonMaxSuppression",
                ["faces", "d/by_class", "d/most", "d/iou", "d/score"],
                ["selected"],
                name="suppress",
                center_point_box=1,
            ),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("selected", TensorProto.INT64, ["faces", 3]))
    graph.output.append(helper.make_tensor_value_info("faces", TensorProto.FLOAT, [1, 4420, 4]))
    onnx.save(model, target)
    return target


def test_a_detector_with_suppression_inside_finds_the_same_faces(zoo: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(zoo / "data" / "coco_val2017_64_416px.parquet")
    files = table.column("jpeg").to_pylist()[:40]
    images = [resize_bilinear(decode_image(file, "coco"), 240, 320, antialias=True) for file in files]
    x = ((np.stack(images) - 127) / 128).transpose(0, 3, 1, 2)
    np.savez(tmp_path / "calib.npz", x=x[:20].astype(np.float32))
    source = _with_suppression(zoo / "models" / "ultraface_RFB_320_nopost.onnx", tmp_path / "faces.onnx")
    done = convert(source, "--calib", tmp_path / "calib.npz")
    float_model, int8_model = (model_of(done.bundle, name) for name in ("onnx-fp32", "onnx-int8"))
    faces = 0
    for image in x[20:].astype(np.float32):
        expected = in_onnxruntime(onnx.load(source), {"input": image[None]})
        found, _ = in_interpreter(float_model, {"input": image[None]})
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_allclose(found[1], expected[1], rtol=FLOAT_NOISE * 10, atol=FLOAT_NOISE)
        integers, units = in_interpreter(int8_model, {"input": image[None]})
        assert "NonMaxSuppression" not in units
        assert units.count("Conv") >= 40
        theirs = in_onnxruntime(int8_model, {"input": image[None]})
        np.testing.assert_array_equal(integers[0], theirs[0])
        faces += len(expected[0])
    assert faces >= 3  # otherwise nothing was compared


def test_a_program_with_a_branch_and_a_loop_converts_and_runs(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch import nn

    class Program(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            f = torch.relu(self.first(x))
            f = torch.cond(x.mean() > 0, lambda v: v * 2, lambda v: v - 1, (f,))
            loop = torch._higher_order_ops.while_loop
            _, f = loop(lambda i, v: i < 3, lambda i, v: (i + 1, torch.relu(v * 0.5 + 0.1)), (torch.tensor(0), f))
            result: Tensor = self.last(f)
            return result

    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    # both signs of the mean: both branches
    x = np.stack([generator.standard_normal((3, 8, 8)) + (-1) ** i * 0.3 for i in range(16)]).astype(np.float32)
    np.savez(tmp_path / "calib.npz", x=x[:12])
    source = export(Program(), torch.from_numpy(x[:1]), tmp_path / "program.onnx")
    assert {"If", "Loop"} <= {node.op_type for node in onnx.load(source).graph.node}
    done = convert(source, "--calib", tmp_path / "calib.npz")
    float_model, int8_model = (model_of(done.bundle, name) for name in ("onnx-fp32", "onnx-int8"))
    for sample in x[12:]:
        feed = {"x": sample[None]}
        (expected,) = in_onnxruntime(onnx.load(source), feed)
        np.testing.assert_allclose(in_interpreter(float_model, feed)[0][0], expected, atol=FLOAT_NOISE)
        found, units = in_interpreter(int8_model, feed)
        assert units == ("Conv", "Conv")
        np.testing.assert_allclose(found[0], in_onnxruntime(int8_model, feed)[0], atol=FLOAT_NOISE)
        # 12 samples of noise for calibration; a lost branch or loop would be off by the signal itself
        assert np.linalg.norm(found[0] - expected) <= 0.1 * np.linalg.norm(expected)
