"""`edgert convert` for microcontrollers, as a user calls it: bundle, folder, limits of RAM, what is refused and how."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgert import cli
from edgert.bundle import Bundle, Variant
from edgert_converters.importers import import_model
from edgert_converters.interpreter import Interpreter
from edgert_converters.repair import loop
from tests.e2e.bad_input import refuse
from tests.microcontrollers.c_program import STRICT, compile_files, run_program
from tests.microcontrollers.test_exact import MODELS
from tests.unit.test_repair import spoilt_model

BOARD = "qemu-mps2-an386"
TOO_BIG = {
    "kws": r"RAM 17,\d{3} of 16,384 bytes.*--max-ram 16384 takes 1\d,\d{3} bytes, in strips of rows, for no more MACs",
    "vww": r"RAM 56,\d{3} of 16,384 bytes.*(29|3\d),\d{3} bytes of RAM is the least in strips of rows",
    "ic": r"RAM 5\d,\d{3} of 16,384 bytes.*\d\d,\d{3} bytes of RAM is the least in strips of rows",
    "ad": r"flash 28\d,\d{3} of 262,144 bytes: 28\d,\d{3} of constants.*take a smaller model or a board with more mem",
}
LIMIT_S = 20.0

Convert = Callable[..., dict[str, Any]]


@pytest.fixture
def convert(capsys: pytest.CaptureFixture[str]) -> Convert:
    """Runs the command line, which must succeed, and returns what `--json` said."""

    def run(*words: object) -> dict[str, Any]:
        assert cli.main(["convert", *map(str, words), "--json"]) == 0
        said: dict[str, Any] = json.loads(capsys.readouterr().out)
        return said

    return run


def model_of(zoo: Path, name: str) -> Path:
    return zoo / "models" / f"{MODELS[name]}.tflite"


def files_of(bundle: Path, variant: str) -> dict[str, bytes]:
    with Bundle.open(bundle) as opened:
        prefix = f"variants/{variant}/"
        names = [name for name in opened.manifest.files if name.startswith(prefix)]
        return {name.removeprefix(prefix): opened.read(name) for name in names}


def test_bundle_and_folder_hold_the_same_c_soon(convert: Convert, zoo: Path, tmp_path: Path) -> None:
    started = time.process_time()
    said = convert(model_of(zoo, "kws"), "-t", BOARD, "-o", tmp_path / "net.edge")
    assert time.process_time() - started < LIMIT_S
    (row,) = (row for row in said["variants"] if row["id"] == f"c-{BOARD}")
    assert row["fit"]["verdict"] == "FITS"
    assert row["flash_bytes"] == row["fit"]["flash"]["bytes"] < 50_000
    assert row["ram_bytes"] == row["fit"]["ram"]["bytes"] <= 17_920
    ram = [point["ram_bytes"] for point in row["fit"]["curve"]]
    assert ram == sorted(ram, reverse=True)
    assert ram[0] == row["ram_bytes"]
    convert(model_of(zoo, "kws"), "-t", BOARD, "-o", tmp_path / "out/")
    folder = tmp_path / "out" / f"c-{BOARD}"
    inside = files_of(tmp_path / "net.edge", f"c-{BOARD}")
    assert inside.pop("graph.onnx")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == inside
    assert {"model.c", "model.h", "plan.json", "CMakeLists.txt"} <= set(inside)
    assert (tmp_path / "out" / "report.json").is_file()


def test_the_text_is_for_people(convert: Convert, zoo: Path, tmp_path: Path) -> None:
    long_name = tmp_path / f"{'a name of a model that is longer than anybody needs ' * 3}.tflite"
    long_name.write_bytes(model_of(zoo, "kws").read_bytes())
    convert(long_name, "-t", BOARD, "--max-ram", 13_000, "-o", tmp_path / "net.edge")
    files = files_of(tmp_path / "net.edge", f"c-{BOARD}")
    for name, data in files.items():
        if name.endswith((".c", ".h")):
            assert max(map(len, data.decode().splitlines())) <= 120, name
    text = files["model.c"].decode()
    assert "functional_1/activation/Relu: CONV_2D 10x4, stride 2x2, int8[49, 10, 1] -> int8[25, 5, 64]" in text
    assert re.search(r"activation_2/Relu: CONV_2D 1x1, rows 0-\d+ of 25, int8\[25, 5, 64\]", text)


@pytest.mark.slow  # two processes
def test_another_process_writes_the_same_bytes(zoo: Path, tmp_path: Path) -> None:
    for seed in ("1", "2"):
        words = [
            "convert",
            str(model_of(zoo, "ic")),
            "-t",
            BOARD,
            "--max-ram",
            "30000",
            "-o",
            str(tmp_path / seed) + "/",
        ]
        command = [sys.executable, "-m", "edgert", *words, "--quiet"]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONHASHSEED": seed}, timeout=240)
    first, second = (
        {p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in tmp_path.iterdir()
    )
    assert first == second
    assert len(first) > 8


def test_max_ram_takes_strips_and_gives_the_same(convert: Convert, zoo: Path, tmp_path: Path) -> None:
    said = convert(model_of(zoo, "kws"), "-t", BOARD, "--max-ram", 12_000, "-o", tmp_path / "net.edge")
    (row,) = (row for row in said["variants"] if row["format"] == "c")
    assert 10_000 < row["ram_bytes"] <= 12_000
    files = files_of(tmp_path / "net.edge", f"c-{BOARD}")
    program = compile_files(files, "mlperf_tiny_kws_dscnn_int8", tmp_path / "c", STRICT)
    inputs, outputs = (np.load(zoo / "mcu" / f"kws.{kind}.npy") for kind in ("inputs", "outputs_tflm"))
    assert np.array_equal(run_program(program, inputs), outputs.reshape(-1))


def test_max_ram_that_nothing_fits_says_the_smallest(
    capsys: pytest.CaptureFixture[str], zoo: Path, tmp_path: Path
) -> None:
    words = ("convert", model_of(zoo, "kws"), "-t", BOARD, "--max-ram", 4_000, "-o", tmp_path / "net.edge")
    expected = r"TOO BIG for --max-ram 4000: the smallest possible is [\d,]+ bytes .*peak at layer '.+'"
    smallest = refuse(capsys, tmp_path, words, 1, expected).split("possible is ")[1].split()[0].replace(",", "")
    assert cli.main([*map(str, words[:5]), smallest, *map(str, words[6:]), "--quiet"]) == 0


@pytest.mark.parametrize("name", TOO_BIG)
def test_a_small_board_refuses(name: str, capsys: pytest.CaptureFixture[str], zoo: Path, tmp_path: Path) -> None:
    words = ("convert", model_of(zoo, name), "-t", "qemu-microbit", "-o", tmp_path / "net.edge")
    refuse(capsys, tmp_path, words, 1, f"TOO BIG on qemu-microbit: .*{TOO_BIG[name]}")


def test_a_small_model_fits_a_small_board(convert: Convert, zoo: Path, tmp_path: Path) -> None:
    said = convert(model_of(zoo, "micro_speech"), "-t", "qemu-microbit", "-o", tmp_path / "net.edge")
    (row,) = (row for row in said["variants"] if row["format"] == "c")
    assert (row["id"], row["fit"]["verdict"]) == ("c-qemu-microbit", "FITS")


def test_a_float_model_is_quantized_and_its_c_gives_the_graphs_integers(
    convert: Convert, zoo: Path, tmp_path: Path
) -> None:
    with np.load(zoo / "data" / "speech_commands_v2_test_mfcc_4890.npz") as data:
        x = data["mfcc"].astype(np.float32).reshape(-1, 49, 10, 1)
        is_calib = data["split_calib"].astype(bool)
    np.savez(tmp_path / "calib.npz", x=x[is_calib][:64])
    model = zoo / "models" / "mlperf_tiny_kws_dscnn_float.tflite"
    said = convert(model, "-t", BOARD, "--calib", tmp_path / "calib.npz", "-o", tmp_path / "net.edge")
    assert [row["id"] for row in said["variants"]] == ["onnx-fp32", f"c-{BOARD}"]
    program = compile_files(files_of(tmp_path / "net.edge", f"c-{BOARD}"), model.stem, tmp_path / "c", STRICT)
    variant, (got, expected) = _integers(tmp_path / "net.edge", f"c-{BOARD}", program, x[~is_calib][:20])
    assert variant.precision == "int8"
    assert np.array_equal(got, expected)


@pytest.mark.parametrize(("board", "has_fpu"), [(BOARD, True), ("qemu-mps2-an385", False)])
def test_what_auto_gives_always_compiles(
    board: str, has_fpu: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Two of three convolutions cannot be int8: with an FPU they stay float, without the gate says that it failed."""
    monkeypatch.setattr(loop, "CHAIN", ())
    onnx_ir.save(spoilt_model(), tmp_path / "net.onnx")
    x = np.random.default_rng(4).standard_normal((40, 4, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "calib.npz", x=x)
    words = ["net.onnx", "-t", board, "--precision", "auto", "--algorithm", "none", "--max-drop", "5"]
    monkeypatch.chdir(tmp_path)
    assert cli.main(["convert", *words, "--calib", "calib.npz", "-o", "net.edge", "--quiet"]) == (0 if has_fpu else 1)
    files = files_of(tmp_path / "net.edge", f"c-{board}")
    kernels = [layer["kernel"] for layer in json.loads(files["plan.json"])["layers"]]
    assert kernels.count("conv_float") == (2 if has_fpu else 0)
    program = compile_files(files, "net", tmp_path / "c", STRICT)
    variant, (got, expected) = _integers(tmp_path / "net.edge", f"c-{board}", program, x[:8])
    assert variant.precision == "auto"
    assert np.abs(got - expected).max() <= (1 if has_fpu else 0)  # float sums have another order
    if has_fpu:  # the gate passed, so the C is what the bundle gives unless another variant is named
        np.save(tmp_path / "x.npy", x[:1])
        expected_error = (
            rf"variant 'c-{board}' is C for {board} and does not run on this computer; name the board with --d"
        )
        refuse(capsys, tmp_path, ["run", "net.edge", "--input", "x.npy"], 3, expected_error)
        assert cli.main(["run", "net.edge", "--variant", "onnx-fp32", "--input", "x.npy", "--quiet"]) == 0


def _integers(
    bundle: Path, variant_id: str, program: Path, x: NDArray[np.float32]
) -> tuple[Variant, tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """The variant, and int32[N, ...] that a program and the interpreter give for samples [N, C, H, W] or [N, ...]."""
    with Bundle.open(bundle) as opened:
        variant = opened.manifest.variant(variant_id)
        data = opened.read(f"variants/{variant_id}/graph.onnx")
    (bundle.parent / "graph.onnx").write_bytes(data)
    graph = import_model(bundle.parent / "graph.onnx", {}).model
    interpreter, name = Interpreter(graph), str(graph.graph.inputs[0].name)
    source, target = variant.inputs[0].quant, variant.outputs[0].quant
    assert target is not None
    values: NDArray[np.float32] | NDArray[np.int8] = x  # what a first layer in float takes
    if source is not None:
        steps = np.rint(x / np.float32(source.scale[0])) + source.zero_point[0]
        values = np.clip(steps, -128, 127).astype(np.int8)
    is_planar = x.ndim == 4 and variant.inputs[0].shape[1:] != x.shape[1:]
    raw = run_program(program, np.moveaxis(values, 1, -1) if is_planar else values).astype(np.int32)
    got = raw.reshape(len(x), *variant.outputs[0].shape[1:])
    answers = [next(iter(interpreter.run({name: sample[None]}).outputs.values())) for sample in x]
    real = np.asarray(np.concatenate(answers), np.float32)
    expected = np.rint(real / np.float32(target.scale[0])).astype(np.int32) + target.zero_point[0]
    return variant, (got, np.moveaxis(expected, 1, -1) if expected.shape != got.shape else expected)


def _save(path: Path, *operators: str) -> Path:
    """A chain of operators between float tensors of 4 channels."""
    names = ["x", *(f"v{index}" for index in range(len(operators) - 1)), "y"]
    nodes = [
        helper.make_node(operator, [source], [target])
        for operator, source, target in zip(operators, names, names[1:], strict=False)
    ]
    for node in nodes:
        if node.op_type == "LRN":
            node.attribute.append(helper.make_attribute("size", 3))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 2, 2]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("board", "operators", "expected"),
    [
        (
            BOARD,
            ("Relu", "LRN", "Relu"),
            r"node 'v1\w*': LOCAL_RESPONSE_NORMALIZATION cannot become C: there is no kernel",
        ),
        (
            "qemu-mps2-an385",
            ("Sigmoid", "Softmax"),
            r"node '\w+': \w+ computes in float, and qemu-mps2-an385 has no FPU; take",
        ),
    ],
    ids=["no kernel", "no FPU"],
)
def test_what_c_cannot_hold_is_refused_with_the_nodes_name(
    board: str, operators: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = _save(tmp_path / "net.onnx", *operators)
    words = ("convert", model, "-t", board, "--data-free", "--input-range=-1,1", "-o", tmp_path / "net.edge")
    refuse(capsys, tmp_path, words, 4, expected)
