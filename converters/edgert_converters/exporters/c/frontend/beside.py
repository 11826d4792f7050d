"""The front end that a recipe's pre-processing steps ask for, as files beside model.c."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgert.bundle import Step
from edgert.dtypes import DType
from edgert.runtime.audio.settings import FRONT_ENDS
from edgert_converters.exporters.c.cmake import cmake_text
from edgert_converters.exporters.c.frontend.export import WITH_C, export_frontend
from edgert_converters.exporters.c.headers import ReadKernel
from edgert_converters.exporters.c.network import Network

__all__ = ["files_beside"]

_MOVES = frozenset({"reshape", "flatten"})


def files_beside(
    steps: Sequence[Step], network: Network, read_kernel: ReadKernel
) -> tuple[Mapping[str, bytes], tuple[str, ...]]:
    """Returns the files of a front end, CMakeLists.txt with it among them, and notes for the report.

    Steps without sound give neither. Where C would not give what the steps give, there is a note instead of files:
    other steps that compute stand beside the front end, or the model takes no int8.

    Args:
        steps: the recipe's pre-processing.
        network: the model.
        read_kernel: gives the kernel headers.

    Raises:
        RecipeError: the features do not fit the model's input.
    """
    sound = next((step for step in steps if step["op"] in FRONT_ENDS), None)
    if sound is None:
        return {}, ()
    if sound["op"] not in WITH_C:
        return {}, (f"no C of the front end {sound['op']}",)
    others = [step["op"] for step in steps if step is not sound and step["op"] not in _MOVES]
    if others:
        return {}, (f"no C of the front end {sound['op']}: other steps compute beside it ({', '.join(others)})",)
    if any(network.buffers[index].dtype is not DType.INT8 for index in network.inputs):
        return {}, (f"no C of the front end {sound['op']}: the model's input is not int8",)
    files = export_frontend(sound, network, read_kernel)
    cmake = cmake_text(network.name, ("model.c", "frontend.c")).encode()
    return {**files, "CMakeLists.txt": cmake}, (f"frontend.c is the step {sound['op']}, with the same bits",)
