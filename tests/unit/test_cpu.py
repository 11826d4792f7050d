from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgert.runtime.cpu import DotProduct, dot_product, is_x86, needs_x64_quant_precision, parse_cpuinfo

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "machine", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512_vnni\n", "x86_64", DotProduct.AVX512_VNNI),
        ("flags : avx2 avx_vnni", "AMD64", DotProduct.AVX_VNNI),
        ("flags : avx2 avx512f", "x86_64", DotProduct.NONE),
        ("Features\t: fp asimd asimddp i8mm", "aarch64", DotProduct.NEON_I8MM),
        ("Features : fp asimd asimddp", "arm64", DotProduct.NEON_DOTPROD),
        ("Features : fp asimd crc32", "aarch64", DotProduct.NONE),
        ("model name : avx512_vnni", "x86_64", DotProduct.UNKNOWN),
        ("", "aarch64", DotProduct.UNKNOWN),
    ],
)
def test_cpuinfo(text: str, machine: str, expected: DotProduct) -> None:
    assert parse_cpuinfo(text, machine) is expected


def test_precision_is_asked_for_on_x86_without_vnni_only() -> None:
    vnni = dot_product() in {DotProduct.AVX512_VNNI, DotProduct.AVX_VNNI}
    assert needs_x64_quant_precision() == (is_x86() and not vnni)


@pytest.mark.qemu
def test_an_emulated_haswell_has_none() -> None:
    emulator = shutil.which("qemu-x86_64")
    if emulator is None or platform.machine() != "x86_64":
        pytest.skip("needs qemu-x86_64 on an x86-64 computer")
    script = "from edgert.runtime import cpu; print(cpu.dot_product().value, cpu.needs_x64_quant_precision())"
    command = [emulator, "-cpu", "Haswell", sys.executable, "-c", script]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert result.stdout.split() == ["none", "True"]
