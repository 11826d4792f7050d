"""Data from a Python callable `module:function` that gives arrays or (array, label) pairs."""

from __future__ import annotations

import importlib
import io
import os
import re
import sys
from collections.abc import Iterable, Mapping

import numpy as np

from edgert.errors import DataError
from edgert_converters.data.sample import Array, BoxLabels, Item, Label, digest_of
from edgert_converters.data.spill import Spill

__all__ = ["FunctionSource", "import_function", "is_function_spec"]

_SPEC = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_MAX_SAMPLES = 1_000_000


def is_function_spec(spec: str) -> bool:
    """True for `module:function`."""
    return _SPEC.fullmatch(spec) is not None


def import_function(spec: str) -> object:
    """Returns the named object; the working directory is searched first.

    Raises:
        DataError: there is no such module or name.
    """
    module_name, name = spec.split(":")
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        return getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise DataError(f"{spec}: cannot be imported ({error})") from error
    finally:
        sys.path.remove(here)


class FunctionSource:
    """Calls the function once; what it yields goes to a temporary file, so a generator is fine.

    It yields an array without batch axis (pre-processing steps apply to it), a mapping of input names to arrays, or a
    pair of one of those and a label: an int, a str, an array, or (boxes xyxy [K, 4], class ids [K]).
    """

    def __init__(self, spec: str) -> None:
        self.spec = spec
        function = import_function(spec)
        if not callable(function):
            raise DataError(f"{spec}: is not callable")
        self._records = Spill()
        self._labels: list[Label] = []
        try:
            samples = function()
        except Exception as error:
            raise DataError(f"{spec}: raised {type(error).__name__}: {error}") from error
        if not isinstance(samples, Iterable):
            raise DataError(f"{spec}: returned {type(samples).__name__}, expected an iterable of samples")
        self._store(samples)
        self.has_labels = any(label is not None for label in self._labels)

    def __len__(self) -> int:
        return len(self._records)

    def item(self, index: int) -> Item:
        """Reads one sample back."""
        with np.load(io.BytesIO(self._records.read(index)), allow_pickle=False) as archive:
            arrays = {name.removeprefix("input/"): archive[name] for name in archive.files}
        is_image = list(arrays) == [""] and arrays[""].dtype == np.uint8 and arrays[""].ndim == 3
        return Item(f"{self.spec}[{index}]", arrays, self._labels[index], is_image)

    def digest(self, index: int) -> str:
        """Hash over the arrays."""
        arrays = self.item(index).arrays
        return digest_of(*(f"{a.dtype}{a.shape}".encode() + np.ascontiguousarray(a).tobytes() for a in arrays.values()))

    def _store(self, samples: Iterable[object]) -> None:
        try:
            for index, entry in enumerate(samples):
                _check_count(self.spec, index)
                values, label = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, None)
                stream = io.BytesIO()
                named = {f"input/{name}": array for name, array in _arrays(self.spec, index, values).items()}
                np.savez(stream, allow_pickle=False, **named)
                self._records.append(stream.getvalue())
                self._labels.append(_label(self.spec, index, label))
        except DataError:
            raise
        except Exception as error:  # the user's code may raise anything; it is named and its text kept
            raise DataError(f"{self.spec}: raised {type(error).__name__}: {error}") from error


def _check_count(spec: str, index: int) -> None:
    if index >= _MAX_SAMPLES:
        raise DataError(f"{spec}: gave more than {_MAX_SAMPLES} samples; it must end")


def _arrays(spec: str, index: int, values: object) -> dict[str, Array]:
    named = dict(values) if isinstance(values, Mapping) else {"": values}
    arrays = {str(name): np.asarray(array) for name, array in named.items()}
    if any(array.dtype.hasobject for array in arrays.values()):
        raise DataError(f"{spec}: sample {index} is no array of numbers")
    return arrays


def _label(spec: str, index: int, label: object) -> Label:
    if label is None or isinstance(label, (str, BoxLabels)):
        return label
    if isinstance(label, tuple) and len(label) == 2:
        boxes = np.asarray(label[0], np.float32).reshape(-1, 4)
        return BoxLabels(boxes, np.asarray(label[1], np.int64), np.zeros(len(boxes), np.bool_))
    array = np.asarray(label)
    if array.dtype.hasobject:
        raise DataError(f"{spec}: the label of sample {index} is a {type(label).__name__}")
    return int(array.item()) if array.dtype.kind in "iub" and array.size == 1 else array
