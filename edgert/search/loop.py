"""The search itself: trials are claimed, evaluated and kept until the budget is used; then the front is measured again.

All that decides about the next trial is read from the storage under its lock, so that it makes no difference whether
this process ran the others, another worker did, or one that was killed.
"""

from __future__ import annotations

import contextlib
import enum
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from edgert.search.algorithm import Algorithm
from edgert.search.evaluator import Evaluation
from edgert.search.executor import Executor, Job
from edgert.search.goals import Goals
from edgert.search.owner import Heart, Watch
from edgert.search.space import Choice, choice_key
from edgert.search.standing import Standing, standing_of
from edgert.search.study import Book, Entry

__all__ = ["Progress", "Searcher", "Watcher"]

_POLL_S = 0.5
"""How often a worker that has nothing to do looks whether others are done."""

_SEARCH, _AGAIN = 1, 2
"""What the seeds of evaluations derive from beside the search's seed and the trial: a new draw for each measuring."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a search is. `stage` says in words what is done now."""

    stage: str
    done: int
    total: int
    standing: Standing


class Watcher(Protocol):
    """Told how a search goes on."""

    def __call__(self, progress: Progress) -> None:
        """Takes one report; must not raise."""
        ...


class _Next(enum.Enum):
    """What there is to do when there is no trial to claim."""

    WAIT = "others are at work"
    DONE = "nothing is left"


@dataclass
class Searcher:
    """One worker of a search.

    Attributes:
        book: the trials of the search.
        again: the trials that measure its front once more.
        algorithm: proposes.
        executor: evaluates.
        goals: what it is for.
        evaluations: how many trials there may be.
        seed: of the search.
        watcher: told how it goes on.
        watch: decides which workers are gone.
        known: measurements of other studies, by the text of their choice.
    """

    book: Book
    again: Book
    algorithm: Algorithm
    executor: Executor
    goals: Goals
    evaluations: int
    seed: int
    watcher: Watcher
    watch: Watch
    known: Mapping[str, tuple[Evaluation, str]] = field(default_factory=dict)
    _mine: dict[tuple[str, int], Job] = field(default_factory=dict)
    _entries: dict[str, list[Entry]] = field(default_factory=dict)

    def run(self) -> Standing:
        """Searches until nothing is left, here and by other workers, and returns how the study stands.

        Raises:
            EdgertError: evaluations are not possible any more; everything finished is kept, and `run` goes on with it.
        """
        with Heart(self._beat):
            try:
                self._work_through(self.book)
                self._work_through(self.again)
            finally:
                self.executor.close()
                self._release_all()
        return self.standing()

    def standing(self) -> Standing:
        """Returns how the study stands now."""
        for book in (self.book, self.again):
            self._read(book)
        return self._standing()

    def _work_through(self, book: Book) -> None:
        while True:
            following = self._claim_all(book)
            self._report(book)
            if self._mine:
                for job, evaluation in self.executor.wait():
                    self._end(book, job, evaluation)
            elif following is _Next.DONE:
                return
            else:
                time.sleep(_POLL_S)

    def _claim_all(self, book: Book) -> _Next:
        """Begins as many trials as there are free devices."""
        while True:
            following = self._claim(book)
            if isinstance(following, _Next):
                return following
            entry, device = following
            if entry.evaluation is not None:
                self._close(book, entry.number, entry.evaluation)
                continue
            stream = _SEARCH if book is self.book else _AGAIN
            seed = int(np.random.default_rng([self.seed, entry.number, stream]).integers(2**31))
            job = Job(book.name, entry.number, entry.choice, seed, device)
            self._mine[book.name, entry.number] = job
            self.executor.submit(job)

    def _claim(self, book: Book) -> tuple[Entry, str] | _Next:
        """Takes over a trial that nobody runs any more, or makes the next one."""
        with book.storage.lock(self.book.name):
            entries = self._read(book)
            running = [entry for entry in entries if not entry.is_finished]
            others = [entry for entry in running if (book.name, entry.number) not in self._mine]
            gone = [entry for entry in others if self._is_gone(book, entry)]
            alive = [entry for entry in others if entry not in gone]
            device = self.executor.free_device([entry.device for entry in alive])
            if device is None:
                return _Next.WAIT
            if gone:
                book.take_over(gone[0].number, self.watch.me, device)
                return self._resumed(book, entries, gone[0]), device
            fresh = self._propose(entries, running) if book is self.book else self._repeat(entries)
            if fresh is None:
                return _Next.WAIT if running else _Next.DONE
            fresh = replace(fresh, owner=self.watch.me, device=device)
            return replace(fresh, number=book.add(fresh)), device

    def _is_gone(self, book: Book, entry: Entry) -> bool:
        return self.watch.is_gone(f"{book.name} {entry.number}", entry.owner, entry.beat)

    def _resumed(self, book: Book, entries: Sequence[Entry], entry: Entry) -> Entry:
        """Returns a trial that was taken over, with what is known of it: it may have ended before it was measured."""
        if entry.evaluation is not None or book is self.again:
            return entry
        return replace(entry, evaluation=self._recall(entries, entry.choice)[1])

    def _propose(self, entries: Sequence[Entry], running: Sequence[Entry]) -> Entry | None:
        """Returns the next trial of the search as the algorithm wants it; one that was measured has its evaluation."""
        if len(entries) >= self.evaluations:
            return None
        finished = [entry.trial(self.goals) for entry in entries if entry.is_finished]
        choice = self.algorithm.ask(len(entries), finished, [entry.choice for entry in running])
        if choice is None or any(choice_key(entry.choice) == choice_key(choice) for entry in running):
            return None
        source, evaluation = self._recall(entries, choice)
        return Entry(len(entries), choice, evaluation, False, source=source, predicted=self.algorithm.predicted)

    def _recall(self, entries: Sequence[Entry], choice: Choice) -> tuple[str, Evaluation | None]:
        """Returns what is known of a choice: an exact measurement wins over everything."""
        key = choice_key(choice)
        for entry in entries:
            if entry.evaluation is not None and choice_key(entry.choice) == key:
                return f"{self.book.name} {entry.number}", entry.evaluation
        evaluation, source = self.known.get(key, (None, ""))
        is_whole = evaluation is not None and evaluation == self._checked(evaluation)
        return (source, evaluation) if is_whole else ("", None)

    def _repeat(self, entries: Sequence[Entry]) -> Entry | None:
        """Returns the next point of the front that was measured only once."""
        standing = self._standing()
        begun = {entry.first for entry in entries}
        for point in standing.front:
            if point.number not in begun:
                return Entry(len(entries), point.choice, None, False, first=point.number)
        return None

    def _end(self, book: Book, job: Job, evaluation: Evaluation) -> None:
        del self._mine[book.name, job.number]
        checked = self._checked(evaluation)
        with book.storage.lock(self.book.name):
            if book.is_of(job.number, self.watch.me):
                book.keep(job.number, checked, self.executor.identities[job.device])
                book.finish(job.number, checked)

    def _close(self, book: Book, number: int, evaluation: Evaluation) -> None:
        """Finishes a trial whose measurement is known already."""
        with book.storage.lock(self.book.name):
            if book.is_of(number, self.watch.me):
                book.keep(number, evaluation, "")
                book.finish(number, evaluation)

    def _checked(self, evaluation: Evaluation) -> Evaluation:
        """Returns an evaluation that lacks what the goals need, or holds no number there, as one that failed."""
        if evaluation.failure:
            return evaluation
        for quantity in self.goals.quantities:
            value = evaluation.measured.get(quantity)
            if value is None or not math.isfinite(value):
                return Evaluation({}, f"gave {'no' if value is None else value} {quantity.value}", evaluation.facts)
        return evaluation

    def _beat(self, count: int) -> None:
        for book in (self.book, self.again):
            for name, number in list(self._mine):
                if name == book.name:
                    book.beat(number, count)
        self.book.storage.optuna.remove_session()  # that of this thread

    def _release_all(self) -> None:
        mine, self._mine = list(self._mine), {}
        # a storage that fails here has failed before, which is said; trials that stay ours are taken over all the same
        with contextlib.suppress(Exception):
            for book in (self.book, self.again):
                with book.storage.lock(self.book.name):
                    for name, number in mine:
                        if name == book.name and book.is_of(number, self.watch.me):
                            book.release(number)

    def _read(self, book: Book) -> list[Entry]:
        self._entries[book.name] = book.entries()
        return self._entries[book.name]

    def _standing(self) -> Standing:
        """How the study stood when it was last read: the trials of the search are over when those after it begin."""
        return standing_of(self.goals, *(self._entries.get(book.name, []) for book in (self.book, self.again)))

    def _report(self, book: Book) -> None:
        standing = self._standing()
        if book is self.book:
            done = len(standing.finished)
            self.watcher(Progress("searching", done, max(done, self.evaluations), standing))
        else:
            done = sum(point.again is not None for point in standing.front)
            self.watcher(Progress("measuring the front again", done, len(standing.front), standing))
