"""The laptop's end of the serial line to firmware: every request has a time limit, every failure a type."""

from __future__ import annotations

import logging
import struct
import time
from dataclasses import dataclass

from edgert.devices.protocol import (
    FAULT,
    LAYER,
    REFUSAL,
    REPLY,
    VERSION,
    WHOLE_RUN,
    Command,
    Description,
    Fault,
    Frame,
    FrameError,
    MemoryUse,
    Refusal,
    Ticks,
)
from edgert.devices.stream import ByteStream
from edgert.errors import DeviceError, EngineError, InternalError

__all__ = ["BoardClient", "BoardRun"]

_log = logging.getLogger(__name__)

_SILENCE_S = 5.0
"""A board that says nothing for this long is given up; while it runs it says about once a second that it does."""
_SLOWEST_BYTES_PER_S = 5_000
"""What a request may take to arrive before silence counts. QEMU 7.2 takes 8,000 on a busy computer."""
_ATTEMPTS = 4
"""To wake a board, within the time of one silence."""
_RUN_S = 600.0
_TICKS = struct.Struct("<I")
_ADVICE = "run it again; if that happens often, check cable and baud rate"


@dataclass(frozen=True, slots=True)
class BoardRun:
    """One run: output bytes (all outputs in order; none when it was stopped after a layer) and the clock's ticks."""

    outputs: bytes
    ticks: int


class BoardClient:
    """A board that answers. Making one asks it who it is; not thread-safe."""

    def __init__(
        self, stream: ByteStream, name: str, *, model_hash: bytes | None = None, silence_s: float | None = None
    ) -> None:
        """Wakes the firmware and checks its protocol version and its model.

        Args:
            stream: the line; the client does not close it.
            name: of the board, for errors.
            model_hash: of the model that shall run; None: whatever is there.
            silence_s: seconds without a word after which the board is given up; None: as usual.

        Raises:
            DeviceError: nothing answers, or firmware of another version or model.
        """
        self._stream = stream
        self._name = name
        self._silence_s = _SILENCE_S if silence_s is None else silence_s
        self._buffer = bytearray()
        self._sequence = 0
        self.description = self._describe()
        if model_hash is not None:
            self.require_model(model_hash)

    def require_model(self, model_hash: bytes) -> None:
        """Checks that the firmware was built around a model.

        Raises:
            DeviceError: it was built around another.
        """
        if self.description.model_hash != model_hash:
            raise DeviceError(
                f"{self._name}: the board runs another model (hash {self.description.model_hash.hex()}, wanted "
                f"{model_hash.hex()}); flash the firmware of this one: edgert devices flash BUNDLE --target "
                f"{self.description.board}"
            )

    def run(self, inputs: bytes, *, stop_after: int = WHOLE_RUN, timeout_s: float = _RUN_S) -> BoardRun:
        """Runs once; `inputs` are all inputs in order.

        Raises:
            DeviceError: the board does not answer within `timeout_s`, or the line damaged a message.
            EngineError: the processor faulted.
        """
        reply = self._ask(Command.RUN, stop_after, inputs, timeout_s=timeout_s)
        self._expect(reply, _TICKS.size + (self.description.output_bytes if stop_after == WHOLE_RUN else 0))
        return BoardRun(reply.body[_TICKS.size :], _TICKS.unpack_from(reply.body)[0])

    def profile(self, inputs: bytes, *, timeout_s: float = _RUN_S) -> tuple[int, ...]:
        """Runs once and returns the ticks of every layer."""
        frames: list[Frame] = []
        self._ask(Command.PROFILE, WHOLE_RUN, inputs, timeout_s=timeout_s, layers=frames)
        if [frame.argument for frame in frames] != list(range(self.description.layers)):
            raise DeviceError(f"{self._name}: reports of layers were lost on the line; {_ADVICE}")
        for frame in frames:
            self._expect(frame, _TICKS.size)
        return tuple(_TICKS.unpack(frame.body)[0] for frame in frames)

    def repeat(self, inputs: bytes, times: int, *, timeout_s: float = _RUN_S) -> int:
        """Runs `times` (1..65535) times with the board's marker pin high, and returns the ticks of all of them.

        Inputs are given once: later runs compute on what the first left in their memory, which costs the same.
        """
        reply = self._ask(Command.REPEAT, times, inputs, timeout_s=timeout_s)
        self._expect(reply, _TICKS.size)
        return int(_TICKS.unpack(reply.body)[0])

    def memory(self) -> MemoryUse:
        """Returns data, bss and the peak of the stack since the firmware started."""
        try:
            return MemoryUse.parse(self._ask(Command.MEMORY))
        except FrameError as error:
            raise DeviceError(f"{self._name}: {error}") from error

    def read(self, offset: int, count: int) -> bytes:
        """Returns bytes of the arena."""
        reply = self._ask(Command.READ, body=struct.pack("<2I", offset, count))
        self._expect(reply, count)
        return reply.body

    def forget(self) -> None:
        """Empties the state that the model keeps between runs."""
        self._ask(Command.FORGET)

    def reset(self) -> None:
        """Restarts the firmware."""
        self._ask(Command.RESET)

    def instructions(self, ticks: int) -> int:
        """Returns executed instructions of a count of ticks.

        Raises:
            InternalError: the clock of this firmware counts something else.
        """
        if self.description.ticks is not Ticks.VIRTUAL:
            raise InternalError(f"{self._name} counts {self.description.ticks.name.lower()}, not instructions")
        return round(ticks * 1e9 / self.description.ticks_hz)

    def _describe(self) -> Description:
        frame = self._wake()
        if frame.argument != VERSION:
            raise DeviceError(
                f"{self._name}: its firmware speaks protocol {frame.argument}, this edgert {VERSION}; "
                "flash it again: edgert devices flash BUNDLE --target NAME"
            )
        try:
            return Description.parse(frame)
        except FrameError as error:
            raise DeviceError(f"{self._name}: {error}") from error

    def _wake(self) -> Frame:
        """A board that opening the port has reset, or that has just faulted, hears nothing for a moment."""
        for attempt in range(1, _ATTEMPTS + 1):
            self._stream.write(b"\0")  # ends what an interrupted request may have left on the board's side
            try:
                return self._ask(Command.DESCRIBE, timeout_s=self._silence_s / _ATTEMPTS, ignore_refusals=True)
            except EngineError:
                raise
            except DeviceError as error:
                if attempt == _ATTEMPTS:
                    raise
                _log.info("attempt %d of %d to reach the board: %s", attempt, _ATTEMPTS, error)
        raise AssertionError("unreachable")

    def _ask(
        self,
        command: Command,
        argument: int = 0,
        body: bytes = b"",
        *,
        timeout_s: float = _RUN_S,
        ignore_refusals: bool = False,
        layers: list[Frame] | None = None,
    ) -> Frame:
        self._sequence = self._sequence % 255 + 1
        request = Frame(command, self._sequence, argument, body).encode()
        self._stream.write(request)
        patience_s = self._silence_s + len(request) / _SLOWEST_BYTES_PER_S
        deadline = time.monotonic() + timeout_s
        while True:
            frame = self._receive(deadline, patience_s, command)
            patience_s = self._silence_s
            if frame.kind == FAULT:
                raise self._faulted(Fault.parse(frame))
            if frame.kind == REFUSAL and not ignore_refusals:
                raise self._refused(frame, len(body))
            if frame.sequence != self._sequence and command is not Command.DESCRIBE:
                continue  # a late answer to a request that was given up; who the board is, it may say late
            if frame.kind == LAYER and layers is not None:
                layers.append(frame)
            elif frame.kind == REPLY | command:
                return frame

    def _receive(self, deadline: float, patience_s: float, command: Command) -> Frame:
        """Returns the next frame that is not empty."""
        while (end := self._buffer.find(0)) < 0:
            left_s = min(deadline - time.monotonic(), patience_s)
            came = self._stream.read(left_s) if left_s > 0 else b""
            if not came:
                raise self._silent(command)
            self._buffer += came
        data = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        if not data:
            return self._receive(deadline, patience_s, command)
        try:
            return Frame.decode(data)
        except FrameError as error:
            raise DeviceError(f"{self._name}: a reply was damaged on the line ({error}); {_ADVICE}") from error

    def _silent(self, command: Command) -> DeviceError:
        what = "stopped in the middle of a reply" if self._buffer else "does not answer"
        self._buffer.clear()
        return DeviceError(
            f"{self._name}: the board {what} ({command.name.lower()}); reset it, and check that edgert's firmware is "
            "on it and the line is the right one"
        )

    def _faulted(self, fault: Fault) -> EngineError:
        where = f"at 0x{fault.program_counter:08x}" if fault.program_counter else "at an unknown place"
        return EngineError(
            f"{self._name}: the processor faulted {where} (fault status 0x{fault.status:08x}) and the board was reset; "
            "the next run starts afresh"
        )

    def _refused(self, frame: Frame, sent_bytes: int) -> DeviceError:
        if frame.argument == Refusal.DAMAGED:
            return DeviceError(f"{self._name}: a request was damaged on the line; {_ADVICE}")
        if frame.argument == Refusal.WRONG_SIZE:
            wanted = self.description.input_bytes
            return EngineError(f"{self._name}: the request has {sent_bytes} bytes; the model's inputs are {wanted}")
        known = {item.value: item.name.lower().replace("_", " ") for item in Refusal}
        return DeviceError(f"{self._name}: the firmware refused: {known.get(frame.argument, frame.argument)}")

    def _expect(self, frame: Frame, size_bytes: int) -> None:
        if len(frame.body) != size_bytes:
            raise DeviceError(f"{self._name}: {len(frame.body)} bytes came where {size_bytes} were due; {_ADVICE}")
