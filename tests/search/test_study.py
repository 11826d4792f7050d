"""A study: what stands in the storage, what is refused, what is taken from measurements that exist."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from edgert.commands.search import search
from edgert.errors import RecipeError, UsageError
from edgert.search.evaluator import Evaluation
from edgert.search.goals import Goals, Quantity, parse_limit
from edgert.search.settings import load_search
from edgert.search.standing import choose, standing_of
from edgert.search.storage import mask_url, open_storage
from edgert.search.study import Book, Entry
from tests.search import problems
from tests.search.problems import evaluated

WriteRecipe = Callable[..., Path]
SMALL = "space = { ratio = [0.5], size = [96, 160, 192] }"
"""9 candidates, one of which does not work."""


def study_of(recipe: Path, name: str = "search") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{recipe.with_suffix('.search.db')}")


def test_the_study_reads_as_any_other_of_optunas(recipe: WriteRecipe) -> None:
    path = recipe()
    search(path)
    study = study_of(path)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["accuracy", "latency_ms"]
    assert [trial.number for trial in study.trials] == list(range(9))
    first = study.trials[0]
    assert set(first.params) == set(problems.SPACE)
    assert {type(item).__name__ for item in first.distributions.values()} == {"CategoricalDistribution"}
    assert first.distributions["size"].choices == problems.SPACE["size"]
    assert first.user_attrs["facts"]["size_bytes"] > 0
    assert first.user_attrs["facts"]["record"].endswith(".json")
    assert first.constraints == {"0": pytest.approx((first.values[1] - 25) / 25)}
    for trial in study.best_trials:
        assert trial.values[1] <= 25


def test_a_failure_is_a_trial_with_a_reason(recipe: WriteRecipe) -> None:
    path = recipe(SMALL)
    result = search(path)
    failed = result.standing.failed
    assert {entry.choice["precision"] for entry in failed} == {"fp16"}
    assert {entry.choice["size"] for entry in failed} == {192}
    trials = study_of(path).get_trials(states=(optuna.trial.TrialState.FAIL,))
    assert [trial.user_attrs["facts"]["failure"] for trial in trials] == ["does not convert: no such kernel"]
    assert len(result.standing.finished) == 9


def test_the_whole_space_is_searched_once_however_large_the_budget(recipe: WriteRecipe, log: Path) -> None:
    result = search(recipe("evaluations = 100", SMALL))
    assert len(result.standing.finished) == 9
    in_search = evaluated(log)[:9]
    assert set(Counter(choice for choice, _ in in_search).values()) == {1}


def test_every_point_of_the_front_is_measured_again_with_another_seed(
    recipe: WriteRecipe, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(problems.NOISE, "0.02")
    result = search(recipe())
    front = result.standing.front
    assert front
    seeds: dict[str, list[int]] = {}
    for choice, seed in evaluated(log):
        seeds.setdefault(choice, []).append(seed)
    for point in front:
        assert point.again is not None
        assert point.again[Quantity.LATENCY_MS] != point.first[Quantity.LATENCY_MS]
        assert point.again[Quantity.LATENCY_MS] <= 25
        assert len(set(seeds[json.dumps(dict(point.choice), sort_keys=True)])) == 2
    assert len(evaluated(log)) == 9 + len(front) + len(result.standing.dropped)


def test_a_point_that_breaks_a_limit_when_measured_again_is_not_reported(
    recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe('objectives = ["accuracy"]', 'limits = ["latency_ms <= 28"]', SMALL)
    monkeypatch.setenv(problems.HOT, "9")
    result = search(path)
    assert [dict(point.choice) for point in result.standing.dropped] == [
        {"precision": "fp32", "size": 192, "ratio": 0.5}  # 20 ms, and 30 ms when the board was hot
    ]
    assert result.standing.dropped[0].again[Quantity.LATENCY_MS] == pytest.approx(30)
    assert all("beyond latency_ms <= 28" in point.reason for point in result.standing.dropped)
    assert all(point.measured[Quantity.LATENCY_MS] <= 28 for point in result.standing.front)
    assert result.chosen is not None
    assert result.chosen.again is not None
    repeated = study_of(path, "search (front measured again)")
    assert len(repeated.trials) == len(result.standing.dropped) + len(result.standing.front)


def test_exact_measurements_are_taken_over_by_another_study(recipe: WriteRecipe, log: Path) -> None:
    path = recipe()
    first = search(path)
    log.unlink()
    second = search(path, study="tighter", limits=("latency_ms <= 20",))
    front = len(second.standing.front) + len(second.standing.dropped)
    assert len(evaluated(log)) == front  # only what is measured again at the end
    assert [entry.choice for entry in second.standing.entries] == [entry.choice for entry in first.standing.entries]
    assert [entry.source for entry in second.standing.entries] == [f"search {number}" for number in range(9)]


def test_measurements_of_another_device_are_not(recipe: WriteRecipe, log: Path) -> None:
    path = recipe()
    search(path)
    log.unlink()
    result = search(path, study="other board", devices=("other",))
    assert len(evaluated(log)) == 9 + len(result.standing.front) + len(result.standing.dropped)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 1}, r"seed \(was 0, now 1\)"),
        ({"limits": ("latency_ms <= 20",)}, r"limits \(was latency_ms <= 25, now latency_ms <= 20\)"),
        ({"devices": ("other",)}, "what is measured"),
        ({"objectives": (Quantity.ACCURACY,)}, r"objectives \(was accuracy, latency_ms, now accuracy\)"),
    ],
)
def test_a_study_is_not_gone_on_with_for_another_search(
    recipe: WriteRecipe, options: dict[str, object], words: str
) -> None:
    path = recipe("evaluations = 1")
    search(path)
    with pytest.raises(UsageError, match=rf"search.db: the study 'search' is of another search: {words}.*--study"):
        search(path, **options)


def test_another_space_is_another_search(recipe: WriteRecipe) -> None:
    search(recipe("evaluations = 1"))
    path = recipe("evaluations = 1", "[search.space]", "size = [96, 128]")
    with pytest.raises(UsageError, match=r"the values of 'size' \(were 96, 128, 160, 192, now 96, 128\)"):
        search(path)


def test_a_study_of_optunas_own_is_left_alone(recipe: WriteRecipe) -> None:
    path = recipe()
    other = optuna.create_study(storage=f"sqlite:///{path.with_suffix('.search.db')}", study_name="search")
    other.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(UsageError, match="'search' was not made by edgert search; name another with --study"):
        search(path, objectives=(Quantity.ACCURACY,))


def test_a_larger_budget_goes_on(recipe: WriteRecipe, log: Path) -> None:
    path = recipe("evaluations = 4")
    search(path)
    before = [choice for choice, _ in evaluated(log)]
    result = search(path, evaluations=6)
    assert [entry.number for entry in result.standing.finished] == list(range(6))
    search_choices = [choice for choice, _ in evaluated(log)][len(before) :]
    assert not set(before) & set(search_choices[:2])


def test_what_lacks_a_quantity_failed(recipe: WriteRecipe) -> None:
    result = search(recipe("evaluations = 2", 'limits = ["ram_bytes <= 1"]'))
    reasons = {entry.evaluation.failure for entry in result.standing.failed if entry.evaluation}
    assert reasons - {"does not convert: no such kernel"} == {"gave no ram_bytes"}
    assert result.chosen is None


def entry(number: int, accuracy: float, latency_ms: float, first: int | None = None, failure: str = "") -> Entry:
    measured = {} if failure else {Quantity.ACCURACY: accuracy, Quantity.LATENCY_MS: latency_ms}
    return Entry(number, {"a": number}, Evaluation(measured, failure), True, first=first)


GOALS = Goals((Quantity.ACCURACY, Quantity.LATENCY_MS), (parse_limit("latency_ms <= 10"),))


def test_what_falls_out_makes_room_for_the_next() -> None:
    entries = [entry(0, 0.9, 9), entry(1, 0.8, 9.5), entry(2, 0.5, 1), entry(3, 0.95, 11)]
    before = standing_of(GOALS, entries, [])
    assert [point.number for point in before.front] == [0, 2]
    again = [entry(0, 0.9, 10.5, first=0), entry(1, 0, 0, first=2, failure="the board reset")]
    after = standing_of(GOALS, entries, again)
    assert [point.number for point in after.front] == [1]
    assert [point.number for point in after.beyond_limits] == [0, 3]
    reasons = {point.number: point.reason for point in after.dropped}
    assert reasons == {
        0: "latency_ms was 10.5 when measured again, beyond latency_ms <= 10",
        2: "failed when measured again: the board reset",
    }


def test_the_chosen_point() -> None:
    front = standing_of(GOALS, [entry(0, 0.9, 10), entry(1, 0.89, 2), entry(2, 0.5, 1)], []).front
    assert choose(GOALS, front, "knee", "knee").number == 1  # type: ignore[union-attr]
    assert choose(GOALS, front, "accuracy", "knee").number == 0  # type: ignore[union-attr]
    assert choose(GOALS, front, "latency_ms", "knee").number == 2  # type: ignore[union-attr]
    assert choose(GOALS, (), "knee", "knee") is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("evaluatons = 3", "unknown key 'evaluatons'; did you mean 'evaluations'"),
        ("evaluations = 0", "evaluations: must be at least 1, got 0"),
        ('algorithm = "rondom"', "algorithm: unknown value 'rondom'; did you mean 'random'"),
        ('objectives = ["latency"]', "objectives: unknown value 'latency'; did you mean 'latency_ms'"),
        ('limits = ["latency_ms < 3"]', "write QUANTITY <= NUMBER"),
        ('choose = "energy_mj"', "choose: 'energy_mj' is no objective of this search"),
        ("device = []", "device: name one or more"),
        ("duration_s = 0", "duration_s: must be above 0 seconds, got 0"),
        ('duration_s = "1s"', "duration_s: must be a number of at least 0, got '1s'"),
        ("space = 3", r"\[search.space\]: must be a table of lists"),
        ("space = { size = [] }", "size: must be a list of texts or numbers"),
        ("space = { size = [1, 1] }", "size: a value stands there twice"),
    ],
)
def test_a_wrong_line_is_named(recipe: WriteRecipe, line: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load_search(recipe(line), {})


def test_a_recipe_without_the_table(tmp_path: Path) -> None:
    path = tmp_path / "edgert.toml"
    path.write_text("schema = 1\n")
    with pytest.raises(RecipeError, match=r"no table \[search\]"):
        load_search(path, {})


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("nowhere:make", "No module named 'nowhere'"),
        ("tests.search.problems:maker", "has no attribute 'maker'"),
        ("tests.search.problems:make_nothing", "make_nothing returned NoneType, expected an .*Problem"),
        ("make", 'needs python = "module:function"'),
    ],
)
def test_a_function_that_makes_no_problem(recipe: WriteRecipe, function: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        search(recipe(f'python = "{function}"'))


def test_flags_win_over_the_file_and_paths_count_from_it(recipe: WriteRecipe, tmp_path: Path) -> None:
    path = recipe('storage = "kept/study.db"', "rate = 5", "duration_s = 2.5")
    settings = load_search(path, {"evaluations": 3, "limits": ("accuracy >= 0.5",)})
    assert settings.storage == str(tmp_path / "kept/study.db")
    assert (settings.evaluations, settings.rate_hz) == (3, 5.0)
    assert (settings.duration_s, settings.request.duration_s) == (2.5, 2.5)
    assert load_search(path, {"duration_s": 0.5}).request.duration_s == 0.5
    assert load_search(recipe(), {}).request.duration_s == 1.0
    assert [str(limit) for limit in settings.goals.limits] == ["accuracy >= 0.5"]
    assert load_search(path, {"storage": "here.db"}).storage == "here.db"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://me:s3cret@host:5432/base", "postgresql+psycopg://me:***@host:5432/base"),
        ("postgresql+psycopg://me@host/base?password=s3cret", "postgresql+psycopg://me@host/base?password=***"),
        ("postgresql+psycopg://host/base", "postgresql+psycopg://host/base"),
        ("study.db", "study.db"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str, recipe: WriteRecipe) -> None:
    assert mask_url(url) == shown
    assert "s3cret" not in repr(dataclasses.replace(load_search(recipe(), {}), storage=url))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql+psycopg://me:s3cret@127.0.0.1:1/base", r"me:\*\*\*@127.0.0.1:1/base cannot be used: .*refused"),
        ("nothing://me:s3cret@host/base", "cannot be used: Can't load plugin"),
        ("postgresql://me:s3cret@host:port/base", "is no URL"),
        ("mysql+pymysql://me:s3cret@host/base", "needs the driver 'pymysql'"),
    ],
)
def test_a_storage_that_is_not_there(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        open_storage(url)
    seen: BaseException | None = caught.value
    while seen is not None:
        assert "s3cret" not in str(seen)
        seen = seen.__cause__


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.write_text("no database at all, but long enough to be looked at as one\n" * 20)
    with pytest.raises(UsageError, match="cannot be used: file is not a database"):
        open_storage(str(path))


def test_a_trial_of_a_book_is_made_with_its_choice(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "study.db"))
    book = Book(storage, "x", GOALS, {"a": (0, 1)})
    assert storage.file == tmp_path / "study.db"
    from edgert.search.study import StudyFacts

    book.open(StudyFacts(1, ("i",), {"a": (0, 1)}, GOALS.objectives, (), "random", 0))
    number = book.add(Entry(-1, {"a": 1}, None, False))
    (made,) = book.entries()
    assert (number, made.number, dict(made.choice), made.is_finished, made.owner) == (0, 0, {"a": 1}, False, None)
