"""ONNX Runtime as a peer: the QDQ graph itself, with its QuantizeLinear outputs as further graph outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgert.plugins import EngineOptions
from edgert.quant import dequantize, quantize
from edgert.runtime.engine_run import LocalEngines
from edgert.verification import EngineHost
from edgert_converters.comparison.cut import cut_unit
from edgert_converters.comparison.encoding import to_signed_values, to_unsigned, values_of, with_real_ends
from edgert_converters.comparison.peer import Known, Ran, Subject, name_at, same_bytes
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import expose_values
from edgert_converters.units import IntegerUnit, static_params

__all__ = ["OnnxRuntimePeer"]

_MOVES = {"Transpose", "Reshape", "Identity"}
"""ONNX Runtime computes convolutions channels-last; more outputs only make it transpose more."""


class OnnxRuntimePeer:
    """ONNX Runtime on the CPU with the engine module's own defaults, one thread."""

    is_signed = False

    def __init__(
        self, options: EngineOptions | None = None, *, integer_ends: bool = False, engines: EngineHost | None = None
    ) -> None:
        """Takes options of the engine, for those who compare other kernels of it, and where it runs.

        `integer_ends` runs int8 units with int8 at both ends, where ONNX Runtime on x86 runs Conv and MatMul in float;
        inside a model it makes uint8 of them, as it does of a unit with real ends.
        """
        given = options or EngineOptions(threads=1)
        self._options = EngineOptions(given.threads, dict(given.options), profile_layers=True)
        self._integer_ends = integer_ends
        self._engines = engines or LocalEngines()
        self.name = name_at("onnxruntime", self._engines)

    def version(self) -> str | None:
        """See Peer.version."""
        return self._engines.version("onnxruntime")

    def hint(self) -> str:
        """See Peer.hint."""
        return "the package 'onnxruntime' is not installed; install it with: pip install 'edgert[ort]'"

    def run_unit(self, subject: Subject, unit: IntegerUnit, samples: Sequence[Known]) -> Ran:
        """See Peer.run_unit."""
        cut = cut_unit(subject.model, unit, samples[0])
        if self._integer_ends or not values_of(cut, ir.DataType.INT8):
            return Ran(*self._run(cut, samples))
        return self._run_with_real_ends(cut, samples)

    def run_whole(self, subject: Subject, samples: Sequence[Known], values: Sequence[str]) -> Ran:
        """See Peer.run_whole."""
        model = subject.model
        plain, plain_kernels = self._run(model, samples)
        names = [name for name in values if name not in plain[0]]
        extended, kernels = self._run(expose_values(model, names), samples)
        notes = _differences(plain, extended, plain_kernels, kernels)
        signed = values_of(model, ir.DataType.INT8)
        if notes and signed:  # an int8 value that is an output keeps ONNX Runtime from making uint8 of it
            unsigned, kernels = self._run(expose_values(to_unsigned(model), names), samples)
            if not _differences(plain, unsigned, plain_kernels, kernels):
                extended, notes = tuple(_signed_again(one, signed) for one in unsigned), ()
        merged = tuple({**more, **own} for more, own in zip(extended, plain, strict=True))
        return Ran(merged, _counted(plain_kernels), not notes, notes)

    def _run_with_real_ends(self, cut: ir.Model, samples: Sequence[Known]) -> Ran:
        real = with_real_ends(cut)
        before = {str(node.outputs[0].name): node for node in real.graph if node.op_type == "QuantizeLinear"}
        feeds: list[dict[str, Array]] = []
        for known in samples:
            pairs = zip(cut.graph.inputs, real.graph.inputs, strict=True)
            feeds.append({str(b.name): _real(known[str(a.name)], before.get(str(a.name))) for a, b in pairs})
        results, kernels = self._run(real, feeds)
        integers: list[dict[str, Array]] = []
        for result in results:
            pairs = zip(cut.graph.outputs, real.graph.outputs, strict=True)
            found = {str(a.name): (result[str(b.name)], before[str(a.name)]) for a, b in pairs}
            integers.append({name: quantize(x, static_params(node, x.ndim)) for name, (x, node) in found.items()})
        return Ran(tuple(integers), _without_ends(kernels, real))

    def _run(self, model: ir.Model, samples: Sequence[Known]) -> tuple[tuple[Known, ...], tuple[str, ...]]:
        data = ir.to_proto(model).SerializeToString()
        names = [str(value.name) for value in model.graph.inputs]
        feeds = [[np.ascontiguousarray(known[name]) for name in names] for known in samples]
        ran = self._engines.run("onnxruntime", data, "onnx", self._options, feeds)
        return tuple(dict(zip(ran.outputs, values, strict=True)) for values in ran.values), ran.layers


def _real(values: Array, node: ir.Node | None) -> Array:
    """Returns the real numbers of an integer input; anything else as it is."""
    return values if node is None else dequantize(values, static_params(node, values.ndim))


def _signed_again(values: Known, signed: frozenset[str]) -> dict[str, Array]:
    return {
        name: to_signed_values(array) if name in signed and array.dtype == np.uint8 else array
        for name, array in values.items()
    }


def _without_ends(kernels: Sequence[str], real: ir.Model) -> tuple[str, ...]:
    """Takes away the conversions at the ends that the unit was given to run it."""
    ends = Counter(
        {
            "QuantizeLinear": sum("__real" in str(value.name) for value in real.graph.inputs),
            "DequantizeLinear": sum("__real" in str(value.name) for value in real.graph.outputs),
        }
    )
    kept = []
    for kernel in kernels:
        if ends[kernel] > 0:
            ends[kernel] -= 1
        else:
            kept.append(kernel)
    return tuple(kept)


def _counted(kernels: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{count} {name}" for name, count in sorted(Counter(kernels).items()))


def _differences(
    plain: Sequence[Known], extended: Sequence[Known], plain_kernels: Sequence[str], kernels: Sequence[str]
) -> tuple[str, ...]:
    """Returns what says that the model with more outputs is not the plain one, or nothing."""
    notes = []
    ran, before = (Counter(name for name in names if name not in _MOVES) for names in (kernels, plain_kernels))
    if ran != before:
        more, fewer = (", ".join(_counted(list(part.elements()))) or "nothing" for part in (ran - before, before - ran))
        notes.append(f"intermediate values come from other kernels than the plain run: {more} instead of {fewer}")
    if not same_bytes(plain, extended):
        notes.append("the outputs differ between the plain run and the run that also gives intermediate values")
    return tuple(notes)
