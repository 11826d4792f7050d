"""The statistics of the quantization benchmark, and what its tables are made of."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx_ir")

from edgert.recipe import DEFAULT_ALGORITHMS, Algorithm, RangeMethod
from edgert_converters.quantize.chain import CHAIN
from tests.bench.quantization.ablation import ablation_settings, ablation_table
from tests.bench.quantization.cells import Cell, Key, append_cell, read_cells
from tests.bench.quantization.compare import (
    Outcome,
    Rows,
    interval_of_agree,
    interval_of_difference,
    judge,
    pooled_agree,
)
from tests.bench.quantization.data import MODELS, ROOT, View, draw_indices, rows_of
from tests.bench.quantization.edgert_side import parse_setting, quantize
from tests.bench.quantization.logits import logits_of
from tests.bench.quantization.table import best_peer, comparison_tables, group_cells, replace_block

FLOAT = np.array([[4.0, 0.0, 0.0], [1.0, 0.9, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 2.0]], np.float32)
LABELS = np.array([0, 1])


def cell(tool: str, setting: str, draw: int, changed: tuple[int, ...] = (), model: str = "kws") -> Cell:
    images = 40
    outcome = Outcome(images, changed, changed[:1], 0.01, 25.0, images, 30, 32)
    return Cell(Key(model, draw, tool, setting), images, 2.0, 100.0, "1.0", outcome)


def test_the_same_outputs_change_nothing() -> None:
    outcome = judge(FLOAT, FLOAT.copy(), LABELS)
    assert (outcome.changed, outcome.harmful, outcome.kl, outcome.sqnr_db) == ((), (), 0.0, np.inf)
    assert (outcome.labelled, outcome.correct, outcome.float_correct) == (2, 1, 1)


def test_a_change_is_harmful_where_the_float_model_was_sure() -> None:
    out = FLOAT.copy()
    out[0] = [0.0, 4.0, 0.0]  # margin 4, above the median
    out[1] = [0.9, 1.0, 0.0]  # margin 0.1, below
    outcome = judge(FLOAT, out, LABELS)
    assert (outcome.changed, outcome.harmful) == ((0, 1), (0,))
    assert outcome.correct == 1, "row 0 became wrong, row 1 right"
    assert outcome.kl > 0
    assert outcome.sqnr_db == pytest.approx(10 * np.log10((FLOAT**2).sum() / ((FLOAT - out) ** 2).sum()), rel=1e-5)


def test_divergence_of_probabilities_is_the_formula() -> None:
    p, q = np.array([[0.5, 0.5]], np.float32), np.array([[0.25, 0.75]], np.float32)
    outcome = judge(p, q, np.array([0]), probabilities=True)
    assert outcome.kl == pytest.approx(0.5 * np.log(2.0) + 0.5 * np.log(2.0 / 3.0), rel=1e-6)


def test_probabilities_that_became_zero_stay_finite() -> None:
    p, q = np.array([[0.9, 0.1]], np.float32), np.array([[1.0, 0.0]], np.float32)
    assert 0 < judge(p, q, np.array([0]), probabilities=True).kl < 1


def test_an_output_that_is_not_finite_is_refused() -> None:
    out = FLOAT.copy()
    out[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        judge(FLOAT, out, LABELS)


def test_agreement_is_pooled_over_rows_not_over_draws() -> None:
    draws = [Rows(np.array([True, False]), np.array([0, 1])), Rows(np.ones(6, bool), np.arange(6))]
    assert pooled_agree(draws) == pytest.approx(7 / 8)


def test_views_of_one_image_are_no_further_evidence() -> None:
    """Ten equal views of each image: the interval stays as wide as that of one."""
    agree = np.random.default_rng(0).random(100) < 0.9
    once = interval_of_agree([Rows(agree, np.arange(100))])
    ten = interval_of_agree([Rows(np.tile(agree, 10), np.tile(np.arange(100), 10))])
    assert ten.value == pytest.approx(once.value)
    assert ten.high - ten.low == pytest.approx(once.high - once.low, rel=0.05)
    # and it is as wide as the binomial one
    assert once.high - once.low == pytest.approx(2 * 1.96 * np.sqrt(once.value * (1 - once.value) / 100), rel=0.15)


def test_a_paired_difference_is_narrower_than_two_intervals() -> None:
    rng = np.random.default_rng(1)
    hard = rng.random(2000) < 0.1
    one, other = ~(hard & (rng.random(2000) < 0.8)), ~hard
    images = np.arange(2000)
    difference = interval_of_difference([Rows(one, images)], [Rows(other, images)])
    assert difference.low > 0, "one is right wherever the other is"
    assert difference.value == pytest.approx(one.mean() - other.mean())
    wide = interval_of_agree([Rows(other, images)])
    assert difference.high - difference.low < wide.high - wide.low


def test_a_difference_needs_the_same_images() -> None:
    one, other = Rows(np.ones(3, bool), np.arange(3)), Rows(np.ones(3, bool), np.arange(1, 4))
    with pytest.raises(ValueError, match="same images"):
        interval_of_difference([one], [other])


def test_what_calibrates_a_draw_does_not_judge_it() -> None:
    chosen, judged = draw_indices(MODELS["resnet20"], 500, 3)
    assert len(chosen) == len(np.unique(chosen)) == 100
    assert judged is not None
    assert np.array_equal(np.union1d(chosen, judged), np.arange(500))
    assert draw_indices(MODELS["proxyless"], 125, 3)[1] is None, "its calibration images are another set"
    assert not np.array_equal(chosen, draw_indices(MODELS["resnet20"], 500, 4)[0])
    assert np.array_equal(chosen, draw_indices(MODELS["resnet20"], 500, 3)[0])


def test_rows_count_views() -> None:
    assert rows_of(np.array([1, 2]), 3, 10).tolist() == [1, 2, 11, 12, 21, 22]
    assert View() == View(0.5, 0.5, False)


def test_cells_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "result.jsonl"
    first, again = cell("nncf", "default", 0, (1, 2)), cell("nncf", "default", 0, (3,))
    append_cell(path, first)
    append_cell(path, cell("nncf", "default", 1))
    assert read_cells([path])[first.key] == first
    append_cell(path, again)
    assert read_cells([path])[first.key] == again, "of a cell measured twice the later one counts"
    assert read_cells([tmp_path / "absent.jsonl"]) == {}


def test_rows_of_a_cell_are_its_images() -> None:
    rows = cell("nncf", "default", 0, (0, 39)).rows()
    assert np.flatnonzero(~rows.agree).tolist() == [0, 39]
    assert rows.images.tolist() == list(range(40))


def test_the_best_peer_is_the_best_of_its_kind() -> None:
    cells = [
        cell("nncf", "default", 0, (1, 2, 3)),
        cell("onnxruntime", "min-max", 0, (1,)),
        cell("onnxruntime", "symmetric", 0),
        cell("edgert", "default", 0),
    ]
    groups = group_cells(cells)
    assert best_peer(groups) == ("onnxruntime", "min-max")
    assert best_peer(groups, symmetric=True) == ("onnxruntime", "symmetric")
    text = comparison_tables(cells)
    assert "| kws | `default` | onnxruntime `min-max` | +0.0250 (" in text


def test_a_peer_measured_in_fewer_draws_is_not_the_best() -> None:
    cells = [cell("nncf", "default", draw, (1,)) for draw in range(2)] + [cell("onnxruntime", "min-max", 0)]
    assert best_peer(group_cells(cells)) == ("nncf", "default")
    assert best_peer({}) is None


def test_what_was_measured_for_the_ablation_is_not_compared_with_peers() -> None:
    cells = [cell("edgert", "default", draw) for draw in range(2)] + [cell("edgert", "none", 0)]
    text = comparison_tables([*cells, cell("nncf", "default", 0)])
    assert "| edgert | `default` |" in text
    assert "`none`" not in text


def test_every_step_of_the_chain_has_a_row() -> None:
    settings = ablation_settings()
    assert len(set(settings)) == len(settings)
    for step in CHAIN:
        sign = "-" if step.algorithm in DEFAULT_ALGORITHMS else "+"
        assert f"default,{sign}{step.algorithm.value}" in settings
    table = ablation_table([cell("edgert", setting, 0) for setting in settings])
    assert table.count("\n") == len(settings) + 2
    assert ablation_table([cell("edgert", "default,int8-symmetric", 0)]).count("\n") == 2, "no row of the ablation"


def test_settings_say_what_they_mean() -> None:
    found = parse_setting("default,-bias-correction,+adaround,ranges=percentile,limit=5,int8x4")
    assert found.settings.algorithms == (frozenset(DEFAULT_ALGORITHMS) - {Algorithm.BIAS_CORRECTION}) | {
        Algorithm.ADAROUND
    }
    assert found.settings.ranges.method is RangeMethod.PERCENTILE
    assert (found.settings.time_limit_s, found.precision.cell.scheme.weight_bits) == (5.0, 4)
    assert parse_setting("none").settings.algorithms == frozenset()


def test_what_a_tool_notes_stands_beside_its_setting() -> None:
    noted = dataclasses.replace(cell("edgert", "default", 0), note="2 operators float")
    assert "| `default` (2 operators float) |" in ablation_table([noted])


def test_an_unknown_word_of_a_setting_is_named() -> None:
    with pytest.raises(ValueError, match="unknown word 'quick'"):
        parse_setting("quick")


def test_edgert_quantizes_as_the_benchmark_calls_it(tmp_path: Path) -> None:
    digits = ROOT / "edgert" / "demo" / "digits.onnx"
    with np.load(digits.with_name("digits_eval.npz")) as data:
        samples = np.asarray(data["x"][:8], np.float32).reshape(8, 1, 32, 32) / np.float32(255)
    made = quantize(digits, lambda: iter(samples), len(samples), parse_setting("default,ranges=min-max"))
    path = tmp_path / "digits.onnx"
    path.write_bytes(made.data)
    outcome = judge(logits_of(digits, samples), logits_of(path, samples), np.zeros(8, np.int64))
    assert (made.float_layers, outcome.changed) == (0, ())
    assert 20 < outcome.sqnr_db < 60


def test_a_block_of_a_page_is_replaced() -> None:
    page = "a\n<!-- peers: begin -->\nold\n<!-- peers: end -->\nb\n"
    assert replace_block(page, "peers", "new") == "a\n<!-- peers: begin -->\n\nnew\n<!-- peers: end -->\nb\n"
    with pytest.raises(ValueError, match="no block 'ablation'"):
        replace_block(page, "ablation", "new")
