"""Bad input is one line and an exit code, never a traceback, and nothing half-written stays behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edgert import cli
from tests import bundle_example as example
from tests.e2e.bad_input import MODEL, external_weight, images, refuse, save_model

RELU = helper.make_node("Relu", ["x"], ["y"], "act")
ADD_W = helper.make_node("Add", ["x", "w"], ["y"], "add")
NOISE = np.random.default_rng(0).bytes(4096)
TIME_LIMIT_S = 120


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a case."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle, converted without data."""
    path = tmp_path_factory.mktemp("digits") / "digits.edge"
    assert cli.main(["convert", str(MODEL), "-o", str(path), "--quiet"]) == 0
    return path


MODEL_FILES: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "cut_off.onnx": (lambda p: p.write_bytes(MODEL.read_bytes()[:200_000]), 4, "not a readable ONNX file.*cut off"),
    "noise.onnx": (lambda p: p.write_bytes(NOISE), 4, "noise.onnx: not a readable ONNX file"),
    "empty.onnx": (lambda p: p.write_bytes(b""), 4, "empty.onnx: holds no graph"),
    "operator.onnx": (
        lambda p: save_model(p, [helper.make_node("Reluu", ["x"], ["y"], "act")]),
        4,
        "operator.onnx: node 'act': unknown operator 'Reluu'; did you mean 'Relu'",
    ),
    "domain.onnx": (
        lambda p: save_model(p, [helper.make_node("Fused", ["x"], ["y"], "f", domain="com.acme")], domain="com.acme"),
        4,
        "node 'f': operator 'Fused' of the domain 'com.acme' is not standard ONNX; export the model without",
    ),
    "missing.onnx": (
        lambda p: save_model(p, [ADD_W], initializers=[external_weight("gone.bin")]),
        4,
        "external data 'gone.bin' .tensor 'w'. is missing; put that file beside the model",
    ),
    "leaving.onnx": (
        lambda p: save_model(p, [ADD_W], initializers=[external_weight("../secret.bin")]),
        4,
        "'../secret.bin', which leaves the model's folder; that is refused",
    ),
    "absolute.onnx": (
        lambda p: save_model(p, [ADD_W], initializers=[external_weight("/etc/passwd")]),
        4,
        "'/etc/passwd', which leaves the model's folder",
    ),
    "dynamic.onnx": (
        lambda p: save_model(p, [RELU], shape=["N", "time"]),
        2,
        r"input 'x' has no fixed size on axis .*1 \('time'\); fix it with: --shape x=1,224",
    ),
    "folder.onnx": (
        lambda p: p.mkdir(),
        4,
        "folder.onnx: is a folder, not a model file; accepted are .onnx, .tflite and",
    ),
    "pickled.pt2": (lambda p: p.write_bytes(NOISE), 4, "unpickles parts of a .pt2 file.*--trust-pickle"),
    "checkpoint.pt": (lambda p: p.write_bytes(NOISE), 4, "is a checkpoint without the network"),
    "noise.tflite": (lambda p: p.write_bytes(NOISE), 4, "noise.tflite: not a .tflite file .*mark TFL3"),
    "noise.bin": (lambda p: p.write_bytes(NOISE), 4, "unknown kind of model file '.bin'; accepted are .onnx"),
    "bundle.edge": (lambda p: p.write_bytes(NOISE), 4, "is a bundle already"),
    "gone.onnx": (lambda p: None, 4, "gone.onnx: no such file"),
    "n" * 300 + ".onnx": (lambda p: None, 4, "name too long"),
}


@pytest.mark.parametrize("name", MODEL_FILES, ids=lambda name: name[:20])
def test_convert_refuses_the_model(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    make, status, expected = MODEL_FILES[name]
    make(place / name)
    refuse(capsys, place, ["convert", name, "-o", "net.edge"], status, expected)


@pytest.mark.parametrize("verb", ["inspect", "run", "profile"])
@pytest.mark.parametrize("name", ["cut_off.onnx", "noise.onnx", "empty.onnx", "leaving.onnx", "folder.onnx"])
def test_other_verbs_refuse_the_model(place: Path, capsys: pytest.CaptureFixture[str], verb: str, name: str) -> None:
    MODEL_FILES[name][0](place / name)
    np.save(place / "x.npy", images(1))
    more = {"run": ["--input", "x.npy", "--output", "y.npz"], "profile": ["-o", "record.json"]}.get(verb, [])
    text = refuse(capsys, place, [verb, name, *more], 4, "^edgert: ")
    assert len(text.splitlines()) == 1


CALIBRATION: dict[str, tuple[dict[str, np.ndarray] | bytes, str]] = {
    "shape.npz": ({"x": images()[:, :, :16]}, r"'image' expects \[1, 1, 32, 32\] float, got \[1, 1, 16, 32\]"),
    "type.npz": ({"x": images().astype(complex)}, "'image' expects float, got complex128; add a cast step"),
    "nan.npz": ({"x": np.where(images() > 0.999, np.nan, images()).astype(np.float32)}, "holds NaN or infinity"),
    "none.npz": ({"x": images(0)}, "none.npz: holds no samples"),
    "key.npz": ({"z": images()}, "needs x or images, or the model's inputs 'image' as members, found z"),
    "objects.npz": ({"x": np.array([{}], object)}, "holds Python objects, which are never unpickled"),
    "labels.npz": ({"x": images(), "y": np.arange(5)}, "'labels' has 5 samples, the first input 8"),
    "noise.npz": (NOISE, "noise.npz: not a readable .npz file"),
    "noise.json": (NOISE, "noise.json: not readable as JSON"),
    "deep.json": (b"[" * 100_000, "deep.json: not readable as JSON"),
    "data.txt": (b"", "unknown kind of data; allowed: .npz"),
}


@pytest.mark.parametrize("name", CALIBRATION)
def test_convert_refuses_the_calibration_data(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    content, expected = CALIBRATION[name]
    if isinstance(content, bytes):
        (place / name).write_bytes(content)
    else:
        np.savez(place / name, **content)  # type: ignore[arg-type]
    refuse(capsys, place, ["convert", MODEL, "--calib", name, "-o", "net.edge"], 4, expected)


def test_convert_refuses_a_folder_or_nothing_as_calibration_data(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "data").mkdir()
    (place / "data.npz").mkdir()
    words = ["convert", MODEL, "-o", "net.edge", "--calib"]
    refuse(capsys, place, [*words, "data"], 4, "data: no images in it.*one sub-folder per class is expected")
    refuse(capsys, place, [*words, "data.npz"], 4, "data.npz: is a folder, a .npz file is expected")
    refuse(capsys, place, [*words, "gone.npz"], 4, "gone.npz: no such file or folder")


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (["-t", "hoost"], 2, "no target 'hoost'; did you mean 'host'"),
        (["--precision", "int9"], 2, "--precision: unknown value 'int9'; did you mean 'int8'"),
        (["--metric", "top9"], 2, "unknown metric 'top9'; did you mean 'top5'"),
        (["--shape", "imag=1,1,32,32"], 2, "--shape names 'imag'; the model's inputs are: 'image'"),
        (["--shape", "image=1,1,32"], 2, "the input has 4 axes .*, 3 were given"),
        (["--shape", "image=a"], 2, "cannot read the shape 'image=a'; write e.g. image=1,3,320,320"),
        (["--calib-samples", "0"], 2, "--calib-samples: must be at least 1, got 0"),
        (["--seed", "-1"], 2, "--seed: must be a whole number of at least 0"),
        (["--max-dorp", "1"], 2, "unrecognized arguments: --max-dorp"),
        (["--recipe", "key.toml"], 2, r"key.toml: \[data\]: unknown key 'calibb'; did you mean 'calib'"),
        (["--recipe", "broken.toml"], 2, "broken.toml: not valid TOML"),
        (["--recipe", "deep.toml"], 2, "deep.toml: not valid TOML: nested too deeply"),
        (["--recipe", "noise.toml"], 2, "noise.toml: cannot be read"),
        (["--recipe", "gone.toml"], 2, "gone.toml: no such file"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_convert_refuses_the_options(
    place: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, expected: str
) -> None:
    (place / "key.toml").write_text('schema = 1\n[data]\ncalibb = "x"\n')
    (place / "broken.toml").write_text("schema = 1\n[model")
    (place / "deep.toml").write_text("schema = 1\na = " + "[" * 100_000)
    (place / "noise.toml").write_bytes(NOISE)
    refuse(capsys, place, ["convert", MODEL, "-o", "net.edge", *words], status, expected)


@pytest.mark.parametrize(
    ("output", "status", "expected"),
    [
        ("filled", 2, "--output filled: the folder is not empty; name a new one"),
        ("net.pb", 2, "edgert writes .edge, .onnx, .tflite or a folder, not '.pb'"),
        ("file/net.edge", 1, "cannot write file/net.edge: .*file is not a folder that can be written to"),
        ("n" * 300 + ".edge", 1, "cannot write n+.edge: File name too long"),
    ],
)
def test_convert_refuses_the_output_before_it_works(
    place: Path, capsys: pytest.CaptureFixture[str], output: str, status: int, expected: str
) -> None:
    (place / "filled").mkdir()
    (place / "filled" / "a").touch()
    (place / "file").touch()
    # the model is bad too: that it is not mentioned shows that the output is looked at first
    refuse(capsys, place, ["convert", "gone.onnx", "-o", output], status, expected)


RUN_INPUTS: dict[str, tuple[np.ndarray | dict[str, np.ndarray] | bytes, str]] = {
    "shape.npy": (images()[:, :, :5], r"input 'image': expected float \[\?, 1, 32, 32\], got float \[8, 1, 5, 32\]"),
    "type.npy": (images().astype(np.float64), r"expected float \[\?, 1, 32, 32\], got double \[8, 1, 32, 32\]"),
    "complex.npy": (images().astype(complex), "'image' is of type complex128, which no model takes"),
    "text.npy": (np.array(["a"]), "'image' is of type <U1, which no model takes"),
    "dates.npy": (np.zeros(2, "M8[s]"), r"'image' is of type datetime64\[s\], which no model takes"),
    "scalar.npy": (np.float32(1), r"expected float \[\?, 1, 32, 32\], got float \[\]"),
    "names.npz": ({"imag": images(), "more": images()}, "holds 'imag', 'more'; the model needs 'image' float"),
    "noise.npy": (NOISE, "noise.npy: not a readable .npy file"),
    "noise.npz": (NOISE, "noise.npz: not a readable npz file .not a zip archive"),
    "objects.npz": ({"x": np.array([{}], object)}, "objects.npz: not a readable npz file"),
}


@pytest.mark.parametrize("name", RUN_INPUTS)
def test_run_refuses_the_input(place: Path, capsys: pytest.CaptureFixture[str], digits: Path, name: str) -> None:
    content, expected = RUN_INPUTS[name]
    if isinstance(content, bytes):
        (place / name).write_bytes(content)
    elif isinstance(content, dict):
        np.savez(place / name, **content)  # type: ignore[arg-type]
    else:
        np.save(place / name, content)
    refuse(capsys, place, ["run", digits, "--input", name, "--output", "y.npz"], 4, expected)


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (["--variant", "onnx-int7"], 4, "no variant 'onnx-int7'; did you mean 'onnx-int8'"),
        (["--threads", "0"], 2, "threads is 0; it must be at least 1"),
        (["--batch-size", "0"], 2, "batch_size is 0; it must be at least 1"),
        (["--timeout", "-1"], 2, "--timeout is -1; it must be above 0 seconds"),
        (["--engine", "ort"], 2, "no engine 'ort'"),
        (["--device", "pi5"], 2, "no device 'pi5'"),
        (["--engine-option", "a=b"], 2, "has no option 'a'"),
        (["--output", "folder"], 1, "cannot write folder: is a folder"),
        (["--input", "folder"], 4, "folder: cannot be read"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_run_refuses_the_options(
    place: Path, capsys: pytest.CaptureFixture[str], digits: Path, words: list[str], status: int, expected: str
) -> None:
    (place / "folder").mkdir()
    np.save(place / "x.npy", images(1))
    refuse(capsys, place, ["run", digits, "--input", "x.npy", *words], status, expected)


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (["--shape", "imag=1,1,32,32"], 2, "--shape names the input 'imag'; did you mean 'image'"),
        (["--shape", "image=1,1,32"], 4, r"expected float \[\?, 1, 32, 32\], got float \[1, 1, 32\]"),
        (["--seed", "-1"], 2, "the seed is -1; it must be at least 0"),
        (["--duration", "long"], 2, "cannot read the duration 'long'; write e.g. 500ms"),
        (["--energy", "sun"], 2, "no energy sensor 'sun'"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_profile_refuses_the_options(
    place: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, expected: str
) -> None:
    refuse(capsys, place, ["profile", MODEL, *words, "-o", "record.json"], status, expected)


def test_a_damaged_bundle_is_refused_by_every_verb(
    place: Path, capsys: pytest.CaptureFixture[str], digits: Path
) -> None:
    with zipfile.ZipFile(digits) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    model = "variants/onnx-fp32/model.onnx"
    files[model] = files[model][:-1] + b"\0"  # the archive's own checksum is right, the manifest's hash is not
    with zipfile.ZipFile(place / "changed.edge", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    np.save(place / "x.npy", images(1))
    expected = f"changed.edge: '{model}' does not match its hash in the manifest; the bundle was damaged"
    refuse(capsys, place, ["run", "changed.edge", "--variant", "onnx-fp32", "--input", "x.npy"], 4, expected)
    refuse(capsys, place, ["profile", "changed.edge", "--variant", "onnx-fp32", "-o", "r.json"], 4, expected)
    refuse(capsys, place, ["unpack", "changed.edge", "-o", "out"], 4, expected)
    for name, data in {"noise.edge": NOISE, "empty.edge": b"", "cut.edge": digits.read_bytes()[:100_000]}.items():
        (place / name).write_bytes(data)
        for words in (["inspect"], ["unpack", "-o", "out"], ["report", "-o", "r.html"], ["run", "--input", "x.npy"]):
            refuse(capsys, place, [words[0], name, *words[1:]], 4, f"{name}: not a readable .edge file")


@pytest.mark.parametrize("text", ["", "garbage", "{}", '{"schema": 1}', "[" * 100_000, '{"schema": 1e999}', "[NaN]"])
def test_a_record_that_is_none(place: Path, capsys: pytest.CaptureFixture[str], digits: Path, text: str) -> None:
    (place / "record.json").write_text(text)
    refuse(capsys, place, ["compare", "record.json", "record.json"], 4, "record.json: .*profile record")
    words = ["report", digits, "--record", "record.json", "-o", "report.html"]
    refuse(capsys, place, words, 4, "record.json: .*profile record")


def test_outputs_of_unpack_and_report(place: Path, capsys: pytest.CaptureFixture[str], digits: Path) -> None:
    (place / "folder").mkdir()
    (place / "folder" / "file").touch()
    refuse(capsys, place, ["unpack", digits, "-o", "folder"], 1, "folder exists and is not an empty folder")
    for verb in ("unpack", "report"):
        refuse(capsys, place, [verb, digits, "-o", "folder/file/x"], 1, "cannot write folder/file/x: ")
        refuse(capsys, place, [verb, digits, "-o", "n" * 300], 1, "cannot write n+: File name too long")


@contextmanager
def small_disk(folder: Path, options: str = "size=64k") -> Iterator[Path]:
    """A file system of 64 kB; skips where mounting is refused."""
    mounted = folder / "disk"
    mounted.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(mounted)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mount is refused: {done.stderr.strip()}")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.parametrize("name", ["net.edge", "net.onnx", "net/"])
def test_a_full_disk_leaves_nothing(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    with small_disk(place) as disk:
        refuse(capsys, place, ["convert", MODEL, "-o", f"{disk}/{name}", "--quiet"], 1, "cannot write .*No space left")


def test_a_full_disk_leaves_nothing_of_the_other_verbs(
    place: Path, capsys: pytest.CaptureFixture[str], digits: Path
) -> None:
    np.save(place / "x.npy", images(2000))
    with small_disk(place) as disk:
        refuse(capsys, place, ["unpack", digits, "-o", disk / "out"], 1, "cannot write .*No space left")
        (disk / "old.npz").write_bytes(b"old")
        words = ["run", digits, "--input", "x.npy", "--output", disk / "old.npz"]
        refuse(capsys, place, words, 1, "cannot write .*No space left")
        assert (disk / "old.npz").read_bytes() == b"old"


def test_an_unwritable_folder_is_seen_before_the_work(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with small_disk(place, "size=64k,ro") as disk:
        words = ["convert", "gone.onnx", "-o", disk / "net.edge"]
        refuse(capsys, place, words, 1, "cannot write .*disk is not a folder that can be written to")


@pytest.mark.skipif(os.name != "posix", reason="resource limits are POSIX")
def test_a_limit_on_file_sizes_leaves_nothing(place: Path, digits: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "from edgert import cli\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "unpack", str(digits), "-o", "out"],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "cannot write out: File too large; nothing was left behind" in done.stderr
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (["convert", "noise.onnx", "-o", "net.edge"], 4, "edgert: noise.onnx: not a readable ONNX file"),
        (["run", "example.edge", "--input", "x.npy", "--output", "y.npz"], 4, "edgert: input 'x': expected float"),
        (["inspect", "noise.edge"], 4, "edgert: noise.edge: not a readable .edge file"),
        (["convert", "-t"], 2, "expected one argument"),
        (["frobnicate"], 2, "no verb 'frobnicate'"),
        ([], 2, "say what to do"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_the_program_itself(place: Path, words: list[str], status: int, expected: str) -> None:
    example.write(place)
    (place / "noise.onnx").write_bytes(NOISE)
    (place / "noise.edge").write_bytes(NOISE)
    np.save(place / "x.npy", np.zeros((1, 9), np.float32))
    before = sorted(place.iterdir())
    command = [sys.executable, "-m", "edgert", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)
    assert done.returncode == status, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert sorted(place.iterdir()) == before


def test_an_error_under_json_is_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", "gone.edge", "--json"]) == 4
    plain = json.loads(capsys.readouterr().out)
    assert plain == {"error": {"type": "BundleError", "text": "gone.edge: no such file", "exit_code": 4}}


def test_a_result_that_cannot_be_printed(place: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "edgert", "targets"]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=TIME_LIMIT_S, check=False
        )
    assert done.returncode == 1
    assert done.stderr.strip() == "edgert: cannot write: No space left on device"
