"""Where a network can run on this computer: installed engines, each with the form that edgert would convert for it."""

from __future__ import annotations

from dataclasses import dataclass

from edgert.dtypes import DType
from edgert.runtime.engines import get_engine
from edgert.target import Target
from edgert_converters.payoff.cache import place_key

__all__ = ["THREADS", "Site", "find_sites"]

THREADS = 1
"""Threads of a measurement; more of them change both columns, and other work on the computer disturbs them more."""


@dataclass(frozen=True, slots=True)
class Site:
    """One engine of this computer. `cuts_layers`: single layers can be timed in a time that is worth it."""

    engine: str
    format: str
    encoding: DType
    key: str
    cuts_layers: bool


def find_sites(target: Target) -> tuple[Site, ...]:
    """Returns the installed engines of the target that stands for this computer, in its order."""
    sites = []
    for facts in target.engines:
        version = get_engine(facts.name).version()
        if version is not None:
            encoding = DType.INT8 if facts.format == "tflite" else target.activation_encoding
            # an optional engine (OpenVINO) compiles for 0.1 to 0.3 s per layer: half a minute for a small network
            sites.append(
                Site(facts.name, facts.format, encoding, place_key(facts.name, version, THREADS), not facts.optional)
            )
    return tuple(sites)
