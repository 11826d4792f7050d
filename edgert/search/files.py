"""The files that a search leaves beside its study: the result, the report, and what was chosen."""

from __future__ import annotations

import json
from pathlib import Path

from edgert.bundle import replace_atomically
from edgert.errors import InputFileError
from edgert.search.report import build_search_report
from edgert.search.result import SearchResult

__all__ = ["write_files"]


def write_files(result: SearchResult, folder: Path) -> dict[str, Path]:
    """Writes the files of a result into a folder and returns them by what they are.

    The chosen candidate's bundle and recipe are written where its evaluator gave them (`bundle`, a path, and `recipe`,
    a text, among its facts).

    Raises:
        InputFileError: the chosen bundle is not there any more, or was made on another computer.
        OutputError: one cannot be written.
    """
    written = {"report": replace_atomically(folder / "report.html", build_search_report(result).encode())}
    chosen = result.chosen
    if chosen is not None:
        recipe, bundle = chosen.facts.get("recipe"), chosen.facts.get("bundle")
        if isinstance(recipe, str):
            written["recipe"] = replace_atomically(folder / "chosen.toml", recipe.encode())
        if isinstance(bundle, str):
            written["bundle"] = replace_atomically(folder / "chosen.edge", _read(Path(bundle)))
    text = json.dumps(result.plain(), indent=2, allow_nan=False) + "\n"
    written["result"] = replace_atomically(folder / "result.json", text.encode())
    return written


def _read(bundle: Path) -> bytes:
    try:
        return bundle.read_bytes()
    except OSError as error:
        raise InputFileError(
            f"{bundle}, the chosen bundle, is not there any more ({error.strerror or error})"
        ) from error
