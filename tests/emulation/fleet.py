"""Eight boards of two kinds that a laptop knows as one group; all but one start from a copy of its disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgert.bundle import SCHEMA, Manifest, Source, TensorSpec, Variant, write_bundle
from edgert.dtypes import DType
from tests.apps.bundles import with_known_answers
from tests.emulation import session
from tests.emulation.board import EmulatedBoard
from tests.emulation.laptop import Laptop
from tests.emulation.session import Done, Running

KINDS = ("pi4", "pi5")
TARGETS = ("raspberry-pi-4", "raspberry-pi-5")
COUNT = 8
GROUP = "shelf"
APP = "image_classify"
_SOURCE = Path(__file__).parents[2] / "apps" / APP
_SETTINGS = ("input=synthetic", "size=64x48", "rate=4", "page_rate=0.5", "energy=none")
_TRIAL = ("--offline", "--ready-s", "300", "--alive-s", "1", "--slower", "10000")
"""Limits that boards keep which share this machine's cores."""
_PATIENCE_S = 1800.0
_SILENCE_S = "20"


@dataclass(frozen=True)
class Fleet:
    """The boards by the laptop's name for them, in the order of the group."""

    laptop: Laptop
    boards: dict[str, EmulatedBoard]
    bundle: Path

    def edgert(self, *words: object) -> Done:
        """Runs a command of the laptop."""
        return session.edgert(self.laptop, *words, timeout_s=_PATIENCE_S, EDGERT_SILENCE_S=_SILENCE_S)

    def start_deploy(self, version: int, *words: object) -> Running:
        """Starts a rollout to the group; each version is a release of its own."""
        given = (_SOURCE, "--bundle", self.bundle, "--device", GROUP, "--canary", 1, "--wave", "25%", "--json")
        settings = [word for setting in (*_SETTINGS, f"top={version}") for word in ("--set", setting)]
        command = ("deploy", *given, *settings, *_TRIAL, *words)
        return session.start(self.laptop, *command, EDGERT_SILENCE_S=_SILENCE_S)

    def deploy(self, version: int, *words: object) -> Done:
        """Rolls a version out."""
        return self.start_deploy(version, *words).end(_PATIENCE_S)

    def state(self, name: str) -> dict[str, Any]:  # Any: JSON
        """What a board trusts, trusted before, and tries."""
        path = Path(f"{self.boards[name].root}/home/pi/.local/share/edgert/apps/{APP}/state.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def version(self, name: str) -> int:
        """Which version a board trusts; its app runs, and is that."""
        release = self.state(name)["trusted"]
        running = [process for process in self.boards[name].processes() if "app.py" in process.command]
        assert running, f"{name}: no app runs"
        environ = Path(f"/proc/{running[0].host_pid}/environ").read_bytes().split(b"\0")
        assert f"EDGERT_RELEASE={release}".encode() in environ
        place = Path(f"{self.boards[name].root}/home/pi/.local/share/edgert/apps/{APP}/releases/{release}")
        return int(json.loads((place / "settings.json").read_text())["top"])

    def versions(self) -> list[int]:
        """The versions of all boards."""
        return [self.version(name) for name in self.boards]


@contextmanager
def raised_fleet(laptop: Laptop, authorized_key: str, folder: Path) -> Iterator[Fleet]:
    """Inside the block, the fleet is there, with version 1 on every disk; nothing runs on the boards."""
    with ExitStack() as stack:
        first = stack.enter_context(EmulatedBoard(KINDS[0], authorized_key=authorized_key, hostname="d0"))
        fleet = Fleet(laptop, {"d0": first}, _write_bundle(folder))
        session.add(laptop, first, "d0")
        _know(laptop, fleet.boards)
        done = fleet.deploy(1)
        assert done.status == 0, done.out + done.err
        first.power_cut()
        for number in range(1, COUNT):
            kind, name = KINDS[number % len(KINDS)], f"d{number}"
            board = EmulatedBoard(kind, authorized_key=authorized_key, hostname=name, disk_from=first)
            fleet.boards[name] = stack.enter_context(board)
            laptop.trust(board)
        first.power_on()
        _know(laptop, fleet.boards)
        yield fleet


def _know(laptop: Laptop, boards: dict[str, EmulatedBoard]) -> None:
    """Writes what `edgert devices add` of each board would: it takes seconds for each."""
    path = Path(laptop.env["EDGERT_SETTINGS"]) / "devices.json"
    stored = json.loads(path.read_text())
    like = stored["devices"][0]
    stored["devices"] = [
        like | {"name": name, "url": board.url, "target": TARGETS[number % len(TARGETS)]}
        for number, (name, board) in enumerate(boards.items())
    ]
    stored["groups"] = {GROUP: list(boards)}
    path.write_text(json.dumps(stored))


def _write_bundle(folder: Path) -> Path:
    """A classifier of 64 grey pixels: a board of this kind spends its time on anything but the model."""
    image = TensorSpec("image", (None, 1, 8, 8), DType.FLOAT)
    logits = TensorSpec("logits", (None, 10), DType.FLOAT)
    data = _classifier()
    variant = Variant("onnx-fp32", "onnx", "fp32", "variants/onnx-fp32/model.onnx", (image,), (logits,), (), len(data))
    manifest = Manifest(
        SCHEMA,
        "grey",
        "0.1.0",
        Source("grey.onnx", "onnx", "0" * 64),
        (image,),
        (logits,),
        (variant,),
        variant.id,
        preprocess=(
            {"op": "resize", "height": 8, "width": 8},
            {"op": "color", "to": "gray"},
            {"op": "scale", "factor": 1 / 255},
            {"op": "layout", "to": "NCHW"},
        ),
        postprocess=({"op": "softmax"},),
        labels=tuple("0123456789"),
    )
    return with_known_answers(write_bundle(folder / "grey.edge", manifest, {variant.path: data}), folder)


def _classifier() -> bytes:
    weight = np.random.default_rng(1).standard_normal((64, 10)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["image"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "weight"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "grey",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
