"""A study in an Optuna storage: trials that are claimed, measured and kept, so that a search survives any end.

A trial is made with its choice in one step, so there is none without. What was measured is written before the trial is
finished, so a worker that is killed in between leaves a measurement that nobody repeats. Optuna's samplers have no
part in it: the parameters are categorical, the values those of the objectives, the constraints the limits' excesses, so
that Optuna's dashboard, plots and importances read the same study.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgert.codec import JsonValue, from_plain, to_plain
from edgert.errors import UsageError
from edgert.search.algorithm import Trial
from edgert.search.evaluator import Evaluation
from edgert.search.goals import Goals, Quantity
from edgert.search.owner import Owner
from edgert.search.space import Choice, Dimensions, choice_key
from edgert.search.storage import Storage

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["AGAIN", "Book", "Entry", "StudyFacts"]

SCHEMA = 1
AGAIN = "again"
"""Stands for the algorithm of a study that measures the points of a front again."""

_STUDY = "edgert"
_OWNER, _BEAT, _MEASURED, _FROM, _FIRST, _PREDICTED, _DEVICE = (
    f"edgert:{name}" for name in ("owner", "beat", "measured", "from", "first", "predicted", "device")
)


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What a study is of; who goes on with it must be of the same. `identities` are those of the evaluators, sorted."""

    schema: int
    identities: tuple[str, ...]
    dimensions: dict[str, tuple[str | int | float, ...]]
    objectives: tuple[Quantity, ...]
    limits: tuple[str, ...]
    algorithm: str
    seed: int

    def changes(self, other: StudyFacts) -> list[str]:
        """Returns in words what `other`, which is newer, has changed."""
        found = []
        if self.identities != other.identities:
            found.append("what is measured (the model, data, device or way of measuring)")
        for name in sorted({*self.dimensions, *other.dimensions}):
            before, now = self.dimensions.get(name), other.dimensions.get(name)
            if before != now:
                found.append(f"the values of {name!r} (were {_listed(before)}, now {_listed(now)})")
        for name in ("objectives", "limits", "algorithm", "seed"):
            before, now = getattr(self, name), getattr(other, name)
            if before != now:
                found.append(f"{name} (was {_listed(before)}, now {_listed(now)})")
        return found


def _listed(value: object) -> str:
    if not isinstance(value, tuple):
        return "none" if value is None else str(value)
    return ", ".join(str(item.value if isinstance(item, Quantity) else item) for item in value[:8]) or "none"


@dataclass(frozen=True, slots=True)
class Entry:
    """A trial as it stands in the storage.

    Attributes:
        number: its place in the study, from 0.
        choice: in the order of the space's dimensions.
        evaluation: None while it was not measured.
        is_finished: nothing will change any more.
        owner: who runs it; None where it was released.
        beat: count that its owner raises.
        source: study and number of the trial whose measurement this is; "" where it was measured for this one.
        first: for a measurement that was repeated: the trial of the search that it repeats.
        predicted: what was expected of it before it was measured, by quantity.
        device: where it is measured.
        identity: of the evaluator that measured it.
    """

    number: int
    choice: Choice
    evaluation: Evaluation | None
    is_finished: bool
    owner: Owner | None = None
    beat: int = 0
    source: str = ""
    first: int | None = None
    predicted: Mapping[str, float] | None = None
    device: str = ""
    identity: str = ""

    def trial(self, goals: Goals) -> Trial:
        """Returns it as algorithms see it."""
        measured = None if self.evaluation is None or self.evaluation.failure else self.evaluation.measured
        if measured is None:
            return Trial(self.number, self.choice, None, None)
        return Trial(self.number, self.choice, goals.minimized(measured), goals.excesses(measured))


class Book:
    """The trials of one study. Whoever adds or takes over a trial holds `Storage.lock`."""

    def __init__(self, storage: Storage, name: str, goals: Goals, dimensions: Dimensions) -> None:
        self.storage, self.name, self.goals, self.dimensions = storage, name, goals, dimensions
        self._finished: dict[int, Entry] = {}
        self._id = -1

    def open(self, facts: StudyFacts) -> None:
        """Opens the study, or makes it.

        Raises:
            UsageError: a study of that name is of something else.
        """
        import optuna

        storage = self.storage.optuna
        try:
            self._id = storage.get_study_id_from_name(self.name)
        except KeyError:
            directions = [
                optuna.study.StudyDirection.MAXIMIZE if item.is_better_high else optuna.study.StudyDirection.MINIMIZE
                for item in self.goals.objectives
            ]
            self._id = storage.create_new_study(directions, self.name)
        kept = storage.get_study_user_attrs(self._id).get(_STUDY)
        if kept is None:
            self._describe(facts)
        else:
            _refuse_another(self.name, self.storage.name, from_plain(StudyFacts, kept), facts)

    def entries(self) -> list[Entry]:
        """Returns all trials, in the order of their numbers."""
        found = []
        for frozen in self.storage.optuna.get_all_trials(self._id, deepcopy=False):
            if frozen.number not in self._finished:
                entry = _entry(frozen, self.dimensions)
                if entry.is_finished:
                    self._finished[frozen.number] = entry
                found.append(entry)
            else:
                found.append(self._finished[frozen.number])
        return found

    def is_of(self, number: int, owner: Owner) -> bool:
        """Whether a trial runs, and is this owner's: one that seemed gone for a while may have lost it to another."""
        entry = _entry(self.storage.optuna.get_trial(self._key(number)), self.dimensions)
        return entry.owner == owner and not entry.is_finished

    def add(self, entry: Entry) -> int:
        """Makes a running trial of a choice and returns its number."""
        import optuna

        distributions: dict[str, optuna.distributions.BaseDistribution] = {
            name: optuna.distributions.CategoricalDistribution(values) for name, values in self.dimensions.items()
        }
        attributes = {
            _OWNER: to_plain(entry.owner),
            _BEAT: 0,
            _FROM: entry.source or None,
            _FIRST: entry.first,
            _PREDICTED: None if entry.predicted is None else dict(entry.predicted),
            _DEVICE: entry.device or None,
        }
        template = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=dict(entry.choice),
            distributions=distributions,
            system_attrs={name: value for name, value in attributes.items() if value is not None},
        )
        made = self.storage.optuna.create_new_trial(self._id, template)
        return int(self.storage.optuna.get_trial_number_from_id(made))

    def take_over(self, number: int, owner: Owner, device: str) -> None:
        """Says who runs a trial now."""
        self._set(number, _DEVICE, device)
        self._set(number, _OWNER, to_plain(owner))

    def release(self, number: int) -> None:
        """Says that nobody runs a trial any more."""
        self._set(number, _OWNER, None)

    def beat(self, number: int, count: int) -> None:
        """Says that whoever runs a trial is still there."""
        self._set(number, _BEAT, count)

    def keep(self, number: int, evaluation: Evaluation, identity: str) -> None:
        """Writes what was measured: from here on it is not measured again."""
        measured = {quantity.value: value for quantity, value in evaluation.measured.items()}
        shown = {**measured, "failure": evaluation.failure} if evaluation.failure else measured
        storage = self.storage.optuna
        storage.set_trial_user_attr(self._key(number), "facts", {**shown, **evaluation.facts})
        plain = {"measured": measured, "failure": evaluation.failure, "identity": identity}
        self._set(number, _MEASURED, {**plain, "facts": list(evaluation.facts)})

    def finish(self, number: int, evaluation: Evaluation) -> None:
        """Ends a trial whose measurement was kept."""
        import optuna

        state, values = optuna.trial.TrialState.FAIL, None
        if not evaluation.failure:
            state = optuna.trial.TrialState.COMPLETE
            values = [float(evaluation.measured[quantity]) for quantity in self.goals.objectives]
            if self.goals.limits:
                # the form that Optuna 4 and 5 and the dashboard read
                self._set(number, "constraints", list(self.goals.excesses(evaluation.measured)))
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.storage.optuna.set_trial_state_values(self._key(number), state, values)

    def known(self, identities: Sequence[str]) -> dict[str, tuple[Evaluation, str]]:
        """Returns what other studies of this storage measured by the same evaluators.

        By the text of its choice: the evaluation, and the study and trial that it is from.
        """
        found: dict[str, tuple[Evaluation, str]] = {}
        for study in self.storage.optuna.get_all_studies():
            kept = study.user_attrs.get(_STUDY)
            if study.study_name == self.name or not isinstance(kept, dict):
                continue
            facts = from_plain(StudyFacts, kept)
            if facts.algorithm == AGAIN or not set(facts.identities) & set(identities):
                continue
            other = Book(self.storage, study.study_name, self.goals, facts.dimensions)
            other._id = self.storage.optuna.get_study_id_from_name(study.study_name)
            for entry in other.entries():
                if entry.evaluation is not None and entry.identity in identities:
                    found.setdefault(choice_key(entry.choice), (entry.evaluation, f"{study.study_name} {entry.number}"))
        return found

    def _describe(self, facts: StudyFacts) -> None:
        import optuna

        storage = self.storage.optuna
        if storage.get_n_trials(self._id):
            raise UsageError(
                f"{self.storage.name}: the study {self.name!r} was not made by edgert search; name another with --study"
            )
        with warnings.catch_warnings():  # names of axes in plots: worth an interface that may change
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.load_study(study_name=self.name, storage=storage)
            study.set_metric_names([item.value for item in self.goals.objectives])
        storage.set_study_user_attr(self._id, _STUDY, to_plain(facts))

    def _key(self, number: int) -> int:
        return int(self.storage.optuna.get_trial_id_from_study_id_trial_number(self._id, number))

    def _set(self, number: int, name: str, value: JsonValue) -> None:
        self.storage.optuna.set_trial_system_attr(self._key(number), name, value)


def _refuse_another(name: str, storage: str, kept: StudyFacts, facts: StudyFacts) -> None:
    changes = kept.changes(facts)
    if changes:
        raise UsageError(
            f"{storage}: the study {name!r} is of another search: {'; '.join(changes)}. Go back to what it was, or "
            "name another with --study: what was measured for the same model on the same device is taken over"
        )


def _entry(frozen: FrozenTrial, dimensions: Dimensions) -> Entry:
    attributes: Mapping[str, Any] = frozen.system_attrs  # Any: JSON
    kept, owner = attributes.get(_MEASURED), attributes.get(_OWNER)
    evaluation = None
    if kept is not None:
        measured = {Quantity(name): float(value) for name, value in kept["measured"].items()}
        shown = frozen.user_attrs.get("facts", {})
        evaluation = Evaluation(measured, kept["failure"], {name: shown[name] for name in kept["facts"]})
    elif frozen.state.is_finished():
        evaluation = Evaluation({}, "was not measured by edgert search")
    return Entry(
        number=frozen.number,
        choice={name: frozen.params[name] for name in dimensions if name in frozen.params},
        evaluation=evaluation,
        is_finished=frozen.state.is_finished(),
        owner=None if owner is None else from_plain(Owner, owner),
        beat=attributes.get(_BEAT, 0),
        source=attributes.get(_FROM, ""),
        first=attributes.get(_FIRST),
        predicted=attributes.get(_PREDICTED),
        device=attributes.get(_DEVICE, ""),
        identity="" if kept is None else kept.get("identity", ""),
    )
