"""`edgert verify` as a user meets it, on the digits network that comes with edgert."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgert
from edgert import cli
from edgert.bundle import Bundle
from edgert.commands.verify import verify
from edgert.demo import PREPROCESS
from edgert.errors import BundleError, DataError, ModelError
from edgert.verification import PEERS, LayerSteps, Mode, NotCompared, Pair, VerifyReport

pytest.importorskip("onnxruntime")
pytest.importorskip("ai_edge_litert")

DEMO = Path(edgert.__file__).parent / "demo"
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("verify") / "digits.edge"
    edgert.convert(
        DEMO / "digits.onnx",
        calib=str(DEMO / "digits_calib.npz"),
        calib_samples=20,
        preprocess=PREPROCESS,
        output=output,
    )
    return output


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    def run(*words: object) -> tuple[int, str, str]:
        try:
            status = cli.main(["verify", *map(str, words)])
        except SystemExit as ended:
            status = int(ended.code or 0)
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return status, out, err

    return run


def pairs(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(pair["b"], pair["mode"]): pair for pair in document["pairs"]}


def test_onnxruntime_and_xnnpack_give_the_interpreters_integers(digits: Path, call: Call) -> None:
    status, out, _ = call(digits, "--json", "--max-steps", "0", "--engine", "onnxruntime", "--engine", "litert-xnnpack")
    document = json.loads(out)
    found = pairs(document)
    assert status == 0, [(key, pair["first_divergence"]) for key, pair in found.items()]
    for engine in ("onnxruntime", "litert-xnnpack"):
        for mode in ("isolated", "end_to_end"):
            pair = found[engine, mode]
            assert (pair["a"], pair["max_steps"], pair["differing_share"]) == ("interpreter", 0, 0)
            assert pair["first_divergence"] is None
            assert pair["same_kernels"]
            assert any(layer["op"] == "Conv" for layer in pair["layers"])
    assert document["samples"] == "4 samples of the bundle's golden inputs"
    assert (document["variant"], document["requantize"]) == ("onnx-int8", "fp32")
    assert document["float"]
    assert all(row["sqnr_db"] > 10 for row in document["float"])


def test_a_divergence_is_shown_and_decides_the_exit_code_only_on_request(digits: Path, call: Call) -> None:
    """LiteRT's reference kernels requantize in fixed point, this bundle in fp32."""
    words = (digits, "--engine", "litert-reference", "--mode", "end_to_end", "--samples", "1")
    status, out, _ = call(*words)
    assert status == 0
    assert "first divergence" in out
    assert "reference kernels" in out
    document = json.loads(call(*words, "--json")[1])
    pair = pairs(document)["litert-reference", "end_to_end"]
    assert pair["max_steps"] > 0
    first = pair["first_divergence"]
    layer = next(row for row in pair["layers"] if row["max_steps"])
    assert first == {"layer": layer["layer"], "op": layer["op"], "steps": layer["max_steps"]}
    assert call(*words, "--max-steps", "0")[0] == 1
    assert call(*words, "--max-steps", pair["max_steps"])[0] == 0


def test_modes_layers_and_given_inputs(digits: Path, call: Call, tmp_path: Path) -> None:
    with Bundle.open(digits) as bundle:
        name = bundle.manifest.inputs[0].name
        golden = bundle.golden()[f"input/{name}"]
    np.savez(tmp_path / "x.npz", **{name: golden[:3]})
    words = (digits, "--input", tmp_path / "x.npz", "--mode", "isolated", "--engine", "onnxruntime")
    status, out, _ = call(*words, "--layers")
    assert status == 0
    assert "3 samples of the given inputs" in out
    assert "end to end" not in out
    assert "QLinearConv" in out
    assert "2 samples" in call(*words, "--samples", "2")[1]


def test_a_plain_file_gets_seeded_random_inputs(digits: Path, call: Call, tmp_path: Path) -> None:
    with Bundle.open(digits) as bundle:
        path = tmp_path / "net.onnx"
        path.write_bytes(bundle.read(bundle.manifest.variant("onnx-int8").path))
    words = (path, "--engine", "onnxruntime", "--json", "--seed", "7", "--samples", "1")
    document = json.loads(call(*words)[1])
    assert "random with seed 7: give real ones with --input" in document["samples"]
    assert all(pair["max_steps"] == 0 for pair in document["pairs"])
    assert document == json.loads(call(*words)[1])


def test_the_tflite_variant_is_compared_as_a_file_of_its_own(digits: Path) -> None:
    with Bundle.open(digits) as bundle:
        assert any(variant.id == "tflite-int8" for variant in bundle.manifest.variants)
    report = verify(digits, variant="tflite-int8", engines=["litert-xnnpack"], modes=[Mode.END_TO_END])
    assert (report.variant, report.requantize) == ("tflite-int8", "fp32")
    assert [(pair.peer, pair.max_steps) for pair in report.pairs] == [("litert-xnnpack", 0)]


def test_a_float_model_has_no_steps(tmp_path: Path, call: Call) -> None:
    status, _, err = call(DEMO / "digits.onnx")
    assert status == 4
    assert "has no integer layers, so there is nothing to compare in steps" in err
    bundle = tmp_path / "float.edge"
    edgert.convert(DEMO / "digits.onnx", precisions=("fp16",), output=bundle)
    with pytest.raises(ModelError, match=r"no int8 variant \(it has .*\), so there is nothing to compare in steps"):
        verify(bundle)


def test_files_that_are_damaged_or_missing(digits: Path, tmp_path: Path, call: Call) -> None:
    cut = tmp_path / "cut.edge"
    cut.write_bytes(digits.read_bytes()[:2000])
    with pytest.raises(BundleError):
        verify(cut)
    wrong = tmp_path / "net.tflite"
    wrong.write_bytes(b"not a flatbuffer at all")
    with pytest.raises(ModelError, match="not a .tflite file"):
        verify(wrong)
    with pytest.raises(ModelError, match="cannot be read"):
        verify(tmp_path / "absent.tflite")
    assert call(tmp_path / "absent.onnx")[0] == 4


def test_words_that_make_no_sense(digits: Path, call: Call) -> None:
    assert call(digits, "--max-steps", "-1")[0] == 2
    assert call(digits, "--mode", "sideways")[0] == 2
    status, _, err = call(digits, "--engine", "tensorrt")
    assert (status, "nothing called 'tensorrt' can be compared" in err) == (2, True)
    status, _, err = call(digits, "--variant", "onnx-int9")
    assert (status, "onnx-int9" in err) == (4, True) or status == 2


def test_inputs_of_another_shape_are_refused(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot take an array of shape"):
        verify(digits, inputs={"x": np.zeros((2, 3), np.float32)})


def test_the_report_names_the_first_layer_in_graph_order() -> None:
    layers = tuple(LayerSteps(f"l{k}", "Conv", steps, min(steps, 1), 10) for k, steps in enumerate((0, 2, 5)))
    pair = Pair(PEERS[0], "1", Mode.END_TO_END, layers, ("kernel",))
    assert pair.first_divergence == layers[1]
    assert (pair.max_steps, pair.differing_share) == (5, 2 / 30)
    skipped = NotCompared(PEERS[1], Mode.ISOLATED, "l0", "Conv", "no TFLite form")
    report = VerifyReport("n", "v", "fp32", "1 sample", 3, "none", (pair,), (skipped,), ())
    document = report.to_json()
    assert document["pairs"][0]["first_divergence"] == {"layer": "l1", "op": "Conv", "steps": 2}
    assert document["not_compared"][0]["reason"] == "no TFLite form"
