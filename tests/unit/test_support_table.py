from __future__ import annotations

from pathlib import Path

import pytest

from edgert_converters import support_table
from edgert_converters.ops import OPERATORS


def test_the_committed_page_equals_the_generated_one() -> None:
    assert support_table.is_page_current(), "run: python -m edgert_converters.support_table"


def test_every_operator_has_one_row_and_one_place_in_the_readme() -> None:
    page, block = support_table.render_page(), support_table.render_readme_block()
    words = block.replace("|", ",").replace("\n", ",").split(",")
    for name in OPERATORS:
        assert page.count(f"| {name} |") == 1
        assert [word.strip() for word in words].count(name) == 1


def test_check_fails_on_a_stale_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "operators.md"
    monkeypatch.setattr(support_table, "PAGE", page)
    assert support_table.main(["--check"]) == 1
    assert support_table.main([]) == 0
    assert support_table.main(["--check"]) == 0
    page.write_text("stale")
    assert support_table.main(["--check"]) == 1


def test_readme_block_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert support_table.main(["--readme"]) == 0
    assert capsys.readouterr().out == support_table.render_readme_block()
