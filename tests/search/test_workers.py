"""Several workers on one study: processes on a real PostgreSQL, and workers of a real Dask cluster."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

from edgert.commands.search import search
from edgert.errors import DeviceError, UsageError
from edgert.search.dask_executor import check_address
from edgert.search.storage import open_storage
from tests.search.problems import AWAY, LOG, SLEEP, evaluated
from tests.search.processes import (
    LONGEST_S,
    Cluster,
    certificates,
    kill,
    lines_of,
    postgresql,
    result_of,
    start_search,
    wait_until,
)

WriteRecipe = Callable[..., Path]
EVALUATIONS = 12


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgresql() as url:
        yield url


def trials_in(storage: str, study: str) -> list[optuna.trial.FrozenTrial]:
    with contextlib.closing(open_storage(storage)) as opened:
        return optuna.load_study(study_name=study, storage=opened.optuna).trials


def assert_joint(trials: list[optuna.trial.FrozenTrial], log: Path, repeated: int = 0) -> None:
    """Every number once, no choice twice, and nothing measured that is in no trial."""
    assert [trial.number for trial in trials] == list(range(EVALUATIONS))
    assert all(trial.state.is_finished() for trial in trials)
    choices = [json.dumps(trial.params, sort_keys=True) for trial in trials]
    assert len(set(choices)) == EVALUATIONS
    begun = Counter(evaluated(log))
    assert {choice for choice, _ in begun} == set(choices)
    assert sum(begun.values()) - len(begun) <= repeated


def test_two_workers_one_of_whom_is_killed(recipe: WriteRecipe, log: Path, database: str) -> None:
    path = recipe(f"evaluations = {EVALUATIONS}")
    arguments = ("--storage", database, "--study", "two workers")
    one, two = (start_search(path, *arguments, **{SLEEP: "0.3"}) for _ in range(2))
    wait_until(lambda: len({json.loads(line)["process"] for line in lines_in(log)}) == 2 and lines_of(log) >= 5, one)
    kill(two)
    found = result_of(one)
    assert_joint(trials_in(database, "two workers"), log, repeated=1)
    assert found["evaluations"]["finished"] == EVALUATIONS
    assert found["front"] and all(point["again"]["latency_ms"] <= 25 for point in found["front"])
    repeated = trials_in(database, "two workers (front measured again)")
    assert len({json.dumps(trial.params, sort_keys=True) for trial in repeated}) == len(repeated)
    assert "s3cret" not in json.dumps(found)
    assert found["storage"].startswith("postgresql+psycopg://postgres:***@/postgres?host=/tmp/edgert-pg-")
    exported = path.with_suffix(".search")
    assert all(b"s3cret" not in file.read_bytes() for file in exported.iterdir())


def lines_in(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def test_a_password_stays_out_of_messages(recipe: WriteRecipe, log: Path, database: str) -> None:
    path = recipe()
    arguments = ("--storage", database, "--study", "away", "--device", "another", "--debug")
    process = start_search(path, *arguments, **{AWAY: "1"})
    out, err = process.communicate(timeout=120)
    assert process.returncode == 3
    assert "the board does not answer" in err
    assert "0 evaluations are kept in postgresql+psycopg://postgres:***@" in err
    assert "s3cret" not in out + err


@pytest.fixture
def cluster(tmp_path: Path, log: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, **{LOG: str(log)})
    with contextlib.closing(cluster):
        yield cluster


def test_two_dask_workers_one_of_whom_is_killed(recipe: WriteRecipe, log: Path, cluster: Cluster) -> None:
    workers = [cluster.add_worker(**{SLEEP: "0.3"}) for _ in range(2)]
    path = recipe(f"evaluations = {EVALUATIONS}")
    process = start_search(path, "--scheduler", cluster.address)
    wait_until(
        lambda: len({json.loads(line)["process"] for line in lines_in(log)}) == 2 and lines_of(log) >= 4, process
    )
    workers[1].send_signal(signal.SIGKILL)
    found = result_of(process)
    assert_joint(trials_in(str(path.with_suffix(".search.db")), "search"), log, repeated=1)
    assert found["front"] and all(point["again"] is not None for point in found["front"])
    processes = {json.loads(line)["process"] for line in lines_in(log)}
    assert processes == {worker.pid for worker in workers}  # none in the process that asked


def test_a_cluster_behind_tls(recipe: WriteRecipe, log: Path, tmp_path: Path) -> None:
    """Certificates from Dask's own settings; who has none of this authority gets nothing measured."""
    ours, others = certificates(tmp_path / "ours"), certificates(tmp_path / "others")
    path = recipe("evaluations = 6")
    with contextlib.closing(Cluster(tmp_path, "tls", **{LOG: str(log)}, **ours)) as cluster:
        assert cluster.address.startswith("tls://127.0.0.1:")
        worker = cluster.add_worker()
        for settings in (others, {}):
            refused = start_search(path, "--scheduler", cluster.address, **settings)
            _, err = refused.communicate(timeout=LONGEST_S)
            assert refused.returncode == 3
            assert f"no Dask scheduler answers at {cluster.address}" in err
        assert lines_of(log) == 0
        found = result_of(start_search(path, "--scheduler", cluster.address, **ours))
    assert found["evaluations"]["finished"] == 6
    assert {json.loads(line)["process"] for line in lines_in(log)} == {worker.pid}


def test_a_cluster_without_the_board(recipe: WriteRecipe, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgert.search.dask_executor._WORKERS_S", 0.2)
    with pytest.raises(
        DeviceError, match="no Dask worker owns the device 'local:'; start one with: dask worker tcp://"
    ):
        search(recipe(), scheduler=cluster.address)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "tcp://[::1]:8786", "tcp://localhost:1", "tls://host:1"])
def test_addresses_that_only_we_can_speak_at(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize("address", ["tcp://192.168.1.5:8786", "tcp://host:8786", "127.0.0.1:8786", "ws://127.0.0.1:1"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--scheduler {address}: anybody who can reach")):
        check_address(address)


def test_a_scheduler_that_is_not_there(recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgert.search.dask_executor._CONNECT_S", 0.3)
    with pytest.raises(DeviceError, match="no Dask scheduler answers at tcp://127.0.0.1:1 "):
        search(recipe(), scheduler="tcp://127.0.0.1:1")


def test_what_is_submitted_is_a_name_and_texts() -> None:
    """Nothing of ours travels as code: the function by its name, the arguments as JSON."""
    import pickletools

    from distributed.protocol.pickle import dumps

    from edgert.search.remote import evaluate_there

    code = list(pickletools.genops(dumps(evaluate_there)))
    texts = [argument for _, argument, _ in code if isinstance(argument, str)]
    assert texts == ["edgert.search.remote", "evaluate_there"]
