"""`edgert verify-signature`: who signed a bundle, and whether every file is as it was then."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from edgert.bundle import Bundle
from edgert.codec import to_plain
from edgert.commands.console import Console
from edgert.errors import UsageError
from edgert.signature import SignatureError, TrustPolicy

__all__ = ["VerifiedSignature", "add_arguments", "execute", "verify_signature"]


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """Who signed (`principal`, as allowed_signers names the key), with which key, and what."""

    bundle: str
    principal: str
    key: str
    sha256: str
    release: int | None
    files: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert verify-signature`."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a .edge file")
    parser.add_argument(
        "--allowed-signers", type=Path, metavar="FILE", help="whom to trust (default: ~/.ssh/allowed_signers)"
    )
    parser.add_argument("--revoked-keys", type=Path, metavar="FILE", help="a key revocation list or public keys")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb: 0 signed by a trusted key, 1 unsigned, tampered or not trusted, 4 a damaged file."""
    try:
        found = verify_signature(
            arguments.bundle, allowed_signers=arguments.allowed_signers, revoked_keys=arguments.revoked_keys
        )
    except SignatureError as error:
        plain = {"bundle": str(arguments.bundle), "state": error.state.value, "key": error.key, "text": str(error)}
        console.result(plain, str(error))
        return error.exit_code
    number = "no release number" if found.release is None else f"release {found.release}"
    text = f"{found.bundle}: signed by {found.principal} with {found.key}; {number}, {found.files} files are whole"
    console.result({**to_plain(found), "state": "good"}, text)
    return 0


def verify_signature(
    bundle: Path | str, *, allowed_signers: Path | None = None, revoked_keys: Path | None = None
) -> VerifiedSignature:
    """Checks the signature over the raw manifest, then parses it, then checks every file against it.

    Raises:
        SignatureError: unsigned, tampered, signed by an unknown or revoked key; nothing was parsed.
        BundleError: the signature is good, and a file is not what was signed; or this is no bundle.
        UsageError: there is no file of allowed signers.
        MissingToolError: no ssh-keygen of OpenSSH 8.1 or newer.
    """
    trusted = allowed_signers or Path.home() / ".ssh" / "allowed_signers"
    for path in (trusted, revoked_keys):
        if path is not None and not path.is_file():
            line = 'a line of it is: NAME namespaces="edgert" KEYTYPE KEY'
            raise UsageError(f"{path}: no such file; --allowed-signers names those whom you trust, {line}")
    with Bundle.open(bundle, TrustPolicy(trusted, revoked_keys)) as opened:
        for name in opened.manifest.files:
            opened.read(name)
        signer = opened.signer
        assert signer is not None  # a policy was given
        release, files = opened.manifest.release, len(opened.manifest.files)
        return VerifiedSignature(str(bundle), signer.principal, signer.key, opened.sha256, release, files)
