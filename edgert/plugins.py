"""The seams of edgert: Protocols that others implement, and the look-up of installed implementations."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Gate, LayerRecord, Manifest, TensorSpec, Variant
from edgert.codec import JsonValue
from edgert.errors import MissingExtraError
from edgert.payoff import Int8Payoff

if TYPE_CHECKING:
    from pathlib import Path

    from edgert.recipe import Recipe
    from edgert.verification import VerifyReport, VerifyRequest

__all__ = [
    "ConvertResult",
    "Converter",
    "EnergySensor",
    "Engine",
    "EngineOptions",
    "Executor",
    "Firmware",
    "Judgement",
    "LayerTime",
    "ModelSummary",
    "ProgressReporter",
    "SampleRunner",
    "SensorFault",
    "SensorKind",
    "SensorReading",
    "Transport",
    "WorkerChannel",
    "load_converter",
]


@dataclass(frozen=True, slots=True)
class Firmware:
    """Firmware that was built for a target around one model, and its sections as the linker laid them out."""

    target: str
    elf: Path
    binary: Path
    model_hash: bytes
    code_bytes: int
    weight_bytes: int
    data_bytes: int
    bss_bytes: int
    arena_bytes: int


class ProgressReporter(Protocol):
    """Told what is going on: `(stage, done, total)`; total 0 means unknown."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Takes one progress message; must not raise."""
        ...


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """What a conversion made.

    `summary` is the JSON of design section 9 (`convert`), `written` the files or bundle, `gate` the verdict of the
    default variant, `messages` what the user must know, in order.
    """

    written: tuple[Path, ...]
    gate: Gate
    summary: dict[str, JsonValue]
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """What `edgert inspect` prints. `support[target]` maps an operator to the reason it is not supported there."""

    name: str
    format: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: dict[str, int]
    parameters: int
    macs: int
    weight_bytes: int
    peak_activation_bytes: int
    layers: tuple[LayerRecord, ...]
    support: dict[str, dict[str, str]]
    notes: tuple[str, ...] = ()
    int8_payoff: tuple[Int8Payoff, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the accuracy gate says of one way to run a model; `drop_points` is positive where it is worse."""

    gate: Gate
    drop_points: float
    n: int
    sentence: str


class SampleRunner(Protocol):
    """Runs one sample, wherever the model is."""

    def __call__(self, inputs: Mapping[str, NDArray[Any]], /) -> dict[str, NDArray[Any]]:
        """Takes arrays by input name, with the model's batch axis, and returns outputs by name.

        Any: element types are data.
        """
        ...


@runtime_checkable
class Converter(Protocol):
    """Turns models into bundles. Found through the entry point group `edgert.converters`."""

    def convert(self, recipe: Recipe, progress: ProgressReporter) -> ConvertResult:
        """Converts `recipe.model` and writes the output."""
        ...

    def convert_program(
        self,
        program: Any,  # Any: torch.nn.Module or torch.export.ExportedProgram; torch may be absent
        example_inputs: Sequence[Any],  # Any: torch tensors
        recipe: Recipe,
        progress: ProgressReporter,
    ) -> ConvertResult:
        """Converts a PyTorch program in memory; `recipe.model` only names it."""
        ...

    def inspect(
        self,
        path: Path,
        shapes: Mapping[str, tuple[int, ...]],
        targets: Sequence[str],
        *,
        measure: bool = False,
        progress: ProgressReporter | None = None,
    ) -> ModelSummary:
        """Describes a model file; writes nothing but the cache of measurements, and that only with `measure`.

        `measure` times float against int8 in the engines of this computer where the cache does not tell.
        """
        ...

    def verify(self, request: VerifyRequest, progress: ProgressReporter) -> VerifyReport:
        """Compares engines with the integer interpreter, layer by layer and as a whole.

        Raises:
            UsageError: an option does not fit the model.
            InputFileError: the model is damaged or has no integer layers, or the inputs do not fit it.
            EngineError: an engine that was named is not installed.
        """
        ...

    def judge(
        self,
        manifest: Manifest,
        report: JsonValue,
        data: str,
        reference: SampleRunner,
        candidate: SampleRunner,
        progress: ProgressReporter,
    ) -> Judgement:
        """Compares a candidate, as it runs, with the float reference on labelled data: the gate's paired test.

        Args:
            manifest: inputs, pre- and post-processing, labels.
            report: report.json of the bundle, for metric and largest drop; {} for a plain file.
            data: specification of the data, as in a recipe.
            reference: the float model.
            candidate: what is judged.
            progress: told what is going on.

        Raises:
            DataError: the data is missing or does not fit the model.
        """
        ...


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine runs a variant. `threads` None: the engine's default; `options` are the engine's own words."""

    threads: int | None = None
    options: dict[str, str] = field(default_factory=dict)
    profile_layers: bool = False


@dataclass(frozen=True, slots=True)
class LayerTime:
    """Mean time of one executed layer over profiled runs (or over the fastest of them), and what executed it.

    `input_shapes` are of the inputs that it read, weights included unless the engine keeps them in a form of its own;
    `dtypes` are the engine's words for them. All three are empty where the engine does not tell.
    """

    name: str
    op: str
    mean_ms: float
    provider: str
    input_shapes: tuple[tuple[int, ...], ...] = ()
    output_shapes: tuple[tuple[int, ...], ...] = ()
    dtypes: tuple[str, ...] = ()


class Executor(Protocol):
    """A model that an engine has loaded. Not thread-safe; one per thread."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, inputs: Sequence[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """Runs once; arrays in the order of `inputs`, results in the order of `outputs`."""
        ...

    def layer_times(self) -> tuple[LayerTime, ...]:
        """Per-layer means since loading; only when loaded with `profile_layers`.

        Nothing where the engine has no such times; its facts then say why under `no_layer_times`.
        """
        ...

    def facts(self) -> dict[str, JsonValue]:
        """Engine name, version, providers, threads, options: what a profile record must hold."""
        ...

    def close(self) -> None:
        """Frees the model."""
        ...


class Engine(Protocol):
    """An inference engine (ONNX Runtime, LiteRT, OpenVINO, TensorRT, a microcontroller)."""

    name: str

    def version(self) -> str | None:
        """The installed version, or None where the engine is not installed."""
        ...

    def refusal(self, variant: Variant) -> str | None:
        """Why this engine cannot run a variant, or None where it can."""
        ...

    def load(self, model: bytes, variant: Variant, options: EngineOptions) -> Executor:
        """Loads a model.

        Raises:
            EngineError: the engine is missing or too old.
            ModelError: the engine cannot read the model.
        """
        ...


class SensorKind(enum.Enum):
    """What a reading of an energy sensor is.

    POLLED: `read` takes one sample of power when it is called. STREAM: samples of power come by themselves and `read`
    waits for them, a tenth of a second at most. COUNTER: `read` takes the running total of the energy.
    """

    POLLED = "polled"
    STREAM = "stream"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class SensorFault:
    """Something wrong with a sensor: a code that docs/energy.md lists, and a sentence."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class SensorReading:
    """What a sensor gave since it was last read, in order of time.

    `time_s` float64[N] is on `time.monotonic` of the computer that reads it. `values` float64[N, rails] are milliwatt,
    or millijoule since any moment where the sensor is a counter. What could not be understood is in `faults`, one for
    each sample that was lost.
    """

    time_s: NDArray[np.float64]
    values: NDArray[np.float64]
    faults: tuple[SensorFault, ...] = ()


class EnergySensor(Protocol):
    """A source of power or energy readings; found by name or through the entry point group `edgert.energy_sensors`.

    `accuracy`, `leaves_out` and `source` are sentences that stand in every record. `relative_accuracy` is the accuracy
    as a share of the value (0.01: within 1 %), None where nobody states one. `rate_hz` is how many samples a second it
    gives, or may be asked for. A rail above `limit_mw`, or well below 0, is a fault.
    """

    name: str
    accuracy: str
    relative_accuracy: float | None
    leaves_out: str
    source: str
    rate_hz: float
    limit_mw: float
    kind: SensorKind

    @property
    def rails(self) -> tuple[str, ...]:
        """Names of the rails that are summed; never a total beside its parts."""
        ...

    def unavailable(self) -> str | None:
        """Why it cannot be read here, or None."""
        ...

    def start(self) -> None:
        """Gets ready to be read.

        Raises:
            DeviceError: the sensor does not answer.
            MissingExtraError: its package is not installed.
        """
        ...

    def read(self) -> SensorReading:
        """Returns one sample, or what came since the last call; see `kind`.

        Raises:
            DeviceError: the sensor is gone.
        """
        ...

    def stop(self) -> None:
        """Frees the sensor; safe to call twice."""
        ...


class WorkerChannel(Protocol):
    """A worker process on a device: bytes in, bytes out (edgert.runtime.wire), and how it ended."""

    reader: BinaryIO
    writer: BinaryIO

    def exit_status(self, timeout_s: float) -> int | None:
        """Waits for the end; returns the status (negative: the signal that killed it) or None when still running."""
        ...

    def log_tail(self) -> str:
        """The last lines that the worker wrote to stderr."""
        ...

    def kill(self) -> None:
        """Ends the worker now and frees the channel; safe to call twice."""
        ...


class Transport(Protocol):
    """A way to a device: starts the worker there and brings files to it."""

    url: str

    def put(self, local: Path) -> str:
        """Returns the path on the device of a file of this computer, copied there where needed.

        Raises:
            DeviceError: the device cannot be reached or has no room.
        """
        ...

    def start_worker(self, module: str) -> WorkerChannel:
        """Starts `python -m module` on the device.

        Raises:
            DeviceError: it cannot be started.
        """
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...


def load_converter() -> Converter:
    """Returns the installed converter.

    Raises:
        MissingExtraError: no converter is installed, or a package that it needs is not.
    """
    import importlib.metadata  # 25 ms that a device never needs

    for entry in importlib.metadata.entry_points(group="edgert.converters"):
        try:
            factory: Callable[[], Converter] | Converter = entry.load()
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing in {"", entry.module.partition(".")[0]}:
                raise  # a fault of the converter, not of the installation
            raise MissingExtraError(missing, "convert", "converting and inspecting model files") from error
        return factory if isinstance(factory, Converter) else factory()
    raise MissingExtraError("edgert-converters", "convert", "converting a model")
