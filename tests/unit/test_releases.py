"""Releases on a board: a power cut after every single step leaves exactly one whole release to run, old or new."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgert.onboard.folder import BoardFolder
from edgert.onboard.releases import ReleaseError, Releases

OLDEST, OLD, NEW = "0" * 16, "1" * 16, "2" * 16


class PowerCut(BaseException):
    """Nothing after this happens."""


class _Listener:
    """Hears of every step; audit hooks cannot be taken away, so there is one for all tests."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.cut_after: int | None = None
        self.is_on = False

    def begin(self, cut_after: int | None) -> None:
        self.steps, self.cut_after, self.is_on = [], cut_after, True

    def hear(self, event: str, words: tuple[object, ...]) -> None:
        if event == "edgert.step" and self.is_on:
            self.steps.append(str(words[0]))
            if len(self.steps) == self.cut_after:
                self.is_on = False
                raise PowerCut(str(words[0]))


LISTENER = _Listener()
sys.addaudithook(LISTENER.hear)


class Board:
    """A disk that outlives power cuts, and a watcher that does not."""

    def __init__(self, folder: Path) -> None:
        self._folder = BoardFolder(folder)

    def releases(self) -> Releases:
        return Releases(self._folder, "demo")

    def add(self, releases: Releases, release: str) -> None:
        with self._folder.staging("release") as place:
            made = place / "made"
            made.mkdir()
            (made / "first").write_text(release)
            (made / "second").write_text(release)
            releases.add(release, made)


def deploy(board: Board, releases: Releases, release: str) -> None:
    board.add(releases, release)
    with releases.watching():
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
    with releases.watching():
        releases.begin_trial(NEW)
        releases.give_up()


def going_back(board: Board, releases: Releases) -> None:
    with releases.watching():
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
        LISTENER.begin(cut_after=steps)
        try:
            action(board, board.releases())
        except PowerCut:
            found = running(board.releases())
            assert found in {before, after}, LISTENER.steps
            deploy(board, board.releases(), NEW)  # and the next deploy works
            assert running(board.releases()) == NEW
            continue
        LISTENER.is_on = False
        assert running(board.releases()) == after
        break
    assert steps - 1 >= least_steps


def test_a_trial_lasts_as_long_as_its_watcher(board: Board) -> None:
    releases = board.releases()
    board.add(releases, NEW)
    with releases.watching():
        releases.begin_trial(NEW)
        assert running(releases) == NEW
        assert not releases.has_lost_trial()
    assert running(releases) == OLD
    assert releases.has_lost_trial()
    with pytest.raises(ReleaseError, match="no release is on trial; the trusted one runs"):
        board.releases().confirm()


def test_one_watcher_at_a_time(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgert.onboard.releases._LOCK_S", 0.0)
    with (
        board.releases().watching(),
        pytest.raises(ReleaseError, match="another deploy or rollback of this app is under way on this board"),
        board.releases().watching(),
    ):
        pass


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
        Releases(BoardFolder(tmp_path), "../x")
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
