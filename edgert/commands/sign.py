"""`edgert sign`: puts a release number and a signature made with the user's SSH key into a bundle."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from edgert.bundle import MAX_RELEASE, write_signed_bundle
from edgert.codec import to_plain
from edgert.commands.console import Console
from edgert.errors import UsageError
from edgert.signing import sign_manifest

__all__ = ["SignedBundle", "add_arguments", "execute", "sign"]


@dataclass(frozen=True, slots=True)
class SignedBundle:
    """Where the signed bundle stands, its release number, and the key that signed it."""

    bundle: str
    release: int
    key: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert sign`."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a .edge file; an older signature is replaced")
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="private key, or the public half of an agent's (default: your first)"
    )
    parser.add_argument(
        "--release", type=int, metavar="N", help="place among releases (default: seconds since 1970 now)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there instead of in place")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    signed = sign(arguments.bundle, key=arguments.key, release=arguments.release, output=arguments.output)
    console.result(to_plain(signed), f"{signed.bundle}  signed with {signed.key}, release {signed.release}")
    return 0


def sign(
    bundle: Path | str, *, key: Path | None = None, release: int | None = None, output: Path | str | None = None
) -> SignedBundle:
    """Signs a bundle whose files are whole, in place or into `output`; it is replaced once everything is on disk.

    The manifest gets the release number, so its SHA-256 changes; no file beside it does.

    Args:
        bundle: the .edge file.
        key: see edgert.signing.sign_manifest.
        release: place among releases; by default the seconds since 1970, so that what is signed later is newer.
        output: where the signed bundle goes.

    Raises:
        BundleError: the bundle is damaged; nothing is signed.
        UsageError: no such key, or a release number out of range.
        SigningError: ssh-keygen did not sign.
        MissingToolError: no ssh-keygen of OpenSSH 8.1 or newer.
        OutputError: the file cannot be written; nothing is left behind.
    """
    number = int(time.time()) if release is None else release
    if not 0 <= number <= MAX_RELEASE:
        raise UsageError(f"--release {number} is not between 0 and {MAX_RELEASE}")
    labels: list[str] = []

    def make_signature(manifest: bytes) -> bytes:
        signature, label = sign_manifest(manifest, key)
        labels.append(label)
        return signature

    write_signed_bundle(bundle, Path(output or bundle).resolve(), number, make_signature)
    return SignedBundle(str(output or bundle), number, labels[0])
