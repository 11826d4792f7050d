"""Runs a finished variant in its own engine on this computer, so what is verified is what will run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import edgert
from edgert.bundle import SCHEMA, Manifest, Source, TensorSpec
from edgert.errors import EngineError
from edgert.runtime.engines import choose_engine
from edgert.runtime.session import Session
from edgert_converters.built import Built
from edgert_converters.engine import Runner, load_runner, options_here
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops.spec import Array
from edgert_converters.requantize import Requantize, read_requantize

__all__ = ["load_exact", "load_variant", "why_not_here"]


def load_variant(built: Built, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Runner:
    """Returns a function that runs a finished variant once in the engine that a device would choose for it.

    Args:
        built: the variant; its layouts and integer types are hidden from the caller. Of C its graph runs.
        inputs: what the caller feeds, as in the manifest.
        outputs: what the caller gets.

    Raises:
        EngineError: no engine that is installed here runs it.
        ModelError: the engine cannot load it.
    """
    if built.format == "c":
        return load_runner(built.model) if read_requantize(built.model) is Requantize.FP32 else load_exact(built)
    executor = choose_engine(built.bare).load(built.data, built.bare, options_here(built.data))
    manifest = Manifest(
        SCHEMA, built.id, edgert.__version__, Source("", "", ""), tuple(inputs), tuple(outputs), (built.bare,), built.id
    )
    session = Session(manifest, built.bare, executor)

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return session.run(inputs)

    return run


def load_exact(built: Built) -> Runner:
    """Returns a function that gives the integers of the numerics contract, through the interpreter."""
    interpreter = Interpreter(built.model)

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return interpreter.run(inputs).outputs

    return run


def why_not_here(built: Built) -> str | None:
    """Returns why no engine here runs a variant, or None where one does; C is judged as its graph."""
    if built.format == "c":
        return None
    try:
        choose_engine(built.bare)
    except EngineError as error:
        return str(error)
    return None
