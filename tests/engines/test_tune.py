"""`edgert run --tune` for real, on the model of `edgert demo` and on plain files."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgert
from edgert import cli
from edgert.bundle import Bundle, Gate, Manifest, write_bundle
from edgert.codec import from_plain
from edgert.commands.tune import forget, tune
from edgert.demo import PREPROCESS
from edgert.devices import connect
from edgert.errors import EngineError, UsageError
from edgert.profiler.candidates import Entry
from edgert.profiler.crew import Crew, Golden
from edgert.runtime.settings import Choice
from tests import bundle_example as example
from tests.e2e.caught_work import save_endless_model
from tests.tflite_example import passing_model

DEMO = Path(edgert.__file__).parent / "demo"
SECONDS = 0.5


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of `edgert demo`, float and int8, in ONNX and (where LiteRT is installed) TFLite."""
    pytest.importorskip("onnx_ir")
    folder = tmp_path_factory.mktemp("tune")
    result = edgert.convert(
        DEMO / "digits.onnx",
        output=folder / "digits.edge",
        calib=str(DEMO / "digits_calib.npz"),
        eval=str(DEMO / "digits_eval.npz"),
        preprocess=PREPROCESS,
        formats=("onnx", "tflite"),
    )
    assert result.gate is Gate.PASSED
    return folder / "digits.edge"


def edited(bundle: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a bundle with another manifest."""
    with Bundle.open(bundle) as opened:
        plain = json.loads(opened.manifest_bytes)
        files = {name: opened.read(name) for name in opened.manifest.files}
    change(plain)
    return write_bundle(folder / "edited.edge", from_plain(Manifest, plain), files)


def command(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = cli.main([str(word) for word in words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_winner_is_stored_used_and_forgotten(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = DEMO / "digits_eval.npz"
    words = ("run", digits, "--tune", "--seconds", SECONDS, "--threads", 1, "--eval", data, "--json")
    status, out, err = command(capsys, *words)
    assert status == 0, err
    result = json.loads(out)
    winner = result["winner"]
    assert result["rows"][0] == winner
    assert Path(result["stored"]).is_file()
    assert "passed" in winner["accuracy"] or "n=900" in winner["accuracy"]
    names = [row["name"] for row in result["rows"]]
    assert len(set(names)) == len(names)
    assert {"onnx-fp32 on onnxruntime, 1 thread", "onnx-int8 on onnxruntime, 1 thread"} <= set(names)
    for row in result["rows"][1:]:
        assert row["left_out"], row

    with edgert.load(digits) as session:
        facts = session.facts()
    choice = winner["choice"]
    assert (session.variant.id, facts["engine"], facts["threads"]) == (choice["variant"], choice["engine"], 1)
    assert facts["tuned"]["used"] is True

    np.save(tmp_path / "x.npy", np.zeros((1, 1, 32, 32), np.float32))
    status, out, err = command(capsys, "run", digits, "--input", tmp_path / "x.npy")
    assert status == 0
    assert f"variant {choice['variant']} on {choice['engine']}" in out
    assert "tuned choice of" in err
    assert "--forget" in err
    status, out, err = command(
        capsys, "profile", digits, "--duration", "0.1s", "--no-layers", "--energy", "none", "--json"
    )
    assert status == 0
    assert json.loads(out)["variant"] == choice["variant"]
    assert "tuned choice of" in err
    status, out, err = command(capsys, "run", digits, "--input", tmp_path / "x.npy", "--untuned")
    assert "variant onnx-int8 on onnxruntime" in out
    assert "tuned" not in err

    assert command(capsys, "run", digits, "--forget")[1] == f"{digits}: forgot the stored choice\n"
    assert command(capsys, "run", digits, "--forget", "--json")[1] == '{\n  "forgot": false\n}\n'
    assert edgert.load(digits).tuned is None


def test_the_table_names_the_winner(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = command(capsys, "run", digits, "--tune", "--seconds", SECONDS, "--threads", 1)
    assert status == 0
    header, _, first, *_ = out.splitlines()
    assert [word for word in ("p50", "p99", "ratio", "accuracy", "left out") if word not in header] == []
    assert "(winner)" in first
    assert "1.000x" in first
    assert "outputs agree" in first


def test_a_variant_whose_gate_failed_never_wins(digits: Path, tmp_path: Path) -> None:
    def fail_int8(plain: dict[str, Any]) -> None:
        for row in plain["variants"]:
            row["gate"] = "failed" if row["precision"] == "int8" else row["gate"]

    result = tune(edited(digits, tmp_path, fail_int8), seconds=SECONDS, threads=1)
    assert (result.winner.choice.variant or "").endswith("fp32")
    reasons = {row.choice.variant: row.left_out for row in result.rows}
    assert reasons["onnx-int8"] == "the accuracy gate failed when the model was converted"


def test_an_undecided_winner_is_named(digits: Path, tmp_path: Path) -> None:
    def undecided(plain: dict[str, Any]) -> None:
        plain["variants"] = [row for row in plain["variants"] if row["id"] == "onnx-int8"]
        plain["variants"][0]["gate"] = "undecided"
        plain["default_variant"] = "onnx-int8"

    result = tune(edited(digits, tmp_path, undecided), seconds=SECONDS, threads=1)
    assert result.winner.choice.variant == "onnx-int8"
    assert any("the accuracy of the winner was undecided at conversion" in note for note in result.notes)


def test_the_gate_on_data_has_the_last_word(digits: Path, tmp_path: Path) -> None:
    """Labels on which the float model is right and int8 is not: the fastest that passes is a float variant."""
    with np.load(DEMO / "digits_eval.npz") as data:
        images = data["x"] if "x" in data else data["images"]
    with edgert.load(digits, variant="onnx-fp32") as exact, edgert.load(digits, variant="onnx-int8") as coarse:
        prepared = [exact.preprocess(image)[0] for image in images]
        labels = [int(exact.run(image)["logits"].argmax()) for image in prepared]
        others = [int(coarse.run(image)["logits"].argmax()) for image in prepared]
    differing = [index for index, (a, b) in enumerate(zip(labels, others, strict=True)) if a != b]
    if not differing:
        pytest.skip("int8 decides like float on every image here")
    chosen = (differing * 60)[:60]
    np.savez(tmp_path / "hard.npz", images=images[chosen], labels=np.array([labels[index] for index in chosen]))
    result = tune(digits, seconds=SECONDS, threads=1, evaluation=str(tmp_path / "hard.npz"))
    assert (result.winner.choice.variant or "").endswith("fp32")
    failed = [row for row in result.rows if "the accuracy gate failed as it runs here" in (row.left_out or "")]
    assert all(row.choice.variant in {"onnx-int8", "tflite-int8"} for row in failed)
    assert "n=60" in result.winner.accuracy


def test_bf16_is_caught_by_the_golden_outputs(digits: Path) -> None:
    pytest.importorskip("openvino")
    with edgert.load(digits, variant="onnx-fp32", engine="openvino", options={"precision": "bf16"}) as session:
        if "bf16" not in session.facts()["node_precisions"]:
            pytest.skip("this CPU computes in float32 whatever is asked")
    with Bundle.open(digits) as bundle:
        golden = Golden(bundle.golden(), "onnx-fp32")
    choices = [Choice("onnx-fp32", "openvino", 1, {"precision": precision}) for precision in ("bf16", "f32")]
    entries = [Entry(choice, "fp32", Gate.NONE, True, False) for choice in choices]
    transport = connect(None)
    with Crew(transport, digits, golden, {}, 0) as crew:
        going_on = crew.qualify(entries, 0.01, 1, lambda done, total: None)
        assert [member.entry for member in going_on] == entries[1:]
        assert "wrong outputs: output 'logits' differs by 0.00" in (crew.members[0].refusal or "")
        assert crew.members[0].client is None
        worker = going_on[0].client
    assert worker is not None
    with pytest.raises(EngineError, match="the worker has ended"):
        worker.call("hello")
    transport.close()


def test_a_plain_onnx_file_is_raced_on_its_engines(tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    model.write_bytes(example.float_model())
    result = tune(model, seconds=SECONDS, threads=1)
    assert result.winner.choice.variant == "onnx"
    assert edgert.load(model).facts()["tuned"]["used"] is True
    assert forget(model)


def test_a_plain_tflite_file_is_raced_on_its_kernels(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    model = tmp_path / "net.tflite"
    model.write_bytes(passing_model())
    result = tune(model, seconds=SECONDS, threads=1)
    assert result.winner.choice.engine == "litert"
    assert {row.left_out for row in result.rows if "latest_features" in row.name} <= {
        "the same as tflite on litert, 1 thread"
    }


def test_a_model_that_crashes_or_is_damaged_has_no_winner(tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    model.write_bytes(b"not a model")
    with pytest.raises(EngineError, match="no engine here runs it and gives its outputs: .*cannot be loaded"):
        tune(model, seconds=SECONDS, threads=1)
    assert edgert_settings() == []


def test_a_candidate_that_never_answers_is_left_out_by_the_time_limit(tmp_path: Path) -> None:
    save_endless_model(tmp_path / "endless.onnx")
    with pytest.raises(EngineError, match="answers did not finish within 2 s and was ended"):
        tune(tmp_path / "endless.onnx", seconds=SECONDS, threads=1, timeout_s=2.0)


def test_a_size_that_varies_must_be_given(tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    nodes = [example.helper.make_node("Relu", ["x"], ["y"])]
    shapes = {"x": (1, [1, "width"])}, {"y": (1, [1, "width"])}
    model.write_bytes(example.onnx_model(nodes, *shapes).SerializeToString())
    with pytest.raises(EngineError, match="--shape x=1,224"):
        tune(model, seconds=SECONDS, threads=1)
    assert tune(model, seconds=SECONDS, threads=1, shapes={"x": (1, 8)}).winner.p50_ms


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--seconds", "0.1"), "--seconds is 0.1; a race needs at least 0.5"),
        (("--seconds", "nan"), "--seconds is nan"),
        (("--threads", "0"), "threads is 0"),
        (("--timeout", "0"), "--timeout is 0"),
        (("--variant", "onnx-int8"), "--tune chooses variant, engine and options itself"),
        (("--engine", "litert"), "--tune chooses variant"),
        (("--untuned",), "--tune chooses variant"),
        (("--forget",), "--tune chooses variant"),
    ],
    ids=str,
)
def test_flags_that_do_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], reason: str
) -> None:
    status, _, err = command(capsys, "run", example.write(tmp_path), "--tune", *words)
    assert (status, reason in err) == (2, True), err


@pytest.mark.parametrize(
    ("words", "reason"),
    [((), "give the arrays to run on with --input"), (("--seconds", "1", "--input", "x.npy"), "belong to --tune")],
    ids=["no input", "seconds alone"],
)
def test_flags_without_a_race(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], reason: str
) -> None:
    status, _, err = command(capsys, "run", example.write(tmp_path), *words)
    assert (status, reason in err) == (2, True), err


def test_a_home_that_cannot_be_written_is_a_note(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGERT_SETTINGS", str(tmp_path / "file" / "settings"))
    status, out, err = command(capsys, "run", digits, "--tune", "--seconds", SECONDS, "--threads", 1)
    assert status == 0
    assert "(winner)" in out
    assert "not stored: cannot write" in err


def test_two_races_at_once_leave_a_whole_setting(tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    model.write_bytes(example.float_model())
    races = [threading.Thread(target=tune, args=(model,), kwargs={"seconds": SECONDS, "threads": 1}) for _ in range(2)]
    for race in races:
        race.start()
    for race in races:
        race.join()
    assert edgert.load(model).facts()["tuned"]["used"] is True
    assert [name for name in edgert_settings() if name.endswith(".part")] == []


def test_integers_that_nobody_has_measured_take_no_part(tmp_path: Path) -> None:
    result = tune(example.write(tmp_path), seconds=SECONDS, threads=1)
    assert result.winner.choice.variant == "onnx-fp32"
    reasons = {row.left_out for row in result.rows if row.choice.variant in {"onnx-int8", "onnx-io8"}}
    assert reasons == {"unverified: its accuracy was never measured; give --eval DATA"}


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no device 'moon:'"):
        tune(example.write(tmp_path), device="moon:")


def edgert_settings() -> list[str]:
    folder = Path(os.environ["EDGERT_SETTINGS"])
    return sorted(os.listdir(folder)) if folder.is_dir() else []
