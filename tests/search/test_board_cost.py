"""The cost model of a microcontroller, learned from networks that really run in QEMU."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgert.cli import main
from edgert.cost.board_cost import Stacks, load_board_cost, write_board_cost
from edgert.cost.board_lessons import BoardLesson, count_networks
from edgert.cost.board_network import TURNS, BoardLayer, read_network
from edgert.cost.instruction_model import CountedNetwork, fit_instructions
from edgert.devices.names import Device
from edgert.errors import InputFileError, ModelError
from edgert.profiler.board import profile_board
from edgert.target import get_target
from tests.microcontrollers.boards import need_tools
from tests.search.board_networks import TARGET, write_chain

DEVICE = "qemu:mps2-an386"
LEARN = ("predict", "--learn", "--device", DEVICE, "--networks", "5", "--json", "--quiet")


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a cost model of an emulated Cortex-M4, learned from five networks in two forms."""
    need_tools()
    folder = tmp_path_factory.mktemp("costs")
    (folder / TARGET).mkdir()
    for seed in range(5):
        for mode in ("fp32", "q31"):
            write_chain(folder / TARGET / f"random-{seed}-{mode}.edge", seed, mode)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGERT_COSTS", str(folder))
        assert main([*LEARN]) == 0
    return folder


@pytest.fixture
def own_costs(costs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGERT_COSTS", str(costs))
    return costs


def test_a_network_that_was_never_run_is_predicted(
    own_costs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_chain(tmp_path / "new.edge", 99, "q31")
    assert main(["predict", str(bundle), "--device", DEVICE, "--json", "--quiet"]) == 0
    plain = json.loads(capsys.readouterr().out)
    found = plain["variants"][0]
    record = profile_board(Device(DEVICE, DEVICE), bundle, {}, created="2026-01-01T00:00:00+00:00", duration_s=0.0)
    assert found["id"] == f"c-{TARGET}"
    assert found["instructions"]["value"] == pytest.approx(record.count, rel=0.05)
    assert found["instructions"]["source"] == "estimated"
    ram, flash = found["ram_bytes"], found["flash_bytes"]
    assert (ram["arena"], ram["data_bss"]) == (record.ram_bytes.arena, record.ram_bytes.data_bss)
    assert flash["weights"] == pytest.approx(record.flash_bytes.weights, abs=16)  # what aligns them
    assert ram["value"] == pytest.approx(record.ram_bytes.total, rel=0.1)
    assert flash["value"] == pytest.approx(record.flash_bytes.code + record.flash_bytes.weights, rel=0.1)
    for item in (ram, flash, found["instructions"]):
        assert 0 < item["low"] <= item["value"] <= item["high"]
    assert found["guessed"] == []
    assert sum(layer["share"] for layer in found["layers"]) == pytest.approx(1.0, abs=0.02)
    counts = [layer["instructions"] for layer in found["layers"]]
    assert counts == sorted(counts, reverse=True)


def test_a_model_file_is_predicted_and_what_was_never_counted_is_named(
    own_costs: Path, zoo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(zoo / "models/micro_speech.tflite"), "--device", DEVICE, "--quiet"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "instructions are no measure of time; predicted, not counted" in text
    assert re.search(r"exact: arena [\d,]+ and constants [\d,]+ bytes; estimated: stack \d+, code [\d,]+", text)
    assert "guessed, for no such kernel was learned" in text
    assert "softmax_q31" in text


def test_learning_again_counts_nothing_again(own_costs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = sorted((own_costs / TARGET).glob("*.json"))
    before = [path.stat().st_mtime_ns for path in records]
    assert len(before) == 10
    assert main([*LEARN]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["networks"] == 10
    assert plain["platform"]["target"] == TARGET
    assert "conv_1x1_dsp q31" in plain["families"]
    assert [path.stat().st_mtime_ns for path in records] == before


def test_a_cost_model_survives_its_file(costs: Path, tmp_path: Path) -> None:
    cost = load_board_cost(costs / f"{TARGET}.json")
    assert load_board_cost(write_board_cost(tmp_path / "again.json", cost)) == cost
    network = read_network(costs / TARGET / "random-0-fp32.edge", TARGET)
    narrow, wide = (cost.predict(network, level).instructions for level in (0.5, 0.9))
    assert wide.high[0] / wide.low[0] > narrow.high[0] / narrow.low[0]
    with pytest.raises(InputFileError, match="cannot be read"):
        load_board_cost(tmp_path / "none.json")


def test_random_networks_are_made_in_both_forms(tmp_path: Path) -> None:
    need_tools()
    target = get_target("qemu-microbit")
    device = Device("qemu:microbit", "qemu:microbit")

    def count() -> list[BoardLesson]:
        return count_networks(tmp_path, device=device, target=target, networks=1, minutes=10.0)

    lessons = count()
    assert [lesson.record.variant for lesson in lessons] == ["c-qemu-microbit"] * 2
    modes = [layer.families[0].split()[1] for lesson in lessons for layer in _computing(lesson.bundle, target.name)]
    assert set(modes) == {"fp32", "q31"}
    assert count() == lessons


def test_what_cannot_be_predicted_says_so(
    own_costs: Path, zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(zoo / "models/mlperf_tiny_kws_dscnn_int8.tflite")
    (own_costs / "qemu-mps2-an500.json").write_text('{"schema": 1}')
    shutil.copy(own_costs / f"{TARGET}.json", own_costs / "qemu-microbit.json")
    for words, status, text in (
        ([model, "--device", "qemu:mps2-an385"], 2, "nothing was learned of qemu-mps2-an385: edgert predict --learn"),
        ([model, "--device", "qemu:mps2-an500"], 4, "damaged cost model.*teach it again"),
        ([model, "--device", "qemu:microbit"], 1, "TOO BIG on qemu-microbit"),
        ([model, "--device", "serial:///dev/ttyACM9"], 2, "costs are learned of emulated microcontrollers"),
        ([model, "--device", DEVICE, "--threads", "2", "--engine", "litert"], 2, "has no --threads, --engine"),
        (["--learn", "--device", DEVICE, "--rounds", "2", "--like", "pi"], 2, "has no --rounds, --like"),
        (["--learn", "--device", DEVICE, "--networks", "2"], 2, "2 networks in 15 minutes: at least 5"),
    ):
        assert main(["predict", *words]) == status, words
        assert re.search(text, capsys.readouterr().err.replace("\n", " ")), words
    with pytest.raises(ModelError, match="no C for qemu-microbit"):
        read_network(own_costs / TARGET / "random-0-q31.edge", "qemu-microbit")


def test_a_scalar_is_one_number(tmp_path: Path) -> None:
    network = read_network(write_chain(tmp_path / "shifted.edge", 0, "q31", shifted=True), TARGET)
    turns = {layer.kernel: dict(zip(TURNS, layer.turns, strict=True)) for layer in network.layers}
    assert turns["largest_float"]["outputs"] == 1
    assert turns["sub_float"]["inputs"] == turns["sub_float"]["outputs"] + 1


def test_counts_of_loops_are_found_again() -> None:
    random = np.random.default_rng(0)
    networks = [_looping(random, str(group)) for group in range(20)]
    model, held_out = fit_instructions(networks)
    for network, estimate in zip(networks, held_out, strict=True):
        assert estimate.instructions == pytest.approx(network.instructions, rel=0.01)
    larger = [BoardLayer("big", "known", ("known",), tuple(1000.0 * turn for turn in _turns(random)))]
    smaller = [BoardLayer("small", "known", ("known",), tuple(0.5 * turn for turn in larger[0].turns))]
    assert model.estimate(larger).instructions > model.estimate(smaller).instructions
    unknown = model.estimate([BoardLayer("odd", "new", ("new",), larger[0].turns)])
    assert unknown.guessed == ("odd",)
    assert unknown.deviation > 20 * model.estimate(larger).deviation


def test_the_deepest_kernel_sets_the_stack() -> None:
    stacks = Stacks({"a": 200, "b": 300}, 400)
    assert stacks.estimate(["a"]) == 200
    assert stacks.estimate(["a", "b"]) == 300
    assert stacks.estimate(["a", "never seen"]) == 400


def _looping(random: np.random.Generator, group: str) -> CountedNetwork:
    """Two kernels of which each turn of a loop takes a whole number of instructions; the clock counts by 40."""
    layers = [BoardLayer(f"layer {index}", "known", ("known",), _turns(random)) for index in range(6)]
    counts = tuple(40 * round(np.dot((120, 0, 7, 0, 3, 0, 0, 1, 0, 0, 2, 0, 0), layer.turns) / 40) for layer in layers)
    return CountedNetwork(group, tuple(layers), counts, sum(counts) + 80)


def _turns(random: np.random.Generator) -> tuple[float, ...]:
    return (1.0, *(float(random.integers(10, 5000)) for _ in TURNS[1:]))


def _computing(bundle: Path, target: str) -> list[BoardLayer]:
    return [layer for layer in read_network(bundle, target).layers if len(layer.families) > 2]
