"""The cache of measurements: what is kept, what is damaged, who may read what."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edgert_converters.payoff import cache as module
from edgert_converters.payoff.cache import Cache, Place, Timed, cache_file, load_cache, place_key, save_cache

TIMED = Timed(2.0, 1.0, 0.45, 0.6)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGERT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def some(networks: dict[str, Timed] | None = None, layers: dict[str, float] | None = None) -> Cache:
    return Cache(places={"here": Place(networks or {}, layers or {})})


def test_what_is_saved_comes_back_and_is_added_to(folder: Path) -> None:
    assert load_cache() == (Cache(), None)
    assert save_cache(some({"a": TIMED}, {"": 0.004})) is None
    assert save_cache(some({"b": TIMED}, {"x": 1.5})) is None
    found, word = load_cache()
    assert word is None
    assert found.places == {"here": Place({"a": TIMED, "b": TIMED}, {"": 0.004, "x": 1.5})}
    assert [file.name for file in folder.iterdir()] == ["int8_payoff.json"]


def test_a_newer_measurement_replaces_an_older_one(folder: Path) -> None:
    del folder
    save_cache(some({"a": TIMED}, {"x": 2.0}))
    save_cache(some({"a": Timed(4.0, 8.0, 1.9, 2.1)}, {"x": 1.0}))
    place = load_cache()[0].places["here"]
    assert (place.networks["a"].ratio, place.layers["x"]) == (2.0, 1.0)


def test_the_oldest_go_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del folder
    monkeypatch.setattr(module, "_MOST_LAYERS", 2)
    save_cache(some(layers={"old": 1.0, "kept": 1.0}))
    save_cache(some(layers={"new": 1.0}))
    assert list(load_cache()[0].places["here"].layers) == ["kept", "new"]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"{", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[]", "schema None, this edgert reads 1"),
        (b'{"schema": 2, "places": {}}', "schema 2, this edgert reads 1"),
        (b'{"schema": 1, "places": {"here": 3}}', "damaged"),
        (b'{"schema": 1, "places": {"here": {"layers": {"x": -1.0}, "networks": {}}}}', "a time is negative"),
        (b"[" * 100_000, "damaged"),
    ],
)
def test_a_damaged_file_is_an_empty_cache_with_a_word(folder: Path, content: bytes, word: str) -> None:
    folder.mkdir()
    (folder / "int8_payoff.json").write_bytes(content)
    found, said = load_cache()
    assert found == Cache()
    assert said is not None
    assert word in said
    assert "int8_payoff.json" in said
    assert save_cache(some({"a": TIMED})) is None  # and the next measurement replaces it
    assert load_cache()[0].places["here"].networks == {"a": TIMED}


@pytest.mark.parametrize("row", [(0.0, 1.0, 0.5, 1.0), (2.0, 1.0, 0.6, 0.7), (1.0, -1.0, 0.5, 1.0)])
def test_times_that_cannot_be(folder: Path, row: tuple[float, ...]) -> None:
    folder.mkdir()
    with pytest.raises(ValueError, match="times are positive and their ratio lies in its interval"):
        Timed(*row)
    entry = dict(zip(("float_ms", "int8_ms", "low", "high"), row, strict=True))
    plain = {"schema": 1, "places": {"here": {"networks": {"a": entry}, "layers": {}}}}
    (folder / "int8_payoff.json").write_text(json.dumps(plain))
    assert load_cache()[0] == Cache()


def test_a_folder_that_cannot_be_written_is_a_word_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EDGERT_CACHE", str(tmp_path / "file"))
    assert "measurements were not kept: cannot write" in str(save_cache(some({"a": TIMED})))
    assert load_cache() == (Cache(), None)


def test_the_places_of_the_platforms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EDGERT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_file() == tmp_path / "xdg" / "edgert" / "int8_payoff.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    for platform, parent in (("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "local")):
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_file() == tmp_path / parent / "edgert" / "int8_payoff.json"


def test_a_key_tells_engines_versions_threads_and_processors_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {place_key("a", "1", 1), place_key("b", "1", 1), place_key("a", "2", 1), place_key("a", "1", 2)}
    monkeypatch.setattr(module, "cpu_identity", lambda: "another processor")
    keys.add(place_key("a", "1", 1))
    assert len(keys) == 5
