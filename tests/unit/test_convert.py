"""The converter end to end on the committed digits network: no model of the zoo is needed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import edgert
from edgert.bundle import Bundle, Gate
from edgert.demo import PREPROCESS
from edgert.errors import OutputError, UsageError
from edgert.plugins import ConvertResult
from edgert.recipe import RangeMethod, Recipe
from edgert.target import get_target
from edgert_converters.command import CONVERTER

DEMO = Path(edgert.__file__).parent / "demo"


def _silent(stage: str, done: int, total: int) -> None:
    """Progress nobody reads."""


def _recipe(output: Path, **changes: object) -> Recipe:
    base = Recipe(
        model=DEMO / "digits.onnx",
        output=output,
        calib=str(DEMO / "digits_calib.npz"),
        eval=str(DEMO / "digits_eval.npz"),
        preprocess=PREPROCESS,
        calib_samples=40,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def _convert(output: Path, **changes: object) -> ConvertResult:
    return CONVERTER.convert(_recipe(output, **changes), _silent)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> ConvertResult:
    """One ordinary conversion, shared by the tests that only look at it."""
    return _convert(tmp_path_factory.mktemp("converted") / "digits.edge", precisions=("int8", "fp16"))


def test_summary_has_the_promised_shape(converted: ConvertResult) -> None:
    summary = json.loads(json.dumps(converted.summary, allow_nan=False))
    assert summary["gate"] == "passed"
    assert summary["reference"]["metric"] == "top1"
    assert summary["reference"]["n"] == 900
    assert [v["id"] for v in summary["variants"]] == [
        "onnx-fp32",
        "tflite-fp32",
        "onnx-int8",
        "tflite-int8",
        "onnx-fp16",
    ]
    for variant in summary["variants"]:
        assert set(variant) >= {"id", "format", "precision", "bytes", "value", "agree", "drop", "ci95"}
    rows = {variant["id"]: variant for variant in summary["variants"]}
    for variant_id in ("onnx-int8", "tflite-int8"):
        assert rows[variant_id]["agree"] > 0.98
        assert rows[variant_id]["bytes"] < 0.4 * rows["onnx-fp32"]["bytes"]
    assert len(summary["worst_layers"]) == 5


def test_bundle_holds_what_a_device_needs(converted: ConvertResult) -> None:
    with Bundle.open(converted.written[0]) as bundle:
        manifest = bundle.manifest
        assert manifest.default_variant == "onnx-int8", "int8 passed, so it is what runs"
        assert manifest.preprocess == PREPROCESS
        int8 = manifest.variant("onnx-int8")
        assert int8.gate is Gate.PASSED
        assert int8.requantize == "fp32"
        macs = [sum(layer.macs for layer in v.layers) for v in (int8, manifest.variant("onnx-fp32"))]
        assert macs[0] == macs[1] >= 23_421_568
        assert int8.peak_activation_bytes < manifest.variant("onnx-fp32").peak_activation_bytes
        golden = bundle.golden()
        report = bundle.report()
    assert golden["input/image"].shape == (4, 1, 1, 32, 32)
    assert report["calibration"] == {"spec": "digits_calib.npz", "n": 40, "ranges": "mse"}
    session = edgert.load(converted.written[0])
    for image, logits in zip(golden["input/image"], golden["onnx-int8/logits"], strict=True):
        assert np.array_equal(session.run(image)["logits"], logits)


def test_integers_go_in_and_come_out(converted: ConvertResult) -> None:
    session = edgert.load(converted.written[0], variant="onnx-int8")
    image = np.load(DEMO / "digits_eval.npz")["x"][:1, None].astype(np.float32) / 255
    quant = session.inputs[0].quant
    assert quant is not None
    integers = np.clip(np.rint(image / np.float32(quant.scale[0])) + quant.zero_point[0], 0, 255).astype(np.uint8)
    result = session.run(integers, quantized=True)["logits"]
    assert result.dtype == np.uint8
    assert result.argmax() == session.run(image)["logits"].argmax()


def test_same_input_gives_the_same_bytes(tmp_path: Path, converted: ConvertResult) -> None:
    again = _convert(tmp_path / "digits.edge", precisions=("int8", "fp16"))
    assert again.written[0].read_bytes() == converted.written[0].read_bytes()


def test_one_file_and_a_folder_hold_ordinary_models(tmp_path: Path) -> None:
    single = _convert(tmp_path / "net.onnx", eval=None)
    assert [path.name for path in single.written] == ["net.onnx", "net.report.json"]
    folder = _convert(tmp_path / "files", eval=None)
    names = ["onnx-fp32.onnx", "onnx-int8.onnx", "report.json", "tflite-fp32.tflite", "tflite-int8.tflite"]
    assert sorted(path.name for path in folder.written) == names
    for path in (single.written[0], *folder.written[:2]):
        onnx.checker.check_model(onnx.load(path), full_check=True)
    plain = _convert(tmp_path / "net.tflite", eval=None).written[0].read_bytes()
    assert plain == (tmp_path / "files" / "tflite-int8.tflite").read_bytes()
    assert edgert.load(tmp_path / "net.tflite").inputs[0].shape == (None, 32, 32, 1)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_without_data_int8_is_marked_unverified(tmp_path: Path) -> None:
    result = _convert(tmp_path / "net.edge", calib=None, eval=None, preprocess=())
    assert result.gate is Gate.NONE
    assert any("unverified" in m and "--calib" in m and "--eval" in m for m in result.messages)
    with Bundle.open(result.written[0]) as bundle:
        assert bundle.manifest.default_variant == "onnx-fp32"
        assert "unverified" in bundle.manifest.variant("onnx-int8").notes


def test_float16_is_made_unasked_only_where_an_engine_computes_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = get_target("host")
    fast = replace(host, engines=(replace(host.engines[0], computes_fp16=True),))
    monkeypatch.setattr("edgert_converters.command.get_target", lambda name: fast)
    rows = _convert(tmp_path / "net.edge", eval=None).summary["variants"]
    assert [(row["id"], row["notes"]) for row in rows][-1] == ("onnx-fp16", [])


def test_a_failed_gate_names_layers_and_their_gain(tmp_path: Path) -> None:
    result = _convert(tmp_path / "net.edge", ranges=RangeMethod.PERCENTILE, percentile=60.0)
    assert result.gate is Gate.FAILED
    gains = [row["gain_db"] for row in result.summary["worst_layers"]]
    assert gains == sorted(gains, reverse=True)
    assert any(message.startswith("keeping '") and "float gains" in message for message in result.messages)
    with Bundle.open(result.written[0]) as bundle:
        assert bundle.manifest.default_variant == "onnx-fp32", "what failed is not what runs"
        assert bundle.report()["gate"] == "failed"


def test_two_encodings_hold_the_same_integers(tmp_path: Path) -> None:
    result = _convert(tmp_path / "net.edge", targets=("host", "raspberry-pi-5"), eval=None)
    ids = [variant["id"] for variant in result.summary["variants"]]
    assert ids == ["onnx-fp32", "tflite-fp32", "onnx-int8", "tflite-int8", "onnx-int8-s8"]
    with Bundle.open(result.written[0]) as bundle:
        golden = bundle.golden()
    assert np.abs(golden["onnx-int8/logits"] - golden["onnx-int8-s8/logits"]).max() < 0.2
    assert np.array_equal(golden["onnx-int8/logits"], golden["tflite-int8/logits"])


def test_a_quantized_model_keeps_every_scale_and_integer(tmp_path: Path) -> None:
    first = _convert(tmp_path / "first.onnx", eval=None).written[0]
    kept = CONVERTER.convert(Recipe(model=first, output=tmp_path / "kept.onnx"), _silent)
    assert any("every scale and integer is kept" in message for message in kept.messages)

    def constants(path: Path) -> dict[str, bytes]:
        graph = onnx.load(path).graph
        return {t.name: onnx.numpy_helper.to_array(t).tobytes() for t in graph.initializer if "__" in t.name}

    assert constants(kept.written[0]) == constants(first)
    again = _convert(tmp_path / "again.edge", model=first, requantize=True)
    assert again.gate is not Gate.FAILED
    assert [v["id"] for v in again.summary["variants"]][::2] == ["onnx-fp32", "onnx-int8"]


def test_outputs_that_cannot_be_written_are_refused_first(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "x").touch()
    with pytest.raises(UsageError, match="the folder is not empty"):
        _convert(full)
    with pytest.raises(UsageError, match=r"edgert writes .edge, .onnx, .tflite or a folder, not '.pb'"):
        _convert(tmp_path / "net.pb")
    with pytest.raises(OutputError, match="is not a folder that can be written to"):
        _convert(full / "x" / "net.edge")


def test_unknown_precision(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown precision 'int4'; allowed: auto, int8, int8-per-tensor"):
        _convert(tmp_path / "net.edge", precisions=("int4",))


def test_a_pytorch_module_is_converted_from_python(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, stride=2), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten()
    )
    x = np.random.default_rng(0).standard_normal((30, 1, 9, 9)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    result = edgert.convert(
        module, example_inputs=(torch.from_numpy(x[:1]),), eval=str(tmp_path / "data.npz"), output=tmp_path / "net.edge"
    )
    session = edgert.load(result.written[0], variant="onnx-fp32")
    expected = module.eval()(torch.from_numpy(x[:1])).detach().numpy()
    assert np.allclose(next(iter(session.run(x[:1]).values())), expected, atol=1e-5)


def test_options_of_the_python_call_are_checked(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="convert has no option 'calibs'; did you mean 'calib'"):
        edgert.convert(DEMO / "digits.onnx", calibs="x.npz")
    result = edgert.convert(str(DEMO / "digits.onnx"), output=str(tmp_path / "net.edge"))
    assert result.written == (tmp_path / "net.edge",)


def test_a_precision_that_only_tflite_has(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"dynamic exists as TFLite only; add --format tflite \(ONNX: Dynamic"):
        _convert(tmp_path / "net.edge", precisions=("dynamic",), formats=("onnx",))


def test_a_precision_that_only_onnx_has(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"int4-block32 exists as ONNX only; add --format onnx \(TFLite: LiteRT"):
        _convert(tmp_path / "net.edge", precisions=("int4-block32",), formats=("tflite",))


def test_a_file_of_a_kind_that_was_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"net.tflite is a .tflite file, but --format says onnx"):
        _convert(tmp_path / "net.tflite", formats=("onnx",))
