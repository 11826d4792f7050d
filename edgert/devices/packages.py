"""Which wheels an engine needs on a board, found and downloaded on the laptop for the board's Python and system.

Engines are installed without what their packages list as dependencies: those are for converting and tooling. What a
board runs needs numpy and the engine; a test runs each engine with just that, and set-up loads it before it is used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgert.codec import JsonValue
from edgert.errors import DeviceError, EngineError, MissingToolError, UsageError, did_you_mean
from edgert.target import EngineFacts

__all__ = ["LEAVE_OUT", "PACKAGES", "Package", "System", "download_wheels", "package_of", "system_of"]

LEAVE_OUT = (
    "*/tests/*",
    "*.pyi",
    "numpy/f2py/*",
    "numpy/distutils/*",
    "numpy/_core/include/*",
    "onnxruntime/transformers/*",
    "onnxruntime/tools/*",
    "onnxruntime/quantization/*",
    "onnxruntime/datasets/*",
    "onnxruntime/capi/libonnxruntime.so*",
    "ai_edge_litert/aot/*",
    "ai_edge_litert/tools/*",
    "ai_edge_litert/vendors/*",
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
    "cv2/data/*",
    "tornado/test/*",
)
"""Files of these wheels that no inference loads; they are more than a third of what the wheels hold."""
_MANYLINUX_OLDEST = 17
_PIP_TIMEOUT_S = 1800.0
_PIP_PATIENCE = ("--retries", "2", "--timeout", "20")


@dataclass(frozen=True, slots=True)
class Package:
    """What pip is asked for: the engine, and the numpy that it was built with."""

    requirement: str
    numpy: str = "numpy>=1.26"


PACKAGES = {
    "onnxruntime": Package("onnxruntime"),
    "litert": Package("ai-edge-litert"),
    "tflite-runtime": Package("tflite-runtime==2.14.0", "numpy<2"),
}
"""Engine -> its package. `tflite-runtime` is what runs LiteRT's files where a board has no wheel of its successor."""


@dataclass(frozen=True, slots=True)
class System:
    """What a wheel must fit: `python` such as (3, 11), `machine` such as aarch64, glibc such as (2, 36)."""

    python: tuple[int, int]
    machine: str
    glibc: tuple[int, int]

    def platforms(self) -> tuple[str, ...]:
        """Platform tags of wheels that run there, newest first (PEP 600)."""
        major, newest = self.glibc
        tags = [f"manylinux_{major}_{minor}_{self.machine}" for minor in range(newest, _MANYLINUX_OLDEST - 1, -1)]
        return (*tags, f"manylinux2014_{self.machine}", f"linux_{self.machine}")


def system_of(facts: Mapping[str, JsonValue], name: str) -> System:
    """Returns what wheels must fit on a board.

    Raises:
        DeviceError: there are no wheels for such a system; the text says what would do.
    """
    libc, version = (str(word) for word in facts["libc"])
    if facts["bits"] != 64:
        raise DeviceError(f"{name}: its system is 32-bit, engines have no wheels for that; write the 64-bit image")
    if libc != "glibc":
        raise DeviceError(
            f"{name}: its C library is {libc}; engines have wheels for glibc only (Debian, Ubuntu, Fedora)"
        )
    if facts["python_implementation"] != "cpython":
        raise DeviceError(
            f"{name}: its Python is {facts['python_implementation']}; engines have wheels for CPython only"
        )
    python = [int(part) for part in re.findall(r"\d+", str(facts["python"]))[:2]]
    glibc = [int(part) for part in re.findall(r"\d+", version)[:2]]
    return System((python[0], python[1]), str(facts["machine"]), (glibc[0], glibc[1]))


def package_of(engine: str, facts: EngineFacts | None = None) -> Package:
    """Returns the package of an engine, as a target may name it.

    Raises:
        UsageError: no wheel of that engine can be installed.
    """
    if engine not in PACKAGES:
        raise UsageError(f"no engine {engine!r} that devices setup can install{did_you_mean(engine, PACKAGES)}")
    package = PACKAGES[engine]
    return package if facts is None or facts.package is None else Package(facts.package, package.numpy)


def download_wheels(requirements: Sequence[str], system: System, sources: Sequence[str] = ()) -> tuple[Path, ...]:
    """Returns wheels for a board, downloaded where they are not kept from an earlier time.

    Args:
        requirements: as pip takes them; their dependencies are not followed.
        system: what they must fit.
        sources: words for pip: where to look, and nowhere else; none: PyPI, and what is kept where that is not reached.

    Raises:
        EngineError: there is no such wheel, or it cannot be downloaded.
        MissingToolError: this Python has no pip.
    """
    if importlib.util.find_spec("pip") is None:
        raise MissingToolError("pip", "python3-pip", "finding wheels for a board (or: python -m ensurepip)")
    kept = _cache_folder()
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept) as place:
        own = ["--find-links", str(kept)]
        said = _pip(requirements, system, sources or own, place)
        if said is not None and not sources:
            said = _pip(requirements, system, ["--no-index", *own], place) and said
        if said is not None:
            raise EngineError(_not_found(requirements, system, said))
        wheels = sorted(Path(place).glob("*.whl"))
        for wheel in wheels:
            os.replace(wheel, kept / wheel.name)
    return tuple(kept / wheel.name for wheel in wheels)


def environment_name(wheels: Sequence[Path], *words: str) -> str:
    """Returns the name of the environment that these wheels, unpacked that way, make."""
    digest = hashlib.sha256(repr((LEAVE_OUT, words)).encode())
    for wheel in sorted(wheels, key=lambda path: path.name):
        digest.update(wheel.name.encode())
        digest.update(hashlib.sha256(wheel.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _pip(requirements: Sequence[str], system: System, sources: Sequence[str], place: str) -> str | None:
    """None where all wheels are in `place`, else pip's last words."""
    abi = f"cp{system.python[0]}{system.python[1]}"
    fit = ["--python-version", f"{system.python[0]}.{system.python[1]}", "--implementation", "cp"]
    fit += [word for tag in (abi, "abi3", "none") for word in ("--abi", tag)]
    fit += [word for tag in system.platforms() for word in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *_PIP_PATIENCE]
    command += ["--no-deps", "--only-binary=:all:", *fit, *sources, "--dest", place, *requirements]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PIP_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"pip did not finish within {_PIP_TIMEOUT_S:g} s"
    if done.returncode == 0:
        return None
    for part in Path(place).iterdir():
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.startswith("ERROR")]
    return " / ".join(line.removeprefix("ERROR: ") for line in lines[-2:]) or f"pip ended with {done.returncode}"


def _not_found(requirements: Sequence[str], system: System, said: str) -> str:
    python = ".".join(str(part) for part in system.python)
    glibc = ".".join(str(part) for part in system.glibc)
    return (
        f"no wheels of {', '.join(requirements)} for Python {python}, {system.machine}, glibc {glibc}: {said}. "
        "With wheels of your own: --wheels FOLDER"
    )


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "edgert" / "wheels"
