from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

import edgert
from edgert.bundle import Bundle
from edgert.errors import OutputError
from edgert.runtime import settings
from edgert.runtime.engines import get_engine
from edgert.runtime.settings import Choice, Tuned, cpu_identity, forget, look_up, settings_folder, store
from tests import bundle_example as example

CHOICE = Choice("onnx-int8", "onnxruntime", 1, {"allow_spinning": "0"})


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return example.write(tmp_path)


def sha256_of(path: Path) -> str:
    with Bundle.open(path) as bundle:
        return bundle.sha256


def tuned(path: Path, **changes: object) -> Tuned:
    version = get_engine("onnxruntime").version() or ""
    made = Tuned(1, sha256_of(path), str(path), CHOICE, version, cpu_identity(), 0.1, 0.2, "2026-01-02T03:04:05+00:00")
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_a_stored_choice_is_what_load_takes(bundle: Path) -> None:
    store(tuned(bundle))
    with edgert.load(bundle) as session:
        assert session.variant.id == "onnx-int8"
        facts = session.facts()
    assert (facts["threads"], facts["options"]["allow_spinning"]) == (1, "0")
    assert facts["tuned"]["used"] is True
    assert "onnx-int8 on onnxruntime, 1 thread, allow_spinning=0" in facts["tuned"]["text"]
    assert "--forget" in facts["tuned"]["text"]


@pytest.mark.parametrize(
    "named",
    [{"variant": "onnx-fp32"}, {"engine": "onnxruntime"}, {"options": {"memory_arena": "0"}}, {"tuned": False}],
    ids=str,
)
def test_whoever_names_something_gets_that(bundle: Path, named: dict[str, object]) -> None:
    store(tuned(bundle))
    with edgert.load(bundle, **named) as session:  # type: ignore[arg-type]
        assert session.variant.id == "onnx-fp32"
        assert session.tuned is None


def test_a_number_of_threads_must_be_the_tuned_one(bundle: Path) -> None:
    store(tuned(bundle))
    with edgert.load(bundle, threads=1) as session:
        assert session.variant.id == "onnx-int8"
    with edgert.load(bundle, threads=2) as session:
        assert session.variant.id == "onnx-fp32"
        assert session.tuned is not None
        assert "tuned for 1 thread" in session.tuned.text


def test_nothing_stored_says_nothing(bundle: Path) -> None:
    with edgert.load(bundle) as session:
        assert session.tuned is None
        assert "tuned" not in session.facts()


def test_the_choice_follows_a_copy_of_the_model(bundle: Path, tmp_path: Path) -> None:
    store(tuned(bundle))
    copy = tmp_path / "copy.edge"
    copy.write_bytes(bundle.read_bytes())
    with edgert.load(copy) as session:
        assert session.variant.id == "onnx-int8"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"engine_version": "0.1"}, "measured with onnxruntime 0.1, now"),
        ({"cpu": "abacus"}, r"another processor \(abacus; this one is"),
        ({"choice": Choice("onnx-int8", "abacus", 1)}, "no engine 'abacus'"),
        ({"choice": Choice("onnx-int8", None, 1)}, "names no engine"),
        ({"choice": Choice("onnx-int4", "onnxruntime", 1)}, "does not load .*no variant 'onnx-int4'"),
        ({"choice": Choice("onnx-int8", "onnxruntime", 1, {"turbo": "1"})}, "does not load .*no option 'turbo'"),
        ({"choice": Choice("onnx-int8", "litert", 1), "engine_version": "none"}, "measured with litert none"),
    ],
    ids=["engine", "cpu", "unknown engine", "no engine", "variant", "option", "other engine"],
)
def test_an_outdated_choice_is_ignored_with_a_word(bundle: Path, changes: dict[str, object], reason: str) -> None:
    store(tuned(bundle, **changes))
    with edgert.load(bundle) as session:
        assert session.variant.id == "onnx-fp32"
        assert session.tuned is not None
        assert not session.tuned.used
        assert re.search(reason, session.tuned.text)


def test_a_model_that_was_replaced_is_told_by_its_path(bundle: Path, tmp_path: Path) -> None:
    store(tuned(bundle))
    example.write(tmp_path, labels=("a", "b", "c"))
    with edgert.load(bundle) as session:
        assert session.variant.id == "onnx-fp32"
        assert session.tuned is not None
        assert "the model has changed since" in session.tuned.text
    assert forget(bundle, sha256_of(bundle))
    assert list(settings_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "damaged"),
        (b"\xff\xfe\x00", "damaged"),
        (b"[1, 2]", "schema None"),
        (b'{"schema": 99}', "schema 99, this edgert reads 1"),
        (b'{"schema": 1}', "model_sha256: missing"),
        (b'{"schema": 1, "model_sha256": 7}', "expected str"),
        (b"[" * 100_000, "damaged"),
        (b" " * ((1 << 20) + 1), "too large"),
    ],
    ids=["empty", "no text", "list", "schema", "missing", "type", "deep", "large"],
)
def test_a_damaged_file_is_a_word_and_the_default(bundle: Path, content: bytes, reason: str) -> None:
    store(tuned(bundle)).write_bytes(content)
    with edgert.load(bundle) as session:
        assert session.variant.id == "onnx-fp32"
        assert session.tuned is not None
        assert reason in session.tuned.text


def test_a_file_of_another_model_does_not_count(bundle: Path) -> None:
    file = store(tuned(bundle))
    plain = json.loads(file.read_text())
    file.write_text(json.dumps(plain | {"model_sha256": "0" * 64}))
    advice = look_up(bundle, sha256_of(bundle))
    assert advice is not None
    assert advice.choice is None
    assert "of another model" in advice.text


def test_a_folder_where_a_file_should_be_is_a_word(bundle: Path) -> None:
    (settings_folder() / f"{sha256_of(bundle)}.json").mkdir(parents=True)
    with edgert.load(bundle) as session:
        assert session.tuned is not None
        assert "damaged" in session.tuned.text


def test_a_damaged_pointer_says_nothing(bundle: Path, tmp_path: Path) -> None:
    store(tuned(bundle))
    (pointer,) = settings_folder().glob("path-*.json")
    pointer.write_text("{")
    example.write(tmp_path, labels=("a", "b", "c"))
    with edgert.load(bundle) as session:
        assert session.tuned is None


def test_a_plain_file_has_a_choice_too(tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    model.write_bytes(example.float_model())
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    version = get_engine("onnxruntime").version() or ""
    choice = Choice("onnx", "onnxruntime", 1, {"memory_arena": "0"})
    store(Tuned(1, sha256, str(model), choice, version, cpu_identity(), 0.1, 0.2, "2026-01-02"))
    with edgert.load(model) as session:
        assert session.facts()["options"]["memory_arena"] == "0"
        assert session.run(np.ones((1, 4), np.float32))["y"].shape == (1, 3)


def test_where_settings_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EDGERT_SETTINGS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings_folder() == tmp_path / "edgert" / "tuned"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings_folder() == tmp_path / ".config" / "edgert" / "tuned"


def test_a_place_that_cannot_be_written_is_an_error(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGERT_SETTINGS", str(tmp_path / "file" / "settings"))
    with pytest.raises(OutputError, match="cannot write .*nothing was left behind"):
        store(tuned(bundle))
    assert look_up(bundle, sha256_of(bundle)) is None


def test_forgetting_twice(bundle: Path) -> None:
    store(tuned(bundle))
    assert forget(bundle, sha256_of(bundle))
    assert not forget(bundle, sha256_of(bundle))
    assert look_up(bundle, sha256_of(bundle)) is None


def test_the_processor_is_named() -> None:
    assert settings.cpu_identity().count(",") >= 3
