"""Decides on a board whether a bundle is taken: who signed it, and is it no older than what was verified here.

Runs as `python -m edgert.app.admission BASE APP BUNDLE` in the environment that the app gets, and answers with one
object of JSON. Where the board trusts keys (docs/signing.md), nothing but the verified manifest is parsed for that.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from edgert.bundle import Bundle
from edgert.errors import EdgertError, InputFileError
from edgert.onboard.admitted import AdmittedError, Version, read_admitted
from edgert.onboard.folder import BoardFolder
from edgert.signature import ReleaseId, TrustPolicy, check_order, find_trust_policy

__all__ = ["admit", "main"]


def admit(folder: BoardFolder, app: str, bundle: Path, policy: TrustPolicy | None) -> Version | None:
    """Returns what a signed bundle is; None where the board trusts everybody who may log in.

    Raises:
        SignatureError: it is not taken: unsigned, tampered, of an unknown signer, or older than what was seen here.
        MissingToolError: the board's OpenSSH is too old to tell.
        BundleError: it is damaged.
        InputFileError: what was verified before cannot be read.
    """
    with Bundle.open(bundle, trust=policy) as opened:
        if opened.signer is None:
            return None
        incoming = ReleaseId(hashlib.sha256(opened.manifest_bytes).hexdigest(), opened.manifest.release)
        try:
            admitted = read_admitted(folder, app)
        except AdmittedError as error:
            raise InputFileError(str(error)) from error
        installed = [ReleaseId(version.sha256, version.release) for version in admitted.versions.values()]
        check_order(opened.manifest.name, incoming, installed, admitted.newest_release)
        return Version(incoming.sha256, incoming.release, f"{opened.signer.principal} ({opened.signer.key})")


def main() -> int:
    """Answers {"version": ...} or {"error": WORDS}."""
    base, app, bundle = sys.argv[1:]
    try:
        version = admit(BoardFolder(Path(base)), app, Path(bundle), find_trust_policy())
    except EdgertError as error:
        sys.stdout.write(json.dumps({"error": str(error)}))
        return error.exit_code
    sys.stdout.write(json.dumps({"version": None if version is None else asdict(version)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
