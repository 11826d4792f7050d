"""Changes synthetic inputs step by step until the model answers them as firmly as real ones.

Pictures of nothing excite the first layers of a network like photographs do, but not the last: those wait for things,
and without any their ranges come out at half of what data would show. Mutation and selection need no gradients.

Source: Nguyen, Yosinski and Clune, Deep neural networks are easily fooled, 2015, arXiv:1412.1897 (pictures evolved
until a network is sure of its answer). We deviate: what is selected is the distance of the largest answer from the mean
answer, each picture is its own lineage, and a mutation is a part of another picture, a new shape, or another exposure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgert.plugins import ProgressReporter
from edgert_converters.engine import load_runner
from edgert_converters.layers import build_layers
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import expose_values
from edgert_converters.quantize.data_free.images import paint_shape
from edgert_converters.quantize.data_free.inputs import InputForm
from edgert_converters.quantize.weighted import WEIGHTED

__all__ = ["evolve_samples"]

_GENERATIONS = 100
_MACS_BUDGET = 1e12
"""Multiply-accumulates that the search may cost: 30 to 60 s on one core of 2024; larger models get fewer steps."""
_TINY = 1e-12

_Raw = dict[str, Array]


def evolve_samples(
    model: ir.Model, forms: Sequence[InputForm], count: int, rng: np.random.Generator, progress: ProgressReporter
) -> list[dict[str, Array]]:
    """Returns `count` inputs by name, batch 1; the same for the same model, forms and state of `rng`.

    Args:
        model: float model; not changed.
        forms: of every input.
        count: number of samples.
        rng: of every draw.
        progress: told after each generation.
    """
    pool = [{form.name: form.draw(rng) for form in forms} for _ in range(count)]
    answers = _answers(model)
    run = load_runner(expose_values(model, answers))

    def firmness(raw: Mapping[str, Array]) -> float:
        outputs = run(_prepared(raw, forms))
        peaks = [float(outputs[name].max() - outputs[name].mean()) for name in answers if outputs[name].size]
        return float(np.mean(np.log(np.maximum(peaks, _TINY)))) if np.all(np.isfinite(peaks)) else -np.inf

    current, best = list(pool), [firmness(raw) for raw in pool]
    generations = _generations(model, count) if any(not form.is_fixed for form in forms) else 0
    for generation in range(generations):
        for index, raw in enumerate(current):
            child = _mutate(raw, pool, forms, rng)
            score = firmness(child)
            if score > best[index]:
                current[index], best[index] = child, score
        progress("synthesize", generation + 1, generations)
    return [_prepared(raw, forms) for raw in current]


def _generations(model: ir.Model, count: int) -> int:
    macs = sum(layer.macs for layer in build_layers(model))
    return max(4, min(_GENERATIONS, int(_MACS_BUDGET / (count * max(macs, 1)))))


def _prepared(raw: Mapping[str, Array], forms: Sequence[InputForm]) -> dict[str, Array]:
    return {form.name: form.prepare(raw[form.name]) for form in forms}


def _answers(model: ir.Model) -> list[str]:
    """The last values that were summed up on the way to each output: scores before a softmax squeezes them."""
    found: dict[str, None] = {}
    waiting, seen = list(model.graph.outputs), set[int]()
    while waiting:
        value = waiting.pop()
        node = value.producer()
        if node is None or id(value) in seen or value.dtype not in {ir.DataType.FLOAT, None}:
            continue
        seen.add(id(value))
        if node.op_type in WEIGHTED:
            found[str(value.name)] = None
        else:
            waiting.extend(x for x in node.inputs if x is not None and x.const_value is None)
    return list(found) or [str(v.name) for v in model.graph.outputs if v.dtype in {ir.DataType.FLOAT, None}]


def _mutate(raw: _Raw, pool: Sequence[_Raw], forms: Sequence[InputForm], rng: np.random.Generator) -> _Raw:
    free = [form for form in forms if not form.is_fixed]
    form = free[int(rng.integers(len(free)))]
    values = raw[form.name].copy()
    kind = int(rng.integers(3))
    if kind == 0:
        target = _box(values.shape, rng)
        donor = pool[int(rng.integers(len(pool)))][form.name]
        values[tuple(target)] = donor[tuple(_moved(target, values.shape, rng))]
    elif kind == 1 and form.is_picture:
        paint_shape(values, rng)
    else:
        values = _exposed(values, form, rng)
    return {**raw, form.name: values}


def _box(shape: Sequence[int], rng: np.random.Generator) -> list[slice]:
    """A part of a sixth to a half of each axis; short axes (colours) are taken as a whole."""
    return list(_slices(shape, rng))


def _slices(shape: Sequence[int], rng: np.random.Generator) -> Iterator[slice]:
    for size in shape:
        length = size if size < 4 else int(rng.integers(max(1, size // 6), size // 2 + 1))
        start = int(rng.integers(size - length + 1))
        yield slice(start, start + length)


def _moved(box: Sequence[slice], shape: Sequence[int], rng: np.random.Generator) -> Iterator[slice]:
    for part, size in zip(box, shape, strict=True):
        length = part.stop - part.start
        start = int(rng.integers(size - length + 1))
        yield slice(start, start + length)


def _exposed(values: Array, form: InputForm, rng: np.random.Generator) -> Array:
    """Another contrast and brightness (of each colour, in a picture)."""
    low, high = (0.0, 255.0) if form.is_picture else (form.low, form.high)
    middle, span = (low + high) / 2, high - low
    shift = rng.normal(0.0, 0.05 * span, 3 if form.is_picture else None)
    real = values.astype(np.float64)
    changed = np.clip((real - middle) * rng.uniform(0.8, 1.25) + middle + shift, low, high)
    return np.asarray(np.rint(changed) if form.is_picture else changed).astype(values.dtype)
