from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from edgert import cli
from edgert.bundle import Gate
from edgert.commands.convert import exit_code
from edgert.commands.doctor import doctor
from edgert.commands.execution import parse_engine_options
from edgert.commands.shapes import parse_shapes
from edgert.commands.unpack import unpack
from edgert.errors import OutputError, UsageError
from edgert.profiler.record import load_record, write_record
from edgert.quant import quantize
from tests import bundle_example as example
from tests import record_example


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return example.write(tmp_path)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (5, 4)).astype(np.float32)


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    status = cli.main([*map(str, words), "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return json.loads(captured.out)


def failure(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    status = cli.main([*map(str, words)])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return status, captured.err


def test_run_writes_what_the_session_gives(
    bundle: Path, x: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", x)
    plain = answer(capsys, "run", bundle, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npz")
    with np.load(tmp_path / "y.npz") as written:
        assert_allclose(written["y"], example.reference(x), atol=1e-6)
    assert plain["variant"] == "onnx-fp32"
    assert plain["outputs"][0]["shape"] == [5, 3]
    assert_allclose(plain["outputs"][0]["values"], example.reference(x), atol=1e-6)
    assert cli.main(["run", str(bundle), "--input", str(tmp_path / "x.npy")]) == 0
    assert "y float [5, 3]: " in capsys.readouterr().out


def test_run_quantized_feeds_and_returns_integers(
    bundle: Path, x: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "x.npz", x=quantize(x, example.X_QUANT), y=np.zeros(5))
    words = ["run", bundle, "--variant", "onnx-int8", "--quantized", "--input", tmp_path / "x.npz"]
    inner = answer(capsys, *words)["outputs"][0]
    words[3] = "onnx-io8"
    outer = answer(capsys, *words)["outputs"][0]
    assert inner["dtype"] == outer["dtype"] == "uint8"
    assert inner["values"] == outer["values"]


def test_run_feeds_a_fixed_batch_sample_by_sample(
    x: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.onnx").write_bytes(example.float_model(1))
    for name, array in (("many", x), ("one", x[0])):
        np.save(tmp_path / f"{name}.npy", array)
        plain = answer(capsys, "run", tmp_path / "net.onnx", "--input", tmp_path / f"{name}.npy")
        assert_allclose(
            plain["outputs"][0]["values"], example.reference(x[: plain["outputs"][0]["shape"][0]]), atol=1e-6
        )


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((1, 5), np.float32), r"input 'x': expected float [?, 4], got float [1, 5]"),
        (np.zeros((1, 4)), "got double [1, 4]"),
    ],
)
def test_run_with_a_wrong_input(
    bundle: Path, array: np.ndarray, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", array)
    output = tmp_path / "y.npz"
    status, text = failure(capsys, "run", bundle, "--input", tmp_path / "x.npy", "--output", output)
    assert status == 4
    assert expected in text
    assert not output.exists()


@pytest.mark.parametrize("name", ["no.npy", "text.npy", "text.npz", "pickle.npy", "folder.npy"])
def test_run_with_an_unreadable_input(bundle: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = bundle.parent
    (folder / "text.npy").write_text("hello")
    (folder / "text.npz").write_text("hello")
    (folder / "folder.npy").mkdir()
    np.save(folder / "pickle.npy", np.array([{}], object), allow_pickle=True)
    status, text = failure(capsys, "run", bundle, "--input", folder / name)
    assert status == 4
    assert name in text


def test_run_with_arrays_of_other_names(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(bundle.parent / "x.npz", a=np.zeros(1), b=np.zeros(1))
    status, text = failure(capsys, "run", bundle, "--input", bundle.parent / "x.npz")
    assert (status, text) == (4, "edgert: the input file holds 'a', 'b'; the model needs 'x' float [?, 4]\n")


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip", b"\x00" * 100])
@pytest.mark.parametrize("name", ["net.onnx", "net.edge"])
@pytest.mark.parametrize("verb", ["run", "profile", "inspect"])
def test_damaged_files_are_4(
    verb: str, name: str, damage: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(damage)
    np.save(tmp_path / "x.npy", np.zeros((1, 4), np.float32))
    words = ["--input", tmp_path / "x.npy"] if verb == "run" else []
    status, text = failure(capsys, verb, path, *words)
    assert status == 4
    assert text.startswith("edgert: ")


def test_profile_writes_a_record_that_compare_reads(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["profile", bundle, "--duration", "100ms", "--threads", "1", "-o", tmp_path / "a.json"]
    plain = answer(capsys, *words)
    assert load_record(tmp_path / "a.json").latency.p50_ms == plain["latency"]["p50_ms"]
    assert plain["energy"] is not None or plain["energy_reason"]
    result = answer(capsys, "compare", tmp_path / "a.json", tmp_path / "a.json")
    assert result["regression"] is False
    assert result["ratio"] == 1.0
    assert cli.main(["profile", str(bundle), "--duration", "50ms"]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("latency ", "stages ", "memory ", "energy ", "verdict "))


def test_compare_is_1_on_a_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slow = write_record(tmp_path / "slow.json", record_example.record(15.0, seed=1))
    fast = write_record(tmp_path / "fast.json", record_example.record(10.0))
    assert cli.main(["compare", str(fast), str(slow), "--max-regression", "10"]) == 1
    assert "regression: B is slower by more than the 10 % allowed" in capsys.readouterr().out
    assert cli.main(["compare", str(fast), str(slow), "--max-regression", "60"]) == 0
    assert "not surely by more than the 60 %" in capsys.readouterr().out
    assert cli.main(["compare", str(slow), str(fast)]) == 0
    assert "B is faster" in capsys.readouterr().out
    assert cli.main(["compare", str(slow), str(slow)]) == 0
    assert "no significant difference" in capsys.readouterr().out


def test_inspect_reads_a_bundle_from_its_manifest(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = answer(capsys, "inspect", bundle)
    assert [variant["id"] for variant in plain["variants"]] == ["onnx-fp32", "onnx-int8", "onnx-io8"]
    assert plain["inputs"][0]["name"] == "x"
    assert plain["source"]["name"] == "example.onnx"
    assert cli.main(["inspect", str(bundle), "--variant", "onnx-io8", "--layers"]) == 0
    assert "input   x uint8 [?, 4]" in capsys.readouterr().out


def test_inspect_of_a_real_model_gives_a_reason_for_every_no(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = answer(capsys, "inspect", zoo / "models/resnet20_cifar10.onnx", "-t", "raspberry-pi-5")
    assert plain["operators"]["Conv"] == 19
    assert 40e6 < plain["macs"] < 42e6
    assert list(plain["support"]) == ["raspberry-pi-5"]
    assert all(reason for reasons in plain["support"].values() for reason in reasons.values())


def test_unpack_writes_every_file(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = answer(capsys, "unpack", bundle, "-o", tmp_path / "out")
    assert len(plain["files"]) == 4
    for name, data in example.files().items():
        assert (tmp_path / "out" / name).read_bytes() == data
    assert json.loads((tmp_path / "out" / "manifest.json").read_bytes())["name"] == "example"


def test_unpack_takes_an_empty_folder_and_refuses_any_other(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    unpack(bundle, tmp_path / "out")
    for target in (tmp_path / "out", bundle):
        with pytest.raises(OutputError, match="exists and is not an empty folder"):
            unpack(bundle, target)


def test_unpack_of_a_damaged_bundle_leaves_nothing(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = bytearray(bundle.read_bytes())
    raw[raw.index(example.integer_model()) + 5] ^= 1
    bundle.write_bytes(raw)
    status, text = failure(capsys, "unpack", bundle, "-o", tmp_path / "out")
    assert status == 4
    assert "damaged" in text
    assert os.listdir(tmp_path) == [bundle.name]


def test_unpacked_models_run_with_the_bare_engine(bundle: Path, x: np.ndarray, tmp_path: Path) -> None:
    import onnxruntime

    unpack(bundle, tmp_path / "out")
    session = onnxruntime.InferenceSession(tmp_path / "out/variants/onnx-fp32/model.onnx")
    assert_allclose(session.run(None, {"x": x})[0], example.reference(x), atol=1e-6)


def test_targets_lists_and_shows(capsys: pytest.CaptureFixture[str]) -> None:
    names = [target["name"] for target in answer(capsys, "targets")["targets"]]
    assert "raspberry-pi-5" in names
    assert answer(capsys, "targets", "raspberry-pi-5")["cores"] == 4
    status, text = failure(capsys, "targets", "raspberry-pi-6")
    assert status == 2
    assert "did you mean" in text


def test_doctor_gives_a_remedy_for_each_finding(capsys: pytest.CaptureFixture[str]) -> None:
    checks = doctor()
    assert {"python", "numpy", "engine onnxruntime", "dot-product instructions", "energy rapl"} <= {
        c.name for c in checks
    }
    assert all(check.remedy for check in checks if check.finding)
    status = cli.main(["doctor", "--json"])
    plain = json.loads(capsys.readouterr().out)
    assert status == (1 if plain["findings"] else 0)


@pytest.mark.parametrize(
    ("gate", "strict", "code"),
    [
        (Gate.PASSED, True, 0),
        (Gate.NONE, True, 0),
        (Gate.UNDECIDED, False, 0),
        (Gate.UNDECIDED, True, 1),
        (Gate.FAILED, False, 1),
    ],
)
def test_exit_codes_of_the_gate(gate: Gate, strict: bool, code: int) -> None:
    assert exit_code(gate, strict) == code


def test_convert_without_data_says_how_to_verify(zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, output = zoo / "models/resnet20_cifar10.onnx", tmp_path / "net.edge"
    assert cli.main(["convert", str(model), "-o", str(output), "--ranges", "min-max", "--json"]) == 0
    captured = capsys.readouterr()
    plain = json.loads(captured.out)
    assert plain["gate"] == "none"
    assert {variant["id"] for variant in plain["variants"]} == {
        "onnx-fp32",
        "onnx-int8",
        "tflite-fp32",
        "tflite-int8",
    }
    assert "--calib" in captured.err
    assert "--eval" in captured.err
    assert output.is_file()


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["no.onnx"], 4, "no.onnx"),
        ([], 2, "no model is named"),
        (["no.onnx", "--ranges", "minmax"], 2, "unknown value 'minmax'; did you mean 'min-max'"),
        (["no.onnx", "-t", "raspberry-pi5"], 2, "did you mean 'raspberry-pi-5'"),
    ],
)
def test_convert_refuses(words: list[str], code: int, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = failure(capsys, "convert", *words)
    assert status == code
    assert expected in text


def test_flags_of_pairs() -> None:
    assert parse_engine_options(["a=b", "c=d=e"]) == {"a": "b", "c": "d=e"}
    with pytest.raises(UsageError, match="'ab' has no '='"):
        parse_engine_options(["ab"])
    assert parse_shapes(["x=1,3,2,2", "a=b:0=5"]) == {"x": (1, 3, 2, 2), "a=b:0": (5,)}
    for word in ("x", "x=", "x=1,a", "x=0", "=1"):
        with pytest.raises(UsageError, match="write NAME=1,3,224,224"):
            parse_shapes([word])


def test_arrays_survive_run(bundle: Path, x: np.ndarray) -> None:
    from edgert.commands.run import run

    whole = run(bundle, {"x": x}, threads=1)
    parts = run(bundle, {"x": x}, threads=1, batch_size=2)
    assert_array_equal(whole.outputs["y"], parts.outputs["y"])
