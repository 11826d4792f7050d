"""Measures what the integer families keep of the float models' answers.

    python -m tests.bench.fixed_point [--samples N] [MODEL ...]

MODEL is kws, resnet20, proxyless (zoo; agreement of top-1 with a 95 % Wilson interval) or encoder, encoder-outlier
(seeded transformer encoders; smallest cosine). Prints a table in Markdown. Never part of CI.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from edgert_converters.engine import load_runner
from edgert_converters.fixed_point.bct import BLOCK_LENGTHS, quantize_bct
from edgert_converters.fixed_point.dfp16 import quantize_dfp16
from edgert_converters.fixed_point.network import FixedPointNetwork
from edgert_converters.importers import import_model
from edgert_converters.intervals import wilson
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import Samples
from tests.bench.quantization.data import CALIBRATION_SAMPLES, MODELS, draw_indices
from tests.encoder_example import build_encoder
from tests.fixed_point_example import signal_to_noise_db

ENCODERS = {"encoder": 1.0, "encoder-outlier": 20.0}
WIDTH, LENGTH = 128, 64
Quantize = Callable[[ir.Model, Samples], FixedPointNetwork]


def _zoo_model(name: str, count: int) -> tuple[ir.Model, list[Array], list[Array]]:
    model = MODELS[name]
    (pool, _), (evaluated, _) = model.pool(), model.evaluated()
    chosen, judged = draw_indices(model, len(pool), 0)
    rows = np.arange(len(evaluated) // model.views) if judged is None else judged
    rows = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]
    graph = import_model(model.source, {}).model
    return graph, [pool[i][None] for i in chosen], [evaluated[i][None] for i in rows]


def _encoder(outlier: float, count: int) -> tuple[ir.Model, list[Array], list[Array]]:
    x = np.random.default_rng(1).standard_normal((32 + count, 1, LENGTH, WIDTH)).astype(np.float32)
    x[..., 3] *= outlier
    return build_encoder(layers=4, width=WIDTH, heads=4, length=LENGTH), list(x[:32]), list(x[32:])


def _measure(name: str, count: int, family: str, quantize: Quantize) -> str:
    is_encoder = name in ENCODERS
    source = _encoder(ENCODERS[name], min(count, 16)) if is_encoder else _zoo_model(name, count)
    model, calibration, evaluation = source
    port, output = model.graph.inputs[0].name or "", model.graph.outputs[0].name or ""
    network = quantize(model, lambda: [{port: x} for x in calibration])
    run = load_runner(model)
    expected = np.concatenate([run({port: x})[output] for x in evaluation])
    start = time.perf_counter()
    found = np.concatenate([network.run({port: x})[output] for x in evaluation])
    seconds = (time.perf_counter() - start) / len(evaluation)
    if is_encoder:
        lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
        kept = f"cosine {float(((expected * found).sum(axis=1) / lengths).min()):.5f}"
    else:
        same = int((expected.argmax(axis=1) == found.argmax(axis=1)).sum())
        low, high = wilson(same, len(evaluation))
        kept = f"agree {same / len(evaluation):.3f} ({low:.3f}-{high:.3f})"
    decibel = signal_to_noise_db(expected, found)
    return f"| {name} | {len(evaluation)} | {family} | {kept} | {decibel:.1f} | {1000 * seconds:.0f} | this x86 |"


def _blocks(length: int) -> Quantize:
    return lambda model, samples: quantize_bct(model, samples, length)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="what to measure; all where none is named")
    parser.add_argument("--samples", type=int, default=300, metavar="N", help="evaluation samples (default 300)")
    options = parser.parse_args(arguments)
    families: dict[str, Quantize] = {"dfp16": quantize_dfp16}
    families.update({f"bct, blocks of {length}": _blocks(length) for length in BLOCK_LENGTHS})
    print(f"{CALIBRATION_SAMPLES} calibration samples (encoders: 32)", file=sys.stderr)
    print("| model | samples | family | kept | SQNR dB | ms a sample, numpy | measured on |")
    print("|---|---|---|---|---|---|---|")
    for name in options.models or ["kws", "resnet20", "proxyless", *ENCODERS]:
        for family, quantize in families.items():
            print(_measure(name, options.samples, family, quantize), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
