"""ONNX Runtime as a peer: the QDQ graph itself, with its QuantizeLinear outputs as further graph outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgert.bundle import Variant
from edgert.plugins import EngineOptions
from edgert.runtime.engines.onnxruntime import OnnxRuntimeEngine
from edgert_converters.comparison.cut import cut_unit
from edgert_converters.comparison.peer import Known, Ran, Subject
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import expose_values
from edgert_converters.units import IntegerUnit

__all__ = ["OnnxRuntimePeer"]


class OnnxRuntimePeer:
    """ONNX Runtime on the CPU with the engine module's own defaults, one thread."""

    name = "onnxruntime"

    def __init__(self, options: EngineOptions | None = None) -> None:
        """Takes options of the engine, for those who compare other kernels of it."""
        given = options or EngineOptions(threads=1)
        self._options = EngineOptions(given.threads, dict(given.options), profile_layers=True)

    def version(self) -> str | None:
        """See Peer.version."""
        return OnnxRuntimeEngine().version()

    def hint(self) -> str:
        """See Peer.hint."""
        return "the package 'onnxruntime' is not installed; install it with: pip install 'edgert[ort]'"

    def run_unit(self, subject: Subject, unit: IntegerUnit, samples: Sequence[Known]) -> Ran:
        """See Peer.run_unit."""
        results, kernels = self._run(cut_unit(subject.model, unit, samples[0]), samples)
        return Ran(results, kernels)

    def run_whole(self, subject: Subject, samples: Sequence[Known], values: Sequence[str]) -> Ran:
        """See Peer.run_whole."""
        outputs = {value.name for value in subject.model.graph.outputs}
        plain, plain_kernels = self._run(subject.model, samples)
        longer = expose_values(subject.model, [name for name in values if name not in outputs])
        extended, kernels = self._run(longer, samples)
        notes = _differences(plain, extended, plain_kernels, kernels)
        merged = tuple({**more, **own} for more, own in zip(extended, plain, strict=True))
        return Ran(merged, _counted(plain_kernels), not notes, notes)

    def _run(self, model: ir.Model, samples: Sequence[Known]) -> tuple[tuple[Known, ...], tuple[str, ...]]:
        data = ir.to_proto(model).SerializeToString()
        variant = Variant(model.graph.name or "model", "onnx", "int8", "", (), (), (), 0)
        executor = OnnxRuntimeEngine().load(data, variant, self._options)
        try:
            names = [spec.name for spec in executor.outputs]
            results: list[dict[str, Array]] = []
            for known in samples:
                feeds = [np.ascontiguousarray(known[spec.name]) for spec in executor.inputs]
                results.append(dict(zip(names, executor.run(feeds), strict=True)))
            kernels = tuple(layer.op for layer in executor.layer_times())
        finally:
            executor.close()
        return tuple(results), kernels


def _counted(kernels: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{count} {name}" for name, count in sorted(Counter(kernels).items()))


def _differences(
    plain: Sequence[Known], extended: Sequence[Known], plain_kernels: Sequence[str], kernels: Sequence[str]
) -> tuple[str, ...]:
    """Returns what says that the model with more outputs is not the plain one, or nothing."""
    notes = []
    changed = Counter(kernels) - Counter(plain_kernels), Counter(plain_kernels) - Counter(kernels)
    if any(changed):
        more, fewer = (", ".join(_counted(list(part.elements()))) or "nothing" for part in changed)
        notes.append(f"intermediate values come from other kernels than the plain run: {more} instead of {fewer}")
    if any(
        own[name].tobytes() != more[name].tobytes() for own, more in zip(plain, extended, strict=True) for name in own
    ):
        notes.append("the outputs differ between the plain run and the run that also gives intermediate values")
    return tuple(notes)
