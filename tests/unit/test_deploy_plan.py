"""What is to be deployed: read strictly, resolved here, the same fingerprint for the same content."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edgert.bundle import Bundle
from edgert.deploy.limits import limits_of
from edgert.deploy.plan import read_plan
from edgert.devices.names import Device
from edgert.errors import BundleError, EdgertError, InputFileError, RecipeError, UsageError
from edgert.profiler.record import EnergyRecord, ModelFacts, write_record
from tests import app_example, record_example

TOML = 'schema = 1\n\n[app]\ninput = "synthetic"\nrate = 5\nbundle = "digits.edge"\n\n[deploy]\nalive_s = 3\n'


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "my_app"
    (folder / "sounds").mkdir(parents=True)
    for name in ("app.py", "sounds/a.txt", "README.md", ".hidden"):
        (folder / name).write_text("print()\n")
    (folder / "edgert.toml").write_text(TOML)
    app_example.write(folder)
    return folder


def test_an_app_is_resolved_on_the_laptop(app: Path) -> None:
    plan = read_plan(app, settings=["top=3", "variant=onnx-fp32-b"], health={"slower": 2.0, "ready_s": None})
    assert (plan.app, sorted(plan.files)) == ("my_app", ["app.py", "sounds/a.txt"])
    assert plan.settings == {"input": "synthetic", "rate": 5, "top": 3, "variant": "onnx-fp32-b"}
    assert (plan.health.alive_s, plan.health.slower, plan.health.ready_s) == (3, 2.0, 60.0)
    with plan.release_files() as files:
        assert sorted(files) == ["app.py", "model.edge", "settings.json", "sounds/a.txt"]
        assert json.loads(files["settings.json"].read_text()) == {**plan.settings, "bundle": "model.edge"}
        kept = files["settings.json"]
    assert not kept.exists()


def test_the_fingerprint_follows_what_runs(app: Path) -> None:
    first = read_plan(app).fingerprint
    assert read_plan(app, health={"alive_s": 9.0}).fingerprint == first
    assert read_plan(app, settings=["rate=6"]).fingerprint != first
    (app / "sounds/a.txt").write_text("other")
    assert read_plan(app).fingerprint != first


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("[app]\n", RecipeError, "this edgert reads 'schema = 1' at the top of the file"),
        ("schema = 1\n", RecipeError, r"an app has a table \[app\]"),
        ("schema = 1\n[app]\n[deploi]\n", RecipeError, "unknown key 'deploi'; did you mean 'deploy'"),
        (
            "schema = 1\n[app]\n[deploy]\nalive = 3\n",
            RecipeError,
            r"\[deploy\]: unknown key 'alive'; did you mean 'alive_s'",
        ),
        (
            "schema = 1\n[app]\n[deploy]\nalive_s = 'x'\n",
            RecipeError,
            r"\[deploy\]: alive_s is 'x'; it must be a number",
        ),
        (
            "schema = 1\n[app]\nbundle = 'digits.edge'\n[deploy]\nalive_s = 0\n",
            UsageError,
            "alive_s is 0; allowed: above 0",
        ),
        ("schema = 1\n[app]\nrat = 3\n", UsageError, r"\[app\]: no setting 'rat'; did you mean 'rate'"),
        ("schema = 1\n[app]\n", UsageError, "no model; --bundle FILE.edge"),
        ("schema = 1\n[app]\nbundle = 'other.edge'\n", InputFileError, r"other\.edge: no such file"),
        ("schema = 1\n[app]\nbundle = 'app.py'\n", BundleError, "not a readable .edge file"),
    ],
)
def test_a_wrong_recipe_says_where(app: Path, text: str, error: type[EdgertError], words: str) -> None:
    (app / "edgert.toml").write_text(text)
    with pytest.raises(error, match=words):
        read_plan(app)


def test_what_cannot_be_deployed(app: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--set rate: write NAME=VALUE"):
        read_plan(app, settings=["rate"])
    with pytest.raises(UsageError, match="--set: rate is 'fast'; it must be of type float"):
        read_plan(app, settings=["rate=fast"])
    with pytest.raises(UsageError, match="--app says which app of the device a bundle is for"):
        read_plan(app, app="other")
    with pytest.raises(UsageError, match="--bundle and --set belong to an app's folder"):
        read_plan(app / "digits.edge", settings=["top=3"])
    (app / "app.py").unlink()
    with pytest.raises(InputFileError, match=r"no app\.py in this folder"):
        read_plan(app)
    app.rename(tmp_path / "My App")
    with pytest.raises(UsageError, match="an app is named by its folder, in lower-case letters"):
        read_plan(tmp_path / "My App")


def test_a_bundle_alone(app: Path) -> None:
    plan = read_plan(app / "digits.edge", app="my_app")
    assert (plan.app, dict(plan.files), dict(plan.settings)) == ("my_app", {}, {})


def test_limits_come_from_flags_then_from_the_newest_profile(app: Path, tmp_path: Path) -> None:
    device = Device("pi", "ssh://pi@pi.local")
    records = tmp_path / "records"
    named = limits_of(read_plan(app, health={"max_p95_ms": 7.0, "max_energy_mj": 9.0}), device, records)
    assert (named["p95_ms"], named["p95_from"], named["energy_mj"]) == (7.0, "max_p95_ms", 9.0)
    assert limits_of(read_plan(app), device, records) == {"ready_s": 60.0, "alive_s": 3, "slower": 1.5}

    with Bundle.open(app / "digits.edge") as bundle:
        sha256 = bundle.manifest.files[bundle.manifest.variant().path].sha256
    on_pi = dataclasses.replace(record_example.DEVICE, name="pi")
    model = ModelFacts("digits", "a" * 64, sha256, "onnx", "fp32", 1000)
    energy = EnergyRecord(
        "ina3221", ("VDD_IN",), 100.0, "1 %", "", idle_mw=2000.0, gross_mj=30.0, net_mj=10.0, net_ci95_mj=None
    )
    for name, created, median_ms, place in (("old", "2026-01-01", 99.0, on_pi), ("new", "2026-02-01", 10.0, on_pi),
                                            ("other", "2026-03-01", 50.0, record_example.DEVICE)):  # fmt: skip
        found = record_example.record(
            median_ms, created=f"{created}T00:00:00+00:00", device=place, model=model, energy=energy
        )
        records.mkdir(exist_ok=True)
        write_record(records / f"{name}.json", found)
    limits = limits_of(read_plan(app), device, records)
    assert limits["p95_ms"] == pytest.approx(1.5 * 10.2, rel=0.02)
    assert limits["p95_from"] == "1.5 times the profile of 2026-02-01"
    # 5 frames a second: an inference, and idle for the rest of 200 ms
    assert limits["energy_mj"] == pytest.approx(1.5 * (30.0 + 2000.0 * 0.190), rel=0.01)
