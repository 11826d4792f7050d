"""Keys made by the real ssh-keygen, and bundles signed with them."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgert.commands.sign import sign
from tests import bundle_example as example
from tests.fuzz import mutate

NEEDS_SSH_KEYGEN = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs Debian's openssh-client")


@dataclass(frozen=True, slots=True)
class Keys:
    """A key and a file that trusts it under the name me@example."""

    private: Path
    allowed: Path

    @property
    def public(self) -> Path:
        return self.private.with_name(f"{self.private.name}.pub")


def make_key(folder: Path, name: str = "key", passphrase: str = "", kind: str = "ed25519") -> Keys:
    folder.mkdir(exist_ok=True, parents=True)
    private, allowed = folder / name, folder / f"{name}.allowed"
    words = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", f"{name}@laptop", "-f", str(private)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    allowed.write_text(f'# people\n\nme@example namespaces="edgert" {private.with_name(f"{name}.pub").read_text()}')
    return Keys(private, allowed)


def signed(folder: Path, keys: Keys, release: int = 7) -> Path:
    path = example.write(folder)
    sign(path, key=keys.private, release=release)
    return path


def files_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def replace(path: Path, **contents: bytes | None) -> Path:
    """Writes the archive anew with other contents (None: without the entry), checksums of the zip right.

    Names are keywords, so `manifest`, `signature` and `model` stand for the entries.
    """
    names = {
        "manifest": "manifest.json",
        "signature": "manifest.json.sig",
        "model": "variants/onnx-fp32/model.onnx",
    }
    changed = {**files_of(path), **{names[word]: data for word, data in contents.items()}}
    path.write_bytes(mutate.pack({name: data for name, data in changed.items() if data is not None}))
    return path
