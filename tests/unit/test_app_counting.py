"""The counting line of apps/detect."""

from __future__ import annotations

from edgert.app import Finding, LineCounter


def box(label: str, x: float, y: float) -> Finding:
    return Finding(label, 0.9, (x - 5, y - 5, x + 5, y + 5))


def test_each_crossing_counts_once_in_its_direction() -> None:
    counter = LineCounter()
    for step in range(20):
        counter.update([box("a", 20, 5 * step), box("a", 80, 100 - 5 * step), box("a", 50, 40)], 50)
    assert (counter.down, counter.up) == (1, 1)
    counter.update([box("a", 20, 95), box("b", 80, 5)], 50)
    assert (counter.down, counter.up) == (1, 1)


def test_a_gap_is_bridged_but_not_a_long_one() -> None:
    counter = LineCounter(patience=2)
    counter.update([box("a", 20, 48)], 50)
    counter.update([], 50)
    counter.update([box("a", 20, 52)], 50)
    assert counter.down == 1
    for _ in range(3):
        counter.update([], 50)
    counter.update([box("a", 20, 48)], 50)
    assert (counter.down, counter.up) == (1, 0)


def test_what_jumps_too_far_or_has_another_name_is_another_object() -> None:
    counter = LineCounter()
    counter.update([box("a", 20, 40), box("b", 60, 48)], 50)
    counter.update([box("a", 20, 60), box("c", 60, 52), Finding("whole", 0.5)], 50)
    assert (counter.down, counter.up) == (0, 0)
