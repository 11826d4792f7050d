"""`load(path).run(x)`: one model, loaded by one engine, with inputs checked against the manifest.

`Session.run` is the hot path: for arrays that fit it adds a tuple comparison and one dict to the engine's own call
(tests/bench/run_overhead.py measures it). Everything slower stands in edgert.runtime.border and checks.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgert.bundle import Bundle, Manifest, Variant
from edgert.codec import JsonValue
from edgert.errors import EdgertError, UsageError
from edgert.plugins import EngineOptions, Executor, LayerTime
from edgert.quant import QuantParams
from edgert.runtime.batching import run_batched
from edgert.runtime.border import Border, build_borders
from edgert.runtime.checks import feeds_by_name
from edgert.runtime.engines.accelerators import choose_accelerated, choose_variant
from edgert.runtime.plain_model import is_bundle, load_plain, read_plain
from edgert.runtime.settings import UNDO, Choice, look_up, words_of_threads

__all__ = ["Array", "Inputs", "Session", "load"]

Array = NDArray[Any]  # Any: element types are data (TensorSpec.dtype), unknown to the type checker
Inputs = ArrayLike | Mapping[str, ArrayLike]


def load(
    path: Path | str,
    *,
    variant: str | None = None,
    threads: int | None = None,
    engine: str | None = None,
    options: Mapping[str, str] | None = None,
    tuned: bool = True,
    accelerator: str | None = None,
) -> Session:
    """Loads a .edge bundle (or a plain .onnx or .tflite file) and returns a session ready to run.

    Where variant, engine and options are left open, the choice that `edgert run --tune` stored on this device for this
    model is taken; `Session.tuned` and the facts say so.

    Args:
        path: the bundle or model file.
        variant: id of the variant; None: the tuned one, else the bundle's default.
        threads: threads inside an operator; None: the tuned number, else the engine's default.
        engine: name of the engine; None: the tuned one, else the first that runs the variant.
        options: options of the engine by its own names.
        tuned: False: the stored choice does not count.
        accelerator: what the device is expected to run models on besides the CPU (cuda): picks variant and engine for
            it where they are left open.

    Raises:
        BundleError: the bundle is damaged or has no such variant.
        ModelError: the engine cannot read the model.
        EngineError: no engine here runs it.
        FallbackError: only the CPU would run what was meant for the accelerator.
        UsageError: an unknown engine or option.
    """
    asked = Choice(variant, engine, _checked_threads(threads), dict(options or {}))
    return _load(Path(path), asked, tuned, accelerator, False)


def load_profiled(
    path: Path | str,
    variant: str | None,
    threads: int | None,
    engine: str | None,
    options: Mapping[str, str],
    tuned: bool = True,
    accelerator: str | None = None,
) -> Session:
    """Returns a session whose `layer_times` are recorded; slower, so never the one that latency is measured on."""
    asked = Choice(variant, engine, _checked_threads(threads), dict(options))
    return _load(Path(path), asked, tuned, accelerator, True)


def _load(path: Path, asked: Choice, tuned: bool, accelerator: str | None, profile_layers: bool) -> Session:
    if not is_bundle(path):
        data = read_plain(path)

        def load_plain_as(choice: Choice) -> Session:
            options = EngineOptions(choice.threads, dict(choice.options), profile_layers)
            return Session(*load_plain(path, data, choice.variant, choice.engine, options, accelerator))

        return _load_tuned(path, hashlib.sha256(data).hexdigest(), asked, tuned, load_plain_as)
    with Bundle.open(path) as bundle:

        def load_as(choice: Choice) -> Session:
            variant = choose_variant(bundle.manifest, choice.variant, accelerator, choice.engine, choice.options)
            engine, settings = choose_accelerated(variant, choice.engine, choice.options, accelerator)
            options = EngineOptions(choice.threads, settings, profile_layers)
            executor = engine.load(bundle.read(variant.path), variant, options)
            return Session(bundle.manifest, variant, executor)

        return _load_tuned(path, bundle.sha256, asked, tuned, load_as)


def _load_tuned(path: Path, sha256: str, asked: Choice, tuned: bool, load_as: Callable[[Choice], Session]) -> Session:
    """Loads by the stored choice where there is one that counts, else as asked; the session says which."""
    if not tuned or not asked.leaves_open(Choice(threads=asked.threads)):
        return load_as(asked)
    advice = look_up(path, sha256)
    if advice is None:
        return load_as(asked)
    text = advice.text
    if advice.choice is not None and not asked.leaves_open(advice.choice):
        text = f"the stored choice is not used: it was tuned for {words_of_threads(advice.choice)}; {UNDO}"
    elif advice.choice is not None:
        try:
            session = load_as(advice.choice)
        except EdgertError as error:
            text = f"the stored choice is ignored: it does not load ({error}); {UNDO}"
        else:
            session.tuned = TunedNote(True, text)
            return session
    session = load_as(asked)
    session.tuned = TunedNote(False, text)
    return session


def _checked_threads(threads: int | None) -> int | None:
    if threads is not None and threads < 1:
        raise UsageError(f"threads is {threads}; it must be at least 1")
    return threads


@dataclass(frozen=True, slots=True)
class TunedNote:
    """Whether the choice stored by `edgert run --tune` was used, and in words which or why not."""

    used: bool
    text: str


class Session:
    """A loaded variant. Not thread-safe: load one per thread.

    Outputs always keep the model's own shape; a sample given without its batch axis comes back with an axis of 1.
    """

    def __init__(self, manifest: Manifest, variant: Variant, executor: Executor) -> None:
        self.manifest = manifest
        self.variant = variant
        self.tuned: TunedNote | None = None
        self._executor = executor
        self._inputs = build_borders(executor.inputs, variant.inputs, manifest.inputs)
        self._outputs = build_borders(executor.outputs, variant.outputs, manifest.outputs)
        self._names = tuple(spec.name for spec in executor.inputs)
        self._output_names = tuple(spec.name for spec in executor.outputs)
        self.inputs = tuple(border.view for border in self._inputs)
        self.outputs = tuple(border.view for border in self._outputs)
        self._direct = tuple(_is_direct(self._inputs, self._outputs, quantized) for quantized in (False, True))
        self._accepted: tuple[tuple[int, ...], np.dtype[Any], bool] | None = None
        self._engine_run = executor.run

    def run(self, inputs: Inputs, *, quantized: bool = False) -> dict[str, Array]:
        """Runs once and returns the outputs by name.

        Args:
            inputs: one array when the model has one input, else (or also then) arrays by input name. The batch axis
                may be left out when it is the only missing one.
            quantized: feed and return the variant's own integers wherever the manifest gives a tensor's
                quantization; other tensors stay as they are.

        Raises:
            DataError: a name, shape or type differs from the manifest: says which, expected and got.
            UsageError: `quantized` for a variant without quantized inputs or outputs.
            EngineError: the engine failed while running.
        """
        if type(inputs) is np.ndarray and (inputs.shape, inputs.dtype, quantized) == self._accepted:
            if self._direct[quantized]:
                return dict(zip(self._output_names, self._engine_run((inputs,))))  # noqa: B905  # speed; same length
            return self._run_converted((inputs,), quantized)
        return self._run_checked(inputs, quantized)

    def run_batched(self, inputs: Inputs, batch_size: int = 32, *, quantized: bool = False) -> dict[str, Array]:
        """Runs N samples (leading axis of every input) and returns outputs whose leading axis is N.

        A model with a fixed batch is run in its own batches (the last one filled up by repeating a sample and cut).

        Raises:
            DataError: as for `run`; also when inputs disagree about N or N is 0.
        """
        feeds = feeds_by_name(inputs, self._names)
        return run_batched(lambda x: self._run_checked(x, quantized), self.inputs, feeds, batch_size)

    def stream(self, samples: Iterable[Inputs], *, quantized: bool = False) -> Iterator[dict[str, Array]]:
        """Yields the outputs of each sample as it comes; nothing is read ahead."""
        for sample in samples:
            yield self.run(sample, quantized=quantized)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, or ()."""
        return self.manifest.labels

    @functools.cached_property
    def preprocess(self) -> Callable[..., Any]:  # Any: the geometry belongs to the steps, not to the session
        """`preprocess(image) -> (array, geometry)`, built from the manifest's steps."""
        from edgert.runtime.preprocess import build_preprocess

        built: Callable[..., Any] = build_preprocess(self.manifest.preprocess)
        return built

    @functools.cached_property
    def postprocess(self) -> Callable[..., Any]:  # Any: the result depends on the steps
        """`postprocess(outputs, geometry)`, built from the manifest's steps."""
        from edgert.runtime.postprocess import build_postprocess

        built: Callable[..., Any] = build_postprocess(self.manifest.postprocess)
        return built

    def facts(self) -> dict[str, JsonValue]:
        """Engine, version, providers, threads and options that really run; `tuned` where a choice was stored."""
        note = {} if self.tuned is None else {"tuned": {"used": self.tuned.used, "text": self.tuned.text}}
        return {**self._executor.facts(), **note}

    def layer_times(self) -> tuple[LayerTime, ...]:
        """Per-layer means; only for a session made by `load_profiled`."""
        return self._executor.layer_times()

    def measure_ms(self, duration_s: float, warmup_s: float) -> NDArray[np.float64]:
        """Latency of every run, float64[runs], by an engine that times itself and gives no outputs (trtexec).

        Raises:
            UsageError: the engine gives outputs, so `run` is what is timed.
        """
        measure: Callable[[float, float], NDArray[np.float64]] | None = getattr(self._executor, "measure_ms", None)
        if measure is None:
            raise UsageError(f"{self._executor.facts().get('engine')} does not time itself; time Session.run")
        return measure(duration_s, warmup_s)

    def close(self) -> None:
        """Frees the model."""
        self._executor.close()
        self._accepted = None
        self._engine_run = _refuse_closed

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reset(self) -> None:
        """Forgets what a stateful (streaming) model remembers of earlier runs; other models have nothing to forget."""
        forget = getattr(self._executor, "reset", None)
        if forget is not None:
            forget()
            self._engine_run = self._executor.run

    def quant_of(self, name: str) -> QuantParams | None:
        """Returns the quantization of an input or output, or None for a tensor that stays as it is."""
        for border in (*self._inputs, *self._outputs):
            if border.port.name == name:
                return border.port.quant
        raise UsageError(f"the model has no input or output {name!r}")

    def _run_checked(self, inputs: Inputs, quantized: bool) -> dict[str, Array]:
        feeds = feeds_by_name(inputs, self._names)
        if quantized:
            self._require_quantized()
        arrays = [border.check(feeds[border.port.name], quantized) for border in self._inputs]
        outputs = self._run_converted(arrays, quantized)
        if len(arrays) == 1:
            self._accepted = arrays[0].shape, arrays[0].dtype, quantized
        return outputs

    def _run_converted(self, arrays: Sequence[Array], quantized: bool) -> dict[str, Array]:
        feeds = [border.feed(array, quantized) for border, array in zip(self._inputs, arrays, strict=True)]
        pairs = zip(self._outputs, self._engine_run(feeds), strict=True)
        return {border.port.name: border.fetch(array, quantized) for border, array in pairs}

    def _require_quantized(self) -> None:
        if not any(border.port.quant for border in (*self._inputs, *self._outputs)):
            raise UsageError(
                f"variant {self.variant.id!r} has no quantized input or output; choose an int8 variant, "
                f"one of {', '.join(v.id for v in self.manifest.variants)}"
            )


def _is_direct(inputs: Sequence[Border], outputs: Sequence[Border], quantized: bool) -> bool:
    """Whether one bare array may go to the engine, and its results to the caller, as they stand."""
    return len(inputs) == 1 and all(border.is_direct(quantized) for border in (*inputs, *outputs))


def _refuse_closed(inputs: Sequence[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
    del inputs
    raise ValueError("this session was closed")
