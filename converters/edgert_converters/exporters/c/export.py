"""One model as a folder of C: what `edgert convert -t TARGET` and `-o dir/` write for a microcontroller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from edgert.bundle import TensorSpec
from edgert.codec import JsonValue
from edgert_converters.exporters.c.cmake import cmake_text
from edgert_converters.exporters.c.core import Core
from edgert_converters.exporters.c.emit import header_text, source_text
from edgert_converters.exporters.c.headers import ReadKernel, read_headers
from edgert_converters.exporters.c.kernels import RULES
from edgert_converters.exporters.c.literals import c_identifier
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Network
from edgert_converters.exporters.c.planner import MemoryPlan
from edgert_converters.exporters.c.ram import Choice, fit
from edgert_converters.exporters.c.tables import fold_tables
from edgert_converters.exporters.tflite import TfliteFile, export_tflite
from edgert_converters.output import to_json_bytes
from edgert_converters.requantize import read_requantize
from edgert_converters.tflite.read import parse_tflite
from edgert_converters.tflite.state import state_bindings

__all__ = ["CFolder", "export_c", "lower"]


@dataclass(frozen=True, slots=True)
class CFolder:
    """The files by name, and what they need: the network and where everything lies; `whole` is it without strips.

    `inputs` and `outputs` are those of the run function, in the order of the network's: integers, channels-last.
    """

    files: Mapping[str, bytes]
    choice: Choice
    whole: Network
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def network(self) -> Network:
        """The layers as they run."""
        return self.choice.network

    @property
    def plan(self) -> MemoryPlan:
        """Where everything lies."""
        return self.choice.plan


def lower(model: ir.Model, core: Core, name: str) -> Network:
    """Returns the kernel calls of a model.

    Raises:
        ModelError: an operator has no kernel; names the value it makes.
    """
    return _lower(model, export_tflite(model), core, name)


def _lower(model: ir.Model, file: TfliteFile, core: Core, name: str) -> Network:
    graph = fold_tables(model, parse_tflite(file.data).subgraphs[0], file.homes)
    lowering = Lowering(c_identifier(name), graph, read_requantize(model), core)
    for operator in graph.operators:
        rule = RULES.get(operator.name)
        if rule is None:
            raise lowering.refusal(operator, "there is no kernel for it")
        rule(operator, lowering)
    inputs, outputs = ([spec.name for spec in specs] for specs in (file.inputs, file.outputs))
    return lowering.finish(inputs, outputs, state_bindings(model))


def export_c(
    model: ir.Model, core: Core, read_kernel: ReadKernel, *, name: str, max_arena_bytes: int | None = None
) -> CFolder:
    """Returns the C of a quantized model.

    Args:
        model: with QuantizeLinear and DequantizeLinear; its requantization mode is kept.
        core: what it will run on.
        read_kernel: gives the kernel headers, which travel with the model.
        name: of the model; `edgert_NAME_run` runs it.
        max_arena_bytes: the arena may take no more; None: what it needs without computing anything twice.

    Raises:
        ModelError: an operator has no kernel; names the value it makes.
        DoesNotFitError: no plan is that small; it carries the smallest.
    """
    file = export_tflite(model)
    whole = _lower(model, file, core, name)
    choice = fit(whole, max_arena_bytes)
    network, plan = choice.network, choice.plan
    bindings = state_bindings(model)
    held, given = {binding.input for binding in bindings}, {binding.output for binding in bindings}
    files = {
        "model.c": source_text(network, plan, read_requantize(model)).encode(),
        "model.h": header_text(network, plan).encode(),
        "plan.json": to_json_bytes(describe_plan(network, plan)),
        "CMakeLists.txt": cmake_text(network.name).encode(),
    }
    return CFolder(
        files=files | read_headers((layer.call.header for layer in network.layers), read_kernel),
        choice=choice,
        whole=whole,
        inputs=tuple(spec for spec in file.inputs if spec.name not in held),
        outputs=tuple(spec for spec in file.outputs if spec.name not in given),
    )


def describe_plan(network: Network, plan: MemoryPlan) -> JsonValue:
    """Returns plan.json: every buffer with lifetime and offset, every layer with its scratch."""
    return {
        "schema": 1,
        "arena_bytes": plan.arena_bytes,
        "peak_layer": network.layers[plan.peak_layer].name if network.layers else None,
        "buffers": [
            {
                "name": buffer.name,
                "dtype": buffer.dtype.value,
                "shape": list(buffer.shape),
                "offset": offset,
                "bytes": item.size_bytes,
                "first_layer": item.first,
                "last_layer": item.last,
            }
            for buffer, offset, item in zip(network.buffers, plan.offsets, plan.items, strict=True)
        ],
        "layers": [
            {
                "name": layer.name,
                "op": layer.op,
                "kernel": layer.call.kernel,
                "reads": [view.buffer for view in layer.reads],
                "writes": [view.buffer for view in layer.writes],
                "scratch_offset": offset,
                "scratch_bytes": layer.call.scratch_bytes,
                "weight_bytes": sum(constant.size_bytes for constant in layer.call.constants),
                "macs": layer.macs,
            }
            for layer, offset in zip(network.layers, plan.scratch_offsets, strict=True)
        ],
        "inputs": list(network.inputs),
        "outputs": list(network.outputs),
    }
