"""Seeded mutations of a .tflite file: of its plain values (which then parse again), and of its bytes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.tflite.model import TfModel, TfOperator, TfSignature, TfSubgraph, TfTensor
from edgert_converters.tflite.schema import builtin_codes, option_fields, options_table
from edgert_converters.tflite.write import serialize_tflite
from tests.fuzz.mutate import mutate_bytes

_SIZES = (0, 1, 2, 3, 7, 8, 64, 1000, 2**20, 2**31 - 1)
_NUMBERS = (0, 1, -1, 2, 3, 5, 100, -100, 2**31 - 1, -(2**31))
_REALS = (0.0, -1.0, 0.5, 1e30, float("nan"), float("inf"))
_NAMES = ("", "x", "x", "a/b:0", "é", "\0", "n" * 3000, "\u202e")
_SCALES = (1e-30, 1e-9, 1 / 256, 1.0, 3e38)
_DTYPES = tuple(DType)
_NOT_WRITTEN = (ValueError, OverflowError, TypeError, KeyError, AttributeError)
_ATTEMPTS = 4

TensorEdit = Callable[[random.Random, TfTensor], TfTensor]


def mutate_file(rng: random.Random, data: bytes, model: TfModel) -> bytes:
    """Returns a mutated file: one in three by its bytes, else by its structure; `model` is `data`, parsed."""
    if rng.random() < 0.34:
        return mutate_bytes(rng, data)
    for _ in range(_ATTEMPTS):
        changed = model
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            changed = mutate_model(rng, changed)
        try:
            written = serialize_tflite(changed)
        except _NOT_WRITTEN:  # a number that the schema has no room for
            continue
        return mutate_bytes(rng, written) if rng.random() < 0.05 else written
    return mutate_bytes(rng, data)


def mutate_model(rng: random.Random, model: TfModel) -> TfModel:
    """Returns a changed copy."""
    action = rng.random()
    if action < 0.05:
        return replace(model, signatures=tuple(_signature(rng, model) for _ in range(rng.randrange(3))))
    if action < 0.08:
        return replace(model, metadata={rng.choice(("TFLITE_METADATA", "x")): rng.randbytes(rng.choice((0, 8, 60)))})
    at = rng.randrange(len(model.subgraphs))
    graphs = list(model.subgraphs)
    if action < 0.10 and len(graphs) > 1:
        del graphs[at]
    else:
        graphs[at] = _graph(rng, graphs[at])
    return replace(model, subgraphs=tuple(graphs))


def _signature(rng: random.Random, model: TfModel) -> TfSignature:
    count = len(model.subgraphs[0].tensors) + 1
    ports = [{rng.choice(_NAMES): rng.randrange(count) for _ in range(rng.randrange(3))} for _ in range(2)]
    return TfSignature(rng.choice(_NAMES), ports[0], ports[1], rng.choice((0, 0, 0, 1, 9)))


def _graph(rng: random.Random, graph: TfSubgraph) -> TfSubgraph:
    action = rng.random()
    operators, tensors = list(graph.operators), list(graph.tensors)
    if action < 0.45 and operators:
        at = rng.randrange(len(operators))
        operators[at] = _operator(rng, operators[at], len(tensors))
    elif action < 0.85 and tensors:
        at = rng.randrange(len(tensors))
        tensors[at] = rng.choice(_TENSOR_EDITS)(rng, tensors[at])
    elif action < 0.93 and operators:
        at = rng.randrange(len(operators))
        if rng.random() < 0.4:
            del operators[at]
        else:
            operators.insert(rng.randrange(len(operators)), operators[at] if rng.random() < 0.5 else operators.pop(at))
    else:
        name = rng.choice(("inputs", "outputs"))
        ports = _indices(rng, getattr(graph, name), len(tensors))
        return replace(graph, inputs=ports) if name == "inputs" else replace(graph, outputs=ports)
    return replace(graph, tensors=tuple(tensors), operators=tuple(operators))


def _indices(rng: random.Random, indices: tuple[int, ...], count: int) -> tuple[int, ...]:
    changed = list(indices)
    action = rng.randrange(4)
    if action == 0 or not changed:
        changed.insert(rng.randrange(len(changed) + 1), rng.randrange(max(count, 1)))
    elif action == 1:
        changed.pop(rng.randrange(len(changed)))
    elif action == 2:
        changed[rng.randrange(len(changed))] = rng.choice((-1, rng.randrange(max(count, 1)), count, -5))
    else:
        rng.shuffle(changed)
    return tuple(changed)


def _operator(rng: random.Random, operator: TfOperator, count: int) -> TfOperator:
    action = rng.random()
    if action < 0.3:
        return replace(operator, inputs=_indices(rng, operator.inputs, count))
    if action < 0.45:
        return replace(operator, outputs=_indices(rng, operator.outputs, count))
    if action < 0.65 and operator.options:
        name = rng.choice(sorted(operator.options))
        return replace(operator, options={**operator.options, name: _option(rng, operator.options[name])})
    if action < 0.7:
        return replace(operator, version=rng.choice((0, 2, 99)))
    if action < 0.75:
        custom = rng.choice(("TFLite_Detection_PostProcess", "FlexErf", "Mine", ""))
        return replace(
            operator, name=custom, is_custom=True, options={}, custom_options=rng.randbytes(rng.choice((0, 9)))
        )
    return _renamed(rng, operator)


def _renamed(rng: random.Random, operator: TfOperator) -> TfOperator:
    """Another builtin operator with the options that it shares."""
    name = rng.choice(sorted(builtin_codes()))
    table = options_table(name)
    known = option_fields(table) if table is not None else {}
    options = {key: value for key, value in operator.options.items() if key in known}
    return replace(operator, name=name, is_custom=False, options=options)


def _option(rng: random.Random, value: Any) -> Any:  # Any: whatever an option may be
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return rng.choice(_REALS)
    if isinstance(value, tuple):
        return tuple(rng.choice(_NUMBERS) for _ in range(rng.randrange(6)))
    return rng.choice(_NAMES) if isinstance(value, str) else rng.choice(_NUMBERS)


def _shape(rng: random.Random, tensor: TfTensor) -> TfTensor:
    shape = list(tensor.shape)
    action = rng.randrange(4)
    if action == 0 or not shape:
        shape.insert(rng.randrange(len(shape) + 1), rng.choice(_SIZES))
    elif action == 1:
        shape.pop(rng.randrange(len(shape)))
    elif action == 2:
        shape[rng.randrange(len(shape))] = rng.choice(_SIZES)
    else:
        rng.shuffle(shape)
    return replace(tensor, shape=tuple(shape))


def _dtype(rng: random.Random, tensor: TfTensor) -> TfTensor:
    dtype = rng.choice(_DTYPES)
    if tensor.data is None or dtype is DType.STRING:
        return replace(tensor, dtype=dtype)
    raw = np.ascontiguousarray(tensor.data).view(np.uint8).reshape(-1)
    count = raw.size // dtype.itemsize_bytes
    return replace(tensor, dtype=dtype, data=raw[: count * dtype.itemsize_bytes].view(dtype.numpy))


def _quant(rng: random.Random, tensor: TfTensor) -> TfTensor:
    if rng.random() < 0.3 or tensor.dtype is None:
        return replace(tensor, quant=None)
    count = rng.choice((1, 1, 2, *tensor.shape[:1]))
    dtype = tensor.dtype if tensor.dtype.value.strip("u").startswith("int") else DType.INT8
    low, high = dtype.integer_range
    zero = rng.choice((0, low, high, max(low, -5)))
    axis = None if count == 1 else rng.choice((0, 1, len(tensor.shape)))
    return replace(
        tensor, quant=QuantParams((rng.choice(_SCALES),) * min(count, 5000), (zero,) * min(count, 5000), dtype, axis)
    )


def _data(rng: random.Random, tensor: TfTensor) -> TfTensor:
    if tensor.data is None or rng.random() < 0.3:
        return replace(tensor, data=None)
    data = np.array(tensor.data).reshape(-1)
    action = rng.randrange(3)
    if action == 0 and data.size:
        data[rng.randrange(data.size)] = rng.choice((0, 1, 100))
    elif action == 1:
        data = data[: rng.randrange(data.size + 1)]
    else:
        raw = np.frombuffer(rng.randbytes(data.nbytes), np.uint8)
        data = raw.view(data.dtype) if data.dtype != object else data
    return replace(tensor, data=data)


def _name(rng: random.Random, tensor: TfTensor) -> TfTensor:
    return replace(tensor, name=rng.choice(_NAMES), is_variable=rng.random() < 0.3)


def _declared(rng: random.Random, tensor: TfTensor) -> TfTensor:
    signature = tuple(rng.choice((-1, size, -2)) for size in tensor.shape)
    return replace(tensor, signature=signature if rng.random() < 0.8 else (-1,))


_TENSOR_EDITS: tuple[TensorEdit, ...] = (_shape, _shape, _dtype, _quant, _data, _name, _declared)
