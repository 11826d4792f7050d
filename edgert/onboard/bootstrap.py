"""What the laptop puts on the command line of a board: `python3 -I -c TEXT-OF-THIS-FILE HASH SIZE SILENCE`.

SIZE is in bytes as they travel; SILENCE in seconds: without a byte for that long, this ends. It takes the board part of
edgert from stdin where the board does not have it yet, and goes on in it. Every answer is one line that begins with
`edgert:`, since a login shell may print anything before. Python 3.5 and later must be able to read this file, so that a
board with an older Python hears what is wrong; it holds no single quote, so that any shell can quote it.
"""

import json
import os
import select
import sys


def say(**facts: object) -> None:
    sys.stdout.write("\nedgert:" + json.dumps(facts) + "\n")
    sys.stdout.flush()


def read_text(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            return stream.read().decode("utf-8", "replace").strip("\0\n ")
    except OSError:
        return ""


def find_newer() -> "str | None":
    for minor in range(20, 9, -1):
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            path = os.path.join(folder, "python3." + str(minor))
            if os.access(path, os.X_OK):
                return path
    return None


def receive(size: int, silence_s: float) -> bytes:
    parts = []
    told = 0
    while size:
        if not select.select([0], [], [], silence_s)[0]:
            raise ValueError("the connection fell silent")
        part = os.read(0, min(size, 65536))
        if not part:
            raise ValueError("the connection ended")
        parts.append(part)
        size -= len(part)
        told += len(part)
        if told >= 16384:
            say(left=size)
            told = 0
    return b"".join(parts)


def flush(folder: str) -> None:
    """Brings what was written to the disk: after a power cut, a renamed folder may else hold empty files."""
    import ctypes

    opened = os.open(folder, os.O_RDONLY)
    try:
        ctypes.CDLL(None).syncfs(opened)
    finally:
        os.close(opened)


def install(folder: str, digest: str, packed: bytes) -> None:
    import hashlib
    import io
    import shutil
    import tempfile
    import zipfile
    import zlib

    try:
        data = zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError("what arrived is damaged") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError("what arrived is damaged")
    above = os.path.dirname(folder)
    os.makedirs(above, exist_ok=True)
    made = tempfile.mkdtemp(dir=above, prefix=".new-")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.extractall(made)
        flush(made)
        try:
            os.rename(made, folder)
        except OSError:
            if not os.path.isdir(folder):
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def start(digest: str, size: int, silence_s: float) -> int:
    if sys.version_info < (3, 10):
        newer = find_newer()
        if newer:
            words = read_text("/proc/self/cmdline").split("\0")
            os.execv(newer, [newer] + words[1:])
        release = read_text("/etc/nv_tegra_release").split("\n")[0]
        system = [line[13:-1] for line in read_text("/etc/os-release").split("\n") if line.startswith("PRETTY_NAME=")]
        say(
            too_old=".".join(str(part) for part in sys.version_info[:3]),
            board=read_text("/proc/device-tree/model"),
            jetson_release=release,
            system=(system or [""])[0],
        )
        return 3
    home = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    base = os.path.join(home, "edgert")
    folder = os.path.join(base, "code", digest)
    try:
        if not os.path.isdir(folder):
            say(need=size)
            install(folder, digest, receive(size, silence_s))
    except (OSError, ValueError) as error:
        say(error=str(error))
        return 4
    sys.path.insert(0, folder)
    from edgert.onboard.server import main

    say(ready=True)
    return main(base, folder, silence_s)


if __name__ == "__main__":
    sys.exit(start(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
