"""A network as C sees it: buffers in the arena, and layers that each call one kernel with everything known.

    TFLite form --lower--> Network --passes (patches, order)--> Network --planner--> MemoryPlan --emit--> model.c

Frozen values throughout: a pass returns a new network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.ops.spec import Array

__all__ = ["Buffer", "Call", "Constant", "Layer", "Network", "Rows", "State", "View"]


@dataclass(frozen=True, slots=True)
class Buffer:
    """A stretch of the arena that holds one activation, channels-last, without its batch axis of 1.

    `name` is the tensor's name in the TFLite form; `is_persistent`: it keeps its content between runs.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    quant: QuantParams | None = None
    is_persistent: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes in the arena, without alignment."""
        return math.prod(self.shape) * self.dtype.itemsize_bytes


@dataclass(frozen=True, slots=True)
class View:
    """Where a layer reads or writes: a buffer, from a byte on, to its end or `size_bytes` of it."""

    buffer: int
    offset_bytes: int = 0
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Constant:
    """A table in flash. `values` is a flat integer or float array, or one with a row per C structure of `c_type`.

    `is_payload`: it holds what the model learned or how its integers are scaled, not what a kernel needs besides.
    """

    name: str
    c_type: str
    values: Array
    comment: str
    is_payload: bool = True

    @property
    def size_bytes(self) -> int:
        """Bytes in flash."""
        return int(self.values.nbytes)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a kernel `edgert_NAME` of `edgert_HEADER.h`.

    The C arguments are: every read, every write, the scratch where `scratch_bytes` is not zero, the constants, then
    `arguments` (given at run time, so that layers which differ only there share code), then `literals` (known to the
    compiler). Values are ints, or C expressions such as "1.5e-3f".
    """

    kernel: str
    header: str
    arguments: Mapping[str, int] = field(default_factory=dict)
    literals: Mapping[str, int | str] = field(default_factory=dict)
    constants: tuple[Constant, ...] = ()
    scratch_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """How rows of a layer's only output depend on rows of its only input: what cutting a layer into strips needs.

    Output row r reads input rows `r * stride - pad_top` to that plus `kernel` - 1 (dilation counted in). The call's
    arguments `in_rows`, `out_rows` and `pad_top` are those of the strip.
    """

    kernel: int
    stride: int
    pad_top: int
    in_rows: int
    out_rows: int


@dataclass(frozen=True, slots=True)
class Layer:
    """One kernel call. `overwrites`: positions in `reads` whose memory `writes[0]` may take (computed in place).

    `rows` is None where the layer cannot be cut into strips. `source` is the name of the ONNX value that it makes.
    """

    name: str
    op: str
    reads: tuple[View, ...]
    writes: tuple[View, ...]
    call: Call
    overwrites: frozenset[int] = frozenset()
    rows: Rows | None = None
    macs: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """`target` holds, in the next run, what `source` holds after this one; at first every element is `initial`."""

    target: int
    source: View
    initial: int | float


@dataclass(frozen=True, slots=True)
class Network:
    """Layers in execution order over buffers; inputs and outputs are whole buffers, in the model's order."""

    name: str
    buffers: tuple[Buffer, ...]
    layers: tuple[Layer, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    states: tuple[State, ...] = ()
