"""The C variants of a conversion: one folder per microcontroller, from the same graphs as every other format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import onnx_ir as ir

from edgert.dtypes import DType
from edgert.errors import DoesNotFitError, ModelError, UsageError
from edgert.recipe import Recipe
from edgert.target import Microcontroller, Target, read_resource
from edgert_converters.built import Built
from edgert_converters.exporters.c import CFolder, Core, Instructions, export_c
from edgert_converters.exporters.c.code_size import code_size
from edgert_converters.exporters.c.fit import STACK_DATA_BYTES, Fit, Verdict, check_fit, to_points
from edgert_converters.exporters.c.frontend import files_beside
from edgert_converters.exporters.c.network import Network
from edgert_converters.exporters.c.ram import curve
from edgert_converters.exporters.onnx import serialize
from edgert_converters.output import GRAPH
from edgert_converters.quantize.precisions import AUTO, PRECISIONS
from edgert_converters.tflite_variants import signed_graph

__all__ = ["runs_c", "with_c"]

_NOTE = "the gate judges the graph it was made from: the C gives the integers of the numerics contract for it"


def runs_c(target: Target) -> bool:
    """True for a microcontroller that runs generated C."""
    return target.microcontroller is not None and any(engine.format == "c" for engine in target.engines)


def with_c(built: Sequence[Built], recipe: Recipe, targets: Sequence[Target]) -> list[Built]:
    """Returns the variants followed by one folder of C for each microcontroller and precision.

    Args:
        built: the reference first, which is float unless the model came quantized.
        recipe: its `max_ram_bytes` limits what the C may take.
        targets: those that run no C are passed over.

    Raises:
        UsageError: none of the targets runs C, or no precision was asked for that C holds.
        ModelError: an operator has no kernel; the node is named.
        DoesNotFitError: it is too big for a target.
    """
    boards = [target for target in targets if runs_c(target)]
    if not boards:
        raise UsageError("--format c is for microcontrollers; name one with -t, such as -t qemu-mps2-an386")
    writer = _Writer(recipe)
    return [*built, *(made for target in boards for made in writer.write_all(built, target))]


@dataclass(frozen=True, slots=True)
class _Writer:
    recipe: Recipe
    graphs: dict[str, ir.Model] = field(default_factory=dict)

    def write_all(self, built: Sequence[Built], target: Target) -> list[Built]:
        """Returns the variants for one board: of what is repaired first, then int8, then other precisions."""
        sources = [source for source in built if _is_source(source, target)]
        if not sources and AUTO not in self.recipe.precisions:  # where auto ships nothing, the gate says so
            held = ", ".join(name for name, precision in PRECISIONS.items() if precision.is_held_by("c"))
            raise UsageError(f"{target.name} runs C, which is made of {held}; add one of them with --precision")
        sources.sort(key=lambda source: _rank(source.precision))
        ids = [
            f"c-{target.name}" if source is sources[0] else f"c-{target.name}-{source.precision}" for source in sources
        ]
        return [self._write(source, target, name) for source, name in zip(sources, ids, strict=True)]

    def _write(self, source: Built, target: Target, variant_id: str) -> Built:
        board = target.microcontroller
        if board is None:
            raise AssertionError(f"{target.name} is no microcontroller")
        model = self.graphs.setdefault(source.id, signed_graph(source))
        folder, fit = self._export(model, target, board)
        if fit.verdict is Verdict.TOO_BIG:
            raise _refusal(self.recipe.model.name, fit)
        sound, notes = files_beside(self.recipe.preprocess, folder.network, partial(_read_kernel, target.name))
        beside = {**folder.files, **sound, GRAPH: serialize(model)}
        return Built(
            id=variant_id,
            precision=source.precision,
            model=model,
            data=folder.files["model.c"],
            targets=(target.name,),
            inputs=folder.inputs,
            outputs=folder.outputs,
            format="c",
            encoding=DType.INT8 if source.encoding is DType.UINT8 else source.encoding,
            draft=source.draft,
            notes=(fit.sentence, _NOTE, *notes),
            beside={name: data for name, data in beside.items() if name != "model.c"},
            fit=fit,
        )

    def _export(self, model: ir.Model, target: Target, board: Microcontroller) -> tuple[CFolder, Fit]:
        limit = self.recipe.max_ram_bytes
        core = Core(board.core, Instructions(board.instructions), has_fpu=board.fpu is not None)
        arena = None if limit is None else limit - STACK_DATA_BYTES
        read = partial(_read_kernel, target.name)
        try:
            folder = export_c(model, core, read, name=self.recipe.model.stem, max_arena_bytes=arena)
        except DoesNotFitError as error:
            raise _above_limit(error, self.recipe) from error
        if board.fpu is None:
            _refuse_float(folder.whole, target)
        ram_bytes = board.ram_bytes if limit is None else min(limit, board.ram_bytes)
        code = code_size(folder.files, folder.network, core)
        fit = check_fit(target.name, folder.choice, code, flash_bytes=board.flash_bytes, ram_bytes=ram_bytes)
        return folder, replace(fit, curve=to_points(curve(folder.whole)))


def _is_source(source: Built, target: Target) -> bool:
    held = source.precision in PRECISIONS and PRECISIONS[source.precision].is_held_by("c")
    return held and source.format == "onnx" and target.name in source.targets


def _rank(precision: str) -> int:
    """What is repaired comes first, then int8: the first of them is what a board is given."""
    first = (AUTO, "int8")
    return first.index(precision) if precision in first else len(first)


def _refuse_float(network: Network, target: Target) -> None:
    for layer in network.layers:
        makes_float = any(network.buffers[view.buffer].dtype is DType.FLOAT for view in layer.writes)
        if makes_float and layer.op != "DEQUANTIZE":  # an output in float is one conversion
            raise ModelError(
                f"{layer.op} computes in float, and {target.name} has no FPU; take a board that has one, or a model "
                "whose operators all have integer kernels",
                node=layer.name.partition(";")[0],
            )


def _read_kernel(target: str, name: str) -> bytes:
    return read_resource(target, f"c/{name}")


def _above_limit(error: DoesNotFitError, recipe: Recipe) -> DoesNotFitError:
    """The error in terms of --max-ram, which counts stack and data as well."""
    limit, smallest = int(recipe.max_ram_bytes or 0), error.smallest_bytes + STACK_DATA_BYTES
    text = (
        f"{recipe.model.name}: TOO BIG for --max-ram {limit}: the smallest possible is {smallest:,} bytes "
        f"(arena {error.smallest_bytes:,}, {STACK_DATA_BYTES:,} kept for stack and data), peak at layer {error.layer!r}"
    )
    return DoesNotFitError(error.name, "RAM", limit, smallest, error.layer, text)


def _refusal(model: str, fit: Fit) -> DoesNotFitError:
    is_ram = fit.ram.verdict is Verdict.TOO_BIG
    memory, name = (fit.ram, "RAM") if is_ram else (fit.flash, "flash")
    text = f"{model}: {fit.sentence}; {_advice(fit) if is_ram else ''}take a smaller model or a board with more memory"
    layer = fit.peak_layer if is_ram else ""
    return DoesNotFitError(model, name, memory.limit_bytes, memory.used_bytes, layer, text)


def _advice(fit: Fit) -> str:
    """What strips could do about the RAM."""
    fitting = [point for point in fit.curve if point.ram_bytes <= fit.ram.limit_bytes]
    if not fitting:
        return f"{min(point.ram_bytes for point in fit.curve):,} bytes of RAM is the least in strips of rows; "
    if fit.flash.verdict is Verdict.TOO_BIG:
        return ""
    extra = f"{fitting[0].extra_macs:,} MACs more than {fit.macs:,}" if fitting[0].extra_macs else "no more MACs"
    return f"--max-ram {fit.ram.limit_bytes} takes {fitting[0].ram_bytes:,} bytes, in strips of rows, for {extra}; or "
