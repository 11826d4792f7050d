"""The engines that read TFLite files as peers: LiteRT with XNNPACK, LiteRT's reference kernels, and TFLM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edgert.errors import EngineError, ModelError
from edgert.plugins import EngineOptions
from edgert.runtime.engine_run import LocalEngines
from edgert.verification import EngineHost
from edgert_converters.comparison.parts import TflitePart
from edgert_converters.comparison.peer import Known, Ran, Subject, name_at, same_bytes
from edgert_converters.comparison.tflm import TflmEngine
from edgert_converters.ops.spec import Array
from edgert_converters.units import IntegerUnit

__all__ = ["TflitePeer", "litert_reference", "litert_xnnpack", "tflm"]


class TfliteRunner(Protocol):
    """Runs the bytes of a TFLite file."""

    def version(self) -> str | None:
        """The installed version, or None."""
        ...

    def run(self, data: bytes, samples: Sequence[Sequence[Array]]) -> tuple[list[list[Array]], tuple[str, ...]]:
        """Returns the outputs of each sample by position, and the kernels that ran.

        Raises:
            ModelError: the engine does not read the file.
            EngineError: it failed while running.
        """
        ...


class TflitePeer:
    """A TFLite engine with one set of kernels."""

    is_signed = True

    def __init__(self, name: str, runner: TfliteRunner, hint: str) -> None:
        """Takes the peer's name, what runs files, and what to do where that is not installed."""
        self.name, self._runner, self._hint = name, runner, hint

    def version(self) -> str | None:
        """See Peer.version."""
        return self._runner.version()

    def hint(self) -> str:
        """See Peer.hint."""
        return self._hint

    def run_unit(self, subject: Subject, unit: IntegerUnit, samples: Sequence[Known]) -> Ran:
        """See Peer.run_unit."""
        part = subject.tflite.unit(unit, samples[0])
        results, kernels = self._run(part, samples)
        return Ran(results, (*part.operators, *kernels))

    def run_whole(self, subject: Subject, samples: Sequence[Known], values: Sequence[str]) -> Ran:
        """See Peer.run_whole."""
        plain, plain_kernels = self._run(subject.tflite.whole(), samples)
        try:
            extended, kernels = self._run(subject.tflite.extended(values), samples)
        except (ModelError, EngineError) as error:
            note = f"intermediate values cannot be had: {error}"
            return Ran(plain, plain_kernels, notes=(note,))
        notes = []
        if kernels != plain_kernels:
            notes.append(
                "intermediate values come from other kernels than the plain run: "
                f"{', '.join(kernels)} instead of {', '.join(plain_kernels)}"
            )
        if not same_bytes(plain, extended):
            notes.append("the outputs differ between the plain run and the run that also gives intermediate values")
        merged = tuple({**more, **own} for more, own in zip(extended, plain, strict=True))
        return Ran(merged, plain_kernels, not notes, tuple(notes))

    def _run(self, part: TflitePart, samples: Sequence[Known]) -> tuple[tuple[Known, ...], tuple[str, ...]]:
        feeds = [[port.store(known[port.value]) for port in part.inputs] for known in samples]
        results, kernels = self._runner.run(part.data, feeds)
        named = tuple(
            {port.value: port.restore(array) for port, array in zip(part.outputs, outputs, strict=True) if port.value}
            for outputs in results
        )
        return named, kernels


class _LiteRtRunner:
    """LiteRT with the engine module's options, one thread."""

    def __init__(self, options: dict[str, str], engines: EngineHost) -> None:
        self._options, self._engines = options, engines

    def version(self) -> str | None:
        return self._engines.version("litert")

    def run(self, data: bytes, samples: Sequence[Sequence[Array]]) -> tuple[list[list[Array]], tuple[str, ...]]:
        ran = self._engines.run("litert", data, "tflite", EngineOptions(threads=1, options=self._options), samples)
        facts = ran.facts
        taken, nodes = facts.get("xnnpack_nodes", 0), facts.get("nodes", 0)
        own = [name for name in facts["providers"] if name != "XNNPACK"]
        kernels = [f"XNNPACK ({taken} of {nodes})"] if taken else []
        return ran.values, (*kernels, *(f"{name} ({nodes - taken} of {nodes})" for name in own))


def litert_xnnpack(engines: EngineHost | None = None) -> TflitePeer:
    """LiteRT as it runs by default: XNNPACK where it takes the node, else the built-in kernels."""
    return _litert("litert-xnnpack", {"xnnpack": "1"}, engines)


def litert_reference(engines: EngineHost | None = None) -> TflitePeer:
    """LiteRT's reference kernels."""
    return _litert("litert-reference", {"kernels": "reference"}, engines)


def _litert(name: str, options: dict[str, str], engines: EngineHost | None) -> TflitePeer:
    host = engines or LocalEngines()
    return TflitePeer(name_at(name, host), _LiteRtRunner(options, host), _LITERT_HINT)


def tflm() -> TflitePeer:
    """TensorFlow Lite Micro's reference kernels, compiled for this computer."""
    return TflitePeer("tflm", TflmEngine(), "the package 'tflite-micro' is not installed (pip install tflite-micro)")


_LITERT_HINT = "the package 'ai-edge-litert' is not installed; install it with: pip install 'edgert[litert]'"
