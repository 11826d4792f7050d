"""A search from its settings to its result: the problem, the study, the workers."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

from edgert.devices.names import load_groups
from edgert.errors import RecipeError
from edgert.search.algorithms import ALGORITHMS
from edgert.search.dask_executor import DaskExecutor, check_address
from edgert.search.executor import Executor, LocalExecutor
from edgert.search.importance import importances
from edgert.search.loop import Searcher, Watcher
from edgert.search.owner import Watch
from edgert.search.problem import make_problem
from edgert.search.result import SearchResult
from edgert.search.settings import SearchSettings
from edgert.search.space import Dimensions
from edgert.search.storage import Storage, explained, open_storage
from edgert.search.study import AGAIN, SCHEMA, Book, StudyFacts

__all__ = ["run_search"]


def run_search(settings: SearchSettings, watcher: Watcher, scheduler: str | None = None) -> SearchResult:
    """Searches until nothing is left to do, going on with what the storage holds, and returns what was found.

    Args:
        settings: what to search for, and where.
        watcher: told how it goes on.
        scheduler: address of a Dask scheduler whose workers evaluate; None: this process does.

    Raises:
        UsageError: the study is of something else, the storage cannot be opened, or the scheduler is refused.
        DeviceError: there is no scheduler, or no worker for a device.
        EdgertError: what stops evaluations; everything finished is kept, and the same call goes on with it.
    """
    if scheduler is not None:
        check_address(scheduler)
    devices = _devices(settings.devices)
    problem = make_problem(settings.request, devices[0])
    if scheduler is None:
        evaluators = {devices[0]: problem.evaluator}
        evaluators |= {device: make_problem(settings.request, device).evaluator for device in devices[1:]}
        executor: Executor = LocalExecutor(evaluators)
    else:
        executor = DaskExecutor(scheduler, settings.request, devices)
    try:
        with contextlib.closing(open_storage(settings.storage)) as storage, explained(storage):
            book, again = _open_books(settings, storage, executor, problem.space.dimensions)
            searcher = Searcher(
                book=book,
                again=again,
                algorithm=ALGORITHMS[settings.algorithm](
                    problem.space, settings.goals, seed=settings.seed, evaluations=settings.evaluations
                ),
                executor=executor,
                goals=settings.goals,
                evaluations=settings.evaluations,
                seed=settings.seed,
                watcher=watcher,
                watch=Watch(),
                known=book.known(sorted(set(executor.identities.values()))),
            )
            standing = searcher.run()
            shares = importances(storage, book.name, settings.goals)
            return SearchResult(settings, storage.name, standing, problem.space.dimensions, shares)
    finally:
        executor.close()


def _devices(words: Sequence[str]) -> tuple[str, ...]:
    """Returns the devices of names and groups."""
    groups = load_groups()
    devices = tuple(device for word in words for device in groups.get(word, (word,)))
    if len(set(devices)) != len(devices):
        raise RecipeError(f"device: {', '.join(devices)}: one of them stands there twice")
    return devices


def _open_books(
    settings: SearchSettings, storage: Storage, executor: Executor, dimensions: Dimensions
) -> tuple[Book, Book]:
    """Opens the study, and the one that measures its front again."""
    facts = StudyFacts(
        schema=SCHEMA,
        identities=tuple(sorted(set(executor.identities.values()))),
        dimensions={name: tuple(values) for name, values in dimensions.items()},
        objectives=settings.goals.objectives,
        limits=tuple(str(limit) for limit in settings.goals.limits),
        algorithm=settings.algorithm,
        seed=settings.seed,
    )
    book = Book(storage, settings.study, settings.goals, dimensions)
    again = Book(storage, f"{settings.study} (front measured again)", settings.goals, dimensions)
    with storage.lock(settings.study):
        book.open(facts)
        again.open(dataclasses.replace(facts, algorithm=AGAIN))
    return book, again
