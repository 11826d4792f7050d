from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from edgert.runtime.session import load
from tests import bundle_example as example

_MANY_PIECES = """
import ctypes
from edgert.profiler.environment import read_memory_bytes
from edgert.runtime.memory import return_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
pieces, keepers = [], []
for _ in range(800):
    pieces.append(libc.malloc(64 << 10))
    ctypes.memset(pieces[-1], 1, 64 << 10)
    keepers.append(libc.malloc(2048))  # what is freed cannot join into one piece at the end of the heap
for piece in pieces:
    libc.free(piece)
before = read_memory_bytes("VmRSS")
return_freed_memory()
print(before - read_memory_bytes("VmRSS"))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library has no malloc_trim")
def test_memory_in_many_small_pieces_goes_back_to_the_system() -> None:
    """In a process of its own: what other tests freed here may be taken again, and then is no piece of ours."""
    told = subprocess.run([sys.executable, "-c", _MANY_PIECES], check=True, capture_output=True, text=True).stdout
    assert int(told) > 40 << 20


def test_a_session_of_onnx_runtime_keeps_no_copy_of_the_file(tmp_path: Path) -> None:
    with load(example.write(tmp_path), variant="onnx-fp32", engine="onnxruntime") as session:
        inner = session._executor._session  # type: ignore[attr-defined]
        assert inner._model_bytes is None
        assert set(session.run([[0.0] * 4])) == {"y"}
