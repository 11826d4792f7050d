from __future__ import annotations

import enum
import json
import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgert.codec import CodecError, JsonValue, from_plain, to_plain


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Leaf:
    size: float
    colour: Colour = Colour.RED


@dataclass(frozen=True)
class Tree:
    name: str
    leaves: tuple[Leaf, ...]
    pair: tuple[int, str]
    best: Leaf | None = None
    counts: dict[str, int] = field(default_factory=dict)
    free: JsonValue = None
    flag: bool = False


TREE = Tree("oak", (Leaf(1.5), Leaf(2.0, Colour.BLUE)), (3, "x"), Leaf(0.5), {"a": 1}, [1, {"b": None}], True)


def test_round_trip_through_json() -> None:
    assert from_plain(Tree, json.loads(json.dumps(to_plain(TREE)))) == TREE


@given(st.text(), st.lists(st.floats(allow_nan=False, allow_infinity=False)), st.integers(), st.booleans())
def test_round_trip_of_any_values(name: str, sizes: list[float], number: int, flag: bool) -> None:
    tree = Tree(name, tuple(map(Leaf, sizes)), (number, name), None, {name: number}, None, flag)
    assert from_plain(Tree, json.loads(json.dumps(to_plain(tree)))) == tree


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": 3}, "at name: expected str, got int"),
        ({"leaves": {}}, "at leaves: expected a list, got an object"),
        ({"leaves": [{"size": 1.0}, {}]}, r"at leaves\[1\].size: missing"),
        ({"leaves": [{"size": True}]}, r"at leaves\[0\].size: expected float, got bool"),
        ({"best": {"size": 1, "colour": "green"}}, "at best.colour: 'green' is not one of red, blue"),
        ({"pair": [1]}, "at pair: expected 2 items, got 1"),
        ({"counts": {"a": "1"}}, "at counts.a: expected int, got a string"),
        ({"counts": []}, "at counts: expected an object, got a list"),
        ({"flag": 1}, "at flag: expected bool, got int"),
    ],
)
def test_a_wrong_value_says_where(change: dict[str, object], expected: str) -> None:
    with pytest.raises(CodecError, match=expected):
        from_plain(Tree, to_plain(TREE) | change)


def test_missing_keys_unknown_keys_and_other_documents() -> None:
    plain = to_plain(TREE)
    assert from_plain(Tree, plain | {"new": 1}) == TREE
    with pytest.raises(CodecError, match="at the top: expected an object, got a list"):
        from_plain(Tree, [])
    del plain["name"]
    with pytest.raises(CodecError, match="at name: missing"):
        from_plain(Tree, plain)


def test_integers_are_taken_for_floats() -> None:
    assert from_plain(Leaf, {"size": 2}) == Leaf(2.0)


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(ValueError, match="nan has no JSON form"):
        to_plain({"a": math.nan})
    with pytest.raises(TypeError, match="no JSON form for set"):
        to_plain({1, 2})
