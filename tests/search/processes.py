"""`edgert search` as processes of its own, a real PostgreSQL server, and a real Dask cluster."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_S = 120.0
PARTS = ("SCHEDULER", "WORKER", "CLIENT")


def environment(**more: str) -> dict[str, str]:
    roots = os.pathsep.join(str(ROOT / folder) for folder in (".", "converters", "targets"))
    return {**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **more}


def start_search(recipe: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """Starts `edgert search`; `more` goes to its environment."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "edgert", "search", str(recipe), "--json", *arguments],
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result_of(process: subprocess.Popen[str], status: int = 0) -> dict[str, Any]:
    out, err = process.communicate(timeout=LONGEST_S)
    assert process.returncode == status, err
    plain: dict[str, Any] = json.loads(out)
    return plain


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=LONGEST_S)


def wait_until(claim: Any, process: subprocess.Popen[str] | None = None) -> None:  # Any: a callable
    """Waits until `claim()` holds; the process that should bring it about must live."""
    end_s = time.monotonic() + LONGEST_S
    while not claim():
        assert time.monotonic() < end_s
        assert process is None or process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """Runs a server of Debian's package on a socket in a folder of its own and gives the URL of an empty base."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not folders:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    binaries = folders[-1].parent
    place = Path(tempfile.mkdtemp(prefix="edgert-pg-", dir="/tmp"))  # a socket's path must be short
    as_owner: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(place, "postgres", "postgres")
        as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    try:
        _run(
            [*as_owner, binaries / "initdb", "-D", place / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"]
        )
        settings = f"-c listen_addresses= -c unix_socket_directories={place} -c fsync=off"
        control = [*as_owner, binaries / "pg_ctl", "-D", place / "data", "-w", "-l", place / "log"]
        _run([*control, "-o", settings, "start"])
        try:
            yield f"postgresql+psycopg://postgres:s3cret@/postgres?host={place}"
        finally:
            _run([*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(place, ignore_errors=True)


class Cluster:
    """A Dask scheduler and workers, each a process of Dask's own command; `more` goes to their environment."""

    def __init__(self, folder: Path, protocol: str = "tcp", **more: str) -> None:
        self._folder, self._protocol, self._more = folder, protocol, more
        self._processes: list[subprocess.Popen[bytes]] = []
        address = folder / "scheduler.json"
        options = ["--port", "0", "--scheduler-file", str(address)]
        self._start("scheduler", options, {})
        wait_until(lambda: address.exists() and address.read_text().endswith("}"))
        self.address = json.loads(address.read_text())["address"]

    def add_worker(self, resources: str = "device:local:=1", **more: str) -> subprocess.Popen[bytes]:
        options = ["--nthreads", "1", "--no-nanny", "--resources", resources]
        options += ["--local-directory", str(self._folder), "--death-timeout", "60"]
        return self._start("worker", [self.address, *options], more)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _start(self, verb: str, options: list[str], more: Mapping[str, str]) -> subprocess.Popen[bytes]:
        protocol = ["--protocol", self._protocol]
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", verb, *options, "--host", "127.0.0.1", "--no-dashboard", *protocol],
            env=environment(**self._more, **more),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process


def certificates(folder: Path) -> dict[str, str]:
    """Makes an authority of its own with one certificate for 127.0.0.1; returns the settings by which Dask uses it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed (apt-get install openssl)")
    folder.mkdir()
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    _run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
        + [*subject, "-keyout", key, "-out", certificate]
    )
    parts = {f"{part}__{name}": file for part in PARTS for name, file in (("KEY", key), ("CERT", certificate))}
    return {
        f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(file) for name, file in ({"CA_FILE": certificate} | parts).items()
    }


def _run(command: list[Any]) -> None:  # Any: texts and paths
    clean: Mapping[str, str] = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    with tempfile.TemporaryFile("w+") as said:  # a pipe would stay open as long as the server
        words = [str(word) for word in command]
        done = subprocess.run(words, env=clean, cwd="/", stdout=said, stderr=said, timeout=LONGEST_S, check=False)
        said.seek(0)
        assert done.returncode == 0, said.read()
