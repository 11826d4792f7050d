"""Transferred cost models as JSON files: numbers only, checked when read, with the hash of the records behind them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import replace_atomically
from edgert.codec import CodecError, from_plain, parse_json, to_plain
from edgert.cost.transfer import Transfer
from edgert.cost.transfer_posterior import Component, Posterior
from edgert.cost.transfer_prior import CostPrior, Floats

__all__ = ["SCHEMA", "load_transfer", "parse_transfer", "save_transfer", "transfer_to_json"]

SCHEMA = 1

_Row = tuple[float, ...]
_Rows = tuple[_Row, ...]


@dataclass(frozen=True, slots=True)
class _SavedPrior:
    mean: _Row
    factors: _Rows
    spread: _Row
    log_noise: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _SavedComponent:
    weight: float
    prior: int
    view: int
    noise: float
    scale: float
    variances: _Row


@dataclass(frozen=True, slots=True)
class _SavedTransfer:
    """The form on disk; names as in Transfer, Posterior and CostPrior."""

    schema: int
    kind: str
    records: str
    level: float
    surprises: _Row
    priors: tuple[_SavedPrior, ...]
    measured: tuple[_Rows, ...]
    values: _Row
    components: tuple[_SavedComponent, ...]


_KIND = "edgert transfer cost model"


def save_transfer(transfer: Transfer, path: Path) -> None:
    """Writes a model; a reader sees the old file or the new one, never half of it."""
    replace_atomically(path, transfer_to_json(transfer).encode())


def load_transfer(path: Path) -> Transfer:
    """Reads what `save_transfer` wrote.

    Raises:
        CodecError: the file is no such model; the message names it and the place inside.
        OSError: it cannot be read.
    """
    try:
        return parse_transfer(path.read_bytes())
    except CodecError as error:
        raise CodecError("", f"{path}: {error}; learn the cost model again") from error


def transfer_to_json(transfer: Transfer) -> str:
    """Returns a model as JSON; `parse_transfer` gives back one that predicts the same to the last bit."""
    posterior = transfer.posterior
    priors = tuple(
        _SavedPrior(_row(prior.mean), tuple(map(_row, prior.factors)), _row(prior.spread), prior.log_noise)
        for prior in posterior.priors
    )
    parts = tuple(
        _SavedComponent(part.weight, part.prior, part.view, part.noise, part.scale, _row(part.variances))
        for part in posterior.components
    )
    measured = tuple(tuple(map(_row, view)) for view in posterior.measured)
    values, surprises = _row(posterior.values), _row(transfer.surprises)
    saved = _SavedTransfer(SCHEMA, _KIND, transfer.records, transfer.level, surprises, priors, measured, values, parts)
    return json.dumps(to_plain(saved), separators=(",", ":")) + "\n"


def parse_transfer(data: bytes | str) -> Transfer:
    """Returns the model in a JSON document that nobody vouches for.

    Raises:
        CodecError: another kind of document, another schema, a wrong type, or arrays that do not belong together.
    """
    try:
        plain = parse_json(data)
    except ValueError as error:
        raise CodecError("", f"no JSON: {error}") from error
    if not isinstance(plain, dict) or plain.get("kind") != _KIND:
        raise CodecError("kind", f"not an {_KIND}")
    if plain.get("schema") != SCHEMA:
        raise CodecError("schema", f"{plain.get('schema')!r} is unknown; this edgert reads {SCHEMA}")
    saved = from_plain(_SavedTransfer, plain)
    surprises = _array(saved.surprises, "surprises", (len(saved.surprises),))
    try:
        return Transfer(_posterior(saved), surprises, saved.level, saved.records)
    except ValueError as error:
        raise CodecError("", str(error)) from error


def _posterior(saved: _SavedTransfer) -> Posterior:
    count = len(saved.values)
    features = len(saved.measured[0][0]) if saved.measured and saved.measured[0] else 0
    measured = _array(saved.measured, "measured", (len(saved.measured), count, features))
    priors = tuple(_prior(item, f"priors[{i}]", features) for i, item in enumerate(saved.priors))
    shape = (len(priors), len(measured), count)
    parts = tuple(_component(item, f"components[{i}]", shape) for i, item in enumerate(saved.components))
    if abs(sum(part.weight for part in parts) - 1) > 1e-6:
        raise CodecError("components", "weights must add up to 1")
    return Posterior(priors, measured, _array(saved.values, "values", (count,)), parts)


def _prior(saved: _SavedPrior, where: str, features: int) -> CostPrior:
    return CostPrior(
        _array(saved.mean, f"{where}.mean", (features,)),
        _array(saved.factors, f"{where}.factors", (len(saved.factors), features)),
        _array(saved.spread, f"{where}.spread", (features,)),
        saved.log_noise,
    )


def _component(saved: _SavedComponent, where: str, shape: tuple[int, int, int]) -> Component:
    priors, views, count = shape
    variances = _array(saved.variances, f"{where}.variances", (count,))
    if not (0 <= saved.prior < priors and 0 <= saved.view < views):
        raise CodecError(where, f"prior {saved.prior} and view {saved.view} of {priors} priors and {views} views")
    if not (saved.weight >= 0 and saved.noise > 0 and saved.scale > 0 and (variances > 0).all()):
        raise CodecError(where, "noise, scale and variances must be above 0, weight 0 or more")
    return Component(saved.weight, saved.prior, saved.view, saved.noise, saved.scale, variances)


def _row(values: NDArray[np.float64]) -> _Row:
    return tuple(values.tolist())


def _array(values: _Row | _Rows | tuple[_Rows, ...], where: str, shape: tuple[int, ...]) -> Floats:
    try:
        array = np.array(values, np.float64)
    except ValueError as error:
        raise CodecError(where, "rows are of different lengths") from error
    if array.shape != shape or 0 in shape:
        raise CodecError(where, f"shape {array.shape}, expected {shape} with nothing empty")
    return array
