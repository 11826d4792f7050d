"""What a board keeps: the folder, uploads, environments and keys; all on this computer's own disk."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from edgert.onboard.authorized import AuthorizeError, authorize_key
from edgert.onboard.environments import SetupError, current_environment, make_environment
from edgert.onboard.folder import BoardFolder
from edgert.onboard.uploads import UploadError, find_file, open_upload

DATA = bytes(range(256)) * 100
SHA256 = hashlib.sha256(DATA).hexdigest()
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILJ9kjkfD72YB8y me@laptop"
FIRST, SECOND = "0" * 16, "1" * 16


@pytest.fixture
def folder(tmp_path: Path) -> BoardFolder:
    return BoardFolder(tmp_path / "edgert")


def test_an_upload_goes_on_where_it_stopped(folder: BoardFolder) -> None:
    upload = open_upload(folder, SHA256, len(DATA), "net.edge", 0.0)
    upload.write(DATA[:1000])
    upload.close()
    assert find_file(folder, SHA256, len(DATA), "net.edge") is None
    again = open_upload(folder, SHA256, len(DATA), "net.edge", 0.0)
    assert again.offset == 1000
    again.write(DATA[1000:])
    path = again.finish()
    assert path.read_bytes() == DATA
    assert find_file(folder, SHA256, len(DATA), "net.edge") == path
    assert find_file(folder, SHA256, len(DATA), "other.edge").read_bytes() == DATA  # type: ignore[union-attr]
    assert list(folder.incoming.iterdir()) == []


def test_damaged_bytes_are_thrown_away(folder: BoardFolder) -> None:
    upload = open_upload(folder, SHA256, len(DATA), "net.edge", 0.0)
    upload.write(DATA[:-1] + b"x")
    with pytest.raises(UploadError, match=r"net.edge: what arrived is damaged and was thrown away; send it again"):
        upload.finish()
    again = open_upload(folder, SHA256, len(DATA), "net.edge", 0.0)
    assert again.offset == 0
    again.close()


def test_a_file_that_a_power_cut_shortened_is_not_taken(folder: BoardFolder) -> None:
    upload = open_upload(folder, SHA256, len(DATA), "net.edge", 0.0)
    upload.write(DATA)
    path = upload.finish()
    path.write_bytes(DATA[:10])
    assert find_file(folder, SHA256, len(DATA), "net.edge") is None


@pytest.mark.parametrize(
    ("sha256", "size", "name", "says"),
    [
        ("../" + SHA256[3:], 3, "a", "no SHA-256"),
        (SHA256, 3, "../a", "no name for a file on a board: '../a'"),
        (SHA256, 3, "", "no name for a file"),
        (SHA256, -1, "a", "a file of -1 bytes"),
        (SHA256, 1 << 60, "a", "the board's disk has [0-9]+ left"),
    ],
)
def test_uploads_that_are_refused(folder: BoardFolder, sha256: str, size: int, name: str, says: str) -> None:
    with pytest.raises(UploadError, match=says):
        open_upload(folder, sha256, size, name, 0.0)


def test_two_uploads_of_one_file_do_not_mix(folder: BoardFolder) -> None:
    first = open_upload(folder, SHA256, len(DATA), "net.edge", 0.0)
    with pytest.raises(UploadError, match=r"net.edge is being sent to this board by somebody else"):
        open_upload(folder, SHA256, len(DATA), "net.edge", 0.0)
    with pytest.raises(UploadError, match="more bytes than its"):
        first.write(DATA + b"x")
    first.close()


def test_what_nobody_holds_is_swept_away(folder: BoardFolder) -> None:
    with folder.staging("worker") as held:
        left = folder.tmp / "left"
        left.mkdir()
        code = folder.code / "old"
        code.mkdir(parents=True)
        part = folder.incoming / "part"
        folder.incoming.mkdir()
        part.touch()
        folder.sweep()
        assert held.is_dir()
        assert left.is_dir()  # young: its owner may not have locked it yet
        for place in (held, left, code):
            os.utime(place, (0, 0))
        folder.sweep()
        assert held.is_dir()
        assert not left.exists()
        assert not code.exists()
        assert part.exists()
        folder.sweep(time.time() + 8 * 86400)
        assert not part.exists()
    assert not held.exists()


def write_wheel(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def test_an_environment_of_wheels(folder: BoardFolder, tmp_path: Path) -> None:
    files = {
        "tiny/__init__.py": "VALUE = 7\n",
        "tiny/tests/test_tiny.py": "",
        "tiny-1.data/purelib/more.py": "MORE = 8\n",
    }
    wheel = write_wheel(tmp_path / "tiny-1.whl", {**files, "tiny-1.data/scripts/tiny": "#!python"})
    made = make_environment(folder, FIRST, [wheel], ["*/tests/*"], system_site_packages=False)
    code = "import sys, tiny, more; print(tiny.VALUE, more.MORE, sys.prefix != sys.base_prefix)"
    done = subprocess.run([made.python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["7", "8", "True"]
    assert not (made.site_packages / "tiny/tests").exists()
    assert current_environment(folder) == made
    second = make_environment(folder, SECOND, [], [], system_site_packages=False)
    assert current_environment(folder) == second
    assert not made.folder.exists()


def test_a_set_up_that_fails_leaves_the_earlier_one_in_use(folder: BoardFolder, tmp_path: Path) -> None:
    made = make_environment(folder, FIRST, [], [], system_site_packages=False)
    damaged = tmp_path / "damaged.whl"
    damaged.write_bytes(b"no zip")
    with pytest.raises(SetupError, match=r"damaged.whl is no wheel"):
        make_environment(folder, SECOND, [damaged], [], system_site_packages=False)
    unsafe = write_wheel(tmp_path / "unsafe.whl", {"../../evil.py": ""})
    with pytest.raises(SetupError, match=r"a wheel with the unsafe name '../../evil.py'"):
        make_environment(folder, SECOND, [unsafe], [], system_site_packages=False)
    with pytest.raises(SetupError, match="no name for an environment: '../x'"):
        make_environment(folder, "../x", [], [], system_site_packages=False)
    assert current_environment(folder) == made
    assert not list(tmp_path.rglob("evil.py"))
    assert list(folder.tmp.iterdir()) == []


def test_a_key_is_installed_once(tmp_path: Path) -> None:
    assert authorize_key(KEY, tmp_path)
    assert not authorize_key(KEY + " again", tmp_path)
    path = tmp_path / ".ssh" / "authorized_keys"
    assert path.read_text() == KEY + "\n"
    assert path.stat().st_mode & 0o777 == 0o600
    for line in ("", "command=evil ssh-ed25519 AAAA", KEY + "\nssh-rsa BBBB"):
        with pytest.raises(AuthorizeError, match="no line with a public key"):
            authorize_key(line, tmp_path)
