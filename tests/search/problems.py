"""A real small problem for tests of studies: 36 candidates, evaluated in no time, every evaluation written to a file.

`EDGERT_TEST_LOG` names that file, `EDGERT_TEST_SLEEP` how many seconds an evaluation takes (some tests need to meet one
on its way).
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np

from edgert.errors import DeviceError
from edgert.search.evaluator import Evaluation
from edgert.search.goals import Quantity
from edgert.search.problem import Problem, ProblemRequest
from edgert.search.space import Choice, ProductSpace

LOG, SLEEP, NOISE, AWAY, HOT = (f"EDGERT_TEST_{name}" for name in ("LOG", "SLEEP", "NOISE", "AWAY", "HOT"))
SPACE = {"precision": ("fp32", "fp16", "int8"), "size": (96, 128, 160, 192), "ratio": (0.5, 0.75, 1.0)}
SPEED = {"fp32": 1.0, "fp16": 0.8, "int8": 0.4}
LOSS = {"fp32": 0.0, "fp16": 0.001, "int8": 0.02}


class Known:
    """Evaluates by formulas. fp16 at the largest size does not work.

    EDGERT_TEST_NOISE is a share of the latency, drawn by the seed; after EDGERT_TEST_HOT evaluations it is slower.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self.identity = f"known on {device}"

    def evaluate(self, choice: Choice, *, seed: int) -> Evaluation:
        with Path(os.environ[LOG]).open("a") as stream:
            stream.write(json.dumps({"choice": dict(choice), "seed": seed, "process": os.getpid()}) + "\n")
        time.sleep(float(os.environ.get(SLEEP, "0")))
        if os.environ.get(AWAY):
            raise DeviceError("the board does not answer")
        precision, size, ratio = str(choice["precision"]), int(choice["size"]), float(choice["ratio"])
        if precision == "fp16" and size == 192:
            return Evaluation({}, "does not convert: no such kernel")
        noise = 1 + float(os.environ.get(NOISE, "0")) * np.random.default_rng(seed).random()
        latency_ms = (size / 96) ** 2 * ratio * SPEED[precision] * 10 * noise
        accuracy = 0.7 + 0.1 * np.log2(size / 96) + 0.05 * ratio - LOSS[precision]
        if len(Path(os.environ[LOG]).read_text().splitlines()) > int(os.environ.get(HOT, "1000")):
            latency_ms *= 1.5
        measured = {
            Quantity.ACCURACY: float(accuracy),
            Quantity.LATENCY_MS: float(latency_ms),
            Quantity.SIZE_BYTES: 1e6 * ratio * (4 if precision == "fp32" else 2),
        }
        return Evaluation(measured, facts={"record": f"{precision}-{size}.json"})


def make(request: ProblemRequest, device: str) -> Problem:
    return Problem(ProductSpace({**SPACE, **request.space}), Known(device))


def make_nothing(request: ProblemRequest, device: str) -> None:
    """Returns no problem."""


def evaluated(log: Path) -> list[tuple[str, int]]:
    """Choice and seed of every evaluation that was begun, in order."""
    if not log.exists():
        return []
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [(json.dumps(line["choice"], sort_keys=True), line["seed"]) for line in lines]
