"""Search over architectures whose figures stand in a published table, so that searches can be judged by the truth.

A table is a file of measurements: one of NAS-Bench-201's form (Parquet: `arch_str`, `acc_*_test` in per cent, a column
`lat_ms_DEVICE` for each device), or one of FBNet's form (NPZ: `arch`, `lat_DEVICE`; no accuracy). What an architecture
consists of is known without measuring: how often each operation runs, on which paths, and what they cost.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgert.errors import DataError, MissingExtraError, RecipeError, did_you_mean
from edgert.search.cells import EDGES, OPERATIONS, describe_cells
from edgert.search.evaluator import Evaluation
from edgert.search.goals import Quantity
from edgert.search.space import Choice, Dimensions, ProductSpace

if TYPE_CHECKING:
    from edgert.search.problem import Problem, ProblemRequest

__all__ = ["ACCURACIES", "CellSpace", "RowSpace", "Table", "TableEvaluator", "load_table", "make_table", "space_of"]

Floats = NDArray[np.float64]

ACCURACIES = ("cifar10", "cifar100", "imagenet16_120")
_DEFAULT_ACCURACY = "cifar100"
_BLOCKS = 9
_EDGES = tuple(f"{start}-{end}" for start, end in EDGES)
_ROW = "row"
_NEIGHBOURS = 20


@dataclass(frozen=True, eq=False)
class Table:
    """Measurements of architectures.

    Attributes:
        path: the file.
        sha256: of its bytes.
        codes: int64[architectures, places], which operation or block stands where.
        is_cell: whether they are NAS-Bench-201's cells, each possible one measured; else rows of FBNet's.
        latency_ms: by device, float64[architectures].
        accuracy: by data set, as a share, float64[architectures]; {} where the table has none.
    """

    path: Path
    sha256: str
    codes: NDArray[np.int64]
    is_cell: bool
    latency_ms: dict[str, Floats]
    accuracy: dict[str, Floats]
    _rows: dict[tuple[int, ...], int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", {tuple(codes): row for row, codes in enumerate(self.codes.tolist())})

    def row(self, choice: Choice) -> int:
        """Returns where a choice of `space_of` stands."""
        if not self.is_cell:
            return int(choice[_ROW])
        return self._rows[tuple(OPERATIONS.index(str(choice[name])) for name in _EDGES)]


@dataclass(frozen=True)
class CellSpace:
    """Cells of NAS-Bench-201: one operation on each of six edges between four nodes."""

    dimensions: Dimensions

    def sample(self, random: np.random.Generator) -> Choice:
        """See Space."""
        return ProductSpace(self.dimensions).sample(random)

    def mutate(self, choice: Choice, random: np.random.Generator) -> Choice:
        """See Space; another operation on one edge.

        Raises:
            ValueError: the space has one choice only.
        """
        return ProductSpace(self.dimensions).mutate(choice, random)

    def allows(self, choice: Choice) -> bool:
        """See Space."""
        return ProductSpace(self.dimensions).allows(choice)

    def encode(self, choices: Sequence[Choice]) -> Floats:
        """See Space: what `describe_cells` says."""
        codes = [[OPERATIONS.index(str(choice[name])) for name in _EDGES] for choice in choices]
        return describe_cells(np.asarray(codes, np.int64).reshape(len(choices), len(EDGES)))


@dataclass(frozen=True, eq=False)
class RowSpace:
    """The rows of a table, of which none but those were measured: a choice is the number of one."""

    codes: NDArray[np.int64]
    dimensions: Dimensions

    def sample(self, random: np.random.Generator) -> Choice:
        """See Space."""
        return ProductSpace(self.dimensions).sample(random)

    def mutate(self, choice: Choice, random: np.random.Generator) -> Choice:
        """See Space; one of the 20 rows that differ in the fewest places.

        Raises:
            ValueError: the space has one choice only.
        """
        rows = np.array([row for row in self.dimensions[_ROW] if row != choice[_ROW]], np.int64)
        if not rows.size:
            raise ValueError("a space of one choice has no neighbours")
        differs = (self.codes[rows] != self.codes[int(choice[_ROW])]).sum(axis=1)
        near = rows[np.argsort(differs, kind="stable")[:_NEIGHBOURS]]
        return {_ROW: int(near[int(random.integers(len(near)))])}

    def allows(self, choice: Choice) -> bool:
        """See Space."""
        return ProductSpace(self.dimensions).allows(choice)

    def encode(self, choices: Sequence[Choice]) -> Floats:
        """See Space: how often each block occurs, and which is where."""
        codes = self.codes[[int(choice[_ROW]) for choice in choices]].reshape(len(choices), -1)
        found = (codes[:, :, np.newaxis] == np.arange(1, _BLOCKS)).astype(np.float64)
        return np.concatenate([found.sum(axis=1), found.reshape(len(codes), -1)], axis=1)


@dataclass(frozen=True, eq=False)
class TableEvaluator:
    """Looks up what was measured on one device; accuracy as a share, of one data set."""

    table: Table
    device: str
    dataset: str = _DEFAULT_ACCURACY

    @property
    def identity(self) -> str:
        """See Evaluator."""
        return hashlib.sha256(f"{self.table.sha256}/{self.device}/{self.dataset}".encode()).hexdigest()

    def evaluate(self, choice: Choice, *, seed: int) -> Evaluation:
        """See Evaluator; the seed changes nothing."""
        row = self.table.row(choice)
        measured = {Quantity.LATENCY_MS: float(self.table.latency_ms[self.device][row])}
        if self.dataset in self.table.accuracy:
            measured[Quantity.ACCURACY] = float(self.table.accuracy[self.dataset][row])
        return Evaluation(measured, facts={"table": self.table.path.name, "row": row, "device": self.device})


def load_table(path: Path) -> Table:
    """Reads a table.

    Raises:
        DataError: the file cannot be read, or has another form.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return _load_rows(path, digest) if path.suffix == ".npz" else _load_cells(path, digest)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: no table of NAS-Bench-201's or FBNet's form: {error}") from error


def space_of(table: Table) -> CellSpace | RowSpace:
    """Returns the space of all architectures of a table."""
    if table.is_cell:
        return CellSpace(dict.fromkeys(_EDGES, OPERATIONS))
    return RowSpace(table.codes, {_ROW: tuple(range(len(table.codes)))})


def make_table(request: ProblemRequest, device: str) -> Problem:
    """Makes the problem of ``kind = "table"``; accuracy is that of the request's data set, else of CIFAR-100.

    Raises:
        RecipeError: no table, a device, data set or quantity that it does not have, or a dimension that is not its.
        DataError: see load_table.
    """
    from edgert.search.problem import Problem

    if request.table is None:
        raise RecipeError(f'{request.recipe}: [search]: kind "table" needs table = "FILE"')
    table = load_table(Path(request.table))
    if device not in table.latency_ms:
        known = list(table.latency_ms)
        hint = did_you_mean(device, known)
        raise RecipeError(f"{request.table}: no device {device!r}{hint}; it has {', '.join(known)}")
    dataset = request.dataset or _DEFAULT_ACCURACY
    if request.dataset is not None and dataset not in table.accuracy:
        known = list(table.accuracy)
        hint = did_you_mean(dataset, known)
        raise RecipeError(f"{request.table}: no data set {dataset!r}{hint}; it has {', '.join(known) or 'none'}")
    has = {Quantity.LATENCY_MS} | ({Quantity.ACCURACY} if table.accuracy else set())
    for quantity in request.quantities:
        if quantity not in has:
            raise RecipeError(f"{request.table}: no {quantity.value} in this table; take {_names(has)}")
    space = space_of(table)
    for name, values in request.space.items():
        allowed = space.dimensions.get(name)
        if allowed is None or not set(values) <= set(allowed):
            raise RecipeError(f"[search.space]: {name}: no such dimension or value; {_offered(space.dimensions)}")
    evaluator = TableEvaluator(table, device, dataset)
    return Problem(replace(space, dimensions={**space.dimensions, **request.space}), evaluator)


def _names(quantities: Collection[Quantity]) -> str:
    return ", ".join(sorted(item.value for item in quantities))


def _offered(dimensions: Dimensions) -> str:
    return "; ".join(f"{name}: {', '.join(map(str, values[:8]))}" for name, values in dimensions.items())


def _load_cells(path: Path, digest: str) -> Table:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet", "a table in Parquet") from error
    try:
        table = parquet.read_table(path)
    except ArrowException as error:
        raise ValueError(str(error)) from error
    latencies = [name for name in table.column_names if name.startswith("lat_ms_")]
    texts = table["arch_str"].to_pylist()
    codes = [[OPERATIONS.index(name) for name in re.findall(r"(\w+)~", text)] for text in texts]
    return Table(
        path,
        digest,
        np.asarray(codes, np.int64).reshape(len(texts), len(EDGES)),
        True,
        {name.removeprefix("lat_ms_"): table[name].to_numpy().astype(np.float64) for name in latencies},
        {name: table[f"acc_{name}_test"].to_numpy() / 100 for name in ACCURACIES},
    )


def _load_rows(path: Path, digest: str) -> Table:
    with np.load(path) as arrays:
        latency = {name.removeprefix("lat_"): arrays[name].astype(np.float64) for name in arrays if name != "arch"}
        blocks = (arrays["arch"].astype(np.int64) + 1) % _BLOCKS  # the block that skips is the last in the file
    return Table(path, digest, blocks, False, latency, {})
