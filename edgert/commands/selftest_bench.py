"""What the steps of a self-test share: the device, the bundle, the engines, and the files that were brought there."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import importlib.resources
import platform
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Bundle
from edgert.codec import JsonValue, from_plain
from edgert.demo import PREPROCESS
from edgert.devices.client import WorkerClient
from edgert.devices.names import Device
from edgert.devices.registry import connect
from edgert.plugins import ProgressReporter, Transport, load_converter
from edgert.profiler.card import Outcome, Surroundings
from edgert.profiler.record import DeviceFacts, Record
from edgert.recipe import Recipe
from edgert.target import EngineFacts, Target

__all__ = ["PEERS", "WORKER", "Bench", "Finding", "convert_small_model", "open_card_worker", "remove_brought"]

WORKER = "edgert.profiler.card_worker"
PEERS = {"onnxruntime": "onnxruntime", "litert": "litert-xnnpack"}
"""Engine -> what `edgert verify` calls it; these run on the CPU of every board."""
_CALIB_SAMPLES = 64
_CALL_S = 60.0
_ON_CPU = {"onnxruntime": {"providers": "CPUExecutionProvider"}}


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a step."""

    outcome: Outcome
    text: str
    figures: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(slots=True)
class Bench:
    """State of one self-test.

    Attributes:
        device: what is tested; `word` is what names it after --device.
        target: what the device is taken for.
        folder: of temporary files of this computer.
        bundle: the small model, where it was made already.
        engines: those that load on the device, by name, with their versions.
        brought: files of this computer that were, or were about to be, sent.
        private: words that must not stand in the card.
    """

    device: Device
    word: str
    target: Target
    folder: Path
    progress: ProgressReporter
    bundle: Path | None = None
    engines: dict[str, str] = field(default_factory=dict)
    facts: DeviceFacts | None = None
    surroundings: Surroundings | None = None
    python: str = ""
    board_tmp: str | None = None
    private: set[str] = field(default_factory=set)
    brought: set[Path] = field(default_factory=set)
    temporary: set[str] = field(default_factory=set)
    records: list[Record] = field(default_factory=list)
    _transport: Transport | None = None

    def transport(self) -> Transport:
        """The connection that the steps share, made where there is none."""
        if self._transport is None:
            self._transport = connect(self.word)
        return self._transport

    def disconnect(self) -> None:
        """Ends the connection; the next step makes a new one."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    @property
    def is_local(self) -> bool:
        """True for this computer."""
        return not self.device.is_linux_board

    def made_bundle(self) -> Path:
        """Returns the bundle, converted where it is not there yet."""
        if self.bundle is None:
            self.progress("converting the small model", 0, 0)
            self.bundle = convert_small_model(self.folder / "selftest.edge", self.target, self.progress)
        self.brought.add(self.bundle)
        return self.bundle

    def tried_engines(self) -> list[EngineFacts]:
        """Engines of the target that load on the device and that it uses without being asked to."""
        return [engine for engine in self.target.engines if engine.name in self.engines and not engine.optional]

    def cpu_engines(self) -> list[EngineFacts]:
        """Those of them that can be compared with this computer; boards with an accelerator have them as well."""
        return [engine for engine in self.tried_engines() if engine.name in PEERS]

    def cpu_options(self, engine: str) -> dict[str, str]:
        """What asks for the CPU explicitly, where a board has an accelerator."""
        return {} if self.target.accelerator is None else dict(_ON_CPU.get(engine, {}))

    def load(self, worker: WorkerClient, file: Path, variant: str | None = None, engine: str | None = None) -> None:
        """Loads a variant of a bundle (else float, in the first engine), or a plain model file, in a worker.

        Raises:
            InputFileError: the file is damaged.
        """
        self.brought.add(file)
        name = engine or self.cpu_engines()[0].name
        chosen = (variant or self.float_variant) if file.suffix == ".edge" else None
        options = self.cpu_options(name)
        worker.load(file, variant=chosen, engine=name, options=options, tuned=False, timeout_s=_CALL_S)

    @property
    def float_variant(self) -> str:
        """The float variant of the first engine."""
        return f"{self.cpu_engines()[0].format}-fp32"

    def golden_inputs(self) -> dict[str, NDArray[Any]]:  # Any: element types are data
        """Returns one sample of the bundle's golden inputs, by input name, in the model's own shape."""
        with Bundle.open(self.made_bundle()) as bundle:
            golden: Mapping[str, NDArray[Any]] = bundle.golden()
        inputs = {key.partition("/")[2]: value for key, value in golden.items() if key.startswith("input/")}
        return {name: np.asarray(value[0]) for name, value in inputs.items()}

    def laptop_words(self) -> set[str]:
        """Names of this computer, its user and the device, which stand in no card."""
        words = {platform.node(), platform.node().partition(".")[0]}
        with contextlib.suppress(KeyError, OSError):
            words.add(getpass.getuser())
        if self.device.is_linux_board:
            from edgert.devices.ssh_login import parse_login

            login = parse_login(self.device.url)
            words |= {self.device.name, self.device.url, login.host, login.host.partition(".")[0], login.user or ""}
        return words


def convert_small_model(output: Path, target: Target, progress: ProgressReporter) -> Path:
    """Converts the model that comes with edgert for a target, in the formats of both engines.

    Raises:
        MissingExtraError: no converter is installed.
    """
    files = importlib.resources.files("edgert.demo")
    with ExitStack() as stack:
        model, calib = (
            stack.enter_context(importlib.resources.as_file(files / name))
            for name in ("digits.onnx", "digits_calib.npz")
        )
        recipe = Recipe(
            model=model,
            output=output,
            targets=(target.name,),
            calib=str(calib),
            calib_samples=_CALIB_SAMPLES,
            preprocess=PREPROCESS,
        )
        load_converter().convert(recipe, progress)
    return output


@contextmanager
def open_card_worker(bench: Bench) -> Iterator[WorkerClient]:
    """Gives a worker with the calls of the self-test; remembers where its temporary files lie."""
    with WorkerClient(bench.transport(), WORKER) as worker:
        here = worker.call("here", timeout_s=_CALL_S).body
        bench.board_tmp = str(here["tmp"])
        bench.temporary.add(bench.board_tmp)
        bench.private |= set(here["private"])
        bench.facts = from_plain(DeviceFacts, here["device"])
        bench.surroundings = from_plain(Surroundings, here["surroundings"])
        bench.python = str(here["python"])
        yield worker


def remove_brought(bench: Bench) -> list[str]:
    """Removes what the self-test sent to a board; returns the temporary files of its workers that are still there."""
    with open_card_worker(bench) as worker:
        own = bench.board_tmp
        assert own is not None
        if not bench.is_local:
            paths = [str(path) for file in sorted(bench.brought) if file.is_file() for path in _places(own, file)]
            worker.call("remove", {"paths": paths}, timeout_s=_CALL_S)
        left: list[str] = worker.call("existing", {"paths": sorted(bench.temporary - {own})}, timeout_s=_CALL_S).body[
            "paths"
        ]
        return left


def _places(board_tmp: str, file: Path) -> Iterator[PurePosixPath]:
    """Where a file lies on the board, whole or in part (edgert.onboard.folder)."""
    base = PurePosixPath(board_tmp).parents[1]
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    yield base / "files" / sha256 / file.name
    yield base / "incoming" / sha256
