"""Values that no longer hold what their name says are renamed."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgert_converters.engine import load_runner
from edgert_converters.quantize.changed_values import CHANGED_SUFFIX, rename_changed

_TEXT = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1,4] x) => (float[1,4] y)
<float[1] k = {FACTOR}, float[1] back = {BACK}>
{
    [first] a = Mul(x, k)
    [second] b = Relu(a)
    [third] c = Mul(b, back)
    [last] y = Relu(c)
}
"""


def _model(factor: float) -> ir.Model:
    return ir.from_onnx_text(_TEXT.replace("FACTOR", str(factor)).replace("BACK", str(1 / factor)))


def test_scaled_values_get_another_name_and_the_rest_keeps_its_own() -> None:
    sample = {"x": np.array([[1.0, -2.0, 3.0, 4.0]], np.float32)}
    before, after = _model(1.0), _model(2.0)
    rename_changed(before, after, sample)
    names = [str(node.outputs[0].name) for node in after.graph]
    assert names == [f"a{CHANGED_SUFFIX}", f"b{CHANGED_SUFFIX}", "c", "y"]
    assert np.array_equal(load_runner(after)(sample)["y"], load_runner(before)(sample)["y"])


def test_nothing_is_renamed_where_nothing_changed() -> None:
    after = _model(2.0)
    rename_changed(_model(2.0), after, {"x": np.ones((1, 4), np.float32)})
    assert [str(node.outputs[0].name) for node in after.graph] == ["a", "b", "c", "y"]
