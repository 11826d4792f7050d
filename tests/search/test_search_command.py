"""`edgert search` on the command line: what it prints, its exit codes, and what lies in the folder."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edgert.cli import main
from edgert.commands.console import Console
from edgert.commands.search_text import live_lines
from edgert.errors import InputFileError
from edgert.recipe_file import load_recipe
from edgert.search.evaluator import Evaluation
from edgert.search.files import write_files
from edgert.search.goals import Goals, Quantity, parse_limit
from edgert.search.result import SearchResult
from edgert.search.settings import load_search
from edgert.search.standing import standing_of
from edgert.search.study import Entry

WriteRecipe = Callable[..., Path]
DOCUMENT = Path(__file__).parents[2] / "docs" / "search.md"


def test_the_result_as_text(recipe: WriteRecipe, capsys: pytest.CaptureFixture[str]) -> None:
    path = recipe()
    assert main(["search", str(path)]) == 0
    out, err = capsys.readouterr()
    assert f"search in {path.with_suffix('.search.db')}: 9 trials" in out
    assert "trial  accuracy  latency_ms  choice" in out
    assert "chosen (knee): trial" in out
    assert f"wrote {path.with_suffix('.search')}/report.html" in out
    assert err == ""


def test_the_result_as_json(recipe: WriteRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recipe("evaluations = 4", 'objectives = ["latency_ms"]', 'limits = ["accuracy >= 0.6"]')
    assert main(["search", str(path), "--json", "--output", str(tmp_path / "out")]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain.pop("files") == {
        "report": str(tmp_path / "out/report.html"),
        "result": str(tmp_path / "out/result.json"),
    }
    assert plain == json.loads((tmp_path / "out/result.json").read_text())
    assert plain["objectives"] == ["latency_ms"]
    assert plain["limits"] == ["accuracy >= 0.6"]
    assert plain["evaluations"]["finished"] == 4
    (best,) = plain["front"]
    assert plain["chosen"] == best
    assert set(best) == {"number", "choice", "predicted", "first", "again", "facts"}
    assert best["again"]["latency_ms"] > 0


def test_no_candidate_keeps_the_limits(recipe: WriteRecipe, capsys: pytest.CaptureFixture[str]) -> None:
    path = recipe("evaluations = 3")
    assert main(["search", str(path), "--limit", "latency_ms <= 0.5"]) == 1
    out = capsys.readouterr().out
    assert "no candidate keeps every limit" in out
    assert "latency_ms <= 0.5: the nearest has" in out
    assert "No candidate keeps every limit." in path.with_suffix(".search").joinpath("report.html").read_text()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--evaluations", "many"], "option --evaluations: must be a whole number, got 'many'"),
        (["--objective", "speed"], "option --objective: unknown value 'speed'"),
        (["--limit", "speed <= 3"], "no quantity 'speed'"),
        (["--scheduler", "tcp://192.168.1.9:8786"], "anybody who can reach a Dask scheduler"),
        (["--storage", "postgresql+psycopg://me:s3cret@127.0.0.1:1/x"], "127.0.0.1:1/x cannot be used"),
    ],
)
def test_usage(recipe: WriteRecipe, capsys: pytest.CaptureFixture[str], words: list[str], text: str) -> None:
    assert main(["search", str(recipe()), *words]) == 2
    err = capsys.readouterr().err
    assert text in err
    assert "s3cret" not in err


def test_a_recipe_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(tmp_path / "none.toml")]) == 2
    assert "none.toml: no such file" in capsys.readouterr().err


GOALS = Goals((Quantity.ACCURACY, Quantity.LATENCY_MS), (parse_limit("latency_ms <= 10"),))
GOOD = (
    {Quantity.ACCURACY: 0.9, Quantity.LATENCY_MS: 9.0},
    {Quantity.ACCURACY: 0.8, Quantity.LATENCY_MS: 3.0},
)


def entries(count: int) -> list[Entry]:
    return [
        Entry(n, {"a": n}, Evaluation({Quantity.ACCURACY: 0.5 + n / 100, Quantity.LATENCY_MS: 1.0 + n}), True)
        for n in range(count)
    ]


def test_the_live_table_has_at_most_eight_points() -> None:
    lines = live_lines(standing_of(GOALS, entries(12), []))
    assert lines[0] == ""
    assert lines[1].split() == ["trial", "accuracy", "latency_ms", "choice"]
    assert len(lines) == 1 + 2 + 8 + 1
    assert lines[-1] == "2 more on the front; 0 failed, 2 beyond a limit"
    failed = [Entry(0, {"a": 0}, Evaluation({}, "no"), True)]
    assert live_lines(standing_of(GOALS, failed, [])) == ["no point keeps the limits yet (1 failed, 0 beyond a limit)"]


def test_choices_that_start_with_a_digit_stand_below_their_head() -> None:
    points = [Entry(n, {"0-1": "x" * (n + 1)}, Evaluation(GOOD[n]), True) for n in range(2)]
    _, head, _, *rows, _ = live_lines(standing_of(GOALS, points, []))
    assert [row.index("0-1=") for row in rows] == [head.index("choice")] * 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_block_of_lines_is_drawn_over() -> None:
    err = Terminal()
    console = Console(io.StringIO(), err, clock=lambda: 0.0)
    console.progress("searching", 1, 4, ["one", "two" * 100])
    console.progress("searching", 2, 4, ["three"])
    console.note("done")
    first, second, last = err.getvalue().split("\r\x1b[2K")[1:]
    assert first.startswith("searching [######")
    assert first.splitlines()[1] == "one"
    assert len(first.splitlines()[2]) < 100  # a line that wraps could not be drawn over
    assert second.startswith("\x1b[1A\x1b[2K\x1b[1A\x1b[2Ksearching")
    assert last == "\x1b[1A\x1b[2Kdone\n"


def test_the_example_in_the_document_loads(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "edgert.toml"
    path.write_text(example)
    settings = load_search(path, {})
    assert settings.goals.limits
    assert set(settings.space) == {"precision", "resolution"}
    assert any(step.get("width") for step in load_recipe(path, {}).preprocess)  # what resolution changes


def test_what_was_chosen_lies_beside_the_report(recipe: WriteRecipe, tmp_path: Path) -> None:
    bundle = tmp_path / "made.edge"
    bundle.write_bytes(b"bundle")
    facts = {"bundle": str(bundle), "recipe": "schema = 1\n"}
    measured = {Quantity.ACCURACY: 0.9, Quantity.LATENCY_MS: 2.0}
    found = [Entry(0, {"a": 0}, Evaluation(measured, facts=facts), True)]
    settings = load_search(recipe(), {})
    result = SearchResult(settings, "study.db", standing_of(GOALS, found, []), {"a": (0,)}, {})
    written = write_files(result, tmp_path / "out")
    assert written["bundle"].read_bytes() == b"bundle"
    assert written["recipe"].read_text() == "schema = 1\n"
    bundle.unlink()
    with pytest.raises(InputFileError, match=r"made.edge, the chosen bundle, is not there any more"):
        write_files(result, tmp_path / "out")
