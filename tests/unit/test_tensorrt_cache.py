from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from edgert.errors import OutputError
from edgert.runtime.engines.tensorrt_cache import Identity, cache_folder, engine_file, load_engine, store_engine

IDENTITY = Identity("ab" * 32, "10.3.0", "Orin", "8.7", 12060, {"int8": "1"})
NOTES = {"layers_by_place": {"GPU": 3}}


def test_what_was_stored_comes_back_with_its_notes(tmp_path: Path) -> None:
    assert load_engine(IDENTITY, tmp_path) == "none is stored"
    path = store_engine(IDENTITY, b"\n{engine}\n" * 100, NOTES, tmp_path / "new" / "folder")
    assert path.parent == tmp_path / "new" / "folder"
    assert load_engine(IDENTITY, path.parent) == (b"\n{engine}\n" * 100, NOTES)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"tensorrt": "10.7.0"}, "tensorrt was 10.3.0, is 10.7.0"),
        ({"gpu": "Orin Nano"}, "gpu was Orin, is Orin Nano"),
        ({"compute_capability": "8.6"}, "compute_capability was 8.7, is 8.6"),
        ({"cuda_driver": 13020}, "cuda_driver was 12060, is 13020"),
        ({"gpu": "Thor", "compute_capability": "11.0"}, "gpu was Orin, is Thor, compute_capability was 8.7, is 11.0"),
    ],
)
def test_an_engine_of_another_system_is_never_used(changed: dict[str, object], words: str, tmp_path: Path) -> None:
    store_engine(IDENTITY, b"old", NOTES, tmp_path)
    other = dataclasses.replace(IDENTITY, **changed)  # type: ignore[arg-type]  # fields by name
    assert load_engine(other, tmp_path) == f"the stored one was built elsewhere: {words}"
    store_engine(other, b"new", {}, tmp_path)
    assert load_engine(other, tmp_path) == (b"new", {})
    assert len(list(tmp_path.iterdir())) == 1


def test_models_and_settings_have_files_of_their_own() -> None:
    folder = Path("x")
    others = [
        dataclasses.replace(IDENTITY, model_sha256="cd" * 32),
        dataclasses.replace(IDENTITY, settings={"int8": "0"}),
        dataclasses.replace(IDENTITY, settings={"int8": "1", "dla_core": "0"}),
    ]
    assert len({engine_file(identity, folder) for identity in [IDENTITY, *others]}) == 4
    later = dataclasses.replace(IDENTITY, tensorrt="10.7.0")
    assert engine_file(later, folder) == engine_file(IDENTITY, folder)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-1], "the stored one is damaged"),
        (lambda data: data[:-1] + b"?", "the stored one is damaged"),
        (lambda data: data[:40], "the stored one cannot be read"),
        (lambda data: b"", "the stored one cannot be read"),
        (lambda data: b"\x00" * 5000, "the stored one cannot be read"),
        (lambda data: b'{"schema": 9}\n' + data, "schema 9, this edgert reads 1"),
        (lambda data: data.replace(b'"gpu"', b'"gnu"'), "the stored one cannot be read"),
    ],
)
def test_a_damaged_file_is_a_reason_to_build(damage: object, words: str, tmp_path: Path) -> None:
    path = store_engine(IDENTITY, b"engine", NOTES, tmp_path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]  # a function of bytes
    reason = load_engine(IDENTITY, tmp_path)
    assert isinstance(reason, str)
    assert words in reason


def test_a_write_that_fails_leaves_the_old_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_engine(IDENTITY, b"old", NOTES, tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="No space left on device"):
        store_engine(IDENTITY, b"new", NOTES, tmp_path)
    monkeypatch.undo()
    assert load_engine(IDENTITY, tmp_path) == (b"old", NOTES)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_folder_is_the_devices_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGERT_CACHE", "/own")
    assert cache_folder() == Path("/own/tensorrt")
    monkeypatch.delenv("EDGERT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_folder() == Path("/cache/edgert/tensorrt")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/edgert/tensorrt")
