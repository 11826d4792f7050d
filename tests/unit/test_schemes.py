from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.errors import UsageError
from edgert.recipe_file import OPTIONS
from edgert.target import get_target
from edgert_converters import schemes_table
from edgert_converters.engine_notes import opset_notes, release_notes
from edgert_converters.quantize.matrix import CELLS, QUANTIZERS, Activation, Cell, find_quantizer, nearest_reason
from edgert_converters.quantize.precisions import PRECISIONS, check_forms, check_precisions
from edgert_converters.quantize.scheme import INT8, INT8_PER_TENSOR, INT8_SYMMETRIC, INT8X4, INT16X8, Granularity

TENSOR, CHANNEL, BLOCK = Granularity.TENSOR, Granularity.CHANNEL, Granularity.BLOCK
REASONS = {
    (8, TENSOR, Activation.FLOAT): "weights alone are quantized in blocks",
    (8, CHANNEL, Activation.FLOAT): "weights alone are quantized in blocks",
    (4, CHANNEL, Activation.FLOAT): "weights alone are quantized in blocks",
    (8, TENSOR, Activation.DYNAMIC): "convolutions have a scale per channel at no cost",
    (4, CHANNEL, Activation.DYNAMIC): "dynamic range has 8-bit weights",
    (4, BLOCK, Activation.DYNAMIC): "dynamic range has 8-bit weights",
    (8, BLOCK, Activation.DYNAMIC): "LiteRT's hybrid kernels know no blocks",
    **{
        (bits, BLOCK, activation): "a sum over blocks of different scales is no integer sum"
        for bits in (4, 8)
        for activation in (Activation.INT8, Activation.UINT8, Activation.SYMMETRIC, Activation.INT16)
    },
}


def label(cell: Cell) -> str:
    return f"{cell.weights}-{cell.activation.value}".replace(" ", "_")


@pytest.mark.parametrize("cell", CELLS, ids=label)
def test_a_cell_is_made_by_one_quantizer_or_refused_with_the_reason(cell: Cell) -> None:
    reason = REASONS.get((cell.weight_bits, cell.granularity, cell.activation))
    makers = [quantizer for quantizer in QUANTIZERS if quantizer.refuse(cell) is None]
    if reason is None:
        assert makers == [find_quantizer(cell)]
        assert not nearest_reason(cell)
        return
    assert not makers
    assert all(quantizer.refuse(cell) for quantizer in QUANTIZERS)
    with pytest.raises(UsageError, match=f"{cell.weights} weights with {cell.activation.value} activations: {reason}"):
        find_quantizer(cell)


def test_the_matrix_is_whole() -> None:
    assert len(CELLS) == len(set(CELLS)) == 9 * 6 + 1


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_name_stands_for_a_cell_that_is_made(name: str) -> None:
    precision = PRECISIONS[name]
    assert precision.cell in CELLS
    assert precision.quantizer.refuse(precision.cell) is None
    assert any(precision.is_held_by(kind) for kind in ("onnx", "tflite"))
    assert all(form.words for form in precision.forms.values())


def test_names_and_their_schemes() -> None:
    named = {
        "int8": INT8,
        "int8-per-tensor": INT8_PER_TENSOR,
        "int8-symmetric": INT8_SYMMETRIC,
        "int8x4": INT8X4,
        "int16x8": INT16X8,
    }
    assert {name: PRECISIONS[name].cell.scheme for name in named} == named
    assert PRECISIONS["int8-symmetric"].onnx_id == "onnx-int8-trt"
    block = PRECISIONS["int4-block64"].cell.scheme
    assert (block.weight_bits, block.block, block.activation) == (4, 64, None)
    with pytest.raises(ValueError, match="float16 is no scheme of integers"):
        _ = PRECISIONS["fp16"].cell.scheme


def test_the_command_line_takes_the_same_names() -> None:
    (option,) = (option for option in OPTIONS if option.field == "precisions")
    assert set(option.choices) == set(PRECISIONS)


def test_unknown_names_and_formats_without_a_form() -> None:
    with pytest.raises(UsageError, match="unknown precision 'int3'; allowed: "):
        check_precisions(("int8", "int3"))
    with pytest.raises(UsageError, match=r"int8-symmetric exists as ONNX only; add --format onnx \(TFLite: it is Tens"):
        check_forms(("int8", "int8-symmetric"), ("tflite",))
    check_forms(("int8", "dynamic", "int4-block32"), ("onnx", "tflite"))


def test_the_committed_page_equals_the_generated_one() -> None:
    assert schemes_table.is_page_current(), "run: python -m edgert_converters.schemes_table"
    assert schemes_table.with_measured(schemes_table.PAGE.read_text(encoding="utf-8")).count("this x86") > 10


def test_the_page_keeps_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "schemes.md"
    monkeypatch.setattr(schemes_table, "PAGE", page)
    assert schemes_table.main(["--check"]) == 1
    page.write_text(schemes_table.render_page("| figures |\n").replace("int16", "int17"))
    assert schemes_table.main(["--check"]) == 1
    assert schemes_table.main([]) == 0
    assert schemes_table.main(["--check"]) == 0
    text = page.read_text()
    assert schemes_table.with_measured(text) == "| figures |\n"
    assert all(text.count(f"\n| `{name}` |") == 1 for name in PRECISIONS)


def test_notes_about_engines_that_are_too_old() -> None:
    host = get_target("host")
    assert release_notes("1.23.0", [host]) == ("needs ONNX Runtime 1.23.0 or newer; host promises 1.17.0",)
    assert release_notes("1.17.0", [host]) == ()
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[1] x) => (float[1] y) { y = Relu(x) }'
    model = ir.from_proto(onnx.parser.parse_model(text))
    assert opset_notes(model, [host]) == ()
    model.graph.opset_imports[""] = 21
    (note,) = opset_notes(model, [host])
    assert note == "opset 21: needs ONNX Runtime 1.18.0 or newer; host promises 1.17.0"


def test_4_bit_integers() -> None:
    assert DType.INT4.integer_range == (-8, 7)
    assert DType.INT4.numpy == np.int8
    assert DType.INT4.is_quantized
