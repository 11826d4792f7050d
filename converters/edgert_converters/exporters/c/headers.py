"""Kernel headers by name, with those that they include."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

__all__ = ["ReadKernel", "read_headers"]

ReadKernel = Callable[[str], bytes]
"""Returns the bytes of a kernel header by its file name."""

_INCLUDE = re.compile(r'#include "(edgert_\w+\.h)"')


def read_headers(names: Iterable[str], read_kernel: ReadKernel) -> dict[str, bytes]:
    """Returns the headers and all that they include, by file name.

    Args:
        names: without `edgert_` and `.h`.
        read_kernel: gives the headers.
    """
    found: dict[str, bytes] = {}
    waiting = [f"edgert_{name}.h" for name in names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = read_kernel(name)
            waiting += _INCLUDE.findall(found[name].decode())
    return found
