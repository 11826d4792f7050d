"""What stands between a laptop and a login: host keys, keys, passwords, settings, and what a board's shell does."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.emulation.board import EmulatedBoard
from tests.emulation.conftest import MakeBoard
from tests.emulation.laptop import Laptop, make_key
from tests.emulation.rootfs import PASSWORD
from tests.emulation.session import Terminal, add, edgert

pytestmark = pytest.mark.emulation


@pytest.fixture
def board(shared_board: MakeBoard) -> EmulatedBoard:
    return shared_board("pi4")


def wire(one: EmulatedBoard, other: EmulatedBoard) -> str:
    """Joins two boards by a cable of their own; returns the address of the other one on it."""
    ends = [board.root.parent.name for board in (one, other)]  # numbers of processes in their namespaces
    words = ["ip", "link", "add", "wire", "netns", ends[0], "type", "veth", "peer", "name", "wire", "netns", ends[1]]
    subprocess.run(words, check=True)
    for number, board in enumerate((one, other), 1):
        board.shell(f"ip address add 198.19.255.{number}/30 dev wire; ip link set wire up")
    return "198.19.255.2"


def listed(laptop: Laptop) -> list[str]:
    return [device["name"] for device in edgert(laptop, "devices", "list", "--json").json["devices"]]


def test_an_unknown_host_key_stops_with_its_fingerprint_until_it_is_accepted(
    board: EmulatedBoard, laptop: Laptop
) -> None:
    done = edgert(laptop, "devices", "add", "pi", board.url)
    assert done.status == 3
    assert f"pi: its host key (ssh-ed25519 {board.fingerprint}) is not known" in done.err
    assert "--accept-new-host-key" in done.err
    assert laptop.known_hosts.read_text() == ""
    assert "pi" not in listed(laptop)
    assert edgert(laptop, "devices", "add", "pi", board.url, "--accept-new-host-key").status == 0
    assert edgert(laptop, "devices", "doctor", "pi").status == 1  # nothing is set up; but it logs in by itself


def test_a_changed_host_key_is_refused_and_the_line_that_is_printed_helps(
    make_board: MakeBoard, laptop: Laptop
) -> None:
    board = make_board("pi4")
    add(laptop, board)
    board.reflash()
    done = edgert(laptop, "devices", "doctor", "pi")
    assert done.status == 3
    assert f"pi: the host key of {board.address} has changed (now {board.fingerprint})" in done.err
    found = re.search(r"forget the old key with: +(ssh-keygen .*-R \S+)", done.err)
    assert found is not None, done.err
    refused = edgert(laptop, "devices", "add", "pi", board.url, "--accept-new-host-key")
    assert refused.status == 3
    assert "has changed" in refused.err
    subprocess.run(shlex.split(found.group(1)), check=True, env=laptop.env, capture_output=True)
    done = edgert(laptop, "devices", "add", "pi", board.url, "--accept-new-host-key")
    assert done.status == 0, done.err


def test_a_wrong_key_is_refused_and_nothing_is_asked(board: EmulatedBoard, laptop: Laptop, tmp_path: Path) -> None:
    laptop.trust(board)
    laptop.write_config(key=make_key(tmp_path, "another"))
    done = edgert(laptop, "devices", "add", "pi", board.url)
    assert done.status == 3
    assert f"pi: the login of 'pi' at {board.address} was refused; it takes publickey or password" in done.err
    assert f"ssh-copy-id pi@{board.address}" in done.err
    laptop.write_config()
    assert edgert(laptop, "devices", "add", "pi", board.url).status == 0


def test_a_password_is_asked_once_and_a_key_makes_it_needless(
    make_board: MakeBoard, laptop: Laptop, tmp_path: Path
) -> None:
    board = make_board("pi4")
    laptop.trust(board)
    own = laptop.home / ".ssh" / "id_ed25519"
    make_key(own.parent)
    laptop.write_config(key=own)
    wrong = Terminal(laptop, "devices", "add", "pi", board.url)
    wrong.await_text("password: ")
    wrong.type("strawberry")
    assert wrong.end() == 3
    assert f"the login of 'pi' at {board.address} was refused" in wrong.seen
    assert wrong.seen.count("password: ") == 1
    right = Terminal(laptop, "devices", "add", "pi", board.url)
    right.await_text("password: ")
    right.type(PASSWORD)
    right.await_text("install a key")
    right.type("y")
    assert right.end() == 0, right.seen
    assert right.seen.count("password: ") == 1
    kept = [path.read_text("latin-1") for path in laptop.home.rglob("*") if path.is_file()]
    assert not [text for text in kept if PASSWORD in text.replace("raspberry-pi", "").replace("raspberrypi", "")]
    assert edgert(laptop, "devices", "doctor", "pi").status == 1  # without a terminal, and without a password
    assert len(board.shell("cat /home/pi/.ssh/authorized_keys").splitlines()) == 2
    assert board.shell("stat -c %a:%U /home/pi/.ssh/authorized_keys").strip() == "600:pi"


def test_an_alias_of_the_users_settings_is_a_host_name(board: EmulatedBoard, laptop: Laptop) -> None:
    laptop.trust(board)
    laptop.write_config(f"Host Kitchen\n  HostName {board.address}\n  User pi\n")
    done = edgert(laptop, "devices", "add", "pi", "ssh://Kitchen")
    assert done.status == 0, done.err
    assert edgert(laptop, "devices", "show", "pi", "--json").json["url"] == "ssh://Kitchen"


def test_a_board_behind_another_board(shared_board: MakeBoard, laptop: Laptop) -> None:
    jump, board = shared_board("pi4"), shared_board("pi5")
    laptop.trust(board)
    inner = wire(jump, board)
    laptop.write_config(
        f"Host inner\n  HostName {inner}\n  HostKeyAlias {board.address}\n  User pi\n  ProxyJump pi@{jump.address}\n"
    )
    unknown = edgert(laptop, "devices", "add", "inner", "ssh://inner")
    assert unknown.status == 3
    assert f"the host key of the jump host pi@{jump.address} is not known" in unknown.err
    assert f"ssh pi@{jump.address}" in unknown.err
    laptop.trust(jump)
    done = edgert(laptop, "devices", "add", "inner", "ssh://inner")
    assert done.status == 0, done.err
    assert edgert(laptop, "devices", "show", "inner", "--json").json["target"] == "raspberry-pi-5"
    jump.link.down()
    try:
        lost = edgert(laptop, "devices", "doctor", "inner")
    finally:
        jump.link.up()
    assert (lost.status, "it cannot be reached" in lost.err) == (3, True), lost.err


def test_a_shell_that_talks_disturbs_nothing(make_board: MakeBoard, laptop: Laptop) -> None:
    board = make_board("pi4")
    noise = "echo -n 'Welcome to the workshop'; echo edgert is not installed here; echo 'bash: warning' >&2\n"
    (board.root / "home/pi/.bashrc").write_text(noise)
    add(laptop, board)
    done = edgert(laptop, "devices", "doctor", "pi")
    assert done.status == 1, done.err
    assert "Raspberry Pi 4" in done.out


def test_no_python(make_board: MakeBoard, laptop: Laptop) -> None:
    board = make_board("pi4")
    laptop.trust(board)
    board.shell("mv /usr/bin/python3 /usr/bin/python3.away")
    done = edgert(laptop, "devices", "add", "pi", board.url)
    assert done.status == 3
    assert "pi: there is no python3 on the board; install it there (apt install python3-minimal)" in done.err
    assert board.files() == [".ssh/authorized_keys"]
    assert "pi" not in listed(laptop)
    board.shell("mv /usr/bin/python3.away /usr/bin/python3")
    assert edgert(laptop, "devices", "add", "pi", board.url).status == 0


def test_a_python_below_the_floor_is_named_with_what_is_possible(make_board: MakeBoard, laptop: Laptop) -> None:
    board = make_board("pi4-bullseye")
    laptop.trust(board)
    done = edgert(laptop, "devices", "add", "pi", board.url)
    assert done.status == 3
    assert "Raspberry Pi 4 Model B Rev 1.4 has Python 3.9.2 (Debian GNU/Linux 11 (bullseye))" in done.err
    assert "edgert unpack BUNDLE" in done.err
    assert board.files() == [".ssh/authorized_keys"]
    assert "pi" not in listed(laptop)


def test_nobody_is_there(board: EmulatedBoard, laptop: Laptop) -> None:
    laptop.trust(board)
    refused = edgert(laptop, "devices", "add", "pi", f"{board.url}:2222")
    assert (refused.status, "the connection was refused" in refused.err) == (3, True), refused.err
    board.link.down()
    try:
        silent = edgert(laptop, "devices", "add", "pi", board.url)
    finally:
        board.link.up()
    assert (silent.status, "it cannot be reached: is it on" in silent.err) == (3, True), silent.err
    assert edgert(laptop, "devices", "add", "pi", board.url).status == 0
