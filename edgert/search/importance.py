"""How much each choice matters for each objective, by Optuna's estimate from the trials of a study."""

from __future__ import annotations

from edgert.errors import MissingExtraError
from edgert.search.goals import Goals
from edgert.search.storage import Storage

__all__ = ["importances"]

_LEAST_TRIALS = 10
"""Fewer say nothing."""


def importances(storage: Storage, study: str, goals: Goals) -> dict[str, dict[str, float]]:
    """Returns, by objective and dimension, the share of the objective's variance that it explains; {} of few trials.

    Source: Hutter, Hoos, Leyton-Brown, An Efficient Approach for Assessing Hyperparameter Importance, ICML 2014
    (fANOVA over a random forest, as Optuna has it). Trials that failed take no part.
    """
    import optuna

    loaded = optuna.load_study(study_name=study, storage=storage.optuna)
    completed = loaded.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(completed) < _LEAST_TRIALS:
        return {}
    found = {}
    for index, objective in enumerate(goals.objectives):
        if len({trial.values[index] for trial in completed}) == 1:
            continue
        try:
            shares = optuna.importance.get_param_importances(
                loaded,
                evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0),
                target=lambda trial, at=index: trial.values[at],
            )
        except ImportError as error:
            raise MissingExtraError("scikit-learn", "search", "the importance of choices") from error
        found[objective.value] = {name: float(share) for name, share in shares.items()}
    return found
