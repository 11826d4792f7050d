"""`edgert search`: the best form of a model under the limits of a device (docs/search.md)."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgert.commands.console import Console
from edgert.commands.option_flags import add_option_flags, given_options
from edgert.commands.search_text import live_lines, result_text
from edgert.errors import EdgertError
from edgert.search.files import write_files
from edgert.search.loop import Progress, Watcher
from edgert.search.result import SearchResult
from edgert.search.run import run_search
from edgert.search.settings import SEARCH_OPTIONS, load_search
from edgert.search.storage import mask_url

__all__ = ["add_arguments", "execute", "search"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the recipe, the options of [search], and where results go."""
    parser.add_argument("recipe", type=Path, metavar="edgert.toml", help="recipe with a table [search]")
    add_option_flags(parser, SEARCH_OPTIONS)
    parser.add_argument(
        "--scheduler",
        metavar="tcp://127.0.0.1:PORT",
        help="Dask scheduler whose workers measure, each on the board that it owns (loopback or tls:// only)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="report.html, result.json and what was chosen (default: RECIPE.search beside the recipe)",
    )


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb: 1 where no candidate keeps the limits."""
    reporter = _Reporter(console)
    try:
        result, files = _search(
            arguments.recipe,
            arguments.output,
            arguments.scheduler,
            given_options(arguments, SEARCH_OPTIONS),
            reporter,
        )
    except (KeyboardInterrupt, EdgertError):
        if reporter.storage:
            console.note(
                f"edgert: {reporter.done} evaluations are kept in {reporter.storage}; the same command goes on"
            )
        raise
    plain = {**result.plain(), "files": {name: str(path) for name, path in files.items()}}
    console.result(plain, result_text(result, files))
    return int(result.chosen is None)


def search(
    recipe: Path | str,
    *,
    output: Path | str | None = None,
    scheduler: str | None = None,
    watcher: Watcher | None = None,
    **options: object,
) -> SearchResult:
    """Searches for the best form of a model, going on where the study in the storage stands; see docs/search.md.

    Args:
        recipe: an edgert.toml with a table [search].
        output: folder for the report, the result and what was chosen; None: RECIPE.search beside the recipe.
        scheduler: address of a Dask scheduler whose workers measure; None: this process measures.
        watcher: told how it goes on.
        options: fields of `edgert.search.settings.SearchSettings`, over those of the file.

    Raises:
        RecipeError: the recipe is wrong.
        UsageError: the study is of something else, or the storage or the scheduler is refused.
        DeviceError: the device, the scheduler or a worker is not there.
        OutputError: the storage or the results cannot be written.
    """
    return _search(Path(recipe), None if output is None else Path(output), scheduler, options, watcher or _silent)[0]


def _search(
    recipe: Path, output: Path | None, scheduler: str | None, options: dict[str, object], watcher: Watcher
) -> tuple[SearchResult, dict[str, Path]]:
    settings = load_search(recipe, options)
    if isinstance(watcher, _Reporter):
        watcher.where = mask_url(settings.storage)
    result = run_search(settings, watcher, scheduler)
    return result, write_files(result, output or recipe.with_suffix(".search"))


class _Reporter:
    """Shows on the console how a search goes on, and remembers it for a message at an early end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.where = self.storage = ""
        self.done = 0

    def __call__(self, progress: Progress) -> None:
        self.storage, self.done = self.where, len(progress.standing.finished)
        if self._console.shows_progress:
            self._console.progress(progress.stage, progress.done, progress.total, live_lines(progress.standing))


def _silent(progress: Progress) -> None:
    del progress
