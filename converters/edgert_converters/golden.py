"""golden.npz of a bundle: a few real inputs with what every variant makes of them."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from edgert_converters.conversion import Conversion
from edgert_converters.judging import load_runners
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import Samples
from edgert_converters.variant_runner import load_exact

__all__ = ["GOLDEN", "golden_file"]

GOLDEN = "golden.npz"
_GOLDEN_SAMPLES = 4


def _count_alike(outputs: Sequence[Mapping[str, Array]]) -> int:
    """How many of the first samples gave outputs of one shape: those of a selection depend on what it found."""
    shapes = [{name: values.shape for name, values in output.items()} for output in outputs]
    return sum(1 for _ in itertools.takewhile(lambda shape: shape == shapes[0], shapes))


def golden_file(conversion: Conversion, samples: Samples) -> bytes:
    """A few real inputs (of the evaluation set where there is one) with the outputs of every variant."""
    evaluation = conversion.data.evaluation
    if evaluation is None:
        inputs = list(itertools.islice(samples(), _GOLDEN_SAMPLES))
    else:
        inputs = [evaluation.sample(index).inputs for index in range(min(_GOLDEN_SAMPLES, len(evaluation)))]
    runners = load_runners(conversion.built, conversion.imported)
    runners |= {variant.id: load_exact(variant) for variant in conversion.built if variant.format == "c"}
    results = {variant_id: [run(sample) for sample in inputs] for variant_id, run in runners.items()}
    count = min((_count_alike(outputs) for outputs in results.values()), default=len(inputs))
    arrays = {f"input/{name}": np.stack([sample[name] for sample in inputs[:count]]) for name in inputs[0]}
    for variant_id, outputs in results.items():
        arrays |= {f"{variant_id}/{name}": np.stack([o[name] for o in outputs[:count]]) for name in outputs[0]}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # array names are no keyword of savez
    return buffer.getvalue()
