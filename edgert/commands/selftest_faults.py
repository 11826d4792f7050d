"""The faults that a self-test raises on purpose: none needs root, none harms a board."""

from __future__ import annotations

import hashlib
import importlib.resources
import os
import threading
import zipfile
from pathlib import Path

from edgert.codec import JsonValue
from edgert.commands.selftest_bench import Bench, Finding, open_card_worker, remove_brought
from edgert.devices.link import Link
from edgert.devices.ssh import SshTransport
from edgert.devices.ssh_login import parse_login
from edgert.errors import EdgertError, EngineError, InputFileError
from edgert.profiler.card import Outcome

__all__ = [
    "check_clean",
    "check_damaged_bundle",
    "check_resumed_upload",
    "check_unloadable_model",
    "check_worker_killed",
]

_CALL_S = 60.0
_LINGER_S = 30.0
_KILL_AFTER_S = 0.5
_PUT_S = 60.0
_UPLOAD_BYTES = 4 << 20
_LOCAL_HEADER = 30
"""Bytes of a zip's local header before the name. Source: PKWARE, APPNOTE.TXT, 4.3.7."""


def check_worker_killed(bench: Bench) -> Finding:
    """Kills a worker in the middle of a run: the call must say so in words, and the next one must work."""
    feeds = bench.golden_inputs()
    with open_card_worker(bench) as killer, open_card_worker(bench) as victim:
        pid = victim.call("here", timeout_s=_CALL_S).body["pid"]
        bench.load(victim, bench.made_bundle())
        timer = threading.Timer(_KILL_AFTER_S, lambda: killer.call("kill", {"pid": pid}, timeout_s=_CALL_S))
        timer.start()
        try:
            victim.call("linger", {"seconds": _LINGER_S}, feeds, timeout_s=_CALL_S)
        except EngineError as error:
            said = str(error).partition("; it last wrote")[0]
        else:
            return Finding(Outcome.FAILED, "a worker that was killed answered its call")
        finally:
            timer.join()
    if "killed" not in said:
        return Finding(Outcome.FAILED, f"the error does not say that the worker was killed: {said}")
    with open_card_worker(bench) as worker:
        bench.load(worker, bench.made_bundle())
        worker.run(feeds, timeout_s=_CALL_S)
    return Finding(Outcome.PASSED, f"the call ended with: {said}; the next worker ran the model")


def check_damaged_bundle(bench: Bench) -> Finding:
    """A bundle in which one bit of the model is wrong must be refused; the whole one must load afterwards."""
    damaged = bench.folder / "damaged.edge"
    damaged.write_bytes(_with_wrong_bit(bench.made_bundle(), bench.float_variant))
    return _refused(bench, damaged, "a bundle with one wrong bit")


def check_unloadable_model(bench: Bench) -> Finding:
    """Half an ONNX file must be refused, without the worker's end."""
    half = bench.folder / "half.onnx"
    whole = (importlib.resources.files("edgert.demo") / "digits.onnx").read_bytes()
    half.write_bytes(whole[: len(whole) // 2])
    return _refused(bench, half, "half an ONNX file")


def check_resumed_upload(bench: Bench) -> Finding:
    """Ends the connection in the middle of an upload; the next one must go on there, and the hash must be right."""
    file = bench.folder / "upload.bin"
    file.write_bytes(os.urandom(_UPLOAD_BYTES))  # no file of an earlier run can be in its place
    bench.brought.add(file)
    data, sha256 = file.read_bytes(), hashlib.sha256(file.read_bytes()).hexdigest()
    wanted = {"sha256": sha256, "size_bytes": len(data), "name": file.name}
    login = parse_login(bench.device.url)
    with Link(login, bench.device.name) as link:
        channel = link.open_channel()
        channel.request("put", _PUT_S, wanted)
        channel.write(data[: len(data) // 2])
    with Link(login, bench.device.name) as link, link.open_channel() as channel:
        offset = int(channel.request("put", _PUT_S, wanted).get("offset", -1))
    transport = SshTransport(login, bench.device.name, bench.device.url)
    try:
        path = transport.put(file)
    finally:
        transport.close()
    with open_card_worker(bench) as worker:
        arrived = str(worker.call("digest", {"path": path}, timeout_s=_CALL_S).body["sha256"])
    figures: dict[str, JsonValue] = {"bytes": len(data), "resumed_at": offset, "hash_is_right": arrived == sha256}
    if not 0 < offset <= len(data) // 2 or arrived != sha256:
        return Finding(Outcome.FAILED, f"an upload that was cut off went on at byte {offset} of {len(data)}", figures)
    return Finding(Outcome.PASSED, f"cut off in the middle, went on at byte {offset:,} of {len(data):,}", figures)


def check_clean(bench: Bench) -> Finding:
    """Removes what was brought; temporary files of the workers, killed ones too, must be gone."""
    left = remove_brought(bench)
    if left:
        return Finding(Outcome.FAILED, f"temporary folders of {len(left)} workers are still there", {"left": len(left)})
    return Finding(Outcome.PASSED, f"temporary files of {len(bench.temporary) - 1} workers are gone", {"left": 0})


def _refused(bench: Bench, file: Path, what: str) -> Finding:
    with open_card_worker(bench) as worker:
        try:
            bench.load(worker, file)
        except InputFileError as error:
            said, kind = str(error), type(error).__name__
        except EdgertError as error:
            return Finding(Outcome.FAILED, f"{what} ended in {type(error).__name__}: {error}")
        else:
            return Finding(Outcome.FAILED, f"{what} was loaded")
        bench.load(worker, bench.made_bundle())
    return Finding(
        Outcome.PASSED, f"{what} was refused: {said}; the same worker then loaded a whole one", {"error": kind}
    )


def _with_wrong_bit(bundle: Path, variant: str) -> bytes:
    """The bundle's bytes, one bit of a variant's model wrong."""
    data = bytearray(bundle.read_bytes())
    with zipfile.ZipFile(bundle) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.startswith(f"variants/{variant}/")]
    largest = max(entries, key=lambda entry: entry.compress_size)
    start = largest.header_offset
    name, extra = (int.from_bytes(data[start + at : start + at + 2], "little") for at in (26, 28))
    data[start + _LOCAL_HEADER + name + extra + largest.compress_size // 2] ^= 1
    return bytes(data)
