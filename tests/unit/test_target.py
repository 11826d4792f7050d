from __future__ import annotations

import pytest

from edgert.dtypes import DType
from edgert.errors import UsageError
from edgert.runtime.engines import ENGINES
from edgert.target import EngineFacts, Target, get_target, list_targets


@pytest.mark.parametrize("name", list_targets())
def test_every_target_loads(name: str) -> None:
    target = get_target(name)
    assert target.name == name
    assert target.title
    assert {engine.name for engine in target.engines if engine.max_opset is not None} <= {"onnxruntime", "openvino"}
    assert all(engine.name in {*ENGINES, "c", "vela"} for engine in target.engines)  # C needs none, Vela compiles
    assert not target.engines[0].optional


def test_a_target_inherits_from_what_it_extends() -> None:
    parent, child = get_target("arm-cpu"), get_target("raspberry-pi-5")
    assert child.engines == parent.engines
    assert child.cores == 4
    assert parent.cores is None


def test_an_unknown_target_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="no target 'raspberry-pi5'; did you mean 'raspberry-pi-5'"):
        get_target("raspberry-pi5")


def test_facts_are_checked() -> None:
    engine = EngineFacts("onnxruntime", "1.17.0", 20, 9)
    with pytest.raises(ValueError, match="int8 or uint8"):
        Target("a", "A", "x", (engine,), DType.FLOAT)
    with pytest.raises(ValueError, match="at least one engine"):
        Target("a", "A", "x", (), DType.INT8)
