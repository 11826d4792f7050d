"""The arm64 root filesystems that emulated boards share, built from Debian packages without running their set-up.

A tree holds what a freshly written card holds: Python, OpenSSH's server and everyday tools; no pip, no numpy, no
engine. It is the read-only lower layer of every board and is kept in the user's cache under a hash of its recipe.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PACKAGES = (
    "base-files base-passwd bash dash coreutils libc-bin python3 libstdc++6 libgcc-s1 openssh-server "
    "openssh-sftp-server openssh-client iproute2 procps ca-certificates tar gzip sed grep findutils util-linux mount "
    "passwd login hostname diffutils mawk libfaketime"
)
USERS = {"pi": 1000, "neighbour": 1001}
PASSWORD = "raspberry"
# `openssl passwd -6 -salt edgert raspberry`
_PASSWORD_HASH = "$6$edgert$GBsNXu0YxA61B4IU5moHOEHmcgGq8uUk8Ae7UwYMZyEVdvmo9FEV5x63T67dCivq.n/r9Xu1lUEU3WyzL1hrb."
_SSHD_CONFIG = "Subsystem sftp /usr/lib/openssh/sftp-server\nUsePAM no\nUseDNS no\nPasswordAuthentication yes\n"
# what neither edgert nor an engine imports: half of the library
_NOT_COMPILED = (
    "/test/|idlelib|lib2to3|pydoc|tkinter|turtle|_pyrepl|xmlrpc|wsgiref|dbm|curses|sqlite3|ensurepip|unittest|asyncio|"
    "multiprocessing|distutils|mailbox|imaplib|ftplib|smtplib|poplib|/pdb|_pydecimal|_pyio|"
    "/encodings/(?!__init__|aliases|ascii|idna|latin_1|utf_8[.])"
)


@dataclass(frozen=True, slots=True)
class Suite:
    """A Debian release: its Python and, where its security updates have left the mirrors, the one source to use.

    `compiled` is False where Python only has to tell its version: the emulator takes half a minute for .pyc files.
    """

    name: str
    python: str
    source: str | None = None
    compiled: bool = True


class BuildError(Exception):
    """A tree could not be built; the text ends with what the program that failed wrote."""


BOOKWORM = Suite("bookworm", "3.11")
TRIXIE = Suite("trixie", "3.13")
BULLSEYE = Suite("bullseye", "3.9", "deb http://deb.debian.org/debian bullseye main", compiled=False)


def cached_rootfs(suite: Suite) -> Path:
    """Returns the folder of the suite's tree, built first if the cache does not have it (seconds; printed).

    Raises:
        BuildError: a package could not be had or unpacked.
    """
    cache = cache_folder()
    tree = cache / _recipe_hash(suite)
    with locked(cache / "lock"):
        if not tree.is_dir():
            _build(suite, tree)
    return tree


def cache_folder() -> Path:
    """The folder of all that is built once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgert" / "emulation"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _recipe_hash(suite: Suite) -> str:
    recipe = json.dumps([dataclasses.asdict(suite), hashlib.sha256(Path(__file__).read_bytes()).hexdigest()])
    return f"{suite.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process builds, the others wait and find its tree."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(suite: Suite, tree: Path) -> None:
    start = time.monotonic()
    building = Path(tempfile.mkdtemp(prefix=f".{suite.name}-", dir=tree.parent))
    try:
        _unpack(suite, building)
        _finish(building)
        if suite.compiled:
            compile_library(suite, building)
        building.chmod(0o755)
        building.rename(tree)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    took_s = time.monotonic() - start
    sys.stderr.write(f"emulated boards: built the {suite.name} tree in {took_s:.0f} s, {tree}\n")


def _unpack(suite: Suite, tree: Path) -> None:
    command = ["mmdebstrap", "--mode=root", "--architectures=arm64", "--variant=extract"]
    if suite.source is None:
        command.append("--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr")
    command += [f"--include={','.join(_PACKAGES.split())}", suite.name, str(tree)]
    command += [suite.source] if suite.source else []
    run_tool(command)


def _finish(tree: Path) -> None:
    """Does what the packages' own scripts would have done, as far as a board needs it."""
    add_users(tree)
    for link, target in {"usr/bin/awk": "mawk", "bin/sh": "dash"}.items():
        if not os.path.lexists(tree / link):
            (tree / link).symlink_to(target)
    for folder in ("etc/ssh", "run/sshd", "proc", ".proc", "sys", "dev", "tmp", "root", "usr/local/bin"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    for kept in (tree / "var/cache/apt", tree / "var/lib/apt"):
        shutil.rmtree(kept, ignore_errors=True)
    (tree / "etc/ssh/sshd_config").write_text(_SSHD_CONFIG)
    (tree / "tmp").chmod(0o1777)
    run_tool(["ldconfig", "-r", str(tree)])


def add_users(tree: Path) -> None:
    """Writes the databases of users and groups: Debian's own, the SSH server's, and `USERS` with their homes."""
    master = tree / "usr/share/base-passwd"
    passwd = (master / "passwd.master").read_text() + "sshd:x:102:65534::/run/sshd:/usr/sbin/nologin\n"
    group = (master / "group.master").read_text()
    for name, number in USERS.items():
        passwd += f"{name}:x:{number}:{number}::/home/{name}:/bin/bash\n"
        group += f"{name}:x:{number}:\n"
        home = tree / "home" / name
        home.mkdir(parents=True)
        os.chown(home, number, number)
    hashes = {"pi": _PASSWORD_HASH}
    names = [line.partition(":")[0] for line in passwd.splitlines()]
    (tree / "etc/passwd").write_text(passwd)
    (tree / "etc/group").write_text(group)
    shadow = tree / "etc/shadow"
    shadow.write_text("".join(f"{name}:{hashes.get(name, '*')}:20000:0:99999:7:::\n" for name in names))
    shadow.chmod(0o640)


def compile_library(suite: Suite, tree: Path) -> None:
    """Writes the .pyc files of the standard library, as Debian's set-up does; without them every start takes seconds.

    This machine's Python does it where it has the same version: the emulated one takes half a minute.
    """
    library = f"usr/lib/python{suite.python}"
    options = ["-m", "compileall", "-q", "-x", _NOT_COMPILED]
    if _starts(f"python{suite.python}"):
        command = [f"python{suite.python}", *options, "-s", str(tree), "-p", "/", str(tree / library)]
    else:
        command = ["chroot", str(tree), "/usr/bin/python3", *options, f"/{library}"]
    run_tool(command)


def _starts(python: str) -> bool:
    """Whether the interpreter runs: one in PATH may be a stand-in for a version that is not chosen."""
    if shutil.which(python) is None:
        return False
    return subprocess.run([python, "-V"], check=False, capture_output=True).returncode == 0


def run_tool(command: list[str]) -> None:
    """Runs a program.

    Raises:
        BuildError: it failed.
    """
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise BuildError(f"{command[0]} failed with status {done.returncode}: {done.stdout[-1000:]}")
