"""Mutated models that reach native code: only through a child process, and never more than a typed error."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import edgert
from edgert import cli
from edgert.devices import WorkerClient
from edgert.devices.local import LocalTransport
from edgert.errors import EdgertError, EngineError, ModelError
from tests import bundle_example as example
from tests.fuzz import mutate
from tests.fuzz.test_bundle_fuzz import SEED

DIGITS = Path(edgert.__file__).parent / "demo" / "digits.onnx"
LOADS = 200
INSPECTIONS = 20


def mutated_model(rng: random.Random, data: bytes) -> bytes:
    """One changed byte in most cases, which protobuf often still accepts; else anything."""
    if rng.random() < 0.3:
        mutated = mutate.mutate_bytes(rng, data)
        return mutated if mutated != data else mutated[:-1]
    changed = bytearray(data)
    at = rng.randrange(len(changed)) if rng.random() < 0.7 else rng.randrange(min(2000, len(changed)))
    changed[at] = (changed[at] + rng.choice((1, 2, 8, 64, 128, 255))) % 256
    return bytes(changed)


def test_a_worker_loads_and_runs_mutated_models(tmp_path: Path) -> None:
    """The models lie in a bundle whose hashes are right, so every case reaches ONNX Runtime."""
    files = mutate.unpack(example.write(tmp_path).read_bytes())
    models = {variant.id: variant.path for variant in example.variants()}
    path = tmp_path / "case.edge"
    outcomes: Counter[str] = Counter()
    worker = WorkerClient(LocalTransport())
    for case in range(LOADS):
        rng = random.Random(f"{SEED}/load/{case}")
        variant, name = rng.choice(sorted(models.items()))
        path.write_bytes(mutate.pack(mutate.relist({**files, name: mutated_model(rng, files[name])})))
        assert mutate.passes_container(path.read_bytes())
        error = load_and_run(worker, path, variant)
        outcomes["ran" if error is None else type(error).__name__] += 1
        if error is not None:
            assert error.exit_code in {3, 4}, f"case {case}: {type(error).__name__}: {error}"
        if isinstance(error, EngineError) or "the worker" in str(error):  # it may have crashed
            worker.close()
            worker = WorkerClient(LocalTransport())
    worker.close()
    assert outcomes["ran"] >= LOADS // 20, outcomes
    assert outcomes[ModelError.__name__] >= LOADS // 5, outcomes


def load_and_run(worker: WorkerClient, path: Path, variant: str) -> EdgertError | None:
    try:
        worker.load(path, variant=variant, threads=1, timeout_s=30)
        worker.run({"x": np.zeros((2, 4), np.float32)}, timeout_s=30)
    except EdgertError as error:
        return error
    return None


def test_inspect_of_mutated_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = [example.float_model(1), example.qdq_model(), DIGITS.read_bytes()]
    outcomes: Counter[int] = Counter()
    for case in range(INSPECTIONS):
        rng = random.Random(f"{SEED}/inspect/{case}")
        path = tmp_path / "model.onnx"
        path.write_bytes(mutated_model(rng, rng.choice(sources)))
        status = cli.main(["inspect", str(path), "--json", "--no-measure"])
        said = capsys.readouterr().err
        outcomes[status] += 1
        assert status in {0, 2, 4}, f"case {case}: {said}"  # 2: an axis has lost its size, --shape is printed
        assert status != 2 or "--shape" in said, f"case {case}: {said}"
        assert "Traceback" not in said
        assert "internal error" not in said
    assert outcomes[4] > 0, outcomes
    assert list(tmp_path.iterdir()) == [tmp_path / "model.onnx"]
