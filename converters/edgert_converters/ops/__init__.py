"""The operator table: one file per operator, one line each below."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from edgert_converters.ops import (
    add,
    average_pool,
    clip,
    conv,
    gemm,
    global_average_pool,
    matmul,
    max_pool,
    relu,
    reshape,
)
from edgert_converters.ops.spec import Operator

__all__ = ["OPERATORS"]

_SPECS: Final = (
    add.SPEC,
    average_pool.SPEC,
    clip.SPEC,
    conv.SPEC,
    gemm.SPEC,
    global_average_pool.SPEC,
    matmul.SPEC,
    max_pool.SPEC,
    relu.SPEC,
    reshape.SPEC,
)

OPERATORS: Final[Mapping[str, Operator]] = MappingProxyType({spec.op_type: spec for spec in _SPECS})
