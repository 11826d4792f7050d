"""Runs on a machine: makes releases of a stand-in app, and calls what serves a laptop there; prints JSON.

    python3 stand_in.py BASE place NAME RELEASE
    python3 stand_in.py BASE CALL NAME [WORD...]

The app needs no engine. It is ready at once and says every half second that it lives; SIGUSR1 makes it fall silent,
SIGUSR2 end with status 7, SIGWINCH take memory without an end. What it may do is in its health file.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgert.onboard.facts import read_facts
from edgert.onboard.folder import BoardFolder
from edgert.onboard.launch import health_path
from edgert.onboard.releases import Releases
from edgert.onboard.services import choose_service, ensure_linger

APP = r"""
import ctypes, json, os, pathlib, signal, socket, sys, tempfile, time

def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as words:
        words.sendto(text.encode(), os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1))

def may(what):
    try:
        what()
    except OSError as error:
        return error.strerror
    return True

def write(path):
    pathlib.Path(path).touch()
    os.unlink(path)

def greedy(*_):
    taken = []
    while True:
        taken.append(bytearray(16 << 20))

def call_manager():
    with socket.socket(socket.AF_UNIX) as bus:
        bus.connect(f"/run/user/{os.getuid()}/bus")

asked = []
signal.signal(signal.SIGUSR1, lambda *_: asked.append("silence"))
signal.signal(signal.SIGUSR2, lambda *_: os._exit(7))
signal.signal(signal.SIGWINCH, greedy)
place = pathlib.Path(os.environ["EDGERT_HEALTH_FILE"])
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
health = {
    "pid": os.getpid(), "release": os.environ["EDGERT_RELEASE"], "phase": "running", "monotonic_s": time.monotonic(),
    "no_new_privileges": status["NoNewPrivs"].strip(), "seccomp": status["Seccomp"].strip(),
    "home": may(lambda: write(os.path.expanduser("~/written-by-the-app"))),
    "release_folder": may(lambda: write("written-by-the-app")),
    "code": may(lambda: write(os.environ["PYTHONPATH"] + "/written-by-the-app")),
    "cache": may(lambda: write(os.environ["XDG_CACHE_HOME"] + "/written-by-the-app")),
    "tmp": os.listdir("/tmp"), "own_tmp": may(lambda: write("/tmp/written-by-the-app")),
    "device": may(lambda: open("/dev/edgert-camera", "rb+", buffering=0).close()),
    "manager": may(call_manager), "group": open("/proc/self/cgroup").read().strip(),
    "limits": may(lambda: write("/sys/fs/cgroup" + open("/proc/self/cgroup").read().strip().split(":")[2] + "/x")),
    "realtime": may(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
}
place.with_suffix(".new").write_text(json.dumps(health))
os.replace(place.with_suffix(".new"), place)
print("stand-in: up, release", os.environ["EDGERT_RELEASE"], flush=True)
say("READY=1")
while True:
    if not asked:
        say("WATCHDOG=1")
    time.sleep(0.5)
"""
ENVIRONMENT = "e" * 16


def place(folder: BoardFolder, name: str, release: str) -> None:
    """Makes a release that is trusted, the code that it refers to being that which runs this."""
    code = Path(os.environ["PYTHONPATH"]).name
    python = folder.environments / ENVIRONMENT / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    if not python.is_symlink():
        python.symlink_to(sys.executable)
    files = {"app.py": "0" * 64, "model.edge": "0" * 64}
    command = ["{python}", "app.py"]
    manifest = {"schema": 1, "app": name, "files": files, "code": code, "environment": ENVIRONMENT}
    manifest |= {"bundle": "model.edge", "command": command}
    releases = Releases(folder, name)
    with folder.staging("release") as made:
        (made / "new").mkdir()
        (made / "new" / "app.py").write_text(APP)
        (made / "new" / "release.json").write_text(json.dumps(manifest))
        releases.add(release, made / "new")
    with releases.watching():
        releases.begin_trial(release)
        releases.confirm()
    launcher = releases.place / "launcher"
    if not launcher.is_symlink():
        launcher.symlink_to(f"../../code/{code}")


def answer(folder: BoardFolder, call: str, name: str, words: list[str]) -> Any:  # Any: JSON values
    """What a call gives."""
    if call == "place":
        return place(folder, name, words[0])
    if call == "linger":
        return ensure_linger()
    if call == "facts":
        return read_facts(None, 0)
    service = choose_service(folder, name, Path(shutil.which("python3") or sys.executable))
    if call == "log":
        return service.log(int(words[0]))
    if call == "health":
        path = health_path(folder.base / "apps" / name)
        return json.loads(path.read_text()) if path.exists() else None
    done = getattr(service, call)()
    return asdict(done) if call == "status" else done


def main() -> None:
    base, call, name, *words = sys.argv[1:]
    print(json.dumps(answer(BoardFolder(Path(base)), call, name, words)))  # noqa: T201  # this is how it answers


if __name__ == "__main__":
    main()
