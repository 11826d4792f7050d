"""The profile record: what was measured, on what, how, and whether it may be believed (profiles/README.md).

Written and read as JSON with a schema number. A record without environment data is refused: a latency whose
circumstances nobody knows cannot be compared with anything.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from pathlib import Path

from edgert.bundle import replace_atomically
from edgert.codec import CodecError, JsonValue, from_plain, parse_json, to_plain
from edgert.errors import InputFileError
from edgert.plugins import LayerTime
from edgert.profiler.record_upgrade import upgrade

__all__ = [
    "SCHEMA",
    "ClockAlignment",
    "DeviceFacts",
    "DutyCycle",
    "EnergyRecord",
    "EngineRecord",
    "EnvironmentRecord",
    "EnvironmentSample",
    "Latency",
    "MemoryRecord",
    "Method",
    "ModelFacts",
    "Reason",
    "Record",
    "Stages",
    "Sustained",
    "Verdict",
    "load_record",
    "parse_record",
    "write_record",
]

SCHEMA = 2
MAX_RECORD_BYTES = 64 << 20


class Verdict(enum.Enum):
    """May the figures be believed? INVALID: no; DEGRADED: with the stated reservations."""

    VALID = "valid"
    DEGRADED = "degraded"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a record is not plainly valid: a stable code for programs, a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model and the exact file that ran. SHA-256 values are hex."""

    name: str
    source_sha256: str
    variant_sha256: str
    format: str
    precision: str
    bytes: int


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """The device; None where the system does not tell.

    `core` is the processor's core by name, `target` what edgert calls such boards, `release` the operating system's.
    """

    name: str
    board: str | None
    soc: str | None
    architecture: str
    cores: int | None
    ram_bytes: int | None
    system: str
    kernel: str
    core: str | None = None
    target: str | None = None
    release: str | None = None

    def identity(self) -> tuple[str | None, ...]:
        """What two records must share to be compared."""
        return (self.board, self.soc, self.architecture, str(self.cores))


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """The engine as it really ran; `layers_by_place` is how many layers ran where, {} where it does not tell."""

    name: str
    version: str
    threads: int | None
    dot_product: str | None
    edgert: str
    python: str
    numpy: str
    providers: tuple[str, ...] = ()
    options: dict[str, JsonValue] = field(default_factory=dict)
    layers_by_place: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EnvironmentSample:
    """The state of the device at one moment; None or empty where unreadable.

    `competing_cores` is the processor time that other processes took since the sample before, in cores. `cooling` is
    how far each cooling device that takes speed away is on, `throttle_counts` how often the hardware did so by itself.
    """

    monotonic_s: float
    wall_s: float
    governors: tuple[str, ...] = ()
    clocks_mhz: tuple[float, ...] = ()
    temperatures_c: dict[str, float] = field(default_factory=dict)
    throttle_flags: str | None = None
    load_average_1m: float | None = None
    competing_cores: float | None = None
    memory_available_bytes: int | None = None
    memory_pressure_avg10: float | None = None
    clocks_locked: bool | None = None
    gpu_clock_mhz: float | None = None
    cooling: dict[str, int] = field(default_factory=dict)
    throttle_counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """Samples before, during (between windows) and after the measurement.

    `power_mode` is a Jetson's; `unreadable` names what such a board should show and did not, with the reason.
    """

    before: EnvironmentSample
    during: tuple[EnvironmentSample, ...]
    after: EnvironmentSample
    power_mode: str | None = None
    unreadable: tuple[str, ...] = ()

    def samples(self) -> tuple[EnvironmentSample, ...]:
        """All samples in order of time."""
        return (self.before, *self.during, self.after)


@dataclass(frozen=True, slots=True)
class Method:
    """How it was measured."""

    clock: str
    warmup_runs: int
    steady: bool
    windows: int
    samples: int
    input: str
    seed: int


@dataclass(frozen=True, slots=True)
class Latency:
    """One inference, engine call included; `windows_ms` keeps the samples that `compare` resamples."""

    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float
    max_ms: float
    p50_ci95_ms: tuple[float, float]
    mean_ci95_ms: tuple[float, float]
    windows_ms: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Stages:
    """Median time of each stage; None with a reason where the model has no such stage."""

    preprocess_ms: float | None
    inference_ms: float
    postprocess_ms: float | None
    note: str


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """Resident memory of the measuring process, and the two times that memory and disk govern."""

    load_ms: float
    first_run_ms: float
    rss_before_load_bytes: int | None
    rss_after_load_bytes: int | None
    peak_rss_bytes: int | None


@dataclass(frozen=True, slots=True)
class ClockAlignment:
    """How the clock of the board was set against that of the computer that read the meter.

    `offset_s` is the board's clock less the computer's; the shortest round trip bounds its error by `error_s`.
    """

    offset_s: float
    error_s: float


@dataclass(frozen=True, slots=True)
class DutyCycle:
    """What a device draws when it infers `rate_hz` times a second and idles in between; `hours` on a battery."""

    rate_hz: float
    busy_share: float
    mean_mw: float
    battery_wh: float | None = None
    hours: float | None = None


@dataclass(frozen=True, slots=True)
class EnergyRecord:
    """Energy per inference; net is gross less the idle power measured before (docs/energy.md).

    `source` is `measured`, or `estimated` from power that the user stated. The intervals hold the spread between
    windows and, where `relative_accuracy` is stated, the sensor's own error. `reasons` degrade it.
    """

    sensor: str
    rails: tuple[str, ...]
    rate_hz: float
    accuracy: str
    leaves_out: str
    idle_mw: float
    gross_mj: float
    net_mj: float
    net_ci95_mj: tuple[float, float] | None
    gross_ci95_mj: tuple[float, float] | None = None
    relative_accuracy: float | None = None
    source: str = "measured"
    sensor_source: str = ""
    windows: int = 0
    samples: int = 0
    reasons: tuple[Reason, ...] = ()
    clock: ClockAlignment | None = None
    duty: DutyCycle | None = None

    def __post_init__(self) -> None:
        if self.source not in {"measured", "estimated"}:
            raise ValueError(f"energy.source is {self.source!r}; it must be measured or estimated")


@dataclass(frozen=True, slots=True)
class Sustained:
    """Median latency at the start and the end of a long run; a ratio above 1 is throttling."""

    duration_s: float
    span_s: float
    runs: int
    first_p50_ms: float
    last_p50_ms: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Record:
    """One measurement of one variant on one device.

    `energy` is None only with `energy_reason`; `layers_reason` says why an engine gave no times of single layers.
    """

    schema: int
    created: str
    source: str
    model: ModelFacts
    variant: str
    device: DeviceFacts
    engine: EngineRecord
    environment: EnvironmentRecord
    method: Method
    latency: Latency
    stages: Stages
    memory: MemoryRecord
    verdict: Verdict
    reasons: tuple[Reason, ...]
    layers: tuple[LayerTime, ...] = ()
    energy: EnergyRecord | None = None
    energy_reason: str | None = None
    sustained: Sustained | None = None
    layers_reason: str | None = None

    def __post_init__(self) -> None:
        if self.source not in {"measured", "estimated"}:
            raise ValueError(f"source is {self.source!r}; it must be measured or estimated")
        if self.energy is None and not self.energy_reason:
            raise ValueError("energy is null without energy_reason")
        if not self.latency.windows_ms or not all(self.latency.windows_ms):
            raise ValueError("latency.windows_ms holds no samples")


def parse_record(text: str | bytes, where: str = "record") -> Record:
    """Returns the record of a JSON text; one of an older schema is upgraded.

    Raises:
        InputFileError: not JSON, an unknown schema, or a field (the environment, for example) is missing or wrong.
    """
    try:
        data = parse_json(text)
    except ValueError as error:
        raise InputFileError(f"{where}: not a profile record: not valid JSON ({error})") from error
    data = upgrade(data, SCHEMA, where)
    if "ram_bytes" in data and "latency" not in data:
        raise InputFileError(f"{where}: the record of a microcontroller; it counts instructions or cycles, not time")
    try:
        return from_plain(Record, data)
    except CodecError as error:
        raise InputFileError(f"{where}: not a complete profile record: {error}") from error


def load_record(path: Path | str) -> Record:
    """Returns the record of a file; see `parse_record`."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_RECORD_BYTES:
            raise InputFileError(f"{path}: larger than {MAX_RECORD_BYTES} bytes; not a profile record")
        text = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    return parse_record(text, str(path))


def write_record(path: Path | str, record: Record) -> Path:
    """Writes a record as JSON.

    Raises:
        OutputError: the file cannot be written; nothing is left behind.
    """
    return replace_atomically(Path(path), json.dumps(to_plain(record), indent=1, allow_nan=False).encode() + b"\n")
