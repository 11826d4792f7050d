"""The flag --shape NAME=1,3,224,224."""

from __future__ import annotations

from collections.abc import Sequence

from edgert.errors import UsageError

__all__ = ["parse_shapes"]


def parse_shapes(words: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Returns sizes by input name; a name may itself hold ``=``.

    Raises:
        UsageError: a word has another form or a size below 1.
    """
    shapes = {}
    for word in words:
        name, _, sizes = word.rpartition("=")
        try:
            shape = tuple(int(size) for size in sizes.split(","))
        except ValueError:
            shape = ()
        if not name or not shape or min(shape) < 1:
            raise UsageError(f"--shape {word!r} cannot be read; write NAME=1,3,224,224")
        shapes[name] = shape
    return shapes
