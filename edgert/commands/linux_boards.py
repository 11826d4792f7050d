"""What `edgert devices` does with Linux boards: add, show, setup, clean and doctor."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgert.codec import JsonValue, from_plain, to_plain
from edgert.commands.checks import Check, check_text, environment_checks, sensor_checks, service_checks
from edgert.commands.console import Console, format_table
from edgert.commands.login_key import offer_key
from edgert.devices.client import WorkerClient
from edgert.devices.names import Device, find_device, store_device
from edgert.devices.packages import system_of
from edgert.devices.setup import clean_board, fitting_target, read_board_facts, set_up_board
from edgert.devices.ssh import SshTransport
from edgert.devices.ssh_login import parse_login
from edgert.errors import UsageError
from edgert.profiler.record import EnvironmentSample
from edgert.target import get_target
from edgert.units import format_bytes

__all__ = ["add_linux_board", "clean_linux_board", "doctor_linux_board", "set_up_linux_board", "show_device"]

_LEAST_FREE_BYTES = 200 << 20
_DOT_FEATURES = {"asimddp": "dot product", "i8mm": "int8 matrix multiply", "avx512_vnni": "VNNI", "avx_vnni": "VNNI"}

Facts = dict[str, Any]  # Any: JSON values


def add_linux_board(name: str, url: str, arguments: argparse.Namespace, console: Console) -> int:
    """Logs in, reads what the board is, and stores it under a name; nothing is stored where that fails."""
    device = Device(name, url)
    with _connected(device, accept_new_host_key=arguments.accept_new_host_key) as transport:
        console.progress("logging in", 0, 0)
        facts = read_board_facts(transport)
        system_of(facts, name)
        target = arguments.target or fitting_target(facts)
        get_target(target)
        found = dataclasses.replace(device, target=target, facts=facts)
        store_device(found)
        if transport.link.used_password:
            offer_key(transport, console)
    text = f"{_facts_text(found)}\n\nnext: edgert devices setup {name}"
    console.result(to_plain(found), text if not facts["engines"] else _facts_text(found))
    return 0


def show_device(name: str, console: Console) -> int:
    """Prints what is stored of a device."""
    device = find_device(name)
    console.result(to_plain(device), _facts_text(device) if device.facts else f"{device.name}: {device.url}")
    return 0


def set_up_linux_board(name: str, arguments: argparse.Namespace, console: Console) -> int:
    """Installs engines on the board."""
    device = _linux_board(name)
    with _connected(device) as transport:
        result = set_up_board(
            device,
            transport,
            engines=arguments.engine,
            offline=arguments.offline,
            wheels=None if arguments.wheels is None else Path(arguments.wheels),
            index_url=arguments.index_url,
            progress=console.progress,
        )
        facts = read_board_facts(transport)
    if device.facts:
        store_device(dataclasses.replace(device, facts=facts))
    for note in result.notes:
        console.note(f"edgert: {note}")
    rows = [(engine, version) for engine, version in result.engines.items() if version is not None]
    size = "as it was" if result.was_there else f"{format_bytes(result.environment_bytes or 0)} on the board"
    head = f"{name}: set up ({size}), Python {result.python}"
    console.result(to_plain(result), f"{head}\n{format_table(('engine', 'version'), rows)}")
    return 0


def clean_linux_board(name: str, console: Console) -> int:
    """Removes everything of edgert from the board; the device stays known here."""
    device = _linux_board(name)
    with _connected(device) as transport:
        removed = clean_board(transport)
    console.result({"device": name, "removed": removed}, f"{name}: removed {removed or 'nothing, it was clean'}")
    return 0


def doctor_linux_board(name: str, console: Console) -> int:
    """Looks at everything on the board that can stand in the way; exit code 1 where something does."""
    device = _linux_board(name)
    with _connected(device) as transport:
        facts = read_board_facts(transport)
        checks = [*_software(device, facts)]
        if facts["engines"] or facts["system_engines"]:
            with WorkerClient(transport, "edgert.profiler.worker") as worker:
                state = worker.call("environment").body
            checks += environment_checks(from_plain(EnvironmentSample, state["sample"]))
            checks += sensor_checks(state["sensors"])
    findings = sum(check.finding for check in checks)
    console.result({"findings": findings, "checks": [to_plain(check) for check in checks]}, check_text(checks))
    return 1 if findings else 0


@contextmanager
def _connected(device: Device, *, accept_new_host_key: bool = False) -> Iterator[SshTransport]:
    login = dataclasses.replace(parse_login(device.url), accept_new_host_key=accept_new_host_key)
    transport = SshTransport(login, device.name, device.url)
    try:
        yield transport
    finally:
        transport.close()


def _linux_board(name: str) -> Device:
    device = find_device(name)
    if not device.is_linux_board:
        raise UsageError(f"{name} is no Linux board: setup, clean and doctor are for devices with an ssh:// URL")
    return device


def _software(device: Device, facts: Facts) -> Iterator[Check]:
    yield Check("board", str(facts["board"] or facts["machine"]))
    yield Check("system", f"{facts['system']}, kernel {facts['kernel']}")
    yield Check("python", str(facts["python"]))
    engines = {**facts["system_engines"], **facts["engines"]}
    words = ", ".join(f"{name} {version}" for name, version in engines.items())
    yield Check("packages", words or "none", not words, f"edgert devices setup {device.name}" if not words else None)
    is_short = int(facts["disk_free_bytes"]) < _LEAST_FREE_BYTES
    remedy = "make room on the board's disk" if is_short else None
    yield Check("disk", f"{format_bytes(int(facts['disk_free_bytes']))} free", is_short, remedy)
    yield Check("signatures", str(facts["openssh"] or "no ssh-keygen: signed bundles cannot be checked there"))
    yield from service_checks(facts.get("service"))


def _facts_text(device: Device) -> str:
    facts: Mapping[str, JsonValue] = device.facts
    features = [words for flag, words in _DOT_FEATURES.items() if flag in facts["cpu_features"]]
    engines = {**facts["system_engines"], **facts["engines"]}
    memory = facts["memory_bytes"]
    rows = [
        ("url", device.url),
        ("target", str(device.target)),
        ("board", str(facts["board"] or "unnamed")),
        ("system", f"{facts['system']}, {facts['machine']}, Python {facts['python']}, {facts['openssh'] or 'no ssh'}"),
        ("cpu", f"{facts['cores']} cores, {', '.join(features) or 'no dot-product instructions'}"),
        ("memory", "unreadable" if memory is None else format_bytes(int(memory))),
        ("disk", f"{format_bytes(int(facts['disk_free_bytes']))} free"),
        ("engines", ", ".join(f"{name} {version}" for name, version in engines.items()) or "none yet"),
    ]
    return f"{device.name}\n" + "\n".join(f"  {key:<8} {value}" for key, value in rows)
