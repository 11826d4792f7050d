"""The harness itself: boards are what they say they are, and what a test sets is what a login sees."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.emulation.board import EmulatedBoard
from tests.emulation.conftest import MakeBoard
from tests.emulation.facts import INA3221
from tests.emulation.feeder import Played, playing
from tests.emulation.laptop import Laptop
from tests.emulation.rootfs import PASSWORD
from tests.emulation.waiting import wait_for

pytestmark = pytest.mark.emulation

_SEEN = "uname -mr; tr -d '\\0' </proc/device-tree/model; echo; python3 -V; grep -c asimddp /proc/cpuinfo; whoami"


def seen_by_login(board: EmulatedBoard, laptop: Laptop, command: str) -> str:
    laptop.trust(board)
    done = laptop.ssh(board, command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def log_in_by_password(board: EmulatedBoard, laptop: Laptop, password: str) -> subprocess.CompletedProcess[str]:
    laptop.trust(board)
    words = ["sshpass", "-p", password, "ssh", "-o", "PubkeyAuthentication=no", f"pi@{board.address}", "whoami"]
    return subprocess.run(words, check=False, capture_output=True, text=True, env=laptop.env, timeout=60)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("pi-zero-2", ["6.6.31+rpt-rpi-v8 aarch64", "Raspberry Pi Zero 2 W Rev 1.0", "Python 3.11.2", "0", "pi"]),
        ("pi4", ["6.6.31+rpt-rpi-v8 aarch64", "Raspberry Pi 4 Model B Rev 1.4", "Python 3.11.2", "0", "pi"]),
        ("pi5", ["6.6.31+rpt-rpi-v8 aarch64", "Raspberry Pi 5 Model B Rev 1.0", "Python 3.11.2", "4", "pi"]),
        (
            "orin-nano",
            ["5.15.148-tegra aarch64", "NVIDIA Jetson Orin Nano Developer Kit", "Python 3.11.2", "6", "pi"],
        ),
        pytest.param(
            "pi4-trixie",
            ["6.12.25+rpt-rpi-v8 aarch64", "Raspberry Pi 4 Model B Rev 1.4", "Python 3.13.5", "0", "pi"],
            marks=pytest.mark.slow,  # its tree takes a minute or more to build
        ),
        ("pi4-bullseye", ["6.1.21-v8+ aarch64", "Raspberry Pi 4 Model B Rev 1.4", "Python 3.9.2", "0", "pi"]),
    ],
)
def test_a_login_sees_the_board(shared_board: MakeBoard, laptop: Laptop, kind: str, expected: list[str]) -> None:
    assert seen_by_login(shared_board(kind), laptop, f"{_SEEN} || true").splitlines() == expected


def test_a_board_from_the_disk_of_another_is_a_board_of_its_own(make_board: MakeBoard, laptop: Laptop) -> None:
    first = make_board("pi4")
    first.shell(
        "mkdir -p /home/pi/kept && echo mine >/home/pi/kept/file && chown -R pi:pi /home/pi/kept && rm /usr/bin/yes"
    )
    second = make_board("pi5", hostname="shelf-2", disk_from=first)
    assert set(first.host_keys).isdisjoint(second.host_keys)
    seen = seen_by_login(
        second, laptop, "hostname; cat kept/file; echo more >>kept/file; stat -c %U kept/file; ls /usr/bin/yes || true"
    )
    assert seen.splitlines() == ["shelf-2", "mine", "pi"]
    assert first.shell("cat /home/pi/kept/file; hostname") == "mine\npi4\n"
    second.reflash()
    assert second.files() == [".ssh/authorized_keys"]


def test_boards_do_not_see_each_other(shared_board: MakeBoard, laptop: Laptop) -> None:
    first, second = shared_board("pi4"), shared_board("pi5")
    assert first.address != second.address
    (first.root / "home/pi/mark").touch()
    assert seen_by_login(second, laptop, "ls") == ""
    (first.root / "home/pi/mark").unlink()


def test_the_password_lets_in(shared_board: MakeBoard, laptop: Laptop) -> None:
    assert log_in_by_password(shared_board("pi4"), laptop, PASSWORD).stdout == "pi\n"


def test_another_password_does_not(shared_board: MakeBoard, laptop: Laptop) -> None:
    assert "Permission denied" in log_in_by_password(shared_board("pi4"), laptop, "blueberry").stderr


def test_the_fingerprint_is_what_openssh_shows(shared_board: MakeBoard, laptop: Laptop) -> None:
    board = shared_board("pi4")
    laptop.write_config("Host *\n  FingerprintHash sha256\n  VisualHostKey no\n")
    seen = laptop.ssh(board, "true")
    assert "Host key verification failed" in seen.stderr
    keys = subprocess.run(["ssh-keyscan", "-t", "ed25519", board.address], check=True, capture_output=True, text=True)
    assert keys.stdout.split(maxsplit=1)[1].strip() in board.host_keys


def test_the_state_of_a_raspberry_pi_is_scripted(shared_board: MakeBoard, laptop: Laptop) -> None:
    board = shared_board("pi5")
    board.controls.set_throttled(0x50005)
    board.controls.set_temperature(81.25)
    board.controls.set_clock_khz(1500000)
    board.controls.set_governor("performance")
    board.controls.set_pmic({"VDD_CORE": (0.75, 2.5)})
    command = "vcgencmd get_throttled; vcgencmd measure_temp; vcgencmd measure_clock arm; vcgencmd no_such"
    files = "cpu/cpu3/cpufreq/scaling_cur_freq cpu/cpu0/cpufreq/scaling_governor"
    command += f"; cd /sys/devices/system; cat {files}; cat ../platform/soc/soc:firmware/get_throttled"
    command += "; vcgencmd pmic_read_adc | grep VDD_CORE; cat /sys/class/thermal/thermal_zone0/temp"
    seen = seen_by_login(board, laptop, command).split("\n")
    assert [line for line in seen if line] == [
        "throttled=0x50005",
        "temp=81.2'C",
        "frequency(48)=1500000000",
        'error=1 error_msg="Command not registered"',
        "1500000",
        "performance",
        "50005",
        "  VDD_CORE_A current(7)=2.50000000A",
        "  VDD_CORE_V volt(15)=0.75000000V",
        "81250",
    ]


def test_the_sensors_of_a_jetson_are_scripted(shared_board: MakeBoard, laptop: Laptop) -> None:
    board = shared_board("orin-nano")
    board.controls.set_ina3221({"VDD_IN": (5000, 2)})
    board.controls.set_tegrastats({"VDD_IN": 7250})
    command = f"cat /sys/{INA3221}/in1_label /sys/class/hwmon/hwmon1/curr1_input; nvpmodel -q"
    command += "; head -c 8 /etc/nv_tegra_release; echo"
    command += "; timeout -s INT 2 tegrastats --interval 100 | head -n 1 | cut -d' ' -f3-"
    seen = [line for line in seen_by_login(board, laptop, command).splitlines() if line]
    assert seen[:5] == ["VDD_IN", "2", "NV Power Mode: 15W", "0", "# R36 (r"]
    assert seen[5].startswith("RAM 1343/7620MB")
    assert seen[5].endswith("VDD_IN 7250mW/7250mW")


def test_memory_is_scripted(shared_board: MakeBoard, laptop: Laptop) -> None:
    board = shared_board("pi4")
    board.controls.set_memory_available(65536)
    board.controls.set_memory_pressure(12.5)
    seen = seen_by_login(board, laptop, "grep -E 'Total|Avail' /proc/meminfo; cat /proc/pressure/memory")
    assert seen.splitlines()[:4] == [
        "MemTotal:        3883008 kB",
        "MemAvailable:      65536 kB",
        "SwapTotal:             0 kB",
        "some avg10=12.50 avg60=0.00 avg300=0.00 total=0",
    ]


def test_a_busy_neighbour_is_the_only_load(shared_board: MakeBoard) -> None:
    board = shared_board("pi4")

    def busy_ticks() -> int:
        return int((board.root / "run/fakeboard/proc/stat").read_text().split()[1])

    def is_quiet() -> bool:
        before = busy_ticks()
        time.sleep(0.2)
        return busy_ticks() - before <= 2  # of 20 for each core of this machine, however busy that is

    before = busy_ticks()
    with board.busy_neighbour():
        wait_for(lambda: busy_ticks() >= before + 20, "the neighbour does not show")
        assert "while" not in " ".join(process.command for process in board.processes())  # it is somebody else's
    wait_for(is_quiet, "something still competes")


def test_processes_and_files_of_the_user(shared_board: MakeBoard, laptop: Laptop) -> None:
    board = shared_board("pi4")
    wait_for(lambda: board.processes() == [], "an earlier login goes on")
    seen_by_login(board, laptop, "mkdir -p a/b; echo x >a/b/c; (sleep 60 </dev/null >/dev/null 2>&1 &)")
    wait_for(lambda: [process.command for process in board.processes()] == ["sleep 60"], "no such process")
    assert board.files() == [".ssh/authorized_keys", "a/b/c"]
    assert board.kill("sleep") == 1
    seen_by_login(board, laptop, "rm -r a")
    assert board.shell("id -u; pwd").split() == ["0", "/"]


def test_a_curve_is_played_and_remembered() -> None:
    set_to: list[float] = []
    with playing(lambda seconds: 1000.0 + seconds, set_to.append, period_s=0.001) as played:
        while len(set_to) < 5:
            time.sleep(0.001)
    assert [value for _, value in played.values] == set_to
    assert Played([(1.0, 10.0), (2.0, 20.0), (4.0, 5.0)]).integral(1.5, 5.0) == 0.5 * 10 + 2 * 20 + 5
