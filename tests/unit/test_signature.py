"""Signatures by the real ssh-keygen: made, checked, refused with the right words, and the order of releases."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgert import bundle as bundle_module
from edgert import cli, signature, signing
from edgert.bundle import MAX_RELEASE, Bundle, write_signed_bundle
from edgert.commands.sign import sign
from edgert.commands.verify_signature import verify_signature
from edgert.errors import BundleError, MissingToolError, UsageError
from edgert.signature import (
    ReleaseId,
    SignatureError,
    SignatureState,
    TrustPolicy,
    check_order,
    find_trust_policy,
    require_ssh_keygen,
)
from edgert.signing import SigningError
from tests import bundle_example as example
from tests.signature_example import NEEDS_SSH_KEYGEN, Keys, files_of, make_key, replace, signed

pytestmark = NEEDS_SSH_KEYGEN
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_key(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_key(tmp_path_factory.mktemp("keys"), "stranger")


@pytest.fixture
def bundle(tmp_path: Path, keys: Keys) -> Path:
    return signed(tmp_path, keys)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every manifest that reached the parser."""
    seen: list[bytes] = []
    original = bundle_module._parse_manifest

    def record(path: Path, raw: bytes) -> object:
        seen.append(raw)
        return original(path, raw)

    monkeypatch.setattr(bundle_module, "_parse_manifest", record)
    return seen


def refused(path: Path, policy: TrustPolicy) -> SignatureError:
    with pytest.raises(SignatureError) as caught:
        Bundle.open(path, policy)
    return caught.value


def test_a_signed_bundle_names_its_signer(bundle: Path, keys: Keys) -> None:
    found = verify_signature(bundle, allowed_signers=keys.allowed)
    assert (found.principal, found.release, found.files) == ("me@example", 7, 3)
    said = subprocess.run(["ssh-keygen", "-lf", str(keys.public)], capture_output=True, text=True, check=True).stdout
    assert found.key.split()[-1] == said.split()[1]
    with Bundle.open(bundle) as opened:
        assert opened.signer is None  # nobody asked
        assert opened.sha256 == found.sha256


def test_same_key_and_number_same_bytes_and_signing_again_replaces(bundle: Path, keys: Keys, tmp_path: Path) -> None:
    first = bundle.read_bytes()
    sign(bundle, key=keys.private, release=7)
    assert bundle.read_bytes() == first
    sign(bundle, key=keys.private, release=8, output=tmp_path / "later.edge")
    assert bundle.read_bytes() == first
    later = files_of(tmp_path / "later.edge")
    assert json.loads(later["manifest.json"])["release"] == 8
    same = [name for name, data in files_of(bundle).items() if later[name] == data]
    assert same == sorted(example.files())
    assert verify_signature(tmp_path / "later.edge", allowed_signers=keys.allowed).release == 8


def test_what_is_signed_later_is_newer_by_default(tmp_path: Path, keys: Keys) -> None:
    path = example.write(tmp_path)
    assert sign(path, key=keys.private).release > 1_700_000_000


def test_an_unsigned_bundle_is_refused_unparsed(tmp_path: Path, keys: Keys, parsed: list[bytes]) -> None:
    path = example.write(tmp_path)
    error = refused(path, TrustPolicy(keys.allowed))
    assert error.state is SignatureState.UNSIGNED
    assert re.search(r"example\.edge: unsigned, and .*key\.allowed says whose .* sign it: edgert sign", str(error))
    assert parsed == []
    Bundle.open(path).close()


def test_a_tampered_manifest_is_refused_unparsed(bundle: Path, keys: Keys, parsed: list[bytes]) -> None:
    manifest = files_of(bundle)["manifest.json"].replace(b'"release": 7', b'"release": 9')
    error = refused(replace(bundle, manifest=manifest), TrustPolicy(keys.allowed))
    assert error.state is SignatureState.TAMPERED
    assert re.search("tampered: the signature does not belong to this manifest .*incorrect signature", str(error))
    assert parsed == []


@pytest.mark.parametrize(
    "text", [b"", b"garbage", b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"]
)
def test_a_signature_that_is_none_is_refused_unparsed(
    bundle: Path, keys: Keys, parsed: list[bytes], text: bytes
) -> None:
    assert refused(replace(bundle, signature=text), TrustPolicy(keys.allowed)).state is SignatureState.TAMPERED
    assert parsed == []


def test_an_unknown_signer_is_refused_unparsed(bundle: Path, stranger: Keys, parsed: list[bytes]) -> None:
    error = refused(bundle, TrustPolicy(stranger.allowed))
    assert error.state is SignatureState.UNKNOWN
    assert re.search(r"signed with ED25519 key SHA256:\S+, an unknown signer: .* does not trust it", str(error))
    assert parsed == []


def test_a_revoked_key_is_refused_unparsed(bundle: Path, keys: Keys, tmp_path: Path, parsed: list[bytes]) -> None:
    revoked = tmp_path / "krl"
    subprocess.run(["ssh-keygen", "-q", "-k", "-f", str(revoked), str(keys.public)], check=True)
    error = refused(bundle, TrustPolicy(keys.allowed, revoked))
    assert error.state is SignatureState.REVOKED
    assert re.search(r"signed with a revoked ED25519 key SHA256", str(error))
    assert parsed == []
    listed = tmp_path / "public_keys"
    listed.write_text(keys.public.read_text())
    assert refused(bundle, TrustPolicy(keys.allowed, listed)).state is SignatureState.REVOKED


def test_a_signature_for_another_purpose_is_refused(bundle: Path, keys: Keys, tmp_path: Path) -> None:
    data = tmp_path / "m"
    data.write_bytes(files_of(bundle)["manifest.json"])
    words = ["ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", str(keys.private), str(data)]
    subprocess.run(words, check=True)
    replace(bundle, signature=(tmp_path / "m.sig").read_bytes())
    keys_for_all = tmp_path / "allowed"
    keys_for_all.write_text(f"me@example {keys.public.read_text()}")
    error = refused(bundle, TrustPolicy(keys_for_all))
    assert error.state is SignatureState.OTHER_PURPOSE
    assert "was made for another purpose, not for namespace 'edgert'" in str(error)


@pytest.mark.parametrize(
    ("line", "principal"),
    [
        ("you@x,me@y {key}", "you@x"),
        ('"somebody else" namespaces="edgert" {key}', "somebody else"),
        ("*@example.com {key}", "*@example.com"),
        ("!bad@x,me@y {key}", "me@y"),
        ('me@x namespaces="git" {key}', None),
        ('me@x valid-before="20200101" {key}', None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_lines_of_allowed_signers(bundle: Path, keys: Keys, tmp_path: Path, line: str, principal: str | None) -> None:
    file = tmp_path / "allowed"
    file.write_text(line.format(key=keys.public.read_text()))
    if principal is None:
        assert refused(bundle, TrustPolicy(file)).state is SignatureState.UNKNOWN
    else:
        with Bundle.open(bundle, TrustPolicy(file)) as opened:
            assert opened.signer is not None
            assert opened.signer.principal == principal


def test_a_certificate_of_a_trusted_authority_signs(keys: Keys, stranger: Keys, tmp_path: Path) -> None:
    mine = make_key(tmp_path, "mine")
    words = ["ssh-keygen", "-q", "-s", str(keys.private), "-I", "test", "-n", "me@example", str(mine.public)]
    subprocess.run(words, check=True)
    path = example.write(tmp_path)
    sign(path, key=tmp_path / "mine-cert.pub")
    authority = tmp_path / "allowed"
    authority.write_text(f'*@example,me@example cert-authority,namespaces="edgert" {keys.public.read_text()}')
    assert verify_signature(path, allowed_signers=authority).principal == "me@example"
    authority.write_text(f"me@example cert-authority {stranger.public.read_text()}")
    assert refused(path, TrustPolicy(authority)).state is SignatureState.UNKNOWN


def test_what_ssh_keygen_quotes_cannot_write_on_a_terminal() -> None:
    assert signature._plain_text(b"bad\x1b[2J\x07 \xff\n") == "bad?[2J? \ufffd\n"


def test_trusted_keys_that_cannot_be_read_refuse_everything(bundle: Path, keys: Keys, tmp_path: Path) -> None:
    for policy in (TrustPolicy(tmp_path), TrustPolicy(keys.allowed, tmp_path / "nothing")):
        error = refused(bundle, policy)
        assert error.state is SignatureState.UNCHECKED
        assert "the trusted keys cannot be read" in str(error)
    (tmp_path / "huge").write_bytes(b"#" * (2 << 20))
    assert "not trusted keys" in str(refused(bundle, TrustPolicy(tmp_path / "huge")))


def test_a_board_without_room_takes_nothing(
    bundle: Path, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    error = refused(bundle, TrustPolicy(keys.allowed))
    assert error.state is SignatureState.UNCHECKED
    assert "could not be checked, so the bundle is not taken: [Errno 2]" in str(error)


def test_a_board_finds_its_policy(tmp_path: Path) -> None:
    system, home = tmp_path / "etc", tmp_path / "home"
    assert find_trust_policy(home, system) is None
    user = home / ".config/edgert"
    user.mkdir(parents=True)
    (user / "allowed_signers").symlink_to(tmp_path / "gone")  # there, and cannot be read: it refuses
    assert find_trust_policy(home, system) == TrustPolicy(user / "allowed_signers")
    system.mkdir()
    for name in ("allowed_signers", "revoked_keys"):
        (system / name).touch()
    assert find_trust_policy(home, system) == TrustPolicy(system / "allowed_signers", system / "revoked_keys")


def test_a_damaged_file_under_a_good_signature_is_no_matter_of_trust(bundle: Path, keys: Keys) -> None:
    with pytest.raises(BundleError, match=r"model\.onnx' does not match its hash in the manifest"):
        verify_signature(replace(bundle, model=b"another model"), allowed_signers=keys.allowed)
    with pytest.raises(BundleError, match="does not match its hash"):
        sign(bundle, key=keys.private)


def test_exit_codes_and_json(
    bundle: Path, keys: Keys, stranger: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(path: Path, trusted: Keys, *more: str) -> int:
        return cli.main(["verify-signature", str(path), "--allowed-signers", str(trusted.allowed), *more])

    assert call(bundle, keys) == 0
    assert "signed by me@example with ED25519 key SHA256:" in capsys.readouterr().out
    assert call(bundle, keys, "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "good"
    assert call(bundle, stranger, "--json") == 1
    assert json.loads(capsys.readouterr().out)["state"] == "unknown signer"
    (tmp_path / "plain").mkdir()
    assert call(example.write(tmp_path / "plain"), keys) == 1
    assert ": unsigned, " in capsys.readouterr().out
    assert call(replace(bundle, model=b"x"), keys) == 4
    assert call(bundle, dataclasses.replace(keys, allowed=tmp_path / "none")) == 2
    assert "no such file; --allowed-signers names those whom you trust" in capsys.readouterr().err


def test_the_verb_signs_in_place(tmp_path: Path, keys: Keys, capsys: pytest.CaptureFixture[str]) -> None:
    path = example.write(tmp_path)
    assert cli.main(["sign", str(path), "--key", str(keys.private), "--release", "3"]) == 0
    assert re.fullmatch(r"\S+example\.edge  signed with \S+/key, release 3\n", capsys.readouterr().out)
    assert verify_signature(path, allowed_signers=keys.allowed).release == 3
    assert [file.name for file in tmp_path.iterdir()] == ["example.edge"]


def test_a_board_needs_the_standard_library_alone_to_check() -> None:
    script = "import sys; import edgert.signature; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("number", [-1, MAX_RELEASE + 1])
def test_a_release_number_out_of_range_is_refused(tmp_path: Path, keys: Keys, number: int) -> None:
    path = example.write(tmp_path)
    with pytest.raises(UsageError, match="is not between 0 and"):
        sign(path, key=keys.private, release=number)
    with pytest.raises(ValueError, match="is not between 0 and"):
        write_signed_bundle(path, path, number, lambda _: b"")
    with pytest.raises(ValueError, match="is not between 0 and"):
        example.manifest(release=number)


def test_the_first_key_of_the_user_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    path = example.write(tmp_path)
    with pytest.raises(UsageError, match="no SSH key in .* and none in an agent; name one with --key, or make one"):
        sign(path)
    with pytest.raises(UsageError, match="nothing: no such key; --key takes a private key"):
        sign(path, key=tmp_path / "nothing")
    assert sign(path, key=make_key(tmp_path / ".ssh", "id_rsa", kind="rsa").private).release
    mine = make_key(tmp_path / ".ssh", "id_ed25519")
    assert sign(path).key == str(mine.private)
    (tmp_path / ".ssh/allowed_signers").write_text(mine.allowed.read_text())
    assert cli.main(["verify-signature", str(path)]) == 0
    capsys.readouterr()


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # the socket is there
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    yield
    process.terminate()
    process.wait()
    process.stdout.close()


def test_a_key_that_only_an_agent_holds_signs(tmp_path: Path, agent: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    keys = make_key(tmp_path / "token", "held")
    subprocess.run(["ssh-add", "-q", str(keys.private)], check=True)
    keys.private.unlink()
    path = example.write(tmp_path)
    assert sign(path).key == "the agent's key held@laptop"
    assert verify_signature(path, allowed_signers=keys.allowed).principal == "me@example"
    assert sign(path, key=keys.public, release=9).key == str(keys.public)
    assert verify_signature(path, allowed_signers=keys.allowed).release == 9


def edgert(*words: object) -> list[str]:
    return [sys.executable, "-m", "edgert", *map(str, words)]


def test_without_a_terminal_a_passphrase_is_an_error_and_no_wait(tmp_path: Path) -> None:
    keys = make_key(tmp_path, passphrase="geheim")
    path = example.write(tmp_path)
    before = path.read_bytes()
    words = edgert("sign", path, "--key", keys.private)
    done = subprocess.run(words, cwd=ROOT, input="geheim\n", capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert re.search(r"ssh-keygen did not sign with \S+/key \(.*incorrect passphrase.*\)", done.stderr)
    assert "a key with a passphrase needs a terminal or an agent (ssh-add)" in done.stderr
    assert path.read_bytes() == before


def test_on_a_terminal_ssh_keygen_asks_for_the_passphrase(tmp_path: Path) -> None:
    keys = make_key(tmp_path, passphrase="geheim")
    path = example.write(tmp_path)
    ours, theirs = pty.openpty()
    # a session's leader gets the terminal that it opens as its own, as in a shell
    start = "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.argv[1], sys.argv[1:])"
    words = [sys.executable, "-c", start, *edgert("sign", path, "--key", keys.private)]
    process = subprocess.Popen(words, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    said = b""
    while b"passphrase" not in said:
        said += os.read(ours, 1024)
    os.write(ours, b"geheim\n")
    with contextlib.suppress(OSError):  # the other end closed
        while more := os.read(ours, 1024):
            said += more
    os.close(ours)
    assert process.wait(60) == 0, said
    assert b"geheim" not in said
    assert verify_signature(path, allowed_signers=keys.allowed).principal == "me@example"


def test_a_file_that_is_no_key_signs_nothing(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    path = example.write(tmp_path)
    before = path.read_bytes()
    with pytest.raises(SigningError, match=r"ssh-keygen did not sign with .*key \("):
        sign(path, key=tmp_path / "key")
    assert path.read_bytes() == before


def stand_in(folder: Path, version: str | None) -> Path:
    """A folder of programs with the real ssh-keygen and an `ssh` that says another version."""
    folder.mkdir()
    if version is not None:
        (folder / "ssh-keygen").write_text("#!/bin/sh\nexit 0\n")
        (folder / "ssh").write_text(f"#!/bin/sh\necho '{version}' >&2\n")
        for name in ("ssh", "ssh-keygen"):
            (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("version", "says"),
    [
        (None, "checking a signature needs ssh-keygen; on Debian: apt install openssh-client"),
        ("OpenSSH_7.9p1 Debian-10+deb10u2, OpenSSL 1.1.1d  10 Sep 2019", "8.1 or newer .*ssh is OpenSSH 7.9"),
        ("OpenSSH_8.0p1, OpenSSL 1.1.1k  FIPS 25 Mar 2021", "of OpenSSH 8.1 or newer .* is OpenSSH 8.0"),
        ("Dropbear v2022.83", "no OpenSSH that says its version"),
    ],
)
def test_an_older_openssh_refuses_with_the_reason(
    bundle: Path, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, says: str
) -> None:
    monkeypatch.setenv("PATH", str(stand_in(tmp_path / "bin", version)))
    with pytest.raises(MissingToolError, match=says):
        Bundle.open(bundle, TrustPolicy(keys.allowed))
    with pytest.raises(MissingToolError, match="signing needs ssh"):
        sign(bundle, key=keys.private)


@pytest.mark.parametrize(
    "version", ["OpenSSH_8.1p1, OpenSSL 1.1.1g", "OpenSSH_for_Windows_9.5p1, LibreSSL 3.8.2", "OpenSSH_10.0p2 Debian-7"]
)
def test_newer_ones_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    folder = stand_in(tmp_path / "bin", version)
    monkeypatch.setenv("PATH", str(folder))
    assert require_ssh_keygen("checking a signature") == str(folder / "ssh-keygen")


SAYS_9_2 = "OpenSSH_9.2p1 Debian-2+deb12u5, OpenSSL 3.0.15"


def test_an_ssh_keygen_that_never_answers_is_given_up(
    bundle: Path, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stand_in(tmp_path / "bin", SAYS_9_2)
    (folder / "ssh-keygen").write_text("#!/bin/sh\nexec /bin/sleep 1000\n")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(signature, "_LIMIT_S", 2.0)
    monkeypatch.setattr(signing, "_LIMIT_S", 0.2)
    assert refused(bundle, TrustPolicy(keys.allowed)).state is SignatureState.UNCHECKED
    with pytest.raises(SigningError, match=r"did not sign with .*key within 0\.2 s; was a touch due\?"):
        sign(bundle, key=keys.private)


def test_a_success_without_a_signature_is_none(
    bundle: Path, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(stand_in(tmp_path / "bin", SAYS_9_2)))  # its ssh-keygen says 0 and does nothing
    with pytest.raises(SigningError, match="ssh-keygen made no signature with"):
        sign(bundle, key=keys.private)
    assert refused(bundle, TrustPolicy(keys.allowed)).state is SignatureState.TAMPERED


def version_of(release: int | None, name: str = "") -> ReleaseId:
    return ReleaseId(name or f"sha-{release}", release)


@pytest.mark.parametrize(
    ("incoming", "installed", "newest", "is_taken"),
    [
        (version_of(5), [], None, True),
        (version_of(6), [version_of(5)], None, True),
        (version_of(5, "twin"), [version_of(5)], None, True),
        (version_of(4), [version_of(5)], None, False),
        (version_of(4), [version_of(4), version_of(5)], None, True),  # verified and installed here
        (version_of(4), [version_of(4)], 5, True),
        (version_of(5), [version_of(4)], 6, False),  # 6 was removed since
        (version_of(None), [version_of(None, "old")], None, True),  # nobody numbered anything
        (version_of(None), [version_of(0)], None, False),
        (version_of(0), [version_of(None)], None, True),
    ],
)
def test_the_order_of_releases(
    incoming: ReleaseId, installed: list[ReleaseId], newest: int | None, is_taken: bool
) -> None:
    if is_taken:
        check_order("net.edge", incoming, iter(installed), newest)
        return
    with pytest.raises(
        SignatureError, match=r"net\.edge: a downgrade: it .* seen release \d; .* sign it again"
    ) as found:
        check_order("net.edge", incoming, iter(installed), newest)
    assert found.value.state is SignatureState.DOWNGRADE
