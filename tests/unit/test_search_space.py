"""Spaces of every combination: neighbours, crosses, features and keys."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edgert.search.space import Choice, ProductSpace, choice_key, cross, one_hot

SPACE = ProductSpace({"a": (1, 2, 3), "b": ("x", "y"), "c": (0.5,)})


def test_a_neighbour_differs_in_one_dimension() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        choice = SPACE.sample(random)
        other = SPACE.mutate(choice, random)
        assert SPACE.allows(choice)
        assert SPACE.allows(other)
        assert sum(choice[name] != other[name] for name in choice) == 1


def test_a_space_of_one_choice_has_no_neighbours() -> None:
    with pytest.raises(ValueError, match="a space of one choice has no neighbours"):
        ProductSpace({"c": (0.5,)}).mutate({"c": 0.5}, np.random.default_rng(0))


@pytest.mark.parametrize("values", [(), (1, 1)])
def test_dimensions_need_different_values(values: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=re.escape(f"dimension 'a' needs one value or more, each once: {values}")):
        ProductSpace({"a": values})


def test_a_child_has_each_value_from_a_parent() -> None:
    random = np.random.default_rng(0)
    one, other = {"a": 1, "b": "x", "c": 0.5}, {"a": 3, "b": "y", "c": 0.5}
    children = {choice_key(cross(SPACE, one, other, random)) for _ in range(60)}
    assert children == {choice_key({"a": a, "b": b, "c": 0.5}) for a in (1, 3) for b in ("x", "y")}


def test_where_no_child_is_allowed_a_parent_comes() -> None:
    class OnlyOne(ProductSpace):
        def allows(self, choice: Choice) -> bool:
            return False

    one = {"a": 1, "b": "x", "c": 0.5}
    assert cross(OnlyOne(SPACE.dimensions), one, {"a": 3, "b": "y", "c": 0.5}, np.random.default_rng(0)) == one


def test_features_are_one_for_each_value_taken() -> None:
    choices = [{"a": 2, "b": "y", "c": 0.5}, {"a": 1, "b": "x", "c": 0.5}]
    assert SPACE.encode(choices).tolist() == [[0, 1, 0, 0, 1, 1], [1, 0, 0, 1, 0, 1]]
    assert one_hot(SPACE.dimensions, []).shape == (0, 6)


def test_a_key_does_not_depend_on_the_order_of_names() -> None:
    assert choice_key({"b": "x", "a": 1}) == choice_key({"a": 1, "b": "x"}) == '{"a":1,"b":"x"}'
