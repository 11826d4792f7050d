from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from edgert.devices import WorkerClient, connect, remote_error
from edgert.devices.local import LocalTransport
from edgert.devices.registry import TRANSPORTS
from edgert.errors import (
    DataError,
    DeviceError,
    EngineError,
    InternalError,
    ModelError,
    UsageError,
)
from tests import bundle_example as example

ROOT = Path(__file__).parents[2]
CRASHING = "tests.crashing_worker"


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalTransport]:
    monkeypatch.chdir(ROOT)
    made = LocalTransport()
    yield made
    made.close()


@pytest.mark.parametrize("device", [None, "local", "local:"])
def test_no_device_is_this_computer(device: str | None) -> None:
    assert connect(device).url == "local:"


@pytest.mark.parametrize("device", ["ftp://pi", "local:x", "pi5"])
def test_unknown_devices_are_refused(device: str) -> None:
    with pytest.raises(UsageError, match=f"no device '{device}'.*{next(iter(TRANSPORTS))}:"):
        connect(device)


def test_a_worker_gives_what_the_session_gives(transport: LocalTransport, tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (3, 4)).astype(np.float32)
    with WorkerClient(transport) as worker:
        assert worker.hello()["numpy"] == np.__version__
        loaded = worker.load(example.write(tmp_path), threads=1)
        assert loaded["facts"]["threads"] == 1
        assert_allclose(worker.run({"x": x})["y"], example.reference(x), atol=1e-6)
        with pytest.raises(DataError, match=r"expected float \[\?, 4\], got double"):
            worker.run({"x": x.astype(np.float64)})
        assert_allclose(worker.run({"x": x}, batch_size=1)["y"], example.reference(x), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SIGSEGV", "segmentation fault"),
        ("SIGKILL", "memory ran out"),
        ("SIGILL", "instruction that this CPU does not have"),
        ("SIGABRT", "abort"),
        ("SIGTERM", "was ended by SIGTERM"),
    ],
)
def test_a_crash_is_a_typed_error(transport: LocalTransport, name: str, words: str) -> None:
    with WorkerClient(transport, CRASHING) as worker, pytest.raises(EngineError, match=words) as caught:
        worker.call("run", {"signal": name})
    assert "last words" in str(caught.value)


def test_a_crash_while_loading_blames_the_model(transport: LocalTransport, tmp_path: Path) -> None:
    with (
        WorkerClient(transport, CRASHING) as worker,
        pytest.raises(ModelError, match="segmentation fault. while loading the model"),
    ):
        worker.load(tmp_path / "net.onnx")


def test_an_exit_and_a_worker_that_does_not_start(transport: LocalTransport) -> None:
    with WorkerClient(transport, CRASHING) as worker, pytest.raises(EngineError, match="ended with status 7"):
        worker.call("leave")
    with (
        WorkerClient(transport, "edgert.no_such_module") as worker,
        pytest.raises(DeviceError, match="No module named"),
    ):
        worker.hello()


def test_calls_after_a_crash_are_errors_too(transport: LocalTransport) -> None:
    with WorkerClient(transport, CRASHING) as worker:
        for _ in range(2):
            with pytest.raises(EngineError):
                worker.call("leave", timeout_s=5)


def test_a_time_out_ends_the_worker(transport: LocalTransport) -> None:
    with WorkerClient(transport, CRASHING) as worker:
        with pytest.raises(EngineError, match=r"hang did not finish within 0.2 s and was ended"):
            worker.call("hang", timeout_s=0.2)
        assert transport._channels[0].exit_status(0) is not None


def test_leaving_on_an_interrupt_ends_the_worker(transport: LocalTransport) -> None:
    with pytest.raises(KeyboardInterrupt), WorkerClient(transport, CRASHING):
        raise KeyboardInterrupt
    assert transport._channels[0].exit_status(0) is not None


def test_what_a_library_prints_does_not_break_the_protocol(transport: LocalTransport) -> None:
    with WorkerClient(transport, CRASHING) as worker:
        assert worker.call("chatter").body["said"] is True
        assert worker.call("chatter").body["said"] is True


def test_an_interpreter_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match="cannot start the worker with /no/python"):
        WorkerClient(LocalTransport("/no/python"))


def test_a_worker_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    script = (
        "import os; from edgert.devices import WorkerClient, connect\n"
        "worker = WorkerClient(connect()); worker.hello()\n"
        "print(worker._channel._child.pid, flush=True); os._exit(0)"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    pid = int(result.stdout)
    for _ in range(2000):  # its stdin has ended; it leaves as soon as it is scheduled
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        os.sched_yield()
        subprocess.run(["true"], check=True)
    pytest.fail("the worker outlived its parent")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("DataError", DataError),
        ("ModelError", ModelError),
        ("MissingExtraError", UsageError),
        ("DynamicShapeError", UsageError),
        ("ValueError", InternalError),
        ("did_you_mean", InternalError),
    ],
)
def test_errors_cross_the_wire_with_their_type(kind: str, expected: type[Exception]) -> None:
    error = remote_error({"error": kind, "text": "what happened", "trace": "Traceback"})
    assert type(error) is expected
    assert str(error) == "what happened"
    assert "Traceback" in str(error.__cause__)
