"""One worker process per candidate of a race: loading, comparing outputs, windows, and freeing those that left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import TensorSpec
from edgert.codec import JsonValue, from_plain
from edgert.devices import WorkerClient
from edgert.errors import DeviceError, EdgertError
from edgert.plugins import Transport
from edgert.profiler.agreement import why_outputs_differ
from edgert.profiler.candidates import FLOAT_PRECISIONS, Entry, without_effect
from edgert.profiler.race import Lane, is_far_behind

__all__ = ["Crew", "Golden", "Member"]

Array = NDArray[Any]  # Any: element types are data

_MODULE = "edgert.profiler.race_worker"
_MAX_LOADED = 8
_STARTED_TOGETHER = 4


@dataclass(frozen=True, slots=True)
class Golden:
    """Arrays of golden.npz, and which variant is the float reference; a plain file has no arrays."""

    arrays: Mapping[str, Array]
    reference: str

    def outputs(self, variant: str) -> dict[str, Array]:
        """Returns the stored outputs of a variant by name: [N, ...]."""
        prefix = f"{variant}/"
        return {name.removeprefix(prefix): array for name, array in self.arrays.items() if name.startswith(prefix)}


@dataclass(slots=True)
class Member:
    """One candidate with its worker; `lane` once it has been measured, `refusal` once it is out for good."""

    entry: Entry
    client: WorkerClient | None = None
    facts: dict[str, JsonValue] = field(default_factory=dict)
    outputs: dict[str, Array] = field(default_factory=dict)
    inputs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]] = ((), ())
    origin: str = ""
    lane: Lane | None = None
    refusal: str | None = None

    @property
    def name(self) -> str:
        """The choice in words."""
        return self.entry.name

    def free(self) -> None:
        """Ends the worker."""
        if self.client is not None:
            self.client.close()
            self.client = None


class Crew:
    """The members of one race on one device. Use as a context manager: leaving it ends every worker."""

    def __init__(
        self,
        transport: Transport,
        model: Path,
        golden: Golden,
        shapes: Mapping[str, Sequence[int]],
        seed: int,
        timeout_s: float = 600.0,
        accelerator: str | None = None,
    ) -> None:
        self._transport, self._model, self._golden, self._timeout_s = transport, model, golden, timeout_s
        self._accelerator = accelerator
        self._inputs = {"shapes": {name: list(shape) for name, shape in shapes.items()}, "seed": seed}
        self.members: list[Member] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.free()

    def qualify(
        self, entries: Sequence[Entry], look_s: float, cores: int, progress: Callable[[int, int], None]
    ) -> list[Member]:
        """Loads every candidate, compares its outputs and takes a first look; returns those that go on.

        Those far behind the fastest, and the slowest ones beyond eight, are freed: a small board has little memory.
        """
        for start in range(0, len(entries), _STARTED_TOGETHER):
            group = [Member(entry) for entry in entries[start : start + _STARTED_TOGETHER]]
            self.members += group
            self._open_all(group, cores)
            for member in group:
                self._check(member)
                if member.refusal is None:
                    member.lane = self._lane(member)
                    member.lane.rounds[0] = member.lane.window(look_s)
                if member.refusal is not None:
                    member.free()
            self._cut()
            progress(min(start + _STARTED_TOGETHER, len(entries)), len(entries))
        return [member for member in self.members if member.client is not None]

    def vet(self, entry: Entry) -> str | None:
        """Loads one candidate, compares its outputs and frees it; returns why it may not run the model, or None."""
        member = Member(entry)
        self.members.append(member)
        self._guarded_open(member)
        self._check(member)
        member.free()
        return member.refusal

    def reopen(self, member: Member) -> WorkerClient:
        """Returns a worker that has the candidate loaded.

        Raises:
            EdgertError: it cannot be loaded any more.
        """
        if member.client is None:
            self._open(member)
        assert member.client is not None
        return member.client

    def open_reference(self) -> WorkerClient:
        """Returns a new worker with the float reference on its default engine; the caller closes it."""
        client = WorkerClient(self._transport, _MODULE, self._accelerator)
        try:
            client.load(self._model, variant=self._golden.reference, tuned=False)
        except BaseException:
            client.close()
            raise
        return client

    def _open_all(self, group: Sequence[Member], cores: int) -> None:
        """Loads several at once, since nothing is measured yet."""
        with ThreadPoolExecutor(max(1, cores)) as pool:
            try:
                list(pool.map(self._guarded_open, group))
            except BaseException:  # Ctrl-C: threads that wait for a worker would hold up the end
                for member in group:
                    member.free()
                raise

    def _guarded_open(self, member: Member) -> None:
        try:
            self._open(member)
        except DeviceError as error:
            member.refusal = f"failed: {error}"
        except EdgertError as error:
            member.refusal = f"cannot be loaded: {error}"

    def _open(self, member: Member) -> None:
        choice = member.entry.choice
        member.client = WorkerClient(self._transport, _MODULE, self._accelerator)
        loaded = member.client.load(
            self._model,
            variant=choice.variant,
            threads=choice.threads,
            engine=choice.engine,
            options=choice.options,
            tuned=False,
            timeout_s=self._timeout_s,
        )
        member.facts = loaded["facts"]
        inputs, outputs = (tuple(from_plain(TensorSpec, row) for row in loaded[key]) for key in ("inputs", "outputs"))
        member.inputs = inputs, outputs
        reply = member.client.call("answers", self._inputs, timeout_s=self._timeout_s)
        member.outputs = dict(reply.arrays)
        member.origin = str(reply.body["origin"])

    def _check(self, member: Member) -> None:
        if member.refusal is not None:
            return
        earlier = [(other.entry, other.facts) for other in self.members if other.lane is not None]
        same = without_effect(member.entry, member.facts, earlier)
        member.refusal = same or self._why_wrong(member)

    def _why_wrong(self, member: Member) -> str | None:
        """Compares with the golden outputs; a plain file's first candidate, on the default engine, is its reference."""
        entry = member.entry
        variant = str(entry.choice.variant)
        reference, expected = self._golden.outputs(self._golden.reference), self._golden.outputs(variant)
        if member.origin != "golden" or not expected:
            first = self._first_answers(variant, member)
            if first is member:
                return None
            expected, reference = first.outputs, {}
        is_float = entry.precision in FLOAT_PRECISIONS
        reason = why_outputs_differ(member.outputs, expected, reference, is_float=is_float)
        return None if reason is None else f"wrong outputs: {reason}"

    def _first_answers(self, variant: str, member: Member) -> Member:
        same = (other for other in self.members if other.entry.choice.variant == variant and other.outputs)
        return next(same, member)

    def _lane(self, member: Member) -> Lane:
        def window(duration_s: float) -> NDArray[np.float64]:
            try:
                client = self.reopen(member)
                body = {"duration_s": duration_s}
                return client.call("window", body, timeout_s=self._timeout_s).arrays["times_ms"]
            except EdgertError as error:
                member.refusal = lane.left = f"failed: {error}"
                return np.full(1, np.inf)

        lane = Lane(member.name, window, member.entry.choice.threads or 1)
        return lane

    def _cut(self) -> None:
        """Frees those far behind, and the slowest beyond the limit."""
        lanes = [(member, member.lane) for member in self.members if member.lane is not None and member.client]
        if not lanes:
            return
        ordered = sorted(lanes, key=lambda pair: pair[1].lap().p50_ms)
        best = ordered[0][1].lap()
        for rank, (member, lane) in enumerate(ordered):
            if is_far_behind(lane.rounds[0], best.p50_ms) or rank >= _MAX_LOADED:
                lane.left = f"far behind {best.name} in the first look"
                member.free()
