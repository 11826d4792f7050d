"""Apps as services: the plain supervisor as real processes; systemd's text, and answers that a board may give.

A real systemd is in tests/emulation/test_systemd.py.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgert.onboard import launch, plain_service
from edgert.onboard.folder import BoardFolder
from edgert.onboard.launch import health_path
from edgert.onboard.plain_service import PlainService
from edgert.onboard.releases import Releases
from edgert.onboard.service import Limits, ServiceError
from edgert.onboard.services import choose_service, ensure_linger
from edgert.onboard.systemd import SystemdService, manager_version
from edgert.onboard.unit_text import UnitFacts, unit_text
from tests.release_example import place_release

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="boards run Linux")
OLD, NEW = "1" * 16, "2" * 16
LIVES = """
import os, socket, time
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as words:
    words.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1).encode())
print("up", os.environ["EDGERT_RELEASE"], flush=True)
open(os.environ["EDGERT_HEALTH_FILE"], "w").write("{}")
time.sleep(600)
"""
CRONTAB = """#!/bin/sh
# as Debian's: a list of lines in a file of the user
case "$1" in
-l) [ -f '{file}' ] && exec cat '{file}'; echo 'no crontab for pi' >&2; exit 1 ;;
-r) exec rm '{file}' ;;
-) exec cat >'{file}' ;;
esac
"""
# as systemd 252 says it
NO_MANAGER = "echo 'Failed to connect to bus: No medium found' >&2; exit 1"
REFUSED = "echo 'Could not enable linger: Access denied' >&2; exit 1"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Puts a program of the board, a shell script, first in PATH; the board has no cron and no systemd before that."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def put(name: str, text: str) -> None:
        (folder / name).write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)

    put("crontab", "echo 'you (pi) are not allowed to use this program' >&2; exit 1")
    put("systemctl", NO_MANAGER)
    return put


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: object) -> BoardFolder:
    """Edgert's folder on a board, in a place with a blank; its memory is a folder of this test."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return BoardFolder(tmp_path / "a board" / "edgert")


@pytest.fixture
def service(folder: BoardFolder) -> Iterator[PlainService]:
    """The service of an app with one release, under the plain supervisor."""
    name = f"demo-{os.getpid()}"  # its health file is in a folder that the user's other processes share
    place_release(folder, name, OLD, LIVES)
    made = PlainService(folder, name, Path(sys.executable), ("first_pause_s=0.05",))
    yield made
    made.remove()
    assert not made.is_running


def wait_for(is_so: Callable[[], object], limit_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.02)


def name_of(service: PlainService, folder: BoardFolder) -> str:
    return next(path.name for path in (folder.base / "apps").iterdir())


def test_an_app_runs_on_when_who_started_it_has_ended(service: PlainService, folder: BoardFolder) -> None:
    script = (
        "import sys; from pathlib import Path; from edgert.onboard.folder import BoardFolder\n"
        "from edgert.onboard.plain_service import PlainService\n"
        "PlainService(BoardFolder(Path(sys.argv[1])), sys.argv[2], Path(sys.executable)).restart()"
    )
    words = [sys.executable, "-c", script, str(folder.base), name_of(service, folder)]
    with subprocess.Popen(words, start_new_session=True) as starter:
        assert starter.wait(60) == 0
    wait_for(lambda: service.status().is_ready)
    status = service.status()
    assert (status.kind, status.is_active, status.release, status.restarts) == ("supervisor", True, OLD, 0)
    supervisor = int((folder.base / "apps" / name_of(service, folder) / "supervisor.lock").read_text())
    assert os.getsid(supervisor) != os.getsid(0)
    assert os.getppid() != supervisor
    assert Path(f"/proc/{supervisor}/status").read_text().split("PPid:")[1].split()[0] != str(os.getpid())


def test_a_second_restart_takes_the_release_that_is_current_then(service: PlainService, folder: BoardFolder) -> None:
    service.restart()
    wait_for(lambda: service.status().is_ready)
    first = service.status().pid
    place_release(folder, name_of(service, folder), NEW, LIVES)
    service.restart()
    assert service.status().release == NEW  # restart returns when the app that ran has ended
    assert service.status().pid != first
    wait_for(lambda: f"up {NEW}" in service.log(1))
    assert service.log(0) == ""
    assert f"up {OLD}" in service.log(10)


def test_what_a_power_cut_leaves_is_mended_by_the_next_start(service: PlainService, folder: BoardFolder) -> None:
    service.restart()
    place = folder.base / "apps" / name_of(service, folder)
    os.kill(int((place / "supervisor.lock").read_text()), signal.SIGKILL)
    wait_for(lambda: not service.is_running)
    assert (place / "run.json").exists()  # it is as after a power cut: the note of a process that is no more
    status = service.status()
    assert (status.is_active, status.pid, status.release, status.is_ready) == (False, None, None, False)
    service.restart()
    wait_for(lambda: service.status().is_ready)


def test_stop_and_remove_may_be_repeated_and_leave_nothing(service: PlainService, folder: BoardFolder) -> None:
    name = name_of(service, folder)
    before = sorted(path.name for path in (folder.base / "apps" / name).iterdir())
    service.restart()
    wait_for(lambda: health_path(folder.base / "apps" / name).exists())
    pid = service.status().pid
    for _ in range(2):
        service.stop()
        assert not service.status().is_active
    assert pid is not None
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    for _ in range(2):
        service.remove()
    assert sorted(path.name for path in (folder.base / "apps" / name).iterdir()) == before
    assert not health_path(folder.base / "apps" / name).parent.exists()


def test_a_supervisor_that_cannot_start_says_so(folder: BoardFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    service = PlainService(folder, "empty", Path(sys.executable))
    Releases(folder, "empty").place.mkdir(parents=True)
    (folder.base / "apps/empty/launcher").symlink_to(Path(__file__).resolve().parents[2])
    service.restart()
    assert "edgert: empty has no release to run" in service.log(5)
    wait_for(lambda: not service.status().is_active)
    monkeypatch.setattr(plain_service, "_WITHIN_S", 0.5)
    with pytest.raises(ServiceError, match="the supervisor of empty does not start: edgert: empty has no release"):
        PlainService(folder, "empty", Path("/bin/true")).restart()


def test_a_lock_that_is_no_supervisors_is_told(folder: BoardFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    service = PlainService(folder, "demo", Path(sys.executable))
    place = Releases(folder, "demo").place
    place.mkdir(parents=True)
    monkeypatch.setattr(plain_service, "_WITHIN_S", 0.2)
    with (place / "supervisor.lock").open("w") as lock, subprocess.Popen(["sleep", "60"]) as other:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ServiceError, match=r"a process holds .*supervisor\.lock and does not say which"):
            service.stop()
        lock.write(str(other.pid))
        lock.flush()
        with pytest.raises(ServiceError, match="the supervisor of demo does not end"):
            service.stop()


def test_without_cron_it_says_what_has_to_start_it(service: PlainService) -> None:
    status = service.status()
    assert not status.starts_at_boot
    reason = status.starts_at_boot_reason or ""
    assert "neither a systemd manager of the user nor cron -> have what starts the board run, as this user" in reason
    command = reason.partition("as this user: ")[2]
    done = subprocess.run(["/bin/sh", "-c", command], check=False, timeout=60)
    assert done.returncode == 0
    wait_for(lambda: service.status().is_ready)


def test_cron_starts_it_where_there_is_one(
    service: PlainService, folder: BoardFolder, programs: Callable[[str, str], None], tmp_path: Path
) -> None:
    file = tmp_path / "crontab"
    programs("crontab", CRONTAB.format(file=file))
    assert service.status().starts_at_boot_reason == "no line of the crontab starts it; deploy it again"
    file.write_text("@daily date +\\%s\n")
    for _ in range(2):
        service.install()
    lines = file.read_text().splitlines()
    assert lines[0] == "@daily date +\\%s"
    assert len(lines) == 2
    assert lines[1].startswith("@reboot env 'PYTHONPATH=")
    assert service.status().starts_at_boot_reason in {
        None,
        "its line is in the crontab, but no cron runs -> start the board's cron",
    }
    service.stop()
    assert file.read_text() == "@daily date +\\%s\n"
    file.unlink()
    service.install()
    service.remove()
    assert not file.exists()


def test_the_best_that_a_board_offers_is_chosen(
    folder: BoardFolder, service: PlainService, programs: Callable[[str, str], None]
) -> None:
    name = name_of(service, folder)
    assert choose_service(folder, name, Path(sys.executable)).kind == "supervisor"
    programs("systemctl", "echo 252.39-1~deb12u2")
    assert manager_version() == 252
    assert choose_service(folder, name, Path(sys.executable)).kind == "systemd"
    service.restart()  # what runs already is not left alone beside another
    assert choose_service(folder, name, Path(sys.executable)).kind == "supervisor"
    service.stop()
    programs("systemctl", NO_MANAGER)
    unit = Path(os.environ["XDG_CONFIG_HOME"]) / "systemd/user" / f"edgert-{name}.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    assert choose_service(folder, name, Path(sys.executable)).kind == "systemd"


def test_answers_of_systemd_are_passed_on(folder: BoardFolder, programs: Callable[[str, str], None]) -> None:
    service = SystemdService(folder, "demo", Path(sys.executable), Limits())
    with pytest.raises(ServiceError, match="the systemd manager of this user does not answer; log in anew"):
        service.install()
    with pytest.raises(ServiceError, match="show edgert-demo.service.* failed: Failed to connect to bus: No medium"):
        service.status()
    programs("systemctl", "exit 5")
    with pytest.raises(ServiceError, match="systemctl --user daemon-reload failed: status 5"):
        service.remove()
    programs("journalctl", "echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1")
    assert "(No journal files were opened due to insufficient permissions.) -> sudo usermod -aG" in service.log(5)
    programs("journalctl", "case \"$*\" in *_UID=*) echo 'a line of a login' ;; esac")
    assert service.log(5) == ""


def test_lingering_is_switched_on_or_the_command_for_it_is_told(
    programs: Callable[[str, str], None], tmp_path: Path
) -> None:
    programs("loginctl", "echo yes")
    assert ensure_linger() is None
    on = tmp_path / "on"
    programs(
        "loginctl", f"case \"$*\" in *enable-linger*) touch '{on}' ;; *) [ -f '{on}' ] && echo yes || echo no ;; esac"
    )
    assert ensure_linger() is None
    assert on.exists()
    programs("loginctl", f'case "$*" in *enable-linger*) {REFUSED} ;; *) echo no ;; esac')
    assert (ensure_linger() or "").startswith("sudo loginctl enable-linger ")


def facts(base: Path, *, version: int = 252, has_sandbox: bool = True, limits: Limits | None = None) -> UnitFacts:
    return UnitFacts(base, "demo", Path("/usr/bin/python3"), version, has_sandbox, limits or Limits(75, 360, 512))


def test_a_unit_says_how_it_is_started_watched_and_limited() -> None:
    lines = unit_text(facts(Path("/home/pi/.local/share/edgert"))).splitlines()
    for line in (
        'ExecStart="/usr/bin/python3" "-m" "edgert.onboard.launch" "/home/pi/.local/share/edgert" demo',
        'Environment="PYTHONPATH=/home/pi/.local/share/edgert/apps/demo/launcher"',
        'ReadWritePaths="-/home/pi/.local/share/edgert/cache" -%t/edgert-demo',
        "WatchdogSec=30",
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        "MemoryMax=75%",
        "CPUQuota=360%",
        "TasksMax=512",
        "RestartSec=5",
    ):
        assert line in lines
    assert not any(line.startswith("RestartSteps") for line in lines)


def test_a_unit_has_what_its_systemd_knows_and_its_kernel_lets() -> None:
    later = unit_text(facts(Path("/b"), version=254)).splitlines()
    assert {"RestartSec=1", "RestartSteps=6", "RestartMaxDelaySec=60"} < set(later)
    bare = unit_text(facts(Path("/b"), has_sandbox=False, limits=Limits(None, None, None)))
    assert "PrivateTmp" not in bare
    assert "NoNewPrivileges=yes" in bare
    assert "Max" not in bare


def test_paths_stay_what_they_are_in_a_unit(tmp_path: Path) -> None:
    text = unit_text(facts(Path('/home/p i/50%n $HOME "x"\\y')))
    assert '"/home/p i/50%%n $$HOME \\"x\\"\\\\y"' in text
    assert '"PYTHONPATH=/home/p i/50%%n $HOME \\"x\\"\\\\y/apps/demo/launcher"' in text
    with pytest.raises(ServiceError, match=r"cannot be made for a path with control characters: '/a\\nb'"):
        unit_text(facts(Path("/a\nb")))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    unit = tmp_path / "edgert-demo.service"
    unit.write_text(unit_text(facts(Path('/home/p i/50%n $HOME "x"'))))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    words = ["systemd-analyze", "--user", "verify", str(unit)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    assert "edgert-demo.service" not in done.stderr, done.stderr


def test_memory_of_other_apps_stays(
    service: PlainService, folder: BoardFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder.base / "shm"
    monkeypatch.setattr(launch, "_SHARED_MEMORY", place)
    other = place / f"edgert-{os.getuid()}" / "other"
    other.mkdir(parents=True)
    service.remove()
    assert other.is_dir()
