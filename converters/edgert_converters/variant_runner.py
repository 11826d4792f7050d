"""Runs a finished variant in its own engine on this computer, so what is verified is what will run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import edgert
from edgert.bundle import SCHEMA, Manifest, Source, TensorSpec
from edgert.errors import EngineError
from edgert.plugins import EngineOptions
from edgert.runtime.engines import choose_engine
from edgert.runtime.session import Session
from edgert_converters.built import Built
from edgert_converters.engine import Runner
from edgert_converters.ops.spec import Array

__all__ = ["load_variant", "why_not_here"]


def load_variant(built: Built, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Runner:
    """Returns a function that runs a finished variant once in the engine that a device would choose for it.

    Args:
        built: the variant; its layouts and integer types are hidden from the caller.
        inputs: what the caller feeds, as in the manifest.
        outputs: what the caller gets.

    Raises:
        EngineError: no engine that is installed here runs it.
        ModelError: the engine cannot load it.
    """
    executor = choose_engine(built.bare).load(built.data, built.bare, EngineOptions())
    manifest = Manifest(
        SCHEMA, built.id, edgert.__version__, Source("", "", ""), tuple(inputs), tuple(outputs), (built.bare,), built.id
    )
    session = Session(manifest, built.bare, executor)

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return session.run(inputs)

    return run


def why_not_here(built: Built) -> str | None:
    """Returns why no engine here runs a variant, or None where one does."""
    try:
        choose_engine(built.bare)
    except EngineError as error:
        return str(error)
    return None
