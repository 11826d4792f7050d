"""All blocks of the outlier conformance, and their clean graphs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import onnx
import onnx_ir as ir

from edgert_converters.importers.normalise import normalise
from tests.conformance.outliers import convolutions, sequences
from tests.conformance.outliers.block import Fixture

FIXTURES: tuple[Fixture, ...] = (*convolutions.FIXTURES, *sequences.FIXTURES)
ENCODER = sequences.ENCODER


@cache
def clean_model(fixture: Fixture) -> ir.Model:
    """The graph as the importer hands it to the quantizer; not to be changed."""
    result = normalise(fixture.build(), {}, Path(f"{fixture.name}.onnx"))
    return ir.from_proto(onnx.load_from_string(result.serialized))
