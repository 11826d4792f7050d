"""Sets a Linux board up: a private environment with numpy and engines below its user's data folder, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgert.codec import JsonValue
from edgert.devices.client import WorkerClient
from edgert.devices.names import Device
from edgert.devices.packages import (
    LEAVE_OUT,
    Package,
    System,
    download_wheels,
    environment_name,
    package_of,
    system_of,
)
from edgert.devices.ssh import SshTransport
from edgert.errors import DeviceError, EngineError, UsageError
from edgert.onboard.facts import APP_PACKAGES
from edgert.plugins import ProgressReporter
from edgert.target import EngineFacts, Target, get_target, list_targets

__all__ = ["SetupResult", "clean_board", "fitting_target", "read_board_facts", "set_up_board"]

_FACTS_S = 60.0
_INSTALL_S = 900.0
_PIP_S = 2000.0
_CLEAN_S = 120.0
_GENERIC = {"aarch64": "arm-cpu", "x86_64": "host"}

Facts = dict[str, Any]  # Any: JSON values


@dataclass(frozen=True, slots=True)
class SetupResult:
    """What a board has now: versions of its engines by name, and the size of its environment.

    `was_there` is True where nothing had to be done.
    """

    device: str
    python: str
    engines: dict[str, str | None]
    environment_bytes: int | None
    was_there: bool
    notes: tuple[str, ...] = ()


def read_board_facts(transport: SshTransport) -> Facts:
    """Returns what a board says about itself (edgert.onboard.facts).

    Raises:
        DeviceError: it cannot be reached, or its Python is below the floor.
    """
    facts: Facts = transport.link.request("facts", _FACTS_S)["facts"]
    return facts


def fitting_target(facts: Mapping[str, JsonValue]) -> str:
    """Returns the target that fits a board: by its device tree's names, the most exact first, else by its processor.

    Raises:
        DeviceError: no target is for such a processor.
    """
    targets = [get_target(name) for name in list_targets()]
    for name in facts["compatible"]:
        for target in targets:
            if name in target.compatible:
                return target.name
    machine = str(facts["machine"])
    if machine not in _GENERIC:
        raise DeviceError(f"edgert knows no target for boards with {machine}; it knows {', '.join(_GENERIC)}")
    return _GENERIC[machine]


def set_up_board(
    device: Device,
    transport: SshTransport,
    *,
    engines: Sequence[str] = (),
    offline: bool = False,
    wheels: Path | None = None,
    index_url: str | None = None,
    for_apps: bool = False,
    progress: ProgressReporter,
) -> SetupResult:
    """Installs engines on a board, loads each once, and returns what is there.

    Args:
        device: with the target that was found when it was added.
        transport: to it.
        engines: names; none: those of the device's target.
        offline: download on this computer; a board without pip, or one whose wheels come from an index of their own,
            gets it that way in any case.
        wheels: take wheels from this folder and nowhere else.
        index_url: ask this package index instead of PyPI.
        for_apps: install what apps need as well; what is there for them already, stays in any case.
        progress: told what is going on.

    Raises:
        EngineError: there is no wheel for the board, or an engine does not load there.
        DeviceError: the board cannot be reached or has no room; what was set up before is still there.
    """
    reply = transport.link.request("facts", _FACTS_S)
    facts: Facts = reply["facts"]
    target = get_target(device.target or fitting_target(facts))
    system = system_of(facts, device.name)
    chosen = tuple(engines) or _engines_of(target)
    progress("finding wheels", 0, 0)
    requirements = [*_requirements([package_of(engine) for engine in chosen])]
    requirements += APP_PACKAGES if for_apps else tuple(facts["app_packages"])
    sources = _sources(wheels, index_url)
    notes: list[str] = []
    has_own_index = any(engine.package for engine in target.engines if engine.name in chosen)
    if offline or wheels is not None or has_own_index or not facts["has_pip"]:
        if not (offline or wheels is not None or has_own_index):
            notes.append("the board has no pip: the wheels were found here and carried over")
        found = _find(target, chosen, requirements, system, sources, notes)
        made = _carry_over(transport, target, found, reply["environment"], progress)
    else:
        made = _let_board_download(transport, target, requirements, sources, progress)
    progress("loading the engines", 0, 0)
    versions = _load_engines(device, transport, chosen)
    size_bytes = None if made is None else int(made["bytes"])
    return SetupResult(device.name, str(facts["python"]), versions, size_bytes, made is None, tuple(notes))


def clean_board(transport: SshTransport) -> str | None:
    """Removes everything of edgert from a board; returns the folder that was there.

    Raises:
        DeviceError: the board cannot be reached, or something cannot be removed.
    """
    removed = transport.link.request("clean", _CLEAN_S)["removed"]
    return None if removed is None else str(removed)


def _engines_of(target: Target) -> tuple[str, ...]:
    return tuple(engine.name for engine in target.engines if not engine.optional and not engine.from_system)


def _sources(wheels: Path | None, index_url: str | None) -> list[str]:
    if wheels is not None:
        if not wheels.is_dir():
            raise UsageError(f"--wheels {wheels}: no such folder")
        return ["--no-index", "--find-links", str(wheels.resolve())]
    return [] if index_url is None else ["--index-url", index_url]


def _find(  # noqa: PLR0913  # what is wanted, what it must fit, where to look
    target: Target,
    engines: Sequence[str],
    requirements: Sequence[str],
    system: System,
    sources: list[str],
    notes: list[str],
) -> tuple[Path, ...]:
    """Wheels of all requirements; a wheel that only a target's own index has may be missing."""
    found = {wheel.name: wheel for wheel in download_wheels(requirements, system, sources)}
    for facts in target.engines:
        if facts.name not in engines or facts.package is None or sources:
            continue
        try:
            own = _from_own_index(facts, system)
        except EngineError as error:
            text = f"{facts.name} runs on the CPU only, since its package for {target.title} is not to be had: {error}"
            notes.append(text)
            continue
        plain = package_of(facts.name).requirement.replace("-", "_")
        found = {name: wheel for name, wheel in found.items() if not name.startswith(f"{plain}-")}
        found |= {wheel.name: wheel for wheel in own}
    return tuple(found[name] for name in sorted(found))


def _from_own_index(facts: EngineFacts, system: System) -> tuple[Path, ...]:
    """The wheel that only the target's own indexes have: one of the same name elsewhere is for other machines."""
    requirement = package_of(facts.name, facts).requirement
    error = EngineError(f"no index for {requirement} is known")
    for url in facts.index_urls:
        try:
            return download_wheels([requirement], system, ["--index-url", url])
        except EngineError as failed:  # noqa: PERF203  # one or two indexes
            error = failed
    raise error


def _requirements(packages: Sequence[Package]) -> list[str]:
    numpy = sorted({package.numpy for package in packages})
    return [*numpy, *(package.requirement for package in packages)]


def _carry_over(
    transport: SshTransport, target: Target, wheels: Sequence[Path], current: str | None, progress: ProgressReporter
) -> Facts | None:
    """Makes the environment of these wheels; None where it is the `current` one already."""
    shared = target.system_site_packages
    name = environment_name(wheels, str(shared))
    if current == name:
        return None
    paths = []
    for index, wheel in enumerate(wheels):
        progress("carrying wheels over", index, len(wheels))
        paths.append(transport.put(wheel))
    progress("unpacking", 0, 0)
    body = {"name": name, "wheels": paths, "leave_out": list(LEAVE_OUT), "system_site_packages": shared}
    return transport.link.request("make_environment", _INSTALL_S, body)


def _let_board_download(
    transport: SshTransport,
    target: Target,
    requirements: Sequence[str],
    sources: Sequence[str],
    progress: ProgressReporter,
) -> Facts:
    progress("the board downloads", 0, 0)
    shared = target.system_site_packages
    name = environment_name((), *requirements, str(shared))
    body = {"name": name, "requirements": list(requirements), "index": list(sources), "system_site_packages": shared}
    return transport.link.request("pip_environment", _PIP_S, body)


def _load_engines(device: Device, transport: SshTransport, engines: Sequence[str]) -> dict[str, str | None]:
    with WorkerClient(transport) as worker:
        versions: dict[str, str | None] = worker.call("engines", crash=EngineError).body["engines"]
    for engine in engines:
        runs_as = "litert" if engine == "tflite-runtime" else engine
        if versions.get(runs_as) is None:
            raise EngineError(f"{device.name}: {engine} was installed and does not load there")
    return versions
