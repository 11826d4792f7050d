"""What the table [search] of edgert.toml says, with the flags of the command line on top (docs/search.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgert.errors import RecipeError, did_you_mean
from edgert.recipe_file import load_search_table
from edgert.recipe_values import Kind, Option, convert_value
from edgert.search.algorithms import ALGORITHMS
from edgert.search.goals import Goals, Quantity, parse_limit
from edgert.search.problem import KINDS, ProblemRequest
from edgert.search.space import Dimensions

__all__ = ["KNEE", "SEARCH_OPTIONS", "SearchSettings", "load_search"]

KNEE = "knee"
_LOCAL = "local:"
_QUANTITIES = tuple(item.value for item in Quantity)
_TABLE = "search"
_SPACE = "space"


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """A resolved [search].

    Attributes:
        recipe: the file, an absolute path.
        kind: what is searched (`edgert.search.problem.KINDS`).
        devices: names or URLs of devices that count as one and the same; evaluations are spread over them.
        goals: objectives and limits.
        algorithm: a name of `edgert.search.algorithms.ALGORITHMS`.
        evaluations: how many trials all workers of the study take together.
        seed: of every random choice.
        rate_hz: inferences per second at which gross energy is counted; None: back to back.
        duration_s: measuring time of one candidate.
        storage: URL of a database, or path of an SQLite file; it may hold a password, so it is never shown as it is.
        study: name in the storage.
        choose: `knee`, or the objective whose best point of the front is chosen.
        function: `module:function` that makes the problem, for kind `python`.
        table: file of measurements, for kind `table`.
        dataset: whose accuracy counts, for kind `table`; None: that which the kind takes.
        space: values of dimensions that replace those of the kind.
    """

    recipe: Path
    kind: str
    devices: tuple[str, ...]
    goals: Goals
    algorithm: str
    evaluations: int
    seed: int
    rate_hz: float | None
    duration_s: float
    storage: str = field(repr=False)
    study: str
    choose: str
    function: str | None = None
    table: Path | None = None
    dataset: str | None = None
    space: Dimensions = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.evaluations < 1:
            raise RecipeError(f"evaluations: must be at least 1, got {self.evaluations}")
        if self.duration_s <= 0:
            raise RecipeError(f"duration_s: must be above 0 seconds, got {self.duration_s:g}")
        names = [KNEE, *(item.value for item in self.goals.objectives)]
        if self.choose not in names:
            raise RecipeError(
                f"choose: {self.choose!r} is no objective of this search{did_you_mean(self.choose, names)}"
            )
        if not self.devices or len(set(self.devices)) != len(self.devices):
            raise RecipeError(f"device: name one or more, each once, got {', '.join(self.devices) or 'none'}")

    @property
    def request(self) -> ProblemRequest:
        """What makes the problem, as JSON that a worker elsewhere may read."""
        return ProblemRequest(
            kind=self.kind,
            recipe=str(self.recipe),
            quantities=self.goals.quantities,
            rate_hz=self.rate_hz,
            duration_s=self.duration_s,
            function=self.function,
            table=None if self.table is None else str(self.table),
            dataset=self.dataset,
            space=dict(self.space),
            seed=self.seed,
        )


def _option(
    flag: str, key: str, kind: Kind, default: object, text: str, **more: Any
) -> Option:  # Any: fields of Option
    return Option(flag, _TABLE, key, more.pop("field", key), kind, default, text, **more)


SEARCH_OPTIONS: tuple[Option, ...] = (
    _option("--kind", "kind", Kind.CHOICE, "compression", "what is searched", choices=tuple(KINDS)),
    _option(
        "--device",
        "device",
        Kind.TEXTS,
        (_LOCAL,),
        "where candidates are measured; several are boards of one kind",
        field="devices",
        metavar="NAME|URL",
    ),
    _option(
        "--objective",
        "objectives",
        Kind.CHOICES,
        (Quantity.ACCURACY, Quantity.LATENCY_MS),
        "what to make better",
        choices=_QUANTITIES,
        values=Quantity,
        metavar="NAME",
    ),
    _option(
        "--limit",
        "limits",
        Kind.TEXTS,
        (),
        "what every reported point keeps",
        metavar="'latency_ms <= 30'",
    ),
    _option(
        "--algorithm", "algorithm", Kind.CHOICE, "predictor", "how candidates are proposed", choices=tuple(ALGORITHMS)
    ),
    _option("--evaluations", "evaluations", Kind.INTEGER, 50, "trials of the study, of all workers together"),
    _option("--seed", "seed", Kind.INTEGER, 0, "of every random choice"),
    _option(
        "--rate",
        "rate",
        Kind.NUMBER,
        None,
        "inferences per second at which gross energy is counted",
        field="rate_hz",
        metavar="HZ",
    ),
    _option(
        "--duration-s", "duration_s", Kind.NUMBER, 1.0, "measuring time of one candidate, seconds", metavar="SECONDS"
    ),
    _option(
        "--storage",
        "storage",
        Kind.TEXT,
        None,
        "database that keeps the study: an SQLite file, or a URL such as postgresql+psycopg://host/base (default: "
        "RECIPE.search.db beside the recipe)",
        metavar="FILE|URL",
    ),
    _option("--study", "study", Kind.TEXT, "search", "name of the study in the storage", metavar="NAME"),
    _option("--choose", "choose", Kind.TEXT, KNEE, f"{KNEE}, or the objective whose best point is taken"),
)
"""Options of `edgert search`, for the command line, edgert.toml and the documentation."""

_FILE_ONLY: tuple[Option, ...] = (
    _option("", "python", Kind.TEXT, None, "module:function that makes the problem", field="function"),
    _option("", "table", Kind.PATH, None, "file of measurements"),
    _option("", "dataset", Kind.TEXT, None, "whose accuracy counts, of a table that has several"),
)


def load_search(path: Path, overrides: Mapping[str, object]) -> SearchSettings:
    """Returns the settings of a file with `overrides` (by field; None: not given) on top.

    Raises:
        RecipeError: the file cannot be read, a key is unknown, or a value is wrong.
    """
    options = (*SEARCH_OPTIONS, *_FILE_ONLY)
    values: dict[str, Any] = {option.field: option.default for option in options}  # Any: fields of SearchSettings
    values |= _from_table(path, load_search_table(path), options)
    fields = {option.field: option for option in options}
    for name, value in overrides.items():
        if value is not None:
            values[name] = convert_value(fields[name], value, f"option {fields[name].flag}", Path())
    goals = Goals(tuple(values.pop("objectives")), tuple(parse_limit(text) for text in values.pop("limits")))
    values["storage"] = values["storage"] or str(path.with_suffix(".search.db"))
    return SearchSettings(recipe=path.resolve(), goals=goals, **values)


def _from_table(path: Path, table: Mapping[str, Any], options: tuple[Option, ...]) -> dict[str, Any]:  # Any: TOML
    known = {option.key: option for option in options}
    values: dict[str, Any] = {}  # Any: fields of SearchSettings
    for key, value in table.items():
        where = f"{path}: [{_TABLE}]: {key}"
        if key == _SPACE:
            values[_SPACE] = _space(value, f"{path}: [{_TABLE}.{_SPACE}]")
        elif key not in known:
            raise RecipeError(f"{path}: [{_TABLE}]: unknown key {key!r}{did_you_mean(key, [*known, _SPACE])}")
        else:
            values[known[key].field] = convert_value(known[key], value, where, path.parent)
    if "storage" in values and "://" not in values["storage"]:
        values["storage"] = str(path.parent / values["storage"])
    return values


def _space(value: object, where: str) -> Dimensions:
    if not isinstance(value, dict):
        raise RecipeError(f"{where}: must be a table of lists, got {value!r}")
    for name, values in value.items():
        is_list = isinstance(values, list) and values
        if not is_list or any(isinstance(item, bool) or not isinstance(item, (str, int, float)) for item in values):
            raise RecipeError(f"{where}: {name}: must be a list of texts or numbers, got {values!r}")
        if len(set(values)) != len(values):
            raise RecipeError(f"{where}: {name}: a value stands there twice: {values!r}")
    return {name: tuple(values) for name, values in value.items()}
