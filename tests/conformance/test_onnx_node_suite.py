"""ONNX's own node suite for every operator of the table: import, fold, float reference, ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from edgert_converters.importers import import_model
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops import OPERATORS
from tests.conformance import node_suite
from tests.conformance.node_suite import DEFINED_BY_OTHERS, FORMS, SuiteCase, all_cases, exclusions

BY_FUNCTIONS = "functions of other operators"
NAMES = [*sorted(OPERATORS), *sorted(DEFINED_BY_OTHERS), BY_FUNCTIONS]
# One file per operator family through the real importer, in its own process.
AS_FILES = (
    "abs", "add", "argmax_default_axis_example", "cast_FLOAT_to_FLOAT16", "clip", "concat_2d_axis_0",
    "cumsum_1d", "depthtospace_crd_mode_example", "elu",
    "gather_elements_0", "gathernd_example_int32", "globalmaxpool", "group_normalization_example",
    "logsoftmax_axis_0", "matmul_3d", "mod_int64_fmod",
    "nonzero_example", "onehot_with_axis", "range_int32_type_negative_delta",
    "reduce_log_sum_exp_keepdims_random", "split_equal_parts_2d", "swish",
    "top_k", "tril",
)  # fmt: skip


def _cases_of(name: str) -> list[SuiteCase]:
    if name == BY_FUNCTIONS:
        return [case for case in all_cases() if case.operator not in {*OPERATORS, *DEFINED_BY_OTHERS}]
    return [case for case in all_cases() if case.operator == name]


@pytest.mark.parametrize("name", NAMES)
def test_operator_passes_the_suite(name: str) -> None:
    cases = _cases_of(name)
    if not cases:
        pytest.skip(f"the suite has no case for {name}")
    wrong = [line for case in cases for form in FORMS if (line := node_suite.judge(case, form))]
    assert not wrong, "\n".join(wrong)


def test_exclusions_match_cases_and_say_why() -> None:
    for row in exclusions():
        assert row.reason, row
        matched = {form for case in all_cases() for form in FORMS if row.covers(case, form)}
        assert matched == set(row.forms), f"{row} matches no case in the forms {set(row.forms) - matched}"


@pytest.mark.parametrize("name", AS_FILES)
def test_files_through_the_importer(name: str, tmp_path: Path) -> None:
    (case,) = (case for case in all_cases() if case.name == f"test_{name}")
    proto, feed = node_suite.prepare(case, "inputs")
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(proto.SerializeToString())
    imported = import_model(path, {port: array.shape for port, array in feed.items()})
    outputs = Interpreter(imported.model).run(feed).outputs
    assert [spec.name for spec in imported.outputs] == list(outputs)
    assert not node_suite.compare(case, [np.asarray(y) for y in outputs.values()])
