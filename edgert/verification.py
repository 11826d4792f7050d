"""What `edgert verify` is asked and what it answers: engines compared with the integer interpreter, in steps."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from edgert.codec import JsonValue

if TYPE_CHECKING:
    from pathlib import Path

    from edgert.plugins import EngineOptions

__all__ = [
    "DEFAULT_SAMPLES",
    "EngineHost",
    "EngineRun",
    "PEERS",
    "FloatError",
    "LayerBoard",
    "LayerSteps",
    "Mode",
    "NotCompared",
    "Pair",
    "VerifyReport",
    "VerifyRequest",
]

PEERS = ("onnxruntime", "litert-xnnpack", "litert-reference", "tflm")
"""What is compared with the interpreter, in the order of the report; `litert` stands for both kernel sets of LiteRT."""

DEFAULT_SAMPLES = 4
JUDGE = "interpreter"


class Mode(enum.Enum):
    """ISOLATED: each layer alone, fed the interpreter's integers. END_TO_END: the whole model."""

    ISOLATED = "isolated"
    END_TO_END = "end_to_end"


@dataclass(frozen=True, slots=True)
class EngineRun:
    """What an engine gave: names of the model's inputs and outputs, outputs by sample and position, executed operators.

    `layers` is empty unless the options asked for a profiled run; `facts` are the executor's.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: list[list[NDArray[Any]]]  # Any: element types are data
    layers: tuple[str, ...]
    facts: dict[str, JsonValue]


class EngineHost(Protocol):
    """Where engines run what is compared: this process, or a board (`place` is its name then)."""

    place: str | None

    def version(self, engine: str) -> str | None:
        """The installed version of an engine, or None."""
        ...

    def dot_product(self) -> str:
        """The 8-bit dot-product instructions of the processor there (`edgert.runtime.cpu.DotProduct`)."""
        ...

    def run(
        self,
        engine: str,
        model: bytes,
        model_format: str,
        options: EngineOptions,
        samples: Sequence[Sequence[NDArray[Any]]],
    ) -> EngineRun:
        """Loads a model file and runs every sample, whose arrays are in the order of the model's inputs.

        Raises:
            ModelError: the engine does not read the model, or crashed with it.
            EngineError: it failed while running.
        """
        ...


class LayerBoard(Protocol):
    """A microcontroller that runs the C of a variant up to any layer."""

    name: str
    version: str

    @property
    def plan(self) -> Mapping[str, Any]:  # Any: JSON
        """The parsed plan.json of that C."""
        ...

    def run_to(self, inputs: bytes, layer: int) -> None:
        """Runs from an empty state to the end of a layer; `inputs` are all inputs in order.

        Raises:
            DeviceError: the board does not answer, or faulted.
        """
        ...

    def read(self, offset: int, count: int) -> bytes:
        """Returns bytes of the arena.

        Raises:
            DeviceError: the board does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """What to compare.

    `inputs` are arrays by input name, N samples along the leading axis; None: the bundle's golden inputs, else seeded
    random ones. `peers` empty: every one that is installed. `requantize` None: the mode that the model names. `shapes`
    are full shapes of inputs with axes that vary. `board` runs `variant`; it is compared end to end, alone or with the
    peers that are named. `engines` are those of a board: they are compared as well as those of this computer.
    """

    model: Path
    variant: str | None = None
    inputs: Mapping[str, NDArray[Any]] | None = None  # Any: element types are data
    samples: int = DEFAULT_SAMPLES
    modes: tuple[Mode, ...] = (Mode.ISOLATED, Mode.END_TO_END)
    peers: tuple[str, ...] = ()
    requantize: str | None = None
    seed: int = 0
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    board: LayerBoard | None = None
    engines: EngineHost | None = None


@dataclass(frozen=True, slots=True)
class LayerSteps:
    """How far one layer's integers lie from the interpreter's.

    `max_steps` is the largest difference in quantization steps, `differing` of `count` values differ. `kernels` are
    what the engine really executed, where that is known of a single layer: for ONNX Runtime operators such as
    QLinearConv, or DequantizeLinear, Conv, QuantizeLinear where it did not fuse; for LiteRT who took the nodes.
    """

    layer: str
    op: str
    max_steps: int
    differing: int
    count: int
    kernels: tuple[str, ...] = ()

    @property
    def is_fused(self) -> bool:
        """True when an integer kernel ran: no conversion to float and back."""
        return bool(self.kernels) and not {"QuantizeLinear", "DequantizeLinear"} & set(self.kernels)


@dataclass(frozen=True, slots=True)
class NotCompared:
    """A layer, or with an empty `layer` everything, that a peer could not be compared at, and why."""

    peer: str
    mode: Mode
    layer: str
    op: str
    reason: str


@dataclass(frozen=True, slots=True)
class FloatError:
    """How far the interpreter's values of one layer lie from the float model's, as SQNR in dB (mean over samples)."""

    layer: str
    op: str
    sqnr_db: float


@dataclass(frozen=True, slots=True)
class Pair:
    """One peer against the interpreter in one mode; `layers` in graph order.

    `kernels` says what ran of the whole; `same_kernels` is False where intermediate values had to come from other
    kernels than those of the plain run (the notes then say from which).
    """

    peer: str
    version: str
    mode: Mode
    layers: tuple[LayerSteps, ...]
    kernels: tuple[str, ...]
    same_kernels: bool = True
    notes: tuple[str, ...] = ()

    @property
    def max_steps(self) -> int:
        """The largest difference of all layers."""
        return max((layer.max_steps for layer in self.layers), default=0)

    @property
    def differing_share(self) -> float:
        """Share of the compared values that differ, 0..1."""
        count = sum(layer.count for layer in self.layers)
        return sum(layer.differing for layer in self.layers) / count if count else 0.0

    @property
    def first_divergence(self) -> LayerSteps | None:
        """The first layer in graph order that differs, or None."""
        return next((layer for layer in self.layers if layer.max_steps), None)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The whole comparison; `samples` says in words what was fed."""

    name: str
    variant: str
    requantize: str
    samples: str
    layer_count: int
    dot_product: str
    pairs: tuple[Pair, ...]
    not_compared: tuple[NotCompared, ...]
    float_errors: tuple[FloatError, ...]

    @property
    def max_steps(self) -> int:
        """The largest difference of all pairs."""
        return max((pair.max_steps for pair in self.pairs), default=0)

    def to_json(self) -> dict[str, JsonValue]:
        """Returns the document of `edgert verify --json`."""
        return {
            "model": self.name,
            "variant": self.variant,
            "requantize": self.requantize,
            "samples": self.samples,
            "dot_product": self.dot_product,
            "pairs": [_pair_json(pair) for pair in self.pairs],
            "not_compared": [
                {"b": row.peer, "mode": row.mode.value, "layer": row.layer, "op": row.op, "reason": row.reason}
                for row in self.not_compared
            ],
            "float": [{"layer": row.layer, "op": row.op, "sqnr_db": row.sqnr_db} for row in self.float_errors],
        }


def _pair_json(pair: Pair) -> dict[str, JsonValue]:
    first = pair.first_divergence
    return {
        "a": JUDGE,
        "b": pair.peer,
        "version": pair.version,
        "mode": pair.mode.value,
        "max_steps": pair.max_steps,
        "differing_share": pair.differing_share,
        "first_divergence": (
            None if first is None else {"layer": first.layer, "op": first.op, "steps": first.max_steps}
        ),
        "kernels": list(pair.kernels),
        "same_kernels": pair.same_kernels,
        "notes": list(pair.notes),
        "layers": [
            {
                "layer": row.layer,
                "op": row.op,
                "max_steps": row.max_steps,
                "differing": row.differing,
                "count": row.count,
                "kernels": list(row.kernels),
            }
            for row in pair.layers
        ],
    }
