"""Runs a source model as it came, before anything is changed; every later form is compared with its outputs."""

from __future__ import annotations

import warnings

import numpy as np

from edgert.errors import ModelError
from edgert_converters.importers.onnx_file import MAX_OPSET
from edgert_converters.passes.output_check import Array, Feed, first_line, run_model

__all__ = ["run_source"]


def run_source(serialized: bytes, opset: int, feed: Feed, notes: list[str]) -> list[Array]:
    """Returns the outputs of a model for one input, from ONNX Runtime.

    A model with an opset newer than `MAX_OPSET` that this ONNX Runtime cannot run goes through ONNX's own reference
    evaluator, slower, with a line in `notes`.

    Raises:
        ModelError: neither can run it; the message is ONNX Runtime's.
    """
    try:
        return run_model(serialized, feed)
    except ModelError as refusal:
        if opset <= MAX_OPSET:
            raise
        try:
            outputs = _run_evaluator(serialized, feed)
        except Exception as error:  # the evaluator raises whatever numpy and Python raise
            raise ModelError(f"{refusal}; nor can the reference evaluator of ONNX ({first_line(error)})") from refusal
    note = f"this ONNX Runtime cannot run opset {opset}; compared with ONNX's reference evaluator instead"
    if note not in notes:
        notes.append(note)
    return outputs


def _run_evaluator(serialized: bytes, feed: Feed) -> list[Array]:
    import onnx
    from onnx.reference import ReferenceEvaluator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, on overflow and division by zero, which engines pass over too
        found = ReferenceEvaluator(onnx.load_model_from_string(serialized)).run(None, feed)
    if not all(isinstance(output, (np.ndarray, np.generic)) for output in found):
        raise TypeError("an output is not a tensor")
    return [np.asarray(output) for output in found]
