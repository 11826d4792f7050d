"""Boards that are set up for apps, and what tests of deploys say to them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgert.bundle import Bundle, write_bundle
from tests import app_example
from tests.apps.bundles import bundle_for
from tests.native_board import NAME, Done, NativeBoard

APP = "image_classify"
SOURCE = app_example.ROOT / "apps" / APP
QUICK = (
    *("--set", "input=synthetic", "--set", "port=0", "--set", "rate=40", "--set", "energy=none"),
    *("--alive-s", "0.5", "--slower", "1000"),
)
"""Settings under which a trial takes a second or two."""


def deploy(board: NativeBoard, *words: object, what: Path = SOURCE) -> Done:
    """Runs `edgert deploy` of an app's folder with settings that make a trial quick."""
    return board.edgert("deploy", what, "--device", NAME, "--offline", *QUICK, *words, "--json")


def outcome(done: Done) -> dict[str, Any]:  # Any: JSON values
    """What a deploy to one device gave."""
    (found,) = done.json["devices"]
    return dict(found)


def ready_board(board: NativeBoard, bundle: Path) -> NativeBoard:
    """Sets a board up by a first deploy, and takes the app away again; skips where packages are out of reach."""
    board.json("devices", "add", NAME, "ssh://somebody@board.local")
    done = deploy(board, "--bundle", bundle)
    if done.status and "no wheels of" in done.out:
        pytest.skip(f"no packages for boards: {done.out}")
    assert done.status == 0, done.out + done.err
    board.json("undeploy", "--device", NAME)
    return board


def plain_bundle(folder: Path) -> Path:
    """A classifier with known answers."""
    return bundle_for(APP, folder)


def changed_bundle(bundle: Path, name: str, change: str) -> Path:
    """Returns a copy of a bundle whose model is changed, with the known answers of before.

    `change`: `weights` makes the answers wrong; `slow` keeps them, with a gigaflop in front.
    """
    with Bundle.open(bundle) as opened:
        files = {entry: opened.read(entry) for entry in opened.manifest.files}
        manifest = dataclasses.replace(opened.manifest, release=None)
    for variant in manifest.variants:
        model = onnx.load_from_string(files[variant.path])
        _spoil(model) if change == "weights" else _slow_down(model)
        files[variant.path] = model.SerializeToString()
    return write_bundle(bundle.with_name(name), manifest, files)


def _spoil(model: onnx.ModelProto) -> None:
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = numpy_helper.to_array(largest)
    largest.CopyFrom(numpy_helper.from_array(values * 1.5, largest.name))


def _slow_down(model: onnx.ModelProto) -> None:
    """Adds the mean of the input, through products that leave nothing of it, to the input."""
    graph, size = model.graph, 512
    name = graph.input[0].name
    for node in graph.node:
        node.input[:] = ["slow_input" if used == name else used for used in node.input]
    zeros = numpy_helper.from_array(np.zeros((size, size), np.float32), "slow_zeros")
    graph.initializer.append(zeros)
    graph.initializer.append(numpy_helper.from_array(np.ones((size, size), np.float32), "slow_ones"))
    steps = [
        helper.make_node("ReduceMean", [name], ["slow_mean"], keepdims=0),
        helper.make_node("Mul", ["slow_mean", "slow_ones"], ["slow0"]),
        *(helper.make_node("MatMul", [f"slow{i}", "slow_zeros"], [f"slow{i + 1}"]) for i in range(4)),
        helper.make_node("ReduceMean", ["slow4"], ["slow_nothing"], keepdims=0),
        helper.make_node("Add", [name, "slow_nothing"], ["slow_input"]),
    ]
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend([*steps, *kept])
