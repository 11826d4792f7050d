"""Releases on a board: a power cut after every single step leaves exactly one whole release to run, old or new."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgert.onboard.folder import BoardFolder
from edgert.onboard.releases import ReleaseError, Releases

OLDEST, OLD, NEW = "0" * 16, "1" * 16, "2" * 16


class PowerCut(Exception):
    """Nothing after this happens."""


class Board:
    """A disk that outlives power cuts, and a boot that does not."""

    def __init__(self, folder: Path) -> None:
        self._folder = BoardFolder(folder)
        self._boots = 0
        self.steps: list[str] = []

    def releases(self, cut_after: int | None = None) -> Releases:
        self.steps = []

        def count(step: str) -> None:
            self.steps.append(step)
            if len(self.steps) == cut_after:
                raise PowerCut(step)

        return Releases(self._folder, "demo", boot=str(self._boots), after_step=count)

    def restart(self) -> Releases:
        self._boots += 1
        return self.releases()

    def add(self, releases: Releases, release: str) -> None:
        with self._folder.staging("release") as place:
            made = place / "made"
            made.mkdir()
            (made / "first").write_text(release)
            (made / "second").write_text(release)
            releases.add(release, made)


def deploy(board: Board, releases: Releases, release: str) -> None:
    board.add(releases, release)
    releases.begin_trial(release)
    releases.confirm()


def running(releases: Releases) -> str | None:
    """The release that runs, after a look that it is whole."""
    current = releases.current()
    if current is None:
        return None
    assert {(current / name).read_text() for name in ("first", "second")} == {current.name}
    return current.name


@pytest.fixture
def board(tmp_path: Path) -> Board:
    made = Board(tmp_path / "edgert")
    for release in (OLDEST, OLD):
        deploy(made, made.releases(), release)
    return made


def deploying(board: Board, releases: Releases) -> None:
    deploy(board, releases, NEW)


def failing(board: Board, releases: Releases) -> None:
    board.add(releases, NEW)
    releases.begin_trial(NEW)
    releases.give_up()


def going_back(board: Board, releases: Releases) -> None:
    releases.go_back()
    releases.confirm()


@pytest.mark.parametrize(
    ("action", "before", "after", "least_steps"),
    [(deploying, OLD, NEW, 8), (failing, OLD, OLD, 8), (going_back, OLD, OLDEST, 6)],
)
def test_the_power_is_cut_after_every_step(
    tmp_path: Path, action: Callable[[Board, Releases], None], before: str, after: str, least_steps: int
) -> None:
    steps = 0
    while True:
        steps += 1
        board = Board(tmp_path / f"edgert{steps}")
        for release in (OLDEST, OLD):
            deploy(board, board.releases(), release)
        try:
            action(board, board.releases(cut_after=steps))
        except PowerCut:
            found = running(board.restart())
            assert found in {before, after}, board.steps
            deploy(board, board.releases(), NEW)  # and the next deploy works
            assert running(board.restart()) == NEW
            continue
        assert running(board.restart()) == after
        break
    assert steps - 1 >= least_steps


def test_a_trial_runs_until_the_board_restarts(board: Board) -> None:
    releases = board.releases()
    board.add(releases, NEW)
    releases.begin_trial(NEW)
    assert running(releases) == NEW
    assert running(board.restart()) == OLD
    with pytest.raises(ReleaseError, match="no release is on trial; after a restart of the board the trusted one runs"):
        board.releases().confirm()


def test_releases_that_nothing_needs_go_away(board: Board) -> None:
    releases = board.releases()
    deploy(board, releases, NEW)
    assert sorted(path.name for path in releases.path(NEW).parent.iterdir()) == [OLD, NEW]
    assert releases.state().previous == OLD
    releases.remove()
    assert releases.current() is None
    with pytest.raises(ReleaseError, match="there is no earlier release on this board to go back to"):
        releases.go_back()


def test_what_is_refused(tmp_path: Path, board: Board) -> None:
    with pytest.raises(ReleaseError, match=r"no name for an app: '\.\./x'"):
        Releases(BoardFolder(tmp_path), "../x", boot="0")
    with pytest.raises(ReleaseError, match=f"release {NEW} is not on this board"):
        board.releases().begin_trial(NEW)
    with pytest.raises(ReleaseError, match="no release: '../x'"):
        board.releases().begin_trial("../x")
    state = board.releases().path(NEW).parents[1] / "state.json"
    state.write_text("{")
    with pytest.raises(ReleaseError, match=r"state.json is damaged"):
        board.releases().state()
    state.write_text('{"schema": 2}')
    with pytest.raises(ReleaseError, match=r"state.json is of schema 2; this edgert knows 1"):
        board.releases().state()
