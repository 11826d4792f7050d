"""Who signed a bundle: `ssh-keygen -Y verify` over the raw bytes of its manifest, and the order of signed releases.

Needs the standard library and OpenSSH 8.1 or newer, so that a board checks as a laptop does (docs/signing.md).
`edgert.signing` makes signatures; `Bundle.open(path, trust=TrustPolicy(...))` asks here before it parses anything.
"""

from __future__ import annotations

import enum
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgert.errors import EdgertError, MissingToolError

__all__ = [
    "NAMESPACE",
    "ReleaseId",
    "SignatureError",
    "SignatureState",
    "Signer",
    "TrustPolicy",
    "check_order",
    "find_trust_policy",
    "require_ssh_keygen",
]

NAMESPACE = "edgert"
"""What our signatures are for; one made for git or for files is not taken for a bundle's."""

OLDEST_OPENSSH = (8, 1)
MAX_TRUST_BYTES = 1 << 20
_SYSTEM_FOLDER = Path("/etc/edgert")
_USER_FOLDER = Path(".config/edgert")
_ALLOWED_SIGNERS = "allowed_signers"
_REVOKED_KEYS = "revoked_keys"
_LIMIT_S = 30.0
_PACKAGE = "openssh-client"
_VERSION = re.compile(r"OpenSSH_(?:for_Windows_)?(\d+)\.(\d+)")
_KEY = re.compile(r"with (\S+ key SHA256:\S+)")
_PRINCIPALS = re.compile(r'\s*(?:"([^"]+)"|([^\s"#]\S*))\s')


class SignatureState(enum.Enum):
    """Why a signature does not count."""

    UNSIGNED = "unsigned"
    UNKNOWN = "unknown signer"
    REVOKED = "revoked key"
    TAMPERED = "tampered"
    OTHER_PURPOSE = "made for another purpose"
    DOWNGRADE = "downgrade"
    UNCHECKED = "not checked"


class SignatureError(EdgertError):
    """A bundle is not taken, for the reason in `state`; `key` (kind and fingerprint) is known where it was read."""

    def __init__(self, state: SignatureState, text: str, *, key: str | None = None) -> None:
        self.state, self.key = state, key
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed: the name that allowed_signers gives the key, and the key's kind and SHA-256 fingerprint."""

    principal: str
    key: str


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """Whose bundles are taken: a file in OpenSSH's allowed_signers format, and revoked keys (a KRL or public keys).

    A file that is named but cannot be read refuses every bundle; so does an empty allowed_signers.
    """

    allowed_signers: Path
    revoked_keys: Path | None = None

    def __call__(self, where: str, manifest: bytes, signature: bytes | None) -> Signer:
        """Returns who signed the raw bytes of a manifest; `where` names the bundle in messages.

        Raises:
            SignatureError: unsigned, tampered, by a key that is not trusted, or the check could not be made.
            MissingToolError: no ssh-keygen of OpenSSH 8.1 or newer.
        """
        principals = _principals(_read_trust(self.allowed_signers))
        if self.revoked_keys:
            _read_trust(self.revoked_keys)
        if signature is None:
            text = f"{where}: unsigned, and {self.allowed_signers} says whose bundles are taken; sign it: edgert sign"
            raise SignatureError(SignatureState.UNSIGNED, text)
        program = require_ssh_keygen("checking a signature")
        try:
            with tempfile.TemporaryDirectory(prefix="edgert-signature-") as folder:
                file = Path(folder) / "signature"
                file.write_bytes(signature)
                return self._decide(where, _Check(program, file, manifest), principals)
        except OSError as error:  # a full disk
            text = f"{where}: the signature could not be checked, so the bundle is not taken: {error}"
            raise SignatureError(SignatureState.UNCHECKED, text) from error

    def _decide(self, where: str, check: _Check, principals: Sequence[str]) -> Signer:
        trusting = ["-f", str(self.allowed_signers)]
        revoked = ["-r", str(self.revoked_keys)] if self.revoked_keys else []
        found = check.first_signer(principals, [*trusting, *revoked])
        if found is None:
            is_revoked = bool(revoked) and check.first_signer(principals, trusting) is not None
            raise check.explain(where, self.allowed_signers, is_revoked)
        return found


@dataclass(frozen=True, slots=True)
class ReleaseId:
    """One version of a bundle: SHA-256 of its manifest, and the number that its signer gave it."""

    sha256: str
    release: int | None


def check_order(
    where: str, incoming: ReleaseId, installed: Iterable[ReleaseId], newest_release: int | None = None
) -> None:
    """Refuses an older release that comes from outside; touches no file.

    Numbers come from the signed manifest, so whoever holds no trusted key cannot change them: an old bundle is taken
    again once a trusted key signed it anew. A version in `installed` is always taken. A bundle without a number is
    older than every numbered one.

    Args:
        where: names the bundle in messages.
        incoming: verified, about to be installed.
        installed: versions of the same app that were verified and still stand on this board.
        newest_release: the highest number ever verified here, of versions removed since too.

    Raises:
        SignatureError: it is older than what this board has already seen; `state` is DOWNGRADE.
    """
    here = list(installed)
    if any(version.sha256 == incoming.sha256 for version in here):
        return
    numbers = [version.release for version in here if version.release is not None]
    if newest_release is not None:
        numbers.append(newest_release)
    if not numbers:
        return
    newest = max(numbers)
    if incoming.release is not None and incoming.release >= newest:
        return
    named = "has no release number" if incoming.release is None else f"is release {incoming.release}"
    advice = "where the older model is meant, sign it again: edgert sign gives it a new number"
    text = f"{where}: a downgrade: it {named}, and this board has already seen release {newest}; {advice}"
    raise SignatureError(SignatureState.DOWNGRADE, text)


def find_trust_policy(home: Path | None = None, system: Path = _SYSTEM_FOLDER) -> TrustPolicy | None:
    """Returns the policy of this board, or None where it trusts everybody who may log in.

    /etc/edgert/allowed_signers is looked for first, then ~/.config/edgert/allowed_signers; `revoked_keys` beside it.
    A file that is there but cannot be read still makes a policy, one that refuses.
    """
    for folder in (system, (home or Path.home()) / _USER_FOLDER):
        if _stands(folder / _ALLOWED_SIGNERS):
            revoked = folder / _REVOKED_KEYS
            return TrustPolicy(folder / _ALLOWED_SIGNERS, revoked if _stands(revoked) else None)
    return None


def require_ssh_keygen(purpose: str) -> str:
    """Returns the path of an ssh-keygen that knows signatures.

    Raises:
        MissingToolError: there is none, or OpenSSH is older than 8.1 or does not say its version.
    """
    program, client = shutil.which("ssh-keygen"), shutil.which("ssh")
    if program is None or client is None:
        raise MissingToolError("ssh-keygen" if program is None else "ssh", _PACKAGE, purpose)
    said = _run([client, "-V"], b"")
    found = _VERSION.search(said.stdout + said.stderr)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_OPENSSH:
        is_what = f"OpenSSH {found[1]}.{found[2]}" if found else "no OpenSSH that says its version"
        raise MissingToolError(f"ssh-keygen of OpenSSH 8.1 or newer ({client} is {is_what})", _PACKAGE, purpose)
    return program


@dataclass(frozen=True, slots=True)
class _Check:
    program: str
    signature: Path
    manifest: bytes

    def first_signer(self, principals: Sequence[str], options: Sequence[str]) -> Signer | None:
        for principal in principals:
            done = self._ask("verify", "-I", principal, *options)
            if done.returncode == 0 and (key := _KEY.search(done.stdout)):
                return Signer(principal, key[1])
        return None

    def explain(self, where: str, allowed_signers: Path, is_revoked: bool) -> SignatureError:
        done = self._ask("check-novalidate")  # is it a signature of these bytes, whoever made it?
        key = _KEY.search(done.stdout)
        if done.returncode == 0 and key:
            if is_revoked:
                return SignatureError(SignatureState.REVOKED, f"{where}: signed with a revoked {key[1]}", key=key[1])
            text = f"{where}: signed with {key[1]}, an unknown signer: {allowed_signers} does not trust it"
            return SignatureError(SignatureState.UNKNOWN, text, key=key[1])
        if "namespace does not match" in done.stderr:
            text = f"{where}: its signature was made for another purpose, not for namespace {NAMESPACE!r}"
            return SignatureError(SignatureState.OTHER_PURPOSE, text)
        reply = " ".join(done.stderr.split())[:200] or f"exit code {done.returncode}"
        text = f"{where}: tampered: the signature does not belong to this manifest (ssh-keygen: {reply})"
        return SignatureError(SignatureState.TAMPERED, text)

    def _ask(self, what: str, *options: str) -> subprocess.CompletedProcess[str]:
        words = [self.program, "-Y", what, "-n", NAMESPACE, "-s", str(self.signature), *options]
        return _run(words, self.manifest)


def _run(words: Sequence[str], data: bytes) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(words, input=data, env=environment, capture_output=True, check=False, timeout=_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SignatureError(SignatureState.UNCHECKED, f"the signature could not be checked: {error}") from error
    said, complained = (_plain_text(text) for text in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(words, done.returncode, said, complained)


def _plain_text(reply: bytes) -> str:
    # parts of it come from a file that nobody vouched for yet, and it is shown on a terminal
    text = reply.decode(errors="replace")
    return "".join(char if char.isprintable() or char in "\r\n" else "?" for char in text)


def _read_trust(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_TRUST_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        text = f"{path}: the trusted keys cannot be read ({reason}), so no bundle is taken"
        raise SignatureError(SignatureState.UNCHECKED, text) from error
    if len(data) > MAX_TRUST_BYTES:
        raise SignatureError(SignatureState.UNCHECKED, f"{path}: larger than {MAX_TRUST_BYTES} bytes; not trusted keys")
    return data.decode(errors="replace")


def _principals(allowed_signers: str) -> list[str]:
    # ssh-keygen lists them from OpenSSH 8.2 on only; a pattern with a wildcard matches itself
    lists = (found[1] or found[2] for line in allowed_signers.splitlines() if (found := _PRINCIPALS.match(line)))
    names = (name for part in lists for name in part.split(",") if name and not name.startswith("!"))
    return list(dict.fromkeys(names))


def _stands(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # no right to look: something may be there, so nothing is trusted until it can be read
        return True
    return True
