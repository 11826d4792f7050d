"""Measures a model file on a device by name or URL: what `edgert profile` and `edgert search` call."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgert.codec import JsonValue, from_plain, to_plain
from edgert.devices.names import find_device
from edgert.devices.workers import open_worker
from edgert.errors import ModelError
from edgert.profiler.energy.laptop import profile_with_energy
from edgert.profiler.record import Record
from edgert.profiler.request import ProfileRequest

__all__ = ["profile_in_turns_on_device", "profile_on_device", "target_name", "time_now"]

Array = NDArray[Any]  # Any: element types are data

_MODULE = "edgert.profiler.worker"


def profile_on_device(
    device: str | None, model: Path | str, inputs: Mapping[str, Array], request: ProfileRequest
) -> tuple[Record, dict[str, JsonValue]]:
    """Measures a model in a process of its own on a device that runs Python.

    Args:
        device: its name or URL; None: this computer.
        model: a bundle or a plain model file on this computer.
        inputs: arrays by input name; empty: a golden sample of the bundle, else random numbers.
        request: its `path` and `accelerator` are filled in here.

    Returns:
        The record, and the other facts of the worker's reply.

    Raises:
        DeviceError: the device cannot be reached.
        ModelError: the model is damaged, or crashed the engine.
        EngineError: the engine is missing or failed.
    """
    with open_worker(device, _MODULE) as worker:
        asked = dataclasses.replace(request, path=worker.put(Path(model)), accelerator=worker.accelerator)
        return profile_with_energy(worker, asked, inputs, request.call_limit_s)


def profile_in_turns_on_device(
    device: str | None, bundles: Sequence[Path], requests: Sequence[ProfileRequest]
) -> list[Record]:
    """Measures several models in turns, all in one process on a device that runs Python.

    Args:
        device: its name or URL; None: this computer.
        bundles: files on this computer, one for each request; one may stand there several times.
        requests: their `path` and `accelerator` are filled in here.

    Returns:
        A record for each request, without memory and energy.

    Raises:
        DeviceError: the device cannot be reached.
        ModelError: a model is damaged, or crashed the engine.
        EngineError: the engine is missing or failed.
    """
    with open_worker(device, _MODULE) as worker:
        there = {path: worker.put(path) for path in dict.fromkeys(bundles)}
        asked = [
            dataclasses.replace(request, path=there[path], accelerator=worker.accelerator)
            for path, request in zip(bundles, requests, strict=True)
        ]
        timeout_s = sum(request.call_limit_s for request in asked)
        plain: JsonValue = {"requests": [to_plain(request) for request in asked]}
        reply = worker.call("profile_in_turns", plain, timeout_s=timeout_s, crash=ModelError)
        return [from_plain(Record, record) for record in reply.body["records"]]


def target_name(device: str | None) -> str | None:
    """Returns what edgert calls boards like this one; this computer is `host`."""
    found = find_device(device)
    return "host" if found.url == "local:" else found.target


def time_now() -> str:
    """Returns the time of this computer as records have it: UTC, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
