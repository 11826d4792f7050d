"""LiteRT as an engine: ai-edge-litert, or tflite-runtime on boards that have only that."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Variant
from edgert.codec import JsonValue
from edgert.errors import EngineError, ModelError
from edgert.plugins import EngineOptions, Executor, LayerTime
from edgert.runtime.cpu import dot_product
from edgert.runtime.engines.litert_graph import delegate_share, read_ports
from edgert.runtime.engines.options import OptionTable, checked_options, contradiction, one_line

__all__ = ["OPTIONS", "LiteRtEngine"]

OPTIONS: OptionTable = {
    "kernels": ("auto", ("auto", "reference"), "the package's optimized kernels, or its reference kernels"),
    "xnnpack": ("auto", ("auto", "0", "1"), "XNNPACK takes the nodes that it can; auto: 1, 0 with kernels=reference"),
    "latest_features": ("0", ("0", "1"), "XNNPACK also takes operators that are still behind a flag"),
}
"""Option -> (default, allowed values or () for any, meaning)."""

NO_LAYER_TIMES = "LiteRT's Python packages have no profiler of single operators"
_DISTRIBUTIONS = {"ai_edge_litert": "ai-edge-litert", "tflite_runtime": "tflite-runtime"}
"""Import name -> distribution, in order of preference."""
_PACKAGE_HINT = "the package 'ai-edge-litert' is not installed; install it with: pip install 'edgert[litert]'"
_DEFAULT_THREADS = 1
"""`Interpreter(num_threads=None)` runs on one thread in both packages."""


class LiteRtEngine:
    """Runs TensorFlow Lite files."""

    name = "litert"

    def version(self) -> str | None:
        """The installed version, or None."""
        package = _installed()
        return None if package is None else _version(package)

    def refusal(self, variant: Variant) -> str | None:
        """Why a variant cannot run here: another file format, or neither package is installed."""
        if variant.format != "tflite":
            return f"reads tflite, not {variant.format}"
        return None if _installed() else _PACKAGE_HINT

    def load(self, model: bytes, variant: Variant, options: EngineOptions) -> Executor:
        """Loads a model; see Engine.load.

        Raises:
            UsageError: an unknown option or value, or two that contradict each other.
            EngineError: neither package is installed, or the one that is cannot be loaded here.
            ModelError: the model is damaged or holds something LiteRT does not know.
        """
        settings = checked_options(self.name, OPTIONS, options.options)
        if settings["kernels"] == "reference" and settings["xnnpack"] == "1":
            raise contradiction(self.name, "kernels=reference", "xnnpack=1")
        package = _installed()
        if package is None:
            raise EngineError(_PACKAGE_HINT)
        if not model:
            raise ModelError(f"litert cannot load variant {variant.id!r}: the file is empty")
        loaded = _Loaded(_import(package), package, model, options.threads or _DEFAULT_THREADS, settings)
        try:
            return _LiteRtExecutor(loaded)
        except (ValueError, RuntimeError) as error:  # all that the package raises, for each kind of damage
            raise ModelError(f"litert cannot load variant {variant.id!r}: {one_line(error)}") from error


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What an interpreter is made from."""

    module: Any  # Any: untyped package
    package: str
    model: bytes
    threads: int
    settings: dict[str, str]

    def interpreter(self) -> Any:  # Any: untyped package
        """Returns a new interpreter with allocated tensors."""
        resolvers = self.module.OpResolverType
        resolver = resolvers.AUTO
        if self.settings["kernels"] == "reference":
            resolver = resolvers.BUILTIN_REF
        elif self.settings["xnnpack"] == "0":
            resolver = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        more = {"experimental_default_delegate_latest_features": True} if self.latest_features else {}
        made = self.module.Interpreter(
            model_content=self.model, num_threads=self.threads, experimental_op_resolver_type=resolver, **more
        )
        made.allocate_tensors()
        return made

    @property
    def latest_features(self) -> bool:
        """Whether flag-protected operators go to XNNPACK."""
        return self.settings["latest_features"] == "1"


class _LiteRtExecutor:
    """One interpreter. Not thread-safe. Variables of a stateful model live from run to run until `reset`."""

    _interpreter: Any  # Any: untyped package

    def __init__(self, loaded: _Loaded) -> None:
        self._loaded = loaded
        interpreter = self._start()
        inputs, outputs = read_ports(interpreter)
        self.inputs = tuple(port.spec for port in inputs)
        self.outputs = tuple(port.spec for port in outputs)
        self._input_indices = [port.index for port in inputs]
        self._output_indices = [port.index for port in outputs]
        self._varies = any(None in spec.shape for spec in self.inputs)
        self._shapes = [tuple(detail["shape"].tolist()) for detail in interpreter.get_input_details()]
        self._first_shapes = self._shapes
        self._facts: dict[str, JsonValue] | None = None

    def run(self, inputs: Sequence[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """Runs once; the results are copies and stay as they are.

        Raises:
            EngineError: LiteRT failed, or the model cannot take inputs of this shape; its own text is kept.
        """
        try:
            if self._varies and [array.shape for array in inputs] != self._shapes:
                self._resize([array.shape for array in inputs])
            for index, array in zip(self._input_indices, inputs):  # noqa: B905  # speed; same length
                self._set(index, array)
            self._invoke()
            return [self._get(index) for index in self._output_indices]
        except (ValueError, RuntimeError) as error:
            raise EngineError(f"litert failed while running: {one_line(error)}") from error

    def reset(self) -> None:
        """Forgets the state of a stateful model, by starting anew.

        `Interpreter.reset_all_variables` clears variable tensors only and leaves resource variables (READ_VARIABLE,
        ASSIGN_VARIABLE) as they are, which is what streaming models are made of.
        """
        self._start()
        if self._shapes != self._first_shapes:
            self._resize(self._shapes)

    def layer_times(self) -> tuple[LayerTime, ...]:
        """Returns nothing: `facts()` says so under `no_layer_times`."""
        return ()

    def facts(self) -> dict[str, JsonValue]:
        """Engine, version, package, what XNNPACK took, threads, options and the dot-product instructions."""
        if self._facts is None:
            self._facts = _facts(self._loaded, self._interpreter)
        return dict(self._facts)

    def close(self) -> None:
        """Drops the interpreter."""
        self._interpreter = None
        del self._set, self._get, self._invoke

    def _start(self) -> Any:  # Any: untyped package
        interpreter: Any = self._loaded.interpreter()
        self._interpreter = interpreter
        self._set, self._get, self._invoke = interpreter.set_tensor, interpreter.get_tensor, interpreter.invoke
        return interpreter

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        """Gives the inputs other sizes; where the model cannot have them, it keeps the old ones."""
        try:
            self._allocate(shapes)
        except (ValueError, RuntimeError):
            self._start()  # an allocation that failed leaves an interpreter that no longer allocates
            if self._shapes != self._first_shapes:
                self._allocate(self._shapes)
            raise
        self._shapes = shapes

    def _allocate(self, shapes: list[tuple[int, ...]]) -> None:
        for index, shape in zip(self._input_indices, shapes, strict=True):
            self._interpreter.resize_tensor_input(index, shape)
        self._interpreter.allocate_tensors()


def _installed() -> str | None:
    """Import name of the package to use, found without importing it."""
    return next((package for package in _DISTRIBUTIONS if importlib.util.find_spec(package)), None)


def _version(package: str) -> str:
    import importlib.metadata  # 1.5 MB that a worker with the package loaded does not need

    return importlib.metadata.version(_DISTRIBUTIONS[package])


def _loaded_version(package: str) -> str:
    """The version of a package that is loaded, by its own word where it has one."""
    return str(getattr(sys.modules.get(package), "__version__", None) or _version(package))


def _import(package: str) -> Any:  # Any: untyped package
    if package == "tflite_runtime" and int(np.__version__.partition(".")[0]) > 1:
        raise EngineError(
            f"the package 'tflite-runtime' {_version(package)} needs numpy below 2, found {np.__version__}; "
            "run: pip install 'numpy<2'"
        )
    try:
        return importlib.import_module(f"{package}.interpreter")
    except (ImportError, OSError) as error:
        raise EngineError(f"the package {_DISTRIBUTIONS[package]!r} cannot be loaded: {one_line(error)}") from error


def _facts(loaded: _Loaded, interpreter: Any) -> dict[str, JsonValue]:  # Any: untyped package
    reference = loaded.settings["kernels"] == "reference"
    kernels = "reference kernels" if reference else "built-in kernels"
    facts: dict[str, JsonValue] = {
        "engine": LiteRtEngine.name,
        "version": _loaded_version(loaded.package),
        "package": _DISTRIBUTIONS[loaded.package],
        "providers": [],
        "threads": loaded.threads,
        "dot_product": dot_product().value,
        "options": loaded.settings,
        "no_layer_times": NO_LAYER_TIMES,
    }
    try:
        share = delegate_share(interpreter._get_ops_details())  # not promised by the package: it may go
    except (AttributeError, ValueError, RuntimeError):  # or fail on a name inside the graph that is no text
        return facts
    facts["nodes"] = share.nodes
    facts["xnnpack_nodes"] = share.taken
    facts["xnnpack_pieces"] = share.pieces
    facts["providers"] = [*(["XNNPACK"] if share.taken else []), *([kernels] if share.taken < share.nodes else [])]
    if loaded.settings["xnnpack"] == "1" and not share.taken:
        facts["fallback"] = f"XNNPACK was asked for and took none of the {share.nodes} nodes"
    return facts
