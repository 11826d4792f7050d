"""What a network says of its accuracy before anybody trains it: statistics of a forward pass, no labels, no gradients.

- `nwot`: in how different places a batch's samples switch the network's activations on (Mellor, Turner, Storkey,
  Crowley, Neural architecture search without training, ICML 2021, arXiv 2006.04647: the logarithm of the determinant
  of the kernel of binary codes).
- `synflow`: the sum over all paths of the product of absolute weights, times their number on the path (Tanaka, Kunin,
  Yamins, Ganguli, NeurIPS 2020, arXiv 2006.05467; as a score of architectures: Abdelfattah et al., ICLR 2021, arXiv
  2101.08134). The original takes a gradient. Here the sum R comes from a pass of ones through absolute weights, and
  the rest from Euler's theorem: sum of w dR/dw = dR(s w)/ds at s = 1, two more passes.
- of each activation: the same determinant, how many units are on, how large inputs are, how many directions they take.

Node-wise statistics are combined with weights that are fitted to a few measured accuracies by `edgert.cost.accuracy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.cost.path_sums import SCALE, path_model
from edgert.errors import MissingExtraError, ModelError, UsageError

__all__ = ["NodeStatistics", "ZeroCost", "zero_cost"]

Floats = NDArray[np.float64]
Model = Any  # Any: onnx.ModelProto of an untyped package
Session = Any  # Any: onnxruntime.InferenceSession of an untyped package

_ACTIVATIONS = {
    *("Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish", "Elu", "Selu", "Celu", "Gelu", "Mish", "Swish", "Softplus"),
    *("Sigmoid", "HardSigmoid", "Tanh", "ThresholdedRelu"),
}
_ONE = 1e-25
"""What stands for 1 at the input of the path sum, which is linear in it: float32 then reaches up to 1e63."""
_SCALE = 1.02
_LEAST_EIGENVALUE = 1e-3
"""Codes that are equal have a determinant of 0; this keeps its logarithm finite, and far below that of others."""


@dataclass(frozen=True, slots=True)
class NodeStatistics:
    """What the input of one activation looks like for a batch.

    Attributes:
        name: of the node.
        place: how deep it is, from 0 at the input to 1 at the deepest activation.
        log_det: of its own kernel of codes, per unit, over the number of samples.
        active: share of units above 0.
        log_std: natural logarithm of the standard deviation over units and samples.
        rank: directions that the samples take, as a share of the most possible (participation ratio).
    """

    name: str
    place: float
    log_det: float
    active: float
    log_std: float
    rank: float


@dataclass(frozen=True, slots=True)
class ZeroCost:
    """Statistics of a network. `nwot` and `synflow` are natural logarithms, higher for better networks."""

    nwot: float
    synflow: float
    nodes: tuple[NodeStatistics, ...]


def zero_cost(model: Path | bytes, batch: NDArray[np.float32]) -> ZeroCost:
    """Returns the statistics of a model with the weights that it has, trained or random.

    Args:
        model: an ONNX file or its bytes, with one input.
        batch: float32[samples, ...] for that input, two samples or more; a few dozen are enough, labels are not needed.
            All inputs of activations are in memory at once.

    Raises:
        ModelError: it is no ONNX model, or has no activation.
        UsageError: the batch does not fit it.
        MissingExtraError: onnx or onnxruntime is not installed.
    """
    if len(batch) < 2:
        raise UsageError(f"a batch of {len(batch)}: two samples or more are needed to tell them apart")
    parsed = _parse(model)
    nodes = [node for node in parsed.graph.node if node.op_type in _ACTIVATIONS]
    if not nodes:
        raise ModelError("no activation in the model whose pattern could be looked at")
    names = list(dict.fromkeys(node.input[0] for node in nodes))
    values = dict(zip(names, _run(_open(_with_outputs(parsed, names)), batch, names), strict=True))
    places = _places(parsed)
    deepest = max(places[node.output[0]] for node in nodes) or 1
    total = np.zeros((len(batch), len(batch)))
    found = []
    for node in nodes:
        # a normalization makes NaN of numbers that are all equal
        flat = np.nan_to_num(values[node.input[0]].reshape(len(batch), -1))
        kernel = _code_kernel(flat)
        total += kernel
        found.append(_statistics(node.name, places[node.output[0]] / deepest, flat, kernel))
    return ZeroCost(_log_det(total), _synflow(parsed, batch.shape[1:]), tuple(found))


def _parse(model: Path | bytes) -> Model:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "convert", "statistics of an untrained network") from error
    try:
        parsed = onnx.load_model_from_string(model) if isinstance(model, bytes) else onnx.load_model(model)
    except Exception as error:  # protobuf's DecodeError differs between its implementations
        raise ModelError(f"{'the model' if isinstance(model, bytes) else model}: no ONNX model ({error})") from error
    if len(_inputs(parsed)) != 1:
        raise ModelError(f"{len(_inputs(parsed))} inputs; statistics are of models with one")
    return parsed


def _inputs(model: Model) -> list[str]:
    stored = {item.name for item in model.graph.initializer}
    return [item.name for item in model.graph.input if item.name not in stored]


def _with_outputs(model: Model, names: Sequence[str]) -> Model:
    import onnx

    wider = onnx.ModelProto()
    wider.CopyFrom(model)
    present = {item.name for item in wider.graph.output}
    wider.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    return wider


def _open(model: Model) -> Session:
    """Loads a model on one thread."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "ort", "statistics of an untrained network") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the package raises kinds of its own
        raise ModelError(f"ONNX Runtime cannot load the model: {_words(error)}") from error


def _run(
    session: Session, batch: NDArray[np.float32], names: Sequence[str], scale: float | None = None
) -> list[NDArray[np.float32]]:
    """Returns values by name; sample by sample where the model takes one at a time."""
    entry = next(item for item in session.get_inputs() if item.name != SCALE)
    more = {} if scale is None else {SCALE: np.array(scale, np.float32)}
    step = entry.shape[0] if entry.shape and isinstance(entry.shape[0], int) else len(batch)
    try:
        parts = [session.run(names, more | {entry.name: batch[at : at + step]}) for at in range(0, len(batch), step)]
    except Exception as error:  # the package raises kinds of its own
        raise UsageError(f"ONNX Runtime cannot run the model with this batch: {_words(error)}") from error
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _places(model: Model) -> dict[str, int]:
    """How many nodes lie on the longest way to each value."""
    depth: dict[str, int] = {}
    for node in model.graph.node:
        here = 1 + max((depth.get(name, 0) for name in node.input), default=0)
        depth |= dict.fromkeys(node.output, here)
    return depth


def _code_kernel(flat: NDArray[np.float32]) -> Floats:
    """In how many units each two samples agree, float64[samples, samples]."""
    codes = np.where(flat > 0, np.float32(1), np.float32(-1))
    kernel: Floats = (flat.shape[1] + (codes @ codes.T).astype(np.float64)) / 2
    return kernel


def _log_det(kernel: Floats) -> float:
    return float(np.log(np.maximum(np.linalg.eigvalsh(kernel), _LEAST_EIGENVALUE)).sum())


def _statistics(name: str, place: float, flat: NDArray[np.float32], kernel: Floats) -> NodeStatistics:
    samples, units = flat.shape
    spread = float(flat.std())
    centered = (flat - flat.mean(axis=0)) / max(spread, 1e-12)
    gram = (centered @ centered.T).astype(np.float64)
    squares = float((gram**2).sum())
    rank = float(np.trace(gram)) ** 2 / squares / (samples - 1) if squares > 0 else 0.0
    active, log_std = float((flat > 0).mean()), float(np.log(max(spread, 1e-12)))
    return NodeStatistics(name, place, _log_det(kernel / units) / samples, active, log_std, rank)


def _synflow(model: Model, shape: Sequence[int]) -> float:
    paths = path_model(model)
    session, ones = _open(paths), np.full((1, *shape), _ONE, np.float32)
    names = [item.name for item in paths.graph.output]

    def log_sum(scale: float) -> float:
        total = sum(float(array.sum(dtype=np.float64)) for array in _run(session, ones, names, scale))
        limits = np.finfo(np.float32)
        return float(np.log(np.clip(total, limits.tiny, limits.max)) - np.log(_ONE))

    length = (log_sum(_SCALE) - log_sum(1 / _SCALE)) / (2 * np.log(_SCALE))
    return log_sum(1.0) + float(np.log(max(length, 1e-3)))
