"""Where evaluations run: in this process, one after the other; edgert.search.dask_executor has workers elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgert.errors import EdgertError
from edgert.search.evaluator import Evaluation, Evaluator
from edgert.search.space import Choice

__all__ = ["Executor", "Job", "LocalExecutor", "evaluate_safely"]


@dataclass(frozen=True, slots=True)
class Job:
    """One evaluation. `study` and `number` name its trial."""

    study: str
    number: int
    choice: Choice
    seed: int
    device: str


class Executor(Protocol):
    """Runs jobs; one asks for a free device, submits, and waits."""

    @property
    def identities(self) -> Mapping[str, str]:
        """Identity of the evaluator of every device."""
        ...

    def free_device(self, busy: Sequence[str]) -> str | None:
        """Returns a device that can take another job, or None. `busy` are those that other workers use now."""
        ...

    def submit(self, job: Job) -> None:
        """Begins a job."""
        ...

    def wait(self) -> list[tuple[Job, Evaluation]]:
        """Returns jobs that ended, as soon as there is one; [] after a while without.

        Raises:
            EdgertError: what would stop every other evaluation, too.
        """
        ...

    def close(self) -> None:
        """Gives up what runs."""
        ...


class LocalExecutor:
    """Evaluates in this process when it is waited for."""

    def __init__(self, evaluators: Mapping[str, Evaluator]) -> None:
        self._evaluators = evaluators
        self._job: Job | None = None
        self.identities = {device: evaluator.identity for device, evaluator in evaluators.items()}

    def free_device(self, busy: Sequence[str]) -> str | None:
        """See Executor; a device that no other worker uses, else the first."""
        if self._job is not None:
            return None
        return next((device for device in self._evaluators if device not in busy), next(iter(self._evaluators)))

    def submit(self, job: Job) -> None:
        """See Executor."""
        self._job = job

    def wait(self) -> list[tuple[Job, Evaluation]]:
        """See Executor."""
        job = self._job
        if job is None:
            return []
        evaluation = evaluate_safely(self._evaluators[job.device], job.choice, job.seed)
        self._job = None
        return [(job, evaluation)]

    def close(self) -> None:
        """See Executor."""
        self._job = None


def evaluate_safely(evaluator: Evaluator, choice: Choice, seed: int) -> Evaluation:
    """Returns an evaluation; what the evaluator did not expect is a candidate that failed, with the reason.

    Raises:
        EdgertError: see Evaluator.
    """
    try:
        return evaluator.evaluate(choice, seed=seed)
    except EdgertError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        return Evaluation({}, f"{type(error).__name__}: {text}", {"unexpected": True})
