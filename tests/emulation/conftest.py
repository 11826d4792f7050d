"""Fixtures that raise emulated boards; without root or what else they need, their tests skip and say why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.emulation.board import EmulatedBoard
from tests.emulation.capability import why_not
from tests.emulation.laptop import Laptop, make_key
from tests.emulation.remains import start_warden, sweep
from tests.emulation.rootfs import BOOKWORM, BuildError, cached_rootfs

MakeBoard = Callable[..., EmulatedBoard]


@pytest.fixture(scope="session")
def emulation() -> Iterator[None]:
    """Skips where boards cannot be raised; removes what killed runs left; sees that this run leaves nothing."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    try:
        cached_rootfs(BOOKWORM)
    except BuildError as error:
        pytest.skip(f"no root filesystem for emulated boards: {error}")
    sweep()
    warden = start_warden()
    yield
    warden.communicate()


@pytest.fixture(scope="session")
def laptop_key(emulation: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The private key that every board of the session lets in."""
    return make_key(tmp_path_factory.mktemp("key"))


@pytest.fixture
def laptop(laptop_key: Path, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """A home folder without devices, known hosts or settings."""
    return Laptop(tmp_path_factory.mktemp("home"), laptop_key)


@pytest.fixture
def make_board(laptop_key: Path) -> Iterator[MakeBoard]:
    """Makes boards that this test alone uses: `make_board("pi4", disk_mib=64)`; takes EmulatedBoard's arguments."""
    key = laptop_key.with_suffix(".pub").read_text()
    with ExitStack() as boards:
        yield lambda kind, **options: boards.enter_context(EmulatedBoard(kind, authorized_key=key, **options))


@pytest.fixture(scope="module")
def shared_board(laptop_key: Path) -> Iterator[MakeBoard]:
    """Returns one board of each kind that all tests of the module use; leave it as it was."""
    key = laptop_key.with_suffix(".pub").read_text()
    made: dict[str, EmulatedBoard] = {}
    with ExitStack() as boards:

        def get(kind: str) -> EmulatedBoard:
            if kind not in made:
                made[kind] = boards.enter_context(EmulatedBoard(kind, authorized_key=key))
            return made[kind]

        yield get
