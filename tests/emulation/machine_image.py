"""The disk of an emulated machine: Debian 12 for arm64 with systemd, its kernel, and what starts it.

Packages are unpacked without running their own scripts, as for the boards' trees; what those would have set up is
written here. The result is one ext4 file, a kernel and an initial RAM disk, kept in the user's cache under a hash of
the recipe. Nothing is mounted.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.emulation import rootfs
from tests.emulation.rootfs import BOOKWORM, add_users, cache_folder, compile_library, locked, run_tool

_PACKAGES = (
    "base-files base-passwd bash dash coreutils libc-bin python3 libstdc++6 libgcc-s1 openssh-server "
    "openssh-sftp-server openssh-client iproute2 procps ca-certificates tar gzip sed grep findutils util-linux mount "
    "passwd login hostname diffutils mawk systemd systemd-sysv dbus dbus-user-session libpam-systemd libpam-modules "
    "libpam-modules-bin libpam-runtime polkitd sudo kmod udev cron busybox-static linux-image-cloud-arm64"
)
_DISK_MIB = 4096
"""A sparse file: what is empty takes no room."""
_NOT_NEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache/apt", "var/lib/apt")
_SYSTEM_USERS = {"messagebus": 103, "polkitd": 104, "systemd-network": 105, "systemd-journal": 106, "crontab": 107}
_GROUPS_OF_PI = ("adm", "dialout", "cdrom", "sudo", "audio", "video", "plugdev", "users")
"""As on Raspberry Pi OS, whose `pi` reads the journal by `adm`."""
_MODULES = "virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk"
"""What finds the disk, each after what it needs; udev loads the rest."""
_INIT = """#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
for module in {modules}; do busybox insmod /modules/$module.ko; done
until busybox test -b /dev/vda; do busybox usleep 20000; done
busybox mount -t ext4 -o noatime /dev/vda /new
busybox cp -a /seed/. /new/
for place in proc sys dev; do busybox mount --move /$place /new/$place; done
exec busybox switch_root /new /lib/systemd/systemd
"""
_FILES = {
    "etc/fstab": "/dev/vda / ext4 noatime 0 0\n",
    "etc/hostname": "machine\n",
    "etc/hosts": "127.0.0.1 localhost machine\n",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "etc/ssh/sshd_config": "Subsystem sftp /usr/lib/openssh/sftp-server\nUsePAM yes\nUseDNS no\nPrintMotd no\n",
    "etc/pam.d/common-auth": "auth required pam_unix.so\n",
    "etc/pam.d/common-account": "account required pam_unix.so\n",
    "etc/pam.d/common-password": "password required pam_unix.so\n",
    "etc/pam.d/common-session": "session required pam_unix.so\nsession optional pam_systemd.so\n",
    "etc/pam.d/common-session-noninteractive": "session required pam_unix.so\n",
    "etc/sudoers.d/pi": "pi ALL=(ALL) NOPASSWD: ALL\n",
    "etc/systemd/network/wired.network": (
        "[Match]\nType=ether\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    ),
}
_LINKS = {
    "usr/bin/awk": "mawk",
    "bin/sh": "dash",
    "etc/mtab": "../proc/self/mounts",
    "var/run": "/run",  # where polkit looks for the bus
    "var/lock": "/run/lock",
}
_ENABLED = {"multi-user.target.wants": ("ssh.service", "systemd-networkd.service", "cron.service")}
_MASKED = ("systemd-networkd-wait-online.service", "systemd-pstore.service", "e2scrub_reap.service", "apt-daily.timer")


@dataclass(frozen=True, slots=True)
class MachineImage:
    """Files to start a machine from; each machine writes to a copy of the disk."""

    disk: Path
    kernel: Path
    initrd: Path


def cached_image() -> MachineImage:
    """Returns the image, built first if the cache does not have it (about a minute; printed).

    Raises:
        BuildError: a package could not be had or unpacked, or a program failed.
    """
    cache = cache_folder()
    recipe = Path(__file__).read_bytes() + Path(rootfs.__file__).read_bytes()
    place = cache / f"machine-{hashlib.sha256(recipe).hexdigest()[:16]}"
    with locked(cache / "machine.lock"):
        if not place.is_dir():
            _build(place)
    return MachineImage(place / "disk", place / "kernel", place / "initrd")


def pack_files(folder: Path, owners: Mapping[str, int] | None = None) -> bytes:
    """Returns a folder as an archive that the kernel unpacks (cpio of the kind newc, gzip); it takes several in a row.

    What is at or below a name of `owners` belongs to the user of that number, the rest to root.

    Source: Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
    """
    parts: list[bytes] = []
    for number, path in enumerate(sorted(folder.rglob("*")), start=1):
        name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
        owner = next((user for top, user in (owners or {}).items() if f"{name}/".startswith(f"{top}/")), 0)
        data = path.read_bytes() if stat.S_ISREG(mode) else b""
        parts += [_header(number, name, mode, owner, len(data)), data, b"\0" * (-len(data) % 4)]
    return gzip.compress(b"".join([*parts, _header(0, "TRAILER!!!", 0, 0, 0)]), mtime=0)


def _build(place: Path) -> None:
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=".machine-", dir=place.parent) as folder:
        tree, made = Path(folder) / "tree", Path(folder) / "made"
        made.mkdir()
        _unpack(tree)
        _finish(tree)
        compile_library(BOOKWORM, tree)
        _split_kernel(tree, made, Path(folder) / "initrd")
        tree.chmod(0o755)
        run_tool(["mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=1", "-d", str(tree), *_disk_words(made)])
        made.rename(place)
    sys.stderr.write(f"emulated machine: built its disk in {time.monotonic() - start:.0f} s, {place}\n")


def _disk_words(made: Path) -> list[str]:
    return [str(made / "disk"), f"{_DISK_MIB}m"]


def _unpack(tree: Path) -> None:
    options = ["--mode=root", "--architectures=arm64", "--variant=extract"]
    options.append("--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr")
    run_tool(["mmdebstrap", *options, f"--include={','.join(_PACKAGES.split())}", BOOKWORM.name, str(tree)])


def _finish(tree: Path) -> None:
    """Does what the packages' own scripts would have done."""
    add_users(tree)
    _add_system_users(tree)
    for name in _NOT_NEEDED:
        shutil.rmtree(tree / name, ignore_errors=True)
    for link, target in _LINKS.items():
        if (tree / link).is_dir() and not (tree / link).is_symlink():
            shutil.rmtree(tree / link)
        (tree / link).unlink(missing_ok=True)
        (tree / link).symlink_to(target)
    for name, text in _FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / "etc/sudoers.d/pi").chmod(0o440)
    units = tree / "etc/systemd/system"
    for target, wanted in _ENABLED.items():
        (units / target).mkdir(parents=True, exist_ok=True)
        for unit in wanted:
            (units / target / unit).symlink_to(f"/lib/systemd/system/{unit}")
    for unit in _MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    for name in ("etc/.updated", "var/.updated"):  # what systemd does after an update takes an emulated core seconds
        (tree / name).touch()
    run_tool(["ldconfig", "-r", str(tree)])


def _add_system_users(tree: Path) -> None:
    with (tree / "etc/passwd").open("a") as passwd, (tree / "etc/shadow").open("a") as shadow:
        for name, number in _SYSTEM_USERS.items():
            passwd.write(f"{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n")
            shadow.write(f"{name}:!:20000:0:99999:7:::\n")
    groups = (tree / "etc/group").read_text() + "".join(f"{n}:x:{i}:\n" for n, i in _SYSTEM_USERS.items())
    lines = [
        f"{line}pi" if line.partition(":")[0] in _GROUPS_OF_PI and line.endswith(":") else line
        for line in groups.splitlines()
    ]
    (tree / "etc/group").write_text("\n".join(lines) + "\n")
    crontab, spool = tree / "usr/bin/crontab", tree / "var/spool/cron/crontabs"
    spool.mkdir(parents=True, exist_ok=True)
    for path, mode in ((crontab, 0o2755), (spool, 0o1730)):
        shutil.chown(path, 0, _SYSTEM_USERS["crontab"])
        path.chmod(mode)


def _split_kernel(tree: Path, made: Path, initrd: Path) -> None:
    """Takes the kernel out of the tree, and makes the RAM disk that finds the disk and hands over to it."""
    kernel = next((tree / "boot").glob("vmlinuz-*"))
    version = kernel.name.partition("-")[2]
    shutil.copy(kernel, made / "kernel")
    run_tool(["chroot", str(tree), "/sbin/depmod", "-a", version])
    for name in ("proc", "sys", "dev", "new", "seed", "modules", "bin"):
        (initrd / name).mkdir(parents=True)
    shutil.copy(tree / "bin/busybox", initrd / "bin/busybox")
    found = {path.stem: path for path in (tree / "lib/modules" / version).rglob("*.ko")}
    for name in _MODULES.split():
        shutil.copy(found[name], initrd / "modules" / f"{name}.ko")
    (initrd / "init").write_text(_INIT.format(modules=_MODULES))
    (initrd / "init").chmod(0o755)
    (made / "initrd").write_bytes(pack_files(initrd))
    shutil.rmtree(tree / "boot")
    (tree / "boot").mkdir()


def _header(number: int, name: str, mode: int, owner: int, size: int) -> bytes:
    fields = (number, mode, owner, owner, 1, 0, size, 0, 0, 0, 0, len(name) + 1, 0)
    text = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return text + b"\0" * (-len(text) % 4)
