"""Statistics of untrained networks: against their definitions, on real models, and what a few accuracies add."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from edgert.cost.accuracy import AccuracyModel, fit_accuracy, load_accuracy, write_accuracy
from edgert.cost.path_sums import SCALE, path_model
from edgert.cost.zero_cost import ZeroCost, zero_cost
from edgert.errors import InputFileError, ModelError, UsageError
from edgert.search.tables import Table, load_table
from tests.bench.cell_networks import cell_network

COUNT = 40


def images(samples: int = 8) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((samples, 3, 32, 32)).astype(np.float32)


def perceptron(weights: list[np.ndarray], biases: list[np.ndarray]) -> bytes:
    """x W1 + b1, ReLU, W2, ... without an activation at the end."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, x = [], [], "input"
    for place, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        constants += [numpy_helper.from_array(weight, f"w{place}"), numpy_helper.from_array(bias, f"b{place}")]
        nodes.append(helper.make_node("Gemm", [x, f"w{place}", f"b{place}"], [f"y{place}"]))
        x = f"y{place}"
        if place < len(weights) - 1:
            nodes.append(helper.make_node("Relu", [x], [f"z{place}"], name=f"relu{place}"))
            x = f"z{place}"
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", weights[0].shape[0]])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["N", weights[-1].shape[1]])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()


@pytest.fixture(scope="module")
def table(zoo: Path) -> Table:
    return load_table(zoo / "hwbench" / "nasbench201_latency.parquet")


@pytest.fixture(scope="module")
def rows() -> list[int]:
    return np.random.default_rng(11).choice(5**6, COUNT, replace=False).tolist()


@pytest.fixture(scope="module")
def networks(table: Table, rows: list[int]) -> list[ZeroCost]:
    """Of architectures of NAS-Bench-201 with one cell in each stage and random weights."""
    return [zero_cost(cell_network(table.codes[row].tolist(), seed=row), images(8)) for row in rows]


def test_they_are_what_the_papers_define() -> None:
    random = np.random.default_rng(1)
    weights = [random.standard_normal(shape).astype(np.float32) for shape in ((6, 9), (9, 5), (5, 3))]
    biases = [random.standard_normal(size).astype(np.float32) for size in (9, 5, 3)]
    batch = random.standard_normal((4, 6)).astype(np.float32)
    found = zero_cost(perceptron(weights, biases), batch)
    first = batch @ weights[0] + biases[0]
    second = np.maximum(first, 0) @ weights[1] + biases[1]
    codes = np.concatenate([first > 0, second > 0], axis=1).astype(float)
    kernel = codes @ codes.T + (1 - codes) @ (1 - codes).T
    assert found.nwot == pytest.approx(np.linalg.slogdet(kernel)[1], rel=1e-6)
    paths = np.ones(6) @ np.abs(weights[0]) @ np.abs(weights[1]) @ np.abs(weights[2])
    assert found.synflow == pytest.approx(np.log(3 * paths.sum()), abs=1e-3)  # each path has three weights
    assert [node.name for node in found.nodes] == ["relu0", "relu1"]
    assert found.nodes[0].active == pytest.approx((first > 0).mean())
    assert found.nodes[1].log_std == pytest.approx(np.log(second.std()), rel=1e-5)
    assert [node.place for node in found.nodes] == [0.5, 1.0]


def test_paths_of_different_lengths_count_by_their_weights() -> None:
    """A residual network against the gradient of its path sum, taken weight by weight in float64."""
    data = cell_network([3, 1, 0, 0, 2, 1], seed=3)
    small, large = (_log_path_sum(data, scale) for scale in (0.999, 1.001))
    length = (large - small) / np.log(1.001 / 0.999)
    assert 9 < length < 24  # stem, classifier and two residual blocks: 6 to 9; cells: up to 2 convolutions in each of 3
    assert zero_cost(data, images()).synflow == pytest.approx(_log_path_sum(data, 1.0) + np.log(length), abs=0.02)


def _log_path_sum(data: bytes, scale: float) -> float:
    import onnx
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    model = path_model(onnx.load_model_from_string(data))
    for item in model.graph.initializer:
        item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item).astype(np.float64), item.name))
    inputs = {"input": np.ones((1, 3, 32, 32)), SCALE: np.array(scale)}
    (found,) = ReferenceEvaluator(model).run(None, inputs)
    return float(np.log(found.sum()))


def test_a_network_that_computes_nothing_scores_below_all_others(networks: list[ZeroCost]) -> None:
    dead = zero_cost(cell_network([0] * 6), images(8))
    alive = zero_cost(cell_network([3] * 6), images(8))
    assert dead.nwot < alive.nwot
    assert dead.synflow < alive.synflow
    assert all(np.isfinite(dataclasses.astuple(node)[1:]).all() for item in [dead, *networks] for node in item.nodes)
    assert all(np.isfinite([item.nwot, item.synflow]).all() for item in [dead, *networks])


def test_the_whole_published_depth_does_not_overflow() -> None:
    found = zero_cost(cell_network([3] * 6, cells=5), images(2))
    assert 100 < found.synflow < 200


@pytest.mark.parametrize("name", ["resnet20_cifar10.onnx", "nanodet_m_320.onnx", "ultraface_RFB_320_nopost.onnx"])
def test_real_trained_models(zoo: Path, name: str) -> None:
    from onnx import load_model

    path = zoo / "models" / name
    shape = [axis.dim_value or 1 for axis in load_model(path).graph.input[0].type.tensor_type.shape.dim]
    batch = np.random.default_rng(0).standard_normal((4, *shape[1:])).astype(np.float32)
    found = zero_cost(path, batch)
    assert len(found.nodes) > 10
    assert np.isfinite([found.nwot, found.synflow]).all()
    assert all(0 <= node.active <= 1 and 0 <= node.rank <= 1 + 1e-6 for node in found.nodes)


def test_what_cannot_be_looked_at_is_refused(tmp_path: Path) -> None:
    data = cell_network([1] * 6)
    with pytest.raises(UsageError, match="a batch of 1: two samples"):
        zero_cost(data, images(1))
    with pytest.raises(UsageError, match="cannot run the model with this batch"):
        zero_cost(data, np.zeros((4, 5), np.float32))
    with pytest.raises(ModelError, match="no ONNX model"):
        zero_cost(tmp_path / "away.onnx", images())
    with pytest.raises(ModelError, match="the model: no ONNX model"):
        zero_cost(b"\xff\xff", images())
    linear = perceptron([np.ones((4, 2), np.float32)], [np.zeros(2, np.float32)])
    with pytest.raises(ModelError, match="no activation"):
        zero_cost(linear, np.ones((4, 4), np.float32))


def test_they_rank_what_was_trained_and_a_few_accuracies_help(
    table: Table, rows: list[int], networks: list[ZeroCost]
) -> None:
    truth = table.accuracy["cifar10"][rows]
    assert spearmanr([network.synflow for network in networks], truth)[0] > 0.6
    assert spearmanr([network.nwot for network in networks], truth)[0] > 0.4
    model = fit_accuracy(networks[:25], truth[:25].tolist(), networks[25:], ["a"])
    said, rest = model.predict(networks[25:]), truth[25:]
    assert spearmanr(said.value, rest)[0] > 0.6
    assert np.median(np.abs(said.value - rest)) < 0.04
    held = (said.low <= rest) & (rest <= said.high)
    assert held.mean() > 0.7
    assert (said.high <= 1).all()


def test_a_saved_model_predicts_the_same(
    table: Table, rows: list[int], networks: list[ZeroCost], tmp_path: Path
) -> None:
    model = fit_accuracy(networks[:20], table.accuracy["cifar100"][rows[:20]].tolist())
    path = write_accuracy(tmp_path / "accuracy.json", model)
    read = load_accuracy(path)
    assert isinstance(read, AccuracyModel)
    for first, second in zip(_arrays(model, networks), _arrays(read, networks), strict=True):
        assert second == pytest.approx(first, rel=1e-12)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 2}))
    with pytest.raises(InputFileError, match="cost model of schema 2, this edgert reads 1; fit it again"):
        load_accuracy(path)


def _arrays(model: AccuracyModel, networks: list[ZeroCost]) -> tuple[np.ndarray, ...]:
    found = model.predict(networks[20:])
    return found.value, found.low, found.high


def test_too_few_accuracies_give_no_model_and_few_no_bound(networks: list[ZeroCost]) -> None:
    with pytest.raises(ValueError, match="4 accuracies of 4 networks: at least 5 of both"):
        fit_accuracy(networks[:4], [0.5, 0.6, 0.7, 0.8])
    with pytest.raises(ValueError, match="4 accuracies of 5 networks"):
        fit_accuracy(networks[:5], [0.5, 0.6, 0.7, 0.8])
    with pytest.raises(ValueError, match=r"accuracies from 0.5 to 90; shares of 0 to 1"):
        fit_accuracy(networks[:5], [0.5, 0.6, 0.7, 0.8, 90])
    found = fit_accuracy(networks[:5], [0.5, 0.6, 0.7, 0.8, 0.9]).predict(networks[5:8])
    assert found.low.tolist() == [0.0] * 3
    assert found.high == pytest.approx([1.0] * 3)
