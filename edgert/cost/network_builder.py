"""A small ONNX network while it grows: nodes, constants, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Net"]


@dataclass
class Net:
    """A network while it grows: `at` is the value that the next block takes, of `shape`."""

    random: np.random.Generator
    input: tuple[int, ...]
    activation: str
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = field(default_factory=list)  # Any: attributes
    constants: dict[str, Any] = field(default_factory=dict)  # Any: arrays
    macs: int = 0
    largest: int = 0
    at: str = "input"
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.shape = self.input

    @property
    def channels(self) -> int:
        """Of the value that the next block takes."""
        return self.shape[1]

    def add(self, op: str, inputs: list[str], shape: tuple[int, ...], **attributes: Any) -> str:  # Any: attributes
        """Adds a node whose output, of that shape, the next block takes."""
        self.at, self.shape = f"{op.lower()}_{len(self.nodes)}", shape
        self.nodes.append((op, inputs, self.at, attributes))
        self.largest = max(self.largest, int(np.prod(shape)))
        return self.at

    def constant(self, value: Any) -> str:  # Any: an array
        """Stores an array; returns its name."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = value
        return name

    def weights(self, *shape: int) -> str:
        """Stores random weights that keep the size of what goes through them; returns their name."""
        scale = 1 / np.sqrt(np.prod(shape[1:]))
        return self.constant((self.random.standard_normal(shape) * scale).astype(np.float32))

    def goto(self, at: str, shape: tuple[int, ...]) -> None:
        """Goes on from an earlier value, for a second branch."""
        self.at, self.shape = at, shape

    def pick(self, *options: Any) -> Any:  # Any: of whatever is picked from
        """Draws one of the options."""
        return options[self.random.integers(len(options))]

    def conv(
        self, out: int, kernel: int | tuple[int, int], stride: int = 1, group: int = 1, *, activate: bool = True
    ) -> None:
        """A convolution that keeps the size but for its stride, with the network's activation."""
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        pads = [size // 2 for size in kernel] + [(size - 1) // 2 for size in kernel]
        inputs = [self.at, self.weights(out, self.channels // group, *kernel)]
        if self.random.random() < 0.9:
            inputs.append(self.weights(out))
        size = tuple((length - 1) // stride + 1 for length in self.shape[2:])
        self.macs += int(np.prod(size)) * out * (self.channels // group) * kernel[0] * kernel[1]
        shape = (1, out, *size)
        self.add("Conv", inputs, shape, kernel_shape=list(kernel), strides=[stride] * 2, pads=pads, group=group)
        if activate:
            self.activate()

    def activate(self) -> None:
        """The network's activation."""
        if self.activation == "Clip":
            self.add("Clip", [self.at, *(self.constant(np.float32(bound)) for bound in (0, 6))], self.shape)
        elif self.activation == "LeakyRelu":
            self.add("LeakyRelu", [self.at], self.shape, alpha=0.1)
        else:
            self.add(self.activation, [self.at], self.shape)

    def dense(self, out: int) -> None:
        """A fully connected layer."""
        inputs = [self.at, self.weights(out, self.channels), self.weights(out)]
        self.macs += out * self.channels
        self.add("Gemm", inputs, (1, out), transB=1)

    def reshape(self, shape: tuple[int, ...]) -> None:
        """The same numbers in another shape."""
        self.add("Reshape", [self.at, self.constant(np.array(shape, np.int64))], shape)
