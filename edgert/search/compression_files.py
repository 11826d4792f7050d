"""Conversions of a compression search, kept by recipe: the same choice is converted once, its bundle stays."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from edgert.bundle import replace_atomically
from edgert.codec import CodecError, JsonValue, from_plain, parse_json, to_plain
from edgert.errors import OutputError, RecipeError
from edgert.plugins import Converter
from edgert.recipe import Recipe
from edgert.recipe_text import recipe_text
from edgert.search.file_lock import locked
from edgert.search.measure import MeasurementError

__all__ = ["Converted", "accuracy_of", "convert_once", "find_row"]


@dataclass(frozen=True, slots=True)
class Converted:
    """A finished conversion: the bundle and its SHA-256, and of `edgert convert --json` what a search needs."""

    bundle: str
    sha256: str
    reference: JsonValue
    variants: JsonValue
    messages: tuple[str, ...]


def convert_once(converter: Converter, recipe: Recipe, folder: Path) -> Converted:
    """Returns the conversion of a recipe, from the folder where it lies there already and is whole.

    A process that is killed on the way leaves nothing that is taken for a conversion; whoever makes the same one next
    removes what it left. Of several processes one converts, and the others wait for it.

    Args:
        converter: what `edgert convert` calls.
        recipe: without output.
        folder: of the bundles of this search; several processes may use it.

    Raises:
        EdgertError: whatever the converter raises.
    """
    name = hashlib.sha256(recipe_text(recipe).encode()).hexdigest()[:20]
    bundle, facts = folder / f"{name}.edge", folder / f"{name}.json"
    _make(folder)
    with locked(folder / f".{name}.lock"):
        known = _read(facts)
        if known is not None and bundle.is_file() and _sha256(bundle) == known.sha256:
            return dataclasses.replace(known, bundle=str(bundle))
        for left in folder.glob(f".{name}.*.part"):  # who wrote it is gone: it held this lock
            left.unlink()
        result = converter.convert(dataclasses.replace(recipe, output=bundle), _silent)
        found = Converted(
            str(bundle),
            _sha256(bundle),
            result.summary.get("reference"),
            result.summary["variants"],
            tuple(result.messages),
        )
        replace_atomically(facts, json.dumps(to_plain(found), allow_nan=False).encode() + b"\n")
        return found


def find_row(converted: Converted, kind: str, precision: str) -> JsonValue:
    """Returns the row of the variant of a format and precision; None where the conversion made none."""
    rows = [row for row in converted.variants if row["format"] == kind and row["precision"] == precision]
    return rows[0] if rows else None


def accuracy_of(converted: Converted, row: JsonValue, *, resized: bool) -> float:
    """Returns the metric of the recipe, negative where less of it is better; without labels the share of same answers.

    Args:
        converted: the conversion.
        row: of the variant.
        resized: candidates differ in the size of their images.

    Raises:
        MeasurementError: nobody could run the variant on the data.
        RecipeError: there is no such figure for any candidate.
    """
    reference = converted.reference or {}
    if reference.get("metric") == "agreement":
        if resized:
            raise RecipeError(
                "[search.space]: resolution needs labels in the data: without, every size agrees with itself alone"
            )
        if row["agree"] is None and row["value"] is None and row["drop"] is not None:
            raise RecipeError("the data have no labels and the outputs no classes; a search needs a figure of accuracy")
        value = None if row["agree"] is None else 100.0 * float(row["agree"])
    else:
        value = row["value"]
    if value is None:
        raise MeasurementError(f"no accuracy of {row['id']}: {'; '.join(row['notes']) or 'it cannot run here'}")
    return float(value) if reference.get("higher_is_better", True) else -float(value)


def _read(path: Path) -> Converted | None:
    """None: not there, or of another version of edgert; it is made again then."""
    try:
        return from_plain(Converted, parse_json(path.read_bytes()))
    except (OSError, ValueError, CodecError):
        return None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: bundles of the search cannot be kept here ({error.strerror or error})") from error


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _silent(stage: str, done: int, total: int) -> None:
    del stage, done, total
