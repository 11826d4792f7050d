"""The public names stand in tests/golden/public_api.txt, so that a change of them is seen in review.

Write them anew with `EDGERT_UPDATE_GOLDEN=1 pytest tests/layering/test_public_api.py`.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import edgert
from edgert.commands import VERBS

GOLDEN = Path(__file__).parents[1] / "golden" / "public_api.txt"
MODULES = (
    "edgert",
    "edgert.app",
    "edgert.bundle",
    "edgert.dtypes",
    "edgert.errors",
    "edgert.payoff",
    "edgert.plugins",
    "edgert.quant",
    "edgert.recipe",
    "edgert.runtime",
    "edgert.signature",
    "edgert.signing",
    "edgert.target",
    "edgert.verification",
    "edgert.devices",
    "edgert.profiler.compare",
    "edgert.profiler.record",
)


def public_names() -> list[str]:
    names = [f"{module}.{name}" for module in MODULES for name in importlib.import_module(module).__all__]
    verbs = [verb.replace("-", "_") for verb in VERBS]
    return sorted([*names, *(f"edgert.commands.{verb}.{verb}" for verb in verbs)])


def test_the_public_names_are_the_golden_ones() -> None:
    found = "".join(f"{name}\n" for name in public_names())
    if os.environ.get("EDGERT_UPDATE_GOLDEN"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


def test_every_public_name_exists_and_says_what_it_is() -> None:
    for name in edgert.__all__:
        assert getattr(edgert, name) is not None
    for name in public_names():
        module, _, attribute = name.rpartition(".")
        value = getattr(importlib.import_module(module), attribute)
        if callable(value) and not hasattr(value, "__origin__"):
            assert value.__doc__, name
