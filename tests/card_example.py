"""Made-up cards of a self-test, for tests of what reads cards."""

from __future__ import annotations

import dataclasses

from edgert.profiler.card import KIND, NEEDED_STEPS, SCHEMA, Card, CardStep, Machine, Outcome, Surroundings
from tests import record_example


def steps(**outcomes: Outcome) -> tuple[CardStep, ...]:
    """All steps of a board, passed; energy and deploy are skipped. `outcomes` are by name, `_` for a space."""
    plain = dict.fromkeys((*NEEDED_STEPS, "upload cut off"), Outcome.PASSED)
    plain |= {"energy": Outcome.SKIPPED, "deploy": Outcome.SKIPPED}
    plain |= {name.replace("_", " "): outcome for name, outcome in outcomes.items()}
    return tuple(CardStep(name, outcome, 1.5, f"what came of {name}") for name, outcome in plain.items())


def card(machine: Machine = Machine.HARDWARE, **changes: object) -> Card:
    seen = () if machine is Machine.HARDWARE else ("/run/fakeboard is there",)
    made = Card(
        kind=KIND,
        schema=SCHEMA,
        created="2026-03-01T12:00:00+00:00",
        target="raspberry-pi-4",
        edgert="0.1.0",
        commit="0123456789abcdef",
        device=dataclasses.replace(record_example.DEVICE, target=None),
        surroundings=Surroundings(machine, seen, ("/run/fakeboard",)),
        python="3.11.2",
        engines={"onnxruntime": "1.23.2"},
        steps=steps(),
        records=(record_example.record(),),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]
