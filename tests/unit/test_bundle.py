from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgert.bundle import SCHEMA, Bundle, load_npz, replace_atomically, write_bundle
from edgert.errors import BundleError, DataError, OutputError
from tests import bundle_example as example

ROOT = Path(__file__).parents[2]


def entries(path: Path) -> list[tuple[zipfile.ZipInfo, bytes]]:
    with zipfile.ZipFile(path) as archive:
        return [(info, archive.read(info)) for info in archive.infolist()]


def rebuild(path: Path, change: Callable[[zipfile.ZipInfo, bytes], list[tuple[zipfile.ZipInfo, bytes]]]) -> Path:
    """The same archive with each entry replaced by what `change` returns."""
    changed = [pair for info, data in entries(path) for pair in change(info, data)]
    with zipfile.ZipFile(path, "w") as archive:
        for info, data in changed:
            archive.writestr(info, data)
    return path


def edit_manifest(path: Path, edit: Callable[[dict], object]) -> Path:
    def change(info: zipfile.ZipInfo, data: bytes) -> list[tuple[zipfile.ZipInfo, bytes]]:
        if info.filename != "manifest.json":
            return [(info, data)]
        manifest = json.loads(data)
        edit(manifest)
        return [(info, json.dumps(manifest).encode())]

    return rebuild(path, change)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return example.write(tmp_path)


def test_what_is_written_is_read(bundle: Path) -> None:
    with Bundle.open(bundle) as opened:
        assert opened.manifest.variants == example.variants()
        for name, data in example.files().items():
            assert opened.read(name) == data
        assert opened.golden() == {}
        assert opened.report() == {}
        assert opened.sha256 == hashlib.sha256(opened.manifest_bytes).hexdigest()


def test_golden_and_report_are_parsed(tmp_path: Path) -> None:
    np.savez(tmp_path / "golden.npz", **{"input/x": np.ones((2, 4), np.float32)})
    extra = {"golden.npz": (tmp_path / "golden.npz").read_bytes(), "report.json": b'{"a": 1}'}
    path = write_bundle(tmp_path / "g.edge", example.manifest(), example.files() | extra)
    with Bundle.open(path) as opened:
        assert opened.golden()["input/x"].shape == (2, 4)
        assert opened.report() == {"a": 1}


def test_the_bytes_depend_on_the_contents_only(tmp_path: Path) -> None:
    first = write_bundle(tmp_path / "a.edge", example.manifest(), example.files())
    backwards = dict(reversed(example.files().items()))
    second = write_bundle(tmp_path / "b.edge", example.manifest(), backwards)
    assert first.read_bytes() == second.read_bytes()
    assert stat.S_IMODE(first.stat().st_mode) == 0o644


def test_entries_are_stored_in_order(bundle: Path) -> None:
    infos = [info for info, _ in entries(bundle)]
    assert [info.filename for info in infos] == sorted(info.filename for info in infos)
    assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}


def test_a_changed_file_is_noticed_when_read(bundle: Path) -> None:
    target = "variants/onnx-int8/model.onnx"
    rebuild(bundle, lambda info, data: [(info, data[:-1] + b"!") if info.filename == target else (info, data)])
    with Bundle.open(bundle) as opened:
        opened.read("variants/onnx-fp32/model.onnx")
        with pytest.raises(BundleError, match="'variants/onnx-int8/model.onnx' does not match its hash"):
            opened.read(target)


def test_a_longer_file_than_the_manifest_says_is_refused(bundle: Path) -> None:
    target = "variants/onnx-int8/model.onnx"
    rebuild(bundle, lambda info, data: [(info, data + b"!") if info.filename == target else (info, data)])
    with Bundle.open(bundle) as opened, pytest.raises(BundleError, match="larger than"):
        opened.read(target)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/../../b", "c:\\x", "a\\b", "folder/", "./a", "a//b", ".."]
)
def test_names_that_leave_the_folder_are_refused(bundle: Path, name: str) -> None:
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(BundleError, match="would leave|plain relative path"):
        Bundle.open(bundle)
    with pytest.raises(ValueError, match="would leave|plain relative path"):
        write_bundle(bundle, example.manifest(), {name: b"x"})


def test_a_symlink_entry_is_refused(bundle: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr(link, b"/etc/passwd")
    with pytest.raises(BundleError, match="'link' is a link or device"):
        Bundle.open(bundle)


def test_compressed_entries_are_refused(bundle: Path) -> None:
    with zipfile.ZipFile(bundle, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", b"\0" * 1_000_000)
    with pytest.raises(BundleError, match="'bomb' is compressed or encrypted"):
        Bundle.open(bundle)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_names_are_refused(bundle: Path) -> None:
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("manifest.json", b"{}")
    with pytest.raises(BundleError, match="stands twice"):
        Bundle.open(bundle)


def test_unlisted_files_are_refused(bundle: Path) -> None:
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("stranger.txt", b"hello")
    with pytest.raises(BundleError, match="does not list.*stranger.txt"):
        Bundle.open(bundle)


@pytest.mark.parametrize("schema", [0, SCHEMA + 1, "1", None])
def test_an_unknown_schema_is_refused(bundle: Path, schema: object) -> None:
    edit_manifest(bundle, lambda manifest: manifest.update(schema=schema))
    with pytest.raises(BundleError, match="manifest schema .*update edgert"):
        Bundle.open(bundle)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda m: m.pop("name"), "at name: missing"),
        (lambda m: m.update(default_variant="no"), "default_variant 'no' is not among"),
        (lambda m: m["variants"].append(m["variants"][0]), "two variants share an id"),
        (lambda m: m["inputs"][0].update(dtype="float128"), r"at inputs\[0\].dtype: 'float128' is not one of"),
        (lambda m: m["inputs"][0].update(shape="4"), r"at inputs\[0\].shape: expected a list"),
        (lambda m: m["variants"][1]["inputs"][0]["quant"].update(scale=[-1.0]), "every scale must be finite"),
        (lambda m: m["files"].pop("variants/onnx-fp32/model.onnx"), "does not list"),
    ],
)
def test_a_wrong_manifest_says_where(bundle: Path, edit: Callable[[dict], object], expected: str) -> None:
    edit_manifest(bundle, edit)
    with pytest.raises(BundleError, match=expected):
        Bundle.open(bundle)


def test_a_variant_file_that_is_missing_is_named_when_read(bundle: Path) -> None:
    target = "variants/onnx-fp32/model.onnx"
    rebuild(bundle, lambda info, data: [] if info.filename == target else [(info, data)])
    with Bundle.open(bundle) as opened, pytest.raises(BundleError, match="is missing; this is not a complete"):
        opened.read(target)


def test_an_archive_without_manifest(tmp_path: Path) -> None:
    path = tmp_path / "a.edge"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", b"")
    with pytest.raises(BundleError, match="'manifest.json' is missing"):
        Bundle.open(path)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"hello" * 100])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.edge"
    path.write_bytes(data)
    with pytest.raises(BundleError, match="not a readable .edge file"):
        Bundle.open(path)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such file"):
        Bundle.open(tmp_path / "no.edge")
    with pytest.raises(BundleError, match="is a folder"):
        Bundle.open(tmp_path)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_truncated_or_flipped_bundle_never_gives_anything_but_its_own_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("bundle")
    raw = bytearray(example.write(folder).read_bytes())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = folder / "damaged.edge"
    path.write_bytes(raw)
    try:
        with Bundle.open(path) as opened:
            for name, contents in example.files().items():
                assert opened.read(name) == contents
    except BundleError as error:
        assert str(path) in str(error)


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", a=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="not a readable npz"):
        load_npz((tmp_path / "p.npz").read_bytes(), "p.npz", DataError)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, bundle: Path) -> None:
    before = bundle.read_bytes()
    script = (
        "import resource, signal, sys; from pathlib import Path; from edgert.bundle import replace_atomically\n"
        "from edgert.errors import OutputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: replace_atomically(Path(sys.argv[1]), bytes(5000))\n"
        "except OutputError as error: sys.exit(str(error))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(bundle)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert "cannot write" in result.stderr
    assert "nothing was left behind" in result.stderr
    assert bundle.read_bytes() == before
    assert os.listdir(tmp_path) == [bundle.name]


def test_an_output_that_is_a_folder_or_below_a_file(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "folder", bundle / "below"):
        with pytest.raises(OutputError, match="cannot write"):
            replace_atomically(target, b"x")
    assert sorted(os.listdir(tmp_path)) == [bundle.name, "folder"]
