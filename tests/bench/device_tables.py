"""Tables of real devices' measurements for benches and tests, and what their architectures consist of.

- nasbench201: 15,625 architectures of NAS-Bench-201 on nine devices; six operations between four nodes each.
- fbnet: 5,000 architectures of FBNet's space on nine device settings; one of nine blocks in 22 places each.
- Pi 5: latency and energy of 3,303 architectures of NAS-Bench-201 under two engines.

Needs the zoo (EDGERT_ZOO) and the extra `parquet`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ZOO = Path(os.environ.get("EDGERT_ZOO", Path(__file__).parents[3] / "shared" / "zoo"))
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
CONV_1X1, CONV_3X3, AVERAGE_POOL = 2, 3, 4
PAIR_SCALE = 0.3
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""From which node to which each operation goes, in the order of an architecture's text; node 3 is the output."""
BLOCKS = 9

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DeviceTable:
    """Features [views, n, d], latency [n, devices] in ms, and accuracy [n] in per cent where known.

    Twins, int64[p, 2], are rows of architectures that are the same in another order: they differ by noise only.
    """

    devices: tuple[str, ...]
    features: Floats
    latency_ms: Floats
    accuracy: Floats | None = None
    twins: NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class BoardTable:
    """Median latency in ms and energy in mJ of architectures, rows of NAS-Bench-201, under one engine on a Pi 5."""

    engine: str
    rows: NDArray[np.int64]
    latency_ms: Floats
    energy_mj: Floats


def load_table(name: str, zoo: Path = ZOO) -> DeviceTable:
    """Returns the table `nasbench201` or `fbnet`, or that of a file NAME.npz.

    Such a file holds `devices` (names), `features` [n, d] or [views, n, d], `latency_ms` [n, devices], and `accuracy`
    [n] in per cent where known.
    """
    known = {"nasbench201": load_nasbench201, "fbnet": load_fbnet}
    if name in known:
        return known[name](zoo)
    if not name.endswith(".npz"):
        raise SystemExit(f"no table {name!r}; known: {', '.join(known)}, or a file NAME.npz")
    with np.load(name) as table:
        accuracy = table.get("accuracy")
        return DeviceTable(tuple(table["devices"].tolist()), table["features"], table["latency_ms"], accuracy)


def load_nasbench201(zoo: Path = ZOO) -> DeviceTable:
    """Two views: all operations, and those only whose output reaches the output of the cell."""
    from pyarrow import parquet

    table = parquet.read_table(zoo / "hwbench" / "nasbench201_latency.parquet")
    names = [name for name in table.column_names if name.startswith("lat_ms_")]
    operations = parse_cells(table["arch_str"].to_pylist())
    features = np.stack([encode_cells(operations), encode_cells(reaching(operations))])
    latency = np.stack([table[name].to_numpy() for name in names], axis=1).astype(np.float64)
    accuracy = table["acc_cifar10_test"].to_numpy()
    devices = tuple(name.removeprefix("lat_ms_") for name in names)
    return DeviceTable(devices, features, latency, accuracy, find_twins(operations))


def load_fbnet(zoo: Path = ZOO) -> DeviceTable:
    """One view; the block that skips comes last in the table's numbering and is what others are counted against."""
    with np.load(zoo / "hwbench" / "fbnet_latency_5000.npz") as table:
        names = [name for name in table if name != "arch"]
        blocks = (table["arch"].astype(np.int64) + 1) % BLOCKS
        latency = np.stack([table[name] for name in names], axis=1).astype(np.float64)
    return DeviceTable(tuple(name.removeprefix("lat_") for name in names), encode(blocks, BLOCKS)[np.newaxis], latency)


def load_pi5(path: Path = ZOO / "hwbench" / "pi5_latency_energy.parquet") -> tuple[BoardTable, ...]:
    """One table for each engine."""
    from pyarrow import parquet

    table = parquet.read_table(path).to_pydict()
    engine, rows = np.array(table["framework"]), np.array(table["arch_idx"])
    latency, energy = np.array(table["lat_ms_median"]), np.array(table["energy_mj"])
    return tuple(
        BoardTable(name, rows[engine == name], latency[engine == name], energy[engine == name])
        for name in sorted(set(table["framework"]))
    )


def parse_cells(texts: list[str]) -> NDArray[np.int64]:
    """Returns the operation of each edge, int64[n, 6], of texts such as ``|none~0|+|none~0|none~1|+|...``."""
    return np.array([[OPERATIONS.index(name) for name in re.findall(r"(\w+)~", text)] for text in texts])


def find_twins(operations: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns pairs of rows, int64[p, 2], that become each other when nodes 1 and 2, unconnected, change places."""
    rows = {tuple(cell): row for row, cell in enumerate(operations.tolist())}
    swapped = operations[:, [1, 0, 2, 3, 5, 4]].tolist()
    other = np.array([rows[tuple(cell)] for cell in swapped])
    first = np.flatnonzero((operations[:, 2] == 0) & (np.arange(len(other)) < other))
    return np.stack([first, other[first]], axis=1)


def reaching(operations: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns operations with `none` for those whose output nobody reads: an engine may remove them.

    What has no input, but is read, stays: it computes on zeros.
    """
    read = np.zeros((len(operations), 4), bool)
    read[:, 3] = True
    kept = np.zeros_like(operations)
    for edge in reversed(range(len(EDGES))):
        start, end = EDGES[edge]
        kept[:, edge] = np.where(read[:, end], operations[:, edge], 0)
        read[:, start] |= kept[:, edge] != 0
    return kept


def encode(choices: NDArray[np.int64], kinds: int) -> Floats:
    """Returns how often each kind but 0 occurs, and which is at each place, float64[n, (places + 1) * (kinds - 1)]."""
    one_hot = (choices[:, :, np.newaxis] == np.arange(1, kinds)).astype(np.float64)
    return np.concatenate([one_hot.sum(axis=1), one_hot.reshape(len(choices), -1)], axis=1)


def encode_cells(operations: NDArray[np.int64]) -> Floats:
    """Returns what `encode` does, then how operations add up to less or more than their sum, float64[n, 40].

    - Pairs of operations by their two kinds: 10 counts, scaled so that each is believed to matter little.
    - Work that engines do once: convolutions that read one node share its ReLU, average pools that read one node are
      the same. Two counts of what is saved.
    """
    kinds = range(1, len(OPERATIONS))
    count = {kind: (operations == kind).sum(axis=1) for kind in kinds}
    pairs = [count[one] * count[other] for one in kinds for other in kinds if one < other]
    pairs += [count[kind] * (count[kind] - 1) / 2 for kind in kinds]
    shared = np.zeros((2, len(operations)))
    for node in (0, 1):
        read = operations[:, [edge for edge, (start, _) in enumerate(EDGES) if start == node]]
        convolutions = ((read == CONV_1X1) | (read == CONV_3X3)).sum(axis=1)
        shared += np.maximum([convolutions - 1, (read == AVERAGE_POOL).sum(axis=1) - 1], 0)
    places = encode(operations, len(OPERATIONS))
    return np.concatenate([places, PAIR_SCALE * np.stack(pairs, axis=1), shared.T], axis=1)
