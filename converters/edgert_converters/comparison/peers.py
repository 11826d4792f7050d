"""The peers by name, in the order of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgert.errors import EngineError, UsageError, did_you_mean
from edgert.verification import PEERS
from edgert_converters.comparison.onnxruntime_peer import OnnxRuntimePeer
from edgert_converters.comparison.peer import Peer
from edgert_converters.comparison.tflite_peer import litert_reference, litert_xnnpack, tflm

__all__ = ["choose_peers"]

_FACTORIES: dict[str, Callable[[], Peer]] = {
    "onnxruntime": OnnxRuntimePeer,
    "litert-xnnpack": litert_xnnpack,
    "litert-reference": litert_reference,
    "tflm": tflm,
}
_GROUPS = {"litert": ("litert-xnnpack", "litert-reference")}


def choose_peers(names: Sequence[str]) -> list[Peer]:
    """Returns the named peers, or all of them where none is named, in the order of PEERS.

    Raises:
        UsageError: there is no peer of that name.
        EngineError: a named one is not installed.
    """
    wanted: set[str] = set()
    for name in names:
        if name not in PEERS and name not in _GROUPS:
            raise UsageError(f"nothing called {name!r} can be compared{did_you_mean(name, (*PEERS, *_GROUPS))}")
        wanted.update(_GROUPS.get(name, (name,)))
    peers = [_FACTORIES[name]() for name in PEERS if not wanted or name in wanted]
    for peer in peers:
        if wanted and peer.version() is None:
            raise EngineError(f"{peer.name}: {peer.hint()}")
    return peers
