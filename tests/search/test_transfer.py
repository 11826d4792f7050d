"""Few-shot transfer on real devices' tables: each bound is one that a plain ridge regression on the devices misses."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from edgert.codec import CodecError
from edgert.cost.prediction import Prediction
from edgert.cost.selection import choose_models
from edgert.cost.transfer import Transfer, fit_transfer
from edgert.cost.transfer_file import load_transfer, parse_transfer, save_transfer, transfer_to_json
from edgert.cost.transfer_prior import EarlierDevices, learn_devices
from tests.bench.device_tables import DeviceTable, load_fbnet, load_nasbench201, load_pi5, parse_cells, reaching
from tests.bench.few_shot import LIMITS, ridge, score, score_picks

NONE, SKIP, CONV_3X3 = 0, 1, 3


@pytest.fixture(scope="module")
def cells(zoo: Path) -> DeviceTable:
    return load_nasbench201(zoo)


@pytest.fixture(scope="module")
def devices(cells: DeviceTable) -> EarlierDevices:
    return learn_devices(cells.features, cells.latency_ms)


@pytest.fixture(scope="module")
def transferred(cells: DeviceTable, devices: EarlierDevices) -> dict[str, tuple[Transfer, np.ndarray]]:
    """Each device of NAS-Bench-201 as the new one, with the 10 models chosen among a thousand, and these."""
    found = {}
    for device, name in enumerate(cells.devices):
        earlier = devices.without(device)
        rows = choose_models(earlier, 10, among=range(0, 15_625, 15))
        found[name] = fit_transfer(earlier, rows, cells.latency_ms[rows, device], records="sha256:1234"), rows
    return found


@pytest.fixture(scope="module")
def learned(transferred: dict[str, tuple[Transfer, np.ndarray]]) -> Transfer:
    return transferred["pixel3"][0]


@pytest.mark.parametrize(
    ("name", "least"),
    [("silver_4210r", 0.985), ("samsung_a50", 0.97), ("1080ti_256", 0.97), ("pixel3", 0.93), ("samsung_s7", 0.92)],
)
def test_ten_measurements_rank_all_architectures(
    name: str, least: float, cells: DeviceTable, transferred: dict[str, tuple[Transfer, np.ndarray]]
) -> None:
    transfer, rows = transferred[name]
    true = cells.latency_ms[:, cells.devices.index(name)]
    assert score(transfer.predict(cells.features), true, rows)["spearman"] >= least


def test_transfer_ranks_better_than_ridge_on_the_mean_device(
    cells: DeviceTable, devices: EarlierDevices, transferred: dict[str, tuple[Transfer, np.ndarray]]
) -> None:
    ours, theirs = [], []
    for device, name in enumerate(cells.devices):
        transfer, rows = transferred[name]
        true, known = cells.latency_ms[:, device], np.log(devices.without(device).values)
        ours.append(spearmanr(transfer.predict(cells.features).value, true)[0])
        theirs.append(spearmanr(ridge(known, np.log(true[rows]), rows), true)[0])
    assert np.mean(ours) >= 0.96  # 0.971 is what costs fitted to the whole table reach
    assert 1 - np.mean(ours) < (1 - np.mean(theirs)) / 2


def test_nine_of_ten_latencies_lie_within_the_interval(
    cells: DeviceTable, transferred: dict[str, tuple[Transfer, np.ndarray]]
) -> None:
    scores = [
        score(transferred[name][0].predict(cells.features), cells.latency_ms[:, device], transferred[name][1])
        for device, name in enumerate(cells.devices)
    ]
    assert 0.82 <= np.mean([each["coverage"] for each in scores]) <= 0.97
    assert min(each["coverage"] for each in scores) >= 0.6
    assert np.mean([each["width"] for each in scores]) <= 10


def test_risks_say_how_many_models_break_a_limit(
    cells: DeviceTable, transferred: dict[str, tuple[Transfer, np.ndarray]]
) -> None:
    surplus = []
    for device, name in enumerate(cells.devices):
        true = cells.latency_ms[::20, device]
        limits = np.quantile(true, LIMITS)
        risks = transferred[name][0].predict_risk(cells.features[:, ::20], limits)
        assert (np.diff(risks, axis=0) <= 0).all()
        surplus.append(risks.mean(axis=1) - [(true > limit).mean() for limit in limits])
    assert np.abs(np.mean(surplus, axis=0)).max() <= 0.06


def test_at_the_upper_end_of_the_interval_one_in_twenty_breaks(cells: DeviceTable, learned: Transfer) -> None:
    some = cells.features[:, ::2000]
    risks = learned.predict_risk(some, learned.predict(some).high)
    np.testing.assert_allclose(np.diag(risks), 0.05, atol=1e-9)


def test_picks_by_risk_lose_less_accuracy_than_those_below_the_upper_end(
    cells: DeviceTable, transferred: dict[str, tuple[Transfer, np.ndarray]]
) -> None:
    scores = []
    for device, name in enumerate(cells.devices):
        transfer = transferred[name][0]
        prediction, true = transfer.predict(cells.features), cells.latency_ms[:, device]
        risk = partial(transfer.predict_risk, cells.features)
        scores.append(score_picks(prediction, risk, true, cells.accuracy))
    broken, loss, cautious = (np.mean([s[k] for s in scores]) for k in ("broken at 10", "loss at 10", "loss below"))
    assert broken <= 0.1
    assert loss <= 1.0
    assert loss < cautious / 2


def test_an_engine_that_removes_dead_operations_is_recognized(
    transferred: dict[str, tuple[Transfer, np.ndarray]],
) -> None:
    views = {name: transfer.posterior.components[0].view for name, (transfer, _) in transferred.items()}
    assert views.pop("pixel3") == 1
    assert set(views.values()) == {0}


def test_blocks_in_places(zoo: Path) -> None:
    table = load_fbnet(zoo)
    devices = learn_devices(table.features[:, ::4], table.latency_ms[::4])
    device, values = table.devices.index("pixel3"), table.latency_ms[::4]
    earlier, true = devices.without(device), values[:, device]
    rows = choose_models(earlier, 10)
    found = score(fit_transfer(earlier, rows, true[rows]).predict(table.features[:, ::4]), true, rows)
    plain = spearmanr(ridge(np.log(earlier.values), np.log(true[rows]), rows), true)[0]
    assert found["spearman"] >= 0.95
    assert 1 - found["spearman"] < 0.7 * (1 - plain)
    assert found["median_error"] <= 0.045


@pytest.mark.parametrize(("engine", "most"), [("litert", 0.04), ("onnx", 0.05)])
def test_energy_and_latency_of_a_new_board(engine: str, most: float, zoo: Path, devices: EarlierDevices) -> None:
    board = next(each for each in load_pi5(zoo / "hwbench" / "pi5_latency_energy.parquet") if each.engine == engine)
    rows = choose_models(devices, 10, among=board.rows[::3])
    places = np.searchsorted(board.rows, rows)
    assert (board.rows[places] == rows).all()
    for values, error in ((board.latency_ms, most), (board.energy_mj, 0.07)):
        transfer = fit_transfer(devices, rows, values[places])
        prediction = transfer.predict(devices.views[:, board.rows, :-1])
        found = score(prediction, values, places)
        assert found["median_error"] <= error  # ridge: 0.07 to 0.09
        assert found["spearman"] >= (0.985 if values is board.latency_ms else 0.96)


def test_operations_that_nobody_reads() -> None:
    text = "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|none~2|"
    cells = parse_cells([text])
    assert cells.tolist() == [[CONV_3X3, CONV_3X3, NONE, SKIP, NONE, NONE]]
    assert reaching(cells).tolist() == [[NONE, NONE, NONE, SKIP, NONE, NONE]]
    chain = np.array([[CONV_3X3, NONE, CONV_3X3, NONE, NONE, SKIP]])
    assert (reaching(chain) == chain).all()


def _additive(count: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Devices whose latency is a sum of costs: features, five devices', and a sixth's values."""
    random = np.random.default_rng(5)
    features = random.integers(0, 4, (count, 6)).astype(float)
    costs = random.uniform(0.5, 4, (6, 6)) * [1, 10, 0.2, 5, 2, 3]
    values = features @ costs + costs.sum(axis=0) + 1
    return features, values[:, :5], values[:, 5]


def test_sums_of_costs_are_recovered_in_any_unit() -> None:
    features, values, new = _additive()
    devices = learn_devices(features, values)
    rows = choose_models(devices, 10)
    in_ms = fit_transfer(devices, rows, new[rows]).predict(features)
    in_us = fit_transfer(devices, rows, 1000 * new[rows]).predict(features)
    assert np.median(np.abs(in_ms.value / new - 1)) < 0.01
    np.testing.assert_allclose(in_us.high, 1000 * in_ms.high, rtol=1e-6)


def test_an_outlier_among_the_measurements_hardly_moves_the_rest() -> None:
    features, values, new = _additive()
    devices = learn_devices(features, values)
    rows = choose_models(devices, 10)
    measured = new[rows].copy()
    measured[3] *= 4
    error = np.abs(fit_transfer(devices, rows, measured).predict(features).value / new - 1)
    assert np.median(error) < 0.1


def test_a_wider_level_gives_wider_intervals() -> None:
    features, values, new = _additive()
    devices = learn_devices(features, values)
    rows = choose_models(devices, 10)
    narrow, wide = (fit_transfer(devices, rows, new[rows], level).predict(features) for level in (0.5, 0.95))
    assert (wide.low <= narrow.low).all()
    assert (wide.high >= narrow.high).all()
    assert wide.relative_width.mean() > narrow.relative_width.mean()


def test_chosen_models_are_distinct_repeatable_and_among_those_that_can_be_measured(devices: EarlierDevices) -> None:
    among = np.random.default_rng(1).choice(len(devices.values), 200, replace=False)
    rows = choose_models(devices, 10, among)
    assert len(set(rows.tolist())) == 10
    assert set(rows.tolist()) <= set(among.tolist())
    assert (choose_models(devices, 10, among[::-1]) == rows).all()
    assert (choose_models(devices, 4, among) == rows[:4]).all()
    assert sorted(choose_models(devices, 5, among[:5])) == sorted(among[:5])


def test_saved_models_predict_the_same(learned: Transfer, cells: DeviceTable, tmp_path: Path) -> None:
    path = tmp_path / "pixel3.json"
    save_transfer(learned, path)
    loaded = load_transfer(path)
    before, after = learned.predict(cells.features[:, :99]), loaded.predict(cells.features[:, :99])
    assert (before.value == after.value).all()
    assert (before.low == after.low).all()
    assert (before.high == after.high).all()
    assert (loaded.level, loaded.records) == (0.9, "sha256:1234")
    assert transfer_to_json(loaded) == transfer_to_json(learned)


def _drop(document: dict[str, Any]) -> None:
    del document["priors"]


def _shorten(document: dict[str, Any]) -> None:
    document["priors"][0]["spread"].pop()


def _tear(document: dict[str, Any]) -> None:
    document["measured"][0][2].pop()


def _point_beyond(document: dict[str, Any]) -> None:
    document["components"][0]["view"] = 2


def _silence(document: dict[str, Any]) -> None:
    document["components"][0]["noise"] = 0.0


def _weigh(document: dict[str, Any]) -> None:
    document["components"][0]["weight"] += 1.0


def _swap(document: dict[str, Any]) -> None:
    document["surprises"].reverse()


def _age(document: dict[str, Any]) -> None:
    document["schema"] = 99


def _rename(document: dict[str, Any]) -> None:
    document["kind"] = "something"


def _spell(document: dict[str, Any]) -> None:
    document["values"][0] = "12"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_drop, "at priors: missing"),
        (_shorten, r"priors\[0\]\.spread: shape \(40,\), expected \(41,\)"),
        (_tear, "measured: rows are of different lengths"),
        (_point_beyond, r"components\[0\]: prior \d and view 2 of 4 priors and 2 views"),
        (_silence, "noise, scale and variances must be above 0"),
        (_weigh, "weights must add up to 1"),
        (_swap, "surprises must be 2 or more that never descend"),
        (_age, "99 is unknown; this edgert reads 1"),
        (_rename, "not an edgert transfer cost model"),
        (_spell, r"values\[0\]: expected float, got a string"),
    ],
)
def test_damaged_files_are_refused(
    damage: Callable[[dict[str, Any]], None], message: str, learned: Transfer, tmp_path: Path
) -> None:
    document = json.loads(transfer_to_json(learned))
    damage(document)
    with pytest.raises(CodecError, match=message):
        parse_transfer(json.dumps(document))
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(document))
    with pytest.raises(CodecError, match=r"damaged\.json: .*learn the cost model again"):
        load_transfer(path)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b'{"kind": NaN}'])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError, match="no JSON"):
        parse_transfer(data)


@pytest.mark.parametrize(
    ("features", "values", "message"),
    [
        (np.ones(5), np.ones((5, 3)), "features of shape"),
        (np.full((5, 2), np.nan), np.ones((5, 3)), "features must be finite"),
        (np.ones((5, 2)), np.ones((4, 3)), "values of shape .4, 3. for 5 models"),
        (np.ones((5, 2)), np.ones((5, 2)), "2 earlier devices: 3 or more"),
        (np.ones((5, 2)), np.zeros((5, 3)), "finite and above 0"),
    ],
)
def test_earlier_devices_are_checked(features: np.ndarray, values: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learn_devices(features, values)


@pytest.mark.parametrize(
    ("rows", "values", "level", "message"),
    [
        ([1, 2], [1.0], 0.9, "as many of both"),
        ([1], [1.0], 0.9, "2 or more"),
        ([1, 1], [1.0, 2.0], 0.9, "each once"),
        ([1, 300], [1.0, 2.0], 0.9, "0 to 299"),
        ([1, 2], [1.0, 0.0], 0.9, "finite and above 0"),
        ([1, 2], [1.0, 2.0], 1.0, "level 1.0 is not between"),
    ],
)
def test_measurements_are_checked(rows: list[int], values: list[float], level: float, message: str) -> None:
    features, others, _ = _additive()
    with pytest.raises(ValueError, match=message):
        fit_transfer(learn_devices(features, others), rows, values, level)


def test_other_features_than_learned_from_are_refused(learned: Transfer) -> None:
    with pytest.raises(ValueError, match=r"\(1, 3\) views and features: the model was learned from \(2, 40\)"):
        learned.predict(np.ones((4, 3)))


@pytest.mark.parametrize("limits", [5.0, [1.0, 0.0], [np.nan]])
def test_limits_are_checked(limits: float | list[float], learned: Transfer, cells: DeviceTable) -> None:
    with pytest.raises(ValueError, match=r"limits .*a list of values above 0"):
        learned.predict_risk(cells.features[:, :4], limits)


@pytest.mark.parametrize(
    ("count", "among", "message"),
    [(0, None, "0 models to choose"), (4, [1, 2, 3], "4 models to choose of 3"), (1, [300], "0 to 299")],
)
def test_choices_that_cannot_be_made_are_refused(count: int, among: list[int] | None, message: str) -> None:
    features, values, _ = _additive()
    with pytest.raises(ValueError, match=message):
        choose_models(learn_devices(features, values), count, among)


def test_predictions_are_checked() -> None:
    one, two = np.ones(2), np.full(2, 2.0)
    assert Prediction(one, one, two, 0.9).relative_width.tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="model 0: 2.0 <= 1.0 <= 2.0 does not hold"):
        Prediction(one, two, two, 0.9)
    with pytest.raises(ValueError, match="one of"):
        Prediction(one, one, np.ones(3), 0.9)
    with pytest.raises(ValueError, match="level 0 is not between"):
        Prediction(one, one, two, 0)
