"""A TCP port in front of a board that damages what passes, once, at a place in the stream."""

from __future__ import annotations

import enum
import socket
import threading
from dataclasses import dataclass

from edgert.devices.stream import SocketStream
from edgert.errors import DeviceError


class Harm(enum.Enum):
    FLIP = "flip"
    LOSE = "lose"
    DOUBLE = "double"
    TRUNCATE = "truncate"
    UNPLUG = "unplug"


@dataclass(frozen=True)
class Damage:
    """What happens to byte `place` of a connection; TRUNCATE loses all after it until the connection ends."""

    harm: Harm
    place: int
    to_board: bool


class Shim:
    """Serves one connection after the other; `damage` holds for the next one only."""

    def __init__(self, board: SocketStream) -> None:
        self.damage: Damage | None = None
        self._board = board
        self._server = socket.create_server(("127.0.0.1", 0))
        self._closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"socket://127.0.0.1:{self._server.getsockname()[1]}"

    def close(self) -> None:
        self._closing = True
        with socket.create_connection(self._server.getsockname()):
            pass
        self._thread.join(10)
        self._server.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            if self._closing:
                connection.close()
                return
            damage, self.damage = self.damage, None
            while damage is not None and self._board.read(0.2):
                pass  # a late answer to an earlier connection: the damage is for this one's
            with connection:
                self._pass(connection, damage)

    def _pass(self, connection: socket.socket, damage: Damage | None) -> None:
        """Carries bytes both ways until the caller hangs up."""
        connection.settimeout(0.005)
        seen = {True: 0, False: 0}
        while True:
            for to_board in (True, False):
                try:
                    data = connection.recv(4096) if to_board else self._board.read(0.005)
                except TimeoutError:
                    continue
                except (OSError, DeviceError):
                    return
                if to_board and not data:
                    return
                harmed = data
                if damage is not None and damage.to_board is to_board:
                    harmed = _harm(data, damage, seen[to_board])
                    if harmed is None:
                        return
                seen[to_board] += len(data)
                try:
                    self._board.write(harmed) if to_board else connection.sendall(harmed)
                except (OSError, DeviceError):
                    return


def _harm(data: bytes, damage: Damage, start: int) -> bytes | None:
    place = damage.place - start
    if damage.harm is Harm.TRUNCATE:
        return data[: max(place, 0)]
    if not 0 <= place < len(data):
        return data
    before, byte, after = data[:place], data[place], data[place + 1 :]
    if damage.harm is Harm.UNPLUG:
        return None
    middle = {Harm.FLIP: bytes([byte ^ 0x10]), Harm.LOSE: b"", Harm.DOUBLE: bytes([byte, byte])}[damage.harm]
    return before + middle + after
