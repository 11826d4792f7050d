"""Spaces and evaluators of real tables."""

from __future__ import annotations

import builtins
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgert.errors import DataError, MissingExtraError, RecipeError
from edgert.search.cells import OPERATIONS, cell_macs, describe_cells, live, read
from edgert.search.goals import Quantity
from edgert.search.problem import ProblemRequest, make_problem
from edgert.search.settings import load_search
from edgert.search.tables import Table, TableEvaluator, load_table, space_of

BOTH = (Quantity.ACCURACY, Quantity.LATENCY_MS)


@pytest.fixture(scope="module")
def cells(zoo: Path) -> Table:
    return load_table(zoo / "hwbench" / "nasbench201_latency.parquet")


@pytest.fixture(scope="module")
def rows(zoo: Path) -> Table:
    return load_table(zoo / "hwbench" / "fbnet_latency_5000.npz")


def codes(*texts: str) -> np.ndarray:
    return np.array([[int(letter) for letter in text] for text in texts])


def request(path: Path | None, **more: object) -> ProblemRequest:
    fields = {"kind": "table", "recipe": "edgert.toml", "quantities": BOTH, "table": path and str(path), **more}
    return ProblemRequest(**fields)


def test_every_cell_is_in_the_table_once(cells: Table) -> None:
    space = space_of(cells)
    random = np.random.default_rng(0)
    assert len(cells.codes) == 5**6 == len({tuple(row) for row in cells.codes.tolist()})
    choice = space.sample(random)
    assert [OPERATIONS.index(str(value)) for value in choice.values()] == cells.codes[cells.row(choice)].tolist()
    other = space.mutate(choice, random)
    assert sum(choice[name] != other[name] for name in choice) == 1
    assert space.allows(other)


def test_an_evaluation_is_what_stands_in_the_file(cells: Table, zoo: Path) -> None:
    from pyarrow import parquet

    table = parquet.read_table(zoo / "hwbench" / "nasbench201_latency.parquet").slice(77, 1).to_pylist()[0]
    names = re.findall(r"(\w+)~", table["arch_str"])
    choice = dict(zip(space_of(cells).dimensions, names, strict=True))
    found = TableEvaluator(cells, "pixel3", "cifar10").evaluate(choice, seed=1)
    assert found.measured[Quantity.ACCURACY] == pytest.approx(table["acc_cifar10_test"] / 100)
    assert found.measured[Quantity.LATENCY_MS] == pytest.approx(table["lat_ms_pixel3"])
    assert found.facts == {"table": "nasbench201_latency.parquet", "row": 77, "device": "pixel3"}
    identities = {TableEvaluator(cells, device).identity for device in ("pixel3", "silver_4114")}
    assert len({*identities, TableEvaluator(cells, "pixel3", "cifar10").identity}) == 3


def test_operations_that_nobody_reads_or_feeds_are_not_live() -> None:
    assert read(codes("333100", "000333"))[0].tolist() == [0, 0, 0, 1, 0, 0]
    assert read(codes("000333"))[0].tolist() == [0, 0, 0, 3, 3, 3]
    assert live(codes("000333"))[0].tolist() == [0, 0, 0, 3, 0, 0]
    assert live(codes("300030", "333330", "300000"))[:, 0].tolist() == [3, 3, 0]
    assert live(codes("333330"))[0].tolist() == [3, 0, 0, 3, 3, 0]


def test_live_cells_of_equal_function_train_alike(cells: Table) -> None:
    """The published accuracies are of each cell trained by itself: equal live cells differ by training noise alone."""
    accuracy, groups = cells.accuracy["cifar100"], {}
    for row, key in enumerate(map(tuple, live(cells.codes).tolist())):
        groups.setdefault(key, []).append(accuracy[row])
    spreads = [np.std(group) for key, group in groups.items() if len(group) > 3 and any(key)]
    assert np.median(spreads) < 0.005
    assert accuracy.std() > 0.1


def test_macs_are_those_of_the_stages() -> None:
    """Cells without and with convolutions only differ by theirs: 5 cells of 6 windows of 3x3 in each of 3 stages."""
    smallest, largest = cell_macs(codes("111111", "333333"))
    assert smallest == pytest.approx(7.78e6, rel=0.02)
    assert largest - smallest == 5 * 6 * 9 * (16**2 * 1024 + 32**2 * 256 + 64**2 * 64)


def test_features_rank_what_was_measured(cells: Table) -> None:
    features = describe_cells(cells.codes)
    assert features.shape == (15625, 44)
    assert np.isfinite(features).all()
    assert (describe_cells(codes("310312")) == features[cells.codes.tolist().index([3, 1, 0, 3, 1, 2])]).all()


def test_rows_of_fbnet(rows: Table) -> None:
    space = space_of(rows)
    choice = space.sample(np.random.default_rng(0))
    other = space.mutate(choice, np.random.default_rng(1))
    assert other != choice
    assert space.allows(other)
    assert not space.allows({"row": 5000})
    assert space.encode([choice, other]).shape == (2, 8 + 22 * 8)
    assert space.encode([choice])[0, :8].sum() == (rows.codes[int(choice["row"])] != 0).sum()
    distance = (rows.codes[int(choice["row"])] != rows.codes[int(other["row"])]).sum()
    assert distance < np.median((rows.codes != rows.codes[int(choice["row"])]).sum(axis=1))
    assert set(TableEvaluator(rows, "pixel3").evaluate(choice, seed=0).measured) == {Quantity.LATENCY_MS}


def test_a_problem_of_a_table_and_what_is_wrong_with_others(cells: Table, rows: Table) -> None:
    problem = make_problem(request(cells.path, space={"0-1": ("none", "skip_connect")}), "pixel3")
    assert problem.space.dimensions["0-1"] == ("none", "skip_connect")
    assert not problem.space.allows(dict.fromkeys(problem.space.dimensions, "nor_conv_3x3"))
    with pytest.raises(RecipeError, match='kind "table" needs table = "FILE"'):
        make_problem(request(None), "pixel3")
    with pytest.raises(RecipeError, match=r"no device 'pixel_3'; did you mean 'pixel3'\?; it has 1080ti_1, "):
        make_problem(request(cells.path), "pixel_3")
    with pytest.raises(
        RecipeError, match="no data set 'cifar_10'; did you mean 'cifar10'\\?; it has cifar10, cifar100, "
    ):
        make_problem(request(cells.path, dataset="cifar_10"), "pixel3")
    with pytest.raises(RecipeError, match="no data set 'cifar10'; it has none"):
        make_problem(request(rows.path, dataset="cifar10"), "pixel3")
    with pytest.raises(RecipeError, match="no accuracy in this table; take latency_ms"):
        make_problem(request(rows.path), "pixel3")
    with pytest.raises(
        RecipeError, match=r"\[search.space\]: 0-1: no such dimension or value; 0-1: none, skip_connect"
    ):
        make_problem(request(cells.path, space={"0-1": ("conv",)}), "pixel3")


def test_the_recipe_says_whose_accuracy_counts(cells: Table, zoo: Path, tmp_path: Path) -> None:
    path = tmp_path / "edgert.toml"
    lines = ["schema = 1", "[search]", 'kind = "table"', f"table = {str(cells.path)!r}", 'device = "pixel3"']
    path.write_text("\n".join([*lines, 'dataset = "imagenet16_120"']) + "\n")
    chosen = make_problem(load_search(path, {}).request, "pixel3")
    path.write_text("\n".join(lines) + "\n")
    other = make_problem(load_search(path, {}).request, "pixel3")
    choice = chosen.space.sample(np.random.default_rng(0))
    row = cells.row(choice)
    for problem, name in ((chosen, "imagenet16_120"), (other, "cifar100")):
        measured = problem.evaluator.evaluate(choice, seed=0).measured
        assert measured[Quantity.ACCURACY] == cells.accuracy[name][row]
    assert chosen.evaluator.identity != other.evaluator.identity


def test_files_that_are_no_tables(tmp_path: Path, zoo: Path) -> None:
    broken = tmp_path / "t.parquet"
    broken.write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="t.parquet: no table of NAS-Bench-201's or FBNet's form"):
        load_table(broken)
    other = shutil.copy(zoo / "hwbench" / "pi5_latency_energy.parquet", tmp_path / "other.parquet")
    with pytest.raises(DataError, match="other.parquet: no table of NAS-Bench-201's or FBNet's form"):
        load_table(Path(other))
    np.savez(tmp_path / "t.npz", nothing=np.zeros(3))
    with pytest.raises(DataError, match="t.npz: no table of NAS-Bench-201's or FBNet's form"):
        load_table(tmp_path / "t.npz")
    with pytest.raises(DataError, match="away.parquet: no table"):
        load_table(tmp_path / "away.parquet")


def test_parquet_needs_an_extra(cells: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def no_pyarrow(name: str, *args: object, **kwargs: object) -> object:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", no_pyarrow)
    with pytest.raises(MissingExtraError, match=r"pip install 'edgert\[parquet\]'"):
        load_table(cells.path)
