"""Integer networks as files: a .npz without pickle, its header JSON; the same network always gives the same bytes.

`header` holds, as UTF-8 in a uint8 array, the schema number, the family, the formats' widths and block lengths and the
steps. The other entries are integer arrays: exponents of formats, constants, what belongs to steps.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgert.errors import ModelError, OutputError
from edgert_converters.fixed_point.formats import FixedTensor, Format
from edgert_converters.fixed_point.network import KERNELS, PLAIN, FixedPointNetwork
from edgert_converters.fixed_point.step import Step, Value
from edgert_converters.ops.spec import Array, AttributeValue

__all__ = ["SCHEMA", "load_network", "save_network"]

SCHEMA = 1

Json = dict[str, Any]  # Any: what JSON holds


def save_network(network: FixedPointNetwork, path: Path) -> None:
    """Writes a network; the file holds no date.

    Raises:
        OutputError: the file cannot be written.
        ModelError: a step has an attribute that is an array.
    """
    arrays: dict[str, Array] = {}
    formats = {name: index for index, name in enumerate(sorted(network.formats))}
    for name, index in formats.items():
        arrays[f"exponents/{index}"] = network.formats[name].exponents
    constants = []
    for index, (name, value) in enumerate(sorted(network.constants.items())):
        arrays[f"constant/{index}"] = value.values if isinstance(value, FixedTensor) else value
        constants.append([name, isinstance(value, FixedTensor)])
    for index, step in enumerate(network.steps):
        arrays.update({f"step/{index}/{key}": array for key, array in sorted(step.data.items())})
    header: Json = {
        "schema": SCHEMA,
        "family": network.family,
        "inputs": network.inputs,
        "outputs": network.outputs,
        "formats": [[name, network.formats[name].bits, network.formats[name].blocks] for name in formats],
        "constants": constants,
        "steps": [_step_header(step) for step in network.steps],
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    try:
        with path.open("wb") as stream:
            np.savez(stream, header=np.frombuffer(text, np.uint8), **arrays)  # type: ignore[arg-type]  # names, not options
    except OSError as e:
        raise OutputError(f"{path} cannot be written ({e.strerror or e})") from e


def load_network(path: Path) -> FixedPointNetwork:
    """Reads a network that `save_network` wrote.

    Raises:
        ModelError: the file is missing, damaged, holds something else, or comes from another version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise ModelError(f"cannot be read as an integer network: {e}", path=path) from e
    header = _checked(path, lambda: json.loads(arrays["header"].tobytes()))
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        found = header.get("schema") if isinstance(header, dict) else None
        raise ModelError(f"integer network of schema {found!r}; this edgert reads {SCHEMA}: convert again", path=path)
    network: FixedPointNetwork = _checked(path, lambda: _build(header, arrays))
    unknown = sorted({s.kernel for s in network.steps} - {*KERNELS, PLAIN})
    if unknown:
        raise ModelError(f"integer network with unknown kernels: {', '.join(unknown)}", path=path)
    return network


def _build(header: Json, arrays: Mapping[str, Array]) -> FixedPointNetwork:
    formats = {
        name: Format(bits, tuple(blocks), _integers(arrays, f"exponents/{index}"))
        for index, (name, bits, blocks) in enumerate(header["formats"])
    }
    constants: dict[str, Value] = {}
    for index, (name, is_fixed) in enumerate(header["constants"]):
        values = _integers(arrays, f"constant/{index}")
        constants[name] = FixedTensor(values, formats[name]) if is_fixed else values
    steps = tuple(_read_step(index, entry, arrays) for index, entry in enumerate(header["steps"]))
    return FixedPointNetwork(
        header["family"], tuple(header["inputs"]), tuple(header["outputs"]), formats, constants, steps
    )


def _integers(arrays: Mapping[str, Array], name: str) -> Any:  # Any: signed integers, or bool for a plain constant
    array = arrays[name]
    if array.dtype.kind not in "iub":
        raise ValueError(f"{name} holds {array.dtype}, not integers")
    return array


def _step_header(step: Step) -> Json:
    for name, value in step.attributes.items():
        if isinstance(value, np.ndarray):
            raise ModelError(f"attribute {name!r} of {step.op} is a tensor, which cannot be stored", node=step.name)
    return {
        "kernel": step.kernel,
        "op": step.op,
        "name": step.name,
        "inputs": step.inputs,
        "outputs": step.outputs,
        "attributes": dict(step.attributes),
        "opset": step.opset,
        "data": sorted(step.data),
    }


def _read_step(index: int, entry: Json, arrays: Mapping[str, Array]) -> Step:
    return Step(
        entry["kernel"],
        entry["op"],
        entry["name"],
        tuple(entry["inputs"]),
        tuple(entry["outputs"]),
        {name: _attribute(value) for name, value in entry["attributes"].items()},
        int(entry["opset"]),
        {key: _integers(arrays, f"step/{index}/{key}") for key in entry["data"]},
    )


def _attribute(value: Any) -> AttributeValue:  # Any: what JSON holds
    return tuple(value) if isinstance(value, list) else value


def _checked(path: Path, read: Callable[[], Any]) -> Any:  # Any: whatever `read` returns
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise ModelError(f"is no integer network, or a damaged one: {e!r}", path=path) from e
