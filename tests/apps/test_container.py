"""The Dockerfile of an app, read instruction by instruction; what it copies is run as it would be in the image."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgert.deploy.container import FOLDER, dockerfile_text, write_dockerfile
from edgert.deploy.plan import Plan, read_plan
from edgert.errors import OutputError, UsageError
from tests import app_example as example

TOKEN = "a-secret-of-some-length"
KNOWN = {"FROM", "RUN", "COPY", "WORKDIR", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"}


def plan_of(folder: Path, **settings: object) -> Plan:
    words = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in settings.items()]
    return read_plan(example.ROOT / "apps/image_classify", bundle=example.write(folder), settings=words)


def instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert not any(line.endswith("\\") or not line for line in lines)
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def of(found: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for word, rest in found if word == name]


def test_every_instruction(tmp_path: Path) -> None:
    text = dockerfile_text(plan_of(tmp_path, input="synthetic", port=8123))
    found = instructions(text)
    names = [name for name, _ in found]
    assert set(names) <= KNOWN
    assert names[0] == "FROM"
    assert of(found, "FROM") == ["python:3.11-slim"]
    assert of(found, "USER") == ["10001"]
    assert max(i for i, name in enumerate(names) if name in ("RUN", "COPY")) < names.index("USER")
    assert of(found, "EXPOSE") == ["8123"]
    assert json.loads(of(found, "ENTRYPOINT")[0]) == ["python", "app.py", "--settings", "settings.json"]
    assert json.loads(of(found, "CMD")[0]) == ["--address", "0.0.0.0"]
    installs = of(found, "RUN")
    assert "--only-binary=:all: numpy onnxruntime opencv-python-headless tornado" in installs[0]
    assert "apt-get" not in text
    assert "-e EDGERT_PAGE_TOKEN -p 127.0.0.1:8123:8123" in text
    assert all("TOKEN=" not in rest and "PASSWORD" not in rest for rest in of(found, "ENV"))
    assert "ARG" not in names


@pytest.mark.parametrize(
    ("words", "packages", "remark"),
    [
        ("rtsp://camera/one", "ffmpeg", ""),
        ("gst:videotestsrc", "gstreamer1.0-tools", ""),
        ("rpicam", "", "rpicam-vid is not in this image"),
        ("camera:0", "", "--device /dev/video0 --group-add video"),
    ],
)
def test_what_an_input_needs(tmp_path: Path, words: str, packages: str, remark: str) -> None:
    text = dockerfile_text(plan_of(tmp_path, input=words))
    assert (packages in text) and (remark in text)
    assert ("apt-get" in text) == bool(packages)


def test_without_a_page_nothing_listens(tmp_path: Path) -> None:
    found = instructions(dockerfile_text(plan_of(tmp_path, headless=True)))
    assert not of(found, "EXPOSE")
    assert json.loads(of(found, "CMD")[0]) == []
    assert "healthz" not in of(found, "HEALTHCHECK")[0]
    assert "read_health" in of(found, "HEALTHCHECK")[0]


def test_secrets_stay_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the input holds a user or password, which everybody who gets the image"):
        dockerfile_text(plan_of(tmp_path, input="rtsp://me:secret@camera/one"))


def test_a_bundle_alone_is_no_app(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="for an app's folder, not for a bundle alone"):
        dockerfile_text(read_plan(example.write(tmp_path)))


def test_c_is_for_microcontrollers(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    from edgert.bundle import Bundle, write_bundle

    with Bundle.open(plan.bundle) as bundle:
        files = {name: bundle.read(name) for name in bundle.manifest.files}
        first, *more = bundle.manifest.variants
        manifest = dataclasses.replace(bundle.manifest, variants=(dataclasses.replace(first, format="c"), *more))
    write_bundle(plan.bundle, manifest, files)
    with pytest.raises(UsageError, match="variant 'onnx-fp32' is c: a container runs onnx or tflite"):
        dockerfile_text(plan)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_dockerfile(plan_of(tmp_path), tmp_path / "file" / "Dockerfile")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("headless", [False, True])
def test_what_is_copied_runs_and_its_health_is_asked(tmp_path: Path, headless: bool) -> None:
    """As in the image, but for Docker, the user and the address: the page stays on this computer."""
    pytest.importorskip("cv2")
    pytest.importorskip("tornado")
    plan = plan_of(tmp_path, input="synthetic", port=free_port(), headless=headless, energy="none", size="64x48")
    path = write_dockerfile(plan, tmp_path / "build" / "Dockerfile")
    write_dockerfile(plan, path)
    assert sorted(entry.name for entry in path.parent.iterdir()) == [
        "Dockerfile", "Dockerfile.dockerignore", FOLDER
    ]  # fmt: skip
    found = instructions(path.read_text())
    places = {target.rstrip("/"): path.parent / source for source, target in (r.split() for r in of(found, "COPY"))}
    environment = dict(pair.split("=", 1) for rest in of(found, "ENV") for pair in rest.split())
    environment["PYTHONPATH"] = str(places[environment["PYTHONPATH"]])
    environment["EDGERT_HEALTH_FILE"] = str(tmp_path / "health.json")
    environment |= {"PATH": os.environ["PATH"], "EDGERT_PAGE_TOKEN": TOKEN}
    (workdir,) = of(found, "WORKDIR")
    words = [sys.executable, *json.loads(of(found, "ENTRYPOINT")[0])[1:], *json.loads(of(found, "CMD")[0])]
    words = [word.replace("0.0.0.0", "127.0.0.1") for word in words]
    check = json.loads(re.sub(r"^.* CMD ", "", of(found, "HEALTHCHECK")[0]))
    app = subprocess.Popen(words, cwd=places[workdir], env=environment, stdout=subprocess.DEVNULL)
    try:
        ask = [sys.executable, *check[1:]]
        end_s = time.monotonic() + 60
        while subprocess.run(ask, env=environment, stderr=subprocess.DEVNULL, check=False).returncode:
            assert app.poll() is None
            assert time.monotonic() < end_s
        app.send_signal(signal.SIGTERM)
        assert app.wait(30) == 0
        assert subprocess.run(ask, env=environment, stderr=subprocess.DEVNULL, check=False).returncode == 1
    finally:
        app.kill()
        app.wait()
