"""What Ethos-U NPUs are given: every int8 TFLite variant gets, beside it, the file that Vela compiles from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgert.errors import UsageError
from edgert.target import Target
from edgert_converters.built import Built
from edgert_converters.ethos_u import compile_for_npu, find_vela
from edgert_converters.quantize.precisions import AUTO

__all__ = ["has_npu", "need_compiler", "with_ethos_u"]

_ACCELERATOR = "accelerator"


def has_npu(targets: Sequence[Target]) -> bool:
    """True where a target takes what Vela compiles: it cannot do without a TFLite form."""
    return any(_accelerator(target) is not None for target in targets)


def need_compiler(targets: Sequence[Target]) -> None:
    """Refuses, before any work is done, what could not be compiled in the end.

    Raises:
        MissingExtraError: a target has an NPU, and Vela is not installed.
    """
    for target in targets:
        if _accelerator(target) is not None:
            find_vela(target.name)


def with_ethos_u(built: Sequence[Built], precisions: Sequence[str], targets: Sequence[Target]) -> list[Built]:
    """Returns the variants, those for NPUs with a file TARGET.tflite beside them, the placement and a note.

    Args:
        built: all variants; TFLite files of whole-int8 and of repaired graphs are compiled.
        precisions: that were asked for.
        targets: those without an accelerator are passed over.

    Raises:
        UsageError: there is nothing of int8 to compile.
        MissingExtraError: Vela is not installed.
        EngineError: Vela fails.
    """
    accelerators = {target.name: name for target in targets if (name := _accelerator(target)) is not None}
    has_source = any(map(_is_source, built))
    if accelerators and not has_source and AUTO not in precisions:  # where auto ships nothing, the gate says so
        raise UsageError(f"{next(iter(accelerators))} computes with int8 only; add --precision int8")
    return [_compiled(variant, accelerators) if _is_source(variant) else variant for variant in built]


def _accelerator(target: Target) -> str | None:
    found = (engine.options.get(_ACCELERATOR) for engine in target.engines if engine.name == "vela")
    return next(filter(None, found), None)


def _is_source(variant: Built) -> bool:
    return variant.format == "tflite" and variant.precision in {"int8", AUTO}


def _compiled(variant: Built, accelerators: dict[str, str]) -> Built:
    for target, accelerator in accelerators.items():
        made = compile_for_npu(variant.data, target, accelerator)
        variant = replace(
            variant,
            targets=tuple(dict.fromkeys((*variant.targets, target))),
            notes=(*variant.notes, made.placement.sentence),
            beside={**variant.beside, f"{target}.tflite": made.data},
            npu=(*variant.npu, made.placement),
        )
    return variant
