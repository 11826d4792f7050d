"""What is to run on devices: an app's folder with its settings and a bundle, or a bundle for an app that is there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgert.app.options import check_setting
from edgert.bundle import Bundle
from edgert.codec import JsonValue
from edgert.errors import InputFileError, RecipeError, UsageError, did_you_mean
from edgert.onboard.digest import file_sha256
from edgert.recipe_file import parse_toml

__all__ = ["COMMAND", "MODEL", "SETTINGS", "Health", "Plan", "read_plan"]

COMMAND = ("{python}", "app.py", "--settings", "settings.json")
MODEL = "model.edge"
SETTINGS = "settings.json"
SCHEMA = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LEFT_OUT = {"edgert.toml", "README.md", "Dockerfile", "__pycache__", SETTINGS, MODEL}
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Health:
    """Table [deploy] of edgert.toml, over which flags win: what a release must keep on the device to be trusted.

    See edgert.onboard.trial.Limits; limits that are None come from a profile record of the device, else from the
    release that ran before.
    """

    ready_s: float = 60.0
    alive_s: float = 10.0
    max_p95_ms: float | None = None
    max_energy_mj: float | None = None
    slower: float = 1.5

    def __post_init__(self) -> None:
        for name in ("ready_s", "alive_s", "max_p95_ms", "max_energy_mj", "slower"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 86400:
                raise UsageError(f"{name} is {value}; allowed: above 0, at most 86400")


@dataclass(frozen=True, slots=True)
class Plan:
    """A deployment.

    Attributes:
        app: its name; None for a bundle alone, whose app is found on the device.
        bundle: the model.
        files: the app's files by their path below a release, without bundle and settings; empty for a bundle alone.
        settings: of the app, complete but for the model's path; empty for a bundle alone.
        health: what it must keep.
    """

    app: str | None
    bundle: Path
    files: Mapping[str, Path] = field(default_factory=dict)
    settings: Mapping[str, JsonValue] = field(default_factory=dict)
    health: Health = field(default_factory=Health)

    @property
    def fingerprint(self) -> str:
        """The same for the same files, settings and model, whatever device they are for: 16 hex digits."""
        digest = hashlib.sha256(json.dumps([self.app, self.settings], sort_keys=True).encode())
        for name, path in sorted({**self.files, MODEL: self.bundle}.items()):
            digest.update(f"{name}\0{file_sha256(path)}\0".encode())
        return digest.hexdigest()[:16]

    @contextmanager
    def release_files(self) -> Iterator[dict[str, Path]]:
        """Gives every file of a release by its path there; the settings are written for as long as the block runs."""
        with TemporaryDirectory(prefix="edgert-deploy-") as folder:
            files = {**self.files, MODEL: self.bundle}
            if self.app is not None and self.files:
                settings = Path(folder) / SETTINGS
                settings.write_text(json.dumps({**self.settings, "bundle": MODEL}, indent=1, sort_keys=True) + "\n")
                files[SETTINGS] = settings
            yield files


def read_plan(
    what: Path,
    *,
    app: str | None = None,
    bundle: Path | None = None,
    settings: Sequence[str] = (),
    health: Mapping[str, float | None] | None = None,
) -> Plan:
    """Reads what is to be deployed; the bundle is opened, so that a damaged one never leaves this computer.

    Args:
        what: an app's folder (app.py, edgert.toml), or a bundle for an app that is on the device.
        app: which app of the device a bundle alone is for.
        bundle: the app's model, in place of `bundle` in its edgert.toml.
        settings: `NAME=VALUE`, each over the one of edgert.toml.
        health: over table [deploy]; None where nothing is given.

    Raises:
        UsageError: a setting or flag cannot be used.
        RecipeError: edgert.toml is wrong.
        InputFileError: a file is missing or damaged.
    """
    given = {name: value for name, value in (health or {}).items() if value is not None}
    if not what.is_dir():
        if bundle is not None or settings:
            raise UsageError(f"{what} is a bundle: --bundle and --set belong to an app's folder")
        _check_bundle(what)
        return Plan(app, what, health=Health(**given))
    if app is not None:
        raise UsageError("--app says which app of the device a bundle is for; an app's folder has its own name")
    tables = _read_toml(what / "edgert.toml")
    values = {name: check_setting(name, value, f"{what / 'edgert.toml'}: [app]") for name, value in tables[0].items()}
    values |= dict(_setting(word) for word in settings)
    model = bundle or _bundle_of(what, values.pop("bundle", None))
    values.pop("bundle", None)
    _check_bundle(model)
    plain: dict[str, Any] = values  # Any: checked by name and type
    return Plan(_name(what), model, _files(what), plain, Health(**{**tables[1], **given}))


def _name(folder: Path) -> str:
    name = folder.resolve().name
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"{folder}: an app is named by its folder, in lower-case letters, digits, '-' and '_'")
    return name


def _read_toml(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:  # Any: TOML
    """Tables [app] and [deploy]."""
    document = parse_toml(path)
    if document.pop("schema", None) != SCHEMA:
        raise RecipeError(f"{path}: this edgert reads 'schema = {SCHEMA}' at the top of the file")
    app, deploy = document.pop("app", None), document.pop("deploy", {})
    if not isinstance(app, dict) or not isinstance(deploy, dict):
        raise RecipeError(f"{path}: an app has a table [app] with its settings, and may have a table [deploy]")
    if document:
        first = next(iter(document))
        raise RecipeError(f"{path}: unknown key {first!r}{did_you_mean(first, ('schema', 'app', 'deploy'))}")
    known = list(Health.__slots__)
    for name, value in deploy.items():
        if name not in known:
            raise RecipeError(f"{path}: [deploy]: unknown key {name!r}{did_you_mean(name, known)}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RecipeError(f"{path}: [deploy]: {name} is {value!r}; it must be a number")
    return app, deploy


def _setting(word: str) -> tuple[str, object]:
    name, separator, text = word.partition("=")
    if not separator:
        raise UsageError(f"--set {word}: write NAME=VALUE")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    try:
        return name, check_setting(name, value, "--set")
    except UsageError:
        return name, check_setting(name, text, "--set")  # a text that looks like a number


def _bundle_of(folder: Path, named: object) -> Path:
    if named is None:
        raise UsageError(f'{folder}: no model; --bundle FILE.edge, or bundle = "FILE.edge" in [app] of its edgert.toml')
    return folder / str(named)


def _check_bundle(path: Path) -> None:
    if not path.is_file():
        raise InputFileError(f"{path}: no such file; edgert deploy takes an app's folder or a bundle (.edge)")
    with Bundle.open(path):
        pass


def _files(folder: Path) -> dict[str, Path]:
    """The app's files; what is not for the device stays here."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part in _LEFT_OUT for part in parts)
        if path.is_file() and not hidden and path.suffix != ".edge":
            found["/".join(parts)] = path
    if "app.py" not in found:
        raise InputFileError(f"{folder}: no app.py in this folder")
    total = sum(path.stat().st_size for path in found.values())
    if total > _MOST_BYTES:
        raise InputFileError(
            f"{folder}: {total} bytes beside the bundle; an app's own files take {_MOST_BYTES} at most"
        )
    return found
