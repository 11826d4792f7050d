"""A search that is killed with SIGKILL goes on where it was: nothing is lost, nothing that was finished is repeated."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from edgert.search.algorithm import Trial
from edgert.search.file_lock import locked
from edgert.search.goals import Goals, Quantity
from edgert.search.loop import Searcher
from edgert.search.owner import Owner, Watch, this_process
from edgert.search.space import Choice, ProductSpace
from edgert.search.storage import open_storage
from edgert.search.study import Book, Entry, StudyFacts
from tests.search.problems import LOG, SLEEP, evaluated
from tests.search.processes import environment, kill, lines_of, result_of, start_search, wait_until

WriteRecipe = Callable[..., Path]
KILLS = 3


def trials_of(recipe: Path, name: str = "search") -> list[tuple[int, dict[str, Any], list[float] | None, str]]:
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{recipe.with_suffix('.search.db')}")
    return [(trial.number, trial.params, trial.values, trial.state.name) for trial in study.trials]


def test_killed_at_random_points_it_ends_like_one_that_was_not(recipe: WriteRecipe, tmp_path: Path, log: Path) -> None:
    """Kills a real process at points drawn from all of its life: imports, tables, trials, the front measured again."""
    draw = random.Random(20260722)
    killed, whole = (recipe('algorithm = "predictor"', name=f"{name}.toml") for name in ("killed", "whole"))
    whole_log = tmp_path / "whole.jsonl"
    expected = result_of(start_search(whole, **{LOG: str(whole_log)}))
    count = lines_of(whole_log)
    process = start_search(killed)
    wait_until(killed.with_suffix(".search.db").exists, process)
    kill(process)  # while tables are made
    for target in sorted(draw.sample(range(count), KILLS)):
        process = start_search(killed, **{SLEEP: "0.05"})
        wait_until(lambda target=target: lines_of(log) > target, process)
        time.sleep(draw.random() * 0.1)  # within an evaluation, or after it: while it is written, or the next is chosen
        kill(process)
    found = result_of(start_search(killed))
    for name in ("search", "search (front measured again)"):
        assert trials_of(killed, name) == trials_of(whole, name)
    assert {key: found[key] for key in ("front", "dropped", "failures", "chosen")} == {
        key: expected[key] for key in ("front", "dropped", "failures", "chosen")
    }
    repeated = [number for number in Counter(evaluated(log)).values() if number > 1]
    assert sum(number - 1 for number in repeated) <= KILLS  # those on their way when it was killed
    assert set(evaluated(log)) == set(evaluated(whole_log))


def test_ctrl_c_keeps_everything_and_says_how_to_go_on(recipe: WriteRecipe, log: Path) -> None:
    path = recipe()
    process = start_search(path, **{SLEEP: "0.2"})
    wait_until(lambda: lines_of(log) >= 3, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "2 evaluations are kept in" in err
    assert err.endswith("edgert: interrupted\n")
    (stopped,) = (trial for trial in trials_of(path) if trial[3] == "RUNNING")
    assert len(result_of(start_search(path))["front"]) > 0
    assert trials_of(path)[stopped[0]][1] == stopped[1]


class InOrder:
    """Proposes what is left, in order."""

    def __init__(self, space: ProductSpace) -> None:
        self._left = [{"a": value} for value in space.dimensions["a"]]
        self.predicted = None

    def ask(self, number: int, finished: list[Trial], running: list[Choice]) -> Choice | None:
        taken = [trial.choice for trial in finished] + list(running)
        return next((choice for choice in self._left if choice not in taken), None)


GOALS = Goals((Quantity.LATENCY_MS,))
SPACE = ProductSpace({"a": (0, 1, 2, 3)})
FACTS = StudyFacts(1, ("i",), {"a": (0, 1, 2, 3)}, GOALS.objectives, (), "in order", 0)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    opened = Book(open_storage(str(tmp_path / "study.db")), "x", GOALS, SPACE.dimensions)
    opened.open(FACTS)
    return opened


def gone_process() -> int:
    process = os.fork()
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)
    return process


ELSEWHERE = Owner("another computer", 1, "1")


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_lock_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    code = (
        f"import pathlib, time\nfrom edgert.search.file_lock import locked\nwith locked(pathlib.Path({str(path)!r})):"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", f"{code}\n print(1, flush=True)\n time.sleep(99)"],
        stdout=subprocess.PIPE,
        env=environment(),
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    waiting = threading.Thread(target=_enter, args=(path,), daemon=True)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    holder.kill()
    holder.communicate()
    waiting.join(60)
    assert not waiting.is_alive()


def _enter(path: Path) -> None:
    with locked(path):
        pass


def test_a_process_of_this_computer_that_ended_is_gone_at_once() -> None:
    watch = Watch()
    assert not watch.is_gone("a", this_process(), 0)
    assert watch.is_gone("b", Owner(this_process().place, gone_process(), "1"), 0)
    other_start = Owner(this_process().place, os.getppid(), "started at another time")
    assert watch.is_gone("c", other_start, 0)
    assert watch.is_gone("d", None, 0)


def test_a_worker_elsewhere_is_gone_when_its_count_stands_still() -> None:
    clock = Clock()
    watch = Watch(silence_s=30, clock=clock)
    for beat in range(5):
        assert not watch.is_gone("a", ELSEWHERE, beat)
        clock.now_s += 29
    clock.now_s += 2
    assert watch.is_gone("a", ELSEWHERE, 4)
    assert not watch.is_gone("a", ELSEWHERE, 5)


class Executor:
    """Evaluates in no time; what happens in between can be given."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.identities = {"d": "i"}
        self.jobs: list[Any] = []
        self.done: list[tuple[int, int]] = []
        self._meanwhile = meanwhile

    def free_device(self, busy: list[str]) -> str | None:
        return None if self.jobs else "d"

    def submit(self, job: Any) -> None:
        self.jobs.append(job)

    def wait(self) -> list[Any]:
        from edgert.search.evaluator import Evaluation

        self._meanwhile()
        job = self.jobs.pop()
        self.done.append((job.number, job.choice["a"]))
        return [(job, Evaluation({Quantity.LATENCY_MS: 1.0 + job.choice["a"]}))]

    def close(self) -> None:
        self.jobs.clear()


def searcher(book: Book, executor: Executor, **more: Any) -> Searcher:
    again = Book(book.storage, "x again", GOALS, SPACE.dimensions)
    again.open(FACTS)
    return Searcher(book, again, InOrder(SPACE), executor, GOALS, 3, 0, lambda progress: None, **more)


def test_the_trial_of_a_worker_elsewhere_is_taken_over_as_it_was(book: Book) -> None:
    clock = Clock()
    left = book.add(Entry(-1, {"a": 3}, None, False, owner=ELSEWHERE))
    executor = Executor()
    worker = searcher(book, executor, watch=Watch(silence_s=0.01))
    standing = worker.run()
    assert (left, 3) in executor.done
    assert [entry.number for entry in standing.finished] == [0, 1, 2]
    assert clock.now_s == 0


def test_what_was_measured_before_the_end_is_not_measured_again(book: Book) -> None:
    from edgert.search.evaluator import Evaluation

    number = book.add(Entry(-1, {"a": 3}, None, False, owner=Owner(this_process().place, gone_process(), "1")))
    book.keep(number, Evaluation({Quantity.LATENCY_MS: 0.5}), "i")
    executor = Executor()
    standing = searcher(book, executor, watch=Watch()).run()
    assert [choice for number, choice in executor.done] == [
        0,
        1,
        3,
        0,
    ]  # two more; the best again, and what is the best then
    assert standing.finished[0].evaluation == Evaluation({Quantity.LATENCY_MS: 0.5})


def test_a_worker_that_slept_does_not_write_over_who_took_its_trial(book: Book) -> None:
    """A laptop that was closed wakes up: its trial belongs to another worker by now."""
    first = [True]

    def meanwhile() -> None:
        if first:
            first.clear()
            book.take_over(0, ELSEWHERE, "d")

    executor = Executor(meanwhile)
    standing = searcher(book, executor, watch=Watch(silence_s=0.01)).run()
    assert executor.done.count((0, 0)) >= 2  # its own, not kept; taken over again when the other fell silent
    assert [entry.is_finished for entry in standing.entries] == [True] * 3


def test_an_error_of_the_evaluator_gives_the_trial_back(book: Book) -> None:
    from edgert.errors import DeviceError

    def away() -> None:
        raise DeviceError("the board does not answer")

    with pytest.raises(DeviceError, match="the board does not answer"):
        searcher(book, Executor(away), watch=Watch()).run()
    (entry,) = book.entries()
    assert (entry.is_finished, entry.owner, dict(entry.choice)) == (False, None, {"a": 0})
    executor = Executor()
    searcher(book, executor, watch=Watch()).run()
    assert executor.done[0] == (0, 0)
