"""A region: values that are transformed together, the constants that take it up, and the operators that see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert_converters.quantize.transforms.reader import Reader

__all__ = ["Edit", "Indices", "Member", "Region", "Seen", "Use", "is_whole"]

Indices = NDArray[np.int64]
"""Which channel of the region each position of an axis belongs to; -1: none."""

Use = tuple[ir.Node, int]
"""A node and the number of one of its inputs."""


@dataclass(frozen=True, slots=True)
class Member:
    """How a value belongs to a region: along which axis, and which of its positions."""

    axis: int
    channels: Indices


@dataclass(frozen=True, slots=True)
class Edit:
    """A constant that takes up the transform along one axis.

    `trailing` is the number of axes behind the one that is transformed (the constant may have fewer axes than that and
    is broadcast first). `inverse`: it takes T^-1 from the right (weights that sum over the channels), else T from the
    left (constants that make the channels). `group` is a grouped convolution's, whose weights [M, C / group, ...] sum
    over their own group's channels only.
    """

    node: ir.Node
    index: int
    trailing: int
    channels: Indices
    inverse: bool
    group: int = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """A weighted operator that reads a value of the region: `along_rows` where it does not sum over its axis."""

    reader: Reader
    member: Member
    along_rows: bool


@dataclass(frozen=True, slots=True)
class Region:
    """Everything that changes together.

    `size` is the number of channels. `sources` are values that keep what they hold: the transform is inserted behind
    them, for the uses named; `sinks` are values whose named uses, all of float operators, get the inverse inserted.
    `makers` are weighted operators whose output channels take up T.
    """

    size: int
    members: Mapping[ir.Value, Member]
    edits: tuple[Edit, ...]
    seen: tuple[Seen, ...]
    makers: tuple[ir.Node, ...]
    sources: Mapping[ir.Value, tuple[Use, ...]]
    sinks: Mapping[ir.Value, tuple[Use, ...]]

    @property
    def columns(self) -> tuple[Seen, ...]:
        """The operators that sum over the region's channels."""
        return tuple(seen for seen in self.seen if not seen.along_rows)


def is_whole(member: Member, size: int) -> bool:
    """True where the axis holds the region's channels in their order and nothing else."""
    return member.channels.size == size and bool((member.channels == np.arange(size)).all())
