"""Seeded mutations of a bundle: inside its files, with hashes and checksums repaired, and of the archive itself."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from typing import Any

Json = Any  # a JSON document

_DEEP, _HUGE_FLOAT, _LONG_INTEGER = "@deep@", "@huge@", "@long@"
_TEXTS = {_HUGE_FLOAT: "1e999", _LONG_INTEGER: "9" * 5000}
_STRINGS = ("", " ", "\0", "\ud800", "\u202e", "a" * 5000, "../x", "/etc/passwd", "é\u0301", "\x1b[2J", "onnx", "image")
_NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**40, 10**400, 0.5, -0.0, 1e308, 1e-320, float("nan"))
_SHAPES = ([], [-1], [0], [2**40], [1, -5, 3], [None, None], [1] * 70, [True], ["1"])
_STEPS: tuple[Json, ...] = (
    {"op": "resize", "height": 10**9, "width": 10**9},
    {"op": "resize_shorter", "size": 2**40},
    {"op": "letterbox", "height": 10**7, "width": 10**7},
    {"op": "letterbox", "height": 8, "width": 8, "fill": [1.0, 2.0]},
    {"op": "center_crop", "height": 4, "width": 4},
    {"op": "color", "to": "gray"},
    {"op": "normalize", "mean": [0.0, 1.0], "std": [1.0, 1e-320]},
    {"op": "scale", "factor": 1e308, "offset": -1e308},
    {"op": "cast", "to": "int8"},
    {"op": "cast", "to": "float16"},
    {"op": "flatten"},
    {"op": "reshape", "shape": [2**40, 2**40, 4]},
    {"op": "reshape", "shape": [32, 32]},
    {"op": "softmax"},
    {"op": "top_k", "k": 2**62},
    {"op": "argmax", "output": "nothing"},
    {"op": "nanodet", "strides": [1], "reg_max": 2**40},
    {"op": "nanodet", "strides": [8, 16], "classes": 2**40},
    {"op": "ssd", "boxes": "boxes", "scores": "scores", "strides": [1], "min_boxes": [[1.0] * 2000]},
    {"op": "ssd", "boxes": "boxes", "scores": "boxes", "strides": [8], "min_boxes": [[1e-300]], "background": 99},
    {"op": "yolo", "output": "boxes"},
    {"op": "nms", "max_candidates": 2**62},
    {"op": "nms", "iou": -5.0, "score": -1.0},
)

Mutation = Callable[[random.Random, dict[str, bytes]], dict[str, bytes]]
"""Takes the files of a bundle by name (manifest.json among them) and returns changed ones; the input stays as it is."""


def nasty_value(rng: random.Random) -> Json:
    """Returns a JSON value that some reader did not expect."""
    kinds: tuple[Callable[[], Json], ...] = (
        lambda: rng.choice(_STRINGS),
        lambda: rng.choice(_NUMBERS),
        lambda: rng.choice(_SHAPES),
        lambda: rng.choice((None, True, False, [], {}, [[]], {"": {}}, [{}])),
        lambda: rng.choice((_DEEP, _HUGE_FLOAT, _LONG_INTEGER)),
        lambda: rng.randrange(-(2**70), 2**70),
        lambda: rng.choice(("int8", "string", "float", "bool", "uint8", "double", "passed", "fp32")),
    )
    return copy.deepcopy(rng.choice(kinds)())


def mutate_json(rng: random.Random, document: Json) -> Json:
    """Returns a changed deep copy: keys dropped, doubled, renamed, values retyped, swapped or made extreme."""
    changed = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(changed))
        if not places:
            return nasty_value(rng)
        holder, key = rng.choice(places)
        _edit(rng, holder, key, rng.choice(places))
    return changed


def _places(document: Json) -> list[tuple[Json, Json]]:
    found: list[tuple[Json, Json]] = []
    waiting = [document]
    while waiting:
        value = waiting.pop()
        keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
        found += [(value, key) for key in keys]
        waiting += [value[key] for key in keys]
    return found


def _edit(rng: random.Random, holder: Json, key: Json, other: tuple[Json, Json]) -> None:
    action = rng.randrange(7)
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif action == 1:
        holder[rng.choice(_STRINGS)] = copy.deepcopy(holder[key])
    elif action == 2:
        holder[key] = copy.deepcopy(other[0][other[1]])
    elif action == 3 and isinstance(holder[key], (int, float)):
        holder[key] = rng.choice(_NUMBERS)
    elif action == 4:
        holder[key] = [copy.deepcopy(holder[key])] * rng.choice((1, 2, 50))
    else:
        holder[key] = nasty_value(rng)


def dump_json(rng: random.Random, document: Json) -> bytes:
    """Returns JSON text, also for what no JSON writer would write: deep nesting, numbers without end, doubled keys."""
    ascii_only = rng.random() < 0.5
    text = json.dumps(document, ensure_ascii=ascii_only)
    depth = rng.choice((50, 150, 500, 900, 100_000))
    text = text.replace(f'"{_DEEP}"', "[" * depth + "]" * depth)
    for name, replacement in _TEXTS.items():
        text = text.replace(f'"{name}"', replacement)
    if rng.random() < 0.02:
        text = text.replace("{", '{"schema": 1, "schema": 1, ', 1)
    return text.encode("utf-16" if rng.random() < 0.01 else "utf-8", "surrogatepass")


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """Returns bytes with flips, overwritten stretches, insertions, or a part cut out."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 40))):
        if not changed:
            break
        at = rng.randrange(len(changed)) if rng.random() < 0.5 else rng.randrange(min(len(changed), 512))
        action = rng.randrange(5)
        if action <= 1:
            changed[at] ^= 1 << rng.randrange(8)
        elif action == 2:
            changed[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", rng.randbytes(4)))
        elif action == 3:
            changed[at:at] = rng.randbytes(rng.choice((1, 8)))
        else:
            del changed[at : at + rng.choice((1, 16, 4096))]
    return bytes(changed[: rng.randrange(len(changed) + 1)] if rng.random() < 0.1 else changed)


def mutate_manifest(rng: random.Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """Changes manifest.json by its structure; the table of hashes is put right again in most cases."""
    document = mutate_json(rng, json.loads(files["manifest.json"]))
    if isinstance(document, dict) and rng.random() < 0.9:
        document["files"] = _listing(files)
    return {**files, "manifest.json": dump_json(rng, document)}


def mutate_steps(rng: random.Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """Puts steps with extreme arguments among the pre- and post-processing steps."""
    document = json.loads(files["manifest.json"])
    for name in ("preprocess", "postprocess"):
        steps = [step for step in document.get(name, []) if rng.random() < 0.7]
        for _ in range(rng.randrange(3)):
            step = copy.deepcopy(rng.choice(_STEPS))
            steps.insert(rng.randrange(len(steps) + 1), mutate_json(rng, step) if rng.random() < 0.5 else step)
        document[name] = steps
    return {**files, "manifest.json": dump_json(rng, document)}


def mutate_report(rng: random.Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """Changes report.json by its structure."""
    changed = dump_json(rng, mutate_json(rng, json.loads(files.get("report.json", b"{}"))))
    return relist({**files, "report.json": changed})


def mutate_golden(rng: random.Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """Changes golden.npz: bytes of one array's header or data, with the inner checksum right, or any bytes of it."""
    data = files.get("golden.npz")
    if data is None:
        return relist({**files, "golden.npz": mutate_bytes(rng, b"PK\x05\x06" + bytes(18))})
    if rng.random() < 0.3:
        return relist({**files, "golden.npz": mutate_bytes(rng, data)})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    members[name] = _mutate_npy(rng, members[name])
    return relist({**files, "golden.npz": pack(members)})


def _mutate_npy(rng: random.Random, data: bytes) -> bytes:
    if rng.random() < 0.3:
        return mutate_bytes(rng, data)
    shape = rng.choice(("(2**60,)", "(4611686018427387904,)", "(-1,)", "(1,)*99", "()", "(99999999999, 4)", "[1]", "0"))
    descr = rng.choice(("'|O'", "'<f4'", "'<f8'", "'V99999999'", "'<U9'", "[('a', '<f4')]", "'nope'", "{}", "'<M8[s]'"))
    header = f"{{'descr': {descr}, 'fortran_order': {rng.choice(('False', 'True', '7'))}, 'shape': {shape}, }}\n"
    size = rng.choice((len(header), len(header), 0, 60_000)).to_bytes(2, "little")
    return b"\x93NUMPY\x01\0" + size + header.encode() + data[128:]


def mutate_model(rng: random.Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """Changes the bytes of one model file."""
    name = rng.choice([name for name in files if name.endswith(".onnx")])
    return relist({**files, name: mutate_bytes(rng, files[name])})


def relist(files: dict[str, bytes]) -> dict[str, bytes]:
    """Returns the files with the manifest's table of hashes and sizes put right."""
    document = json.loads(files["manifest.json"])
    document["files"] = _listing(files)
    return {**files, "manifest.json": json.dumps(document).encode()}


def _listing(files: dict[str, bytes]) -> Json:
    return {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
        for name, data in files.items()
        if name != "manifest.json"
    }


def pack(files: dict[str, bytes]) -> bytes:
    """Returns the zip archive of the files, with right checksums."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    """Returns the files of a zip archive by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def passes_container(data: bytes) -> bool:
    """True when the archive is whole and every file has the size and SHA-256 that the manifest states."""
    try:
        files = unpack(data)
        listed = json.loads(files["manifest.json"])["files"]
        return bool(listed == _listing(files))
    except Exception:  # whatever a damaged archive or manifest makes of it: it does not pass
        return False


INSIDE: tuple[Mutation, ...] = (mutate_manifest, mutate_steps, mutate_report, mutate_golden, mutate_model)


def mutate_bundle(rng: random.Random, files: dict[str, bytes]) -> bytes:
    """Returns a mutated bundle: nine in ten inside with everything repaired, else the bits of the archive."""
    if rng.random() < 0.1:
        return mutate_bytes(rng, pack(files))
    # the manifest is what most code reads
    return pack(rng.choice((mutate_manifest, mutate_manifest, *INSIDE))(rng, files))
