"""Which layers of a quantized graph lose most, and what putting each back to float would gain.

Measured on samples that chose the ranges, never on those that decide, so that a repair made from this table is not
judged by the data it was chosen with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgert.plugins import EngineOptions, ProgressReporter
from edgert_converters.engine import load_runner
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import expose_values
from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.value_sizes import value_bytes
from edgert_converters.sqnr import OutputErrorMeter

__all__ = ["Gain", "LayerError", "measure_gains", "measure_layer_errors", "nodes_of_float_output"]

_GROUP_BYTES = 8 << 20
"""Of float values for one sample; the arrays of both graphs and the engines' own blocks come to some times as much."""

_OPTIONS = EngineOptions(options={"memory_arena": "shared", "allow_spinning": "0"})
"""As for calibration: an arena of their own would keep the memory of every group."""


@dataclass(frozen=True, slots=True)
class LayerError:
    """Error of one layer's output against the float graph's, in dB; errors of the layers before it are in it.

    `added_noise` is the noise-to-signal power ratio beyond that of its worst input: what this layer itself costs. It is
    that of the worst channel group: lost small channels beside large ones do not show in the whole tensor.
    """

    name: str
    op: str
    sqnr_db: float
    worst_group_sqnr_db: float
    added_noise: float


@dataclass(frozen=True, slots=True)
class Gain:
    """Effect of one layer's output kept float: change of the outputs' mean SQNR in dB."""

    name: str
    gain_db: float


def measure_layer_errors(
    model: ir.Model,
    quantized: ir.Model,
    plan: Plan,
    samples: Sequence[Mapping[str, Array]],
    progress: ProgressReporter,
) -> tuple[LayerError, ...]:
    """Returns the error of every integer layer, in graph order.

    Engines keep the memory of every output they were asked for, so the layers are measured in groups of `_GROUP_BYTES`.

    Args:
        model: the float graph.
        quantized: made from it by `apply_plan`.
        plan: what that call carried out.
        samples: inputs by name, batch 1.
        progress: told after each group of layers.
    """
    nodes = [n for n in model.graph if n.name in plan.integer_nodes and n.outputs[0].name in plan.params]
    names = [str(node.outputs[0].name) for node in nodes]
    meters = {name: OutputErrorMeter(name) for name in names}
    done = 0
    for group in _groups(model, names, samples):
        _add_group(model, quantized, group, samples, meters)
        done += len(group)
        progress("layer errors", done, len(names))
    results = {name: meter.result() for name, meter in meters.items()}
    noise = {name: 10 ** (-result.worst_group.sqnr_db / 10) for name, result in results.items()}
    errors = []
    for node, name in zip(nodes, names, strict=True):
        before = max((noise.get(str(v.name), 0.0) for v in _sources(node, plan)), default=0.0)
        result = results[name]
        errors.append(
            LayerError(
                str(node.name), node.op_type, result.sqnr_db_mean, result.worst_group.sqnr_db, noise[name] - before
            )
        )
    return tuple(errors)


def _groups(model: ir.Model, names: Sequence[str], samples: Sequence[Mapping[str, Array]]) -> list[list[str]]:
    """Cuts the names, in order, into groups whose values take `_GROUP_BYTES` for one sample, or that hold one value."""
    sizes = value_bytes(model, samples[0]) if samples else {}
    groups: list[list[str]] = []
    taken = 0
    for name in names:
        size = sizes.get(name, 0)
        if not groups or taken + size > _GROUP_BYTES:
            groups.append([])
            taken = 0
        groups[-1].append(name)
        taken += size
    return groups


def _add_group(
    model: ir.Model,
    quantized: ir.Model,
    names: Sequence[str],
    samples: Sequence[Mapping[str, Array]],
    meters: Mapping[str, OutputErrorMeter],
) -> None:
    """Adds the errors of the named values to their meters; the engines are gone when it returns."""
    run, run_int8 = (load_runner(expose_values(graph, names), options=_OPTIONS) for graph in (model, quantized))
    for sample in samples:
        expected, got = run(sample), run_int8(sample)
        for name in names:
            meters[name].add(expected[name], got[name])


def measure_gains(
    errors: Sequence[LayerError],
    model: ir.Model,
    rebuild: Callable[[frozenset[str]], ir.Model],
    samples: Sequence[Mapping[str, Array]],
    count: int,
    progress: ProgressReporter,
) -> tuple[Gain, ...]:
    """Returns, for the `count` layers that add most noise, what keeping each one float gains; the largest gain first.

    Args:
        errors: from `measure_layer_errors`.
        model: the float graph.
        rebuild: quantizes again with the named layers kept float.
        samples: inputs by name, batch 1.
        count: how many layers are tried; each costs one more quantization and run over the samples.
        progress: told after each layer.
    """
    run = load_runner(model)
    expected = [run(sample) for sample in samples]
    base = _mean_sqnr_db(rebuild(frozenset()), samples, expected)
    suspects = sorted(errors, key=lambda error: error.added_noise, reverse=True)[:count]
    gains = []
    for done, suspect in enumerate(suspects, 1):
        kept = rebuild(frozenset({suspect.name}))
        gains.append(Gain(suspect.name, _mean_sqnr_db(kept, samples, expected) - base))
        progress("gain of float layers", done, len(suspects))
    return tuple(sorted(gains, key=lambda gain: gain.gain_db, reverse=True))


def nodes_of_float_output(model: ir.Model, plan: Plan, layer: str) -> frozenset[str]:
    """Returns the nodes to keep float so that what `layer` gives stays float: it, what it is fused into, its readers.

    A float layer between integer readers would be quantized again with the very range that ruins it.
    """
    (node,) = (node for node in model.graph if node.name == layer)
    readers = [reader.name for value in node.outputs for reader in value.consumers()]
    return frozenset(str(name) for name in (layer, plan.fused_clamps.get(layer, layer), *readers))


def _mean_sqnr_db(
    model: ir.Model, samples: Sequence[Mapping[str, Array]], expected: Sequence[Mapping[str, Array]]
) -> float:
    run = load_runner(model)
    meters = {name: OutputErrorMeter(name) for name in expected[0]}
    for sample, reference in zip(samples, expected, strict=True):
        got = run(sample)
        for name, meter in meters.items():
            meter.add(reference[name], got[name])
    return sum(meter.result().sqnr_db_mean for meter in meters.values()) / len(meters)


def _sources(node: ir.Node, plan: Plan) -> list[ir.Value]:
    """The activations a layer reads; for a fused clamp, those that its producer reads."""
    value = node.inputs[0]
    producer = value.producer() if node.name in plan.fused_clamps and value is not None else None
    reader = producer if producer is not None else node
    return [value for value in reader.inputs if value is not None and value.const_value is None]
