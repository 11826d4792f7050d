"""A bundle and profile records like real ones, for the tests of the report; every value is made up here."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import edgert.demo
from edgert.bundle import Gate, LayerRecord, Manifest, Source, TensorSpec, Variant, write_bundle
from edgert.codec import to_plain
from edgert.dtypes import DType
from edgert.plugins import LayerTime
from edgert.profiler.record import (
    DeviceFacts,
    EngineRecord,
    EnvironmentRecord,
    EnvironmentSample,
    Latency,
    MemoryRecord,
    Method,
    ModelFacts,
    Reason,
    Record,
    Stages,
    Verdict,
)
from edgert_converters.sample_views import view_input

HOSTILE = "\"><script>window.owned=1</script><img src=x onerror='window.owned=1'>\u202e"

SIZES = (449_310, 121_480, 121_481, 119_300)

LAYERS = (
    ("stem", (24, 1, 3, 3), 32),
    ("stage1.conv1", (24, 24, 3, 3), 32),
    ("stage1.conv2", (24, 24, 3, 3), 32),
    ("stage2.conv1", (48, 24, 3, 3), 16),
    ("stage2.conv2", (48, 48, 3, 3), 16),
    ("stage2.shortcut", (48, 24, 1, 1), 16),
    ("stage3.conv1", (64, 48, 3, 3), 8),
    ("stage3.conv2", (64, 64, 3, 3), 8),
    ("stage3.shortcut", (64, 48, 1, 1), 8),
)


def png_base64(image: np.ndarray) -> str:
    """Returns a grey image uint8[H, W] as base64 PNG."""
    height, width = image.shape
    lines = b"".join(b"\0" + row.tobytes() for row in image)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()


def layer_records(item_bytes: int, prefix: str = "") -> tuple[LayerRecord, ...]:
    """Returns the convolutions of the digits network as rows of a manifest."""
    records = []
    for name, weight, side in LAYERS:
        count = int(np.prod(weight))
        shape = (1, weight[0], side, side)
        dtype = DType.FLOAT if item_bytes == 4 else DType.INT8
        outputs = item_bytes * int(np.prod(shape))
        records.append(
            LayerRecord(
                prefix + name,
                "Conv",
                ("x",),
                ("y",),
                (shape,),
                (shape,),
                dtype,
                count * side * side,
                count * item_bytes,
                outputs,
            )
        )
    return tuple(records)


def manifest(name: str = "digits", prefix: str = "", labels: tuple[str, ...] = ()) -> Manifest:
    """Returns a manifest with a float and two integer variants."""
    image, logits = (TensorSpec("image", (None, 1, 32, 32), DType.FLOAT), TensorSpec("logits", (None, 10), DType.FLOAT))
    variants = tuple(
        Variant(
            id=prefix + variant_id,
            format="onnx",
            precision=precision,
            path=f"variants/{i}/model.onnx",
            inputs=(image,),
            outputs=(logits,),
            layers=layer_records(item_bytes, prefix),
            peak_activation_bytes=49152 * item_bytes,
            gate=gate,
        )
        for i, (variant_id, precision, item_bytes, gate) in enumerate(
            (
                ("onnx-fp32", "fp32", 4, Gate.NONE),
                ("onnx-int8", "int8", 1, Gate.PASSED),
                ("onnx-int8-s8", "int8", 1, Gate.UNDECIDED),
                ("onnx-int8-tensor", "int8", 1, Gate.FAILED),
            )
        )
    )
    source = Source(f"{name}.onnx", "onnx", "9c3f" * 16)
    return Manifest(1, name, "0.1.0", source, (image,), (logits,), variants, prefix + "onnx-int8", labels=labels)


def report(prefix: str = "") -> dict[str, Any]:
    """Returns a report.json with every key filled."""
    images = np.load(Path(edgert.demo.__file__).parent / "digits_eval.npz")["x"]

    def row(
        variant: str, value: float, drop: float, interval: list[float], gate: str, sentence: str, db: float
    ) -> dict:
        group = {"axis": 1, "start": 4, "stop": 5, "sqnr_db": db - 6.2}
        output = {"name": prefix + "logits", "sqnr_db_mean": db, "sqnr_db_worst": db - 9.4, "worst_group": group}
        return {
            "id": prefix + variant, "format": "onnx", "precision": "int8", "bytes": 121_000, "value": value,
            "agree": 0.9956, "agree_ci95": [0.989, 0.998], "drop": drop, "ci95": interval, "gate": gate, "n": 900,
            "samples_needed": None, "sentence": sentence, "outputs": [output],
        }  # fmt: skip

    layers = [
        {
            "variant": prefix + variant, "name": prefix + name, "op": "Conv", "sqnr_db": base - 2.3 * i % 17,
            "worst_group_sqnr_db": base - 11 - 4.1 * i % 19, "gain_db": 1.1 if i == 3 else None,
        }
        for variant, base in (("onnx-int8", 38.0), ("onnx-int8-tensor", 27.0))
        for i, (name, _, _) in enumerate(LAYERS)
    ]  # fmt: skip
    return {
        "schema": 1,
        "reference": {"variant": prefix + "onnx-fp32", "metric": "top1", "unit": "%", "value": 98.0, "n": 900},
        "gate": "passed",
        "max_drop_points": 1.0,
        "variants": [
            row("onnx-int8", 98.11, -0.11, [-0.42, 0.2], "passed", "n=900 excludes a drop above 0.15 points.", 33.1),
            row("onnx-int8-s8", 97.44, 0.56, [-0.15, 1.26], "undecided",
                "n=900 cannot exclude a drop of 1.15 points; about 1500 samples would.", 29.8),
            row("onnx-int8-tensor", 93.67, 4.33, [2.9, 5.8], "failed", "the drop is at least 3.1 points.", 18.4),
        ],
        "layers": layers,
        "worst_layers": layers[:3],
        "worst_samples": [
            {
                "variant": prefix + "onnx-int8", "id": f"{prefix}digits_eval.npz[{i}]", "agree": 0.0,
                "sqnr_db": 21.5 - k, "reference": prefix + "class 4 (5.04)", "answer": prefix + f"class {9 - k} (4.9)",
                "preview_png": png_base64(images[i]) if k != 2 else None,
            }
            for k, i in enumerate((0, 3, 5, 8, 13, 21))
        ]
        + [
            {
                "variant": prefix + "onnx-int8", "id": f"{prefix}clip {k}", "agree": 0.0, "sqnr_db": 12.5,
                "reference": "class 2 (0.9)", "answer": "class 7 (0.6)", "preview_png": None, "inputs": inputs,
            }
            for k, inputs in enumerate(_inputs(prefix))
        ],
        "passes": [
            {"name": prefix + "fold_batch_norm", "changed": 9, "max_relative_error": 2.1e-7},
            {"name": "fuse_activations", "changed": 0, "max_relative_error": 0.0},
        ],
        "changes": [
            {"where": prefix + "classifier", "what": "left float", "why": "the branches' ranges differ by 11x"},
            {
                "step": prefix + "equalization", "where": prefix + "stem -> stage1.conv1",
                "what": "channels scaled by 0.3 to 4.1", "why": "equal ranges lose least",
            },
        ],
        "repair": {
            "steps": [
                _repair_step(prefix, "plain int8", 0.941, 1.0, True, "where the search starts"),
                _repair_step(prefix, "ranges=octav", 0.939, 1.0, False, "no better"),
                _repair_step(prefix, "float stage1.conv1", 0.983, 1.07, True, "4.1 dB for 7 % of the time"),
            ],
            "stopped": prefix + "the gate passed",
        },
        "sensitivity": [
            {
                "layer": prefix + name, "op": "Conv", "source": "weights",
                "group": "channels 0 to 7" if i == 1 else None, "sqnr_db": 9.0 + 3.5 * i, "macs": 1000 * i,
            }
            for i, (name, _, _) in enumerate(LAYERS)
        ],
        "calibration": {"spec": prefix + "digits_calib.npz", "n": 200, "ranges": "mse"},
        "messages": [prefix + "opset 18 kept"],
    }  # fmt: skip


def _repair_step(prefix: str, step: str, agree: float, cost: float, kept: bool, why: str) -> dict[str, Any]:
    return {
        "step": prefix + step, "where": prefix + "stage1.conv1", "agree": agree, "sqnr_db": 30 * agree, "cost": cost,
        "cost_unit": "ms", "kept": kept, "why": why, "gate": "n=900 excludes a drop above 0.15 points." if kept else "",
    }  # fmt: skip


def _inputs(prefix: str) -> list[list[dict[str, Any]]]:
    """The inputs of four samples: one of each kind, as a conversion describes them."""
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(8000) / 400) * rng.uniform(0.5, 1.0, 8000)
    mfcc = np.cumsum(rng.standard_normal((1, 49, 10, 1)), axis=1)
    image = np.load(Path(edgert.demo.__file__).parent / "digits_eval.npz")["x"][4] / 127.5 - 1.0
    samples: list[dict[str, np.ndarray]] = [
        {"mfcc": mfcc.astype(np.float32)},
        {"wave": wave[None].astype(np.float32)},
        {"features": np.array([[0.25, -1.5, 3e-5]], np.float32), "ids": np.arange(40, dtype=np.int64)[None]},
        {"image": np.stack([image] * 3)[None].reshape(1, 3, 32, 32).astype(np.float32)},
    ]
    return [[view_input(prefix + name, x).to_json() for name, x in sample.items()] for sample in samples]


def write_example(path: Path, prefix: str = "", data: dict[str, Any] | None = None, **options: Any) -> Path:
    """Writes the bundle; `data` None: the filled report.json."""
    made = manifest(prefix=prefix, **options)
    files = {v.path: bytes(size) for v, size in zip(made.variants, SIZES, strict=True)}
    files["report.json"] = json.dumps(report(prefix) if data is None else data).encode()
    return write_bundle(path, made, files)


def records(prefix: str = "") -> list[dict[str, Any]]:
    """Returns profile records of the float and the first integer variant."""
    noisy = Reason("competing-load", prefix + "other processes used up to 0.6 cores during the measurement")
    measured = (
        _record(prefix, "onnx-fp32", SIZES[0], 0.2631, ()),
        _record(prefix, "onnx-int8", SIZES[1], 0.1317, (noisy,)),
    )
    return [to_plain(record) for record in measured]


def _record(prefix: str, variant: str, size: int, p50_ms: float, reasons: tuple[Reason, ...]) -> Record:
    windows = tuple(tuple(p50_ms * (1 + 0.01 * i + 0.002 * k) for k in range(10)) for i in range(-2, 3))
    sample = EnvironmentSample(100.0, 1000.0, ("performance",), (2400.0, 2395.0), {"cpu": 51.0}, None, 0.4, 0.6)
    rows = [LayerTime(prefix + row[0], "Conv", p50_ms * (0.17 - 0.012 * i), "CPU") for i, row in enumerate(LAYERS[:-1])]
    return Record(
        schema=1,
        created="2026-11-21T03:50:00Z",
        source="measured",
        model=ModelFacts(prefix + "digits", "9c3f" * 16, hashlib.sha256(bytes(size)).hexdigest(), "onnx", "int8", size),
        variant=prefix + variant,
        device=DeviceFacts(prefix + "this computer", None, "Example CPU", "x86_64", 2, 8 << 30, "Linux", "6.1.0"),
        engine=EngineRecord("onnxruntime", "1.31.0", 1, "avx512-vnni", "0.1.0", "3.11.7", "2.4.0"),
        environment=EnvironmentRecord(sample, (sample,), sample),
        method=Method("perf_counter_ns", 50, True, len(windows), 50, "random", 0),
        latency=Latency(
            p50_ms, 1.12 * p50_ms, 1.2 * p50_ms, 1.41 * p50_ms, 1.03 * p50_ms, 0.97 * p50_ms, 2 * p50_ms,
            (0.985 * p50_ms, 1.02 * p50_ms), (0.99 * p50_ms, 1.06 * p50_ms), windows,
        ),
        stages=Stages(0.011, p50_ms, None, "the model has no post-processing"),
        memory=MemoryRecord(14.2, 0.9, 61_000_000, 66_000_000, 68_000_000),
        verdict=Verdict.DEGRADED if reasons else Verdict.VALID,
        reasons=reasons,
        layers=tuple(rows),
        energy_reason="powercap is not readable here",
    )  # fmt: skip
