"""Which integer dot-product instructions this CPU has, and what that means for ONNX Runtime's numerics.

On x86 without VNNI, ONNX Runtime's U8S8 kernels add products in 16 bits and saturate without a word
(docs/numerics.md); `needs_x64_quant_precision` says when its option against that must be set.
"""

from __future__ import annotations

import ctypes
import enum
import functools
import platform
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["DotProduct", "dot_product", "has_amx_int8", "is_x86", "needs_x64_quant_precision", "parse_cpuinfo"]

_X86 = {"x86_64", "amd64", "i686", "i386", "x86"}
_ARM = {"aarch64", "arm64", "armv7l", "armv8l"}
_VNNI = {"avx512_vnni", "avx512vnni"}
# Leaf numbers of glibc's <sys/platform/x86.h>; each leaf holds eax, ebx, ecx, edx as found and then as usable.
_GLIBC_LEAF_7 = 1
_GLIBC_LEAF_7_1 = 6
_ACTIVE_EAX, _ACTIVE_ECX = 4, 6


class DotProduct(enum.Enum):
    """The best 8-bit dot-product instruction set; UNKNOWN where this system does not tell."""

    AVX512_VNNI = "avx512_vnni"
    AVX_VNNI = "avx_vnni"
    NEON_I8MM = "neon_i8mm"
    NEON_DOTPROD = "neon_dotprod"
    NONE = "none"
    UNKNOWN = "unknown"


def is_x86(machine: str | None = None) -> bool:
    """True on a 32- or 64-bit x86 processor."""
    return (machine or platform.machine()).lower() in _X86


@functools.cache
def has_amx_int8() -> bool:
    """True on x86 whose integer matrix tiles Linux tells of."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return is_x86() and "amx_int8" in _flags(text)


def needs_x64_quant_precision() -> bool:
    """True where U8S8 kernels may saturate at 16 bits: x86 on which VNNI was not found."""
    return is_x86() and dot_product() not in {DotProduct.AVX512_VNNI, DotProduct.AVX_VNNI}


@functools.cache
def dot_product() -> DotProduct:
    """Returns the instruction set of the CPU that this process runs on (an emulated one, under an emulator)."""
    if is_x86():
        found = _from_glibc()
        if found is not None:
            return found
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _from_sysctl()
    return parse_cpuinfo(text, platform.machine())


def parse_cpuinfo(text: str, machine: str) -> DotProduct:
    """Returns what the `flags` (x86) or `Features` (ARM) lines of /proc/cpuinfo say."""
    words = _flags(text)
    if not words:
        return DotProduct.UNKNOWN
    if is_x86(machine):
        if words & _VNNI:
            return DotProduct.AVX512_VNNI
        return DotProduct.AVX_VNNI if "avx_vnni" in words else DotProduct.NONE
    if machine.lower() in _ARM:
        if "i8mm" in words:
            return DotProduct.NEON_I8MM
        return DotProduct.NEON_DOTPROD if "asimddp" in words else DotProduct.NONE
    return DotProduct.NONE


def _flags(text: str) -> set[str]:
    return {word for line in text.splitlines() if _is_flag_line(line) for word in line.partition(":")[2].split()}


def _is_flag_line(line: str) -> bool:
    return line.partition(":")[0].strip().lower() in {"flags", "features"}


def _from_glibc() -> DotProduct | None:
    """CPUID as glibc (2.33 and later) read it; unlike /proc/cpuinfo it is right under qemu-user too."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        feature_leaf = ctypes.CDLL(None).__x86_get_cpuid_feature_leaf
    except (AttributeError, OSError):
        return None
    feature_leaf.restype = ctypes.POINTER(ctypes.c_uint32 * 8)
    feature_leaf.argtypes = [ctypes.c_uint]
    if feature_leaf(_GLIBC_LEAF_7).contents[_ACTIVE_ECX] >> 11 & 1:
        return DotProduct.AVX512_VNNI
    if feature_leaf(_GLIBC_LEAF_7_1).contents[_ACTIVE_EAX] >> 4 & 1:
        return DotProduct.AVX_VNNI
    return DotProduct.NONE


def _from_sysctl() -> DotProduct:
    tool = shutil.which("sysctl")
    if tool is None:
        return DotProduct.UNKNOWN
    names = (
        ("hw.optional.arm.FEAT_I8MM", DotProduct.NEON_I8MM),
        ("hw.optional.arm.FEAT_DotProd", DotProduct.NEON_DOTPROD),
    )
    for name, kind in names:
        result = subprocess.run([tool, "-n", name], capture_output=True, text=True, timeout=5, check=False)
        if result.stdout.strip() == "1":
            return kind
    leaf = subprocess.run(
        [tool, "-n", "machdep.cpu.leaf7_features"], capture_output=True, text=True, timeout=5, check=False
    )
    return DotProduct.AVX512_VNNI if "AVX512VNNI" in leaf.stdout.split() else DotProduct.NONE
