"""The peers by name, in the order of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgert.errors import EngineError, UsageError, did_you_mean
from edgert.verification import PEERS, EngineHost
from edgert_converters.comparison.onnxruntime_peer import OnnxRuntimePeer
from edgert_converters.comparison.peer import Peer
from edgert_converters.comparison.tflite_peer import litert_reference, litert_xnnpack, tflm

__all__ = ["board_peers", "choose_peers"]

_FACTORIES: dict[str, Callable[[], Peer]] = {
    "onnxruntime": OnnxRuntimePeer,
    "litert-xnnpack": litert_xnnpack,
    "litert-reference": litert_reference,
    "tflm": tflm,
}
_GROUPS = {"litert": ("litert-xnnpack", "litert-reference")}


_ON_BOARDS: dict[str, Callable[[EngineHost], Peer]] = {
    "onnxruntime": lambda engines: OnnxRuntimePeer(engines=engines),
    "litert-xnnpack": litert_xnnpack,
    "litert-reference": litert_reference,
}
_RUN_BY_DEFAULT = ("onnxruntime", "litert-xnnpack")


def board_peers(names: Sequence[str], engines: EngineHost) -> list[Peer]:
    """Returns the peers of this computer and then those of a board; where none is named, those that models run in.

    Raises:
        UsageError: there is no peer of that name on boards.
        EngineError: a named one is not installed there, or none is.
    """
    wanted = {name for word in names for name in _GROUPS.get(word, (word,))} or set(_RUN_BY_DEFAULT)
    for name in wanted - set(_ON_BOARDS):
        raise UsageError(f"nothing called {name!r} can be compared on a board{did_you_mean(name, _ON_BOARDS)}")
    here = [peer for peer in choose_peers(()) if peer.name in wanted and peer.version() is not None]
    peers = {name: make(engines) for name, make in _ON_BOARDS.items() if name in wanted}
    missing = [name for name, peer in peers.items() if peer.version() is None]
    if len(missing) == len(peers) or (names and missing):
        raise EngineError(
            f"{engines.place} has no {', '.join(missing)}; edgert devices setup {engines.place} installs engines"
        )
    return [*here, *(peer for name, peer in peers.items() if name not in missing)]


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
