"""A Dockerfile for an app, with everything that its image copies, for those whose boards run containers.

The image holds what a release on a board holds: the app's files, its settings, the bundle, and edgert's board part.
Nothing here runs Docker. No secret gets into a layer: the page's token comes from the environment at start.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import edgert
from edgert.app.options import TOKEN_VARIABLE
from edgert.bundle import Bundle, replace_atomically
from edgert.deploy.plan import Plan
from edgert.devices.board_part import board_part
from edgert.errors import OutputError, UsageError
from edgert.onboard.facts import APP_PACKAGES
from edgert.onboard.health import HEALTH_VARIABLE

__all__ = ["FOLDER", "dockerfile_text", "write_dockerfile"]

FOLDER = "edgert-image"
"""Beside the Dockerfile: what it copies."""
BASE = "python:3.11-slim"
USER_ID = 10001
DEFAULT_PORT = 8080
_ENGINES = {"onnx": "onnxruntime", "tflite": "ai-edge-litert"}
"""Format of the variant that runs -> what runs it on any processor."""
_DEBIAN = {
    "rtsp": ("ffmpeg",),
    "rtsps": ("ffmpeg",),
    "gst": ("gstreamer1.0-tools", "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good"),
    "alsa": ("alsa-utils",),
}
"""First word of the input -> Debian packages with the programs that read it."""
_PYTHON = {"serial": ("pyserial",)}
_ASK_PAGE = """
import os, urllib.request as web
token = os.environ.get("{token}", "")
request = web.Request("http://127.0.0.1:{port}/healthz", headers={{"Authorization": "Bearer " + token}})
web.urlopen(request, timeout=4)
"""
_ASK_FILE = """
import os, pathlib, sys
from edgert.onboard.health import read_health
health = read_health(pathlib.Path(os.environ["{variable}"]))
sys.exit(health is None or not health.is_healthy or health.age_s() > 10)
"""
_TEXT = """\
# The app {app} with the model {model}, made by edgert {version}. For linux/amd64 and linux/arm64:
#     docker buildx build --platform linux/amd64,linux/arm64 -f {file} .
#     docker run --read-only --cap-drop ALL --security-opt no-new-privileges {run}
{remarks}FROM {base}
{debian}RUN python -m pip install --no-cache-dir --no-compile --disable-pip-version-check --only-binary=:all: {packages}
RUN useradd --system --uid {user} --no-create-home --shell /usr/sbin/nologin app
COPY {folder}/code/ /opt/edgert/
COPY {folder}/app/ /opt/app/
WORKDIR /opt/app
ENV PYTHONPATH=/opt/edgert PYTHONNOUSERSITE=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ENV {variable}=/dev/shm/health.json
USER {user}
{expose}HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 CMD {check}
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "app.py", "--settings", "settings.json"]
CMD {words}
"""


def dockerfile_text(plan: Plan, file: str = "Dockerfile") -> str:
    """Returns the Dockerfile of an app; it copies what `write_dockerfile` puts beside it.

    Args:
        plan: an app with its model.
        file: its own name, for the words at its top.

    Raises:
        UsageError: a bundle without an app, a password in the input, or a variant that no engine of a container runs.
    """
    if plan.app is None or not plan.files:
        raise UsageError("a Dockerfile is made for an app's folder, not for a bundle alone")
    source, port = str(plan.settings.get("input", "")), int(str(plan.settings.get("port", DEFAULT_PORT)))
    if re.search(r"://[^/@\s]+@", source):
        raise UsageError(
            "the input holds a user or password, which everybody who gets the image could read; leave it out of "
            "edgert.toml and give it at start: docker run IMAGE --input ..."
        )
    kind, is_headless = source.partition(":")[0], plan.settings.get("headless") is True
    packages = ["numpy", _engine(plan), *APP_PACKAGES, *_PYTHON.get(kind, ())]
    ask = _ASK_FILE.format(variable=HEALTH_VARIABLE)
    if not is_headless:
        ask = _ASK_PAGE.format(token=TOKEN_VARIABLE, port=port)
    published = "" if is_headless else f"-e {TOKEN_VARIABLE} -p 127.0.0.1:{port}:{port} "
    return _TEXT.format(
        app=plan.app,
        model=plan.bundle.name,
        version=edgert.__version__,
        file=file,
        run=f"{published}IMAGE",
        remarks=_remarks(kind, is_headless),
        base=BASE,
        debian=_debian(kind),
        packages=" ".join(packages),
        user=USER_ID,
        folder=FOLDER,
        variable=HEALTH_VARIABLE,
        expose="" if is_headless else f"EXPOSE {port}\n",
        check=json.dumps(["python", "-c", ask.strip().replace("\n", "; ")]),
        words=json.dumps([] if is_headless else ["--address", "0.0.0.0"]),
    )


def write_dockerfile(plan: Plan, path: Path) -> Path:
    """Writes the Dockerfile, and beside it the folder `edgert-image` that it copies and a .dockerignore of its own.

    Raises:
        UsageError: as `dockerfile_text`.
        OutputError: something cannot be written.
    """
    text = dockerfile_text(plan, path.name)
    folder = path.parent / FOLDER
    try:
        shutil.rmtree(folder, ignore_errors=True)
        with zipfile.ZipFile(io.BytesIO(board_part().data)) as archive:
            archive.extractall(folder / "code")
        with plan.release_files() as files:
            for name, source in files.items():
                (folder / "app" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, folder / "app" / name)
        ignored = f"*\n!{FOLDER}\n"
        path.with_name(f"{path.name}.dockerignore").write_text(ignored, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{error.filename or folder}: cannot be written ({error.strerror or error})") from error
    return replace_atomically(path, text.encode())


def _engine(plan: Plan) -> str:
    with Bundle.open(plan.bundle) as bundle:
        named = plan.settings.get("variant")
        variant = bundle.manifest.variant(str(named or bundle.manifest.default_variant))
    if variant.format not in _ENGINES:
        raise UsageError(f"variant {variant.id!r} is {variant.format}: a container runs {' or '.join(_ENGINES)}")
    return _ENGINES[variant.format]


def _debian(kind: str) -> str:
    if kind not in _DEBIAN:
        return ""
    install = f"apt-get install -y --no-install-recommends {' '.join(_DEBIAN[kind])}"
    return f"RUN apt-get update && {install} && rm -rf /var/lib/apt/lists/*\n"


def _remarks(kind: str, is_headless: bool) -> str:
    lines = []
    if not is_headless:
        lines.append(
            f"The page is open to all who reach the container: it starts only with a secret in {TOKEN_VARIABLE}."
        )
    if kind == "rpicam":
        lines.append("rpicam-vid is not in this image: give another --input at start, or stream from the host.")
    if kind == "camera":
        lines.append("A camera also needs --device /dev/video0 --group-add video.")
    if kind == "alsa":
        lines.append("A microphone also needs --device /dev/snd --group-add audio.")
    if kind == "serial":
        lines.append("A sensor also needs --device of its port and --group-add dialout.")
    return "".join(f"# {line}\n" for line in lines)
