"""docs/engines.md: a few rows are measured again, and what the contract claims stands in the page."""

from __future__ import annotations

import re

import pytest

from edgert.dtypes import DType
from edgert_converters.comparison import table
from edgert_converters.ops import OPERATORS

for package in ("onnxruntime", "ai_edge_litert", "tflite_micro"):
    pytest.importorskip(package)

ROW = re.compile(r"^\| (\w+) \|(.*)\| this x86 \|$", re.MULTILINE)


def rows() -> dict[str, list[str]]:
    text = table.PAGE.read_text(encoding="utf-8")
    return {match[1]: [cell.strip() for cell in match[2].split("|")] for match in ROW.finditer(text)}


def test_the_page_lists_every_operator_with_an_integer_rule() -> None:
    assert set(rows()) == {name for name, spec in OPERATORS.items() if spec.integer is not None}, "run `make docs`"
    assert all(len(cells) == len(table.COLUMNS) for cells in rows().values())


@pytest.mark.parametrize("name", ["Conv", "Add", "Softmax", "Concat"])
def test_a_row_measured_again_is_the_same(name: str) -> None:
    here = table.measured_on()
    if here not in table.PAGE.read_text(encoding="utf-8"):
        pytest.skip(f"the page was measured elsewhere; here: {here}")
    assert table.render_row(OPERATORS[name]) == f"| {name} | {' | '.join(rows()[name])} | this x86 |\n", (
        "run `make docs`"
    )


@pytest.mark.parametrize("name", ["Conv", "Add"])
def test_the_engines_of_the_contract_agree(name: str) -> None:
    """fp32: ONNX Runtime in both encodings and XNNPACK; q31: TFLM."""
    equal = {"ONNX Runtime uint8", "ONNX Runtime int8", "LiteRT XNNPACK", "TFLM, q31"}
    for column in table.COLUMNS:
        if column.title in equal:
            cell = table.measure(OPERATORS[name], column)
            assert cell.count > 0
            assert (cell.max_steps, cell.differing) == (0, 0), column.title


def test_a_column_shows_kernels_that_compute_otherwise() -> None:
    """LiteRT's reference convolution is q31: judged by fp32 it must not look equal."""
    column = next(column for column in table.COLUMNS if column.title == "LiteRT reference")
    assert column.encoding is DType.INT8
    cell = table.measure(OPERATORS["Conv"], column)
    assert cell.max_steps == 1
    assert 0 < cell.differing < cell.count / 10
    assert re.fullmatch(r"1 \(0\.\d+ %\)( [fp]+)?", cell.text())


def test_rows_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main(["Relu"]) == 0
    assert capsys.readouterr().out.startswith("| Relu | ")
