"""Which engine and variant use a device's accelerator; and the refusal to run on the CPU what was meant for it.

The target's fact `accelerator` travels with a request; None (this computer, a Raspberry Pi) asks for nothing. The CPU
is asked for by naming an engine that knows nothing else (`--engine litert`), or ONNX Runtime with the option
`providers=CPUExecutionProvider`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from edgert.bundle import Gate, Manifest, Variant
from edgert.errors import EngineError, FallbackError
from edgert.plugins import Engine
from edgert.runtime.engines import choose_engine, get_engine

__all__ = ["AcceleratedEngine", "choose_accelerated", "choose_variant"]

_IN_ORDER = ("tensorrt", "onnxruntime")
"""Engines that may use an accelerator, in order of preference."""
_PRECISIONS = ("int8-symmetric", "fp16", "fp32", "as-is")
"""Of variants, the one that is expected to be fastest on an accelerator first."""
_CPU_WORDS = (
    "to have the CPU all the same: --engine onnxruntime --engine-option providers=CPUExecutionProvider; "
    "for times without outputs, where trtexec is installed: --engine trtexec"
)


@runtime_checkable
class AcceleratedEngine(Protocol):
    """An engine that can run models on something besides the CPU."""

    def accelerators(self) -> tuple[str, ...]:
        """What it can use here, in the words of a target's `accelerator`; () where only the CPU is left."""
        ...


@runtime_checkable
class _Configured(Protocol):
    def accelerator_options(self, accelerator: str) -> dict[str, str]:
        """Options that make the engine use it."""
        ...


def choose_accelerated(
    variant: Variant, name: str | None, options: Mapping[str, str], accelerator: str | None
) -> tuple[Engine, dict[str, str]]:
    """Returns the engine that runs a variant, and its options.

    Args:
        variant: what to run.
        name: the engine that was asked for; None: the first that uses the accelerator.
        options: of the engine, as they were asked for.
        accelerator: what the device is expected to use; None: any engine will do.

    Raises:
        FallbackError: only the CPU would run it, and nobody asked for the CPU.
        EngineError: no engine (or not the named one) runs this variant.
        UsageError: there is no engine of that name.
    """
    if accelerator is None:
        return choose_engine(variant, name), dict(options)
    reasons = []
    for candidate in [name] if name else _IN_ORDER:
        engine = get_engine(candidate)
        refused = engine.refusal(variant)
        if refused is not None and name is not None:
            raise EngineError(f"{candidate}: {refused}")
        if refused is None and name is not None and _asks_for_cpu(engine, options):
            return engine, dict(options)
        reason = refused or _why_on_cpu(engine, accelerator)
        if reason is None:
            more = engine.accelerator_options(accelerator) if isinstance(engine, _Configured) else {}
            return engine, {**more, **options}
        reasons.append(f"{candidate}: {reason}")
    raise FallbackError(
        f"variant {variant.id!r} would run on the CPU of a device that is expected to use {accelerator}: "
        f"{'; '.join(reasons)}; {_CPU_WORDS}"
    )


def choose_variant(
    manifest: Manifest,
    name: str | None,
    accelerator: str | None,
    engine: str | None = None,
    options: Mapping[str, str] = MappingProxyType({}),
) -> Variant:
    """Returns the variant of a bundle to run: the named one, else for an accelerator the fastest form that it takes.

    Variants that the accuracy gate did not let pass are left out; the float one is always there. Where only an engine
    was named, it gets the default variant, or the same precision in a format that it reads; so does the CPU of a device
    with an accelerator, where it was asked for.

    Raises:
        BundleError: there is no variant of that name.
        UsageError: there is no engine of that name.
    """
    if name is not None:
        return manifest.variant(name)
    default = manifest.variant(None)
    wanted = [default, *(variant for variant in manifest.variants if variant.precision == default.precision)]
    if accelerator is not None and (engine is None or not _asks_for_cpu(get_engine(engine), options)):
        taken = [variant for variant in manifest.variants if _is_taken(variant, manifest)]
        wanted = [*sorted(taken, key=lambda variant: _PRECISIONS.index(variant.precision)), *wanted]
    if engine is None:
        return wanted[0]
    named = get_engine(engine)
    return next((variant for variant in wanted if named.refusal(variant) is None), wanted[0])


def _is_taken(variant: Variant, manifest: Manifest) -> bool:
    is_float = variant is manifest.variants[0]
    return variant.format == "onnx" and variant.precision in _PRECISIONS and (is_float or variant.gate is Gate.PASSED)


def _asks_for_cpu(engine: Engine, options: Mapping[str, str]) -> bool:
    asked = [word.strip() for word in options.get("providers", "").split(",") if word.strip()]
    return not isinstance(engine, AcceleratedEngine) or asked == ["CPUExecutionProvider"]


def _why_on_cpu(engine: Engine, accelerator: str) -> str | None:
    here = engine.accelerators() if isinstance(engine, AcceleratedEngine) else ()
    if accelerator in here:
        return None
    version = engine.version()
    return f"{version} here has no {accelerator}" if version else "is not installed"
