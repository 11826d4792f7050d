"""The file and the engine that ran, as a record names them."""

from __future__ import annotations

import collections
import hashlib
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import edgert
from edgert.bundle import Bundle, Manifest, Variant
from edgert.plugins import LayerTime
from edgert.profiler.device_facts import read_device
from edgert.profiler.record import SCHEMA, EngineRecord, ModelFacts, Record
from edgert.profiler.request import ProfileRequest
from edgert.runtime.plain_model import is_bundle

__all__ = ["begin_record", "describe_engine", "describe_model"]


def begin_record(
    request: ProfileRequest,
    manifest: Manifest,
    variant: Variant,
    **measured: Any,  # Any: the other fields of a record
) -> Record:
    """Returns the record of what was measured on this device: that, and which model and device it is of."""
    return Record(
        schema=SCHEMA,
        created=request.created,
        source="measured",
        model=describe_model(request.path, manifest.name, manifest.source.sha256, variant),
        variant=variant.id,
        device=read_device(target=request.target),
        **measured,
    )


def describe_model(path: str, name: str, source_sha256: str, variant: Variant) -> ModelFacts:
    """Returns the facts of the model file that ran: of a bundle that of the variant, else the file itself."""
    file = Path(path)
    if is_bundle(file):
        with Bundle.open(file) as bundle:
            entry = bundle.manifest.files[variant.path]
            return ModelFacts(name, source_sha256, entry.sha256, variant.format, variant.precision, entry.size_bytes)
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return ModelFacts(name, source_sha256, digest, variant.format, variant.precision, len(data))


def describe_engine(facts: dict[str, Any], layers: Sequence[LayerTime]) -> EngineRecord:  # Any: facts are JSON
    """Returns the engine as it ran; where several providers did, also how many layers each of them had."""
    providers = tuple(facts.get("providers", ()))
    counted = collections.Counter(row.provider for row in layers) if len(providers) > 1 else {}
    return EngineRecord(
        name=str(facts["engine"]),
        version=str(facts["version"]),
        threads=facts.get("threads"),
        dot_product=facts.get("dot_product"),
        edgert=edgert.__version__,
        python=platform.python_version(),
        numpy=np.__version__,
        providers=providers,
        options={**facts.get("options", {}), "x64quantprecision_active": facts.get("x64quantprecision")},
        layers_by_place=facts.get("layers_by_place") or dict(sorted(counted.items())),
    )
