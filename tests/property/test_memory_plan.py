"""Plans never lay living bytes over living bytes and are as small as can be; strips compute what layers compute."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from edgert.dtypes import DType
from edgert_converters.exporters.c.network import Buffer, Call, Layer, Network, Rows, State, View
from edgert_converters.exporters.c.order import order_layers
from edgert_converters.exporters.c.patches import cut, extra_macs, find_stretch
from edgert_converters.exporters.c.planner import ALIGNMENT_BYTES, alive_bytes, plan_memory
from edgert_converters.exporters.c.ram import curve, fit
from tests.property.arena import run_in_arena

_STEPS = 2_000


def _buffer(name: str, *shape: int, is_persistent: bool = False) -> Buffer:
    return Buffer(name, shape, DType.INT8, is_persistent=is_persistent)


def _network(
    buffers: Sequence[Buffer], layers: Sequence[Layer], inputs: Sequence[int], outputs: Sequence[int]
) -> Network:
    return Network("net", tuple(buffers), tuple(layers), tuple(inputs), tuple(outputs))


@st.composite
def _graphs(draw: st.DrawFn) -> Network:
    """Layers that read one or two earlier buffers, some in place, some into a part of a buffer, some with scratch."""
    buffers = [_buffer("x0", draw(st.integers(1, 60))), _buffer("x1", draw(st.integers(1, 60)), is_persistent=True)]
    layers: list[Layer] = []
    for index in range(draw(st.integers(1, 9))):
        sources = draw(st.lists(st.integers(0, len(buffers) - 1), min_size=1, max_size=2))
        reads = [View(source) for source in sources]
        if draw(st.integers(0, 4)) == 0:
            at = draw(st.integers(0, buffers[sources[0]].size_bytes - 1))
            reads[0] = View(sources[0], at)
        sizes = draw(st.lists(st.integers(1, 60), min_size=1, max_size=2))
        overwrites = frozenset(draw(st.sets(st.integers(0, len(reads) - 1))))
        call = Call("k", "k", {}, {}, (), draw(st.sampled_from([0, 0, 5, 24])))
        target = View(len(buffers))
        if len(sizes) == 2 and draw(st.booleans()):  # two layers write one buffer
            buffers.append(_buffer(f"b{index}", sum(sizes)))
            parts = (View(target.buffer, 0, sizes[0]), View(target.buffer, sizes[0], sizes[1]))
            layers += [
                Layer(f"l{index}.{i}", "OP", tuple(reads), (part,), call, overwrites) for i, part in enumerate(parts)
            ]
            continue
        buffers += [_buffer(f"b{index}.{i}", size) for i, size in enumerate(sizes)]
        writes = tuple(View(target.buffer + i) for i in range(len(sizes)))
        layers.append(Layer(f"l{index}", "OP", tuple(reads), writes, call, overwrites))
    outputs = draw(st.sets(st.integers(2, len(buffers) - 1), min_size=1, max_size=2))
    network = _network(buffers, layers, [0], sorted(outputs))
    return replace(network, states=(State(1, View(draw(st.integers(2, len(buffers) - 1))), 0),))


@given(_graphs())
@settings(deadline=None, max_examples=60)
def test_nothing_alive_is_overwritten(network: Network) -> None:
    plan = plan_memory(network, steps=_STEPS)
    apart = _without_overwriting(network)
    assert run_in_arena(network, plan) == run_in_arena(apart, plan_memory(apart, steps=0))
    assert plan.arena_bytes >= max(alive_bytes(network))


def _without_overwriting(network: Network) -> Network:
    layers = tuple(replace(layer, overwrites=frozenset()) for layer in network.layers)
    return replace(network, layers=layers)


@given(_graphs())
@settings(deadline=None, max_examples=100)
def test_another_order_computes_the_same_in_no_more(network: Network) -> None:
    ordered = order_layers(network)
    assert max(alive_bytes(ordered)) <= max(alive_bytes(network))
    assert sorted(layer.name for layer in ordered.layers) == sorted(layer.name for layer in network.layers)
    plans = [plan_memory(n, steps=0) for n in (network, ordered)]
    assert run_in_arena(network, plans[0]) == run_in_arena(ordered, plans[1])


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=5))
@settings(deadline=None, max_examples=60)
def test_no_smaller_arena_exists(drawn: list[tuple[int, int, int]]) -> None:
    """Against a search through every offset, for stretches that live from one layer to another."""
    items = [(units * ALIGNMENT_BYTES, min(a, b), max(a, b)) for units, a, b in drawn]
    buffers = [_buffer(f"b{i}", size) for i, (size, _, _) in enumerate(items)]
    layers = [
        Layer(
            f"l{time}",
            "OP",
            tuple(View(i) for i, (_, first, last) in enumerate(items) if last == time != first),
            tuple(View(i) for i, (_, first, _) in enumerate(items) if first == time),
            Call("k", "k"),
        )
        for time in range(5)
    ]
    plan = plan_memory(_network(buffers, layers, [], []))
    assert not _fits(items, plan.arena_bytes - ALIGNMENT_BYTES, [])


def _fits(items: Sequence[tuple[int, int, int]], arena_bytes: int, placed: list[int]) -> bool:
    if len(placed) == len(items):
        return True
    size, first, last = items[len(placed)]
    for offset in range(0, arena_bytes - size + 1, ALIGNMENT_BYTES):
        apart = all(
            last < f or n < first or offset + size <= o or o + s <= offset
            for o, (s, f, n) in zip(placed, items, strict=False)
        )
        if apart and _fits(items, arena_bytes, [*placed, offset]):
            return True
    return False


@st.composite
def _towers(draw: st.DrawFn) -> Network:
    """Layers on rows, some with a second path of element-wise sum around two of them."""
    rows, width = draw(st.integers(6, 20)), draw(st.integers(1, 9))
    buffers, layers, last = [_buffer("x", rows, width)], list[Layer](), 0
    for index in range(draw(st.integers(1, 5))):
        kernel, stride = draw(st.integers(1, 4)), draw(st.sampled_from([1, 1, 2]))
        top = draw(st.integers(0, kernel - 1))
        bottom = draw(st.integers(0, kernel - 1))
        if rows + top + bottom < kernel:
            continue
        made = (rows + top + bottom - kernel) // stride + 1
        arguments = {"in_rows": rows, "out_rows": made, "pad_top": top, "columns": 3}
        overwrites = frozenset({0}) if draw(st.booleans()) else frozenset[int]()
        call = Call("k", "k", arguments, {}, (), draw(st.sampled_from([0, 0, 7])))
        width = draw(st.integers(1, 9))
        buffers.append(_buffer(f"b{index}", made, width))
        layer = Layer(f"l{index}", "OP", (View(last),), (View(len(buffers) - 1),), call, overwrites)
        layers.append(replace(layer, rows=Rows(kernel, stride, top, rows, made), macs=made * 10))
        before, last = last, len(buffers) - 1
        same = buffers[before].shape == buffers[last].shape
        rows = made
        if same and before and draw(st.booleans()):
            buffers.append(_buffer(f"s{index}", rows, width))
            arguments = {"in_rows": rows, "out_rows": rows, "pad_top": 0}
            pair = (View(before), View(last))
            layer = Layer(
                f"s{index}", "ADD", pair, (View(len(buffers) - 1),), Call("a", "a", arguments), frozenset({0, 1})
            )
            layers.append(replace(layer, rows=Rows(1, 1, 0, rows, rows)))
            last = len(buffers) - 1
    if not layers:
        layers.append(Layer("copy", "OP", (View(0),), (View(1),), Call("k", "k")))
        buffers.append(_buffer("b", 3))
        last = 1
    return _network(buffers, layers, [0], [last])


@given(_towers(), st.integers(1, 5), st.booleans())
@settings(deadline=None, max_examples=60)
def test_strips_compute_what_layers_compute(network: Network, strip_rows: int, is_upward: bool) -> None:
    whole = run_in_arena(network, plan_memory(network, steps=0))
    count = len(network.layers)
    for first, stop in itertools.combinations(range(count + 1), 2):
        stretch = find_stretch(network, first, stop)
        if stretch is not None and stop - first in {1, 2, count}:
            strips = cut(network, stretch, strip_rows, is_upward=is_upward)
            assert run_in_arena(strips, plan_memory(strips, steps=0)) == whole
            macs = [sum(layer.macs for layer in n.layers) for n in (network, strips)]
            assert macs[1] - macs[0] == extra_macs(network, stretch, strip_rows)


@given(_towers())
@settings(deadline=None, max_examples=10)
def test_every_plan_of_the_curve_computes_the_same(network: Network) -> None:
    whole = run_in_arena(network, plan_memory(network, steps=0))
    plans = curve(network)
    arenas = [choice.plan.arena_bytes for choice in plans]
    assert arenas == sorted(set(arenas), reverse=True)
    for choice in plans[1:]:
        assert run_in_arena(choice.network, choice.plan) == whole
    fitting = fit(network, arenas[-1])
    assert fitting.plan.arena_bytes <= arenas[-1]
    assert run_in_arena(fitting.network, fitting.plan) == whole
