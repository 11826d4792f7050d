"""Target facts: what one kind of device is and can do, read from target.toml (docs/targets.md).

Facts only; code asks a capability and never a target's name. TOML is read on the laptop; a board gets JSON.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.resources
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgert.codec import CodecError, JsonValue, from_plain
from edgert.dtypes import DType
from edgert.errors import InternalError, UsageError, did_you_mean

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from types import ModuleType

__all__ = [
    "SCHEMA",
    "EngineFacts",
    "Flasher",
    "Marker",
    "Microcontroller",
    "Target",
    "get_target",
    "list_targets",
    "load_module",
    "read_resource",
]

SCHEMA = 1
_GROUP = "edgert.targets"


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """One engine of a target. `min_version` is the oldest that edgert writes files for.

    `max_opset` and `max_ir_version` are those of the engines that read ONNX, else None; an `optional` engine is used
    only where somebody names it. `format` is the kind of variant it reads (onnx, tflite).

    `symmetric_int8`: its integers are symmetric activations and float biases (variant `onnx-int8-trt`) and no others.
    `package` is the name of its wheel where that differs from the one of the engine's extra; `index_urls` are places
    besides the usual one that hold wheels for such boards; `from_system`: it comes with the operating system.
    """

    name: str
    min_version: str
    format: str = "onnx"
    max_opset: int | None = None
    max_ir_version: int | None = None
    computes_fp16: bool = False
    optional: bool = False
    symmetric_int8: bool = False
    package: str | None = None
    index_urls: tuple[str, ...] = ()
    from_system: bool = False
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Flasher:
    """What writes a board's flash: `tool` is pyocd, openocd or uf2, `device` the board or chip as the tool calls it.

    `uf2_family` is the number that a UF2 file names its chip by.
    """

    tool: str
    device: str
    uf2_family: int | None = None

    def __post_init__(self) -> None:
        if self.tool not in {"pyocd", "openocd", "uf2"}:
            raise ValueError(f"tool is {self.tool!r}; it must be pyocd, openocd or uf2")


@dataclass(frozen=True, slots=True)
class Marker:
    """The pin that firmware raises around inferences, for a power meter.

    `pin` is what the board calls it, `writes` are address and value that make it high, then those that make it low.
    """

    pin: str
    writes: tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Microcontroller:
    """A board without an operating system: its core, memories and serial line.

    `core` and `fpu` are what the compiler's -mcpu and -mfpu take, `fpu` None where there is none; `instructions` names
    the kernels it can run (portable, dsp, mve). Flash and RAM are the regions that firmware is linked into.
    `uart` names a driver of the firmware; `qemu_machine` is set for boards that exist in QEMU, `flasher` for real ones.
    `setup` are the writes that connect pins and clocks to the UART: address, bits to clear, bits to set, in order; an
    odd address waits until the bits in the second number read as the third. `boot` names the header of the firmware
    with what the chip's ROM looks for in flash.
    """

    core: str
    flash_origin: int
    flash_bytes: int
    ram_origin: int
    ram_bytes: int
    clock_hz: int
    uart: str
    uart_base: int
    instructions: str = "portable"
    fpu: str | None = None
    qemu_machine: str | None = None
    setup: tuple[tuple[int, int, int], ...] = ()
    flasher: Flasher | None = None
    boot: str | None = None
    marker: Marker | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of device.

    `activation_encoding` is the signedness in which the engine's int8 kernels are fast (int8 or uint8);
    `dot_product` names the 8-bit dot-product instructions of its CPU in the words of `edgert.runtime.cpu.DotProduct`,
    None where boards of this kind differ; `is_this_computer` marks the target that measurements made here speak for;
    `hardware_verified` is None until a card of `edgert selftest` from a real board exists, else where it stands:
    `python -m edgert_targets.table` writes it from the cards in profiles/, and `extends` does not inherit it;
    `microcontroller` is set for boards that run C instead of an engine.

    `compatible` are the names in a board's device tree (/proc/device-tree/compatible) that say it is of this kind.
    `accelerator` names what a model is expected to run on besides the CPU (cuda): a run that stays on the CPU fails
    there unless the CPU was asked for. `python_min` is the Python of the oldest system that edgert supports there;
    `system_site_packages`: engines come with the system's Python, so a private environment must see its packages.
    """

    name: str
    title: str
    architecture: str
    engines: tuple[EngineFacts, ...]
    activation_encoding: DType
    cores: int | None = None
    ram_bytes: int | None = None
    threads: int | None = None
    dot_product: str | None = None
    is_this_computer: bool = False
    hardware_verified: str | None = None
    sources: tuple[str, ...] = ()
    microcontroller: Microcontroller | None = None
    compatible: tuple[str, ...] = ()
    accelerator: str | None = None
    python_min: str | None = None
    system_site_packages: bool = False

    def __post_init__(self) -> None:
        if self.activation_encoding not in {DType.INT8, DType.UINT8}:
            raise ValueError("activation_encoding must be int8 or uint8")
        if not self.engines:
            raise ValueError("a target lists at least one engine")
        if self.accelerator not in {None, "cuda"}:
            raise ValueError(f"accelerator is {self.accelerator!r}; it must be cuda, or left away")


def list_targets() -> tuple[str, ...]:
    """Returns the names of all installed targets, sorted."""
    return tuple(sorted(_folders()))


@functools.cache
def get_target(name: str) -> Target:
    """Returns one target with its `extends` chain resolved.

    Raises:
        UsageError: no such target.
        InternalError: its target.toml is wrong.
    """
    if name not in _folders():
        raise UsageError(f"no target {name!r}{did_you_mean(name, _folders())}")
    facts = _resolve(name, ())
    facts.pop("extends", None)
    facts.pop("schema", None)
    try:
        return from_plain(Target, facts | {"name": name})
    except CodecError as error:
        raise InternalError(f"target {name!r}: {error}") from error


def read_resource(name: str, path: str) -> bytes:
    """Returns a file of a target's folder, or of the nearest target that it extends.

    Args:
        name: of the target.
        path: inside the folder, with forward slashes.

    Raises:
        InternalError: none of the folders holds it.
    """
    seen = name
    while True:
        file = _folders()[name].joinpath(path)
        if file.is_file():
            return file.read_bytes()
        parent = _read_facts(name).get("extends")
        if not isinstance(parent, str):
            raise InternalError(f"target {seen!r} has no file {path!r}")
        name = parent


def load_module(name: str, module: str) -> ModuleType:
    """Returns a Python module of a target's folder, or of the nearest target that it extends.

    Raises:
        UsageError: none of the folders holds it: the target cannot do that.
    """
    seen = name
    while True:
        if _folders()[name].joinpath(f"{module}.py").is_file():
            return importlib.import_module(f"{_packages()[name]}.{module}")
        parent = _read_facts(name).get("extends")
        if not isinstance(parent, str):
            raise UsageError(f"target {seen!r} has no {module!r}: only microcontrollers are built for and flashed")
        name = parent


def _read_facts(name: str) -> dict[str, JsonValue]:
    import tomllib

    facts: dict[str, JsonValue] = tomllib.loads(_folders()[name].joinpath("target.toml").read_text())
    return facts


def _resolve(name: str, seen: tuple[str, ...]) -> dict[str, JsonValue]:
    if name in seen or name not in _folders():
        raise InternalError(f"target {seen[-1]!r} extends {name!r}, which is missing or extends it back")
    facts = _read_facts(name)
    if facts.get("schema") != SCHEMA:
        raise InternalError(f"target {name!r}: schema {facts.get('schema')!r}, expected {SCHEMA}")
    parent = facts.get("extends")
    if not parent:
        return facts
    inherited = _resolve(parent, (*seen, name))
    inherited.pop("hardware_verified", None)  # a card speaks for one kind of board and no other
    return inherited | facts


@functools.cache
def _folders() -> dict[str, Traversable]:
    return {name: folder for name, (_, folder) in _installed().items()}


@functools.cache
def _packages() -> dict[str, str]:
    return {name: f"{package}.{folder.name}" for name, (package, folder) in _installed().items()}


@functools.cache
def _installed() -> dict[str, tuple[str, Traversable]]:
    """Name of every target -> the package whose folder it is, and the folder."""
    found: dict[str, tuple[str, Traversable]] = {}
    for entry in importlib.metadata.entry_points(group=_GROUP):
        for folder in importlib.resources.files(importlib.import_module(entry.value)).iterdir():
            if folder.is_dir() and folder.joinpath("target.toml").is_file():
                found[folder.name.replace("_", "-")] = (entry.value, folder)
    return found
