"""The few calls of the CUDA runtime that running an engine needs, through ctypes on libcudart.

JetPack brings the library and no Python package for it. Every call returns a cudaError_t, 0 for success; the text of
others comes from cudaGetErrorString. Source: NVIDIA, CUDA Runtime API reference.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.errors import EngineError

__all__ = ["Cuda", "Gpu", "load_cuda"]

_LIBRARIES = (
    "libcudart.so.12",
    "libcudart.so.13",
    "libcudart.so.11.0",
    "libcudart.so",
    "/usr/local/cuda/lib64/libcudart.so",
)
_TO_DEVICE, _TO_HOST = 1, 2
_MAJOR, _MINOR = 75, 76
"""cudaDevAttrComputeCapabilityMajor and -Minor."""
_PROPERTIES_BYTES = 8192
"""More than any cudaDeviceProp so far (about 1 KiB); the name is its first member, in 256 bytes."""
_NAME_BYTES = 256


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first GPU: `capability` such as 8.7, `driver` and `runtime` as CUDA counts versions (12.6 is 12060)."""

    name: str
    capability: str
    driver: int
    runtime: int


class Cuda:
    """The CUDA runtime. Pointers and streams are integers; whoever gets one gives it back."""

    def __init__(self, library: Any) -> None:  # Any: ctypes.CDLL, or what a test records
        self._library = library
        library.cudaGetErrorString.restype = ctypes.c_char_p

    def gpu(self) -> Gpu:
        """Returns what the first GPU is.

        Raises:
            EngineError: there is none, or the driver does not answer.
        """
        count = self._number(self._library.cudaGetDeviceCount, "counting GPUs")
        if count < 1:
            raise EngineError("tensorrt: CUDA finds no GPU on this device")
        major, minor = (self._attribute(which) for which in (_MAJOR, _MINOR))
        driver = self._number(self._library.cudaDriverGetVersion, "asking for the driver")
        runtime = self._number(self._library.cudaRuntimeGetVersion, "asking for the runtime")
        return Gpu(self._name(), f"{major}.{minor}", driver, runtime)

    def allocate(self, size_bytes: int) -> int:
        """Returns the address of memory on the GPU."""
        pointer = ctypes.c_void_p()
        self._check(self._library.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(max(1, size_bytes))), "cudaMalloc")
        return pointer.value or 0

    def free(self, address: int) -> None:
        """Gives memory on the GPU back."""
        self._check(self._library.cudaFree(ctypes.c_void_p(address)), "cudaFree")

    def create_stream(self) -> int:
        """Returns a new stream."""
        stream = ctypes.c_void_p()
        self._check(self._library.cudaStreamCreate(ctypes.byref(stream)), "cudaStreamCreate")
        return stream.value or 0

    def destroy_stream(self, stream: int) -> None:
        """Gives a stream back."""
        self._check(self._library.cudaStreamDestroy(ctypes.c_void_p(stream)), "cudaStreamDestroy")

    def synchronize(self, stream: int) -> None:
        """Waits until all that was put into a stream is done."""
        self._check(self._library.cudaStreamSynchronize(ctypes.c_void_p(stream)), "cudaStreamSynchronize")

    def to_device(self, address: int, array: NDArray[np.generic], stream: int) -> None:
        """Copies a contiguous array to the GPU; it must stay as it is until the stream is done."""
        self._copy(address, array.ctypes.data, array.nbytes, _TO_DEVICE, stream)

    def to_host(self, array: NDArray[np.generic], address: int, stream: int) -> None:
        """Copies from the GPU into a contiguous array, which is filled when the stream is done."""
        self._copy(array.ctypes.data, address, array.nbytes, _TO_HOST, stream)

    def _copy(self, target: int, source: int, size_bytes: int, kind: int, stream: int) -> None:
        pointers = ctypes.c_void_p(target), ctypes.c_void_p(source)
        status = self._library.cudaMemcpyAsync(
            *pointers, ctypes.c_size_t(size_bytes), ctypes.c_int(kind), ctypes.c_void_p(stream)
        )
        self._check(status, "cudaMemcpyAsync")

    def _name(self) -> str:
        # CUDA 12 renamed the symbol behind the same function; later releases have the plain name again
        ask = getattr(self._library, "cudaGetDeviceProperties_v2", None) or self._library.cudaGetDeviceProperties
        room = ctypes.create_string_buffer(_PROPERTIES_BYTES)
        self._check(ask(room, ctypes.c_int(0)), "cudaGetDeviceProperties")
        return room.raw[:_NAME_BYTES].split(b"\0")[0].decode("utf-8", "replace")

    def _attribute(self, which: int) -> int:
        value = ctypes.c_int()
        status = self._library.cudaDeviceGetAttribute(ctypes.byref(value), ctypes.c_int(which), ctypes.c_int(0))
        self._check(status, "cudaDeviceGetAttribute")
        return value.value

    def _number(self, ask: Callable[[Any], int], doing: str) -> int:  # Any: a ctypes pointer
        value = ctypes.c_int()
        self._check(ask(ctypes.byref(value)), doing)
        return value.value

    def _check(self, status: int, doing: str) -> None:
        if status:
            text = self._library.cudaGetErrorString(ctypes.c_int(status))
            words = text.decode("utf-8", "replace") if isinstance(text, bytes) else "no text"
            raise EngineError(f"tensorrt: CUDA failed in {doing} with error {status} ({words})")


def load_cuda(names: Sequence[str] = _LIBRARIES) -> Cuda:
    """Returns the CUDA runtime of this device.

    Raises:
        EngineError: the library is not there.
    """
    for name in names:
        library = _open(name)
        if library is not None:
            return Cuda(library)
    raise EngineError(
        f"tensorrt: the CUDA runtime is not there (looked for {', '.join(names)}); "
        "on a Jetson: sudo apt install nvidia-jetpack"
    )


def _open(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None
